/*
 * `bantam run`: see run.h.
 *
 * Start-up goes from what is cheap and the user's (files, options) to what is the host's (KVM), so
 * that a mistake is told before anything is made. Opening order is closing order reversed.
 */
#include "vmm/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/board.h"
#include "vmm/dry_run.h"
#include "vmm/machine.h"

/* System calls: signalfd4, rt_sigprocmask, kill (of itself, to stop as Ctrl-Z has it). */

/* Signals that end the machine, with the machine's verdict and the terminal put right. */
static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* Gives the terminal back, stops as the signal would have, and takes it again when continued. */
static void stop_and_continue(struct machine *machine)
{
	terminal_restore(&machine->terminal);
	kill(getpid(), SIGSTOP);
}

static void take_terminal(struct machine *machine)
{
	struct console *console = &machine->board->console;

	if (machine->terminal.wanted)
		console_take_terminal(console, terminal_enter_raw(&machine->terminal));
}

static void signals_ready(void *owner, short revents)
{
	struct machine *machine = owner;
	struct signalfd_siginfo info;

	(void)revents;
	if (read(machine->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTSTP:
		stop_and_continue(machine);
		break;
	case SIGCONT:
		take_terminal(machine);
		break;
	default:
		machine_end(machine, VERDICT_SIGNAL, (int)info.ssi_signo, "%s", "");
	}
}

/* Step 1: signals become events of the loop; threads inherit the mask. */
static int take_signals(struct machine *machine, struct error *err)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++) {
		struct sigaction action;

		/* What the parent has us ignore (nohup does) stays ignored. */
		if (sigaction(ending_signals[i], NULL, &action) == 0 &&
		    action.sa_handler != SIG_IGN)
			sigaddset(&set, ending_signals[i]);
	}
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	machine->signals = (struct loop_source){
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = POLLIN,
		.ready = signals_ready,
		.owner = machine,
	};
	if (machine->signals.fd < 0)
		return error_set(err, "cannot receive signals: %s", strerror(errno));
	return loop_add(&machine->loop, &machine->signals, err);
}

/* Step 3: the kernel and what it needs go into guest memory. */
static int load(struct machine *machine, struct boot_plan *plan, struct error *err)
{
	const struct config *config = machine->config;
	char cmdline[CMDLINE_BYTES];
	const struct boot_request request = {
		.kernel = config->kernel,
		.initrd = config->initrd,
		.cmdline = cmdline,
		.protocol = config->protocol,
		.acpi = board_acpi(machine->board, machine),
	};
	size_t used;

	used = (size_t)snprintf(cmdline, sizeof(cmdline), "%s", config->cmdline);
	for (unsigned i = 0; i < config->appends && used < sizeof(cmdline); i++)
		used += (size_t)snprintf(cmdline + used, sizeof(cmdline) - used, "%s%s",
					 used ? " " : "", config->append[i]);
	if (used >= sizeof(cmdline))
		return error_set(err, "the kernel command line is longer than %zu bytes",
				 sizeof(cmdline) - 1);
	return boot_load(&request, &machine->memory, plan, err);
}

static void report(struct machine *machine)
{
	const struct console *console = &machine->board->console;
	char words[768];

	if (console->dropped && machine->config->console != CONSOLE_OFF)
		say("%llu of %llu bytes of the guest's console output were dropped: nobody took "
		    "them",
		    (unsigned long long)console->dropped, (unsigned long long)console->total);
	verdict_describe(&machine->verdict, words, sizeof(words));
	say("%s", words);
}

/* Steps 6 to 8: let it run, and end it in order. */
static int run_to_the_end(struct machine *machine, struct error *err)
{
	take_terminal(machine);
	if (machine_start(machine, err)) {
		terminal_restore(&machine->terminal);
		return -1;
	}
	loop_run(&machine->loop);
	machine_stop(machine);
	/* Somebody who ends the machine by a signal doesn't wait for a slow reader. */
	console_drain(&machine->board->console,
		      machine->verdict.reason == VERDICT_SIGNAL ? -1 : machine->signals.fd);
	terminal_restore(&machine->terminal);
	report(machine);
	return 0;
}

int run(const struct config *config)
{
	int status = STATUS_VMM_ERROR;
	struct boot_plan plan;
	struct machine machine;
	struct board board;
	struct error err;
	int result;

	result = machine_init(&machine, config, &err); /* 2 */
	result = result ? result : board_attach(&board, &machine, &err);
	if (result)
		goto destroy;
	result = load(&machine, &plan, &err); /* 3 */
	if (result == 0 && config->dry_run) {
		dry_run_print(&plan);
		status = 0;
		goto close;
	}
	result = result ? result : machine_create_vm(&machine, &err); /* 4 */
	result = result ? result : machine_add_vcpus(&machine, &plan, &err);
	result = result ? result : take_signals(&machine, &err); /* 5 */
	result = result ? result : board_open(&board, &machine, &err);
	if (result == 0)
		terminal_init(&machine.terminal, config->console == CONSOLE_STDIO);
	result = result ? result : run_to_the_end(&machine, &err);
	if (result == 0)
		status = verdict_status(&machine.verdict);
close:
	board_close(&board);
destroy:
	if (result)
		say("%s", err.text);
	if (machine.signals.fd >= 0)
		close(machine.signals.fd);
	machine_destroy(&machine);
	return status;
}
