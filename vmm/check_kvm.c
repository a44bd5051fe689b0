/*
 * KVM as it answers: see check_kvm.h.
 *
 * The capabilities that are needed are kvm.c's, which refuses to go on without them; the nice ones
 * are listed here, each with what it is for. A host lacks some of them in good health: processors
 * differ.
 *
 * Source: Linux Documentation/virt/kvm/api.rst, KVM_CHECK_EXTENSION.
 */
#include "vmm/check_kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vmm/kvm.h"

/* System calls: openat, ioctl on /dev/kvm, close. */

/* Younger than the oldest kernel headers that bantam builds with. */
#ifndef KVM_CAP_X86_BUS_LOCK_EXIT
#define KVM_CAP_X86_BUS_LOCK_EXIT 193
#endif
#ifndef KVM_CAP_SET_GUEST_DEBUG2
#define KVM_CAP_SET_GUEST_DEBUG2 195
#endif
#ifndef KVM_CAP_XSAVE2
#define KVM_CAP_XSAVE2 208
#endif
#ifndef KVM_CAP_PMU_CAPABILITY
#define KVM_CAP_PMU_CAPABILITY 212
#endif
#ifndef KVM_CAP_X86_NOTIFY_VMEXIT
#define KVM_CAP_X86_NOTIFY_VMEXIT 219
#endif

#define NAMED(capability)                                                                          \
	{                                                                                          \
		capability, #capability                                                            \
	}

static const struct kvm_capability_name nice_ones[] = {
	NAMED(KVM_CAP_TSC_DEADLINE_TIMER), /* the guest's cheapest timer */
	NAMED(KVM_CAP_TSC_CONTROL),        /* a TSC frequency other than the host's */
	NAMED(KVM_CAP_ADJUST_CLOCK),       /* a clock that goes on after a restore … */
	NAMED(KVM_CAP_KVMCLOCK_CTRL),      /* … and a guest that isn't alarmed by a pause */
	NAMED(KVM_CAP_PIT2),               /* kernels that calibrate with the 8254 */
	NAMED(KVM_CAP_IOEVENTFD),          /* notifications without an exit to user space */
	NAMED(KVM_CAP_SIGNAL_MSI),         /* message-signalled interrupts */
	NAMED(KVM_CAP_SPLIT_IRQCHIP),      /* I/O APIC in user space */
	NAMED(KVM_CAP_X2APIC_API),         /* APIC ids of more than eight bits */
	NAMED(KVM_CAP_X86_USER_SPACE_MSR), /* unknown MSRs seen by the monitor … */
	NAMED(KVM_CAP_X86_MSR_FILTER),     /* … or kept from the guest */
	NAMED(KVM_CAP_PMU_CAPABILITY),     /* no performance counters for the guest */
	NAMED(KVM_CAP_X86_BUS_LOCK_EXIT),  /* bus locks, which slow all processors down */
	NAMED(KVM_CAP_X86_NOTIFY_VMEXIT),  /* a guest that blocks interrupts for ever */
	NAMED(KVM_CAP_XSAVE2),             /* saving large vector and tile registers */
	NAMED(KVM_CAP_SET_GUEST_DEBUG),    /* a debugger … */
	NAMED(KVM_CAP_SET_GUEST_DEBUG2),   /* … which knows what it can ask for … */
	NAMED(KVM_CAP_DEBUGREGS),          /* … and saves the guest's own breakpoints */
};

static void add(struct check_kvm *kvm, int fd, const struct kvm_capability_name *named, bool needed)
{
	struct check_capability *capability = &kvm->capability[kvm->capabilities];

	if (kvm->capabilities == CHECK_CAPABILITIES_MAX)
		return;
	kvm->capabilities++;
	*capability = (struct check_capability){.name = named->name,
						.needed = needed,
						.value = kvm_capability(fd, named->capability)};
	if (!capability->value && needed)
		kvm->needed_missing++;
	else if (!capability->value)
		kvm->nice_missing++;
}

static void ask_all(struct check_kvm *kvm, int fd)
{
	size_t count;
	const struct kvm_capability_name *needed = kvm_needed(&count);

	for (size_t i = 0; i < count; i++)
		add(kvm, fd, &needed[i], true);
	for (size_t i = 0; i < ARRAY_LEN(nice_ones); i++)
		add(kvm, fd, &nice_ones[i], false);
	kvm->vcpus_recommended = kvm_capability(fd, KVM_CAP_NR_VCPUS);
	kvm->vcpus_max = kvm_capability(fd, KVM_CAP_MAX_VCPUS);
	kvm->memory_slots = kvm_capability(fd, KVM_CAP_NR_MEMSLOTS);
}

int check_kvm_open(struct check_kvm *kvm)
{
	const int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	*kvm = (struct check_kvm){0};
	if (fd < 0) {
		kvm->error = errno;
		return -1;
	}
	kvm->api_version = kvm_ioctl_number(fd, KVM_GET_API_VERSION, 0);
	if (kvm->api_version < 0)
		kvm->error = errno;
	if (kvm->api_version != KVM_API_VERSION) {
		close(fd);
		return -1;
	}
	ask_all(kvm, fd);
	return fd;
}
