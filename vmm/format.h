/*
 * snprintf(3) for what is said often: the lines of the trace, which cost a guest its time.
 *
 * Limits: of conversions %s, %c, %d, %u, %x and %%, with the lengths l, ll and z; of flags 0; a width,
 * and for %s a precision, as number or '*'. Whatever else stands behind a % ends the text there.
 */
#ifndef BANTAM_VMM_FORMAT_H
#define BANTAM_VMM_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* As snprintf(3) and vsnprintf(3), but returns how many bytes are in text, without the NUL. */
size_t format_text(char *text, size_t bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
size_t format_args(char *text, size_t bytes, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

#endif
