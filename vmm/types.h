/*
 * The short integer names and the few helpers that every file uses.
 *
 * Guest physical addresses are always u64 and are called gpa; arithmetic on numbers that a guest
 * or a file supplied goes through add_overflows().
 */
#ifndef BANTAM_VMM_TYPES_H
#define BANTAM_VMM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long
	u64; /* as the kernel has it, on every architecture: printf takes it as %llu */

#define KIB ((u64)1 << 10)
#define MIB ((u64)1 << 20)
#define GIB ((u64)1 << 30)

#define PAGE_BYTES ((u64)4096)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of a type whose member the pointer leads to. */
#define CONTAINER_OF(pointer, type, member)                                                        \
	((type *)(void *)((u8 *)(pointer)-offsetof(type, member)))

#define PACKED          __attribute__((packed))
#define PRINTF(fmt, at) __attribute__((format(printf, fmt, at)))

/* Stores a + b in *sum; true when the sum does not fit into 64 bits. */
static inline bool add_overflows(u64 a, u64 b, u64 *sum)
{
	return __builtin_add_overflow(a, b, sum);
}

/* Adds to a counter that one thread writes and others may read meanwhile. */
static inline void count_up(u64 *counter, u64 by)
{
	__atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

static inline u64 count_read(const u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Rounds down / up to a multiple of `to`, a power of two. align_up() wraps only above 2^64 - to. */
static inline u64 align_down(u64 value, u64 to)
{
	return value & ~(to - 1);
}

static inline u64 align_up(u64 value, u64 to)
{
	return align_down(value + to - 1, to);
}

#endif
