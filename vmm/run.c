/*
 * `bantam run`: see run.h.
 *
 * Start-up goes from what is cheap and the user's (files, options) to what is the host's (KVM), so
 * that a mistake is told before anything is made:
 *
 *	1. memory, event loop, signals, the files of --result, --report and --trace
 *	2. devices on their buses, the kernel and its data in memory (--dry-run ends here)
 *	3. the VM and its vCPUs
 *	4. the host's ends: console, terminal, the debugger's socket
 *	5. the lock: the jail, then the devices' threads, then the filters; from here on nothing is opened
 *	6. the guest runs, until a verdict
 *
 * Opening order is closing order reversed. With --on-reset restart, a reset leads back to the
 * second half of 2, with files and terminal as they are.
 */
#include "vmm/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/board.h"
#include "vmm/dry_run.h"
#include "vmm/gdb.h"
#include "vmm/init_archive.h"
#include "vmm/jail.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/readwrite.h"
#include "vmm/report.h"
#include "vmm/result.h"
#include "vmm/signals.h"
#include "vmm/thread.h"

/* So long may a guest be silent before that is worth a word. */
enum { SILENCE_MS = 2000 };

static void trace_places(struct machine *machine, const struct boot_plan *plan)
{
	for (unsigned i = 0; i < plan->map.places; i++) {
		const struct place *place = &plan->map.place[i];

		trace_line(&machine->trace, TRACE_BOOT, "place 0x%llx-0x%llx %s", place->gpa,
			   place->gpa + place->bytes - 1, place->name);
	}
	trace_line(&machine->trace, TRACE_BOOT, "entry 0x%llx by %s", plan->kernel.entry,
		   plan->kernel.protocol == BOOT_PVH ? "PVH" : "Linux's 64-bit protocol");
}

/* Once for all starts. */
static int unpack(const struct config *config, struct boot_files *files, struct error *err)
{
	const int fd = config->unpack == UNPACK_OFF
			       ? 0
			       : unpack_kernel(config->kernel, config->unpack, err);

	files->image_fd = fd > 0 ? fd : 0;
	if (fd < 0 && config->unpack == UNPACK_ON)
		return error_prefix(err, "--unpack on: '%s' can't be unpacked", config->kernel);
	if (fd < 0 && config->verbose)
		say("the guest unpacks its kernel: %s", err->text);
	*err = (struct error){.text = ""};
	return 0;
}

/* The kernel and what it needs go into guest memory. */
static int load(struct machine *machine, const struct boot_files *files, struct boot_plan *plan,
		struct error *err)
{
	const struct config *config = machine->config;
	char cmdline[CMDLINE_BYTES];
	const struct boot_request request = {
		.kernel = config->kernel,
		.initrd = config->initrd,
		.kernel_fd = files->kernel_fd,
		.initrd_fd = files->initrd_fd,
		.image_fd = files->image_fd,
		.archive = machine->init_archive.bytes,
		.archive_bytes = machine->init_archive.count,
		.cmdline = cmdline,
		.protocol = config->protocol,
		.acpi = board_acpi(machine->board, machine),
	};
	size_t used;

	used = (size_t)snprintf(cmdline, sizeof(cmdline), "%s%s", config->cmdline,
				!config->command          ? ""
				: config->cmdline_default ? INIT_CMDLINE_DEFAULT
							  : INIT_CMDLINE);
	for (unsigned i = 0; i < config->appends && used < sizeof(cmdline); i++)
		used += (size_t)snprintf(cmdline + used, sizeof(cmdline) - used, "%s%s",
					 used ? " " : "", config->append[i]);
	if (used >= sizeof(cmdline))
		return error_set(err, "the kernel command line is longer than %zu bytes",
				 sizeof(cmdline) - 1);
	if (boot_load(&request, &machine->memory, plan, err) ||
	    symbols_check(&machine->symbols, &machine->memory, err))
		return -1;
	timeline_reach(&machine->timeline, STAGE_LOADED);
	/* A guest can restart a hundred times a second: what a guest can bring about is said once. */
	if (config->verbose && machine->restarts == 0)
		say("booting '%s'%s by %s, %llu MiB, %u vCPU%s, command line '%s'", config->kernel,
		    plan->kernel.unpacked ? ", unpacked," : "",
		    plan->kernel.protocol == BOOT_PVH ? "PVH" : "Linux's 64-bit boot protocol",
		    config->memory_bytes / MIB, config->cpus, config->cpus > 1 ? "s" : "", cmdline);
	if (trace_on(&machine->trace, TRACE_BOOT))
		trace_places(machine, plan);
	return 0;
}

/* Step 5, before there are other threads. */
static int enter_jail(struct machine *machine, struct error *err)
{
	const struct config *config = machine->config;
	const struct share_board *shares = &machine->board->virtio.share;
	struct landlock_tree tree[VOLUMES_MAX + 2];
	const bool socket = gdb_tree(machine, &tree[shares->count]);
	const struct jail jail = {
		.tree = tree,
		.trees = shares->count + socket,
		.child = net_board_sandbox(config) & SANDBOX_CHILD,
		.paths = net_board_has_path(config),
		.verbose = config->verbose,
		.uid = config->run_uid,
		.gid = config->run_gid,
	};

	if (config->sandbox != SANDBOX_ON)
		return 0;
	share_board_trees(shares, tree);
	return jail_enter(&jail, err);
}

/* For the main thread; each vCPU locks itself in before it runs guest code. */
static int lock_in(struct machine *machine, struct error *err)
{
	const struct config *config = machine->config;
	const u32 kind = SANDBOX_MAIN | (config->restart ? (u32)SANDBOX_RESTART : 0) |
			 (config->result_path || config->report_path || config->stats
				  ? (u32)SANDBOX_REPORT
				  : 0) |
			 (machine->gdb ? (u32)SANDBOX_GDB : 0) | net_board_sandbox(config);

	descriptors_close(&machine->inherited);
	if (config->sandbox == SANDBOX_ON)
		jail_close(config->restart || machine->board->virtio.share.count);
	return sandbox_enter(machine->sandbox, kind, err);
}

/* Step 6, once. locked: this isn't the first time. */
static int run_once(struct machine *machine, bool locked, struct error *err)
{
	if (machine_start(machine, err))
		return -1;
	if (!locked && lock_in(machine, err))
		machine_end(machine, VERDICT_VMM_ERROR, 0, "%s", err->text);
	machine_let_run(machine);
	if (loop_run(&machine->loop, err))
		machine_end(machine, VERDICT_VMM_ERROR, 0, "%s", err->text);
	machine_stop(machine);
	return 0;
}

/*
 * The stack that the start needed, below this function's, goes back to the kernel: ten pages. Never
 * inlined, lest "below" were in the middle of a frame.
 */
__attribute__((noinline)) static void give_back_stack(void)
{
	const uintptr_t page = 4096, here = (uintptr_t)__builtin_frame_address(0) & ~(page - 1);

	(void)madvise((void *)(here - 32 * page), 31 * page, MADV_DONTNEED);
}

/* Step 6, until a verdict that stands. */
static int run_to_the_end(struct machine *machine, const struct boot_files *files,
			  struct boot_plan *plan, struct error *err)
{
	signals_take_terminal(machine);
	give_back_stack();
	if (run_once(machine, false, err))
		return -1;
	while (machine->config->restart && machine->verdict.reason == VERDICT_RESET) {
		if (board_quiesce(machine->board, err) || machine_restart(machine, err))
			return -1;
		board_reset(machine->board);
		if (load(machine, files, plan, err) || machine_create_vm(machine, plan, err))
			return -1;
		gdb_restarted(machine);
		if (run_once(machine, true, err))
			return -1;
	}
	return 0;
}

/* A guest that ran for a while, was ended from outside, and never said a word. */
static bool was_silent(const struct machine *machine)
{
	const enum verdict_reason reason = machine->verdict.reason;

	return (reason == VERDICT_TIMEOUT || reason == VERDICT_SIGNAL) &&
	       machine->board->console.total == 0 && machine->config->console != CONSOLE_OFF &&
	       timeline_ms(&machine->timeline, STAGE_END) > SILENCE_MS;
}

/* What the kernel said last may explain an end that isn't COMMAND's own. */
static bool needs_console(struct machine *machine)
{
	const enum verdict_reason reason = machine->verdict.reason;

	if (!machine->config->command || machine->config->console == CONSOLE_STDERR)
		return false;
	if (reason == VERDICT_TIMEOUT || reason == VERDICT_SIGNAL)
		return !signals_command_runs(machine);
	return !verdict_is_commands(&machine->verdict) && reason != VERDICT_CANNOT_EXECUTE &&
	       reason != VERDICT_NOT_FOUND;
}

/* Tells people how it ended. */
static void report(struct machine *machine)
{
	struct console *console = &machine->board->console;
	const u64 lost = console->dropped + console->used;
	char words[768];

	if (lost && machine->config->console != CONSOLE_OFF)
		say("%llu of %llu bytes of the guest's console output were dropped: nobody took "
		    "them",
		    lost, console->total);
	verdict_describe(&machine->verdict, words, sizeof(words));
	if (!verdict_is_commands(&machine->verdict) || machine->config->verbose)
		say("%s", words);
	if (was_silent(machine))
		say("the guest never wrote to its console; 'bantam check' tells whether this host can run "
		    "stock kernels");
	if (!stderr_is_ready())
		return;
	/* A virtio console's worker may still find bytes in its ring. */
	pthread_mutex_lock(&console->lock);
	if (needs_console(machine))
		tail_print(&machine->tail, STDERR_FILENO);
	pthread_mutex_unlock(&console->lock);
	if (machine->verdict.reason == VERDICT_NO_STATUS && !signals_command_runs(machine) &&
	    machine->modules_hint.text[0])
		say("%s", machine->modules_hint.text);
	if (machine->death.used &&
	    (verdict_is_death(&machine->verdict) || machine->verdict.reason == VERDICT_TIMEOUT))
		(void)!io_write(STDERR_FILENO, machine->death.text, machine->death.used);
	if (machine->config->stats) {
		stats_print(machine);
		net_board_print(&machine->board->virtio.net);
	}
}

/* Each disk's queue takes a few descriptors: as many as the host lets us have. */
static void take_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Steps 1 and 2. */
static int prepare(struct machine *machine, struct board *board, struct result *result,
		   struct error *err)
{
	const struct config *config = machine->config;

	take_descriptors();
	signals_add_timers(machine);
	if (config_check_files(config, err) || signals_take(machine, err) ||
	    loop_wake_init(&machine->command_wake, &machine->loop, signals_take_terminal, machine,
			   err) ||
	    result_open(result, "result", config->dry_run ? NULL : config->result_path, err) ||
	    (!config->dry_run && report_open(machine, err)) ||
	    trace_open(&machine->trace, config->trace, config->trace_path, config->start_ns,
		       &machine->loop, err) ||
	    (config->symbols && symbols_open(&machine->symbols, config->symbols, err)) ||
	    (config->own_cores && !config->dry_run && thread_own_cores(err)))
		return -1;
	if (config->command &&
	    init_archive_make(&machine->init_archive, config, &machine->modules_hint, err))
		return -1;
	return board_attach(board, machine, err);
}

/*
 * --dry-run, in the place of steps 3 to 6. A reader that has seen enough (head) ends it by SIGPIPE,
 * quietly, as any other program that only prints.
 */
static int show(struct machine *machine, const struct boot_plan *plan, struct error *err)
{
	const struct config *config = machine->config;
	struct error missing;
	struct dry_run_input input = {
		.machine = machine, .plan = plan, .cpuid_missing = missing.text};
	struct cpuid cpuid;

	signals_end_us(machine); /* no loop will hear of them */
	machine->kvm_fd = kvm_open(&missing);
	if (machine->kvm_fd >= 0 &&
	    cpuid_guest(machine->kvm_fd, config->cpus, &cpuid, &missing) == 0) {
		cpuid_set_vcpu(&cpuid, 0);
		input.cpuid = &cpuid;
	}
	signal(SIGPIPE, SIG_DFL);
	return dry_run(&input, stdout, config->dry_run == DRY_RUN_JSON, err);
}

/* Steps 3 to 6. */
static int boot(struct machine *machine, const struct boot_files *files, struct boot_plan *plan,
		struct error *err)
{
	const struct config *config = machine->config;

	if (machine_create_vm(machine, plan, err) || sandbox_prepare(&machine->sandbox, err) ||
	    board_open(machine->board, machine, err) || gdb_open(machine, err))
		return -1;
	if (config->verbose && machine->sandbox != config->sandbox)
		say("this kernel has no seccomp filters: all system calls are let through");
	terminal_init(&machine->terminal,
		      config->command ? config->tty : config->console == CONSOLE_STDIO);
	if (report_start(machine, plan, err))
		return -1;
	if (enter_jail(machine, err) || virtio_board_open(&machine->board->virtio, err))
		return -1;
	return run_to_the_end(machine, files, plan, err);
}

/*
 * Lets the console's reader have the rest in its own time. A signal that ends the wait is the
 * verdict: what the guest said did not all arrive.
 */
static void wait_for_reader(struct machine *machine)
{
	struct signalfd_siginfo info;

	while (console_drain(&machine->board->console, machine->signals.fd,
			     machine->timeout.deadline_ns) &&
	       io_read(machine->signals.fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTSTP) {
			signals_stop_process(machine);
		} else if (info.ssi_signo != SIGCONT && info.ssi_signo != SIGWINCH) {
			machine->verdict = (struct verdict){.reason = VERDICT_SIGNAL,
							    .number = (int)info.ssi_signo};
			return;
		}
	}
}

/* Puts the terminal right, lets the console's reader have the rest, and says how it ended. */
static int finish(struct machine *machine, struct result *result)
{
	const bool in_a_hurry = machine->verdict.reason == VERDICT_SIGNAL ||
				machine->verdict.reason == VERDICT_TIMEOUT;
	int status;

	timeline_reach(&machine->timeline, STAGE_END);
	/* Somebody who ends the machine by a signal or a time-out doesn't wait for a slow reader. */
	if (in_a_hurry)
		console_drain(&machine->board->console, -1, 0);
	else
		wait_for_reader(machine);
	terminal_close(&machine->terminal);
	status = verdict_status(&machine->verdict);
	if (result_write(result, machine) + report_write(machine))
		status = STATUS_VMM_ERROR;
	signals_end_us(machine);
	report(machine);
	return status;
}

/* Steps 2 to 6. */
static int go(struct machine *machine, struct boot_files *files, struct error *err)
{
	const struct config *config = machine->config;
	struct boot_plan plan;

	if (load(machine, files, &plan, err))
		return -1;
	if (!config->restart)
		boot_close_files(files);
	if (config->dump_acpi_path && dry_run_dump_acpi(&plan, config->dump_acpi_path, err))
		return -1;
	return config->dry_run ? show(machine, &plan, err) : boot(machine, files, &plan, err);
}

/* All steps, and what is told in the end. Returns the process's exit status. */
static int run_machine(struct machine *machine, struct board *board, const struct config *config)
{
	struct result result = {.file = NULL};
	struct boot_files files = {.kernel_fd = 0};
	struct error err = {.text = ""};
	int status = 0;

	board_init(board);
	/* A machine that may restart keeps its kernel and initrd open: later it can open nothing. */
	if (machine_init(machine, config, board, &err) || prepare(machine, board, &result, &err) ||
	    (config->restart && boot_open_files(&files, config->kernel, config->initrd, &err)) ||
	    unpack(config, &files, &err) || go(machine, &files, &err))
		machine_end(machine, VERDICT_VMM_ERROR, 0, "%s", err.text);
	if (machine_ended(machine))
		status = finish(machine, &result);
	gdb_close(machine, status);
	if (err.remedy[0])
		say("%s", err.remedy);
	boot_close_files(&files);
	return status;
}

int run(const struct config *config)
{
	struct whole {
		struct machine machine;
		struct board board;
	} *whole = calloc(1, sizeof(*whole));
	int status;

	if (!whole) {
		say("no memory for a machine");
		return STATUS_VMM_ERROR;
	}
	status = run_machine(&whole->machine, &whole->board, config);
	if (board_close(&whole->board)) {
		machine_destroy(&whole->machine);
		free(whole);
	} else {
		/* I/O that hangs holds on to all of it: only the process's end is its end then. */
		trace_flush(&whole->machine.trace);
	}
	return status;
}
