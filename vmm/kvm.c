/*
 * /dev/kvm: see kvm.h.
 */
#include "vmm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/check_host.h"

/* What bantam can't do without. */
static const struct {
	int capability;
	const char *name;
} needed[] = {
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, "KVM_CAP_SET_IDENTITY_MAP_ADDR"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
	{KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
};

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
	int result;

	/* The C libraries disagree on the type of a request. */
	do
		result = (int)syscall(SYS_ioctl, fd, request, argument);
	while (result < 0 && errno == EINTR);
	return result;
}

int kvm_ioctl_number(int fd, unsigned long request, unsigned long argument)
{
	return kvm_ioctl(fd, request, (void *)argument);
}

int kvm_capability(int fd, int capability)
{
	const int value = kvm_ioctl_number(fd, KVM_CHECK_EXTENSION, (unsigned long)capability);

	return value < 0 ? 0 : value;
}

int kvm_open(struct error *err)
{
	const int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const int version = fd < 0 ? -1 : kvm_ioctl_number(fd, KVM_GET_API_VERSION, 0);

	if (version < 0) {
		check_explain("", errno, err);
		goto close;
	}
	if (version != KVM_API_VERSION) {
		error_set(err, "this host's KVM speaks API version %d, and %d is needed", version,
			  KVM_API_VERSION);
		goto close;
	}
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (!kvm_capability(fd, needed[i].capability)) {
			error_set(err, "this host's KVM lacks %s, without which no guest runs",
				  needed[i].name);
			snprintf(err->remedy, sizeof(err->remedy),
				 "boot a newer kernel (5.4 or later)");
			goto close;
		}
	}
	return fd;

close:
	if (fd >= 0)
		close(fd);
	return -1;
}
