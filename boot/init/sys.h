/*
 * The system calls that init makes, without a C library: each returns what the kernel returns, so
 * an error is a negative errno. Arguments and their order are those of the manual's section 2, where
 * the library doesn't change them.
 */
#ifndef BOOT_INIT_SYS_H
#define BOOT_INIT_SYS_H

#include <asm/unistd.h>

#include "boot/init/x86/syscall.h"
#include "vmm/types.h"

struct pollfd;

#define SYS0(name)                                                                                 \
	static inline long sys_##name(void)                                                        \
	{                                                                                          \
		return system_call(__NR_##name, 0, 0, 0, 0, 0, 0);                                 \
	}
#define SYS1(name, A)                                                                              \
	static inline long sys_##name(A a)                                                         \
	{                                                                                          \
		return system_call(__NR_##name, (long)a, 0, 0, 0, 0, 0);                           \
	}
#define SYS2(name, A, B)                                                                           \
	static inline long sys_##name(A a, B b)                                                    \
	{                                                                                          \
		return system_call(__NR_##name, (long)a, (long)b, 0, 0, 0, 0);                     \
	}
#define SYS3(name, A, B, C)                                                                        \
	static inline long sys_##name(A a, B b, C c)                                               \
	{                                                                                          \
		return system_call(__NR_##name, (long)a, (long)b, (long)c, 0, 0, 0);               \
	}
#define SYS4(name, A, B, C, D)                                                                     \
	static inline long sys_##name(A a, B b, C c, D d)                                          \
	{                                                                                          \
		return system_call(__NR_##name, (long)a, (long)b, (long)c, (long)d, 0, 0);         \
	}
#define SYS5(name, A, B, C, D, E)                                                                  \
	static inline long sys_##name(A a, B b, C c, D d, E e)                                     \
	{                                                                                          \
		return system_call(__NR_##name, (long)a, (long)b, (long)c, (long)d, (long)e, 0);   \
	}

SYS4(openat, int, const char *, int, u32)
SYS1(close, int)
SYS3(read, int, void *, size_t)
SYS3(write, int, const void *, size_t)
SYS3(ioctl, int, unsigned long, const void *)
SYS3(fcntl, int, int, long)
SYS3(poll, struct pollfd *, size_t, int)
SYS2(pipe2, int *, int)
SYS2(dup2, int, int)
SYS3(fchown, int, u32, u32)
SYS3(mkdirat, int, const char *, u32)
SYS3(unlinkat, int, const char *, int)
SYS3(symlinkat, const char *, int, const char *)
SYS3(getdents64, int, void *, size_t)
SYS1(chdir, const char *)
SYS2(chmod, const char *, u32)
SYS2(access, const char *, int)
SYS5(mount, const char *, const char *, const char *, unsigned long, const void *)
SYS2(umount2, const char *, int)
SYS0(sync)
SYS3(finit_module, int, const char *, int)
SYS4(mremap, void *, size_t, size_t, int)
SYS0(getpid)
SYS0(fork)
SYS0(setsid)
SYS2(setgroups, size_t, const u32 *)
SYS1(setgid, u32)
SYS1(setuid, u32)
SYS3(execve, const char *, char *const *, char *const *)
SYS4(wait4, int, int *, int, void *)
SYS2(kill, int, int)
SYS4(rt_sigprocmask, int, const u64 *, u64 *, size_t)
SYS4(signalfd4, int, const u64 *, size_t, int)
SYS2(sethostname, const char *, size_t)
SYS3(socket, int, int, int)
SYS4(reboot, u32, u32, u32, const void *)
SYS1(exit_group, int)

/* `bytes` of zeroed memory of our own, a negative errno as a pointer's bits on failure. */
static inline long sys_mmap_memory(size_t bytes)
{
	enum { READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22 };

	return system_call(__NR_mmap, 0, (long)bytes, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
}

#endif
