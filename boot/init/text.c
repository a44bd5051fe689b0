/* Strings and decimal numbers, for want of a C library. */
#include <errno.h>
#include <string.h>

#include "boot/init/init.h"

size_t text_join(char *to, size_t bytes, const char *const *list)
{
	size_t length = 0;

	for (; *list; list++)
		for (const char *from = *list; *from && length + 1 < bytes; from++)
			to[length++] = *from;
	to[length] = '\0';
	return length;
}

char *text_after(char *text, const char *prefix)
{
	while (*prefix)
		if (*text++ != *prefix++)
			return NULL;
	return text;
}

char *text_split(char **rest, char by)
{
	char *start = *rest;

	if (!start)
		return NULL;
	*rest = strchr(start, by);
	if (*rest)
		*(*rest)++ = '\0';
	return start;
}

bool text_to_number(const char *text, u64 max, u64 *number)
{
	*number = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		const u64 digit = (u64)*text - '0';

		/* What is no digit is greater than 9, too: the difference wraps. */
		if (digit > 9 || digit > max || *number > (max - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return true;
}

bool text_to_numbers(char *text, size_t count, u64 max, u64 *numbers)
{
	const char *word;

	while (count-- && (word = text_split(&text, ' ')))
		if (!text_to_number(word, max, numbers++))
			return false;
	return count == SIZE_MAX && !text;
}

const char *text_number(char *digits, u64 number)
{
	digits += TEXT_DIGITS - 1;
	*digits = '\0';
	do
		*--digits = (char)('0' + number % 10);
	while (number /= 10);
	return digits;
}

const char *text_error(char *digits, long error)
{
	static const char *const words[] = {
		[EPERM] = "operation not permitted", [ENOENT] = "no such file or directory",
		[E2BIG] = "argument list too long",  [ENOEXEC] = "exec format error",
		[ENOMEM] = "out of memory",          [EACCES] = "permission denied",
		[ENODEV] = "no such device",         [ENOTDIR] = "not a directory",
		[EINVAL] = "invalid argument",       [ETXTBSY] = "text file busy",
	};
	const u64 number = (u64)-error;

	if (number < ARRAY_LEN(words) && words[number])
		return words[number];
	text_join(digits, TEXT_DIGITS, STRINGS("error ", TEXT_NUMBER(number)));
	return digits;
}
