/*
 * A dry run's view of the first vCPU at its first instruction: registers, the GDT and the page
 * tables that they point to.
 *
 * The page tables are walked as the processor does it, from CR3 on; pages that continue each other
 * (in address, size and rights) become one row.
 *
 * Limits: 4-level paging. A walk ends after TABLES_MAX tables and RUNS_MAX rows, and says so.
 *
 * Source: Intel SDM volume 3, 2.5 "Control registers", 3.4.5 "Segment descriptors", 4.5 "4-level
 * paging"; AMD APM volume 2.
 */
#include <string.h>

#include "vmm/dry_run_parts.h"

enum { TABLES_MAX = 4096, RUNS_MAX = 256 };
enum { LEVELS = 4, ENTRIES = 512, DESCRIPTORS_MAX = 512 };

#define CR0_PG      ((u64)1 << 31)
#define PTE_PRESENT ((u64)1 << 0)
#define PTE_WRITE   ((u64)1 << 1)
#define PTE_USER    ((u64)1 << 2)
#define PTE_LARGE   ((u64)1 << 7)
#define PTE_NX      ((u64)1 << 63)
#define PTE_ADDRESS ((u64)0x000ffffffffff000)

/* ---- registers */

static const struct bit_name rflags_bits[] = {
	{1 << 1, "always_1"}, {1 << 9, "IF"}, {1 << 10, "DF"}, {0, NULL}};

static const struct bit_name cr0_bits[] = {
	{1 << 0, "PE"},       {1 << 1, "MP"},       {1 << 2, "EM"},  {1 << 3, "TS"},
	{1 << 4, "ET"},       {1 << 5, "NE"},       {1 << 16, "WP"}, {1 << 18, "AM"},
	{(u64)1 << 29, "NW"}, {(u64)1 << 30, "CD"}, {CR0_PG, "PG"},  {0, NULL},
};

static const struct bit_name cr4_bits[] = {
	{1 << 0, "VME"},    {1 << 1, "PVI"},         {1 << 2, "TSD"},   {1 << 3, "DE"},
	{1 << 4, "PSE"},    {1 << 5, "PAE"},         {1 << 6, "MCE"},   {1 << 7, "PGE"},
	{1 << 9, "OSFXSR"}, {1 << 10, "OSXMMEXCPT"}, {1 << 12, "LA57"}, {1 << 18, "OSXSAVE"},
	{0, NULL},
};

static const struct bit_name efer_bits[] = {
	{1 << 0, "SCE"}, {1 << 8, "LME"}, {1 << 10, "LMA"}, {1 << 11, "NXE"}, {0, NULL}};

static void show_register(struct sheet *sheet, const char *name, u64 value,
			  const struct bit_name *bits, const char *meaning)
{
	sheet_value(sheet, &(struct sheet_value){
				   .name = name, .value = value, .bits = bits, .meaning = meaning});
}

static void show_plain_registers(struct sheet *sheet, const struct kvm_regs *regs,
				 const struct kvm_sregs *sregs, bool pvh)
{
	show_register(sheet, "rip", regs->rip, NULL, "the kernel's entry");
	show_register(sheet, "rflags", regs->rflags, rflags_bits, "interrupts are off");
	show_register(sheet, "rsi", regs->rsi, NULL, pvh ? "" : "boot_params");
	show_register(sheet, "rbx", regs->rbx, NULL, pvh ? "hvm_start_info" : "");
	show_register(sheet, "rsp", regs->rsp, NULL, "no stack: the kernel brings its own");
	show_register(sheet, "cr0", sregs->cr0, cr0_bits,
		      sregs->cr0 & CR0_PG ? "protected mode, with paging"
					  : "protected mode, without paging");
	show_register(sheet, "cr3", sregs->cr3, NULL,
		      sregs->cr0 & CR0_PG ? "the page tables' root" : "");
	show_register(sheet, "cr4", sregs->cr4, cr4_bits, pvh ? "" : "entries of 64 bits");
	show_register(sheet, "efer", sregs->efer, efer_bits, pvh ? "" : "64-bit mode");
	show_register(sheet, "gdtr_base", sregs->gdt.base, NULL, "");
	show_register(sheet, "gdtr_limit", sregs->gdt.limit, NULL, "");
	show_register(sheet, "idtr_base", sregs->idt.base, NULL, "");
	show_register(sheet, "idtr_limit", sregs->idt.limit, NULL,
		      sregs->idt.limit ? "" : "no interrupt table: an exception now is fatal");
}

/* ---- segments, as the processor has them in its registers and as the GDT has them */

struct descriptor {
	u64 base, limit; /* limit: the last byte's offset */
	unsigned type, dpl;
	bool code_or_data, present, is_64bit, is_32bit, pages;
};

static struct descriptor decode(u64 raw)
{
	struct descriptor d = {
		.base = (raw >> 16 & 0xffffff) | (raw >> 56 & 0xff) << 24,
		.limit = (raw & 0xffff) | (raw >> 48 & 0xf) << 16,
		.type = raw >> 40 & 0xf,
		.dpl = raw >> 45 & 0x3,
		.code_or_data = raw >> 44 & 1,
		.present = raw >> 47 & 1,
		.is_64bit = raw >> 53 & 1,
		.is_32bit = raw >> 54 & 1,
		.pages = raw >> 55 & 1,
	};

	if (d.pages)
		d.limit = d.limit << 12 | 0xfff;
	return d;
}

static struct descriptor from_register(const struct kvm_segment *segment)
{
	return (struct descriptor){
		.base = segment->base,
		.limit = segment->limit,
		.type = segment->type,
		.dpl = segment->dpl,
		.code_or_data = segment->s,
		.present = segment->present && !segment->unusable,
		.is_64bit = segment->l,
		.is_32bit = segment->db,
		.pages = segment->g,
	};
}

/* Code: execute, [read], [conforming]; data: read, [write], [expand-down]; both: [accessed]. */
static void describe(const struct descriptor *d, char *words, size_t size)
{
	const bool code = d->type & 8;

	if (!d->present) {
		snprintf(words, size, "not present");
		return;
	}
	if (!d->code_or_data) {
		snprintf(words, size, "system, type 0x%x%s", d->type,
			 d->type == 0xb ? ": busy TSS" : "");
		return;
	}
	snprintf(words, size, "%s, %s%s%s", code ? "code" : "data",
		 code ? (d->type & 2 ? "execute/read" : "execute")
		      : (d->type & 2 ? "read/write" : "read"),
		 d->type & 4 ? (code ? ", conforming" : ", expand-down") : "",
		 d->type & 1 ? ", accessed" : "");
}

static const char *kind_of(const struct descriptor *d)
{
	if (!d->present)
		return "none";
	return !d->code_or_data ? "sys" : d->type & 8 ? "code" : "data";
}

/* The first is for what has a descriptor in memory. */
static const struct sheet_column segment_columns[] = {
	{"descriptor", SHEET_HEX, 18}, {"name", SHEET_TEXT, 5},  {"selector", SHEET_HEX, 8},
	{"base", SHEET_HEX, 4},        {"limit", SHEET_HEX, 10}, {"dpl", SHEET_NUMBER, 3},
	{"flags", SHEET_TEXT, 5},      {"type", SHEET_TEXT, 0},
};

/* raw: the descriptor in memory, or NULL when it is a register, which has no such column. */
static void show_segment(struct sheet *sheet, const char *name, u64 selector, const u64 *raw,
			 const struct descriptor *d)
{
	char words[80], flags[8];
	const struct sheet_cell cells[] = {
		{.number = raw ? *raw : 0},
		{.text = name},
		{.number = selector},
		{.number = d->base},
		{.number = d->limit},
		{.number = d->dpl},
		{.text = flags},
		{.text = words},
	};

	describe(d, words, sizeof(words));
	snprintf(flags, sizeof(flags), "%s%s%s", d->is_64bit ? "L" : "", d->is_32bit ? "D" : "",
		 d->pages ? "G" : "");
	sheet_row(sheet, raw ? cells : cells + 1);
}

static void show_segments(struct sheet *sheet, const struct kvm_sregs *sregs)
{
	const struct {
		const char *name;
		const struct kvm_segment *segment;
	} all[] = {
		{"cs", &sregs->cs}, {"ds", &sregs->ds}, {"es", &sregs->es}, {"fs", &sregs->fs},
		{"gs", &sregs->gs}, {"ss", &sregs->ss}, {"tr", &sregs->tr}, {"ldtr", &sregs->ldt},
	};

	sheet_open_table(sheet, "segments",
			 "Segment registers (flags: L 64-bit, D 32-bit, G limit in pages)",
			 segment_columns + 1, ARRAY_LEN(segment_columns) - 1);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const struct descriptor d = from_register(all[i].segment);

		show_segment(sheet, all[i].name, all[i].segment->selector, NULL, &d);
	}
	sheet_close_table(sheet);
}

static void show_gdt(struct sheet *sheet, const struct memory *memory, const struct kvm_dtable *gdt)
{
	if (gdt->limit == 0) {
		sheet_none(sheet, "gdt");
		return;
	}
	sheet_open(sheet, "gdt", "GDT: the segments that selectors in memory stand for");
	sheet_hex(sheet, "address", gdt->base, NULL);
	sheet_open_table(sheet, "descriptors", NULL, segment_columns, ARRAY_LEN(segment_columns));
	for (unsigned i = 0; i < DESCRIPTORS_MAX && i * 8 + 7 <= gdt->limit; i++) {
		const u8 *at = memory_at(memory, gdt->base + (u64)i * 8, 8);
		struct descriptor d;
		u64 raw;

		if (!at)
			break;
		raw = sheet_load(at, 8);
		d = decode(raw);
		show_segment(sheet, kind_of(&d), (u64)i * 8, &raw, &d);
	}
	sheet_close_table(sheet);
	sheet_close(sheet);
}

/* ---- page tables */

/* Pages that continue each other. */
struct run {
	u64 linear, physical, page_bytes, pages;
	u64 rights; /* PTE_WRITE, PTE_USER, PTE_NX: what all levels together allow */
};

struct walk {
	const struct memory *memory;
	struct run run[RUNS_MAX];
	unsigned runs;
	unsigned tables[LEVELS], entries[LEVELS]; /* by level: 0 is the root's */
	u64 first_table[LEVELS];
	unsigned visited;
	bool incomplete;
};

static void add_page(struct walk *walk, const struct run *page)
{
	struct run *last = walk->runs ? &walk->run[walk->runs - 1] : NULL;

	if (last && last->page_bytes == page->page_bytes && last->rights == page->rights &&
	    last->linear + last->pages * last->page_bytes == page->linear &&
	    last->physical + last->pages * last->page_bytes == page->physical)
		last->pages++;
	else if (walk->runs < RUNS_MAX)
		walk->run[walk->runs++] = *page;
	else
		walk->incomplete = true;
}

/* A table at gpa, whose entries stand for the linear addresses from `linear` on. */
static void walk_table(struct walk *walk, unsigned level, u64 gpa, u64 linear, u64 rights)
{
	const u64 page_bytes = PAGE_BYTES << (9 * (LEVELS - 1 - level));
	const u8 *table = memory_at(walk->memory, gpa, PAGE_BYTES);

	if (!table || walk->visited++ >= TABLES_MAX) {
		walk->incomplete = true;
		return;
	}
	if (walk->tables[level]++ == 0)
		walk->first_table[level] = gpa;
	for (u64 i = 0; i < ENTRIES; i++) {
		const u64 entry = sheet_load(table + i * 8, 8);
		const u64 at = linear + i * page_bytes;
		/* Writing and user mode need every level's leave, no-execute needs one. */
		const u64 allowed = ((rights & entry) & (PTE_WRITE | PTE_USER)) |
				    ((rights | entry) & PTE_NX);
		const bool is_page = level == LEVELS - 1 || (level > 0 && (entry & PTE_LARGE));

		if (!(entry & PTE_PRESENT))
			continue;
		walk->entries[level]++;
		if (is_page)
			add_page(walk, &(struct run){at, entry & PTE_ADDRESS & ~(page_bytes - 1),
						     page_bytes, 1, allowed});
		else /* A linear address's upper half is the sign of bit 47. */
			walk_table(walk, level + 1, entry & PTE_ADDRESS,
				   level == 0 && i >= ENTRIES / 2 ? at | (u64)0xffff << 48 : at,
				   allowed);
	}
}

static void show_tables(struct sheet *sheet, const struct walk *walk)
{
	static const struct sheet_column columns[] = {{"name", SHEET_TEXT, 6},
						      {"first_at", SHEET_HEX, 11},
						      {"tables", SHEET_NUMBER, 6},
						      {"entries", SHEET_NUMBER, 0}};
	static const char *const names[LEVELS] = {"PML4", "PDPT", "PD", "PT"};

	sheet_open_table(sheet, "tables", NULL, columns, ARRAY_LEN(columns));
	for (unsigned i = 0; i < LEVELS; i++) {
		if (walk->tables[i])
			sheet_row(sheet,
				  (const struct sheet_cell[]){{.text = names[i]},
							      {.number = walk->first_table[i]},
							      {.number = walk->tables[i]},
							      {.number = walk->entries[i]}});
	}
	sheet_close_table(sheet);
}

static void show_runs(struct sheet *sheet, const struct walk *walk)
{
	static const struct sheet_column columns[] = {
		{"first", SHEET_HEX, 11},        {"last", SHEET_HEX, 11},
		{"physical", SHEET_HEX, 11},     {"pages", SHEET_NUMBER, 6},
		{"page_bytes", SHEET_BYTES, 10}, {"rights", SHEET_TEXT, 0}};

	sheet_open_table(sheet, "mappings", NULL, columns, ARRAY_LEN(columns));
	for (unsigned i = 0; i < walk->runs; i++) {
		const struct run *run = &walk->run[i];
		char words[80];

		snprintf(words, sizeof(words), "r%s%s, %s%s", run->rights & PTE_WRITE ? "w" : "-",
			 run->rights & PTE_NX ? "-" : "x",
			 run->rights & PTE_USER ? "user" : "supervisor",
			 run->linear == run->physical ? ", identity" : "");
		sheet_row(sheet, (const struct sheet_cell[]){
					 {.number = run->linear},
					 {.number = run->linear + run->pages * run->page_bytes - 1},
					 {.number = run->physical},
					 {.number = run->pages},
					 {.number = run->page_bytes},
					 {.text = words}});
	}
	sheet_close_table(sheet);
}

static void show_page_tables(struct sheet *sheet, const struct memory *memory,
			     const struct kvm_sregs *sregs)
{
	struct walk walk = {.memory = memory};

	if (!(sregs->cr0 & CR0_PG)) {
		sheet_none(sheet, "page_tables");
		return;
	}
	walk_table(&walk, 0, sregs->cr3 & PTE_ADDRESS, 0, PTE_WRITE | PTE_USER);
	sheet_open(sheet, "page_tables", "Page tables: which linear address means which physical");
	sheet_hex(sheet, "address", sregs->cr3 & PTE_ADDRESS, "from CR3");
	sheet_bool(sheet, "complete", !walk.incomplete);
	show_tables(sheet, &walk);
	show_runs(sheet, &walk);
	sheet_close(sheet);
}

void dry_run_processor(struct sheet *sheet, const struct dry_run_input *input)
{
	const bool pvh = input->plan->kernel.protocol == BOOT_PVH;

	sheet_open(sheet, "registers", "The first vCPU's registers at its first instruction");
	show_plain_registers(sheet, input->regs, input->sregs, pvh);
	sheet_close(sheet);
	show_segments(sheet, input->sregs);
	if (pvh)
		sheet_note(sheet,
			   "There is no GDT and no page table: the segments above are loaded "
			   "already, paging is off, and the kernel brings its own.");
	show_gdt(sheet, input->plan->map.memory, &input->sregs->gdt);
	show_page_tables(sheet, input->plan->map.memory, input->sregs);
}
