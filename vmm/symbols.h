/*
 * The names of the guest kernel's functions: --symbols.
 *
 * The file is a System.map, a copy of a running kernel's /proc/kallsyms, or an ELF file with a symbol
 * table (vmlinux, or a kernel of one's own). It is read once, before the process locks itself in, into
 * one array that is sorted by address; later nothing is allocated. Nothing in it is trusted: what has
 * another form, or is longer than SYMBOLS_MAX_BYTES, is refused. Modules' lines in a kallsyms are left
 * out: they lie elsewhere at each boot.
 *
 * A function reaches up to the next symbol, as in the kernel's own reports: a System.map tells no sizes.
 *
 * Source: System V ABI, "Symbol Table"; nm(1) for the letters in a System.map.
 */
#ifndef BANTAM_VMM_SYMBOLS_H
#define BANTAM_VMM_SYMBOLS_H

#include <stdatomic.h>

#include "vmm/error.h"
#include "vmm/memory.h"

#define SYMBOLS_MAX_BYTES (64 * MIB)
enum { SYMBOL_TEXT_BYTES = 160, SYMBOLS_NOTE_BYTES = 64 };

struct symbol {
	u64 address;
	u32 name; /* where it begins in struct symbols' names */
	u8 code;  /* 0: it is data; 1: a label in code, or a function; 2: certainly a function */
};

struct symbols {
	struct symbol *symbol;
	size_t count; /* 0: there are none */
	char *names;
	u64 entry, dispatcher; /* entry_SYSCALL_64 and do_syscall_64; 0: it isn't Linux */
	atomic_ullong
		slide; /* so far Linux lay behind its addresses here when it was looked for last */
	atomic_bool foreign;      /* the trace has noticed that these are another kernel's */
	u64 note_gpa, note_bytes; /* an ELF file's note of its build */
	u8 note[SYMBOLS_NOTE_BYTES];
};

/*
 * Reads the file into an all-zero struct. Returns 0, or -1 with err set to a line that names it; symbols_close() is due in both
 * cases.
 */
int symbols_open(struct symbols *symbols, const char *path, struct error *err);
void symbols_close(struct symbols *symbols);

/*
 * Whether memory may hold the kernel that the symbols are of, before it runs: the notes of an ELF file
 * that isn't Linux's, which has its build's number there, are looked for. Returns 0, or -1 with err set.
 */
int symbols_check(const struct symbols *symbols, const struct memory *memory, struct error *err);

/*
 * Writes "name+0x12/0x80" to text: the function that the byte `back` before address lies in, how far in
 * address is, and the function's size. Returns false, with an empty text, when it lies in none.
 */
bool symbols_describe(const struct symbols *symbols, u64 address, u64 back,
		      char text[SYMBOL_TEXT_BYTES]);

#endif
