/*
 * snprintf(3) for what is said often: see format.h.
 */
#include "vmm/format.h"

#include <stdbool.h>
#include <string.h>

#include "vmm/types.h"

struct output {
	char *at, *end; /* end: where the NUL goes when there is no more room */
};

struct conversion {
	bool zeroes, longs;   /* longs: 64 bits; l, ll and z */
	int width, precision; /* precision: -1 without one */
	char kind;
};

static void put(struct output *out, const char *text, size_t bytes)
{
	const size_t room = (size_t)(out->end - out->at);

	if (bytes > room)
		bytes = room;
	memcpy(out->at, text, bytes);
	out->at += bytes;
}

static void pad(struct output *out, char with, int count)
{
	for (; count > 0 && out->at < out->end; count--)
		*out->at++ = with;
}

static void put_number(struct output *out, const struct conversion *what, u64 value, bool minus)
{
	char digits[24], *first = digits + sizeof(digits);
	int blank;

	/* Two loops: to divide by a number that the compiler knows takes a fraction of the time. */
	if (what->kind == 'x') {
		do
			*--first = "0123456789abcdef"[value % 16];
		while (value /= 16);
	} else {
		do
			*--first = (char)('0' + value % 10);
		while (value /= 10);
	}
	blank = what->width - (int)(digits + sizeof(digits) - first) - minus;
	if (!what->zeroes)
		pad(out, ' ', blank);
	if (minus)
		pad(out, '-', 1);
	if (what->zeroes)
		pad(out, '0', blank);
	put(out, first, (size_t)(digits + sizeof(digits) - first));
}

static void put_string(struct output *out, const struct conversion *what, const char *string)
{
	const size_t bytes = what->precision >= 0 ? strnlen(string, (size_t)what->precision)
						  : strlen(string);

	pad(out, ' ', what->width - (int)bytes);
	put(out, string, bytes);
}

struct source {
	const char *at;
	va_list args;
};

static int take_number(struct source *source)
{
	int number = 0;

	if (*source->at == '*') {
		source->at++;
		return va_arg(source->args, int);
	}
	for (; *source->at >= '0' && *source->at <= '9' && number < 1000; source->at++)
		number = 10 * number + (*source->at - '0');
	return number;
}

/* What stands behind a %. */
static struct conversion take_conversion(struct source *source)
{
	struct conversion what = {.precision = -1};

	for (; *source->at == '0'; source->at++)
		what.zeroes = true;
	what.width = take_number(source);
	if (*source->at == '.') {
		source->at++;
		what.precision = take_number(source);
	}
	for (; *source->at == 'l' || *source->at == 'z'; source->at++)
		what.longs = true;
	what.kind = *source->at;
	return what;
}

/* Returns false for a conversion that isn't known. */
static bool convert(struct output *out, const struct conversion *what, struct source *source)
{
	long long value;
	char c = '%';

	switch (what->kind) {
	case 's':
		put_string(out, what, va_arg(source->args, const char *));
		return true;
	case 'u':
	case 'x':
		put_number(out, what,
			   what->longs ? va_arg(source->args, u64) : va_arg(source->args, unsigned),
			   false);
		return true;
	case 'd':
		value = what->longs ? va_arg(source->args, long long) : va_arg(source->args, int);
		put_number(out, what, value < 0 ? -(u64)value : (u64)value, value < 0);
		return true;
	case 'c':
		c = (char)va_arg(source->args, int);
		put(out, &c, 1);
		return true;
	case '%':
		put(out, &c, 1);
		return true;
	default:
		return false;
	}
}

size_t format_args(char *text, size_t bytes, const char *format, va_list args)
{
	struct output out = {text, text + bytes - 1};
	struct source source = {.at = format};

	va_copy(source.args, args);
	for (;;) {
		const size_t plain = strcspn(source.at, "%");
		struct conversion what;

		put(&out, source.at, plain);
		source.at += plain;
		if (!*source.at++)
			break;
		what = take_conversion(&source);
		if (!convert(&out, &what, &source))
			break;
		source.at++;
	}
	va_end(source.args);
	*out.at = '\0';
	return (size_t)(out.at - text);
}

size_t format_text(char *text, size_t bytes, const char *format, ...)
{
	va_list args;
	size_t used;

	va_start(args, format);
	used = format_args(text, bytes, format, args);
	va_end(args);
	return used;
}
