/*
 * The functions of <string.h> that init uses, and those that compilers call of their own accord.
 * Each loop has a barrier that hides from the compiler what it does: it would put a call of the
 * same function in its place.
 */
#include <string.h>

#define KEEP_LOOP() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		((char *)to)[i] = ((const char *)from)[i];
		KEEP_LOOP();
	}
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		((char *)to)[i] = (char)value;
		KEEP_LOOP();
	}
	return to;
}

size_t strlen(const char *text)
{
	size_t length = 0;

	while (text[length]) {
		length++;
		KEEP_LOOP();
	}
	return length;
}

int strncmp(const char *a, const char *b, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		const unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];

		if (x != y || !x)
			return x - y;
		KEEP_LOOP();
	}
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, (size_t)-1);
}

char *strchr(const char *text, int wanted)
{
	for (; *text != (char)wanted; text++) {
		if (!*text)
			return NULL;
		KEEP_LOOP();
	}
	return (char *)text;
}
