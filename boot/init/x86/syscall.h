/*
 * A system call on x86-64: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9, result in rax;
 * the instruction itself overwrites rcx and r11.
 */
#ifndef BOOT_INIT_X86_SYSCALL_H
#define BOOT_INIT_X86_SYSCALL_H

static inline long system_call(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

#endif
