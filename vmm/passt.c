/*
 * passt: see passt.h.
 */
#include "vmm/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/config.h"
#include "vmm/readwrite.h"

SANDBOX_CALLS(passt, CALL(pidfd_send_signal, SANDBOX_CHILD, "passt ends with us", IS(1, SIGKILL)),
	      CALL(wait4, SANDBOX_CHILD, "for its end"));

enum {
	READY_MS = 10000,
	NOT_FOUND = 127, /* the child's status when there is no such program */
	ARGUMENTS = 16 + 2 * PUBLISHES_MAX,
};

struct arguments {
	const char *word[ARGUMENTS + 1];
	char text[PUBLISHES_MAX][64]; /* the ports as passt wants them: ADDR/HOST:GUEST */
	char fd[12];
};

/* Whether a port of the host can be had, for one family of addresses. */
static int try_port(const struct net_publish *publish, int family, struct error *err)
{
	const int one = 1,
		  fd = socket(family, (publish->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	struct sockaddr_in six_or_four = {.sin_family = AF_INET, .sin_port = htons(publish->host)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(publish->host)};
	int error;

	if (fd < 0) /* a host without IPv6 */
		return 0;
	if (publish->address[0])
		inet_pton(family, publish->address,
			  family == AF_INET ? (void *)&six_or_four.sin_addr
					    : (void *)&six.sin6_addr);
	if (!publish->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	error = bind(fd, family == AF_INET ? (void *)&six_or_four : (void *)&six,
		     family == AF_INET ? sizeof(six_or_four) : sizeof(six))
			? errno
			: 0;
	if (!error && !publish->udp && listen(fd, 1))
		error = errno;
	close(fd);
	if (!error || (error == EADDRNOTAVAIL && !publish->address[0]))
		return 0;
	return error_set(err, "--publish: port %s%s%u/%s of the host can't be had: %s%s",
			 publish->address, publish->address[0] ? " " : "", publish->host,
			 publish->udp ? "udp" : "tcp", strerror(error),
			 error == EACCES ? " (ports below 1024 are for root, or as the sysctl "
					   "net.ipv4.ip_unprivileged_port_start says)"
					 : "");
}

static int try_ports(const struct net_publish *publish, unsigned publishes, struct error *err)
{
	for (unsigned i = 0; i < publishes; i++) {
		const char *address = publish[i].address;

		if ((!strchr(address, ':') && try_port(&publish[i], AF_INET, err)) ||
		    ((!address[0] || strchr(address, ':')) && try_port(&publish[i], AF_INET6, err)))
			return -1;
	}
	return 0;
}

static void make_arguments(struct arguments *arguments, int fd, bool fixed_address,
			   const struct net_publish *publish, unsigned publishes)
{
	static const char *const address[] = {
		"--address",      NET_USER_ADDRESS, "--netmask",         NET_USER_BITS, "--gateway",
		NET_USER_GATEWAY, "--dns-forward",  NET_USER_NAMESERVER, "--no-map-gw"};
	static const char *const fixed[] = {"passt", "--foreground",    "--quiet",
					    "--pid", "/proc/self/fd/1", "--fd"};
	unsigned words = 0;

	snprintf(arguments->fd, sizeof(arguments->fd), "%d", fd);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		arguments->word[words++] = fixed[i];
	arguments->word[words++] = arguments->fd;
	for (size_t i = 0; fixed_address && i < ARRAY_LEN(address); i++)
		arguments->word[words++] = address[i];
	for (unsigned i = 0; i < publishes; i++) {
		snprintf(arguments->text[i], sizeof(arguments->text[i]), "%s%s%u:%u",
			 publish[i].address, publish[i].address[0] ? "/" : "", publish[i].host,
			 publish[i].guest);
		arguments->word[words++] = publish[i].udp ? "-u" : "-t";
		arguments->word[words++] = arguments->text[i];
	}
	arguments->word[words] = NULL;
}

/* In the child: nothing of ours stays open or blocked but what it is given. */
static void become_passt(const struct arguments *arguments, int fd, int out, int words,
			 pid_t parent)
{
	const int nothing = open("/dev/null", O_RDONLY);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	signal(SIGTTOU, SIG_DFL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || nothing < 0 || dup2(nothing, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(words, 2) < 0 || fcntl(fd, F_SETFD, 0))
		_exit(1);
	if (fd > 3)
		syscall(SYS_close_range, 3, fd - 1, 0);
	syscall(SYS_close_range, fd + 1, ~0U, 0);
	execvp(arguments->word[0], (char **)(uintptr_t)arguments->word);
	_exit(errno == ENOENT ? NOT_FOUND : 1);
}

void passt_init(struct passt *passt)
{
	*passt = (struct passt){.process = -1, .socket = -1, .ready = -1, .stderr_source.fd = -1};
}

int passt_start(struct passt *passt, bool fixed_address, const struct net_publish *publish,
		unsigned publishes, struct error *err)
{
	const int buffer_bytes = 8 << 20;
	int ends[2] = {-1, -1}, out[2] = {-1, -1}, words[2] = {-1, -1};
	struct arguments arguments = {.fd = ""};
	const pid_t parent = getpid();
	pid_t pid = -1;

	if (try_ports(publish, publishes, err))
		return -1;
	/* It may become somebody else before it opens its stdout anew. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) || pipe2(out, O_CLOEXEC) ||
	    pipe2(words, O_CLOEXEC | O_NONBLOCK) || fchmod(out[1], 0666))
		error_errno(err, "cannot talk to passt");
	else if ((pid = fork()) < 0)
		error_errno(err, "cannot start passt");
	/*
	 * It drops what has no room at its end; the kernel gives what the host allows. Ours stays
	 * small: we wait for room, and a passt of 2023 that finds more than 8 MB at once can lose
	 * its place between two frames.
	 */
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes));
	if (pid == 0) {
		make_arguments(&arguments, ends[1], fixed_address, publish, publishes);
		become_passt(&arguments, ends[1], out[1], words[1], parent);
	}
	if (pid > 0) {
		passt->pid = pid;
		/* Its process is ours to wait for, so that the number is still its own. */
		passt->process = (int)syscall(SYS_pidfd_open, pid, 0);
		if (passt->process < 0)
			error_errno(err, "--net user needs Linux 5.3");
	}
	/* Their ends; what could not be opened is -1, which close() doesn't mind. */
	close(ends[1]);
	close(out[1]);
	close(words[1]);
	passt->socket = ends[0];
	passt->ready = out[0];
	passt->stderr_source.fd = words[0];
	return passt->process < 0 ? -1 : 0;
}

/* Keeps a line of what it says, if it tells something and there is room. */
static void keep_line(struct passt *passt, const char *line)
{
	const size_t used = strlen(passt->said), room = sizeof(passt->said) - used;

	/* Where there is no syslog, it says that for each line; and root needn't be told. */
	if (line[0] && strncmp(line, "Failed to send", 14) != 0 &&
	    strncmp(line, "Don't run as root", 17) != 0)
		snprintf(passt->said + used, room, "%s%s", used ? "; " : "", line);
}

static void listen_to(struct passt *passt)
{
	char text[1024];
	ssize_t count;

	while ((count = io_read(passt->stderr_source.fd, text, sizeof(text) - 1)) > 0) {
		text[count] = '\0';
		for (char *rest = text; rest;)
			keep_line(passt, strsep(&rest, "\n"));
	}
	if (count == 0)
		passt->stderr_source.events = 0;
}

static void stderr_ready(void *owner)
{
	struct passt *passt = owner;

	listen_to(passt);
	if (passt->stderr_source.events == 0)
		say("passt has ended, and with it the network of --net user%s%s; the guest runs on",
		    passt->said[0] ? ": " : "", passt->said);
}

int passt_wait(struct passt *passt, struct loop *loop, struct error *err)
{
	char number[16];
	int status = 0;

	if (!loop_wait_for(passt->ready, POLLIN, clock_now_ns() + READY_MS * (u64)1000000))
		return error_set(err, "--net user: passt was not ready within %d s",
				 READY_MS / 1000);
	if (io_read(passt->ready, number, sizeof(number)) > 0) {
		close(passt->ready);
		passt->ready = -1;
		passt->stderr_source.events = POLLIN;
		passt->stderr_source.ready = stderr_ready;
		passt->stderr_source.owner = passt;
		/* What it said until now was no reason to end. */
		listen_to(passt);
		passt->said[0] = '\0';
		return loop_add(loop, &passt->stderr_source, err);
	}
	waitpid(passt->pid, &status, 0);
	passt->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
		return error_set(err, "--net user needs the program passt, which is not installed; "
				      "its package is 'passt'");
	listen_to(passt);
	return error_set(err, "--net user: passt (package 'passt') refuses to start: %s",
			 passt->said[0] ? passt->said : "it doesn't say why");
}

void passt_close(struct passt *passt)
{
	if (passt->socket >= 0)
		close(passt->socket);
	if (passt->ready >= 0)
		close(passt->ready);
	if (passt->pid > 0) {
		if (passt->process < 0)
			kill(passt->pid, SIGKILL);
		else
			(void)syscall(SYS_pidfd_send_signal, passt->process, SIGKILL, NULL, 0);
		waitpid(passt->pid, NULL, 0);
	}
	if (passt->stderr_source.fd >= 0)
		close(passt->stderr_source.fd);
	if (passt->process >= 0)
		close(passt->process);
	passt_init(passt);
}
