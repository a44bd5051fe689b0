/*
 * sregs - which of a CPU's states KVM takes for possible. Lesson 3 reads what it prints.
 *
 * Each line is one try to set CR0, CR4, EFER and the code segment at once, as a monitor does that
 * starts its guest in 64-bit code.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define PE  (1u << 0)
#define PG  (1u << 31)
#define PAE (1u << 5)
#define LME (1u << 8)
#define LMA (1u << 10)

static const struct {
	const char *what;
	unsigned cr0, cr4, efer, code_is_64;
} states[] = {
	{"real mode", 0, 0, 0, 0},
	{"protected mode", PE, 0, 0, 0},
	{"long mode", PE | PG, PAE, LME | LMA, 1},
	{"LMA left out", PE | PG, PAE, LME, 1},
	{"PAE left out", PE | PG, 0, LME | LMA, 1},
	{"PG left out", PE, PAE, LME | LMA, 1},
	{"64-bit code, no long mode", PE, 0, 0, 1},
};

int main(void)
{
	const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	const int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	const int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
	struct kvm_sregs reset;

	if (vcpu < 0 || ioctl(vcpu, KVM_GET_SREGS, &reset) < 0)
		err(1, "no vCPU");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct kvm_sregs sregs = reset;

		sregs.cr0 = states[i].cr0;
		sregs.cr4 = states[i].cr4;
		sregs.efer = states[i].efer;
		sregs.cs.l = (unsigned char)states[i].code_is_64;
		printf("%-26s %s\n", states[i].what,
		       ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 ? strerror(errno) : "taken");
	}
	return 0;
}
