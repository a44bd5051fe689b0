/* Strings and decimal numbers, for want of a C library. */
#ifndef BOOT_INIT_TEXT_H
#define BOOT_INIT_TEXT_H

#include "vmm/types.h"

/* A number in decimal, its NUL included. */
struct digits {
	char text[21];
};

/* Joins the strings up to a NULL in `to`, `bytes` long with the NUL; cuts what has no room. */
void text_join(char *to, size_t bytes, ...);

/* Returns the number in decimal, which lies in *digits. */
const char *text_number(struct digits *digits, u64 number);

/* Whether all of text is a decimal number from 0 to max; if so, in *number. */
bool text_to_number(const char *text, u64 max, u64 *number);

/* The same for `count` numbers with one space between each two; takes text apart. */
bool text_to_numbers(char *text, size_t count, u64 max, u64 *numbers);

/*
 * Ends the string at *rest before its first `by`, moves *rest behind that (NULL: there was none),
 * and returns where it began; NULL when *rest was NULL.
 */
char *text_split(char **rest, char by);

/* The errno's meaning in the manual's words, or its number, which then lies in *digits. */
const char *text_error(struct digits *digits, long error);

#endif
