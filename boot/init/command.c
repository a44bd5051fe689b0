/*
 * COMMAND: see command.h.
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

#include "boot/init/command.h"
#include "boot/init/files.h"
#include "boot/init/protocol.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

/* What the child gets and what init keeps. */
struct ends {
	int child[3], parent[3];
};

bool command_candidate(const char **rest, const char *name, char *to, size_t bytes)
{
	const char *path = *rest, *end;
	size_t length;

	if (!path || !*name)
		return false;
	if (strchr(name, '/')) {
		text_join(to, bytes, name, NULL);
		*rest = NULL;
		return true;
	}
	end = strchr(path, ':');
	length = end ? (size_t)(end - path) : strlen(path);
	*rest = end ? end + 1 : NULL;
	if (length + 1 + strlen(name) >= bytes)
		return command_candidate(rest, name, to, bytes);
	/* An empty entry is the working directory. */
	text_join(to, length + 1, path, NULL);
	text_join(to + length, bytes - length, length ? "/" : "", name, NULL);
	return true;
}

/* In the child: one line for the host, its control characters replaced; the end. */
static void give_up(int status, const char *kind, const char *what, const char *why)
{
	char line[PROTOCOL_LINE_BYTES];

	text_join(line, sizeof(line), kind, " ", what, ": ", why, NULL);
	for (char *at = line; *at; at++)
		if ((u8)*at < ' ' || *at == 0x7f)
			*at = '?';
	sys_write(status, line, strlen(line));
	sys_exit_group(127);
	__builtin_unreachable();
}

static void execute(const struct init_config *config, int status)
{
	const char *name = config->args[0], *rest = env_find(config, "PATH");
	char file[PATH_BYTES];
	struct digits digits;
	long error = -ENOENT;
	bool there = false;

	while (command_candidate(&rest, name, file, sizeof(file))) {
		const long result = sys_execve(file, config->args, config->env);

		if (result == -ENOENT || result == -ENOTDIR) {
			there = there || !sys_access(file, 0);
			continue;
		}
		error = result;
		if (result != -EACCES)
			break;
	}
	if (error != -ENOENT)
		give_up(status, "failed 126", name, text_error(&digits, error));
	give_up(status, "failed 127", name,
		there ? "its interpreter isn't there" : "no such command");
}

static void run_child(const struct init_config *config, const struct user *user,
		      const struct ends *ends, int status)
{
	const char *dir = config->dir ? config->dir : "/";
	const u64 no_signals = 0;
	struct digits digits;
	long error;

	sys_setsid();
	for (int i = 0; i < 3; i++) {
		/* So that COMMAND can open /dev/stdout and its terminal by name. */
		sys_fchown(ends->child[i], user->uid, UINT32_MAX);
		sys_dup2(ends->child[i], i);
	}
	if (config->tty)
		sys_ioctl(0, TIOCSCTTY, NULL);
	directory_make(dir);
	error = sys_chdir(dir);
	if (error)
		give_up(status, "error", dir, text_error(&digits, error));
	error = sys_setgroups(user->group_count, user->groups);
	if (!error)
		error = sys_setgid(user->gid);
	if (!error)
		error = sys_setuid(user->uid);
	/* A kernel without CONFIG_MULTIUSER knows the superuser only. */
	if (error && !(error == -ENOSYS && !user->uid && !user->gid))
		give_up(status, "error user", config->user ? config->user : "0",
			text_error(&digits, error));
	sys_rt_sigprocmask(SIG_SETMASK, &no_signals, NULL, sizeof(no_signals));
	execute(config, status);
}

static long make_pipes(struct ends *ends)
{
	int pipe[2];
	long error;

	for (int i = 0; i < 3; i++) {
		error = sys_pipe2(pipe, O_CLOEXEC);
		if (error)
			return error;
		/* Of standard input the child has the reading end, of the others the writing one. */
		ends->child[i] = pipe[i > 0];
		ends->parent[i] = pipe[i == 0];
		sys_fcntl(ends->parent[i], F_SETFL, O_NONBLOCK);
	}
	return 0;
}

static long make_terminal(const struct init_config *config, struct ends *ends)
{
	const struct winsize size = {.ws_row = (u16)config->tty_size[0],
				     .ws_col = (u16)config->tty_size[1]};
	const int master = file_take("/dev/ptmx", O_RDWR | O_NONBLOCK), unlock = 0;
	long peer;

	if (master < 0)
		return master;
	sys_ioctl(master, TIOCSPTLCK, &unlock);
	sys_ioctl(master, TIOCSWINSZ, &size);
	peer = sys_ioctl(master, TIOCGPTPEER, (const void *)(long)(O_RDWR | O_NOCTTY | O_CLOEXEC));
	if (peer < 0)
		return peer;
	for (int i = 0; i < 3; i++)
		ends->child[i] = (int)sys_fcntl((int)peer, F_DUPFD_CLOEXEC, 3);
	sys_close((int)peer);
	ends->parent[0] = master;
	ends->parent[1] = (int)sys_fcntl(master, F_DUPFD_CLOEXEC, 3);
	ends->parent[2] = -1;
	return 0;
}

bool command_start(struct command *command, const struct init_config *config,
		   const struct user *user, char *line)
{
	struct ends ends;
	struct digits digits;
	int status[2];
	long error = config->tty ? make_terminal(config, &ends) : make_pipes(&ends), count;

	if (!error)
		error = sys_pipe2(status, O_CLOEXEC);
	if (!error)
		error = command->pid = (int)sys_fork();
	if (error < 0) {
		text_join(line, PROTOCOL_LINE_BYTES,
			  "error can't start a process: ", text_error(&digits, error), NULL);
		return false;
	}
	if (!error)
		run_child(config, user, &ends, status[1]);
	for (int i = 0; i < 3; i++)
		sys_close(ends.child[i]);
	sys_close(status[1]);
	count = sys_read(status[0], line, PROTOCOL_LINE_BYTES - 1);
	sys_close(status[0]);
	line[count > 0 ? count : 0] = '\0';
	command->in = ends.parent[0];
	command->out = ends.parent[1];
	command->err = ends.parent[2];
	return !*line;
}
