/*
 * cpuid - the CPU as the guest sees it. The host's CPUID is not simply passed on: KVM says what it
 * can do, the monitor cuts that down and fills in what is different for each vCPU (its APIC id, the
 * topology), hides what it does not offer (nested virtualization), and signs it (leaf 0x40000000).
 */
#include "lib/lib.h"

#define MSR_MTRR_DEF_TYPE 0x2ff
#define MAX_LEVELS        8

static bool bit(u32 v, unsigned n)
{
	return v >> n & 1;
}

static void topology(u32 leaf)
{
	for (u32 i = 0; i < MAX_LEVELS; i++) {
		struct cpuid c = cpuid(leaf, i);

		if (!(c.ecx >> 8 & 0xff)) /* level type 0: no further level */
			break;
		print("leaf %x level %u type %u shift %u cpus %u x2apic id %u\n", leaf, i,
		      c.ecx >> 8 & 0xff, c.eax & 0x1f, c.ebx & 0xffff, c.edx);
	}
}

void guest_main(void)
{
	struct cpuid c = cpuid(0, 0), extended = cpuid(0x80000000, 0);
	u32 max = c.eax, signature[4] = {c.ebx, c.edx, c.ecx, 0};

	print("max leaf %x extended %x vendor %s\n", max, extended.eax, (const char *)signature);
	c = cpuid(1, 0);
	print("signature %x apic id %u logical cpus %u htt %u\n", c.eax, c.ebx >> 24,
	      c.ebx >> 16 & 0xff, bit(c.edx, 28));
	print("hypervisor %u x2apic %u tsc-deadline %u vmx %u mtrr %u tsc %u apic %u\n",
	      bit(c.ecx, 31), bit(c.ecx, 21), bit(c.ecx, 24), bit(c.ecx, 5), bit(c.edx, 12),
	      bit(c.edx, 4), bit(c.edx, 9));
	print("local apic id %u version %x\n", lapic_id(), lapic_read(LAPIC_VERSION));
	if (bit(c.edx, 12)) {
		u64 v = rdmsr(MSR_MTRR_DEF_TYPE);

		print("mtrr enabled %u default type %lu\n", (u32)(v >> 11 & 1), v & 0xff);
	}
	if (bit(c.ecx, 31)) {
		struct cpuid h = cpuid(0x40000000, 0);
		u32 name[4] = {h.ebx, h.ecx, h.edx, 0};

		print("hypervisor leaf %x signature %s features %x\n", h.eax, (const char *)name,
		      cpuid(0x40000001, 0).eax);
	}
	if (extended.eax >= 0x80000001) {
		c = cpuid(0x80000001, 0);
		print("svm %u long mode %u nx %u gib pages %u\n", bit(c.ecx, 2), bit(c.edx, 29),
		      bit(c.edx, 20), bit(c.edx, 26));
	}
	if (extended.eax >= 0x80000008) {
		c = cpuid(0x80000008, 0);
		print("physical bits %u linear bits %u\n", c.eax & 0xff, c.eax >> 8 & 0xff);
	}
	if (max >= 0xb)
		topology(0xb);
	if (max >= 0x1f)
		topology(0x1f);
}
