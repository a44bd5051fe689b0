/*
 * CPUID: the processor as the guest will see it.
 *
 * KVM tells what it can virtualize of this host's processor; from that list the guest's is made:
 * each vCPU gets its own APIC id, the topology leaves describe one socket with N single-threaded
 * cores, and what bantam doesn't offer is hidden: nested virtualization (VMX, SVM), performance
 * counters, Hyper-V's and Xen's leaves.
 *
 * Source: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst (leaves from 0x40000000).
 */
#ifndef BANTAM_VMM_X86_CPUID_H
#define BANTAM_VMM_X86_CPUID_H

#include <linux/kvm.h>

#include "vmm/error.h"

enum { CPUID_ENTRIES_MAX = 256 };

/* The kernel's struct kvm_cpuid2, whose array has no size there. */
struct cpuid {
	u32 entries;
	u32 padding;
	struct kvm_cpuid_entry2 entry[CPUID_ENTRIES_MAX];
};

/* Asks KVM what it supports. Returns 0, or -1 with err set. */
int cpuid_supported(int kvm_fd, struct cpuid *cpuid, struct error *err);

/* The leaf's entry, or NULL when there is none. */
const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid *cpuid, u32 function, u32 index);

struct cpuid_options {
	unsigned cpus;
	bool tsc_deadline; /* KVM_CAP_TSC_DEADLINE_TIMER: some kernels leave the bit out of the list */
};

/* Turns the supported list into the guest's; what differs from vCPU to vCPU is left for
 * cpuid_set_vcpu(). */
void cpuid_restrict(struct cpuid *cpuid, const struct cpuid_options *options);

/* Both in one: what KVM supports, as a guest with that many vCPUs gets to see it. */
int cpuid_guest(int kvm_fd, unsigned cpus, struct cpuid *cpuid, struct error *err);

/* Fills in what is vCPU `index`'s own: its APIC id. */
void cpuid_set_vcpu(struct cpuid *cpuid, unsigned index);

/* How many bits a guest physical address has on this processor: 36 when it doesn't tell. */
unsigned cpuid_address_bits(const struct cpuid *cpuid);

#endif
