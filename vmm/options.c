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
#include "vmm/gdb_address.h"
#include "vmm/trace.h"

/* What is done with an option's value. */
enum kind {
	KIND_NONE,   /* nothing: it is taken, and changes nothing */
	KIND_TEXT,   /* kept as it is, in a const char * */
	KIND_NAME,   /* the same, of what becomes a hostname */
	KIND_FLAG,   /* there is none; a bool becomes true */
	KIND_TIME,   /* a time, in a u64 of nanoseconds */
	KIND_CHOICE, /* one of some words, in an enum or a bool: the number of the word */
	KIND_OWN,    /* a function of its own takes it */
	KIND_MANY,   /* the same, and the option may be given several times: a counter goes up */
};

struct option {
	const char *name;     /* long name without its dashes, or NULL */
	char letter;          /* short name, or 0 */
	const char *qemu;     /* QEMU's single-dash word, or NULL */
	const char *argument; /* what help calls it, or NULL when there is none; "[=WORD]" when it
			         may be left out */
	const char *help;     /* NULL: help doesn't list it; without a name: a group's title */

	enum kind kind;
	size_t offset, bytes;     /* where it is kept in struct config; KIND_MANY: the counter */
	const char *const *words; /* those to choose from, ended by NULL */
	int (*set)(struct config *config, const char *value, struct error *err);
	unsigned most; /* KIND_MANY: how often it may be given */
};

/* The number of the word that value is, or -1 with err set when it is none of them. */
static int choose(const char *option, const char *value, const char *const *words,
		  struct error *err)
{
	char all[128] = "";
	size_t used = 0;

	for (int i = 0; words[i]; i++) {
		const char *between = i == 0 ? "" : words[i + 1] ? ", " : " or ";

		if (strcmp(value, words[i]) == 0)
			return i;
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", between, words[i]);
	}
	return error_set(err, "--%s '%s': it is %s", option, value, all);
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

	if (strncmp(digits, qemu_word, sizeof(qemu_word) - 1) == 0)
		digits += sizeof(qemu_word) - 1;
	if (!options_number(digits, 1, CPUS_MAX, &config->cpus))
		return error_set(err, "--cpus '%s': 1 to %d are possible", value, CPUS_MAX);
	return 0;
}

static int set_console(struct config *config, const char *value, struct error *err)
{
	static const char *const names[] = {
		[CONSOLE_STDIO] = "stdio", [CONSOLE_STDERR] = "stderr", [CONSOLE_OFF] = "off"};

	(void)err;
	config->console = CONSOLE_FILE;
	config->console_path = value;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(value, names[i]) == 0)
			config->console = (enum console_target)i;
	}
	return 0;
}

static int set_kernel(struct config *config, const char *value, struct error *err)
{
	if (config->kernel)
		return error_set(err,
				 "two kernels are given: '%s' and '%s'; a COMMAND goes behind '--'",
				 config->kernel, value);
	config->kernel = value;
	return 0;
}

/* Without a value it is text. */
static int set_dry_run(struct config *config, const char *value, struct error *err)
{
	const int choice = value[0] ? choose("dry-run", value,
					     (const char *const[]){"text", "json", NULL}, err)
				    : 0;

	config->dry_run = choice == 1 ? DRY_RUN_JSON : DRY_RUN_TEXT;
	return choice < 0 ? -1 : 0;
}

static int add_env(struct config *config, const char *value, struct error *err)
{
	if (value[0] == '=' || !value[0])
		return error_set(err, "--env '%s': it is NAME=VALUE, or NAME", value);
	config->env[config->envs] = value;
	return 0;
}

/* What becomes a hostname: letters, digits, dashes and dots. */
static int check_name(const char *option, const char *value, struct error *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	const size_t length = strlen(value);

	if (length > 0 && length <= HOST_NAME_MAX && strspn(value, allowed) == length)
		return 0;
	return error_set(err,
			 "--%s '%s': a name has letters, digits, '-', '.' and '_', and %d of them "
			 "at most",
			 option, value, HOST_NAME_MAX);
}

static int add_append(struct config *config, const char *value, struct error *err)
{
	(void)err;
	config->append[config->appends] = value;
	return 0;
}

static int add_disk(struct config *config, const char *value, struct error *err)
{
	return disk_option_parse(&config->disk[config->disks], value, err);
}

static int add_net(struct config *config, const char *value, struct error *err)
{
	return net_option_parse(&config->net[config->nets], value, err);
}

static int add_publish(struct config *config, const char *value, struct error *err)
{
	return net_publish_parse(&config->publish[config->publishes], value, err);
}

static int set_root(struct config *config, const char *value, struct error *err)
{
	if (config->root.host)
		return error_set(err, "--rootfs is given twice");
	return share_option_root(&config->root, value, err);
}

static int add_volume(struct config *config, const char *value, struct error *err)
{
	struct share_config *volume = &config->volume[config->volumes];

	if (share_option_volume(volume, value, err))
		return -1;
	for (unsigned i = 0; i < config->volumes; i++) {
		if (strcmp(config->volume[i].guest, volume->guest) == 0)
			return error_set(err, "--volume: two of them are for '%s'", volume->guest);
	}
	return 0;
}

static int set_gdb(struct config *config, const char *value, struct error *err)
{
	union gdb_address ignored;

	config->gdb = value;
	return gdb_address_parse(value, &ignored, err);
}

/* LIST or LIST=FILE. */
static int set_trace(struct config *config, const char *value, struct error *err)
{
	const char *equals = strchr(value, '=');

	config->trace_path = equals ? equals + 1 : NULL;
	if (equals && !equals[1])
		return error_set(err, "--trace '%s': no file is named behind '='", value);
	return trace_parse(value, &config->trace, err);
}

#define KEPT(member)                 OPTION_FIELD(struct config, member)
#define TEXT(member)                 .kind = KIND_TEXT, KEPT(member)
#define NAME(member)                 .kind = KIND_NAME, KEPT(member)
#define FLAG(member)                 .kind = KIND_FLAG, KEPT(member)
#define TIME(member)                 .kind = KIND_TIME, KEPT(member)
#define OWN(function)                .kind = KIND_OWN, .set = function
#define MANY(function, counter, max) .kind = KIND_MANY, .set = function, KEPT(counter), .most = max
#define CHOICE(member, ...)                                                                        \
	.kind = KIND_CHOICE, KEPT(member), .words = (const char *const[])                          \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static const struct option options[] = {
	{.help = "Kernel"},
	{"initrd", 0, "initrd", "FILE", "initial RAM disk for the guest", TEXT(initrd)},
	{"append", 'a', "append", "TEXT",
	 "add TEXT to the kernel command line (" CMDLINE_DEFAULT ")",
	 MANY(add_append, appends, APPENDS_MAX)},
	{"cmdline", 0, NULL, "TEXT", "replace the kernel command line by TEXT", TEXT(cmdline)},
	{"boot-protocol", 0, NULL, "KIND",
	 "auto, linux (64-bit boot protocol) or pvh (default: auto)",
	 CHOICE(protocol, [BOOT_AUTO] = "auto", [BOOT_LINUX] = "linux", [BOOT_PVH] = "pvh")},
	{"unpack", 0, NULL, "WHEN",
	 "unpack a bzImage on the host, once for all starts: auto, on or off (default: auto)",
	 CHOICE(unpack, [UNPACK_AUTO] = "auto", [UNPACK_ON] = "on", [UNPACK_OFF] = "off")},
	{NULL, 0, "kernel", "FILE", NULL, OWN(set_kernel)},

	{.help = "Machine"},
	{"memory", 'm', NULL, "SIZE",
	 "guest memory; K, M, G or T, MiB without (default: 256M; 1G with --rootfs)",
	 OWN(set_memory)},
	{"cpus", 'c', "smp", "N", "number of virtual CPUs (default: 1)", OWN(set_cpus)},

	{.help = "Devices"},
	{"disk", 0, NULL, "FILE[,...]",
	 "a raw image or block device as a disk; with ,ro ,ephemeral ,direct ,serial=ID ,queues=N ,iops=N ,bps=N",
	 MANY(add_disk, disks, DISKS_MAX)},
	{"net", 0, NULL, "KIND[,…]",
	 "a network: user (by passt), tap=NAME, fd=N or socket=PATH; with ,mac=MAC ,queues=N ,bps=N ,pps=N",
	 MANY(add_net, nets, NETS_MAX)},
	{"publish", 'p', NULL, "PORTS",
	 "[ADDR:]HOST:GUEST[/udp]: a port of the host leads to the guest's, by --net user",
	 MANY(add_publish, publishes, PUBLISHES_MAX)},
	{"transport", 0, NULL, "KIND",
	 "how the guest reaches its devices: pci or mmio (default: pci)",
	 CHOICE(transport, [TRANSPORT_PCI] = "pci", [TRANSPORT_MMIO] = "mmio")},

	{.help = "Console"},
	{"console", 0, NULL, "WHERE",
	 "the kernel's console: stdio, stderr, off or a file (default: stdio; with COMMAND: off)",
	 OWN(set_console)},
	{"console-device", 0, NULL, "KIND",
	 "what the guest's console is: serial (ttyS0) or virtio (hvc0) (default: serial)",
	 CHOICE(console_virtio, "serial", "virtio")},

	{.help = "Command"},
	{"rootfs", 0, NULL, "DIR[,ro|,rw]",
	 "a directory or disk image as root; writes stay in the guest, unless ,rw", OWN(set_root)},
	{"volume", 'v', NULL, "HOST:GUEST[:ro]", "a directory of the host's in the guest",
	 MANY(add_volume, volumes, VOLUMES_MAX)},
	{"expose-home", 0, NULL, NULL, "with --rootfs /: show the homes, which are hidden",
	 FLAG(expose_home)},
	{"env", 'e', NULL, "NAME=VALUE",
	 "set a variable of COMMAND's environment; NAME alone: as it is here",
	 MANY(add_env, envs, ENVS_MAX)},
	{"workdir", 'w', NULL, "DIR", "COMMAND's working directory (default: /)", TEXT(dir)},
	{"user", 'u', NULL, "USER[:GROUP]",
	 "who COMMAND runs as: names of the guest's or numbers (default: root)", TEXT(user)},
	{"tty", 't', NULL, NULL, "give COMMAND a terminal", FLAG(tty)},
	{"interactive", 'i', NULL, NULL, "accepted: stdin is always connected", .kind = KIND_NONE},
	{"name", 0, NULL, "NAME", "the machine's name: its hostname and MAC addresses", NAME(name)},
	{"hostname", 0, NULL, "NAME", "the guest's hostname (default: its name)", NAME(hostname)},
	{"modules", 0, NULL, "DIR",
	 "where the kernel's modules are (default: /lib/modules/VERSION)", TEXT(modules)},
	{"rm", 0, NULL, NULL, "accepted: nothing of a run is kept", .kind = KIND_NONE},

	{.help = "End"},
	{"timeout", 0, NULL, "TIME",
	 "end the machine after TIME: 500ms, 90s, 10m, 2h; seconds without a unit",
	 TIME(timeout_ns)},
	{"stop-timeout", 0, NULL, "TIME",
	 "at SIGTERM, press the guest's power button and wait TIME (default: 0)",
	 TIME(stop_timeout_ns)},
	{"on-reset", 0, NULL, "WHAT", "when the guest resets: exit or restart (default: exit)",
	 CHOICE(restart, "exit", "restart")},
	{"result", 0, NULL, "FILE", "write how it ended to FILE, as JSON", TEXT(result_path)},

	{.help = "Look inside"},
	{"dry-run", 0, NULL, "[=json]",
	 "print what would be put in guest memory and where; run nothing", OWN(set_dry_run)},
	{"dump-acpi", 0, NULL, "DIR", "write the ACPI tables to DIR", TEXT(dump_acpi_path)},
	{"trace", 0, NULL, "LIST[=FILE]",
	 "a line an event, to FILE or stderr; as a time line to FILE.json; LIST: " TRACE_NAMES
	 ", all",
	 OWN(set_trace)},
	{"symbols", 0, NULL, "FILE",
	 "names for the trace and the report of a death: a System.map, vmlinux or copy of /proc/kallsyms",
	 TEXT(symbols)},
	{"report", 0, NULL, "FILE", "write what happened to FILE, a page (HTML) with pictures",
	 TEXT(report_path)},
	{"gdb", 0, NULL, "PORT|PATH",
	 "let gdb debug the guest, by [ADDR:]PORT (default: of this host alone) or a UNIX socket",
	 OWN(set_gdb)},
	{"gdb-wait", 0, NULL, NULL, "run no instruction before gdb says so", FLAG(gdb_wait)},
	{"stats", 0, NULL, NULL, "at the end, print exits, addresses and a time line", FLAG(stats)},
	{"verbose", 0, NULL, NULL, "say more of what is done, and how", FLAG(verbose)},

	{.help = "Other"},
	{"sandbox", 0, NULL, "MODE",
	 "lock the process in: on, audit (log, don't stop) or off (default: on)",
	 CHOICE(sandbox, [SANDBOX_ON] = "on", [SANDBOX_AUDIT] = "audit", [SANDBOX_OFF] = "off")},
	{"core-scheduling", 0, NULL, NULL,
	 "share no processor core with other processes, where cores have several threads",
	 FLAG(own_cores)},
	{"run-as", 0, NULL, "USER[:GROUP]",
	 "for root: become this user of the host's before the guest runs", TEXT(run_as)},
	{"help", 'h', NULL, NULL, "print this help", FLAG(help)},
};

/* Whether the option has an argument that must be there. */
static bool takes_word(const struct option *option)
{
	return option->argument && option->argument[0] != '[';
}

static void print_option(const struct option *option)
{
	char left[40];

	if (!option->help)
		return;
	if (!option->name) {
		printf("\n%s:\n", option->help);
		return;
	}
	snprintf(left, sizeof(left), "%c%c%c --%s%s%s", option->letter ? '-' : ' ',
		 option->letter ? option->letter : ' ', option->letter ? ',' : ' ', option->name,
		 takes_word(option) ? " " : "", option->argument ? option->argument : "");
	printf("  %-27s %s\n", left, option->help);
}

void options_help(void)
{
	puts("Usage: bantam run [options] KERNEL [-- COMMAND [argument...]]\n"
	     "\n"
	     "Boots KERNEL (a bzImage or an ELF kernel) in a virtual machine; the guest's serial\n"
	     "console is stdin and stdout. Ctrl-A x ends the machine, Ctrl-A a sends a Ctrl-A.\n"
	     "With COMMAND, runs that in the guest: stdin, stdout, stderr and the exit status are\n"
	     "COMMAND's. The initrd is its root directory.");
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		print_option(&options[i]);
	puts("\n"
	     "QEMU's -kernel, -initrd, -append, -m and -smp are understood too.\n"
	     "\n"
	     "Exit status: 0 the guest powered off or reset; 124 the time was up; 125 bantam or\n"
	     "the host failed; 128+n ended by signal n; 255 the guest crashed. With COMMAND its\n"
	     "own; 126 it can't be executed; 127 it was not found; 128+n signal n ended it.");
}

static int apply(struct config *config, const struct option *option, const char *value,
		 struct error *err)
{
	void *at = (u8 *)config + option->offset;
	int choice = 1;

	switch (option->kind) {
	case KIND_NONE:
		return 0;
	case KIND_NAME:
		if (check_name(option->name, value, err))
			return -1;
		__attribute__((fallthrough));
	case KIND_TEXT:
		*(const char **)at = value;
		return 0;
	case KIND_TIME:
		if (options_duration(value, at))
			return 0;
		return error_set(err, "--%s '%s' is not a time; say 500ms, 90s, 10m or 2h",
				 option->name, value);
	case KIND_CHOICE:
		choice = choose(option->name, value, option->words, err);
		__attribute__((fallthrough));
	case KIND_FLAG:
		options_store(at, option->bytes, (unsigned)choice);
		return choice < 0 ? -1 : 0;
	case KIND_OWN:
		return option->set(config, value, err);
	case KIND_MANY:
		if (*(unsigned *)at == option->most)
			return error_set(err, "--%s is given more than %u times", option->name,
					 option->most);
		choice = option->set(config, value, err);
		++*(unsigned *)at; /* what it has allocated is given back in any case */
		return choice;
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

static int unknown(const char *argument, struct error *err)
{
	const char *name = argument + strspn(argument, "-");
	const char *best = NULL;
	unsigned nearest = 3;
	char meant[64];

	snprintf(meant, sizeof(meant), "%.*s", (int)strcspn(name, "="), name);
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
		if (strcmp(meant, elsewhere[i].name) == 0)
			return error_set(err, "there is no '%s': %s", argument,
					 elsewhere[i].instead);
	}
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const char *other = options[i].name;
		const unsigned far = other ? distance(meant, other) : UINT32_MAX;

		if (far < nearest && far < strlen(meant)) {
			nearest = far;
			best = other;
		}
	}
	if (best)
		return error_set(err, "unknown option '%s'; did you mean '--%s'?", argument, best);
	return error_set(err, "unknown option '%s'; see 'bantam run --help'", argument);
}

/*
 * The option that an argument with a dash names: "--memory=1G", QEMU's "-smp", or a letter. *value
 * becomes the part behind '=' or behind the letter, or NULL. Returns NULL for an unknown one.
 */
static const struct option *recognise(const char *argument, const char **value)
{
	const bool is_long = argument[1] == '-';
	const char *name = argument + (is_long ? 2 : 1);
	const size_t length = is_long ? strcspn(name, "=") : strlen(name);
	const struct option *by_letter = NULL;

	*value = name[length] ? name + length + 1 : NULL;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct option *option = &options[i];
		const char *word = is_long ? option->name : option->qemu;

		if (word && strlen(word) == length && strncmp(word, name, length) == 0)
			return option;
		if (!is_long && option->letter == name[0])
			by_letter = option;
	}
	/* "-m512M" is a short option with its argument; "-memory" is a word nobody knows. */
	if (!by_letter || !name[1])
		return by_letter;
	*value = name + 1;
	return by_letter->argument && isdigit((unsigned char)name[1]) ? by_letter : NULL;
}

/* Handles the option at argv[*at] and moves *at to its last argument. */
static int take_option(struct config *config, int argc, char **argv, int *at, struct error *err)
{
	const char *argument = argv[*at];
	const char *value;
	const struct option *option = recognise(argument, &value);

	if (strcmp(argument, "-it") == 0 || strcmp(argument, "-ti") == 0) {
		config->tty = true;
		return 0;
	}
	if (!option)
		return unknown(argument, err);
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

enum options_outcome options_parse(struct config *config, int argc, char **argv, struct error *err)
{
	*config = (struct config){.cpus = 1};
	for (int at = 0; at < argc && !config->help; at++) {
		const char *argument = argv[at];
		int result;

		if (strcmp(argument, "--") == 0) {
			config->command = argv + at + 1;
			config->words = argc - at - 1;
			break;
		}
		if (argument[0] == '-' && argument[1])
			result = take_option(config, argc, argv, &at, err);
		else
			result = set_kernel(config, argument, err);
		if (result)
			return OPTIONS_WRONG;
	}
	if (config->help)
		return OPTIONS_HELP;
	if (!config->kernel) {
		error_set(err,
			  "no kernel is given; say 'bantam run KERNEL', or 'bantam run --help'");
		return OPTIONS_WRONG;
	}
	return config_complete(config, err) ? OPTIONS_WRONG : OPTIONS_RUN;
}

void options_free(struct config *config)
{
	while (config->disks > 0)
		free((void *)(uintptr_t)config->disk[--config->disks].path);
	while (config->nets > 0)
		free(config->net[--config->nets].name);
	while (config->volumes > 0)
		free(config->volume[--config->volumes].host);
	free(config->root.host);
	config->root.host = NULL;
}
