/*
 * From COMMAND's start to its end: what flows between it and the ports, and what is told.
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

#include "boot/init/init.h"
#include "boot/init/sys.h"

enum { SILENCE_MS = 10000 };
enum { WAIT_CONTROL, WAIT_CHILDREN, WAIT_STREAMS, WAITS = WAIT_STREAMS + 2 * STREAMS };

static void take_children(struct session *session, int children)
{
	struct signalfd_siginfo info;
	int status = 0;
	long pid;

	/* A signal says only that there is somebody: several become one. */
	sys(read, children, &info, sizeof(info));
	while ((pid = sys(wait4, -1, &status, WNOHANG, NULL)) > 0)
		if (pid == session->command.pid) {
			session->ended = true;
			session->status = status;
			sys(kill, -1, SIGKILL);
		}
	session->alone = pid == -ECHILD;
}

static void take_word(struct session *session, enum control_word word, const u64 numbers[2])
{
	struct channel *in = &session->channel[STREAM_IN], *closed;
	const struct winsize size = {.ws_row = (u16)numbers[0], .ws_col = (u16)numbers[1]};

	switch (word) {
	case CONTROL_SIZE:
		if (session->tty)
			sys(ioctl, in->to, TIOCSWINSZ, &size);
		break;
	case CONTROL_SIGNAL:
		if (!session->ended)
			sys(kill, -session->command.pid, numbers[0]);
		break;
	case CONTROL_END_STDIN:
		channel_limit(in, numbers[0]);
		break;
	case CONTROL_CLOSE_STDOUT:
	case CONTROL_CLOSE_STDERR:
		closed = &session->channel[word == CONTROL_CLOSE_STDOUT ? STREAM_OUT : STREAM_ERR];
		channel_drop(closed);
		channel_end(closed);
		/* A terminal hangs up when both its ends are closed. */
		if (session->tty)
			channel_drop(in);
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
	struct channel *in = &session->channel[STREAM_IN];
	const bool within_line = in->at && in->bytes[in->at - 1] != '\n';
	struct termios terminal = {0};

	if (!session->tty) {
		channel_drop(in);
		return;
	}
	sys(ioctl, in->to, TCGETS, &terminal);
	in->bytes[0] = in->bytes[1] = terminal.c_cc[VEOF];
	in->at = 0;
	in->held = within_line ? 2 : 1;
}

/* Tells each stream's end once. */
static void tell_ends(struct session *session)
{
	static const char *const words[STREAMS] = {"", "end stdout ", "end stderr "};
	const struct channel *in = &session->channel[STREAM_IN];
	bool *told = session->told;

	if (!told[STREAM_IN] && (in->to < 0 || channel_is_done(in))) {
		told[STREAM_IN] = true;
		if (in->to < 0)
			SAY(&session->control, "close stdin");
		else
			end_input(session);
	}
	for (int i = STREAM_OUT; i < STREAMS; i++)
		if (!told[i] && channel_is_done(&session->channel[i])) {
			told[i] = true;
			SAY(&session->control, words[i], TEXT_NUMBER(session->channel[i].passed));
		}
}

static void take_control(struct session *session)
{
	enum control_word word;
	u64 numbers[2] = {0};

	while (control_next(&session->control, &word, numbers))
		take_word(session, word, numbers);
	if (session->control.gone)
		sys(kill, -1, SIGKILL);
}

/* Nothing has happened for long: whoever still holds a pipe or doesn't end is given up. */
static void give_up_waiting(struct session *session)
{
	session->alone = true;
	for (int i = STREAM_OUT; i < STREAMS; i++)
		if (!session->channel[i].held)
			channel_end(&session->channel[i]);
}

void session_run(struct session *session, int children, const int port[PORTS])
{
	const int *end = session->command.end,
		  stdin_port = (int)sys(fcntl, port[PORT_STDIO], F_DUPFD_CLOEXEC, 0);
	struct channel *channel = session->channel;
	struct pollfd wait[WAITS];

	channel_open(&channel[STREAM_IN], stdin_port, end[STREAM_IN]);
	channel_open(&channel[STREAM_OUT], end[STREAM_OUT], port[PORT_STDIO]);
	channel_open(&channel[STREAM_ERR], end[STREAM_ERR], port[PORT_STDERR]);
	SAY(&session->control, "start");
	do {
		control_poll(&session->control, &wait[WAIT_CONTROL]);
		wait[WAIT_CHILDREN] = (struct pollfd){.fd = children, .events = POLLIN};
		for (int i = 0; i < STREAMS; i++)
			channel_poll(&channel[i], &wait[WAIT_STREAMS + 2 * i]);
		if (!sys(poll, wait, WAITS, session->ended ? SILENCE_MS : -1))
			give_up_waiting(session);
		for (int i = 0; i < STREAMS; i++)
			channel_move(&channel[i], &wait[WAIT_STREAMS + 2 * i]);
		if (wait[WAIT_CONTROL].revents)
			take_control(session);
		if (wait[WAIT_CHILDREN].revents)
			take_children(session, children);
		tell_ends(session);
	} while (!session->ended || !session->alone || !session->told[STREAM_OUT] ||
		 !session->told[STREAM_ERR]);
}

void session_tell_status(struct session *session)
{
	const u32 status = (u32)session->status, signal = status & 0x7f;

	SAY(&session->control, signal ? "signal " : "exit ",
	    TEXT_NUMBER(signal ? signal : status >> 8 & 0xff));
}

void session_wait_end(struct control *control)
{
	enum control_word word;
	struct pollfd wait;
	u64 numbers[2];

	do {
		while (control_next(control, &word, numbers))
			;
		control_poll(control, &wait);
	} while (!control->gone && sys(poll, &wait, 1, -1) > 0);
}
