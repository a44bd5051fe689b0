/*
 * The names of the guest kernel's functions: see symbols.h.
 */
#include "vmm/symbols.h"

#include <ctype.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/file.h"

enum { SECTIONS_MAX = 256, ADDRESS_DIGITS = 16, NAME_PRINTED = 120 };

/* Up to what isn't plain text: names go to people's terminals. */
static size_t name_length(const char *name)
{
	size_t length = 0;

	while (isgraph((unsigned char)name[length]))
		length++;
	return length;
}

/* By address. Of several at one address the last is found: a function if there is one, the first name. */
static int compare(const void *left, const void *right)
{
	const struct symbol *a = left, *b = right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->code != b->code)
		return a->code < b->code ? -1 : 1;
	return (a->name < b->name) - (a->name > b->name);
}

/* bytes of the file and a NUL behind them, or NULL with err set. */
static void *read_piece(const struct boot_file *file, u64 offset, u64 bytes, struct error *err)
{
	char *piece;

	if (bytes > SYMBOLS_MAX_BYTES) {
		error_set(err, "its symbols are longer than %llu MiB", SYMBOLS_MAX_BYTES / MIB);
		return NULL;
	}
	piece = malloc((size_t)bytes + 1);
	if (!piece) {
		error_set(err, "no memory for its symbols");
		return NULL;
	}
	piece[bytes] = '\0';
	if (file_read(file, offset, piece, bytes, err) == 0)
		return piece;
	free(piece);
	return NULL;
}

static int reserve(struct symbols *symbols, u64 count, struct error *err)
{
	symbols->symbol = calloc((size_t)count + 1, sizeof(struct symbol));
	return symbols->symbol ? 0 : error_set(err, "no memory for its symbols");
}

/* "ffffffff81000000 T _text", and in a kallsyms "\t[module]" behind it. Returns what follows, or NULL. */
static char *take_line(struct symbols *symbols, char *line)
{
	struct symbol *symbol = &symbols->symbol[symbols->count];
	char *end = line, *name;

	symbol->address = isxdigit((unsigned char)*line) ? strtoull(line, &end, 16) : 0;
	if (end == line || end - line > ADDRESS_DIGITS || end[0] != ' ' ||
	    !isalpha((unsigned char)end[1]) || end[2] != ' ')
		return NULL;
	symbol->code = strchr("tTwW", end[1]) != NULL;
	name = end + 3;
	end = name + name_length(name);
	symbol->name = (u32)(name - symbols->names);
	line = end + strcspn(end, "\n");
	symbols->count += end == line && end > name;
	if (*line)
		*line++ = '\0';
	*end = '\0';
	return line;
}

static int take_text(struct symbols *symbols, const struct boot_file *file, struct error *err)
{
	u64 lines = 1;
	char *at;

	symbols->names = read_piece(file, 0, file->bytes, err);
	if (!symbols->names)
		return -1;
	for (at = symbols->names; (at = strchr(at, '\n')); at++)
		lines++;
	if (reserve(symbols, lines, err))
		return -1;
	lines = 0;
	for (at = symbols->names; at < symbols->names + file->bytes; lines++) {
		at = take_line(symbols, at);
		if (!at)
			return error_set(
				err, "line %llu isn't \"ADDRESS TYPE NAME\", as in a System.map",
				lines + 1);
	}
	return 0;
}

static void take_elf_symbols(struct symbols *symbols, const Elf64_Sym *entry, u64 entries,
			     u64 name_bytes, const Elf64_Shdr *section, unsigned sections)
{
	for (u64 i = 0; i < entries; i++) {
		const unsigned type = ELF64_ST_TYPE(entry[i].st_info), home = entry[i].st_shndx;
		const char *name = symbols->names + entry[i].st_name;

		if (home == SHN_UNDEF || type == STT_SECTION || type == STT_FILE ||
		    entry[i].st_name >= name_bytes || !*name || name[name_length(name)])
			continue;
		symbols->symbol[symbols->count++] = (struct symbol){
			.address = entry[i].st_value,
			.name = entry[i].st_name,
			.code = home < sections && (section[home].sh_flags & SHF_EXECINSTR)
					? 1 + (type == STT_FUNC)
					: 0,
		};
	}
}

static int take_elf(struct symbols *symbols, const struct boot_file *file, struct error *err)
{
	Elf64_Shdr section[SECTIONS_MAX];
	const Elf64_Shdr *table = section, *names;
	Elf64_Ehdr header;
	Elf64_Sym *entry;

	if (file_read(file, 0, &header, sizeof(header), err))
		return -1;
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 ||
	    header.e_shentsize != sizeof(section[0]) || header.e_shnum > SECTIONS_MAX)
		return error_set(err, "it is no 64-bit ELF file of a kernel for x86");
	if (file_read(file, header.e_shoff, section, header.e_shnum * sizeof(section[0]), err))
		return -1;
	while (table < section + header.e_shnum && table->sh_type != SHT_SYMTAB)
		table++;
	if (table == section + header.e_shnum || table->sh_link >= header.e_shnum)
		return error_set(err, "it has no symbol table: it was stripped");
	for (unsigned i = header.e_shnum; i-- > 0;) {
		if (section[i].sh_type != SHT_NOTE || !(section[i].sh_flags & SHF_ALLOC))
			continue;
		symbols->note_gpa = section[i].sh_addr;
		symbols->note_bytes = section[i].sh_size < SYMBOLS_NOTE_BYTES ? section[i].sh_size
									      : SYMBOLS_NOTE_BYTES;
		if (file_read(file, section[i].sh_offset, symbols->note, symbols->note_bytes, err))
			return -1;
	}
	names = &section[table->sh_link];
	symbols->names = read_piece(file, names->sh_offset, names->sh_size, err);
	entry = symbols->names ? read_piece(file, table->sh_offset, table->sh_size, err) : NULL;
	if (!entry || reserve(symbols, table->sh_size / sizeof(*entry), err)) {
		free(entry);
		return -1;
	}
	take_elf_symbols(symbols, entry, table->sh_size / sizeof(*entry), names->sh_size, section,
			 header.e_shnum);
	free(entry);
	return 0;
}

static u64 address_of(const struct symbols *symbols, const char *name)
{
	for (size_t i = 0; i < symbols->count; i++) {
		if (strcmp(symbols->names + symbols->symbol[i].name, name) == 0)
			return symbols->symbol[i].address;
	}
	return 0;
}

static int take_file(struct symbols *symbols, const struct boot_file *file, struct error *err)
{
	char magic[SELFMAG] = "";
	size_t code = 0;

	if (file->bytes >= SELFMAG && file_read(file, 0, magic, SELFMAG, err))
		return -1;
	if (memcmp(magic, ELFMAG, SELFMAG) == 0 ? take_elf(symbols, file, err)
						: take_text(symbols, file, err))
		return -1;
	qsort(symbols->symbol, symbols->count, sizeof(symbols->symbol[0]), compare);
	for (size_t i = 0; i < symbols->count; i++)
		code += symbols->symbol[i].code > 0;
	if (code == 0)
		return error_set(err, "it names no function; Debian's System.map is a stub: take "
				      "/proc/kallsyms, read by root in a guest with that kernel");
	if (symbols->symbol[symbols->count - 1].address == 0)
		return error_set(err,
				 "all its addresses are 0: /proc/kallsyms shows others to root");
	symbols->dispatcher = address_of(symbols, "do_syscall_64");
	symbols->entry = symbols->dispatcher ? address_of(symbols, "entry_SYSCALL_64") : 0;
	return 0;
}

int symbols_open(struct symbols *symbols, const char *path, struct error *err)
{
	struct boot_file file;
	int status;

	if (file_open(&file, path, 0, err))
		return error_prefix(err, "--symbols '%s'", path);
	status = take_file(symbols, &file, err);
	file_close(&file);
	return status ? error_prefix(err, "--symbols '%s'", path) : 0;
}

void symbols_close(struct symbols *symbols)
{
	free(symbols->symbol);
	free(symbols->names);
	*symbols = (struct symbols){.count = 0};
}

int symbols_check(const struct symbols *symbols, const struct memory *memory, struct error *err)
{
	u8 note[SYMBOLS_NOTE_BYTES];

	if (symbols->entry || !symbols->note_bytes ||
	    !memory_read(memory, symbols->note_gpa, note, symbols->note_bytes) ||
	    memcmp(note, symbols->note, symbols->note_bytes) == 0)
		return 0;
	return error_set(err, "--symbols: these symbols are another kernel's");
}

bool symbols_describe(const struct symbols *symbols, u64 address, u64 back,
		      char text[SYMBOL_TEXT_BYTES])
{
	const struct symbol *symbol;
	size_t low = 0, high = symbols->count;

	text[0] = '\0';
	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (symbols->symbol[middle].address <= address - back)
			low = middle + 1;
		else
			high = middle;
	}
	/* Nobody knows where the last one ends. */
	if (low == 0 || low == symbols->count || !symbols->symbol[low - 1].code)
		return false;
	symbol = &symbols->symbol[low - 1];
	snprintf(text, SYMBOL_TEXT_BYTES, "%.*s+0x%llx/0x%llx", NAME_PRINTED,
		 symbols->names + symbol->name, address - symbol->address,
		 symbol[1].address - symbol->address);
	return true;
}
