/*
 * CPUID: see cpuid.h.
 */
#include "vmm/x86/cpuid.h"

#include <string.h>

#include "vmm/kvm.h"

#define BIT(n) ((u32)1 << (n))

/* Leaves, and the bits in them that bantam has an opinion on. */
enum {
	LEAF_HIGHEST = 0x0,
	LEAF_FEATURES = 0x1,
	LEAF_CACHES = 0x4,
	LEAF_PERFORMANCE = 0xa,
	LEAF_TOPOLOGY = 0xb,
	LEAF_TOPOLOGY_V2 = 0x1f,
};
#define LEAF_KVM_FEATURES ((u32)0x40000001)
#define LEAF_HV_LAST      ((u32)0x4fffffff)
#define LEAF_AMD_FEATURES ((u32)0x80000001)
#define LEAF_AMD_SIZES    ((u32)0x80000008)
#define LEAF_AMD_SVM      ((u32)0x8000000a)
#define LEAF_AMD_CACHES   ((u32)0x8000001d)
#define LEAF_AMD_TOPOLOGY ((u32)0x8000001e)
#define LEAF_AMD_COUNTERS ((u32)0x80000022)

#define FEATURES_ECX_VMX          BIT(5)
#define FEATURES_ECX_PDCM         BIT(15) /* the MSR that describes performance counters */
#define FEATURES_ECX_TSC_DEADLINE BIT(24)
#define FEATURES_ECX_HYPERVISOR   BIT(31)
#define FEATURES_EDX_HTT          BIT(28) /* more than one logical processor in the package */
#define AMD_ECX_LEGACY_CORES      BIT(1)  /* CmpLegacy: leaf 1 counts cores, not threads */
#define AMD_ECX_SVM               BIT(2)
#define AMD_ECX_COUNTERS          BIT(23)
#define AMD_ECX_COUNTERS_NB       BIT(24)
#define AMD_ECX_COUNTERS_LLC      BIT(28)

/* The first four letters of the vendor's name, EBX of leaf 0. */
#define VENDOR_AMD   ((u32)0x68747541) /* "Auth" of AuthenticAMD */
#define VENDOR_HYGON ((u32)0x6f677948) /* "Hygo" of HygonGenuine */

enum { TOPOLOGY_END = 0, TOPOLOGY_THREAD = 1, TOPOLOGY_CORE = 2 };

_Static_assert(offsetof(struct cpuid, entry) == offsetof(struct kvm_cpuid2, entries),
	       "the kernel reads and writes it");

int cpuid_supported(int kvm_fd, struct cpuid *cpuid, struct error *err)
{
	memset(cpuid, 0, sizeof(*cpuid));
	cpuid->entries = CPUID_ENTRIES_MAX;
	if (kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return error_errno(err, "KVM doesn't tell which processor features it supports");
	return 0;
}

const struct kvm_cpuid_entry2 *cpuid_find(const struct cpuid *cpuid, u32 function, u32 index)
{
	for (u32 i = 0; i < cpuid->entries; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entry[i];

		if (entry->function == function && entry->index == index)
			return entry;
	}
	return NULL;
}

/* The smallest n with 2^n >= count: how many bits of an APIC id number that many. */
static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;

	while (((unsigned)1 << bits) < count)
		bits++;
	return bits;
}

/*
 * A level of leaf 0xb or 0x1f. EAX: how many low bits of the x2APIC id to drop to come to the next
 * level; EBX: logical processors at this level; ECX: the level's number and kind. EDX, the id, is
 * each vCPU's own.
 */
static void set_topology(struct kvm_cpuid_entry2 *entry, unsigned cpus)
{
	static const u32 kinds[] = {TOPOLOGY_THREAD, TOPOLOGY_CORE};
	const u32 level = entry->index;

	entry->eax = level == 1 ? bits_for(cpus) : 0;
	entry->ebx = level == 0 ? 1 : level == 1 ? cpus : 0;
	entry->ecx = level | (level < ARRAY_LEN(kinds) ? kinds[level] : TOPOLOGY_END) << 8;
}

/* Intel's leaf 4 and AMD's 0x8000001d: how many processors share a cache, and how many cores
 * there are. Levels 1 and 2 belong to a core, level 3 to the package. */
static void set_cache(struct kvm_cpuid_entry2 *entry, unsigned cpus)
{
	const u32 kind = entry->eax & 0x1f;
	const u32 level = (entry->eax >> 5) & 0x7;
	const u32 sharing = level >= 3 ? ((u32)1 << bits_for(cpus)) - 1 : 0;

	if (kind == 0)
		return;
	entry->eax = (entry->eax & 0x3fff) | sharing << 14;
	if (entry->function == LEAF_CACHES)
		entry->eax |= (((u32)1 << bits_for(cpus)) - 1) << 26;
}

static void set_features(struct kvm_cpuid_entry2 *entry, const struct cpuid_options *options)
{
	const u32 room = (u32)1 << bits_for(options->cpus);

	entry->ecx &= ~(FEATURES_ECX_VMX | FEATURES_ECX_PDCM);
	entry->ecx |= FEATURES_ECX_HYPERVISOR;
	if (options->tsc_deadline)
		entry->ecx |= FEATURES_ECX_TSC_DEADLINE;
	entry->edx = (entry->edx & ~FEATURES_EDX_HTT) | (options->cpus > 1 ? FEATURES_EDX_HTT : 0);
	/* How many APIC ids there is room for, in eight bits: 255 stands for 256. */
	entry->ebx = (entry->ebx & 0x0000ffff) | (room > 255 ? 255 : room) << 16;
}

static void set_amd_features(struct kvm_cpuid_entry2 *entry, bool amd, unsigned cpus)
{
	entry->ecx &= ~(AMD_ECX_SVM | AMD_ECX_COUNTERS | AMD_ECX_COUNTERS_NB |
			AMD_ECX_COUNTERS_LLC | AMD_ECX_LEGACY_CORES);
	if (amd && cpus > 1)
		entry->ecx |= AMD_ECX_LEGACY_CORES;
}

static void restrict_entry(struct kvm_cpuid_entry2 *entry, bool amd,
			   const struct cpuid_options *options)
{
	const unsigned cpus = options->cpus;

	switch (entry->function) {
	case LEAF_FEATURES:
		set_features(entry, options);
		break;
	case LEAF_CACHES:
	case LEAF_AMD_CACHES:
		set_cache(entry, cpus);
		break;
	case LEAF_PERFORMANCE:
	case LEAF_AMD_SVM:
	case LEAF_AMD_COUNTERS:
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_V2:
		set_topology(entry, cpus);
		break;
	case LEAF_AMD_FEATURES:
		set_amd_features(entry, amd, cpus);
		break;
	case LEAF_AMD_SIZES:
		if (!amd)
			break;
		/* ECX: cores minus one, and how many bits of the APIC id number them. */
		entry->ecx = (entry->ecx & ~(u32)0xf0ff) | (cpus - 1) | bits_for(cpus) << 12;
		break;
	case LEAF_AMD_TOPOLOGY:
		/* EBX: one thread a core; ECX: one node a package. The ids are the vCPU's own. */
		entry->ebx = entry->ecx = 0;
		break;
	default:
		break;
	}
}

/* A topology leaf must have both levels and the end; KVM's list may stop at the first. */
static void complete_topology(struct cpuid *cpuid, u32 leaf, unsigned cpus)
{
	for (u32 level = 0; level <= 2; level++) {
		struct kvm_cpuid_entry2 *entry;

		if (cpuid_find(cpuid, leaf, level) || cpuid->entries == CPUID_ENTRIES_MAX)
			continue;
		entry = &cpuid->entry[cpuid->entries++];
		*entry = (struct kvm_cpuid_entry2){
			.function = leaf, .index = level, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
		set_topology(entry, cpus);
	}
}

void cpuid_restrict(struct cpuid *cpuid, const struct cpuid_options *options)
{
	const struct kvm_cpuid_entry2 *first = cpuid_find(cpuid, LEAF_HIGHEST, 0);
	const bool amd = first && (first->ebx == VENDOR_AMD || first->ebx == VENDOR_HYGON);
	const u32 highest = first ? first->eax : 0;
	u32 kept = 0;

	for (u32 i = 0; i < cpuid->entries; i++) {
		const u32 function = cpuid->entry[i].function;

		/* Another hypervisor's would say that the guest runs on Hyper-V or Xen. */
		if (function > LEAF_KVM_FEATURES && function <= LEAF_HV_LAST)
			continue;
		cpuid->entry[kept] = cpuid->entry[i];
		restrict_entry(&cpuid->entry[kept], amd, options);
		kept++;
	}
	cpuid->entries = kept;
	if (highest >= LEAF_TOPOLOGY)
		complete_topology(cpuid, LEAF_TOPOLOGY, options->cpus);
	if (cpuid_find(cpuid, LEAF_TOPOLOGY_V2, 0))
		complete_topology(cpuid, LEAF_TOPOLOGY_V2, options->cpus);
}

int cpuid_guest(int kvm_fd, unsigned cpus, struct cpuid *cpuid, struct error *err)
{
	const struct cpuid_options options = {
		.cpus = cpus,
		.tsc_deadline = kvm_capability(kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER),
	};

	if (cpuid_supported(kvm_fd, cpuid, err))
		return -1;
	cpuid_restrict(cpuid, &options);
	return 0;
}

void cpuid_set_vcpu(struct cpuid *cpuid, unsigned index)
{
	for (u32 i = 0; i < cpuid->entries; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entry[i];

		switch (entry->function) {
		case LEAF_FEATURES:
			entry->ebx = (entry->ebx & 0x00ffffff) | index << 24;
			break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY_V2:
			entry->edx = index;
			break;
		case LEAF_AMD_TOPOLOGY:
			entry->eax = index;
			entry->ebx = (entry->ebx & ~(u32)0xff) | index;
			break;
		default:
			break;
		}
	}
}

unsigned cpuid_address_bits(const struct cpuid *cpuid)
{
	const struct kvm_cpuid_entry2 *sizes = cpuid_find(cpuid, LEAF_AMD_SIZES, 0);
	/* Bits 23:16, if set, are the guest's width where it differs from the host's. */
	const u32 guest_bits = sizes ? (sizes->eax >> 16) & 0xff : 0;

	if (!sizes)
		return 36;
	return guest_bits ? guest_bits : sizes->eax & 0xff;
}
