/*
 * The session: see session.h.
 *
 * When COMMAND has ended, all that it has left running is killed at once: as in a container, whose
 * first process takes the others with it. So its pipes end soon, and what is in them is relayed
 * until they do. Only a process that the kernel can't end may keep a pipe open: after a while
 * without a byte nobody waits for it any longer.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/termios.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/wait.h>

#include "boot/init/session.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

enum {
	WAIT_CONTROL,
	WAIT_CHILDREN,
	WAIT_IN,
	WAIT_OUT = WAIT_IN + 2,
	WAIT_ERR = WAIT_OUT + 2,
	WAITS = WAIT_ERR + 2
};

static void take_children(struct session *session, int children)
{
	struct signalfd_siginfo info;
	int status;
	long pid;

	/* A signal says only that there is somebody: several become one. */
	sys_read(children, &info, sizeof(info));
	while ((pid = sys_wait4(-1, &status, WNOHANG, NULL)) > 0)
		if (pid == session->command.pid) {
			session->ended = true;
			session->status = status;
			sys_kill(-1, SIGKILL);
		}
	session->alone = pid == -ECHILD;
}

static void take_word(struct session *session, enum control_word word, const u64 numbers[2])
{
	const struct winsize size = {.ws_row = (u16)numbers[0], .ws_col = (u16)numbers[1]};

	switch (word) {
	case CONTROL_SIZE:
		if (session->tty && session->in.to >= 0)
			sys_ioctl(session->in.to, TIOCSWINSZ, &size);
		break;
	case CONTROL_SIGNAL:
		if (!session->ended)
			sys_kill(-session->command.pid, (int)numbers[0]);
		break;
	case CONTROL_END_STDIN:
		channel_limit(&session->in, numbers[0]);
		break;
	case CONTROL_CLOSE_STDOUT:
		channel_drop(&session->out);
		channel_end(&session->out);
		/* A terminal hangs up only when both of its ends are closed. */
		if (session->tty)
			channel_drop(&session->in);
		break;
	case CONTROL_CLOSE_STDERR:
		channel_drop(&session->err);
		channel_end(&session->err);
		break;
	default:
		break;
	}
}

/*
 * Standard input has ended. A pipe is closed; a terminal gets its end-of-file character, and a
 * second one if it stands behind an unfinished line, which the first only hands over.
 */
static void end_input(struct session *session)
{
	struct termios terminal;
	bool within_line;

	session->in_told = true;
	if (!session->tty) {
		channel_drop(&session->in);
		return;
	}
	sys_ioctl(session->in.to, TCGETS, &terminal);
	within_line = session->in.at && session->in.bytes[session->in.at - 1] != '\n';
	session->in.bytes[0] = session->in.bytes[1] = terminal.c_cc[VEOF];
	session->in.at = 0;
	session->in.held = within_line ? 2 : 1;
}

static void tell_output(struct session *session, const struct channel *channel, const char *words,
			bool *told)
{
	struct digits digits;

	if (*told || !channel_is_done(channel))
		return;
	*told = true;
	control_say(&session->control, words, text_number(&digits, channel->passed), NULL);
}

static void tell(struct session *session)
{
	if (!session->in_told && session->in.to < 0) {
		session->in_told = true;
		control_say(&session->control, "close stdin", NULL);
	}
	if (!session->in_told && channel_is_done(&session->in))
		end_input(session);
	tell_output(session, &session->out, "end stdout ", &session->out_told);
	tell_output(session, &session->err, "end stderr ", &session->err_told);
}

/* Waits for anything to happen; false after SESSION_SILENCE_MS without, once COMMAND has ended. */
static bool wait_events(const struct session *session, int children, struct pollfd wait[WAITS])
{
	const struct control *control = &session->control;

	wait[WAIT_CONTROL] = (struct pollfd){
		.fd = control->gone ? -1 : control->fd,
		.events = control->out_bytes ? POLLIN | POLLOUT : POLLIN,
	};
	wait[WAIT_CHILDREN] = (struct pollfd){.fd = children, .events = POLLIN};
	channel_poll(&session->in, wait + WAIT_IN);
	channel_poll(&session->out, wait + WAIT_OUT);
	channel_poll(&session->err, wait + WAIT_ERR);
	return sys_poll(wait, WAITS, session->ended ? SESSION_SILENCE_MS : -1) != 0;
}

static void take_control(struct session *session)
{
	enum control_word word;
	u64 numbers[2];

	while (control_next(&session->control, &word, numbers))
		take_word(session, word, numbers);
	control_flush(&session->control);
	if (session->control.gone)
		sys_kill(-1, SIGKILL);
}

/* Nothing has happened for long: whoever still holds a pipe or doesn't end is given up. */
static void give_up_waiting(struct session *session)
{
	session->alone = true;
	if (!session->out.held)
		channel_end(&session->out);
	if (!session->err.held)
		channel_end(&session->err);
}

void session_run(struct session *session, int children, int stdio, int stderr_port)
{
	struct pollfd wait[WAITS];

	channel_open(&session->in, (int)sys_fcntl(stdio, F_DUPFD_CLOEXEC, 3), session->command.in);
	channel_open(&session->out, session->command.out, stdio);
	channel_open(&session->err, session->command.err, stderr_port);
	session->in_told = session->out_told = session->err_told = false;
	session->ended = session->alone = false;
	control_say(&session->control, "start", NULL);
	do {
		if (!wait_events(session, children, wait))
			give_up_waiting(session);
		if (wait[WAIT_CONTROL].revents)
			take_control(session);
		if (wait[WAIT_CHILDREN].revents)
			take_children(session, children);
		channel_move(&session->in, wait + WAIT_IN);
		channel_move(&session->out, wait + WAIT_OUT);
		channel_move(&session->err, wait + WAIT_ERR);
		tell(session);
	} while (!session->ended || !session->alone || !session->out_told || !session->err_told);
}

void session_tell_end(struct session *session)
{
	const int by_signal = session->status & 0x7f;
	struct digits digits;

	control_say(&session->control, by_signal ? "signal " : "exit ",
		    text_number(&digits, (u64)(by_signal ? by_signal : session->status >> 8)),
		    NULL);
}

void session_wait_done(struct control *control)
{
	enum control_word word = CONTROL_UNKNOWN;
	u64 numbers[2];
	struct pollfd wait;

	do {
		control_flush(control);
		while (word != CONTROL_DONE && control_next(control, &word, numbers))
			;
		wait = (struct pollfd){.fd = control->fd,
				       .events = control->out_bytes ? POLLIN | POLLOUT : POLLIN};
	} while (word != CONTROL_DONE && !control->gone &&
		 sys_poll(&wait, 1, SESSION_SILENCE_MS) > 0);
}
