/* Strings and decimal numbers: see text.h. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "boot/init/text.h"

void text_join(char *to, size_t bytes, ...)
{
	va_list list;
	size_t at = 0;

	va_start(list, bytes);
	for (const char *from; (from = va_arg(list, const char *));)
		while (*from && at + 1 < bytes)
			to[at++] = *from++;
	va_end(list);
	to[at] = '\0';
}

const char *text_number(struct digits *digits, u64 number)
{
	char *at = digits->text + sizeof(digits->text) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	return at;
}

bool text_to_number(const char *text, u64 max, u64 *number)
{
	u64 value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		const u64 digit = (u64)*text - '0';

		/* What is no digit is greater than 9, too: the difference wraps. */
		if (digit > 9 || digit > max || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return true;
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

bool text_to_numbers(char *text, size_t count, u64 max, u64 *numbers)
{
	for (size_t i = 0; i < count; i++) {
		const char *word = text_split(&text, ' ');

		if (!word || !text_to_number(word, max, &numbers[i]))
			return false;
	}
	return !text;
}

const char *text_error(struct digits *digits, long error)
{
	static const struct {
		int error;
		const char *text;
	} table[] = {
		{EPERM, "operation not permitted"},
		{ENOENT, "no such file or directory"},
		{EIO, "input/output error"},
		{E2BIG, "argument list too long"},
		{ENOEXEC, "exec format error"},
		{ENOMEM, "out of memory"},
		{EACCES, "permission denied"},
		{EBUSY, "device or resource busy"},
		{ENODEV, "no such device"},
		{ENOTDIR, "not a directory"},
		{EISDIR, "is a directory"},
		{EINVAL, "invalid argument"},
		{ETXTBSY, "text file busy"},
		{ENOSPC, "no space left on device"},
		{EROFS, "read-only file system"},
		{ENAMETOOLONG, "file name too long"},
		{ENOSYS, "function not implemented"},
		{ELOOP, "too many symbolic links"},
		{ENETUNREACH, "network is unreachable"},
	};
	struct digits number;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].error == (error < 0 ? -error : error))
			return table[i].text;
	text_join(digits->text, sizeof(digits->text), "error ",
		  text_number(&number, (u64)(error < 0 ? -error : error)), NULL);
	return digits->text;
}
