/*
 * count - exercise 1: the digits, by a loop in the guest.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static const unsigned char code[] = {
	0xb0, '0',  /* mov $'0', %al */
	0xe6, 0x10, /* next: out %al, $0x10 */
	0xfe, 0xc0, /* inc %al */
	0x3c, ':',  /* cmp $'9' + 1, %al */
	0x75, 0xf8, /* jne next: 8 bytes back from here */
	0xf4,       /* hlt */
};

/* An ioctl that has to succeed. */
static int must(int fd, unsigned long request, void *argument, const char *name)
{
	const int result = ioctl(fd, request, argument);

	if (result < 0)
		err(1, "%s", name);
	return result;
}

#define MUST(fd, request, argument) must(fd, request, argument, #request)

int main(void)
{
	const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		err(1, "/dev/kvm");
	const int vm = MUST(kvm, KVM_CREATE_VM, NULL);

	char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "memory");
	memcpy(memory, code, sizeof(code));
	struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = 0, .memory_size = 4096, .userspace_addr = (unsigned long)memory};
	MUST(vm, KVM_SET_USER_MEMORY_REGION, &slot);

	const int vcpu = MUST(vm, KVM_CREATE_VCPU, NULL);
	const size_t run_bytes = (size_t)MUST(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
	struct kvm_run *run = mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		err(1, "kvm_run");

	struct kvm_sregs sregs;
	MUST(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs.base = sregs.cs.selector = 0;
	MUST(vcpu, KVM_SET_SREGS, &sregs);
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	MUST(vcpu, KVM_SET_REGS, &regs);

	for (;;) {
		MUST(vcpu, KVM_RUN, NULL);
		if (run->exit_reason == KVM_EXIT_IO) {
			printf("out: port 0x%x, '%c'\n", run->io.port,
			       ((char *)run)[run->io.data_offset]);
		} else if (run->exit_reason == KVM_EXIT_HLT) {
			puts("hlt");
			return 0;
		} else {
			errx(1, "exit reason %u", run->exit_reason);
		}
	}
}
