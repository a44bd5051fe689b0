/*
 * bare_machine - the least that a virtual machine takes of the host: made, one instruction run, gone.
 *
 * The calls are those that bantam makes for a machine with one vCPU, interrupt controllers in the kernel
 * and 256 MiB, and no other: no devices, no thread, no sandbox. The instruction is a HLT that KVM is told
 * to stop behind (single step), so that the guest doesn't sleep.
 *
 * Status 1 and a line on standard error when a call fails.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_BYTES (256u << 20)

static int must(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

/* Past the C library, some of which take the request as an int. */
static int call(int fd, unsigned long request, uintptr_t argument, const char *what)
{
	return must((int)syscall(SYS_ioctl, fd, request, argument), what);
}

static void start_at_0(int vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rflags = 2};
	struct kvm_guest_debug step = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};

	call(vcpu, KVM_GET_SREGS, (uintptr_t)&sregs, "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	call(vcpu, KVM_SET_SREGS, (uintptr_t)&sregs, "KVM_SET_SREGS");
	call(vcpu, KVM_SET_REGS, (uintptr_t)&regs, "KVM_SET_REGS");
	call(vcpu, KVM_SET_GUEST_DEBUG, (uintptr_t)&step, "KVM_SET_GUEST_DEBUG");
}

int main(void)
{
	const int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	const int vm = call(kvm, KVM_CREATE_VM, 0, "KVM_CREATE_VM");
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	struct kvm_userspace_memory_region slot = {.memory_size = MEMORY_BYTES};
	uint8_t *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int vcpu;

	if (memory == MAP_FAILED)
		must(-1, "mmap");
	memory[0] = 0xf4; /* HLT */
	slot.userspace_addr = (uintptr_t)memory;
	call(vm, KVM_SET_TSS_ADDR, 0xfffbd000, "KVM_SET_TSS_ADDR");
	call(vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&slot, "KVM_SET_USER_MEMORY_REGION");
	call(vm, KVM_CREATE_IRQCHIP, 0, "KVM_CREATE_IRQCHIP");
	call(vm, KVM_CREATE_PIT2, (uintptr_t)&pit, "KVM_CREATE_PIT2");
	vcpu = call(vm, KVM_CREATE_VCPU, 0, "KVM_CREATE_VCPU");
	if (mmap(NULL, (size_t)call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0, "KVM_GET_VCPU_MMAP_SIZE"),
		 PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0) == MAP_FAILED)
		must(-1, "mmap of the vCPU");
	start_at_0(vcpu);
	call(vcpu, KVM_RUN, 0, "KVM_RUN");
	return 0;
}
