/*
 * Errors as one line of text, and the lines that bantam itself says on stderr.
 *
 * A function that can fail takes a struct error, returns -1 and leaves in it one clear line: what
 * failed, why, and what to do. Nobody but main decides that a line is printed or the process ends.
 */
#ifndef BANTAM_VMM_ERROR_H
#define BANTAM_VMM_ERROR_H

#include <errno.h>
#include <string.h>

#include "vmm/types.h"

struct error {
	char text[768];
	/* A second line on what to do, where the first has no room for it; or empty. */
	char remedy[512];
};

/*
 * Fills err->text, printf-like, and empties the remedy; a text that is too long is cut. Returns -1,
 * so that a caller can say `return error_set(...)`.
 */
int error_set(struct error *err, const char *format, ...) PRINTF(2, 3);

/* The same, with ": " and what errno says behind it. */
#define error_errno(err, format, ...) error_set(err, format ": %s", ##__VA_ARGS__, strerror(errno))

/*
 * Puts "<printf-like text>: " in front of what err already says. Returns -1.
 */
int error_prefix(struct error *err, const char *format, ...) PRINTF(2, 3);

/*
 * Writes "bantam: <text>" and a line end to stderr with a single write. Control characters are
 * replaced, so that text from a guest or a file name can't steer the user's terminal.
 */
void say(const char *format, ...) PRINTF(1, 2);

/* Whether stderr takes something now or within a second: nobody waits longer for a stalled one. */
bool stderr_is_ready(void);

/*
 * Replaces every control character in text by '?', line ends too, and U+0080 to U+009F, whether
 * they stand as UTF-8 or as single bytes. Other bytes above 0x7f stay: they are parts of letters.
 */
void text_clean(char *text);

#endif
