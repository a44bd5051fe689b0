/*
 * A dry run's view of the first vCPU at its first instruction: registers, the GDT and the page
 * tables that they point to.
 *
 * The page tables are read by walking the address space as the processor does; pages that continue
 * each other (in address, size and rights) become one row.
 *
 * Limits: 4-level paging. It ends after WALKS_MAX walks or RUNS_MAX rows, and says so.
 *
 * Source: Intel SDM volume 3, 3.4.5 "Segment descriptors", 4.5 "4-level paging".
 */
#include "vmm/dry_run_parts.h"
#include "vmm/x86/register_bits.h"
#include "vmm/x86/walk.h"

enum { WALKS_MAX = 1 << 20, RUNS_MAX = 256, GDT_MAX = 512 * 8 };

#define CR0_PG          ((u64)1 << 31)
#define PTE_WRITE       ((u64)1 << 1)
#define PTE_USER        ((u64)1 << 2)
#define PTE_NX          ((u64)1 << 63)
#define DESCRIPTOR_BITS ((u64)0x00609a << 40)
#define LIMIT_IN_PAGES  ((u64)1 << 55)
#define LOWER_HALF      ((u64)1 << 47) /* its end; the upper half ends where addresses do */

#define REG(member, meaning)    FIELD(#member, struct kvm_regs, member, CELL_HEX, meaning)
#define SREG(member, meaning)   FIELD(#member, struct kvm_sregs, member, CELL_HEX, meaning)
#define SREG_BITS(member, bits) FIELD_BITS(#member, struct kvm_sregs, member, bits)

/* The offsets are those in KVM's structures. */
static const struct field regs_fields[] = {
	REG(rip, "the kernel's entry"),
	FIELD_BITS("rflags", struct kvm_regs, rflags, rflags_bits),
	REG(rsi, "boot_params, for Linux"),
	REG(rbx, "hvm_start_info, for PVH"),
	REG(rsp, "the kernel brings its own stack"),
};

static const struct field sregs_fields[] = {
	SREG(cs.selector, NULL),
	SREG(cs.base, NULL),
	SREG(cs.limit, NULL),
	SREG(cs.l, "1: 64-bit code"),
	SREG(cs.db, "1: 32-bit code"),
	SREG(ds.selector, "and es, fs, gs, ss"),
	SREG(ds.limit, NULL),
	SREG(gdt.base, NULL),
	SREG(gdt.limit, "0: segments are loaded already; the kernel brings its own GDT"),
	SREG(idt.base, NULL),
	SREG(idt.limit, "0: an exception now is fatal"),
	SREG_BITS(cr0, cr0_bits),
	SREG(cr3, "the page tables' root"),
	SREG_BITS(cr4, cr4_bits),
	SREG_BITS(efer, efer_bits),
};

static void show_gdt(struct sheet *sheet, const struct memory *memory, const struct kvm_dtable *gdt)
{
	static const struct column columns[] = {
		{"selector", 8}, {"descriptor", 18}, {"base", 10}, {"limit", 10}, {"type", 0}};
	static const struct bit_name names[] = {
		{(u64)1 << 47, "present"}, {(u64)1 << 44 | (u64)1 << 43, "code"},
		{(u64)1 << 44, "data"},    {(u64)1 << 41, "read/write"},
		{(u64)1 << 53, "64-bit"},  {(u64)1 << 54, "32-bit"}};
	char words[80];
	u64 raw;

	sheet_open(sheet, "gdt", "the segments that selectors stand for, in memory", columns);
	for (u64 at = 0; at < GDT_MAX && at + 7 <= gdt->limit; at += 8) {
		u64 limit;

		if (!memory_read(memory, gdt->base + at, &raw, sizeof(raw)))
			break;
		limit = (raw & 0xffff) | (raw >> 32 & 0xf0000);
		sheet_row(sheet, HEX(at), HEX(raw), HEX((raw >> 16 & 0xffffff) | raw >> 56 << 24),
			  HEX((raw & LIMIT_IN_PAGES) ? limit << 12 | 0xfff : limit),
			  TEXT(bit_names(raw & DESCRIPTOR_BITS, names, ARRAY_LEN(names), words,
					 sizeof(words))));
	}
}

/* ---- page tables */

/* Pages that continue each other. */
struct run {
	u64 linear, physical, page_bytes, pages;
	u64 rights; /* PTE_WRITE, PTE_USER, PTE_NX: what all levels together allow */
};

static void show_run(struct sheet *sheet, const struct run *run)
{
	static const struct bit_name names[] = {
		{PTE_WRITE, "write"}, {PTE_USER, "user"}, {PTE_NX, "no-execute"}};
	char words[32];

	bit_names(run->rights, names, ARRAY_LEN(names), words, sizeof(words));
	sheet_row(sheet, HEX(run->linear), HEX(run->linear + run->pages * run->page_bytes - 1),
		  HEX(run->physical), COUNT(run->pages), SIZE(run->page_bytes), TEXT(words));
}

/* Writing and user mode need every level's leave, no-execute needs one. */
static struct run page_of(const struct walk *walk, u64 linear)
{
	struct run page = {linear, walk->gpa, walk->page_bytes, 1, PTE_WRITE | PTE_USER};

	for (unsigned i = 0; i < walk->steps; i++)
		page.rights = (page.rights & (walk->step[i].entry | PTE_NX)) |
			      (walk->step[i].entry & PTE_NX);
	return page;
}

static bool continues(const struct run *run, const struct run *page)
{
	const u64 bytes = run->pages * run->page_bytes;

	return run->pages && run->page_bytes == page->page_bytes && run->rights == page->rights &&
	       run->linear + bytes == page->linear && run->physical + bytes == page->physical;
}

static void show_page_tables(struct sheet *sheet, const struct memory *memory,
			     const struct kvm_sregs *sregs)
{
	static const struct column columns[] = {{"first", 11}, {"last", 11},       {"physical", 11},
						{"pages", 6},  {"page_bytes", 10}, {"rights", 0}};
	struct run run = {.pages = 0}, page;
	unsigned walks = 0, runs = 0;
	bool whole = true;
	struct walk walk;
	u64 linear = 0;

	sheet_open(sheet, "page_tables", "which linear address means which physical", columns);
	do {
		walk_address(&walk, memory, sregs, linear);
		page = page_of(&walk, linear);
		whole = whole && walk.steps &&
			memory_at(memory, walk.step[walk.steps - 1].entry_gpa, 8);
		if (walk.mapped && continues(&run, &page)) {
			run.pages++;
		} else if (walk.mapped) {
			if (runs++)
				show_run(sheet, &run);
			run = page;
		}
		linear += walk.page_bytes;
		if (linear == LOWER_HALF)
			linear = -LOWER_HALF;
	} while (linear && ++walks < WALKS_MAX && runs < RUNS_MAX);
	if (runs)
		show_run(sheet, &run);
	if (linear || !whole)
		sheet_row(sheet, NONE, NONE, NONE, NONE, NONE,
			  TEXT("not complete: tables outside of RAM, or too many"));
}

void dry_run_processor(struct sheet *sheet, const struct dry_run_input *input)
{
	const struct memory *memory = input->plan->map.memory;

	sheet_open(sheet, "registers", "the first vCPU's, at its first instruction",
		   sheet_field_columns);
	sheet_fields(sheet, memory, input->regs, regs_fields, ARRAY_LEN(regs_fields));
	sheet_fields(sheet, memory, input->sregs, sregs_fields, ARRAY_LEN(sregs_fields));
	if (input->sregs->gdt.limit)
		show_gdt(sheet, memory, &input->sregs->gdt);
	if (input->sregs->cr0 & CR0_PG)
		show_page_tables(sheet, memory, input->sregs);
}
