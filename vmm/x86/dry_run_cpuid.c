/*
 * A dry run's view of CPUID as the first vCPU sees it: what it says in words, then the raw leaves.
 * The other vCPUs differ by their APIC ids alone.
 *
 * Source: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst. Feature names are those of Linux's /proc/cpuinfo.
 */
#include <string.h>

#include "vmm/dry_run_parts.h"

enum { LEAF_VENDOR = 0, LEAF_SIGNATURE = 1, LEAF_FEATURES = 7, LEAF_XSAVE = 0xd };
enum { LEAF_TOPOLOGY = 0xb };
#define LEAF_HYPERVISOR   ((u32)0x40000000)
#define LEAF_KVM          ((u32)0x40000001)
#define LEAF_AMD_FEATURES ((u32)0x80000001)
#define LEAF_BRAND        ((u32)0x80000002)
#define LEAF_BRAND_END    ((u32)0x80000004)
#define LEAF_POWER        ((u32)0x80000007)
#define LEAF_SIZES        ((u32)0x80000008)

enum reg { EAX, EBX, ECX, EDX };

/* A register's feature bits, as a list of names by bit. */
struct feature {
	u32 function, index;
	enum reg reg;
	unsigned bit;
	const char *name;
};

static const struct feature features[] = {
	{LEAF_SIGNATURE, 0, EDX, 0, "fpu"},
	{LEAF_SIGNATURE, 0, EDX, 4, "tsc"},
	{LEAF_SIGNATURE, 0, EDX, 5, "msr"},
	{LEAF_SIGNATURE, 0, EDX, 6, "pae"},
	{LEAF_SIGNATURE, 0, EDX, 9, "apic"},
	{LEAF_SIGNATURE, 0, EDX, 12, "mtrr"},
	{LEAF_SIGNATURE, 0, EDX, 13, "pge"},
	{LEAF_SIGNATURE, 0, EDX, 16, "pat"},
	{LEAF_SIGNATURE, 0, EDX, 19, "clflush"},
	{LEAF_SIGNATURE, 0, EDX, 24, "fxsr"},
	{LEAF_SIGNATURE, 0, EDX, 25, "sse"},
	{LEAF_SIGNATURE, 0, EDX, 26, "sse2"},
	{LEAF_SIGNATURE, 0, EDX, 28, "ht"},
	{LEAF_SIGNATURE, 0, ECX, 0, "sse3"},
	{LEAF_SIGNATURE, 0, ECX, 1, "pclmulqdq"},
	{LEAF_SIGNATURE, 0, ECX, 3, "monitor"},
	{LEAF_SIGNATURE, 0, ECX, 5, "vmx"},
	{LEAF_SIGNATURE, 0, ECX, 9, "ssse3"},
	{LEAF_SIGNATURE, 0, ECX, 12, "fma"},
	{LEAF_SIGNATURE, 0, ECX, 13, "cx16"},
	{LEAF_SIGNATURE, 0, ECX, 15, "pdcm"},
	{LEAF_SIGNATURE, 0, ECX, 17, "pcid"},
	{LEAF_SIGNATURE, 0, ECX, 19, "sse4_1"},
	{LEAF_SIGNATURE, 0, ECX, 20, "sse4_2"},
	{LEAF_SIGNATURE, 0, ECX, 21, "x2apic"},
	{LEAF_SIGNATURE, 0, ECX, 22, "movbe"},
	{LEAF_SIGNATURE, 0, ECX, 23, "popcnt"},
	{LEAF_SIGNATURE, 0, ECX, 24, "tsc_deadline_timer"},
	{LEAF_SIGNATURE, 0, ECX, 25, "aes"},
	{LEAF_SIGNATURE, 0, ECX, 26, "xsave"},
	{LEAF_SIGNATURE, 0, ECX, 28, "avx"},
	{LEAF_SIGNATURE, 0, ECX, 29, "f16c"},
	{LEAF_SIGNATURE, 0, ECX, 30, "rdrand"},
	{LEAF_SIGNATURE, 0, ECX, 31, "hypervisor"},
	{LEAF_FEATURES, 0, EBX, 0, "fsgsbase"},
	{LEAF_FEATURES, 0, EBX, 1, "tsc_adjust"},
	{LEAF_FEATURES, 0, EBX, 3, "bmi1"},
	{LEAF_FEATURES, 0, EBX, 5, "avx2"},
	{LEAF_FEATURES, 0, EBX, 7, "smep"},
	{LEAF_FEATURES, 0, EBX, 8, "bmi2"},
	{LEAF_FEATURES, 0, EBX, 9, "erms"},
	{LEAF_FEATURES, 0, EBX, 10, "invpcid"},
	{LEAF_FEATURES, 0, EBX, 16, "avx512f"},
	{LEAF_FEATURES, 0, EBX, 18, "rdseed"},
	{LEAF_FEATURES, 0, EBX, 19, "adx"},
	{LEAF_FEATURES, 0, EBX, 20, "smap"},
	{LEAF_FEATURES, 0, EBX, 23, "clflushopt"},
	{LEAF_FEATURES, 0, EBX, 29, "sha_ni"},
	{LEAF_FEATURES, 0, ECX, 2, "umip"},
	{LEAF_FEATURES, 0, ECX, 3, "pku"},
	{LEAF_FEATURES, 0, ECX, 8, "gfni"},
	{LEAF_FEATURES, 0, ECX, 9, "vaes"},
	{LEAF_FEATURES, 0, ECX, 16, "la57"},
	{LEAF_FEATURES, 0, ECX, 22, "rdpid"},
	{LEAF_FEATURES, 0, EDX, 4, "fsrm"},
	{LEAF_FEATURES, 0, EDX, 10, "md_clear"},
	{LEAF_FEATURES, 0, EDX, 20, "ibt"},
	{LEAF_FEATURES, 0, EDX, 24, "amx_tile"},
	{LEAF_FEATURES, 0, EDX, 26, "spec_ctrl"},
	{LEAF_FEATURES, 0, EDX, 29, "arch_capabilities"},
	{LEAF_FEATURES, 0, EDX, 31, "spec_ctrl_ssbd"},
	{LEAF_XSAVE, 1, EAX, 0, "xsaveopt"},
	{LEAF_XSAVE, 1, EAX, 1, "xsavec"},
	{LEAF_XSAVE, 1, EAX, 3, "xsaves"},
	{LEAF_AMD_FEATURES, 0, EDX, 11, "syscall"},
	{LEAF_AMD_FEATURES, 0, EDX, 20, "nx"},
	{LEAF_AMD_FEATURES, 0, EDX, 26, "pdpe1gb"},
	{LEAF_AMD_FEATURES, 0, EDX, 27, "rdtscp"},
	{LEAF_AMD_FEATURES, 0, EDX, 29, "lm"},
	{LEAF_AMD_FEATURES, 0, ECX, 0, "lahf_lm"},
	{LEAF_AMD_FEATURES, 0, ECX, 2, "svm"},
	{LEAF_AMD_FEATURES, 0, ECX, 5, "abm"},
	{LEAF_AMD_FEATURES, 0, ECX, 6, "sse4a"},
	{LEAF_AMD_FEATURES, 0, ECX, 22, "topoext"},
	{LEAF_POWER, 0, EDX, 8, "constant_tsc"},
};

static const struct feature kvm_features[] = {
	{LEAF_KVM, 0, EAX, 0, "kvmclock"},         {LEAF_KVM, 0, EAX, 1, "nop_io_delay"},
	{LEAF_KVM, 0, EAX, 3, "kvmclock2"},        {LEAF_KVM, 0, EAX, 4, "async_pf"},
	{LEAF_KVM, 0, EAX, 5, "steal_time"},       {LEAF_KVM, 0, EAX, 6, "pv_eoi"},
	{LEAF_KVM, 0, EAX, 7, "pv_unhalt"},        {LEAF_KVM, 0, EAX, 9, "pv_tlb_flush"},
	{LEAF_KVM, 0, EAX, 11, "pv_send_ipi"},     {LEAF_KVM, 0, EAX, 12, "poll_control"},
	{LEAF_KVM, 0, EAX, 13, "pv_sched_yield"},  {LEAF_KVM, 0, EAX, 14, "async_pf_int"},
	{LEAF_KVM, 0, EAX, 15, "msi_ext_dest_id"}, {LEAF_KVM, 0, EAX, 24, "kvmclock_stable"},
};

static const char *leaf_name(u32 function)
{
	static const struct {
		u32 function;
		const char *name;
	} names[] = {
		{0x0, "vendor, highest leaf"},
		{0x1, "signature, features"},
		{0x2, "caches (descriptors)"},
		{0x4, "caches"},
		{0x5, "MONITOR and MWAIT"},
		{0x6, "thermal, power"},
		{0x7, "features"},
		{0xa, "performance counters"},
		{0xb, "topology"},
		{0xd, "XSAVE state"},
		{0x12, "SGX"},
		{0x14, "processor trace"},
		{0x15, "TSC and crystal"},
		{0x16, "frequencies"},
		{0x18, "TLBs"},
		{0x19, "key locker"},
		{0x1d, "AMX tiles"},
		{0x1e, "AMX TMUL"},
		{0x1f, "topology, version 2"},
		{0x24, "AVX10"},
		{0x40000000, "hypervisor"},
		{0x40000001, "KVM features"},
		{0x80000000, "highest extended leaf"},
		{0x80000001, "extended features"},
		{0x80000002, "brand"},
		{0x80000003, "brand"},
		{0x80000004, "brand"},
		{0x80000005, "L1 caches (AMD)"},
		{0x80000006, "L2 and L3 caches"},
		{0x80000007, "power, TSC"},
		{0x80000008, "address sizes"},
		{0x8000000a, "SVM (AMD)"},
		{0x80000019, "TLBs (AMD)"},
		{0x8000001a, "vector units (AMD)"},
		{0x8000001d, "caches (AMD)"},
		{0x8000001e, "topology (AMD)"},
		{0x8000001f, "memory encryption (AMD)"},
		{0x80000021, "features (AMD)"},
		{0x80000022, "counters (AMD)"},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].function == function)
			return names[i].name;
	}
	return "";
}

static const struct kvm_cpuid_entry2 *find(const struct cpuid *cpuid, u32 function, u32 index)
{
	for (u32 i = 0; i < cpuid->entries; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entry[i];

		if (entry->function == function && entry->index == index)
			return entry;
	}
	return NULL;
}

static u32 reg_of(const struct kvm_cpuid_entry2 *entry, enum reg reg)
{
	switch (reg) {
	case EAX:
		return entry->eax;
	case EBX:
		return entry->ebx;
	case ECX:
		return entry->ecx;
	default:
		return entry->edx;
	}
}

/* Twelve letters in three registers. */
static void show_name(struct sheet *sheet, const char *key, u32 first, u32 second, u32 third)
{
	const u32 words[] = {first, second, third};
	char name[sizeof(words) + 1];

	memcpy(name, words, sizeof(words));
	name[sizeof(words)] = '\0';
	sheet_text(sheet, key, name);
}

/* Three leaves of 16 letters each, filled with spaces or NULs. */
static void show_brand(struct sheet *sheet, const struct cpuid *cpuid)
{
	char brand[3 * 16 + 1] = "";
	const char *start = brand;
	size_t used = 0;

	for (u32 leaf = LEAF_BRAND; leaf <= LEAF_BRAND_END; leaf++) {
		const struct kvm_cpuid_entry2 *entry = find(cpuid, leaf, 0);
		const u32 words[] = {entry ? entry->eax : 0, entry ? entry->ebx : 0,
				     entry ? entry->ecx : 0, entry ? entry->edx : 0};

		memcpy(brand + used, words, sizeof(words));
		used += sizeof(words);
	}
	used = strlen(brand);
	while (used > 0 && brand[used - 1] == ' ')
		brand[--used] = '\0';
	while (*start == ' ')
		start++;
	sheet_text(sheet, "brand", start);
}

/* Family and model have an extension each, which counts for some base families only. */
static void show_signature(struct sheet *sheet, const struct kvm_cpuid_entry2 *entry)
{
	const u32 base = entry->eax >> 8 & 0xf;
	const u32 family = base == 0xf ? base + (entry->eax >> 20 & 0xff) : base;
	u32 model = entry->eax >> 4 & 0xf;

	if (base == 0xf || base == 6)
		model |= (entry->eax >> 16 & 0xf) << 4;
	sheet_number(sheet, "family", family, NULL);
	sheet_number(sheet, "model", model, NULL);
	sheet_number(sheet, "stepping", entry->eax & 0xf, NULL);
	sheet_number(sheet, "apic_id", entry->ebx >> 24, "of the first vCPU");
	sheet_number(sheet, "logical_processors", entry->ebx >> 16 & 0xff,
		     "APIC ids in the package");
}

static void show_topology(struct sheet *sheet, const struct cpuid *cpuid)
{
	const struct kvm_cpuid_entry2 *threads = find(cpuid, LEAF_TOPOLOGY, 0);
	const struct kvm_cpuid_entry2 *cores = find(cpuid, LEAF_TOPOLOGY, 1);

	if (!threads || !cores || !(threads->ebx & 0xffff))
		return;
	sheet_number(sheet, "threads_per_core", threads->ebx & 0xffff, NULL);
	sheet_number(sheet, "cores", (cores->ebx & 0xffff) / (threads->ebx & 0xffff), NULL);
}

static void show_features(struct sheet *sheet, const char *key, const struct cpuid *cpuid,
			  const struct feature *feature, size_t count)
{
	sheet_open_list(sheet, key);
	for (; count > 0; count--, feature++) {
		const struct kvm_cpuid_entry2 *entry =
			find(cpuid, feature->function, feature->index);

		if (entry && reg_of(entry, feature->reg) >> feature->bit & 1)
			sheet_item(sheet, feature->name);
	}
	sheet_close_list(sheet);
}

static void show_in_words(struct sheet *sheet, const struct cpuid *cpuid)
{
	const struct kvm_cpuid_entry2 *entry = find(cpuid, LEAF_VENDOR, 0);

	if (entry)
		show_name(sheet, "vendor", entry->ebx, entry->edx, entry->ecx);
	show_brand(sheet, cpuid);
	entry = find(cpuid, LEAF_SIGNATURE, 0);
	if (entry)
		show_signature(sheet, entry);
	show_topology(sheet, cpuid);
	sheet_number(sheet, "physical_address_bits", cpuid_address_bits(cpuid), NULL);
	entry = find(cpuid, LEAF_SIZES, 0);
	if (entry)
		sheet_number(sheet, "linear_address_bits", entry->eax >> 8 & 0xff, NULL);
	entry = find(cpuid, LEAF_HYPERVISOR, 0);
	if (entry)
		show_name(sheet, "hypervisor", entry->ebx, entry->ecx, entry->edx);
	show_features(sheet, "features", cpuid, features, ARRAY_LEN(features));
	show_features(sheet, "kvm_features", cpuid, kvm_features, ARRAY_LEN(kvm_features));
}

static void show_leaves(struct sheet *sheet, const struct cpuid *cpuid)
{
	static const struct sheet_column columns[] = {
		{"leaf", SHEET_HEX, 10}, {"index", SHEET_NUMBER, 5}, {"eax", SHEET_HEX, 10},
		{"ebx", SHEET_HEX, 10},  {"ecx", SHEET_HEX, 10},     {"edx", SHEET_HEX, 10},
		{"name", SHEET_TEXT, 0},
	};

	sheet_open_table(sheet, "leaves", NULL, columns, ARRAY_LEN(columns));
	for (u32 i = 0; i < cpuid->entries && i < CPUID_ENTRIES_MAX; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entry[i];

		sheet_row(sheet, (const struct sheet_cell[]){{.number = entry->function},
							     {.number = entry->index},
							     {.number = entry->eax},
							     {.number = entry->ebx},
							     {.number = entry->ecx},
							     {.number = entry->edx},
							     {.text = leaf_name(entry->function)}});
	}
	sheet_close_table(sheet);
}

void dry_run_cpuid(struct sheet *sheet, const struct dry_run_input *input)
{
	sheet_open(sheet, "cpuid", "CPUID: the processor as the first vCPU sees it");
	if (input->cpuid) {
		show_in_words(sheet, input->cpuid);
		show_leaves(sheet, input->cpuid);
	} else {
		sheet_text(sheet, "unknown", input->cpuid_missing);
	}
	sheet_close(sheet);
}
