/*
 * A virtual CPU: see vcpu.h.
 *
 * KVM_RUN returns when the guest touched a device, when the guest can't go on, or when a signal
 * arrived. The kick is such a signal. It may arrive in the moment before KVM_RUN, where it would
 * be lost; so the kicker also sets run->immediate_exit, which KVM looks at on entry. A vCPU that is
 * to park does so only there: with EINTR nothing of an exit is left undone.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/x86/calls.h"
#include "vmm/x86/registers.h"

SANDBOX_CALLS(vcpu, CALL(poll, SANDBOX_VCPU, "the pause after a lock of the bus"),
	      CALL(ioctl, SANDBOX_VCPU, "registers of the dead", IS(1, KVM_GET_REGS)),
	      CALL(ioctl, SANDBOX_VCPU, "registers of the dead", IS(1, KVM_GET_SREGS)),
	      CALL(ioctl, SANDBOX_VCPU, "a pause of its clock", IS(1, KVM_KVMCLOCK_CTRL)),
	      CALL(ioctl, SANDBOX_ALL, "interrupt lines", IS(1, KVM_IRQ_LINE)),
	      /* A request's bits 15:8 name whose it is. */
	      CALL(ioctl, SANDBOX_RESTART, "a new machine", HAS(1, 0xff00, KVMIO << 8)),
	      /* The last of all for ioctl(2): a filter looks at it first. */
	      CALL(ioctl, SANDBOX_VCPU, "runs the guest", IS(1, KVM_RUN)),
	      CALL(rt_sigaction, SANDBOX_RESTART, "the kick's handler"));

#define KICK_SIGNAL SIGRTMIN

static void kick_handler(int signal_number)
{
	(void)signal_number;
}

/* One access to a register: the bus, and who watches. */
static u64 access_register(struct vcpu *vcpu, bool mmio, u64 address, unsigned width, bool write,
			   u64 value)
{
	struct machine *machine = vcpu->machine;
	const struct bus *bus = mmio ? &machine->mmio : &machine->pio;

	if (write)
		bus_write(bus, address, width, value);
	else
		value = bus_read(bus, address, width);
	if (machine->touches)
		touches_count(&machine->touches[vcpu->index], mmio, address, write);
	if (trace_on(&machine->trace, mmio ? TRACE_MMIO : TRACE_PIO))
		bus_trace(bus, &machine->trace, mmio ? TRACE_MMIO : TRACE_PIO,
			  &(struct bus_access){address, width, write, value});
	return value;
}

/* I/O ports: `count` accesses of `size` bytes, one behind the other in the shared page. */
static void handle_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const unsigned width = run->io.size;
	const bool write = run->io.direction == KVM_EXIT_IO_OUT;
	u8 *data = (u8 *)run + run->io.data_offset;

	for (u32 i = 0; i < run->io.count; i++, data += width) {
		u64 value = 0;

		if (write)
			memcpy(&value, data, width);
		value = access_register(vcpu, false, run->io.port, width, write, value);
		if (!write)
			memcpy(data, &value, width);
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const unsigned width = run->mmio.len;
	u64 value = 0;

	if (width == 0 || width > sizeof(value))
		return;
	memcpy(&value, run->mmio.data, run->mmio.is_write ? width : 0);
	value = access_register(vcpu, true, run->mmio.phys_addr, width, run->mmio.is_write, value);
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, &value, width);
}

/* Comes only with --trace msr. KVM doesn't know the register: the guest gets the #GP that it would
 * have had without us. */
static void handle_msr(struct vcpu *vcpu, bool write)
{
	struct kvm_run *run = vcpu->run;
	char name[32];

	run->msr.error = 1;
	msr_name(run->msr.index, name, sizeof(name));
	if (write)
		trace_line(&vcpu->machine->trace, TRACE_MSR, "write %s = 0x%llx, unknown: #GP",
			   name, run->msr.data);
	else
		trace_line(&vcpu->machine->trace, TRACE_MSR, "read %s, unknown: #GP", name);
}

/* The guest can't go on; what it looked like is kept for the report. */
static void die(struct vcpu *vcpu, enum verdict_reason reason, const char *detail)
{
	struct machine *machine = vcpu->machine;

	/* A triple fault may be how the guest restarts, which is told by what it said before. */
	if (machine_end_by_guest(machine, reason, detail) == reason) {
		vcpu->died = true;
		death_take(&machine->death, vcpu);
	}
}

static void answer_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char detail[64];

	/* A vCPU locks the bus a thousand times a second, and no more. */
	if (run->flags & KVM_RUN_X86_BUS_LOCK)
		(void)poll(NULL, 0, 1);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_pio(vcpu);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		handle_msr(vcpu, run->exit_reason == KVM_EXIT_X86_WRMSR);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_X86_BUS_LOCK:
		break;
	case KVM_EXIT_NOTIFY:
		if (run->notify.flags & KVM_NOTIFY_CONTEXT_INVALID)
			die(vcpu, VERDICT_INTERNAL_ERROR,
			    "the processor has lost the guest's state");
		break;
	case KVM_EXIT_DEBUG:
		vcpu->debug = run->debug.arch;
		vcpu->struck = true;
		machine_ask_pause(vcpu->machine);
		break;
	case KVM_EXIT_SHUTDOWN:
		die(vcpu, VERDICT_TRIPLE_FAULT, "");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(detail, sizeof(detail), "suberror %u", run->internal.suberror);
		die(vcpu, VERDICT_INTERNAL_ERROR, detail);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		die(vcpu, VERDICT_FAILED_ENTRY, "");
		break;
	default:
		snprintf(detail, sizeof(detail), "exit reason %u", run->exit_reason);
		die(vcpu, VERDICT_INTERNAL_ERROR, detail);
	}
}

/* When the guest has said that it panics: later its stack may be gone, as it resets itself. */
static void note_panic(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;

	pthread_mutex_lock(&machine->lock);
	if (!machine->death.used)
		death_calls(&machine->death, vcpu);
	pthread_mutex_unlock(&machine->lock);
}

/* Nothing else than this, the devices and the trace is a vCPU thread's work. */
void vcpu_handle_exit(struct vcpu *vcpu)
{
	const u32 reason = vcpu->run->exit_reason;
	const unsigned row = reason < EXIT_REASONS ? reason : EXIT_REASONS - 1;
	struct trace *trace = &vcpu->machine->trace;
	const bool traced = trace_on(trace, TRACE_EXITS);
	const u64 start_ns = vcpu->machine->report || traced ? clock_now_ns() : 0;
	char place[CALLS_PLACE_BYTES] = "";

	count_up(&vcpu->exits[row], 1);
	if (traced)
		calls_place(vcpu, place);
	/* Who reads lines wants to have this one in front of what the exit brings about. */
	if (traced && trace->format == TRACE_TEXT)
		trace_line(trace, TRACE_EXITS, "%s%s", vcpu_exit_name(reason), place);
	answer_exit(vcpu);
	if (vcpu->machine->symbols.count && atomic_load(&vcpu->machine->watch.panicked))
		note_panic(vcpu);
	if (vcpu->machine->report)
		vcpu->handled_ns[row] += clock_now_ns() - start_ns;
	if (traced && trace->format != TRACE_TEXT)
		trace_span(trace, TRACE_EXITS, start_ns, "%s%s", vcpu_exit_name(reason), place);
}

static void vcpu_failed(void *owner, const char *why)
{
	struct vcpu *vcpu = owner;

	machine_end(vcpu->machine, VERDICT_VMM_ERROR, 0, "%s", why);
}

static void vcpu_run(void *owner)
{
	struct vcpu *vcpu = owner;
	struct machine *machine = vcpu->machine;
	u64 start_ns;

	/* The gate opens when the main thread has locked itself in, too. */
	pthread_mutex_lock(&machine->gate);
	pthread_mutex_unlock(&machine->gate);
	start_ns = clock_now_ns();
	if (vcpu->index == 0)
		timeline_reach(&machine->timeline, STAGE_FIRST_INSTRUCTION);
	while (!machine_ended(machine)) {
		/* KVM completes the last exit's access, and comes back before the next instruction. */
		if (atomic_load(&machine->pausing))
			__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_RELEASE);
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			vcpu_handle_exit(vcpu);
			continue;
		}
		/*
		 * EAGAIN: a processor that waits for its start-up message was woken. The first waits
		 * for none; there KVM may not start a thread of its own.
		 */
		if (errno == EAGAIN && vcpu->index > 0) {
			machine_park(machine, vcpu);
			continue;
		}
		if (errno == EINTR) {
			machine_park(machine, vcpu);
			/* Perhaps it was stopped for long: its watchdogs are to start anew. Not
			 * all guests have this clock. */
			(void)ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
			continue;
		}
		machine_end(machine, VERDICT_VMM_ERROR, 0, "running vCPU %u failed: %s",
			    vcpu->index, strerror(errno));
	}
	pthread_mutex_lock(&machine->lock);
	if (machine->verdict.reason == VERDICT_TIMEOUT ||
	    (machine->verdict.reason == VERDICT_PANIC && !machine->death.used))
		death_calls(&machine->death, vcpu);
	pthread_mutex_unlock(&machine->lock);
	vcpu->ran_ns += clock_now_ns() - start_ns;
	vcpu->cpu_ns += clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID);
}

#define EXIT(name) [KVM_EXIT_##name] = #name

const char *vcpu_exit_name(unsigned reason)
{
	static const char *const names[EXIT_REASONS] = {EXIT(UNKNOWN),      EXIT(EXCEPTION),
							EXIT(IO),           EXIT(HYPERCALL),
							EXIT(DEBUG),        EXIT(HLT),
							EXIT(MMIO),         EXIT(IRQ_WINDOW_OPEN),
							EXIT(SHUTDOWN),     EXIT(FAIL_ENTRY),
							EXIT(INTR),         EXIT(SET_TPR),
							EXIT(TPR_ACCESS),   EXIT(INTERNAL_ERROR),
							EXIT(SYSTEM_EVENT), EXIT(IOAPIC_EOI),
							EXIT(HYPERV),       EXIT(X86_RDMSR),
							EXIT(X86_WRMSR),    EXIT(X86_BUS_LOCK),
							EXIT(NOTIFY)};

	return reason < EXIT_REASONS && names[reason] ? names[reason] : "OTHER";
}

int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned index, struct error *err)
{
	const int run_bytes = kvm_ioctl_number(machine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	vcpu->machine = machine;
	vcpu->index = index;
	vcpu->run = NULL;
	vcpu->parked = vcpu->stays = vcpu->died = vcpu->struck = false;
	vcpu->pass_on = 0;
	vcpu->fd = kvm_ioctl_number(machine->vm_fd, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return error_errno(err, "cannot create vCPU %u", index);
	vcpu->run_bytes = run_bytes < 0 ? 0 : (size_t)run_bytes;
	run = mmap(NULL, vcpu->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return error_errno(err, "cannot map the state of vCPU %u", index);
	vcpu->run = run;
	return 0;
}

int vcpu_start(struct vcpu *vcpu, struct error *err)
{
	struct sigaction action = {.sa_handler = kick_handler};
	struct thread *thread = &vcpu->thread;

	sigaction(KICK_SIGNAL, &action, NULL);
	snprintf(thread->name, sizeof(thread->name), "cpu%u", vcpu->index);
	thread->setup = (struct thread_setup){vcpu->machine->sandbox, vcpu_failed, vcpu};
	thread->kind = SANDBOX_VCPU;
	thread->own_signal = KICK_SIGNAL;
	thread->run = vcpu_run;
	thread->owner = vcpu;
	return thread_start(thread, err);
}

void vcpu_kick(struct vcpu *vcpu)
{
	if (!vcpu->thread.started)
		return;
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	thread_signal(&vcpu->thread, KICK_SIGNAL);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_bytes);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
}
