/*
 * Text out through a polled UART, the few functions the compiler expects to exist, and the ways a
 * machine ends.
 */
#include "lib.h"
#include <stdarg.h>

/* The ports of the machine's ACPI power registers (the FADT names them; here they are known). */
#define SLEEP_CONTROL 0x600
#define SLEEP_S5      0x34 /* SLP_EN (bit 5) | SLP_TYP 5 (bits 2 to 4) */
#define RESET_PORT    0x602
#define RESET_VALUE   0x01

void putc(char c)
{
	while (!(inb(UART_LSR) & LSR_THRE))
		pause();
	outb(UART_DATA, c);
}

void puts(const char *s)
{
	while (*s)
		putc(*s++);
}

static void put_number(u64 v, unsigned base, unsigned width, char pad)
{
	char text[20];
	unsigned n = 0;

	do {
		text[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (width > n) {
		putc(pad);
		width--;
	}
	while (n)
		putc(text[--n]);
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		unsigned width = 0;
		bool is_long = false;
		char pad = ' ';
		u64 v;

		if (*fmt != '%') {
			putc(*fmt);
			continue;
		}
		if (*++fmt == '0')
			pad = '0';
		for (; *fmt >= '0' && *fmt <= '9'; fmt++)
			width = width * 10 + (*fmt - '0');
		for (; *fmt == 'l'; fmt++)
			is_long = true;
		switch (*fmt) {
		case 's':
			puts(va_arg(ap, const char *));
			break;
		case 'c':
			putc(va_arg(ap, int));
			break;
		case 'd':
			v = is_long ? va_arg(ap, u64) : (u64)va_arg(ap, int);
			if ((int64_t)v < 0) {
				putc('-');
				v = -v;
			}
			put_number(v, 10, width, pad);
			break;
		case 'u':
		case 'x':
			v = is_long ? va_arg(ap, u64) : va_arg(ap, u32);
			put_number(v, *fmt == 'x' ? 16 : 10, width, pad);
			break;
		default:
			putc(*fmt);
		}
	}
	va_end(ap);
}

void hexdump(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		print("%02x", ((const u8 *)p)[i]);
}

/* As string instructions: a loop in C would be turned into a call of the function itself. */
void *memcpy(void *dst, const void *src, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(n)::"memory");
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	void *d = dst;

	__asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

_Noreturn void power_off(void)
{
	outb(SLEEP_CONTROL, SLEEP_S5);
	for (;;) /* the write may take a moment to be acted on */
		halt_forever();
}

_Noreturn void reset(void)
{
	outb(RESET_PORT, RESET_VALUE);
	for (;;)
		halt_forever();
}

/*
 * A fault whose handler can't be found is a double fault; when that has no handler either, the CPU
 * gives up and asks the board for a reset. With an IDT of no entries the first fault goes all the
 * way.
 */
_Noreturn void triple_fault(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) none = {0, 0};

	__asm__ volatile("lidt %0; ud2" ::"m"(none));
	__builtin_unreachable();
}
