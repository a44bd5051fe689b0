/*
 * Wiring by KVM: ioeventfd, irqfd, and the table of message-signalled interrupts.
 *
 * KVM takes interrupts by number (GSI). 0 to 23 are the I/O APIC's pins; behind them each message
 * has a number of its own, and a table, which is always given whole, says which message that is.
 *
 * Source: Linux Documentation/virt/kvm/api.rst, KVM_IOEVENTFD, KVM_IRQFD, KVM_SET_GSI_ROUTING.
 */
#ifndef BANTAM_VMM_KVM_WIRING_H
#define BANTAM_VMM_KVM_WIRING_H

#include <pthread.h>

#include "vmm/error.h"
#include "vmm/trace.h"
#include "vmm/wiring.h"

/* The first GSI that is no pin of the I/O APIC. */
enum { WIRING_FIRST_MESSAGE = 24 };

struct kvm_irq_routing;

struct kvm_wiring {
	const int *vm_fd; /* the machine's, which is another after a restart */
	struct trace *trace;
	pthread_mutex_t lock;          /* guards the table */
	struct kvm_irq_routing *table; /* the pins, then the messages that were told */
	unsigned pins, messages_max;
};

/* messages: how many there may be. Returns 0, or -1 with err set. */
int kvm_wiring_init(struct kvm_wiring *wiring, const int *vm_fd, unsigned messages,
		    struct trace *trace, struct error *err);

/* Forgets all messages, for a new VM. */
void kvm_wiring_reset(struct kvm_wiring *wiring);
void kvm_wiring_destroy(struct kvm_wiring *wiring);

/* What devices are given. */
struct wiring kvm_wiring(struct kvm_wiring *wiring);

#endif
