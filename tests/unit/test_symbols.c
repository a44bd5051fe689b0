/*
 * vmm/symbols.c on files of each form, good and bad; vmm/x86/calls.c on a kernel's few instructions that
 * page tables made by hand put where KASLR could.
 */
#include "tests/unit/test.h"

#include <elf.h>
#include <unistd.h>

#include "tests/unit/support.h"
#include "vmm/symbols.h"
#include "vmm/x86/calls.h"

#define MAP                                                                                        \
	"0000000000000000 A fixed_percpu_data\n"                                                   \
	"ffffffff81000000 T _text\n"                                                               \
	"ffffffff81020000 T entry_SYSCALL_64\n"                                                    \
	"ffffffff81040000 t do_syscall_64\n"                                                       \
	"ffffffff81050000 t caller\n"                                                              \
	"ffffffff81050100 W next\n"                                                                \
	"ffffffff81060000 D data\n"                                                                \
	"ffffffff81070000 T last\n"

#define TEXT_START ((u64)0xffffffff80000000)
#define LINKED     ((u64)0xffffffff81000000)
enum { RAM_BYTES = 0x100000, ROOT = 0x10000, TABLE = 0x1000, PRESENT = 1, LARGE = 0x80 };
enum { ENTRY = 0x20000, DISPATCHER = 0x40000, CALLER = 0x50000, CALL_AT = 0xb3, STACK = 0x80000 };

struct world {
	struct arena arena;
	struct symbols symbols;
	struct calls calls;
	struct temp_file file;
	struct error err;
};

static int set_up(void **state)
{
	static struct world world;

	memset(&world, 0, sizeof(world));
	arena_make(&world.arena, RAM_BYTES, 0);
	temp_file_make(&world.file, "", 0);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	symbols_close(&world->symbols);
	temp_file_free(&world->file);
	arena_free(&world->arena);
	return 0;
}

static int open_bytes(struct world *world, const void *bytes, size_t count)
{
	symbols_close(&world->symbols);
	temp_file_set(&world->file, bytes, count);
	return symbols_open(&world->symbols, world->file.path, &world->err);
}

static void open_text(struct world *world, const char *text)
{
	assert_int_equal(open_bytes(world, text, strlen(text)), 0);
}

static void assert_named(struct world *world, u64 address, u64 back, const char *name)
{
	char text[SYMBOL_TEXT_BYTES];

	assert_int_equal(symbols_describe(&world->symbols, address, back, text), name[0] != '\0');
	assert_string_equal(text, name);
}

static void test_a_map(void **state)
{
	struct world *world = *state;

	open_text(world, MAP);
	assert_named(world, LINKED + CALLER, 0, "caller+0x0/0x100");
	assert_named(world, LINKED + CALLER + 0x12, 0, "caller+0x12/0x100");
	assert_named(world, LINKED + CALLER + 0x100, 0, "next+0x0/0xff00");
	assert_named(world, LINKED + CALLER + 0x100, 1, "caller+0x100/0x100");
	assert_named(world, LINKED + 0x60000, 0, "");
	assert_named(world, LINKED + 0x70000, 0, "");
	assert_named(world, LINKED - 1, 0, "");
	assert_named(world, 0, 0, "");
	assert_named(world, 0, 1, "");
	assert_int_equal(world->symbols.entry, LINKED + ENTRY);
	assert_int_equal(world->symbols.dispatcher, LINKED + DISPATCHER);
}

/* In any order, without a last line's end; modules are left out, and names that no symbol can have. */
static void test_kallsyms(void **state)
{
	struct world *world = *state;

	open_text(world, "ffffffffc0000000 t in_a_module\t[ext4]\n"
			 "ffffffff81000100 t second\n"
			 "ffffffff81000180 t \x1b[31mred\n"
			 "ffffffff81000180 t with space\n"
			 "ffffffff81000000 t first\n"
			 "ffffffff81000100 d its_data\n"
			 "ffffffff81000100 t its_other_name\n"
			 "ffffffff81000200 T end");
	assert_int_equal(world->symbols.count, 5);
	assert_named(world, 0xffffffff81000001, 0, "first+0x1/0x100");
	assert_named(world, 0xffffffff81000190, 0, "second+0x90/0x100");
	assert_named(world, 0xffffffffc0000000, 0, "");
	assert_int_equal(world->symbols.entry, 0);
}

static void test_a_long_name(void **state)
{
	struct world *world = *state;
	char line[600] = "ffffffff81000000 t ", text[SYMBOL_TEXT_BYTES];

	memset(line + strlen(line), 'x', 500);
	strcat(line, "\nffffffff81000010 t y\n");
	open_text(world, line);
	assert_true(symbols_describe(&world->symbols, LINKED + 1, 0, text));
	assert_int_equal(strlen(text), 120 + strlen("+0x1/0x10"));
}

/* An ELF file of a kernel that isn't Linux. */
struct elf_file {
	Elf64_Ehdr header;
	Elf64_Shdr section[6];
	Elf64_Sym symbol[6];
	char names[64], note[20];
};

enum { TEXT = 1, DATA, NOTE, SYMTAB, STRTAB, NOTE_GPA = 0x3000 };

static struct elf_file make_elf(void)
{
	struct elf_file elf = {.header = {.e_machine = EM_X86_64,
					  .e_shoff = offsetof(struct elf_file, section),
					  .e_shentsize = sizeof(Elf64_Shdr),
					  .e_shnum = ARRAY_LEN(elf.section)},
			       .names = "\0start\0main\0data\0\x1b[31m\0",
			       .note = "the number of it"};

	memcpy(elf.header.e_ident, ELFMAG, SELFMAG);
	elf.header.e_ident[EI_CLASS] = ELFCLASS64;
	elf.section[TEXT].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
	elf.section[NOTE] = (Elf64_Shdr){.sh_type = SHT_NOTE,
					 .sh_flags = SHF_ALLOC,
					 .sh_addr = NOTE_GPA,
					 .sh_offset = offsetof(struct elf_file, note),
					 .sh_size = sizeof(elf.note)};
	elf.section[SYMTAB] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
					   .sh_link = STRTAB,
					   .sh_offset = offsetof(struct elf_file, symbol),
					   .sh_size = sizeof(elf.symbol)};
	elf.section[STRTAB].sh_offset = offsetof(struct elf_file, names);
	elf.section[STRTAB].sh_size = sizeof(elf.names);
	elf.symbol[1] = (Elf64_Sym){1, ELF64_ST_INFO(STB_LOCAL, STT_NOTYPE), 0, TEXT, 0x1000, 0};
	elf.symbol[2] = (Elf64_Sym){7, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, TEXT, 0x1000, 0};
	elf.symbol[3] = (Elf64_Sym){12, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, DATA, 0x2000, 0};
	elf.symbol[4] = (Elf64_Sym){17, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, TEXT, 0x1800, 0};
	elf.symbol[5] = (Elf64_Sym){7000, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, TEXT, 0x1900, 0};
	return elf;
}

static void test_elf(void **state)
{
	struct world *world = *state;
	const struct elf_file elf = make_elf();

	assert_int_equal(open_bytes(world, &elf, sizeof(elf)), 0);
	assert_int_equal(world->symbols.count, 3);
	assert_named(world, 0x1000, 0, "main+0x0/0x1000");
	assert_named(world, 0x1fff, 0, "main+0xfff/0x1000");
	assert_named(world, 0x2000, 0, "");
}

/* Another build has another number in memory; nothing is said where there is none, or no RAM. */
static void test_another_build(void **state)
{
	struct world *world = *state;
	struct elf_file elf = make_elf();
	const struct memory *memory = &world->arena.memory;

	assert_int_equal(open_bytes(world, &elf, sizeof(elf)), 0);
	assert_int_equal(symbols_check(&world->symbols, memory, &world->err), -1);
	assert_says(world->err.text, "another kernel's");
	/* Linux's own are found by its code. */
	world->symbols.entry = 1;
	assert_int_equal(symbols_check(&world->symbols, memory, &world->err), 0);
	world->symbols.entry = 0;
	memcpy(memory_at(memory, NOTE_GPA, sizeof(elf.note)), elf.note, sizeof(elf.note));
	assert_int_equal(symbols_check(&world->symbols, memory, &world->err), 0);
	elf.section[NOTE].sh_addr = RAM_BYTES;
	assert_int_equal(open_bytes(world, &elf, sizeof(elf)), 0);
	assert_int_equal(symbols_check(&world->symbols, memory, &world->err), 0);
	open_text(world, MAP);
	assert_int_equal(symbols_check(&world->symbols, memory, &world->err), 0);
}

static void assert_refused(struct world *world, const void *bytes, size_t count, const char *why)
{
	assert_int_equal(open_bytes(world, bytes, count), -1);
	assert_says(world->err.text, why);
	assert_says(world->err.text, "--symbols '");
}

static void test_bad_text(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", "the file is empty"},
		{"\n", "line 1 isn't"},
		{"hello\n", "line 1 isn't"},
		{MAP "ffffffff81080000\n", "line 9 isn't"},
		{MAP "ffffffff81080000 T\n", "line 9 isn't"},
		{MAP "ffffffff8108000000 T more\n", "line 9 isn't"},
		{MAP " T more\n", "line 9 isn't"},
		{MAP "ffffffff81080000 5 more\n", "line 9 isn't"},
		{"ffffffffffffffff B The real System.map is in the linux-image-6.1-dbg package\n",
		 "Debian's System.map is a stub"},
		{"0000000000000000 T _text\n0000000000000000 T more\n", "shows others to root"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(world, bad[i].text, strlen(bad[i].text), bad[i].why);
	assert_refused(world, "ffffffff81000000 T a\0b\n", 23, "line 2 isn't");
	symbols_close(&world->symbols);
	temp_file_set(&world->file, "f", 1);
	assert_int_equal(ftruncate(world->file.fd, (off_t)SYMBOLS_MAX_BYTES + 1), 0);
	assert_int_equal(symbols_open(&world->symbols, world->file.path, &world->err), -1);
	assert_says(world->err.text, "longer than 64 MiB");
	assert_int_equal(symbols_open(&world->symbols, "/nowhere/map", &world->err), -1);
	assert_says(world->err.text, "--symbols '/nowhere/map': No such file");
}

static void test_bad_elf(void **state)
{
	struct world *world = *state;
	struct elf_file elf = make_elf();

	for (size_t count = SELFMAG; count < offsetof(struct elf_file, note); count++)
		assert_refused(world, &elf, count, "the file is truncated");
	elf.section[SYMTAB].sh_type = SHT_DYNSYM;
	assert_refused(world, &elf, sizeof(elf), "was stripped");
	elf = make_elf();
	elf.section[SYMTAB].sh_link = ARRAY_LEN(elf.section);
	assert_refused(world, &elf, sizeof(elf), "no symbol table");
	elf = make_elf();
	elf.section[SYMTAB].sh_size = SYMBOLS_MAX_BYTES + 1;
	assert_refused(world, &elf, sizeof(elf), "longer than 64 MiB");
	elf = make_elf();
	elf.section[TEXT].sh_flags = SHF_ALLOC;
	assert_refused(world, &elf, sizeof(elf), "names no function");
	elf = make_elf();
	elf.header.e_shnum = 257;
	assert_refused(world, &elf, sizeof(elf), "no 64-bit ELF file");
	elf = make_elf();
	elf.header.e_machine = EM_AARCH64;
	assert_refused(world, &elf, sizeof(elf), "no 64-bit ELF file");
}

/* ---- the running guest ---- */

static void put(struct world *world, u64 gpa, const void *bytes, u64 count)
{
	memcpy(memory_at(&world->arena.memory, gpa, count), bytes, count);
}

static void put_word(struct world *world, u64 gpa, u64 word)
{
	put(world, gpa, &word, sizeof(word));
}

/* Linux, of which MAP are the symbols, lies `place` times 2 MiB into its GiB; all of that is gpa 0. */
static void boot_linux(struct world *world, unsigned place)
{
	const u32 distance = DISPATCHER - (ENTRY + CALL_AT + 5);
	const u8 call = 0xe8;

	for (u64 table = ROOT; table < ROOT + 3 * TABLE; table += TABLE)
		memset(memory_at(&world->arena.memory, table, TABLE), 0, TABLE);
	put_word(world, ROOT + 511 * sizeof(u64), (ROOT + TABLE) | PRESENT);
	put_word(world, ROOT + TABLE + 510 * sizeof(u64), (ROOT + 2 * TABLE) | PRESENT);
	put_word(world, ROOT + 2 * TABLE + place * sizeof(u64), LARGE | PRESENT);
	put(world, ENTRY + CALL_AT, &call, 1);
	put(world, ENTRY + CALL_AT + 1, &distance, sizeof(distance));
	world->calls = (struct calls){
		.symbols = &world->symbols,
		.memory = &world->arena.memory,
		.sregs = {.cr0 = 0x80000001, .cr3 = ROOT, .cr4 = 0x20, .efer = 0x500},
		.rip = TEXT_START + place * 2 * MIB + CALLER,
		.rsp = TEXT_START + place * 2 * MIB + STACK,
	};
}

static void test_every_slide(void **state)
{
	struct world *world = *state;

	open_text(world, MAP);
	for (unsigned place = 0; place < 512; place++) {
		boot_linux(world, place);
		/* The second time where it was. */
		for (unsigned n = 0; n < 2; n++) {
			assert_true(calls_find(&world->calls));
			assert_int_equal(LINKED + world->calls.slide, TEXT_START + place * 2 * MIB);
		}
		assert_true(calls_in_linux(&world->calls));
	}
}

/* One whose dispatcher lies elsewhere, or whose entry; and none yet. */
static void test_another_kernels(void **state)
{
	struct world *world = *state;

	boot_linux(world, 9);
	open_text(world, "ffffffff81020000 T entry_SYSCALL_64\n"
			 "ffffffff81040010 T do_syscall_64\n");
	assert_false(calls_find(&world->calls));
	open_text(world, "ffffffff81021000 T entry_SYSCALL_64\n"
			 "ffffffff81040000 T do_syscall_64\n");
	assert_false(calls_find(&world->calls));
	assert_true(calls_in_linux(&world->calls));
	open_text(world, MAP);
	assert_true(calls_find(&world->calls));
	put(world, ENTRY + CALL_AT, "\xe9", 1);
	assert_false(calls_find(&world->calls));
	boot_linux(world, 9);
	world->calls.sregs.cr3 = ROOT + 3 * TABLE;
	world->calls.rip = 0x100000;
	assert_false(calls_find(&world->calls));
	assert_false(calls_in_linux(&world->calls));
}

static void assert_next(struct world *world, u64 address, const char *name)
{
	char text[SYMBOL_TEXT_BYTES];

	assert_int_equal(calls_next(&world->calls, UINT64_MAX, text), address);
	if (address)
		assert_string_equal(text, name);
}

/* What lies behind a call, near or indirect, and in a function. */
static void test_a_stack(void **state)
{
	static const u8 indirect[][2] = {{0xff, 0xd0}, {0xff, 0x15}, {0xff, 0x54}, {0xff, 0xe0}};
	const u64 moved = TEXT_START + 100 * 2 * MIB;
	struct world *world = *state;
	u64 at = STACK;

	open_text(world, MAP);
	boot_linux(world, 100);
	put(world, CALLER + 0x20, "\xe8", 1);
	put(world, CALLER + 0x100 - 5, "\xe8", 1);
	put(world, CALLER + 0x30, indirect[0], 2);
	put(world, CALLER + 0x40, indirect[1], 2);
	put(world, CALLER + 0x50, indirect[2], 2);
	put(world, CALLER + 0x60, indirect[3], 2);
	put(world, 0x60000, "\xe8", 1);
	put_word(world, at, 4711);
	put_word(world, at += 8, moved + CALLER + 0x25);
	put_word(world, at += 8, moved + CALLER + 0x26);
	put_word(world, at += 8, moved + CALLER + 0x62); /* a jump */
	put_word(world, at += 8, moved + 0x60005);       /* data */
	put_word(world, at += 8, moved + CALLER + 0x32);
	put_word(world, at += 8, moved + CALLER + 0x46);
	put_word(world, at += 8, moved + CALLER + 0x54);
	put_word(world, at + 8, moved + CALLER + 0x100);
	assert_true(calls_find(&world->calls));
	assert_next(world, moved + CALLER + 0x25, "caller+0x25/0x100");
	assert_next(world, moved + CALLER + 0x32, "caller+0x32/0x100");
	assert_next(world, moved + CALLER + 0x46, "caller+0x46/0x100");
	assert_next(world, moved + CALLER + 0x54, "caller+0x54/0x100");
	assert_next(world, moved + CALLER + 0x100, "caller+0x100/0x100");
	assert_next(world, 0, "");
	world->calls.rsp = moved + STACK;
	assert_int_equal(calls_next(&world->calls, moved + STACK + 8, (char[SYMBOL_TEXT_BYTES]){0}),
			 0);
}

static void test_hostile_stack_pointers(void **state)
{
	static const u64 hostile[] = {0,          1,
				      RAM_BYTES,  0x800000000000,
				      UINT64_MAX, UINT64_MAX - 7,
				      TEXT_START, TEXT_START + 100 * 2 * MIB + RAM_BYTES - 4};
	struct world *world = *state;

	open_text(world, MAP);
	boot_linux(world, 100);
	assert_true(calls_find(&world->calls));
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		world->calls.rsp = hostile[i];
		assert_next(world, 0, "");
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_map),
		TEST(test_kallsyms),
		TEST(test_a_long_name),
		TEST(test_elf),
		TEST(test_another_build),
		TEST(test_bad_text),
		TEST(test_bad_elf),
		TEST(test_every_slide),
		TEST(test_another_kernels),
		TEST(test_a_stack),
		TEST(test_hostile_stack_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
