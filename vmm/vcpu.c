/*
 * A virtual CPU: see vcpu.h.
 *
 * KVM_RUN returns when the guest touched a device, when the guest can't go on, or when a signal
 * arrived. The kick is such a signal. It may arrive in the moment before KVM_RUN, where it would
 * be lost; so the kicker also sets run->immediate_exit, which KVM looks at on entry.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/kvm.h"
#include "vmm/machine.h"

/* System calls of a vCPU's thread: ioctl (KVM_RUN), rt_sigreturn (after a kick), and what the
 * device registers it touches list. */

#define KICK_SIGNAL SIGRTMIN

enum { STACK_BYTES = 64 * 1024 };

static void kick_handler(int signal_number)
{
	(void)signal_number;
}

/* I/O ports: `count` accesses of `size` bytes, one behind the other in the shared page. */
static void handle_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const struct bus *bus = &vcpu->machine->pio;
	const unsigned width = run->io.size;
	u8 *data = (u8 *)run + run->io.data_offset;

	for (u32 i = 0; i < run->io.count; i++, data += width) {
		u64 value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, width);
			bus_write(bus, run->io.port, width, value);
		} else {
			value = bus_read(bus, run->io.port, width);
			memcpy(data, &value, width);
		}
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const struct bus *bus = &vcpu->machine->mmio;
	const unsigned width = run->mmio.len;
	u64 value = 0;

	if (width > sizeof(value))
		return;
	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, width);
		bus_write(bus, run->mmio.phys_addr, width, value);
	} else {
		value = bus_read(bus, run->mmio.phys_addr, width);
		memcpy(run->mmio.data, &value, width);
	}
}

static void handle_system_event(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;

	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_end(machine, VERDICT_POWEROFF, 0, "%s", "");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_end_by_guest(machine, VERDICT_RESET);
		break;
	default:
		machine_end(machine, VERDICT_PANIC, 0, "it reported a crash (event %u)",
			    vcpu->run->system_event.type);
	}
}

/* What ended KVM_RUN. Nothing else than this and the devices happens on a vCPU's thread. */
static void handle_exit(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	const struct kvm_run *run = vcpu->run;

	vcpu->exits[run->exit_reason < VCPU_EXITS_MAX ? run->exit_reason : VCPU_EXITS_MAX - 1]++;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_pio(vcpu);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		machine_end_by_guest(machine, VERDICT_TRIPLE_FAULT);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		machine_end(machine, VERDICT_INTERNAL_ERROR, 0, "vCPU %u, suberror %u", vcpu->index,
			    run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		machine_end(machine, VERDICT_FAILED_ENTRY, 0, "vCPU %u, hardware reason 0x%llx",
			    vcpu->index,
			    (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		machine_end(machine, VERDICT_INTERNAL_ERROR, 0,
			    "vCPU %u, unexpected exit reason %u", vcpu->index, run->exit_reason);
	}
}

static void *vcpu_thread(void *argument)
{
	struct vcpu *vcpu = argument;
	struct machine *machine = vcpu->machine;

	while (!machine_ended(machine)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			handle_exit(vcpu);
			continue;
		}
		/* EAGAIN: a processor that waits for its start-up message was woken. */
		if (errno == EINTR || errno == EAGAIN)
			continue;
		machine_end(machine, VERDICT_VMM_ERROR, 0, "running vCPU %u failed: %s",
			    vcpu->index, strerror(errno));
	}
	return NULL;
}

int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned index, struct error *err)
{
	const int run_bytes = kvm_ioctl_number(machine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	*vcpu = (struct vcpu){.machine = machine, .index = index};
	vcpu->fd = kvm_ioctl_number(machine->vm_fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return error_set(err, "cannot create vCPU %u: %s", index, strerror(errno));
	vcpu->run_bytes = run_bytes < 0 ? 0 : (size_t)run_bytes;
	run = mmap(NULL, vcpu->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return error_set(err, "cannot map the state of vCPU %u: %s", index,
				 strerror(errno));
	vcpu->run = run;
	return 0;
}

int vcpu_start(struct vcpu *vcpu, struct error *err)
{
	struct sigaction action = {.sa_handler = kick_handler};
	sigset_t blocked, old;
	pthread_attr_t attributes;
	int error;

	sigaction(KICK_SIGNAL, &action, NULL);
	sigfillset(&blocked);
	sigdelset(&blocked, KICK_SIGNAL);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* The thread inherits the mask, so that there is no moment with another one. */
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	error = pthread_create(&vcpu->thread, &attributes, vcpu_thread, vcpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (error)
		return error_set(err, "cannot start the thread of vCPU %u: %s", vcpu->index,
				 strerror(error));
	vcpu->started = true;
	return 0;
}

void vcpu_kick(struct vcpu *vcpu)
{
	if (!vcpu->started)
		return;
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELEASE);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

void vcpu_join(struct vcpu *vcpu)
{
	if (vcpu->started)
		pthread_join(vcpu->thread, NULL);
	vcpu->started = false;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_bytes);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
}
