/*
 * Errors as one line of text: see error.h.
 */
#include "vmm/error.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/readwrite.h"

enum { STDERR_PATIENCE_MS = 1000 };

int error_set(struct error *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	/* cppcheck takes the struct that is to be filled for one that is read. */
	// cppcheck-suppress ctuuninitvar
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	err->remedy[0] = '\0';
	return -1;
}

int error_prefix(struct error *err, const char *format, ...)
{
	struct error old = *err;
	va_list args;
	size_t length;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	length = strlen(err->text);
	snprintf(err->text + length, sizeof(err->text) - length, ": %s", old.text);
	return -1;
}

void text_clean(char *text)
{
	unsigned following = 0; /* bytes that the UTF-8 character before still has */

	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		const bool follows = following > 0 && (*at & 0xc0) == 0x80;

		if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
			at[0] = at[1] = '?';
		else if (*at < 0x20 || *at == 0x7f || (*at >= 0x80 && *at < 0xa0 && !follows))
			*at = '?';
		following = follows       ? following - 1
			    : *at >= 0xf0 ? 3
			    : *at >= 0xe0 ? 2
			    : *at >= 0xc0 ? 1
					  : 0;
	}
}

bool stderr_is_ready(void)
{
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

	int ready;

	do
		ready = poll(&fd, 1, STDERR_PATIENCE_MS);
	while (ready < 0 && errno == EINTR);
	return ready > 0;
}

void say(const char *format, ...)
{
	static const char prefix[] = "bantam: ";
	char line[1024];
	const size_t start = sizeof(prefix) - 1;
	const size_t room = sizeof(line) - start - 2;
	struct termios terminal;
	va_list args;
	size_t length;

	memcpy(line, prefix, start);
	va_start(args, format);
	vsnprintf(line + start, room, format, args);
	va_end(args);
	text_clean(line + start);
	length = strlen(line);
	/* On a terminal in raw mode a line feed alone leaves the cursor where it is. */
	if (tcgetattr(STDERR_FILENO, &terminal) == 0 && !(terminal.c_oflag & OPOST))
		line[length++] = '\r';
	line[length++] = '\n';
	/* Nothing can be done when stderr itself fails. */
	if (stderr_is_ready())
		(void)!io_write(STDERR_FILENO, line, length);
}
