/*
 * The tiny guests of `bantam check`: see check_code.h.
 *
 * The code is kept as bytes with the assembly beside them: so the program needs no assembler at
 * build time and no guest image at run time, and a guest can be read in one look. RDI points to a
 * zeroed page of data, RSP to the end of a stack, RCX holds a number of rounds.
 *
 * Every exception leads to a handler that reports its vector and returns. The host lets it return
 * only from the exception that was provoked, which has no error code on the stack; so one handler
 * does for all.
 *
 * Guest memory, above what long_mode.c places:
 *
 *	0x100000  code
 *	0x101000  IDT: 32 gates of 16 bytes
 *	0x102000  handlers: 8 bytes each
 *	0x103000  stack, growing down from its end
 *	0x104000  data
 *
 * Limits: 64-bit mode only, one vCPU, no interrupts.
 *
 * Source: Intel SDM volume 2 (encodings), volume 3, 6.14.1 "64-Bit Mode IDT", 13.3 (XSAVE),
 * 17.2.4 "Debug Control Register (DR7)".
 */
#include "vmm/x86/check_code.h"

#include <string.h>

#include "boot/x86/handover.h"
#include "boot/x86/layout.h"
#include "vmm/kvm.h"
#include "vmm/x86/cpuid.h"

enum {
	IDT_AT = 0x101000,
	HANDLERS_AT = 0x102000,
	STACK_END = 0x104000,
	DATA_AT = 0x104000,
	PLACED_END = 0x105000,
};
_Static_assert(CHECK_CODE_AT == LAYOUT_HIGH_RAM, "above the boot data");

enum { VECTORS = 32, VECTOR_BREAKPOINT = 3, GATE_BYTES = 16, HANDLER_BYTES = 8 };
/* Present, ring 0, 64-bit interrupt gate. */
enum { GATE_TYPE = 0x8e };

/* clang-format off */
static const u8 long_mode[] = {
	0x48, 0xb8, 0x00, 0x00, 0x00, 0x00,	/* movabs $0x1200000000000000, %rax */
	0x00, 0x00, 0x00, 0x12,
	0x48, 0xc1, 0xe8, 0x38,			/* shr $56, %rax */
	0xe6, CHECK_PORT_DONE,			/* out %al, $DONE */
};

static const u8 system_registers[] = {
	0xb9, 0x80, 0x00, 0x00, 0xc0,		/* mov $0xc0000080, %ecx	EFER */
	0x0f, 0x32,				/* rdmsr */
	0x83, 0xc8, 0x01,			/* or $1, %eax			SCE */
	0x0f, 0x30,				/* wrmsr */
	0x0f, 0x20, 0xd8,			/* mov %cr3, %rax */
	0x0f, 0x22, 0xd8,			/* mov %rax, %cr3 */
	0x0f, 0x20, 0xe0,			/* mov %cr4, %rax */
	0x48, 0x0d, 0x80, 0x00, 0x00, 0x00,	/* or $0x80, %rax		PGE */
	0x0f, 0x22, 0xe0,			/* mov %rax, %cr4 */
	0x0f, 0x01, 0xf8,			/* swapgs */
	0x0f, 0x01, 0xf8,			/* swapgs */
	0x0f, 0x01, 0x3f,			/* invlpg (%rdi) */
	0x0f, 0x32,				/* rdmsr */
	0x24, 0x01,				/* and $1, %al */
	0x04, 0x20,				/* add $0x20, %al */
	0xe6, CHECK_PORT_DONE,			/* out %al, $DONE */
};

static const u8 cmpxchg16b[] = {
	0x31, 0xc0,				/* xor %eax, %eax		RDX:RAX: the old */
	0x31, 0xd2,				/* xor %edx, %edx */
	0xbb, 0x5a, 0x00, 0x00, 0x00,		/* mov $0x5a, %ebx		RCX:RBX: the new */
	0x31, 0xc9,				/* xor %ecx, %ecx */
	0xf0, 0x48, 0x0f, 0xc7, 0x0f,		/* lock cmpxchg16b (%rdi) */
	0x8a, 0x07,				/* mov (%rdi), %al */
	0xe6, CHECK_PORT_DONE,			/* out %al, $DONE */
};

static const u8 xrstor[] = {
	0x0f, 0x20, 0xe0,			/* mov %cr4, %rax */
	0x48, 0x0d, 0x00, 0x06, 0x04, 0x00,	/* or $0x40600, %rax		OSXSAVE, FXSR */
	0x0f, 0x22, 0xe0,			/* mov %rax, %cr4 */
	0x31, 0xc9,				/* xor %ecx, %ecx		XCR0 */
	0x31, 0xd2,				/* xor %edx, %edx */
	0xb8, 0x03, 0x00, 0x00, 0x00,		/* mov $3, %eax			x87, SSE */
	0x0f, 0x01, 0xd1,			/* xsetbv */
	0x0f, 0xae, 0x27,			/* xsave (%rdi) */
	0x0f, 0xae, 0x2f,			/* xrstor (%rdi) */
	0xe6, CHECK_PORT_DONE,			/* out %al, $DONE */
};

static const u8 int3[] = {
	0xcc,					/* int3				clobbers AL */
	0xb0, 0x33,				/* mov $0x33, %al */
	0xe6, CHECK_PORT_DONE,			/* out %al, $DONE */
};

static const u8 loop[] = {
	0xe6, CHECK_PORT_START,			/* out %al, $START */
	0xff, 0xc9,				/* 1: dec %ecx */
	0x75, 0xfc,				/* jnz 1b */
	0xb0, 0x44,				/* mov $0x44, %al */
	0xe6, CHECK_PORT_DONE,			/* out %al, $DONE */
};

static const u8 handler[HANDLER_BYTES] = {
	0xb0, 0x00,				/* mov $vector, %al		filled in */
	0xe6, CHECK_PORT_EXCEPTION,		/* out %al, $EXCEPTION */
	0x48, 0xcf,				/* iretq */
	0x90, 0x90,
};
/* clang-format on */

const struct check_code check_codes[] = {
	[CHECK_CODE_LONG_MODE] = {long_mode, sizeof(long_mode), 0x12, -1},
	[CHECK_CODE_SYSTEM] = {system_registers, sizeof(system_registers), 0x21, -1},
	[CHECK_CODE_CMPXCHG16B] = {cmpxchg16b, sizeof(cmpxchg16b), 0x5a, -1},
	[CHECK_CODE_XRSTOR] = {xrstor, sizeof(xrstor), 0x03, -1},
	[CHECK_CODE_INT3] = {int3, sizeof(int3), 0x33, VECTOR_BREAKPOINT},
	[CHECK_CODE_LOOP] = {loop, sizeof(loop), 0x44, -1},
};

/* A gate of the IDT: the handler's address in three pieces, and the code segment's selector. */
static void set_gate(u8 *gate, u32 address)
{
	const u16 low = (u16)address, selector = GDT_CODE, high = (u16)(address >> 16);

	memcpy(gate, &low, sizeof(low));
	memcpy(gate + 2, &selector, sizeof(selector));
	gate[5] = GATE_TYPE;
	memcpy(gate + 6, &high, sizeof(high));
}

int check_code_place(const struct memory *memory, const struct check_code *code, struct error *err)
{
	struct place_map map = {.memory = memory};
	u8 *host;

	if (long_mode_place(&map, err))
		return -1;
	host = place_at(&map, "test guest", CHECK_CODE_AT, PLACED_END - CHECK_CODE_AT, err);
	if (!host)
		return -1;
	memcpy(host, code->bytes, code->length);
	for (u32 vector = 0; vector < VECTORS; vector++) {
		const u32 at = HANDLERS_AT + vector * HANDLER_BYTES;

		memcpy(host + (at - CHECK_CODE_AT), handler, sizeof(handler));
		host[at - CHECK_CODE_AT + 1] = (u8)vector;
		set_gate(host + (IDT_AT - CHECK_CODE_AT) + (size_t)vector * GATE_BYTES, at);
	}
	return 0;
}

int check_code_set_registers(int vcpu_fd, u64 rounds, struct error *err)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0 ||
	    kvm_ioctl(vcpu_fd, KVM_GET_REGS, &regs) < 0)
		return error_errno(err, "cannot read the vCPU's registers");
	sregs.idt = (struct kvm_dtable){.base = IDT_AT, .limit = VECTORS * GATE_BYTES - 1};
	regs.rip = CHECK_CODE_AT;
	regs.rsp = STACK_END;
	regs.rdi = DATA_AT;
	regs.rcx = rounds;
	if (kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 ||
	    kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return error_errno(err, "KVM refuses the vCPU's first state");
	return 0;
}

bool check_code_has_xsave(int kvm_fd)
{
	enum { LEAF_FEATURES = 1 };
	const u32 xsave = (u32)1 << 26;
	const struct kvm_cpuid_entry2 *features;
	struct error err;
	struct cpuid cpuid;

	if (cpuid_supported(kvm_fd, &cpuid, &err))
		return false;
	features = cpuid_find(&cpuid, LEAF_FEATURES, 0);
	return features && (features->ecx & xsave);
}

struct kvm_guest_debug check_code_debug(u32 asked)
{
	/* DR7: breakpoint 0 is enabled (L0, G0), on execution, one byte; bit 10 is always set. */
	const u64 dr7 = 0x403;

	return (struct kvm_guest_debug){.control = asked ? KVM_GUESTDBG_ENABLE | asked : 0,
					.arch.debugreg = {[0] = CHECK_CODE_AT, [7] = dr7}};
}
