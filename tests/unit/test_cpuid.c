/*
 * vmm/x86/cpuid.c: what becomes of a host's list. The lists are made up after an Intel and an AMD
 * server, with every bit set in the registers that bantam touches, so that a bit that it should
 * leave alone and doesn't shows as well as one that it should hide.
 */
#include "tests/unit/test.h"

#include "vmm/types.h"
#include "vmm/x86/cpuid.h"

static const unsigned counts[] = {1, 2, 3, 4, 254};

static void add(struct cpuid *cpuid, u32 function, u32 index, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	const bool indexed = function == 4 || function == 0xb || function == 0x1f ||
			     function == 0xd || function == 0x8000001d;

	assert_true(cpuid->entries < CPUID_ENTRIES_MAX);
	cpuid->entry[cpuid->entries++] = (struct kvm_cpuid_entry2){
		.function = function,
		.index = index,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = eax,
		.ebx = ebx,
		.ecx = ecx,
		.edx = edx,
	};
}

static const u32 ALL = 0xffffffff;

/* Leaves 0xb and 0x1f have their first level alone, as KVM lists them since Linux 6.2. */
static void make_intel(struct cpuid *cpuid)
{
	*cpuid = (struct cpuid){0};
	add(cpuid, 0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	add(cpuid, 1, 0, 0x000606a6, 0x0f400800, ALL & ~(1U << 24), ALL);
	add(cpuid, 4, 0, 0xfc004121, 0x02c0003f, 63, 0);     /* L1 data */
	add(cpuid, 4, 1, 0xfc004122, 0x01c0003f, 63, 0);     /* L1 code */
	add(cpuid, 4, 2, 0xfc004143, 0x04c0003f, 1023, 0);   /* L2 */
	add(cpuid, 4, 3, 0xfc1fc163, 0x02c0003f, 0xbfff, 4); /* L3 */
	add(cpuid, 4, 4, 0, 0, 0, 0);
	add(cpuid, 7, 0, 2, ALL, ALL, ALL);
	add(cpuid, 0xa, 0, 0x08300805, 0, 0xf, 0x8604);
	add(cpuid, 0xb, 0, 1, 2, 0x100, 0x55);
	add(cpuid, 0xd, 0, 0x207, 0x340, 0x988, 0);
	add(cpuid, 0x1f, 0, 1, 2, 0x100, 0x55);
	add(cpuid, 0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	add(cpuid, 0x40000001, 0, 0x01007efb, 0, 0, 1);
	add(cpuid, 0x40000010, 0, 2400000, 1000000, 0, 0);
	add(cpuid, 0x40000100, 0, 0x40000101, 0x566e6558, 0x65584d4d, 0x4d4d566e); /* Xen */
	add(cpuid, 0x4fffffff, 0, 1, 1, 1, 1);
	add(cpuid, 0x80000000, 0, 0x80000008, 0, 0, 0);
	add(cpuid, 0x80000001, 0, 0, 0, 0x121, 0x2c100800);
	add(cpuid, 0x80000008, 0, 0x00003934, 0x200, 0, 0);
}

static void make_amd(struct cpuid *cpuid)
{
	*cpuid = (struct cpuid){0};
	add(cpuid, 0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	add(cpuid, 1, 0, 0x00a20f10, 0x0c100800, ALL, ALL);
	add(cpuid, 0xb, 0, 1, 2, 0x100, 0x0c);
	add(cpuid, 0xb, 1, 5, 16, 0x201, 0x0c);
	add(cpuid, 0xd, 0, 0x207, 0x340, 0x988, 0);
	add(cpuid, 0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	add(cpuid, 0x40000001, 0, 0x01007efb, 0, 0, 0);
	add(cpuid, 0x40000002, 0, 1, 2, 3, 4);
	add(cpuid, 0x80000000, 0, 0x80000022, 0x68747541, 0x444d4163, 0x69746e65);
	add(cpuid, 0x80000001, 0, 0x00a20f10, 0x20000000, ALL & ~2U, ALL);
	add(cpuid, 0x80000008, 0, 0x00003030, 0x111ef657, 0x0000700f, 0x00010007);
	add(cpuid, 0x8000000a, 0, 1, 0x8000, 0, 0x119b9cff);
	add(cpuid, 0x8000001d, 0, 0x00004121, 0x01c0003f, 63, 0);
	add(cpuid, 0x8000001d, 1, 0x00004122, 0x01c0003f, 63, 0);
	add(cpuid, 0x8000001d, 2, 0x00004143, 0x01c0003f, 1023, 2);
	add(cpuid, 0x8000001d, 3, 0x0003c163, 0x03c0003f, 0x7fff, 1);
	add(cpuid, 0x8000001d, 4, 0, 0, 0, 0);
	add(cpuid, 0x8000001e, 0, 0x0c, 0x106, 0x100, 0);
	add(cpuid, 0x80000022, 0, 7, 0x106, 0, 0);
}

static const struct kvm_cpuid_entry2 *look_up(const struct cpuid *cpuid, u32 function, u32 index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (u32 i = 0; i < cpuid->entries; i++) {
		if (cpuid->entry[i].function != function || cpuid->entry[i].index != index)
			continue;
		assert_null(found); /* an entry is there once */
		found = &cpuid->entry[i];
	}
	return found;
}

static const struct kvm_cpuid_entry2 *get(const struct cpuid *cpuid, u32 function, u32 index)
{
	const struct kvm_cpuid_entry2 *entry = look_up(cpuid, function, index);

	if (!entry)
		fail_msg("no entry 0x%x.%u", function, index);
	return entry;
}

/* The smallest power of two that isn't smaller: how much room `cpus` APIC ids take. */
static unsigned rounded(unsigned cpus)
{
	unsigned power = 1;

	while (power < cpus)
		power *= 2;
	return power;
}

typedef void (*maker)(struct cpuid *cpuid);
static const maker makers[] = {make_intel, make_amd};

static void restrict_for(struct cpuid *cpuid, maker make, unsigned cpus)
{
	const struct cpuid_options options = {.cpus = cpus, .tsc_deadline = true};

	make(cpuid);
	cpuid_restrict(cpuid, &options);
}

static void test_hidden_features(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(makers); m++) {
		struct cpuid cpuid;
		u32 ecx;

		restrict_for(&cpuid, makers[m], 4);
		ecx = get(&cpuid, 1, 0)->ecx;
		assert_int_equal(ecx & 1U << 5, 0);              /* VMX */
		assert_int_equal(ecx & 1U << 15, 0);             /* PDCM */
		assert_int_equal(ecx & 1U << 31, 1U << 31);      /* hypervisor */
		assert_int_equal(ecx | 1U << 5 | 1U << 15, ALL); /* the rest is as it was */
	}
}

static void test_hidden_leaves_of_intel(void **state)
{
	struct cpuid cpuid;
	const struct kvm_cpuid_entry2 *entry;

	(void)state;
	restrict_for(&cpuid, make_intel, 2);
	entry = get(&cpuid, 0xa, 0); /* no performance counters: version 0 */
	assert_int_equal(entry->eax | entry->ebx | entry->ecx | entry->edx, 0);
	entry = get(&cpuid, 0x80000001, 0); /* bit 1 of ECX is AMD's alone */
	assert_int_equal(entry->ecx, 0x121);
	assert_int_equal(entry->edx, 0x2c100800);
	entry = get(&cpuid, 7, 0);
	assert_int_equal(entry->ebx & entry->ecx & entry->edx, ALL);
}

static void test_hidden_leaves_of_amd(void **state)
{
	static const u32 cleared[] = {0x8000000a, 0x80000022};
	struct cpuid cpuid;

	(void)state;
	restrict_for(&cpuid, make_amd, 2);
	for (size_t i = 0; i < ARRAY_LEN(cleared); i++) {
		const struct kvm_cpuid_entry2 *entry = get(&cpuid, cleared[i], 0);

		assert_int_equal(entry->eax | entry->ebx | entry->ecx | entry->edx, 0);
	}
	/* SVM and the counters are gone, CmpLegacy is there. */
	assert_int_equal(get(&cpuid, 0x80000001, 0)->ecx,
			 ALL & ~(1U << 2 | 1U << 23 | 1U << 24 | 1U << 28));
	assert_int_equal(get(&cpuid, 0x80000001, 0)->edx, ALL);
}

static void test_other_hypervisors_are_hidden(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(makers); m++) {
		struct cpuid cpuid;

		restrict_for(&cpuid, makers[m], 1);
		assert_int_equal(get(&cpuid, 0x40000000, 0)->ebx, 0x4b4d564b);
		assert_int_equal(get(&cpuid, 0x40000001, 0)->eax, 0x01007efb);
		for (u32 i = 0; i < cpuid.entries; i++) {
			const u32 function = cpuid.entry[i].function;

			assert_false(function > 0x40000001 && function < 0x80000000);
		}
		(void)get(&cpuid, 0x80000000, 0);
		(void)get(&cpuid, 0x80000008, 0);
	}
}

static void test_tsc_deadline(void **state)
{
	struct cpuid cpuid;
	struct cpuid_options options = {.cpus = 1};

	(void)state;
	make_intel(&cpuid); /* some kernels leave the bit out of the list */
	cpuid_restrict(&cpuid, &options);
	assert_int_equal(get(&cpuid, 1, 0)->ecx & 1U << 24, 0);
	options.tsc_deadline = true;
	cpuid_restrict(&cpuid, &options);
	assert_int_equal(get(&cpuid, 1, 0)->ecx & 1U << 24, 1U << 24);
}

static void test_leaf_1_counts_processors(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(makers); m++) {
		for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
			const unsigned cpus = counts[c];
			const struct kvm_cpuid_entry2 *entry;
			struct cpuid cpuid;
			u32 logical;

			restrict_for(&cpuid, makers[m], cpus);
			entry = get(&cpuid, 1, 0);
			/* HTT: more than one; EBX 23:16: how many, rounded up or not. */
			assert_int_equal(entry->edx >> 28 & 1, cpus > 1);
			logical = entry->ebx >> 16 & 0xff;
			assert_in_range(logical, cpus, rounded(cpus));
			assert_int_equal(entry->ebx & 0xffff, 0x0800);
			assert_int_equal(entry->edx | 1U << 28, ALL);
		}
	}
}

static void test_apic_ids(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(makers); m++) {
		for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
			struct cpuid cpuid, before;

			restrict_for(&cpuid, makers[m], counts[c]);
			before = cpuid;
			for (u32 id = 0; id < counts[c]; id++) {
				cpuid_set_vcpu(&cpuid, id);
				assert_int_equal(get(&cpuid, 1, 0)->ebx >> 24, id);
				assert_int_equal(get(&cpuid, 1, 0)->ebx & 0xffffff,
						 get(&before, 1, 0)->ebx & 0xffffff);
				for (u32 level = 0; level <= 2; level++)
					assert_int_equal(get(&cpuid, 0xb, level)->edx, id);
				if (look_up(&cpuid, 0x1f, 0))
					assert_int_equal(get(&cpuid, 0x1f, 0)->edx, id);
				if (makers[m] != make_amd)
					continue;
				assert_int_equal(get(&cpuid, 0x8000001e, 0)->eax, id);
				assert_int_equal(get(&cpuid, 0x8000001e, 0)->ebx, id);
				assert_int_equal(get(&cpuid, 0x8000001e, 0)->ecx, 0);
			}
			assert_int_equal(cpuid.entries, before.entries);
		}
	}
}

/* Level 0: threads, one a core; level 1: cores; level 2: the end. */
static void check_topology(const struct cpuid *cpuid, u32 leaf, unsigned cpus)
{
	const struct kvm_cpuid_entry2 *entry = get(cpuid, leaf, 0);

	assert_int_equal(entry->eax, 0);
	assert_int_equal(entry->ebx, 1);
	assert_int_equal(entry->ecx, 0x100);
	entry = get(cpuid, leaf, 1);
	assert_int_equal(1U << entry->eax, rounded(cpus));
	assert_int_equal(entry->ebx, cpus);
	assert_int_equal(entry->ecx, 0x201);
	entry = get(cpuid, leaf, 2);
	assert_int_equal(entry->eax, 0);
	assert_int_equal(entry->ebx, 0);
	assert_int_equal(entry->ecx, 0x002);
	for (u32 level = 0; level <= 2; level++)
		assert_int_equal(get(cpuid, leaf, level)->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
				 KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
}

static void test_topology(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(makers); m++) {
		for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
			struct cpuid cpuid;

			restrict_for(&cpuid, makers[m], counts[c]);
			check_topology(&cpuid, 0xb, counts[c]);
		}
	}
}

/*
 * Kernels prefer leaf 0x1f to 0xb where its first level is valid. It must then be as complete, or
 * each processor is a socket of its own.
 */
static void test_topology_v2_is_complete_or_invalid(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		const struct kvm_cpuid_entry2 *first;
		struct cpuid cpuid;

		restrict_for(&cpuid, make_intel, counts[c]);
		first = look_up(&cpuid, 0x1f, 0);
		if (first && first->ebx)
			check_topology(&cpuid, 0x1f, counts[c]);
	}
}

static void test_no_topology_leaf_for_old_processors(void **state)
{
	struct cpuid cpuid = {0};
	const struct cpuid_options options = {.cpus = 4};

	(void)state;
	add(&cpuid, 0, 0, 0xa, 1, 2, 3);
	cpuid_restrict(&cpuid, &options);
	assert_int_equal(cpuid.entries, 1);
	cpuid.entries = 0;
	cpuid_restrict(&cpuid, &options);
	assert_int_equal(cpuid.entries, 0);
}

static void check_caches(const struct cpuid *cpuid, u32 leaf, unsigned cpus, bool counts_cores)
{
	for (u32 index = 0; index < 4; index++) {
		const struct kvm_cpuid_entry2 *entry = get(cpuid, leaf, index);
		const u32 sharing = (entry->eax >> 14 & 0xfff) + 1, cores = (entry->eax >> 26) + 1;

		/* L1 and L2 are a core's own; L3 is the socket's. */
		assert_int_equal(sharing, index < 3 ? 1 : rounded(cpus));
		if (counts_cores) /* six bits: 64 at most */
			assert_int_equal(cores, rounded(cpus) < 64 ? rounded(cpus) : 64);
		else
			assert_int_equal(entry->eax >> 26, 0);
		assert_int_equal(entry->eax & 0x1f, index == 0 ? 1 : index == 1 ? 2 : 3);
		assert_int_equal(entry->eax >> 5 & 7, index == 0 ? 1 : index);
	}
	assert_int_equal(get(cpuid, leaf, 4)->eax, 0); /* the end of the list stays one */
}

static void test_caches(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		struct cpuid cpuid;

		restrict_for(&cpuid, make_intel, counts[c]);
		check_caches(&cpuid, 4, counts[c], true);
		assert_int_equal(get(&cpuid, 4, 3)->ebx, 0x02c0003f);
		restrict_for(&cpuid, make_amd, counts[c]);
		check_caches(&cpuid, 0x8000001d, counts[c], false);
	}
}

static void test_amd_counts_cores(void **state)
{
	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
		const unsigned cpus = counts[c];
		struct cpuid cpuid;
		u32 ecx;

		restrict_for(&cpuid, make_amd, cpus);
		assert_int_equal(get(&cpuid, 0x80000001, 0)->ecx >> 1 & 1, cpus > 1);
		ecx = get(&cpuid, 0x80000008, 0)->ecx;
		assert_int_equal((ecx & 0xff) + 1, cpus);
		assert_int_equal(1U << (ecx >> 12 & 0xf), rounded(cpus));
		assert_int_equal(get(&cpuid, 0x80000008, 0)->eax, 0x3030);
		assert_int_equal(get(&cpuid, 0x80000008, 0)->ebx, 0x111ef657);
	}
}

static void test_a_full_list_does_not_overflow(void **state)
{
	struct {
		struct cpuid cpuid;
		u8 canary[64];
	} guarded = {0};
	const struct cpuid_options options = {.cpus = 4, .tsc_deadline = true};

	(void)state;
	memset(guarded.canary, 0xa5, sizeof(guarded.canary));
	for (u32 used = CPUID_ENTRIES_MAX - 4; used <= CPUID_ENTRIES_MAX; used++) {
		guarded.cpuid = (struct cpuid){0};
		add(&guarded.cpuid, 0, 0, 0x1f, 0, 0, 0);
		add(&guarded.cpuid, 1, 0, 0, 0, 0, 0);
		while (guarded.cpuid.entries < used)
			add(&guarded.cpuid, 0xd, guarded.cpuid.entries, 1, 2, 3, 4);
		cpuid_restrict(&guarded.cpuid, &options);
		assert_true(guarded.cpuid.entries <= CPUID_ENTRIES_MAX);
		assert_true(guarded.cpuid.entries >= used);
		for (size_t i = 0; i < sizeof(guarded.canary); i++)
			assert_int_equal(guarded.canary[i], 0xa5);
		assert_int_equal(get(&guarded.cpuid, 0xd, used - 1)->edx, 4);
	}
}

static void test_address_bits(void **state)
{
	struct cpuid cpuid;

	(void)state;
	make_intel(&cpuid);
	assert_int_equal(cpuid_address_bits(&cpuid), 0x34);
	make_amd(&cpuid);
	assert_int_equal(cpuid_address_bits(&cpuid), 0x30);
	cpuid = (struct cpuid){0};
	assert_int_equal(cpuid_address_bits(&cpuid), 36);
	add(&cpuid, 0x80000008, 0, 0x002e3934, 0, 0, 0); /* the guest's own width counts */
	assert_int_equal(cpuid_address_bits(&cpuid), 46);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hidden_features),
		cmocka_unit_test(test_hidden_leaves_of_intel),
		cmocka_unit_test(test_hidden_leaves_of_amd),
		cmocka_unit_test(test_other_hypervisors_are_hidden),
		cmocka_unit_test(test_tsc_deadline),
		cmocka_unit_test(test_leaf_1_counts_processors),
		cmocka_unit_test(test_apic_ids),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_topology_v2_is_complete_or_invalid),
		cmocka_unit_test(test_no_topology_leaf_for_old_processors),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_amd_counts_cores),
		cmocka_unit_test(test_a_full_list_does_not_overflow),
		cmocka_unit_test(test_address_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
