/*
 * bantam: a microVM monitor.
 *
 * main() only chooses the subcommand. The way of a machine from here: run.c takes the start-up
 * steps, boot/ fills the guest's memory, vcpu.c runs the guest, verdict.c says how it ended.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/check.h"
#include "vmm/loop.h"
#include "vmm/options.h"
#include "vmm/run.h"
#include "vmm/verdict.h"

/*
 * A closed stdin, stdout or stderr would be the number of the next file that is opened, and the
 * guest's console would go into it. /dev/null takes their places.
 */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* What was printed must have arrived: `bantam help >/dev/full` is a failure. */
static int printed(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	say("cannot write to stdout");
	return STATUS_VMM_ERROR;
}

static int command_help(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[2], "run") == 0) {
		options_help();
		return printed(0);
	}
	puts("Usage: bantam COMMAND [arguments]\n"
	     "\n"
	     "bantam boots kernels in small virtual machines.\n"
	     "\n"
	     "Commands:\n"
	     "  run        boot a kernel; 'bantam run --help' lists the options\n"
	     "  check      find out what this host can run; --json for scripts\n"
	     "  version    print the version\n"
	     "  help       print this help\n"
	     "\n"
	     "Example:\n"
	     "  bantam run vmlinuz --initrd initrd.img");
	return printed(0);
}

static int command_version(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("bantam " BANTAM_VERSION);
	return printed(0);
}

static int command_run(int argc, char **argv)
{
	const u64 start_ns = clock_now_ns();
	struct config config;
	struct error err;
	int status = 0;

	switch (options_parse(&config, argc - 2, argv + 2, &err)) {
	case OPTIONS_HELP:
		options_help();
		status = printed(0);
		break;
	case OPTIONS_WRONG:
		say("%s", err.text);
		status = STATUS_VMM_ERROR;
		break;
	case OPTIONS_RUN:
		config.start_ns = start_ns;
		config.argc = argc;
		config.argv = argv;
		status = run(&config);
	}
	options_free(&config);
	return status;
}

static int command_check(int argc, char **argv)
{
	return printed(check_command(argc - 2, argv + 2));
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv); /* all arguments, from the program's name on */
} commands[] = {
	{"run", command_run},           {"check", command_check}, {"version", command_version},
	{"--version", command_version}, {"help", command_help},   {"--help", command_help},
	{"-h", command_help},
};

int main(int argc, char **argv)
{
	fill_standard_descriptors();
	if (argc < 2) {
		say("no command is given; say 'bantam run KERNEL', or 'bantam help'");
		return STATUS_VMM_ERROR;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc, argv);
	}
	say("unknown command '%s'; there are run, check, version and help", argv[1]);
	return STATUS_VMM_ERROR;
}
