/*
 * The process's signals: see signals.h.
 */
#include "vmm/signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "vmm/board.h"
#include "vmm/readwrite.h"

/* Signals that end the machine, with the machine's verdict and the terminal put right. */
static const int ending_signals[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,   SIGALRM,
				     SIGUSR1, SIGUSR2, SIGXCPU, SIGVTALRM, SIGPROF};

#define UNBLOCK_SIGNAL (SIGRTMIN + 1)

/* How often a process in the background looks whether the terminal has become its own. */
#define TERMINAL_PERIOD_NS ((u64)500000000)

void signals_stop_process(struct machine *machine)
{
	terminal_restore(&machine->terminal);
	(void)syscall(SYS_tgkill, machine->process, machine->process, SIGSTOP);
}

static struct command *command_of(struct machine *machine)
{
	return &machine->board->virtio.command;
}

bool signals_command_runs(struct machine *machine)
{
	return machine->config->command && atomic_load(&command_of(machine)->started);
}

void signals_take_terminal(void *owner)
{
	struct machine *machine = owner;
	struct console *console = &machine->board->console;

	if (!machine->terminal.wanted ||
	    (machine->config->command && !signals_command_runs(machine)))
		return;
	console_take_terminal(console, terminal_enter_raw(&machine->terminal));
	/* A shell's `fg` tells a job that runs in the background nothing: one has to look. */
	if (!machine->terminal.raw)
		loop_timer_set(&machine->terminal_timer, TERMINAL_PERIOD_NS);
}

static void timeout_fired(void *owner)
{
	machine_end(owner, VERDICT_TIMEOUT, 0, "%s", "");
}

static void stop_timer_fired(void *owner)
{
	const struct machine *machine = owner;
	const bool command = machine->config->command;

	machine_end(owner, VERDICT_SIGNAL, SIGTERM, "%s did not %s in time",
		    command ? "COMMAND" : "the guest", command ? "end" : "power off");
}

/*
 * The first signal is for the guest: COMMAND has it as it would have it from a shell, or SIGTERM
 * presses the power button, if the user wants that. A second one ends the machine.
 */
static void handle_ending_signal(struct machine *machine, int signal_number)
{
	const u64 patience_ns = signal_number == SIGTERM ? machine->config->stop_timeout_ns : 0;
	const bool first = !machine->signalled;

	machine->signalled = true;
	if (first && signals_command_runs(machine) &&
	    (signal_number == SIGINT || signal_number == SIGTERM)) {
		command_signal(command_of(machine), signal_number);
	} else if (first && patience_ns && !machine->config->command) {
		say("asked the guest to power off");
		button_press(&machine->board->button);
	} else {
		machine_end(machine, VERDICT_SIGNAL, signal_number, "%s", "");
		return;
	}
	if (patience_ns)
		loop_timer_set(&machine->stop_timer, patience_ns);
}

static void signals_ready(void *owner)
{
	struct machine *machine = owner;
	struct signalfd_siginfo info;

	if (io_read(machine->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTSTP:
		signals_stop_process(machine);
		break;
	case SIGCONT:
		signals_take_terminal(machine);
		__attribute__((fallthrough)); /* who was stopped has heard of no new size */
	case SIGWINCH:
		if (machine->config->tty)
			command_resize(command_of(machine));
		break;
	default:
		handle_ending_signal(machine, (int)info.ssi_signo);
	}
}

static void leave(int signal_number)
{
	terminal_restore_in_handler();
	_exit(STATUS_SIGNAL_BASE + signal_number);
}

/* A handler's end gives the thread the mask that is kept here. */
static void unblock(int signal_number, siginfo_t *info, void *context)
{
	(void)signal_number, (void)info;
	for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++)
		sigdelset(&((ucontext_t *)context)->uc_sigmask, ending_signals[i]);
}

void signals_end_us(struct machine *machine)
{
	struct signalfd_siginfo info;

	/* The machine has ended; what came in meanwhile is too late to change anything. */
	while (io_read(machine->signals.fd, &info, sizeof(info)) == sizeof(info))
		;
	(void)syscall(SYS_tgkill, machine->process, machine->process, UNBLOCK_SIGNAL);
}

int signals_take(struct machine *machine, struct error *err)
{
	const struct sigaction ending = {.sa_handler = leave};
	const struct sigaction unblocking = {.sa_sigaction = unblock, .sa_flags = SA_SIGINFO};
	sigset_t set;

	machine->process = getpid();
	sigemptyset(&set);
	sigaddset(&set, UNBLOCK_SIGNAL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++) {
		struct sigaction action;

		/* What the parent has us ignore (nohup does) stays ignored. */
		if (sigaction(ending_signals[i], NULL, &action) || action.sa_handler == SIG_IGN)
			continue;
		sigaddset(&set, ending_signals[i]);
		sigaction(ending_signals[i], &ending, NULL);
	}
	sigaction(UNBLOCK_SIGNAL, &unblocking, NULL);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk */
	signal(SIGTTOU, SIG_IGN);
	machine->signals = (struct loop_source){
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = POLLIN,
		.ready = signals_ready,
		.owner = machine,
	};
	if (machine->signals.fd < 0)
		return error_errno(err, "cannot receive signals");
	return loop_add(&machine->loop, &machine->signals, err);
}

void signals_add_timers(struct machine *machine)
{
	loop_add_timer(&machine->loop, &machine->timeout, timeout_fired, machine);
	loop_add_timer(&machine->loop, &machine->stop_timer, stop_timer_fired, machine);
	loop_add_timer(&machine->loop, &machine->terminal_timer, signals_take_terminal, machine);
	if (machine->config->timeout_ns)
		loop_timer_set(&machine->timeout, machine->config->timeout_ns);
}
