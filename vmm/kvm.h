/*
 * /dev/kvm: the system's side of KVM, and ioctl(2) as it is used everywhere.
 */
#ifndef BANTAM_VMM_KVM_H
#define BANTAM_VMM_KVM_H

#include <linux/kvm.h>

#include "vmm/error.h"

/* ioctl(2), repeated while a signal interrupts it. Not for KVM_RUN, which signals must end. */
int kvm_ioctl(int fd, unsigned long request, void *argument);

/* The same for requests that take a number or nothing. */
int kvm_ioctl_number(int fd, unsigned long request, unsigned long argument);

/* The value of KVM_CHECK_EXTENSION: 0 when the capability isn't there. fd: /dev/kvm or a VM. */
int kvm_capability(int fd, int capability);

/*
 * Opens /dev/kvm and checks that it speaks the API of today and has what bantam can't do without.
 * Returns the descriptor, or -1 with err set to what is wrong and what to do, in two lines where
 * the host gives reason to.
 */
int kvm_open(struct error *err);

#endif
