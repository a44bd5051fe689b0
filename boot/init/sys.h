/*
 * The system calls, without a C library: sys(read, fd, buffer, bytes) returns what the kernel returns,
 * so an error is a negative errno. Arguments and their order are those of the manual's section 2;
 * nobody checks their types. What has no arguments gets a 0.
 */
#ifndef BOOT_INIT_SYS_H
#define BOOT_INIT_SYS_H

#include <asm/unistd.h>

#include "boot/init/x86/syscall.h"

#define SYS_PADDED(number, a, b, c, d, e, f, ...)                                                  \
	system_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define sys(name, ...) SYS_PADDED(__NR_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

#endif
