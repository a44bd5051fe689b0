/*
 * The virtual machine: see machine.h.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot/x86/layout.h"
#include "vmm/bell.h"
#include "vmm/gdb.h"
#include "vmm/kvm.h"
#include "vmm/report.h"
#include "vmm/vcpu.h"
#include "vmm/x86/cpuid.h"
#include "vmm/x86/entry.h"

static void end_woken(void *owner)
{
	struct machine *machine = owner;

	machine->loop.stop = true;
}

int machine_init(struct machine *machine, const struct config *config, struct board *board,
		 struct error *err)
{
	/* The texts at its end are left alone: they would be pages that nobody needs. */
	memset(machine, 0, offsetof(struct machine, tail));
	machine->tail.total = machine->death.used = 0;
	machine->config = config;
	machine->board = board;
	machine->sandbox = config->sandbox;
	machine->kvm_fd = machine->vm_fd = -1;
	atomic_store(&machine->timeline.at_ns[STAGE_START], config->start_ns);
	machine->end_wake.source.fd = machine->command_wake.source.fd = -1;
	machine->signals.fd = -1;
	pthread_mutex_init(&machine->gate, NULL);
	pthread_mutex_init(&machine->lock, NULL);
	pthread_cond_init(&machine->changed, NULL);
	descriptors_note(&machine->inherited);
	if (loop_wake_init(&machine->end_wake, &machine->loop, end_woken, machine, err))
		return -1;
	return memory_create(&machine->memory, config->memory_bytes, LAYOUT_HOLE_START,
			     LAYOUT_HOLE_END, err);
}

/* Step 1: an empty VM. */
static int create_empty_vm(struct machine *machine, struct error *err)
{
	/* A machine that restarts has its KVM open already. */
	if (machine->kvm_fd < 0)
		machine->kvm_fd = kvm_open(err);
	if (machine->kvm_fd < 0)
		return -1;
	machine->vm_fd = kvm_ioctl_number(machine->kvm_fd, KVM_CREATE_VM, 0);
	if (machine->vm_fd >= 0)
		return 0;
	if (errno == EBUSY)
		return error_set(err, "KVM can't create a virtual machine: another hypervisor has "
				      "the processor; stop it (VirtualBox, VMware)");
	return error_errno(err, "KVM can't create a virtual machine");
}

/*
 * What one guest could take from others on the host: a lock across cache lines stops every processor
 * for its time, and some instructions' loops let no interrupt through. Where KVM has ways to end both,
 * they are exits (vcpu.c).
 */
static void guard_host(const struct machine *machine)
{
	struct kvm_enable_cap bus_locks = {.cap = KVM_CAP_X86_BUS_LOCK_EXIT,
					   .args = {KVM_BUS_LOCK_DETECTION_EXIT}};
	struct kvm_enable_cap endless = {
		.cap = KVM_CAP_X86_NOTIFY_VMEXIT,
		.args = {KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER}};

	(void)kvm_ioctl(machine->vm_fd, KVM_ENABLE_CAP, &bus_locks);
	(void)kvm_ioctl(machine->vm_fd, KVM_ENABLE_CAP, &endless);
}

/*
 * Step 2. Intel's VMX needs four pages of guest addresses for the real mode that it emulates; AMD
 * ignores them.
 */
static int give_memory(struct machine *machine, struct error *err)
{
	u64 identity_map = LAYOUT_IDENTITY_MAP;

	if (kvm_ioctl(machine->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
	    kvm_ioctl_number(machine->vm_fd, KVM_SET_TSS_ADDR, LAYOUT_TSS) < 0)
		return error_errno(err, "KVM refuses room for its own pages");
	for (unsigned i = 0; i < machine->memory.regions; i++) {
		const struct memory_region *region = &machine->memory.region[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = region->gpa,
			.memory_size = region->bytes,
			.userspace_addr = (u64)(uintptr_t)region->host,
		};

		if (kvm_ioctl(machine->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return error_errno(err, "KVM doesn't take %llu MiB of guest memory",
					   region->bytes / MIB);
	}
	return 0;
}

/*
 * Step 3: what the guest finds in its chipset, all of it in the kernel. Behind its memory, since KVM
 * tells its readers of each chip, lazily, and waits for them all at the next change of memory: 4 ms.
 */
static int create_chipset(struct machine *machine, struct error *err)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

	if (kvm_ioctl_number(machine->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_errno(err, "KVM can't create interrupt controllers");
	/* Hardware-reduced ACPI has no 8254, but kernels that don't use ACPI calibrate with it. */
	(void)kvm_ioctl(machine->vm_fd, KVM_CREATE_PIT2, &pit);
	if (trace_on(&machine->trace, TRACE_MSR)) {
		struct kvm_enable_cap user_msr = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
						  .args = {KVM_MSR_EXIT_REASON_UNKNOWN}};

		if (kvm_ioctl(machine->vm_fd, KVM_ENABLE_CAP, &user_msr) < 0)
			say("this host's KVM can't tell of unknown MSRs; --trace msr stays empty");
	}
	return 0;
}

static int check_limits(struct machine *machine, const struct cpuid *cpuid, struct error *err)
{
	const unsigned cpus = machine->config->cpus;
	const int most = kvm_capability(machine->kvm_fd, KVM_CAP_MAX_VCPUS);
	const unsigned bits = cpuid_address_bits(cpuid);

	if (most > 0 && cpus > (unsigned)most)
		return error_set(err, "--cpus %u is too many: this host's KVM takes %d", cpus,
				 most);
	if (bits < 64 && memory_end(&machine->memory) > (u64)1 << bits)
		return error_set(err,
				 "--memory %lluM is too much: guest addresses have %u bits on this "
				 "host, which is %llu MiB",
				 machine->memory.bytes / MIB, bits, ((u64)1 << bits) / MIB);
	return 0;
}

/* Step 4: the first vCPU is in the state that the plan's boot protocol wants. */
static int add_vcpus(struct machine *machine, const struct boot_plan *plan, struct error *err)
{
	const unsigned cpus = machine->config->cpus;
	const bool counts = machine->config->stats || machine->report;
	struct cpuid cpuid;

	if (cpuid_guest(machine->kvm_fd, cpus, &cpuid, err) || check_limits(machine, &cpuid, err))
		return -1;
	/* What they count goes on over a restart. */
	if (!machine->vcpu)
		machine->vcpu = calloc(cpus, sizeof(*machine->vcpu));
	if (!machine->touches && counts)
		machine->touches = calloc(cpus, sizeof(*machine->touches));
	if (!machine->vcpu || (!machine->touches && counts))
		return error_set(err, "no memory for %u vCPUs", cpus);
	for (unsigned i = 0; i < cpus; i++) {
		struct vcpu *vcpu = &machine->vcpu[i];

		machine->vcpus = i + 1;
		if (vcpu_create(vcpu, machine, i, err))
			return -1;
		cpuid_set_vcpu(&cpuid, i);
		if (kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, &cpuid) < 0)
			return error_errno(err, "KVM refuses the CPUID of vCPU %u", i);
		if (entry_set_msrs(vcpu->fd, err))
			return -1;
	}
	/* The other vCPUs wait for their start-up message, as KVM creates them. */
	return entry_set_registers(machine->vcpu[0].fd, plan, err);
}

int machine_create_vm(struct machine *machine, const struct boot_plan *plan, struct error *err)
{
	if (create_empty_vm(machine, err))
		return -1;
	guard_host(machine);
	if (give_memory(machine, err) || create_chipset(machine, err) ||
	    add_vcpus(machine, plan, err))
		return -1;
	timeline_reach(&machine->timeline, STAGE_VM_MADE);
	return 0;
}

int machine_start(struct machine *machine, struct error *err)
{
	pthread_mutex_lock(&machine->gate);
	machine->running = machine->vcpus;
	for (unsigned i = 0; i < machine->vcpus; i++) {
		if (vcpu_start(&machine->vcpu[i], err) == 0)
			continue;
		machine_end(machine, VERDICT_VMM_ERROR, 0, "%s", err->text);
		machine_let_run(machine);
		machine_stop(machine);
		return -1;
	}
	return 0;
}

void machine_let_run(struct machine *machine)
{
	pthread_mutex_unlock(&machine->gate);
}

/*
 * Returns whether this verdict counts. A reset that would only restart the guest isn't the end yet:
 * a time-out or a signal that comes while it is handled must not be lost over it.
 */
static bool end_with(struct machine *machine, const struct verdict *verdict)
{
	bool first;

	pthread_mutex_lock(&machine->lock);
	first = machine->verdict.reason == VERDICT_NONE ||
		(machine->verdict.reason == VERDICT_RESET && machine->config->restart);
	if (first)
		machine->verdict = *verdict;
	atomic_store(&machine->ended, true);
	pthread_cond_broadcast(&machine->changed);
	pthread_mutex_unlock(&machine->lock);
	loop_wake_signal(&machine->end_wake);
	return first;
}

/* A guest that has died can be looked at: the first death is kept until gdb lets it go on. */
static bool hold_with(struct machine *machine, const struct verdict *verdict)
{
	bool first;

	pthread_mutex_lock(&machine->lock);
	first = machine->held.reason == VERDICT_NONE && !machine_ended(machine);
	if (first)
		machine->held = *verdict;
	pthread_mutex_unlock(&machine->lock);
	machine_ask_pause(machine);
	return first;
}

void machine_end(struct machine *machine, enum verdict_reason reason, int number,
		 const char *detail, ...)
{
	struct verdict verdict = {.reason = reason, .number = number};
	va_list args;

	va_start(args, detail);
	vsnprintf(verdict.detail, sizeof(verdict.detail), detail, args);
	va_end(args);
	end_with(machine, &verdict);
}

enum verdict_reason machine_end_by_guest(struct machine *machine, enum verdict_reason reason,
					 const char *detail)
{
	const bool restarting = atomic_load(&machine->watch.restarting);
	struct verdict verdict = {.reason = reason};

	if (reason == VERDICT_RESET || reason == VERDICT_TRIPLE_FAULT) {
		if (restarting) {
			verdict.reason = VERDICT_RESET;
		} else if (atomic_load(&machine->watch.panicked)) {
			verdict.reason = VERDICT_PANIC;
			detail = machine->watch.panic_line;
		}
	}
	/* Init lives until we have heard of COMMAND's end; this is somebody else's. */
	if (machine->config->command &&
	    (verdict.reason == VERDICT_RESET || verdict.reason == VERDICT_POWEROFF)) {
		detail = verdict.reason == VERDICT_RESET ? "it reset the machine"
							 : "it powered off";
		verdict.reason = VERDICT_NO_STATUS;
	}
	snprintf(verdict.detail, sizeof(verdict.detail), "%s", detail);
	if (atomic_load(&machine->debugged) && verdict_is_death(&verdict))
		return hold_with(machine, &verdict) ? verdict.reason : VERDICT_NONE;
	return end_with(machine, &verdict) ? verdict.reason : VERDICT_NONE;
}

bool machine_ended(struct machine *machine)
{
	return atomic_load(&machine->ended);
}

void machine_ask_pause(struct machine *machine)
{
	atomic_store(&machine->pausing, true);
	gdb_ring(machine->gdb);
}

void machine_pause(struct machine *machine)
{
	atomic_store(&machine->pausing, true);
	for (unsigned i = 0; i < machine->vcpus; i++)
		vcpu_kick(&machine->vcpu[i]);
	pthread_mutex_lock(&machine->lock);
	while (machine->running > 0 && !machine_ended(machine))
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

void machine_resume(struct machine *machine)
{
	struct verdict held;

	pthread_mutex_lock(&machine->lock);
	held = machine->held;
	if (held.reason != VERDICT_NONE) {
		pthread_mutex_unlock(&machine->lock);
		end_with(machine, &held);
		return;
	}
	atomic_store(&machine->pausing, false);
	for (unsigned i = 0; i < machine->vcpus; i++) {
		struct vcpu *vcpu = &machine->vcpu[i];

		if (vcpu->stays)
			continue;
		vcpu->run->immediate_exit = 0;
		vcpu->parked = false;
		machine->running++;
	}
	pthread_cond_broadcast(&machine->changed);
	pthread_mutex_unlock(&machine->lock);
}

void machine_park(struct machine *machine, struct vcpu *vcpu)
{
	pthread_mutex_lock(&machine->lock);
	if (atomic_load(&machine->pausing)) {
		vcpu->parked = true;
		machine->running--;
		pthread_cond_broadcast(&machine->changed);
	}
	while (vcpu->parked && !machine_ended(machine))
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

void machine_stop(struct machine *machine)
{
	for (unsigned i = 0; i < machine->vcpus; i++)
		vcpu_kick(&machine->vcpu[i]);
	for (unsigned i = 0; i < machine->vcpus; i++)
		thread_join(&machine->vcpu[i].thread);
}

static void deliver_irq(void *controller, u32 gsi, bool level)
{
	struct machine *machine = controller;
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	if (trace_on(&machine->trace, TRACE_IRQ))
		trace_line(&machine->trace, TRACE_IRQ, "gsi %u %s", gsi, level ? "high" : "low");
	if (level && gsi < ARRAY_LEN(machine->raised))
		atomic_fetch_add_explicit(&machine->raised[gsi], 1, memory_order_relaxed);
	/* It fails only when there is no such input, and the board knows which there are. */
	(void)kvm_ioctl(machine->vm_fd, KVM_IRQ_LINE, &line);
}

struct irq_line machine_irq_line(struct machine *machine, u32 gsi)
{
	return (struct irq_line){.deliver = deliver_irq, .controller = machine, .gsi = gsi};
}

static void destroy_vm(struct machine *machine)
{
	for (unsigned i = 0; i < machine->vcpus; i++)
		vcpu_destroy(&machine->vcpu[i]);
	machine->vcpus = 0;
	if (machine->vm_fd >= 0)
		close(machine->vm_fd);
	machine->vm_fd = -1;
}

int machine_restart(struct machine *machine, struct error *err)
{
	destroy_vm(machine);
	/* Several vCPUs may have reset at once; the later bells are no ends of the next machine. */
	(void)bell_silence(machine->end_wake.source.fd);
	timeline_restart(&machine->timeline);
	machine->watch = (struct watch){.used = 0};
	machine->death.used = 0;
	machine->verdict = machine->held = (struct verdict){.reason = VERDICT_NONE};
	atomic_store(&machine->ended, false);
	machine->loop.stop = false;
	machine->restarts++;
	return memory_clear(&machine->memory, err);
}

void machine_destroy(struct machine *machine)
{
	destroy_vm(machine);
	free(machine->vcpu);
	free(machine->touches);
	report_free(machine->report);
	trace_close(&machine->trace);
	symbols_close(&machine->symbols);
	if (machine->kvm_fd >= 0)
		close(machine->kvm_fd);
	memory_destroy(&machine->memory);
	loop_wake_close(&machine->command_wake);
	loop_wake_close(&machine->end_wake);
	cpio_free(&machine->init_archive);
	pthread_mutex_destroy(&machine->gate);
	pthread_cond_destroy(&machine->changed);
	pthread_mutex_destroy(&machine->lock);
}
