/*
 * COMMAND: found, started, and connected by pipes or by a terminal.
 *
 * A child takes the steps to COMMAND one by one: session, descriptors, directory, user, execve(2).
 * Where it fails, it writes the line for the host into a pipe that a successful execve() closes; so
 * init knows both without asking.
 *
 * The virtio ports aren't COMMAND's descriptors: a port can be opened only once (so not by way of
 * /dev/stdout), blocks while the host is away, and takes 32 KiB at a time.
 */
#include <asm/ioctls.h>
#include <asm/termios.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

bool command_candidate(const char **rest, const char *name, char *to, size_t bytes)
{
	const char *path = *rest, *end;
	size_t length;

	if (!path || !*name)
		return false;
	if (strchr(name, '/')) {
		text_join(to, bytes, STRINGS(name));
		*rest = NULL;
		return true;
	}
	end = strchr(path, ':');
	length = end ? (size_t)(end - path) : strlen(path);
	*rest = end ? end + 1 : NULL;
	if (length + 1 + strlen(name) >= bytes)
		return command_candidate(rest, name, to, bytes);
	/* An empty entry is the working directory. */
	text_join(to, length + 1, STRINGS(path));
	text_join(to + length, bytes - length, STRINGS(length ? "/" : "", name));
	return true;
}

/* In the child: one line for the host, and the end. */
_Noreturn static void give_up(int status, const char *const *list)
{
	char line[PROTOCOL_LINE_BYTES];
	const size_t length = text_join(line, sizeof(line), list);

	sys(write, status, line, length);
	for (;;)
		sys(exit_group, 127);
}

_Noreturn static void execute(const struct init_config *config, int status)
{
	const char *name = config->args[0], *rest = env_find(config, "PATH=");
	const char *why = "no such command";
	char file[PATH_BYTES];
	long error = -ENOENT;

	while (command_candidate(&rest, name, file, sizeof(file))) {
		const long result = sys(execve, file, config->args, config->env);

		if (result != -ENOENT && result != -ENOTDIR)
			error = result;
		else if (!sys(faccessat, AT_FDCWD, file, 0))
			why = "its interpreter isn't there";
		if (error != -ENOENT && error != -EACCES)
			break;
	}
	if (error != -ENOENT)
		give_up(status, STRINGS("failed 126 ", name, ": ", TEXT_ERROR(error)));
	give_up(status, STRINGS("failed 127 ", name, ": ", why));
}

_Noreturn static void run_child(const struct init_config *config, const struct user *user,
				const int end[STREAMS], int status)
{
	const char *dir = config->dir ? config->dir : "/";
	const u64 no_signals = 0;
	long error;

	sys(setsid, 0);
	for (int i = 0; i < STREAMS; i++) {
		/* So that COMMAND can open /dev/stdout and its terminal by name. */
		sys(fchown, end[i], user->uid, -1);
		sys(dup2, end[i], i);
	}
	if (config->tty)
		sys(ioctl, 0, TIOCSCTTY, 0);
	directory_make(dir);
	error = sys(chdir, dir);
	if (error)
		give_up(status, STRINGS("error ", dir, ": ", TEXT_ERROR(error)));
	error = sys(setgroups, user->group_count, user->groups);
	if (!error)
		error = sys(setgid, user->gid);
	if (!error)
		error = sys(setuid, user->uid);
	/* A kernel without CONFIG_MULTIUSER knows the superuser only. */
	if (error && !(error == -ENOSYS && !user->uid && !user->gid))
		give_up(status, STRINGS("error can't change the user: ", TEXT_ERROR(error)));
	sys(rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof(no_signals));
	execute(config, status);
}

static long make_pipes(int ours[STREAMS], int theirs[STREAMS])
{
	int pipe[2] = {-1, -1};
	long error = 0;

	for (int i = 0; i < STREAMS && !error; i++) {
		error = sys(pipe2, pipe, O_CLOEXEC);
		/* Of standard input the child has the reading end, of the others the writing one. */
		theirs[i] = pipe[i != STREAM_IN];
		ours[i] = pipe[i == STREAM_IN];
		sys(fcntl, ours[i], F_SETFL, O_NONBLOCK);
	}
	return error;
}

static long make_terminal(const u64 size[2], int ours[STREAMS], int theirs[STREAMS])
{
	const struct winsize window = {.ws_row = (u16)size[0], .ws_col = (u16)size[1]};
	const int master = file_take("/dev/ptmx", O_RDWR | O_NONBLOCK), unlock = 0;

	sys(ioctl, master, TIOCSPTLCK, &unlock);
	sys(ioctl, master, TIOCSWINSZ, &window);
	for (int i = 0; i < STREAMS; i++)
		theirs[i] = (int)sys(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	ours[STREAM_IN] = master;
	ours[STREAM_OUT] = (int)sys(fcntl, master, F_DUPFD_CLOEXEC, 0);
	ours[STREAM_ERR] = -1;
	return theirs[0] < 0 ? theirs[0] : 0;
}

bool command_start(struct command *command, const struct init_config *config,
		   const struct user *user, char *line)
{
	int theirs[STREAMS] = {-1, -1, -1}, status[2] = {-1, -1};
	long error = config->tty ? make_terminal(config->tty_size, command->end, theirs)
				 : make_pipes(command->end, theirs);
	long count;

	if (!error)
		error = sys(pipe2, status, O_CLOEXEC);
	if (!error)
		error = command->pid = (int)sys(fork, 0);
	if (error < 0) {
		text_join(line, PROTOCOL_LINE_BYTES,
			  STRINGS("error can't start a process: ", TEXT_ERROR(error)));
		return false;
	}
	if (!error)
		run_child(config, user, theirs, status[1]);
	for (int i = 0; i < STREAMS; i++)
		sys(close, theirs[i]);
	sys(close, status[1]);
	count = sys(read, status[0], line, PROTOCOL_LINE_BYTES - 1);
	sys(close, status[0]);
	line[count > 0 ? count : 0] = '\0';
	return !*line;
}
