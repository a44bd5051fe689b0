/*
 * A dry run's view of CPUID as the first vCPU sees it: the features by their names, then the raw
 * leaves. The other vCPUs differ by their APIC ids alone.
 *
 * Source: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst. Feature names are those of Linux's /proc/cpuinfo.
 */
#include <string.h>

#include "vmm/dry_run.h"

enum { EAX, EBX, ECX, EDX };
enum { FEATURES_BYTES = 3072 };

#define LEAF_KVM ((u32)0x40000001)

/* The names of a register's bits from bit 0 on; '-' is for one that isn't named here. */
static const struct feature_word {
	u32 leaf, index;
	unsigned reg;
	const char *names;
} feature_words[] = {
	{0x1, 0, EDX,
	 "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - "
	 "dts acpi mmx fxsr sse sse2 ss ht tm - pbe"},
	{0x1, 0, ECX,
	 "sse3 pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - "
	 "pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c "
	 "rdrand hypervisor"},
	{0x7, 0, EBX,
	 "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm - - mpx - avx512f "
	 "avx512dq rdseed adx smap - - clflushopt clwb intel_pt - - - sha_ni avx512bw avx512vl"},
	{0x7, 0, ECX, "- - umip pku - waitpkg - shstk gfni vaes - - - - - - la57 - - - - - rdpid"},
	{0x7, 0, EDX,
	 "- - - - fsrm - - - - - md_clear - - - serialize - - - - - ibt - - - amx_tile - spec_ctrl "
	 "stibp flush_l1d arch_capabilities - spec_ctrl_ssbd"},
	{0xd, 1, EAX, "xsaveopt xsavec xgetbv1 xsaves"},
	{0x80000001, 0, EDX,
	 "- - - - - - - - - - - syscall - - - - - - - - nx - - - - - pdpe1gb rdtscp - lm"},
	{0x80000001, 0, ECX, "lahf_lm - svm - - abm sse4a - 3dnowprefetch"},
	{0x80000007, 0, EDX, "- - - - - - - - constant_tsc"},
	{LEAF_KVM, 0, EAX,
	 "kvmclock nop_io_delay - kvmclock2 async_pf steal_time pv_eoi pv_unhalt - pv_tlb_flush - "
	 "pv_send_ipi poll_control pv_sched_yield async_pf_int msi_ext_dest_id - - - - - - - - "
	 "kvmclock_stable"},
};

/* Lists the names of all bits that are set, KVM's own or the processor's. */
static void show_features(struct sheet *sheet, const char *key, const struct cpuid *cpuid, bool kvm)
{
	char list[FEATURES_BYTES] = "";
	size_t used = 0;

	for (size_t i = 0; i < ARRAY_LEN(feature_words); i++) {
		const struct feature_word *word = &feature_words[i];
		const struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, word->leaf, word->index);
		const char *name = word->names;
		u32 value;

		if (!entry || (word->leaf == LEAF_KVM) != kvm)
			continue;
		value = (const u32[]){entry->eax, entry->ebx, entry->ecx, entry->edx}[word->reg];
		for (; *name; value >>= 1) {
			const size_t length = strcspn(name, " ");

			if (value & 1 && *name != '-')
				used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%.*s",
							 used ? " " : "", (int)length, name);
			name += length + (name[length] == ' ');
		}
	}
	sheet_fact(sheet, key, TEXT(list));
}

void dry_run_cpuid(struct sheet *sheet, const struct dry_run_input *input)
{
	static const struct column columns[] = {{"leaf", 10}, {"index", 5}, {"eax", 10},
						{"ebx", 10},  {"ecx", 10},  {"edx", 0}};
	const struct cpuid *cpuid = input->cpuid;

	sheet_open(sheet, "cpuid", "the processor as the first vCPU sees it", NULL);
	if (!cpuid) {
		sheet_fact(sheet, "unknown", TEXT(input->cpuid_missing));
		return;
	}
	show_features(sheet, "features", cpuid, false);
	show_features(sheet, "kvm_features", cpuid, true);
	sheet_open(sheet, "cpuid_leaves", "as the CPUID instruction returns them", columns);
	for (u32 i = 0; i < cpuid->entries && i < CPUID_ENTRIES_MAX; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entry[i];

		sheet_row(sheet, HEX(entry->function), COUNT(entry->index), HEX(entry->eax),
			  HEX(entry->ebx), HEX(entry->ecx), HEX(entry->edx));
	}
}
