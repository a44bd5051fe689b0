/*
 * The first C function, and what both boot protocols have in common: a command line and the address
 * of the ACPI tables. The memmap guests read the rest of the boot information themselves.
 */
#include "lib.h"

struct boot boot;

static u32 get32(const u8 *p, size_t off)
{
	u32 v;

	memcpy(&v, p + off, sizeof(v));
	return v;
}

static u64 get64(const u8 *p, size_t off)
{
	u64 v;

	memcpy(&v, p + off, sizeof(v));
	return v;
}

/* Called by start.S with the protocol and the address of its information. */
_Noreturn void boot_main(enum boot_protocol protocol, const u8 *info)
{
	u64 cmdline;

	boot.protocol = protocol;
	boot.info = info;
	if (protocol == BOOT_PVH) {
		cmdline = get64(info, 24);   /* hvm_start_info.cmdline_paddr */
		boot.rsdp = get64(info, 32); /* hvm_start_info.rsdp_paddr */
	} else {
		cmdline = get32(info, 0x228) | /* hdr.cmd_line_ptr, ext_cmd_line_ptr */
			  (u64)get32(info, 0x0c8) << 32;
		boot.rsdp = get64(info, 0x070); /* boot_params.acpi_rsdp_addr */
	}
	boot.cmdline = cmdline ? (const char *)cmdline : "";
	guest_main();
	power_off();
}

/* Finds WORD at a word's beginning; what follows it must be one of the characters of END. */
static const char *find_word(const char *word, const char *end)
{
	size_t n = strlen(word);
	const char *s = boot.cmdline;

	while (*s) {
		while (*s == ' ')
			s++;
		for (const char *e = end; strlen(s) >= n && !memcmp(s, word, n); e++) {
			if (s[n] == *e)
				return s + n;
			if (!*e)
				break;
		}
		while (*s && *s != ' ')
			s++;
	}
	return NULL;
}

bool cmdline_has(const char *word)
{
	return find_word(word, " ") != NULL; /* the string's own NUL counts as an end, too */
}

u64 cmdline_number(const char *key, u64 otherwise)
{
	const char *s = find_word(key, "=");
	u64 v = 0;

	if (!s || *s != '=')
		return otherwise;
	while (*++s >= '0' && *s <= '9')
		v = v * 10 + (*s - '0');
	return v;
}
