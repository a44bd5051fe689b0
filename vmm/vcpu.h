/*
 * A virtual CPU: a thread that runs guest code until something needs the monitor, and decodes what.
 */
#ifndef BANTAM_VMM_VCPU_H
#define BANTAM_VMM_VCPU_H

#include <linux/kvm.h>

#include "vmm/error.h"
#include "vmm/stats.h"
#include "vmm/thread.h"

struct machine;

/* Belongs to its own thread between vcpu_start() and the thread's end, but for run->immediate_exit. */
struct vcpu {
	struct machine *machine;
	unsigned index; /* also its APIC id */
	int fd;
	struct kvm_run *run; /* shared with KVM: the exit and what it is about */
	size_t run_bytes;
	struct thread thread;
	u64 exits[EXIT_REASONS]; /* how often KVM_RUN ended, by reason */

	/* How long the thread ran and had a processor, and, with --report, what it took to handle exits. */
	u64 ran_ns, cpu_ns, handled_ns[EXIT_REASONS];
	/* Written by its own thread before it parks, or by the main thread while it is parked: */
	bool parked;                      /* guarded by the machine's lock */
	bool stays;                       /* machine_resume() leaves it parked */
	bool died;                        /* the death that the machine holds is this vCPU's */
	bool struck;                      /* it stopped for the debugger, */
	struct kvm_debug_exit_arch debug; /* for this */
	u32 pass_on; /* KVM_GUESTDBG_INJECT_…: it gets an exception of its own when it goes on */
};

/* Creates the vCPU in KVM; its registers are KVM's defaults. Returns 0, or -1 with err set. */
int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned index, struct error *err);

/* Starts the thread; all signals but the kick are blocked in it. Returns 0, or -1 with err set. */
int vcpu_start(struct vcpu *vcpu, struct error *err);

/* Makes the vCPU leave guest code soon; it stops when the machine has ended. */
void vcpu_kick(struct vcpu *vcpu);

/* What ended KVM_RUN, for the vCPU's own thread. */
void vcpu_handle_exit(struct vcpu *vcpu);

/* An exit reason's name, as <linux/kvm.h> has it without KVM_EXIT_. */
const char *vcpu_exit_name(unsigned reason);

void vcpu_destroy(struct vcpu *vcpu);

#endif
