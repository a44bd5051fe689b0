/*
 * The user's terminal: see terminal.h.
 */
#include "vmm/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/sandbox.h"

/* TIOCSTI, say, would type into the user's shell. */
SANDBOX_CALLS(terminal, CALL(ioctl, SANDBOX_MAIN, "is the terminal ours now", IS(1, TIOCGPGRP)),
	      CALL(ioctl, SANDBOX_ALL, "the terminal as it is", IS(1, TCGETS)),
	      CALL(ioctl, SANDBOX_ALL, "raw, and back", IS(1, TCSETS)),
	      CALL(ioctl, SANDBOX_MAIN, "its size; is a file one", IS(1, TIOCGWINSZ)));
#ifdef __GLIBC__
/* Since version 2.42 it asks for speeds by numbers, too: TCGETS2, TCSETS2. */
SANDBOX_CALLS(terminal_glibc, CALL(ioctl, SANDBOX_ALL, "the terminal as it is", IS(1, 0x802c542a)),
	      CALL(ioctl, SANDBOX_ALL, "raw, and back", IS(1, 0x402c542b)));
#endif

/*
 * A handler of fatal signals gets no argument of its own, so this is the one variable that all
 * threads share and that lives outside struct machine. It is set once, before there are threads.
 */
static struct {
	struct terminal *terminal; /* NULL: leave it alone */
	pid_t process;
} on_crash;

void terminal_restore_in_handler(void)
{
	if (on_crash.terminal)
		terminal_restore(on_crash.terminal);
}

const int terminal_fatal_signals[TERMINAL_FATAL_SIGNALS] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE,
							    SIGABRT};

/*
 * SA_RESETHAND: the second time, the signal does what it does without us. What was sent goes to the main
 * thread then, whose number is known without a call, and where nothing holds it back (SA_NODEFER).
 */
static void crash_handler(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	terminal_restore_in_handler();
	/* A fault happens again when the handler returns; what was sent has to be sent again. */
	if (info->si_code > 0)
		return;
	(void)syscall(SYS_tgkill, on_crash.process, on_crash.process, signal_number);
	for (;;)
		(void)poll(NULL, 0, -1);
}

void terminal_init(struct terminal *terminal, bool guest_input)
{
	struct sigaction action = {.sa_sigaction = crash_handler,
				   .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_SIGINFO)};
	sigset_t set;

	*terminal = (struct terminal){.own_group = getpgrp()};
	terminal->wanted = guest_input && tcgetattr(STDIN_FILENO, &terminal->old) == 0;
	if (!terminal->wanted)
		return;
	on_crash.terminal = terminal;
	on_crash.process = getpid();
	sigemptyset(&set);
	for (size_t i = 0; i < TERMINAL_FATAL_SIGNALS; i++) {
		sigaction(terminal_fatal_signals[i], &action, NULL);
		sigaddset(&set, terminal_fatal_signals[i]);
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

bool terminal_enter_raw(struct terminal *terminal)
{
	struct termios raw;

	if (!terminal->wanted || tcgetpgrp(STDIN_FILENO) != terminal->own_group)
		return terminal->raw;
	/* Read anew: the user may have changed the terminal since. */
	if (!terminal->raw && tcgetattr(STDIN_FILENO, &terminal->old))
		return false;
	raw = terminal->old;
	cfmakeraw(&raw);
	terminal->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	return terminal->raw;
}

void terminal_restore(struct terminal *terminal)
{
	if (!terminal->raw)
		return;
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal->old);
	terminal->raw = false;
}

void terminal_close(struct terminal *terminal)
{
	terminal_restore(terminal);
	on_crash.terminal = NULL;
}
