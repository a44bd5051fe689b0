/*
 * The command line: see options.h.
 *
 * The parser is our own, not getopt: options may stand before and behind the kernel, QEMU's
 * single-dash words are options of their own ("-kernel", not "-k ernel"), and a mistake is
 * answered with the option that was probably meant.
 */
#include "vmm/options.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/disk_option.h"
#include "vmm/net_option.h"
#include "vmm/trace.h"

enum option_id {
	OPT_INITRD,
	OPT_APPEND,
	OPT_CMDLINE,
	OPT_PROTOCOL,
	OPT_MEMORY,
	OPT_CPUS,
	OPT_DISK,
	OPT_NET,
	OPT_PUBLISH,
	OPT_TRANSPORT,
	OPT_CONSOLE,
	OPT_CONSOLE_DEVICE,
	OPT_ENV,
	OPT_DIR,
	OPT_USER,
	OPT_TTY,
	OPT_INTERACTIVE,
	OPT_NAME,
	OPT_HOSTNAME,
	OPT_MODULES,
	OPT_RM,
	OPT_TIMEOUT,
	OPT_STOP_TIMEOUT,
	OPT_ON_RESET,
	OPT_RESULT,
	OPT_TRACE,
	OPT_STATS,
	OPT_VERBOSE,
	OPT_DRY_RUN,
	OPT_DUMP_ACPI,
	OPT_SANDBOX,
	OPT_HELP,
	OPT_KERNEL, /* QEMU's -kernel */
};

struct option {
	enum option_id id;
	const char *name;     /* long name without its dashes, or NULL */
	char letter;          /* short name, or 0 */
	const char *qemu;     /* QEMU's single-dash word, or NULL */
	const char *argument; /* what help calls it, or NULL when there is none; "[=WORD]" when it
			         may be left out */
	const char *help;
};

static const struct option kernel_options[] = {
	{OPT_INITRD, "initrd", 0, "initrd", "FILE", "initial RAM disk for the guest"},
	{OPT_APPEND, "append", 'a', "append", "TEXT",
	 "add TEXT to the kernel command line (" CMDLINE_DEFAULT ")"},
	{OPT_CMDLINE, "cmdline", 0, NULL, "TEXT", "replace the kernel command line by TEXT"},
	{OPT_PROTOCOL, "boot-protocol", 0, NULL, "KIND",
	 "auto, linux (64-bit boot protocol) or pvh (default: auto)"},
	{OPT_KERNEL, NULL, 0, "kernel", "FILE", NULL},
};

static const struct option machine_options[] = {
	{OPT_MEMORY, "memory", 'm', NULL, "SIZE",
	 "guest memory; K, M, G or T, MiB without (default: 256M)"},
	{OPT_CPUS, "cpus", 'c', "smp", "N", "number of virtual CPUs (default: 1)"},
};

static const struct option device_options[] = {
	{OPT_DISK, "disk", 0, NULL, "FILE[,...]",
	 "a raw image or block device as a disk; with ,ro ,ephemeral ,direct ,serial=ID ,queues=N"},
	{OPT_NET, "net", 0, NULL, "KIND[,…]",
	 "a network: user (by passt), tap=NAME, fd=N or socket=PATH; with ,mac=MAC ,queues=N"},
	{OPT_PUBLISH, "publish", 'p', NULL, "PORTS",
	 "[ADDR:]HOST:GUEST[/udp]: a port of the host leads to the guest's, by --net user"},
	{OPT_TRANSPORT, "transport", 0, NULL, "KIND",
	 "how the guest reaches its devices: pci or mmio (default: pci)"},
};

static const struct option console_options[] = {
	{OPT_CONSOLE, "console", 0, NULL, "WHERE",
	 "the kernel's console: stdio, stderr, off or a file (default: stdio; with COMMAND: off)"},
	{OPT_CONSOLE_DEVICE, "console-device", 0, NULL, "KIND",
	 "what the guest's console is: serial (ttyS0) or virtio (hvc0) (default: serial)"},
};

static const struct option command_options[] = {
	{OPT_ENV, "env", 'e', NULL, "NAME=VALUE",
	 "set a variable of COMMAND's environment; NAME alone: as it is here"},
	{OPT_DIR, "workdir", 'w', NULL, "DIR", "COMMAND's working directory (default: /)"},
	{OPT_USER, "user", 'u', NULL, "USER[:GROUP]",
	 "who COMMAND runs as: names of the guest's or numbers (default: root)"},
	{OPT_TTY, "tty", 't', NULL, NULL, "give COMMAND a terminal"},
	{OPT_INTERACTIVE, "interactive", 'i', NULL, NULL, "accepted: stdin is always connected"},
	{OPT_NAME, "name", 0, NULL, "NAME", "the machine's name: its hostname and MAC addresses"},
	{OPT_HOSTNAME, "hostname", 0, NULL, "NAME", "the guest's hostname (default: its name)"},
	{OPT_MODULES, "modules", 0, NULL, "DIR",
	 "where the kernel's modules are (default: /lib/modules/VERSION)"},
	{OPT_RM, "rm", 0, NULL, NULL, "accepted: nothing of a run is kept"},
};

static const struct option end_options[] = {
	{OPT_TIMEOUT, "timeout", 0, NULL, "TIME",
	 "end the machine after TIME: 500ms, 90s, 10m, 2h; seconds without a unit"},
	{OPT_STOP_TIMEOUT, "stop-timeout", 0, NULL, "TIME",
	 "at SIGTERM, press the guest's power button and wait TIME (default: 0)"},
	{OPT_ON_RESET, "on-reset", 0, NULL, "WHAT",
	 "when the guest resets: exit or restart (default: exit)"},
	{OPT_RESULT, "result", 0, NULL, "FILE", "write how it ended to FILE, as JSON"},
};

static const struct option look_options[] = {
	{OPT_DRY_RUN, "dry-run", 0, NULL, "[=json]",
	 "print what would be put in guest memory and where; run nothing"},
	{OPT_DUMP_ACPI, "dump-acpi", 0, NULL, "DIR", "write the ACPI tables to DIR"},
	{OPT_TRACE, "trace", 0, NULL, "LIST[=FILE]",
	 "a line an event, to FILE or stderr; LIST: " TRACE_NAMES ", all"},
	{OPT_STATS, "stats", 0, NULL, NULL, "at the end, print exits, addresses and a time line"},
	{OPT_VERBOSE, "verbose", 0, NULL, NULL, "say more of what is done, and how"},
};

static const struct option other_options[] = {
	{OPT_SANDBOX, "sandbox", 0, NULL, "MODE",
	 "lock the process in: on, audit (log, don't stop) or off (default: on)"},
	{OPT_HELP, "help", 'h', NULL, NULL, "print this help"},
};

static const struct {
	const char *title;
	const struct option *options;
	size_t count;
} groups[] = {
	{"Kernel", kernel_options, ARRAY_LEN(kernel_options)},
	{"Machine", machine_options, ARRAY_LEN(machine_options)},
	{"Devices", device_options, ARRAY_LEN(device_options)},
	{"Console", console_options, ARRAY_LEN(console_options)},
	{"Command", command_options, ARRAY_LEN(command_options)},
	{"End", end_options, ARRAY_LEN(end_options)},
	{"Look inside", look_options, ARRAY_LEN(look_options)},
	{"Other", other_options, ARRAY_LEN(other_options)},
};

/* Calls visit for each option until it returns true; returns the option that it stopped at. */
static const struct option *find(bool (*visit)(const struct option *option, const void *key),
				 const void *key)
{
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		for (size_t i = 0; i < groups[g].count; i++) {
			if (visit(&groups[g].options[i], key))
				return &groups[g].options[i];
		}
	}
	return NULL;
}

static bool has_name(const struct option *option, const void *name)
{
	return option->name && strcmp(option->name, name) == 0;
}

static bool has_qemu_word(const struct option *option, const void *word)
{
	return option->qemu && strcmp(option->qemu, word) == 0;
}

static bool has_letter(const struct option *option, const void *letter)
{
	return option->letter && option->letter == *(const char *)letter;
}

/* Whether the option has an argument that must be there. */
static bool takes_word(const struct option *option)
{
	return option->argument && option->argument[0] != '[';
}

void options_help(void)
{
	puts("Usage: bantam run [options] KERNEL [-- COMMAND [argument...]]\n"
	     "\n"
	     "Boots KERNEL (a bzImage or an ELF kernel) in a virtual machine; the guest's serial\n"
	     "console is stdin and stdout. Ctrl-A x ends the machine, Ctrl-A a sends a Ctrl-A.\n"
	     "With COMMAND, runs that in the guest: stdin, stdout, stderr and the exit status are\n"
	     "COMMAND's. The initrd is its root directory.");
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		printf("\n%s:\n", groups[g].title);
		for (size_t i = 0; i < groups[g].count; i++) {
			const struct option *option = &groups[g].options[i];
			char left[40];

			if (!option->help)
				continue;
			snprintf(left, sizeof(left), "%c%c%c --%s%s%s", option->letter ? '-' : ' ',
				 option->letter ? option->letter : ' ', option->letter ? ',' : ' ',
				 option->name, takes_word(option) ? " " : "",
				 option->argument ? option->argument : "");
			printf("  %-27s %s\n", left, option->help);
		}
	}
	puts("\n"
	     "QEMU's -kernel, -initrd, -append, -m and -smp are understood too.\n"
	     "\n"
	     "Exit status: 0 the guest powered off or reset; 124 the time was up; 125 bantam or\n"
	     "the host failed; 128+n ended by signal n; 255 the guest crashed. With COMMAND its\n"
	     "own; 126 it can't be executed; 127 it was not found; 128+n signal n ended it.");
}

static int set_memory(struct config *config, const char *value, struct error *err)
{
	if (!options_size(value, &config->memory_bytes))
		return error_set(err, "--memory '%s' is not a size; say 512M or 4G", value);
	if (config->memory_bytes < MEMORY_MIN_BYTES)
		return error_set(err, "--memory %s is too little: 16M is the least", value);
	if (config->memory_bytes % PAGE_BYTES)
		return error_set(err, "--memory %s is not a multiple of 4K", value);
	if (config->memory_bytes > (u64)1 << 52)
		return error_set(err, "--memory %s is more than any processor can address", value);
	return 0;
}

static int set_cpus(struct config *config, const char *value, struct error *err)
{
	static const char qemu_word[] = "cpus=";
	const char *digits = value;
	unsigned long count;
	char *end;

	if (strncmp(digits, qemu_word, sizeof(qemu_word) - 1) == 0)
		digits += sizeof(qemu_word) - 1;
	count = strtoul(digits, &end, 10);
	if (!isdigit((unsigned char)digits[0]) || *end)
		return error_set(err, "--cpus '%s' is not a number", value);
	if (count < 1 || count > CPUS_MAX)
		return error_set(err, "--cpus %s: 1 to %d are possible", value, CPUS_MAX);
	config->cpus = (unsigned)count;
	return 0;
}

static void set_console(struct config *config, const char *value)
{
	static const char *const names[] = {
		[CONSOLE_STDIO] = "stdio", [CONSOLE_STDERR] = "stderr", [CONSOLE_OFF] = "off"};

	config->console = CONSOLE_FILE;
	config->console_path = value;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(value, names[i]) == 0)
			config->console = (enum console_target)i;
	}
}

static int set_kernel(struct config *config, const char *value, struct error *err)
{
	if (config->kernel)
		return error_set(err, "two kernels are given: '%s' and '%s'", config->kernel,
				 value);
	config->kernel = value;
	return 0;
}

/* Stores which of the names value is in *choice; -1 with err set when it is none of them. */
static int choose(const char *option, const char *value, const char *const *names, size_t count,
		  unsigned *choice, struct error *err)
{
	char all[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(value, names[i]) == 0) {
			*choice = (unsigned)i;
			return 0;
		}
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
					 i == 0           ? ""
					 : i + 1 == count ? " or "
							  : ", ",
					 names[i]);
	}
	return error_set(err, "%s '%s': it is %s", option, value, all);
}

static int set_protocol(struct config *config, const char *value, struct error *err)
{
	static const char *const names[] = {
		[BOOT_AUTO] = "auto", [BOOT_LINUX] = "linux", [BOOT_PVH] = "pvh"};
	unsigned choice = 0;

	if (choose("--boot-protocol", value, names, ARRAY_LEN(names), &choice, err))
		return -1;
	config->protocol = (enum boot_protocol)choice;
	return 0;
}

static int set_on_reset(struct config *config, const char *value, struct error *err)
{
	static const char *const names[] = {"exit", "restart"};
	unsigned choice = 0;

	if (choose("--on-reset", value, names, ARRAY_LEN(names), &choice, err))
		return -1;
	config->restart = choice == 1;
	return 0;
}

static int set_dry_run(struct config *config, const char *value, struct error *err)
{
	static const char *const names[] = {"text", "json"};
	unsigned choice = 0;

	if (value[0] && choose("--dry-run", value, names, ARRAY_LEN(names), &choice, err))
		return -1;
	config->dry_run = choice == 1 ? DRY_RUN_JSON : DRY_RUN_TEXT;
	return 0;
}

static int set_sandbox(struct config *config, const char *value, struct error *err)
{
	static const char *const names[] = {
		[SANDBOX_ON] = "on", [SANDBOX_AUDIT] = "audit", [SANDBOX_OFF] = "off"};
	unsigned choice = 0;

	if (choose("--sandbox", value, names, ARRAY_LEN(names), &choice, err))
		return -1;
	config->sandbox = (enum sandbox_mode)choice;
	return 0;
}

static int set_transport(struct config *config, const char *value, struct error *err)
{
	static const char *const names[] = {[TRANSPORT_PCI] = "pci", [TRANSPORT_MMIO] = "mmio"};
	unsigned choice = 0;

	if (choose("--transport", value, names, ARRAY_LEN(names), &choice, err))
		return -1;
	config->transport = (enum transport)choice;
	return 0;
}

static int set_console_device(struct config *config, const char *value, struct error *err)
{
	static const char *const names[] = {"serial", "virtio"};
	unsigned choice = 0;

	if (choose("--console-device", value, names, ARRAY_LEN(names), &choice, err))
		return -1;
	config->console_virtio = choice == 1;
	return 0;
}

static int add_env(struct config *config, const char *value, struct error *err)
{
	if (config->envs == ENVS_MAX)
		return error_set(err, "--env is given more than %d times", ENVS_MAX);
	if (value[0] == '=' || !value[0])
		return error_set(err, "--env '%s': it is NAME=VALUE, or NAME", value);
	config->env[config->envs++] = value;
	return 0;
}

/* What becomes a hostname: letters, digits, dashes and dots. */
static int set_name(const char **name, const char *option, const char *value, struct error *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	const size_t length = strlen(value);

	if (length == 0 || length > HOST_NAME_MAX || strspn(value, allowed) != length)
		return error_set(err,
				 "%s '%s': a name has letters, digits, '-', '.' and '_', and "
				 "%d of them at most",
				 option, value, HOST_NAME_MAX);
	*name = value;
	return 0;
}

static int add_disk(struct config *config, const char *value, struct error *err)
{
	if (config->disks == DISKS_MAX)
		return error_set(err, "--disk is given more than %d times", DISKS_MAX);
	if (disk_option_parse(&config->disk[config->disks], value, err))
		return -1;
	config->disks++;
	return 0;
}

static int add_net(struct config *config, const char *value, struct error *err)
{
	if (config->nets == NETS_MAX)
		return error_set(err, "--net is given more than %d times", NETS_MAX);
	if (net_option_parse(&config->net[config->nets], value, err))
		return -1;
	config->nets++;
	return 0;
}

static int add_publish(struct config *config, const char *value, struct error *err)
{
	if (config->publishes == PUBLISHES_MAX)
		return error_set(err, "--publish is given more than %d times", PUBLISHES_MAX);
	return net_publish_parse(&config->publish[config->publishes++], value, err);
}

static int set_duration(const char *option, const char *value, u64 *ns, struct error *err)
{
	if (options_duration(value, ns))
		return 0;
	return error_set(err, "%s '%s' is not a time; say 500ms, 90s, 10m or 2h", option, value);
}

/* LIST or LIST=FILE. */
static int set_trace(struct config *config, const char *value, struct error *err)
{
	const char *equals = strchr(value, '=');
	char list[128];

	if ((equals ? (size_t)(equals - value) : strlen(value)) >= sizeof(list))
		return error_set(err, "--trace: the list is too long");
	snprintf(list, sizeof(list), "%.*s", equals ? (int)(equals - value) : (int)strlen(value),
		 value);
	config->trace_path = equals ? equals + 1 : NULL;
	if (equals && !equals[1])
		return error_set(err, "--trace '%s': no file is named behind '='", value);
	return trace_parse(list, &config->trace, err);
}

static int apply(struct config *config, const struct option *option, const char *value,
		 struct error *err)
{
	switch (option->id) {
	case OPT_INITRD:
		config->initrd = value;
		return 0;
	case OPT_APPEND:
		if (config->appends == APPENDS_MAX)
			return error_set(err, "--append is given more than %d times", APPENDS_MAX);
		config->append[config->appends++] = value;
		return 0;
	case OPT_CMDLINE:
		config->cmdline = value;
		return 0;
	case OPT_PROTOCOL:
		return set_protocol(config, value, err);
	case OPT_MEMORY:
		return set_memory(config, value, err);
	case OPT_CPUS:
		return set_cpus(config, value, err);
	case OPT_DISK:
		return add_disk(config, value, err);
	case OPT_NET:
		return add_net(config, value, err);
	case OPT_PUBLISH:
		return add_publish(config, value, err);
	case OPT_TRANSPORT:
		return set_transport(config, value, err);
	case OPT_CONSOLE:
		set_console(config, value);
		return 0;
	case OPT_CONSOLE_DEVICE:
		return set_console_device(config, value, err);
	case OPT_ENV:
		return add_env(config, value, err);
	case OPT_DIR:
		config->dir = value;
		return 0;
	case OPT_USER:
		config->user = value;
		return 0;
	case OPT_TTY:
		config->tty = true;
		return 0;
	case OPT_NAME:
		return set_name(&config->name, "--name", value, err);
	case OPT_HOSTNAME:
		return set_name(&config->hostname, "--hostname", value, err);
	case OPT_MODULES:
		config->modules = value;
		return 0;
	case OPT_INTERACTIVE:
	case OPT_RM:
		return 0;
	case OPT_TIMEOUT:
		return set_duration("--timeout", value, &config->timeout_ns, err);
	case OPT_STOP_TIMEOUT:
		return set_duration("--stop-timeout", value, &config->stop_timeout_ns, err);
	case OPT_ON_RESET:
		return set_on_reset(config, value, err);
	case OPT_RESULT:
		config->result_path = value;
		return 0;
	case OPT_TRACE:
		return set_trace(config, value, err);
	case OPT_STATS:
		config->stats = true;
		return 0;
	case OPT_VERBOSE:
		config->verbose = true;
		return 0;
	case OPT_DRY_RUN:
		return set_dry_run(config, value, err);
	case OPT_DUMP_ACPI:
		config->dump_acpi_path = value;
		return 0;
	case OPT_SANDBOX:
		return set_sandbox(config, value, err);
	case OPT_KERNEL:
		return set_kernel(config, value, err);
	case OPT_HELP:
		return 0;
	}
	return 0;
}

/* How many letters must be changed, added or dropped to come from a to b; names are short. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[32];
	const size_t width = strlen(b);

	if (width >= ARRAY_LEN(row))
		return UINT32_MAX;
	for (size_t i = 0; i <= width; i++)
		row[i] = (unsigned)i;
	for (; *a; a++) {
		unsigned diagonal = row[0]++;

		for (size_t i = 1; i <= width; i++) {
			unsigned best = diagonal + (*a != b[i - 1]);

			diagonal = row[i];
			if (row[i] + 1 < best)
				best = row[i] + 1;
			if (row[i - 1] + 1 < best)
				best = row[i - 1] + 1;
			row[i] = best;
		}
	}
	return row[width];
}

struct guess {
	const char *meant;
	const struct option *best;
	unsigned distance;
};

static bool guess_visit(const struct option *option, const void *key)
{
	/* find() hands keys through unchanged; this one is the guess that it collects. */
	struct guess *guess = (struct guess *)(uintptr_t)key;
	const unsigned far = option->name ? distance(guess->meant, option->name) : UINT32_MAX;

	if (far < guess->distance) {
		guess->distance = far;
		guess->best = option;
	}
	return false;
}

/* Options of docker run that have no sense here, and what there is instead. */
static const struct {
	const char *name, *instead;
} elsewhere[] = {
	{"d", "a run ends with its COMMAND; put '&' behind it"},
	{"detach", "a run ends with its COMMAND; put '&' behind it"},
	{"restart", "say --on-reset restart, or run it again from a shell's loop"},
	{"entrypoint", "say COMMAND behind '--'"},
	{"network", "say --net user, or --net tap=NAME"},
	{"privileged", "COMMAND is root in a machine of its own already"},
	{"cap-add", "COMMAND is root in a machine of its own already"},
	{"device", "say --disk FILE for a disk"},
	{"init", "there is always an init that reaps orphans"},
};

static int unknown(const char *argument, size_t name_length, struct error *err)
{
	char name[64];
	struct guess guess = {.meant = name, .distance = 3};

	snprintf(name, sizeof(name), "%.*s", (int)name_length, argument + strspn(argument, "-"));
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
		if (strcmp(name, elsewhere[i].name) == 0)
			return error_set(err, "there is no '%s': %s", argument,
					 elsewhere[i].instead);
	}
	find(guess_visit, &guess);
	if (guess.best)
		return error_set(err, "unknown option '%s'; did you mean '--%s'?", argument,
				 guess.best->name);
	return error_set(err, "unknown option '%s'; see 'bantam run --help'", argument);
}

/*
 * Recognises an argument that begins with a dash. *value becomes the part behind '=' or behind a
 * short option's letter, or NULL. Returns NULL for an unknown one.
 */
static const struct option *recognise(const char *argument, const char **value)
{
	const char *name = argument + (argument[1] == '-' ? 2 : 1);
	const char *equals = strchr(name, '=');
	char word[64];

	*value = NULL;
	if (argument[1] != '-') {
		const struct option *option = find(has_qemu_word, name);

		if (option)
			return option;
		option = find(has_letter, name);
		/* "-m512M" is a short option with its argument; "-memory" is a word nobody knows. */
		if (!option || !name[1])
			return option;
		*value = name + 1;
		return option->argument && isdigit((unsigned char)name[1]) ? option : NULL;
	}
	snprintf(word, sizeof(word), "%.*s", equals ? (int)(equals - name) : (int)strlen(name),
		 name);
	if (equals)
		*value = equals + 1;
	return find(has_name, word);
}

/* Handles the option at argv[*at] and moves *at to its last argument. */
static int take_option(struct config *config, int argc, char **argv, int *at, bool *help,
		       struct error *err)
{
	const char *argument = argv[*at];
	const char *value;
	const struct option *option = recognise(argument, &value);

	if (strcmp(argument, "-it") == 0 || strcmp(argument, "-ti") == 0) {
		config->tty = true;
		return 0;
	}
	if (!option)
		return unknown(argument, strcspn(argument + strspn(argument, "-"), "="), err);
	if (option->id == OPT_HELP)
		*help = true;
	if (!option->argument && value)
		return error_set(err, "--%s takes no argument", option->name);
	if (takes_word(option) && !value) {
		if (*at + 1 >= argc)
			return error_set(err, "%s needs an argument (%s)", argument,
					 option->argument);
		value = argv[++*at];
	}
	return apply(config, option, value ? value : "", err);
}

/* Ports are passt's to publish. */
static int check_publish(const struct config *config, struct error *err)
{
	for (unsigned i = 0; i < config->nets; i++) {
		if (config->net[i].kind == NET_USER)
			return 0;
	}
	return config->publishes ? error_set(err, "--publish needs --net user") : 0;
}

/* What COMMAND wants, and what only makes sense with it. */
static int check_command(struct config *config, struct error *err)
{
	if (!config->command)
		return config->tty || config->envs || config->dir || config->user || config->modules
			       ? error_set(err, "--tty, --env, --workdir, --user and --modules are "
						"for a COMMAND: 'bantam run KERNEL -- COMMAND'")
			       : 0;
	if (config->words == 0)
		return error_set(err, "no COMMAND is given behind '--'");
	if (!config->initrd)
		return error_set(err, "COMMAND needs a root directory: give it by --initrd");
	if (config->restart)
		return error_set(err,
				 "--on-reset restart doesn't go with COMMAND, which runs once");
	if (!config->console_path)
		config->console = CONSOLE_OFF;
	if (config->console == CONSOLE_STDIO)
		return error_set(err,
				 "--console stdio: with COMMAND, stdin and stdout are its own; "
				 "say stderr or a file");
	return 0;
}

enum options_outcome options_parse(struct config *config, int argc, char **argv, struct error *err)
{
	bool help = false;

	*config = (struct config){.memory_bytes = 256 * MIB, .cpus = 1};
	for (int at = 0; at < argc && !help; at++) {
		const char *argument = argv[at];
		int result;

		if (strcmp(argument, "--") == 0) {
			config->command = argv + at + 1;
			config->words = argc - at - 1;
			break;
		}
		if (argument[0] == '-' && argument[1])
			result = take_option(config, argc, argv, &at, &help, err);
		else
			result = set_kernel(config, argument, err);
		if (result)
			return OPTIONS_WRONG;
	}
	if (help)
		return OPTIONS_HELP;
	if (!config->kernel) {
		error_set(err,
			  "no kernel is given; say 'bantam run KERNEL', or 'bantam run --help'");
		return OPTIONS_WRONG;
	}
	config->cmdline_default = !config->cmdline;
	if (config->cmdline_default)
		config->cmdline = config->console_virtio ? "console=hvc0" : CMDLINE_DEFAULT;
	return check_publish(config, err) || check_command(config, err) ? OPTIONS_WRONG
									: OPTIONS_RUN;
}

void options_free(struct config *config)
{
	while (config->disks > 0)
		disk_option_free(&config->disk[--config->disks]);
	while (config->nets > 0)
		net_option_free(&config->net[--config->nets]);
}
