/*
 * COMMAND in the guest: see command.h.
 */
#include "vmm/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/machine.h"
#include "vmm/readwrite.h"

SANDBOX_CALLS(command, CALL(preadv2, SANDBOX_STREAM, "stdin"),
	      CALL(close, SANDBOX_STREAM, "stdout, when COMMAND has closed its own"));

/* The ports' numbers; 0 is the console's. */
enum { PORT_STDIO = 1, PORT_STDERR, PORT_CONTROL };

static void distrust(struct command *command, const char *why)
{
	machine_end(command->machine, VERDICT_BAD_REPORT, 0, "%s", why);
}

static size_t bytes_of(const struct iovec *piece, unsigned pieces)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < pieces; i++)
		bytes += piece[i].iov_len;
	return bytes;
}

/* COMMAND may never have heard of it; then its status says nothing. */
static void tell_loss(const struct command_output *out)
{
	if (out->error)
		machine_end(out->command->machine, VERDICT_VMM_ERROR, 0,
			    "the command's %s could not be written: %s", out->name,
			    strerror(out->error));
}

/* Ends the machine when all that was announced is there. */
static void end_if_complete(struct command *command)
{
	const struct command_output *out = &command->out, *err = &command->err;

	if (!command->final || !out->ended || !err->ended || out->total != out->end ||
	    err->total != err->end)
		return;
	tell_loss(out);
	tell_loss(err);
	machine_end(command->machine, (enum verdict_reason)command->reason, command->number, "%s",
		    "");
}

/* Output. */

/* COMMAND has closed it: whoever reads ours is to see that. */
static void close_if_ended(struct command_output *out)
{
	if (!out->ended || out->total != out->end || !out->closes || out->closed)
		return;
	out->closed = true;
	sink_close(&out->sink);
	close(out->fd);
}

static void count_output(struct command_output *out, size_t bytes)
{
	out->total += bytes;
	close_if_ended(out);
	end_if_complete(out->command);
}

/* The next chance comes when the sink can be written. */
static size_t take_output(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct command_output *out = owner;

	if (out->ended && bytes_of(piece, pieces) > out->end - out->total) {
		distrust(out->command, "output behind its end");
		return bytes_of(piece, pieces);
	}
	if (!out->closed) {
		const ssize_t done = sink_write(&out->sink, piece->iov_base, piece->iov_len);

		if (done < 0 && errno == EAGAIN)
			return 0;
		if (done > 0) {
			count_output(out, (size_t)done);
			return (size_t)done;
		}
		/* As when it writes there itself, it hears of that. */
		if (errno != EPIPE && errno != ECONNRESET)
			out->error = errno;
		out->closed = out->tell_closed = true;
		vconsole_wake(out->command->console);
	}
	count_output(out, bytes_of(piece, pieces));
	return bytes_of(piece, pieces);
}

/* Input. */

static size_t give_input(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct command *command = ((struct command_output *)owner)->command;
	struct vconsole_port *port = &command->console->port[PORT_STDIO];
	u32 bytes;

	if (command->input_at == command->input_used && !command->input_ended) {
		const ssize_t got = io_read(STDIN_FILENO, command->input, sizeof(command->input));

		command->input_at = 0;
		command->input_used = got > 0 ? (size_t)got : 0;
		if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
			command->input_ended = command->tell_input_ended = true;
			vconsole_wake(command->console);
		}
	}
	bytes = virtq_copy(piece, pieces, 0, command->input + command->input_at,
			   (u32)(command->input_used - command->input_at), true);
	command->input_at += bytes;
	command->input_total += bytes;
	port->give_fd =
		command->input_at < command->input_used || command->input_ended ? -1 : STDIN_FILENO;
	return bytes;
}

static void stop_input(struct command *command)
{
	command->input_ended = true;
	command->input_at = command->input_used = 0;
	command->console->port[PORT_STDIO].give_fd = -1;
}

/* The control port: lines from the guest. */

/* A decimal number of at most `digits` digits that fills the text; false when it isn't one. */
static bool parse_number(const char *text, size_t digits, u64 *number)
{
	const size_t length = strlen(text);

	if (length == 0 || length > digits || strspn(text, "0123456789") != length)
		return false;
	*number = strtoull(text, NULL, 10);
	return true;
}

/* The part of the line behind the words, or NULL when it begins otherwise. */
static const char *behind(const char *line, const char *words)
{
	const size_t length = strlen(words);

	return strncmp(line, words, length) == 0 ? line + length : NULL;
}

static void take_end(struct command_output *out, const char *text)
{
	u64 end;

	if (out->ended || !parse_number(text, 19, &end) || end < out->total) {
		distrust(out->command, "an end of output that can't be");
		return;
	}
	out->ended = true;
	out->end = end;
	close_if_ended(out);
}

static void take_final(struct command *command, enum verdict_reason reason, const char *text,
		       u64 least, u64 most)
{
	u64 number;

	if (!command->out.ended || !command->err.ended || !parse_number(text, 3, &number) ||
	    number < least || number > most) {
		distrust(command, "a status that can't be");
		return;
	}
	command->final = true;
	command->reason = reason;
	command->number = (int)number;
	end_if_complete(command);
}

static void take_line(struct command *command, const char *line)
{
	struct machine *machine = command->machine;
	const char *rest;

	if (command->final)
		distrust(command, "a word behind the last");
	else if (strcmp(line, "start") == 0) {
		atomic_store(&command->started, true);
		timeline_reach(&machine->timeline, STAGE_COMMAND);
		loop_wake_signal(&machine->command_wake);
	} else if (strcmp(line, "close stdin") == 0)
		stop_input(command);
	else if ((rest = behind(line, "end stdout ")))
		take_end(&command->out, rest);
	else if ((rest = behind(line, "end stderr ")))
		take_end(&command->err, rest);
	else if ((rest = behind(line, "exit ")))
		take_final(command, VERDICT_EXIT, rest, 0, 255);
	else if ((rest = behind(line, "signal ")))
		take_final(command, VERDICT_COMMAND_SIGNAL, rest, 1, 127);
	else if ((rest = behind(line, "failed 126 ")))
		machine_end(machine, VERDICT_CANNOT_EXECUTE, 0, "%s", rest);
	else if ((rest = behind(line, "failed 127 ")))
		machine_end(machine, VERDICT_NOT_FOUND, 0, "%s", rest);
	else if ((rest = behind(line, "error ")))
		machine_end(machine, VERDICT_VMM_ERROR, 0, "in the guest: %s", rest);
	else
		distrust(command, "a line that nobody knows");
}

static size_t take_control(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct command *command = owner;
	const size_t bytes = bytes_of(piece, pieces);

	for (size_t i = 0; i < piece->iov_len; i++) {
		const char c = ((const volatile char *)piece->iov_base)[i];

		const bool full = command->line_used == sizeof(command->line) - 1;

		/* What a line says is shown on the user's terminal. */
		if (c != '\n' && (full || (u8)c < ' ' || c == 0x7f)) {
			distrust(command, "a line that is no text, or without an end");
			return bytes;
		}
		if (c != '\n') {
			command->line[command->line_used++] = c;
			continue;
		}
		command->line[command->line_used] = '\0';
		command->line_used = 0;
		take_line(command, command->line);
	}
	return piece->iov_len;
}

/* The control port: lines to the guest. */

/* Prepares a line when there is a wish for it, which is granted by that. */
static bool tell(struct command *command, bool *wish, const char *format, ...) PRINTF(3, 4);

static bool tell(struct command *command, bool *wish, const char *format, ...)
{
	const bool wanted = *wish;
	va_list args;

	*wish = false;
	va_start(args, format);
	if (wanted)
		command->words_used =
			(size_t)vsnprintf(command->words, sizeof(command->words), format, args);
	va_end(args);
	return wanted;
}

/* Takes a letter out of the mailbox. */
static bool tell_letter(struct command *command)
{
	bool signalled, told;
	int number;

	pthread_mutex_lock(&command->lock);
	signalled = command->signals;
	number = signalled ? __builtin_ctz(command->signals) : 0;
	told = tell(command, &command->resized, "size %u %u\n", command->rows, command->columns);
	if (!told && tell(command, &signalled, "signal %d\n", number)) {
		command->signals &= command->signals - 1;
		told = true;
	}
	pthread_mutex_unlock(&command->lock);
	return told;
}

static size_t give_control(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct command *command = owner;
	const bool input_taken = command->input_at == command->input_used;
	u32 bytes;

	if (command->words_at == command->words_used) {
		command->words_at = command->words_used = 0;
		/* In the order of their importance; what isn't told now is told in the next turn. */
		(void)(tell_letter(command) ||
		       tell(command, &command->out.tell_closed, "close stdout\n") ||
		       tell(command, &command->err.tell_closed, "close stderr\n") ||
		       (input_taken && tell(command, &command->tell_input_ended, "end stdin %llu\n",
					    command->input_total)));
	}
	bytes = virtq_copy(piece, pieces, 0, command->words + command->words_at,
			   (u32)(command->words_used - command->words_at), true);
	command->words_at += bytes;
	return bytes;
}

/* The main thread. */

void command_terminal_size(unsigned *rows, unsigned *columns)
{
	struct winsize size;

	*rows = 24;
	*columns = 80;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col) {
			*rows = size.ws_row;
			*columns = size.ws_col;
			return;
		}
	}
}

void command_signal(struct command *command, int number)
{
	pthread_mutex_lock(&command->lock);
	command->signals |= (u32)1 << number;
	pthread_mutex_unlock(&command->lock);
	vconsole_wake(command->console);
}

void command_resize(struct command *command)
{
	unsigned rows, columns;

	command_terminal_size(&rows, &columns);
	pthread_mutex_lock(&command->lock);
	command->resized = true;
	command->rows = rows;
	command->columns = columns;
	pthread_mutex_unlock(&command->lock);
	vconsole_wake(command->console);
}

static size_t give_nothing(void *owner, const struct iovec *piece, unsigned pieces)
{
	(void)owner, (void)piece, (void)pieces;
	return 0;
}

static void open_output(struct command *command, struct command_output *out, const char *name,
			int fd)
{
	*out = (struct command_output){.command = command, .name = name, .fd = fd};
	sink_borrow(&out->sink, fd);
}

void command_open(struct command *command, struct machine *machine, struct vconsole *console)
{
	command->machine = machine;
	command->console = console;
	pthread_mutex_init(&command->lock, NULL);
	open_output(command, &command->out, "stdout", STDOUT_FILENO);
	open_output(command, &command->err, "stderr", STDERR_FILENO);
	command->out.closes = true; /* stderr is for our own words, too */
	console->port[PORT_STDIO] = (struct vconsole_port){.name = INIT_PORT_STDIO,
							   .take = take_output,
							   .give = give_input,
							   .take_fd = command->out.sink.fd,
							   .give_fd = STDIN_FILENO,
							   .owner = &command->out};
	console->port[PORT_STDERR] = (struct vconsole_port){.name = INIT_PORT_STDERR,
							    .take = take_output,
							    .give = give_nothing,
							    .take_fd = command->err.sink.fd,
							    .give_fd = -1,
							    .owner = &command->err};
	console->port[PORT_CONTROL] = (struct vconsole_port){.name = INIT_PORT_CONTROL,
							     .take = take_control,
							     .give = give_control,
							     .take_fd = -1,
							     .give_fd = -1,
							     .owner = command};
}

void command_close(struct command *command)
{
	if (!command->machine)
		return;
	sink_close(&command->out.sink);
	sink_close(&command->err.sink);
	pthread_mutex_destroy(&command->lock);
	command->machine = NULL;
}
