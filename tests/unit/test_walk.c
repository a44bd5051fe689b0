/*
 * vmm/x86/walk.c on page tables made by hand: each of x86's formats, pages of each size, entries
 * that aren't present, tables that aren't in RAM. Guest memory is a megabyte, and another at 4 GiB.
 */
#include "tests/unit/test.h"

#include "tests/unit/support.h"
#include "vmm/x86/walk.h"

enum { PRESENT = 0x01, WRITE = 0x02, PS = 0x80, ROOT = 0x10000, TABLE_BYTES = 0x1000 };
enum { RAM_BYTES = 0x100000 };

#define CR0_PE     ((u64)1)
#define CR0_PG     ((u64)1 << 31)
#define CR4_PSE    ((u64)1 << 4)
#define CR4_PAE    ((u64)1 << 5)
#define CR4_LA57   ((u64)1 << 12)
#define EFER_LMA   ((u64)1 << 10)
#define NO_EXECUTE ((u64)1 << 63)

/* Addresses with another index at each level: (2,) 3, 7, 9 and 5 from the top. */
#define ADDRESS_4 (((u64)3 << 39) | ((u64)7 << 30) | ((u64)9 << 21) | ((u64)5 << 12) | 0x123)
#define ADDRESS_5 (((u64)2 << 48) | ADDRESS_4)

struct world {
	struct arena arena;
	struct kvm_sregs sregs;
	struct walk walk;
};

static int set_up(void **state)
{
	static struct world world;

	memset(&world, 0, sizeof(world));
	arena_make(&world.arena, RAM_BYTES, RAM_BYTES);
	world.sregs.cr0 = CR0_PE | CR0_PG;
	world.sregs.cr3 = ROOT;
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	return 0;
}

/* The table of the n-th level from the top. */
static u64 table_of(unsigned n)
{
	return ROOT + (u64)n * TABLE_BYTES;
}

static void put_entry(struct world *world, u64 table, unsigned index, unsigned bytes, u64 entry)
{
	void *at = memory_at(&world->arena.memory, table + (u64)index * bytes, bytes);

	assert_non_null(at);
	memcpy(at, &entry, bytes);
}

static void walk(struct world *world, u64 linear)
{
	memset(&world->walk, 0xa5, sizeof(world->walk));
	walk_address(&world->walk, &world->arena.memory, &world->sregs, linear);
}

static void assert_mapped(const struct world *world, unsigned steps, u64 gpa, u64 page_bytes)
{
	assert_true(world->walk.mapped);
	assert_int_equal(world->walk.steps, steps);
	assert_int_equal(world->walk.gpa, gpa);
	assert_int_equal(world->walk.page_bytes, page_bytes);
}

static void assert_unmapped(const struct world *world, unsigned steps, const char *why)
{
	assert_false(world->walk.mapped);
	assert_int_equal(world->walk.steps, steps);
	assert_string_equal(world->walk.why_not, why);
}

static void assert_step(const struct world *world, unsigned n, const char *table, unsigned index,
			u64 entry_gpa, u64 entry)
{
	const struct walk_step *step = &world->walk.step[n];

	assert_true(n < world->walk.steps);
	assert_string_equal(step->table, table);
	assert_int_equal(step->index, index);
	assert_int_equal(step->entry_gpa, entry_gpa);
	assert_int_equal(step->entry, entry);
}

/* Four levels that lead ADDRESS_4 to a page of 4 KiB at 0x55000. */
static void make_long_tables(struct world *world, unsigned first_level)
{
	static const unsigned index[] = {3, 7, 9, 5};

	world->sregs.efer = EFER_LMA;
	world->sregs.cr4 = CR4_PAE;
	for (unsigned i = 0; i < 3; i++)
		put_entry(world, table_of(first_level + i), index[i], 8,
			  table_of(first_level + i + 1) | PRESENT | WRITE);
	put_entry(world, table_of(first_level + 3), 5, 8, 0x55000 | PRESENT | NO_EXECUTE);
}

static void test_no_paging(void **state)
{
	struct world *world = *state;

	world->sregs.cr0 = CR0_PE;
	world->sregs.cr3 = ~(u64)0;
	world->sregs.cr4 = CR4_PAE;
	walk(world, 0xfffffff0);
	assert_mapped(world, 0, 0xfffffff0, PAGE_BYTES);
	walk(world, 0);
	assert_mapped(world, 0, 0, PAGE_BYTES);
}

static void test_32_bit(void **state)
{
	struct world *world = *state;
	const u64 linear = (u64)0x301 << 22 | 0x2ff << 12 | 0xabc;

	put_entry(world, table_of(0), 0x301, 4, table_of(1) | PRESENT);
	put_entry(world, table_of(1), 0x2ff, 4, 0xfedcb000 | PRESENT);
	/* The neighbour's bytes aren't part of the entry, nor bits 63:32 of the address. */
	put_entry(world, table_of(1), 0x300, 4, 0xffffffff);
	walk(world, linear);
	assert_mapped(world, 2, 0xfedcbabc, PAGE_BYTES);
	assert_step(world, 0, "PD", 0x301, table_of(0) + 4 * 0x301, table_of(1) | PRESENT);
	assert_step(world, 1, "PT", 0x2ff, table_of(1) + 4 * 0x2ff, 0xfedcb000 | PRESENT);
	walk(world, linear | (u64)0xffff << 32);
	assert_mapped(world, 2, 0xfedcbabc, PAGE_BYTES);
	/* Flags in CR3's low bits are no address. */
	world->sregs.cr3 |= 0xfff;
	walk(world, linear);
	assert_mapped(world, 2, 0xfedcbabc, PAGE_BYTES);
}

static void test_32_bit_large(void **state)
{
	struct world *world = *state;

	world->sregs.cr4 = CR4_PSE;
	put_entry(world, table_of(0), 0x3ff, 4, 0x80400000 | PRESENT | PS);
	walk(world, 0xffc12345);
	assert_mapped(world, 1, 0x80412345, 4 * MIB);
	assert_step(world, 0, "PD", 0x3ff, table_of(0) + 4 * 0x3ff, 0x80400000 | PRESENT | PS);
	put_entry(world, table_of(0), 0x3ff, 4, 0x80400000 | PS);
	walk(world, 0xffc12345);
	assert_unmapped(world, 1, "not present");
}

/* Without CR4.PSE the bit is ignored (Intel SDM volume 3, table 4-5): a table it is. */
static void test_32_bit_large_needs_pse(void **state)
{
	struct world *world = *state;

	put_entry(world, table_of(0), 0x3ff, 4, table_of(1) | PRESENT | PS);
	put_entry(world, table_of(1), 0x012, 4, 0x77000 | PRESENT);
	walk(world, 0xffc12345);
	assert_mapped(world, 2, 0x77345, PAGE_BYTES);
}

/* PSE-36: bits 20 to 13 of a large page's entry are bits 39 to 32 of its address. */
static void test_32_bit_large_beyond_4_gib(void **state)
{
	struct world *world = *state;

	world->sregs.cr4 = CR4_PSE;
	put_entry(world, table_of(0), 0x3ff, 4, 0x80400000 | 0x25 << 13 | PRESENT | PS);
	walk(world, 0xffc12345);
	assert_mapped(world, 1, 0x2580412345, 4 * MIB);
}

static void test_32_bit_not_present(void **state)
{
	struct world *world = *state;

	walk(world, 0x00400000);
	assert_unmapped(world, 1, "not present");
	put_entry(world, table_of(0), 1, 4, table_of(1) | PRESENT);
	walk(world, 0x00400000);
	assert_unmapped(world, 2, "not present");
	assert_step(world, 1, "PT", 0, table_of(1), 0);
}

static void test_pae(void **state)
{
	struct world *world = *state;
	const u64 linear = (u64)2 << 30 | (u64)0x1fe << 21 | (u64)0x155 << 12 | 0x678;

	world->sregs.cr4 = CR4_PAE;
	world->sregs.cr3 = ROOT + 0x7e0; /* the first table is 32 bytes, at a multiple of 32 */
	put_entry(world, ROOT + 0x7e0, 2, 8, table_of(1) | PRESENT);
	put_entry(world, table_of(1), 0x1fe, 8, table_of(2) | PRESENT);
	put_entry(world, table_of(2), 0x155, 8, 0x3456789000 | PRESENT | NO_EXECUTE);
	walk(world, linear);
	assert_mapped(world, 3, 0x3456789678, PAGE_BYTES);
	assert_step(world, 0, "PDPT", 2, ROOT + 0x7e0 + 16, table_of(1) | PRESENT);
	assert_step(world, 1, "PD", 0x1fe, table_of(1) + 8 * 0x1fe, table_of(2) | PRESENT);
	assert_step(world, 2, "PT", 0x155, table_of(2) + 8 * 0x155,
		    0x3456789000 | PRESENT | NO_EXECUTE);
	walk(world, linear | (u64)0xff << 32);
	assert_mapped(world, 3, 0x3456789678, PAGE_BYTES);
	put_entry(world, table_of(1), 0x1fe, 8, 0x1234600000 | PRESENT | PS);
	walk(world, linear);
	assert_mapped(world, 2, 0x1234600000 | (linear & 0x1fffff), 2 * MIB);
}

static void test_pae_not_present(void **state)
{
	struct world *world = *state;

	world->sregs.cr4 = CR4_PAE;
	walk(world, 0xc0000000);
	assert_unmapped(world, 1, "not present");
	assert_step(world, 0, "PDPT", 3, ROOT + 24, 0);
	put_entry(world, ROOT, 3, 8, table_of(1) | PRESENT);
	walk(world, 0xc0000000);
	assert_unmapped(world, 2, "not present");
	put_entry(world, table_of(1), 0, 8, table_of(2) | PRESENT);
	walk(world, 0xc0000000);
	assert_unmapped(world, 3, "not present");
	/* There are no pages of 1 GiB here: the bit is reserved. */
	put_entry(world, ROOT, 3, 8, table_of(1) | PRESENT | PS);
	walk(world, 0xc0000000);
	assert_false(world->walk.mapped);
}

static void test_4_levels(void **state)
{
	struct world *world = *state;

	make_long_tables(world, 0);
	walk(world, ADDRESS_4);
	assert_mapped(world, 4, 0x55123, PAGE_BYTES);
	assert_step(world, 0, "PML4", 3, table_of(0) + 24, table_of(1) | PRESENT | WRITE);
	assert_step(world, 1, "PDPT", 7, table_of(1) + 56, table_of(2) | PRESENT | WRITE);
	assert_step(world, 2, "PD", 9, table_of(2) + 72, table_of(3) | PRESENT | WRITE);
	assert_step(world, 3, "PT", 5, table_of(3) + 40, 0x55000 | PRESENT | NO_EXECUTE);
	walk(world, ADDRESS_4 + PAGE_BYTES);
	assert_unmapped(world, 4, "not present");
	/* Process-context identifiers and other flags beside the address. */
	world->sregs.cr3 |= (u64)1 << 63 | 0xfff;
	walk(world, ADDRESS_4);
	assert_mapped(world, 4, 0x55123, PAGE_BYTES);
}

static void test_4_levels_with_large_pages(void **state)
{
	struct world *world = *state;

	make_long_tables(world, 0);
	/* Bit 12 of a large page's entry is a memory type (PAT), no address. */
	put_entry(world, table_of(2), 9, 8, 0x40200000 | 0x1000 | PRESENT | PS | NO_EXECUTE);
	walk(world, ADDRESS_4);
	assert_mapped(world, 3, 0x40200000 | (ADDRESS_4 & (2 * MIB - 1)), 2 * MIB);
	put_entry(world, table_of(1), 7, 8, 8 * GIB | 0x1000 | PRESENT | PS);
	walk(world, ADDRESS_4);
	assert_mapped(world, 2, 8 * GIB | (ADDRESS_4 & (GIB - 1)), GIB);
	/* The last level has no such bit: it is PAT there. */
	make_long_tables(world, 0);
	put_entry(world, table_of(3), 5, 8, 0x55000 | PRESENT | PS);
	walk(world, ADDRESS_4);
	assert_mapped(world, 4, 0x55123, PAGE_BYTES);
}

static void test_the_highest_addresses(void **state)
{
	struct world *world = *state;

	world->sregs.efer = EFER_LMA;
	world->sregs.cr4 = CR4_PAE;
	put_entry(world, table_of(0), 511, 8, table_of(1) | PRESENT);
	put_entry(world, table_of(1), 511, 8, 0xfffffc0000000 | PRESENT | PS);
	walk(world, ~(u64)0);
	assert_mapped(world, 2, 0xfffffffffffff, GIB);
	assert_step(world, 0, "PML4", 511, table_of(0) + 0xff8, table_of(1) | PRESENT);
}

/* Bits 63:47 (63:56 with five levels) are equal, or the processor refuses the address. */
static void test_addresses_that_are_not_canonical(void **state)
{
	struct world *world = *state;

	make_long_tables(world, 0);
	walk(world, ADDRESS_4 | (u64)1 << 63);
	assert_false(world->walk.mapped);
	walk(world, ADDRESS_4 | (u64)1 << 48);
	assert_false(world->walk.mapped);
	make_long_tables(world, 1);
	world->sregs.cr4 |= CR4_LA57;
	put_entry(world, table_of(0), 2, 8, table_of(1) | PRESENT);
	walk(world, ADDRESS_5 | (u64)1 << 57);
	assert_false(world->walk.mapped);
}

static void test_4_levels_not_present(void **state)
{
	static const unsigned index[] = {3, 7, 9, 5};
	struct world *world = *state;

	for (unsigned level = 0; level < 4; level++) {
		make_long_tables(world, 0);
		/* All bits but the one that counts. */
		put_entry(world, table_of(level), index[level], 8, ~(u64)PRESENT);
		walk(world, ADDRESS_4);
		assert_unmapped(world, level + 1, "not present");
		assert_int_equal(world->walk.step[level].entry, ~(u64)PRESENT);
	}
}

static void test_5_levels(void **state)
{
	struct world *world = *state;

	make_long_tables(world, 1);
	world->sregs.cr4 |= CR4_LA57;
	walk(world, ADDRESS_5);
	assert_unmapped(world, 1, "not present");
	put_entry(world, table_of(0), 2, 8, table_of(1) | PRESENT);
	walk(world, ADDRESS_5);
	assert_mapped(world, 5, 0x55123, PAGE_BYTES);
	assert_step(world, 0, "PML5", 2, table_of(0) + 16, table_of(1) | PRESENT);
	assert_step(world, 4, "PT", 5, table_of(4) + 40, 0x55000 | PRESENT | NO_EXECUTE);
	put_entry(world, table_of(2), 7, 8, 0x40000000 | PRESENT | PS);
	walk(world, ADDRESS_5);
	assert_mapped(world, 3, 0x40000000 | (ADDRESS_5 & (GIB - 1)), GIB);
	/* Without long mode the bit means nothing. */
	world->sregs.efer = 0;
	walk(world, 0x1000);
	assert_step(world, 0, "PDPT", 0, ROOT, 0);
}

static void test_tables_outside_of_ram(void **state)
{
	static const unsigned index[] = {3, 7, 9};
	struct world *world = *state;

	for (unsigned level = 0; level < 3; level++) {
		make_long_tables(world, 0);
		put_entry(world, table_of(level), index[level], 8, 0xd0000000 | PRESENT);
		walk(world, ADDRESS_4);
		assert_unmapped(world, level + 2, "the table isn't in RAM");
		assert_int_equal(world->walk.step[level + 1].entry, 0);
	}
	world->sregs.cr3 = 0xd0000000;
	walk(world, ADDRESS_4);
	assert_unmapped(world, 1, "the table isn't in RAM");
	/* The first entry is in RAM, and the one that counts is behind its end. */
	world->sregs.cr3 = RAM_BYTES - 32;
	world->sregs.efer = 0;
	world->sregs.cr4 = CR4_PAE;
	put_entry(world, RAM_BYTES - 32, 3, 8, (u64)RAM_BYTES | PRESENT);
	walk(world, 0xc0000000);
	assert_unmapped(world, 2, "the table isn't in RAM");
	assert_step(world, 0, "PDPT", 3, RAM_BYTES - 8, (u64)RAM_BYTES | PRESENT);
}

static void test_tables_above_4_gib(void **state)
{
	struct world *world = *state;

	make_long_tables(world, 0);
	put_entry(world, table_of(2), 9, 8, (4 * GIB + 0x3000) | PRESENT);
	put_entry(world, 4 * GIB + 0x3000, 5, 8, 0x000ffffffffff000 | PRESENT | NO_EXECUTE);
	walk(world, ADDRESS_4);
	assert_mapped(world, 4, 0x000ffffffffff123, PAGE_BYTES);
}

static void test_any_tables_end_the_walk(void **state)
{
	struct world *world = *state;
	u8 *ram = world->arena.memory.region[0].host;
	u32 random = 12345;

	fill_pattern(ram, RAM_BYTES, 3);
	for (unsigned i = 0; i < 20000; i++) {
		world->sregs.cr3 = next_random(&random) % (RAM_BYTES + 0x2000);
		world->sregs.cr4 = next_random(&random) & (CR4_PAE | CR4_LA57 | CR4_PSE);
		world->sregs.efer = next_random(&random) & EFER_LMA;
		/* Canonical, in every format: the upper bits are copies of one. */
		walk(world, (u64)((int64_t)((u64)next_random(&random) << 32) >> 16) ^
				    next_random(&random) % GIB);
		assert_true(world->walk.steps >= 1 && world->walk.steps <= WALK_STEPS_MAX);
		assert_true(world->walk.mapped ? world->walk.page_bytes >= PAGE_BYTES
					       : world->walk.why_not != NULL);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_paging),
		TEST(test_32_bit),
		TEST(test_32_bit_large),
		TEST(test_32_bit_large_needs_pse),
		TEST(test_32_bit_large_beyond_4_gib),
		TEST(test_32_bit_not_present),
		TEST(test_pae),
		TEST(test_pae_not_present),
		TEST(test_4_levels),
		TEST(test_4_levels_with_large_pages),
		TEST(test_the_highest_addresses),
		TEST(test_addresses_that_are_not_canonical),
		TEST(test_4_levels_not_present),
		TEST(test_5_levels),
		TEST(test_tables_outside_of_ram),
		TEST(test_tables_above_4_gib),
		TEST(test_any_tables_end_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
