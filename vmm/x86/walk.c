/*
 * Walks the guest's page tables: see walk.h.
 */
#include "vmm/x86/walk.h"

#define CR0_PG    ((u64)1 << 31)
#define CR4_PSE   ((u64)1 << 4)
#define CR4_PAE   ((u64)1 << 5)
#define CR4_LA57  ((u64)1 << 12)
#define EFER_LMA  ((u64)1 << 10)
#define ENTRY_GPA ((u64)0x000ffffffffff000)

enum { ENTRY_PRESENT = 0x01, ENTRY_LARGE = 0x80 };

/* One level: which bits of the address index the table, and whether an entry may be a page. */
struct level {
	const char *table;
	unsigned shift;
	bool large_allowed;
};

static const struct level levels_64[] = {{"PML5", 48, false},
					 {"PML4", 39, false},
					 {"PDPT", 30, true},
					 {"PD", 21, true},
					 {"PT", 12, true}};
static const struct level levels_pae[] = {{"PDPT", 30, false}, {"PD", 21, true}, {"PT", 12, true}};
static const struct level levels_32[] = {{"PD", 22, true}, {"PT", 12, true}};
static const struct level levels_32_small[] = {{"PD", 22, false}, {"PT", 12, true}};

struct format {
	const struct level *level;
	unsigned levels;
	unsigned entry_bytes;
	unsigned index_bits;
};

static struct format format_of(const struct kvm_sregs *sregs)
{
	const struct format long_4 = {levels_64 + 1, 4, 8, 9}, long_5 = {levels_64, 5, 8, 9};
	const struct format pae = {levels_pae, 3, 8, 9};
	/* Without PSE, 32-bit paging has no large pages: the bit is ignored. */
	const struct format plain = {(sregs->cr4 & CR4_PSE) ? levels_32 : levels_32_small, 2, 4,
				     10};

	if (sregs->efer & EFER_LMA)
		return (sregs->cr4 & CR4_LA57) ? long_5 : long_4;
	return (sregs->cr4 & CR4_PAE) ? pae : plain;
}

static void walk_tables(struct walk *walk, const struct memory *memory, const struct format *format,
			u64 table, u64 linear)
{
	for (unsigned i = 0; i < format->levels; i++) {
		const struct level *level = &format->level[i];
		const u64 page_mask = ((u64)1 << level->shift) - 1;
		struct walk_step *step = &walk->step[walk->steps++];

		*step = (struct walk_step){.table = level->table};
		walk->page_bytes = page_mask + 1;
		step->index = (unsigned)(linear >> level->shift) & ((1U << format->index_bits) - 1);
		step->entry_gpa = table + (u64)step->index * format->entry_bytes;
		if (!memory_read(memory, step->entry_gpa, &step->entry, format->entry_bytes)) {
			walk->why_not = "the table isn't in RAM";
			return;
		}
		if (!(step->entry & ENTRY_PRESENT)) {
			walk->why_not = "not present";
			return;
		}
		table = step->entry & ENTRY_GPA;
		if (i + 1 == format->levels ||
		    (level->large_allowed && (step->entry & ENTRY_LARGE))) {
			walk->mapped = true;
			walk->gpa = (table & ~page_mask) | (linear & page_mask);
			/* PSE-36: a 4 MiB page has bits 39:32 of its address in bits 20:13. */
			if (level->shift == 22)
				walk->gpa |= (step->entry >> 13 & 0xff) << 32;
			return;
		}
	}
}

/* In long mode the bits above the ones that are translated all equal the highest of these. */
static bool is_canonical(u64 linear, unsigned bits)
{
	const u64 above = linear >> (bits - 1);

	return above == 0 || above == UINT64_MAX >> (bits - 1);
}

void walk_address(struct walk *walk, const struct memory *memory, const struct kvm_sregs *sregs,
		  u64 linear)
{
	const struct format format = format_of(sregs);
	/* The PAE format has its first table 32-byte aligned, the others have whole pages. */
	const u64 root = sregs->cr3 & (format.levels == 3 ? 0xffffffe0 : ENTRY_GPA);

	*walk = (struct walk){0};
	if (!(sregs->cr0 & CR0_PG)) {
		walk->mapped = true;
		walk->gpa = linear;
		walk->page_bytes = PAGE_BYTES;
		return;
	}
	if (!(sregs->efer & EFER_LMA)) {
		linear &= 0xffffffff;
	} else if (!is_canonical(linear, format.levels == 5 ? 57 : 48)) {
		walk->why_not = "not a canonical address";
		return;
	}
	walk_tables(walk, memory, &format, root, linear);
}
