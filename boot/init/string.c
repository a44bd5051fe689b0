/*
 * The functions of <string.h> that init uses, and those that compilers call of their own accord.
 * A barrier hides from the compiler what the first two do: it would put a call of the same
 * function in the loop's place.
 */
#include <string.h>

#define KEEP_LOOP __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		((char *)to)[i] = ((const char *)from)[i];
		KEEP_LOOP;
	}
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		((char *)to)[i] = (char)value;
		KEEP_LOOP;
	}
	return to;
}

size_t strlen(const char *text)
{
	return (size_t)(strchr(text, '\0') - text);
}

int strncmp(const char *a, const char *b, size_t bytes)
{
	for (; bytes && *a && *a == *b; a++, b++)
		bytes--;
	return bytes ? (unsigned char)*a - (unsigned char)*b : 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, (size_t)-1);
}

char *strchr(const char *text, int wanted)
{
	for (; *text != (char)wanted; text++)
		if (!*text)
			return NULL;
	return (char *)text;
}
