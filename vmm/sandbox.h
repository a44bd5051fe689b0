/*
 * The sandbox: what the process can still ask of the kernel once the guest runs.
 *
 * Every thread has an allow-list of system calls, by its kind. The lists aren't kept here: a file
 * that makes a call after start-up names it there, with SANDBOX_CALLS(), for the kinds of threads
 * on which it does; the linker collects the tables and sandbox_enter() makes a seccomp filter of
 * them. What isn't listed ends the process: on vCPU and worker threads at once, on the main thread
 * by a signal whose handler restores the terminal and names the call.
 *
 * Where a call can do more than the program asks of it, the row says which arguments are meant; other
 * ones are refused as if the call weren't listed. What a C library only tries, and does without, is
 * answered with an error that it knows.
 *
 * Limits: a filter sees numbers, not what pointers lead to. Files are open by then, and only a file
 * server's threads may open more: it is their code, and Landlock, that stays below the shared
 * directories. A kernel without seccomp runs without, and --verbose says so.
 *
 * Source: Linux Documentation/userspace-api/seccomp_filter.rst, no_new_privs.rst.
 */
#ifndef BANTAM_VMM_SANDBOX_H
#define BANTAM_VMM_SANDBOX_H

#include <errno.h>
#include <sys/syscall.h>

#include "vmm/error.h"
#include "vmm/types.h"

enum sandbox_mode {
	SANDBOX_ON,
	SANDBOX_AUDIT, /* calls that aren't listed are logged by the kernel, and happen; NO_CALL() stays */
	SANDBOX_OFF,
};

/* Kinds of threads, as bits. */
enum {
	SANDBOX_MAIN = 1 << 0,
	SANDBOX_VCPU = 1 << 1,
	/* The main thread where a reset restarts the guest: it makes machines after the lock. */
	SANDBOX_RESTART = 1 << 2,
	SANDBOX_WORKER = 1 << 3,  /* a device's worker, and its helpers */
	SANDBOX_NET = 1 << 4,     /* a network's worker, besides */
	SANDBOX_CHILD = 1 << 5,   /* the main thread that has a passt */
	SANDBOX_CONNECT = 1 << 6, /* the main thread that connects to a network's socket again */
	SANDBOX_STREAM = 1 << 7,  /* the worker of the guest's streams, besides */
	SANDBOX_FILES = 1 << 8,   /* a file server's threads, besides */
	SANDBOX_CHANGE = 1 << 9,  /* those of one whose directory the guest may change */
	SANDBOX_RING = 1 << 10,   /* a worker with an io_uring */
	SANDBOX_HELPER = 1 << 11, /* a thread that does a disk's operations where there is none */
	SANDBOX_SOCKET = 1 << 12, /* any, where stdout or stderr is a socket */
	SANDBOX_LIMIT = 1 << 13,  /* a disk's worker where it has a limit */
	SANDBOX_REPORT = 1 << 14, /* the main thread that writes a result, a report or statistics */
	SANDBOX_GDB = 1 << 15,    /* the main thread with --gdb */
	SANDBOX_ALL = SANDBOX_MAIN | SANDBOX_VCPU | SANDBOX_WORKER,
};

/* What an argument (0 to 5) must be: of its lower half, the bits of mask are those of value. */
struct sandbox_argument {
	u32 number, mask, value;
};

enum { SANDBOX_ARGUMENTS = 2 };

/* A flag beside an argument's number: its value is the number of this process. */
enum { SANDBOX_SELF = 8 };

/*
 * One row: the threads of these kinds make this call, for this reason. Of several rows for a call one
 * must fit.
 */
struct sandbox_call {
	int number; /* SYS_… */
	u32 threads;
	const char *name;
	const char *why;
	u32 error; /* 0: it happens; else what it is answered with */
	struct sandbox_argument argument[SANDBOX_ARGUMENTS]; /* mask 0: any */
};

/* CALL(ioctl, SANDBOX_VCPU, "runs the guest", IS(1, KVM_RUN)) */
#define CALL(name, threads, why, ...)                                                              \
	{                                                                                          \
		SYS_##name, threads, #name, why, 0,                                                \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define NO_CALL(name, threads, error, why)                                                         \
	{                                                                                          \
		SYS_##name, threads, #name, why, error,                                            \
		{                                                                                  \
			{                                                                          \
				0, 0, 0                                                            \
			}                                                                          \
		}                                                                                  \
	}
#define IS(number, value)                                                                          \
	{                                                                                          \
		number, ~(u32)0, (u32)(value)                                                      \
	}
#define SELF(number)                                                                               \
	{                                                                                          \
		(number) | SANDBOX_SELF, ~(u32)0, 0                                                \
	}
#define HAS(number, mask, value)                                                                   \
	{                                                                                          \
		number, (u32)(mask), (u32)(value)                                                  \
	}

/*
 * SANDBOX_CALLS(file, CALL(poll, SANDBOX_MAIN, "waits for events"), …): a table of rows, placed
 * where sandbox.c finds all of them. The arrays stand side by side there, without padding: their
 * sizes are multiples of their alignment.
 */
#define SANDBOX_CALLS(name, ...)                                                                   \
	static const struct sandbox_call sandbox_calls_##name[]                                    \
		__attribute__((used, section("sandbox_rows"), aligned(8))) = {__VA_ARGS__}

/* The collected rows, for tests and reports. */
size_t sandbox_calls(const struct sandbox_call **calls);

/*
 * For the main thread before any other is made: gives up new privileges, which the filters need
 * and no child could get back. *mode becomes SANDBOX_OFF where the kernel has no filters. Returns
 * 0, or -1 with err set.
 */
int sandbox_prepare(enum sandbox_mode *mode, struct error *err);

/* Descriptors that were open when the process started, as a set. */
struct descriptor_set {
	u64 bits[16];
};

/* Notes which descriptors above stderr the parent left open; closes all in the set. */
void descriptors_note(struct descriptor_set *set);
void descriptors_close(const struct descriptor_set *set);

/*
 * Locks the calling thread in, for good. threads: its kind, one or more of the bits; the main
 * thread's filter traps. Returns 0, or -1 with err set when the kernel has no seccomp filters.
 */
int sandbox_enter(enum sandbox_mode mode, u32 threads, struct error *err);

#endif
