/*
 * The virtual machine: everything that the program owns is reached from here.
 *
 * machine_init() makes what needs no KVM: memory, buses, the event loop. The board puts devices on
 * the buses (board.h) and boot_load() fills the memory. machine_create_vm() then gives all that to
 * KVM, and machine_start() lets the vCPU threads run until somebody calls machine_end().
 *
 * Threads: the main thread runs `loop`. Each vCPU has a thread that runs guest code and register
 * accesses. The buses, the memory map and the config don't change while vCPUs run; what does is
 * guarded by `lock`, or belongs to a device and its own lock.
 */
#ifndef BANTAM_VMM_MACHINE_H
#define BANTAM_VMM_MACHINE_H

#include <pthread.h>

#include "boot/cpio.h"
#include "vmm/bus.h"
#include "vmm/config.h"
#include "vmm/irq.h"
#include "vmm/loop.h"
#include "vmm/memory.h"
#include "vmm/sandbox.h"
#include "vmm/stats.h"
#include "vmm/symbols.h"
#include "vmm/terminal.h"
#include "vmm/trace.h"
#include "vmm/verdict.h"
#include "vmm/watch.h"
#include "vmm/x86/death.h"

struct board;
struct boot_plan;
struct gdb;
struct report;
struct vcpu;

enum { MACHINE_PINS = 24 };

struct machine {
	const struct config *config;
	int kvm_fd; /* -1 when not open, as vm_fd */
	int vm_fd;
	struct memory memory;
	struct bus pio, mmio;
	struct loop loop;
	struct loop_wake end_wake;     /* rung by machine_end() */
	struct loop_wake command_wake; /* rung when COMMAND has been started */
	struct loop_source signals;
	bool signalled; /* a first signal came, which is the guest's; the next one ends the machine */
	struct terminal terminal;
	pid_t process; /* this one */
	/* With a COMMAND: */
	struct cpio init_archive; /* bytes NULL: none */
	struct error modules_hint;
	struct loop_timer timeout, stop_timer, terminal_timer;
	struct descriptor_set inherited; /* closed when the process locks itself in */
	enum sandbox_mode sandbox;       /* config's, or SANDBOX_OFF where the kernel has none */
	struct board *board;
	struct watch watch;
	struct trace trace;
	struct symbols symbols; /* count 0 without --symbols */
	struct timeline timeline;
	unsigned restarts;
	struct touches *touches; /* accesses by address, for each vCPU; NULL: nobody asked */
	struct report *report;   /* NULL without --report */
	atomic_ullong raised[MACHINE_PINS]; /* how often each of the I/O APIC's inputs went high */

	struct vcpu *vcpu; /* config->cpus of them */
	unsigned vcpus;    /* created so far, of this start */

	pthread_mutex_t gate; /* held from machine_start() to machine_let_run(): vCPUs wait at it */
	pthread_mutex_t lock; /* guards verdict, running, vCPUs' parked, held */
	pthread_cond_t changed; /* of those, or the machine has ended */
	atomic_bool pausing;    /* vCPUs are to park; cleared by the main thread, when all have */
	unsigned running;       /* vCPUs that aren't parked */
	struct gdb *gdb;        /* NULL without --gdb */
	atomic_bool debugged;   /* gdb is there: it sees a guest's death before the machine ends */
	struct verdict held;    /* that death */
	struct verdict verdict;
	atomic_bool ended; /* whether there is a verdict; readable without the lock */
	/* What follows is kilobytes that most runs never touch. */
	struct tail tail;   /* of the kernel's console */
	struct death death; /* written by the vCPU that died, read after all have stopped */
};

/*
 * Makes memory, buses and the loop. Returns 0, or -1 with err set; machine_destroy() is due in
 * both cases.
 */
int machine_init(struct machine *machine, const struct config *config, struct board *board,
		 struct error *err);

/*
 * Opens KVM and makes the VM with its interrupt controllers, its memory and its vCPUs, of which the
 * first is in the state that the plan's boot protocol wants. Returns 0, or -1 with err set.
 */
int machine_create_vm(struct machine *machine, const struct boot_plan *plan, struct error *err);

/*
 * Starts the vCPU threads, which wait before the first instruction until machine_let_run(). Returns
 * 0, or -1 with err set and no thread running.
 */
int machine_start(struct machine *machine, struct error *err);
void machine_let_run(struct machine *machine);

/*
 * Ends the machine; for every thread, and while it isn't started yet. The first verdict counts,
 * later ones are ignored. number: as in struct verdict. detail: more words, printf-like, or "".
 */
void machine_end(struct machine *machine, enum verdict_reason reason, int number,
		 const char *detail, ...) PRINTF(4, 5);

/*
 * The same for an end that the guest chose or ran into. What the guest said on its console decides
 * whether a reset or a triple fault was a panic or an orderly restart. Returns the verdict's reason
 * if this was the first, else VERDICT_NONE.
 */
enum verdict_reason machine_end_by_guest(struct machine *machine, enum verdict_reason reason,
					 const char *detail);

/* Whether machine_end() was called. */
bool machine_ended(struct machine *machine);

/*
 * Pausing, for the main thread: machine_pause() returns when all vCPUs are parked, out of KVM_RUN and
 * with the guest's last access complete, so that their state may be read and written; or when the
 * machine has ended. machine_resume() lets those run that aren't to stay; where a death is held, the
 * machine ends instead. machine_ask_pause(), for any thread: vCPUs begin to park, and gdb is told.
 */
void machine_pause(struct machine *machine);
void machine_resume(struct machine *machine);
void machine_ask_pause(struct machine *machine);

/* For a vCPU's thread, out of KVM_RUN: parks it if it is to. */
void machine_park(struct machine *machine, struct vcpu *vcpu);

/* Stops the vCPU threads and waits for them; for the main thread, after the loop has ended. */
void machine_stop(struct machine *machine);

/* An interrupt line that leads to the guest's I/O APIC. */
struct irq_line machine_irq_line(struct machine *machine, u32 gsi);

/*
 * Unmakes the stopped VM and its vCPUs and wipes the memory, so that all can be made anew. Returns 0,
 * or -1 with err set when the memory can't be wiped.
 */
int machine_restart(struct machine *machine, struct error *err);

void machine_destroy(struct machine *machine);

#endif
