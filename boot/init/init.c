/*
 * init: process 1 of a guest that runs one COMMAND and ends.
 *
 * The kernel unpacks the user's initrd and, over it, bantam's archive (protocol.h), and starts this
 * program. It makes the system that COMMAND expects (mounts, modules, network, user), runs COMMAND
 * between pipes or on a terminal, relays between those and the ports of a virtio console, tells how
 * COMMAND has ended, and powers off.
 *
 * It has no C library, so that any compiler for the guest's processor builds it, and is small enough
 * to travel in every start: system calls by sys.h, <string.h> by string.c. What the kernel has for
 * constants and layouts comes from its own headers.
 *
 * Process 1 must not end, or the kernel panics: every way leads to power_off(). A failure before the
 * ports are there is a line in the kernel's log, one after that is a line on the control port.
 *
 * Limits: one COMMAND, 64 supplementary groups, IPv4 on eth0. A COMMAND that closes its terminal
 * everywhere has lost it. The kernel must have devtmpfs, signalfd(2) and, for terminals, the
 * TIOCGPTPEER of Linux 4.13.
 */
#include <linux/fcntl.h>
#include <linux/reboot.h>
#include <linux/signal.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

void init_main(void);

struct init {
	struct init_config config;
	struct user user;
	struct session session;
	int port[PORTS];
	char variables[CONFIG_DEFAULTS][PATH_BYTES]; /* those that init adds to the environment */
};

/* A kernel that can't power off restarts; one that can't do that either stops. */
_Noreturn static void power_off(void)
{
	static const u32 ways[] = {LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_RESTART,
				   LINUX_REBOOT_CMD_HALT};

	mounts_leave();
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		sys(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, ways[i], NULL);
	for (;;)
		sys(poll, NULL, 0, -1);
}

static const char *read_config(struct init_config *config)
{
	size_t bytes;
	char *text = file_load(INIT_CONFIG, &bytes);
	char **pointers = text ? memory_take(config_pointers(text, bytes) * sizeof(*pointers))
			       : NULL;

	return pointers ? config_parse(config, text, bytes, pointers)
			: INIT_CONFIG " can't be read";
}

static const char *find_user(struct init *init)
{
	char superuser[] = "0";
	size_t bytes;

	return user_find(&init->user, init->config.user ? init->config.user : superuser,
			 file_load("/etc/passwd", &bytes), file_load("/etc/group", &bytes));
}

/* The variables that a container has, too, unless the configuration has them. */
static void complete_environment(struct init *init)
{
	struct init_config *config = &init->config;
	const char *const defaults[CONFIG_DEFAULTS][2] = {
		{"PATH=", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"HOME=", init->user.home},
		{"HOSTNAME=", config->hostname},
		{"TERM=", config->tty ? "xterm" : NULL},
	};

	for (size_t i = 0; i < CONFIG_DEFAULTS; i++) {
		if (!defaults[i][1] || env_find(config, defaults[i][0]))
			continue;
		text_join(init->variables[i], PATH_BYTES, STRINGS(defaults[i][0], defaults[i][1]));
		config->env[config->env_count++] = init->variables[i];
	}
}

/* Runs COMMAND and says the last line. */
static void run(struct init *init)
{
	const u64 all = ~(u64)0, child = (u64)1 << (SIGCHLD - 1);
	struct session *session = &init->session;
	const char *hostname = init->config.hostname, *wrong;
	char line[PROTOCOL_LINE_BYTES];
	int children;

	if (hostname && sys(sethostname, hostname, strlen(hostname)))
		NOTE("can't set the host name to ", hostname);
	net_start(&init->config);
	wrong = find_user(init);
	if (wrong) {
		SAY(&session->control, "error user ", init->config.user, ": ", wrong);
		return;
	}
	complete_environment(init);
	/* A pipe without a reader is an error, no signal; children are told by a descriptor. */
	sys(rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	children = (int)sys(signalfd4, -1, &child, sizeof(child), O_CLOEXEC);
	if (!command_start(&session->command, &init->config, &init->user, line)) {
		SAY(&session->control, line);
		return;
	}
	session->tty = init->config.tty;
	session_run(session, children, init->port);
	mounts_leave();
	session_tell_status(session);
}

/* From the kernel's start of init to the end. */
static void serve(struct init *init)
{
	const char *wrong = read_config(&init->config), *missing;

	mounts_make();
	/* A kernel without a console opens none, and COMMAND's are not to be in the way. */
	for (int fd = 0; fd >= 0 && fd <= 2;)
		fd = file_take("/dev/null", O_RDWR);
	modules_load();
	missing = ports_open(init->port);
	if (missing) {
		NOTE("can't run the command, this is missing: ", missing);
		return;
	}
	directory_remove(INIT_MODULES);
	directory_remove(INIT_DIRECTORY);
	if (!wrong)
		wrong = root_enter(&init->config);
	init->session.control.fd = init->port[PORT_CONTROL];
	if (wrong)
		SAY(&init->session.control, "error ", wrong);
	else
		run(init);
	session_wait_end(&init->session.control);
}

void init_main(void)
{
	struct init *init;

	/* Elsewhere than in a guest it would end every process and switch the machine off. */
	if (sys(getpid, 0) != 1)
		sys(exit_group, 125);
	init = memory_take(sizeof(*init));
	if (init)
		serve(init);
	power_off();
}
