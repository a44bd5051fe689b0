/*
 * vmm/result.c: what is written of a machine made by hand, for each verdict, and files that can't
 * be opened or written. What goes to stderr is caught in a file.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/support.h"
#include "vmm/machine.h"
#include "vmm/result.h"
#include "vmm/vcpu.h"

enum { CPUS = 2, TEXT_MAX = 1 << 16, LONG_WORD = 20000 };

struct world {
	struct machine machine;
	struct config config;
	struct vcpu vcpu[CPUS];
	struct result result;
	struct error err;
	struct temp_file file;
	int saved_stderr, stderr_file;
	char text[TEXT_MAX];
};

static char *arguments[] = {"./bantam", "run", "--cmdline", "a \"b\"\n\xff", NULL};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->machine.config = &world->config;
	world->machine.vcpu = world->vcpu;
	world->config.cpus = CPUS;
	world->config.argc = ARRAY_LEN(arguments) - 1;
	world->config.argv = arguments;
	temp_file_make(&world->file, "{\"old\": 1}", 10);
	world->saved_stderr = dup(STDERR_FILENO);
	world->stderr_file = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(dup2(world->stderr_file, STDERR_FILENO) >= 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	assert_true(dup2(world->saved_stderr, STDERR_FILENO) >= 0);
	close(world->saved_stderr);
	close(world->stderr_file);
	temp_file_free(&world->file);
	free(world);
	return 0;
}

static const char *text_of(struct world *world, int fd)
{
	const ssize_t count = pread(fd, world->text, TEXT_MAX - 1, 0);

	assert_true(count >= 0);
	world->text[count] = '\0';
	return world->text;
}

static const char *written(struct world *world)
{
	assert_int_equal(result_open(&world->result, "result", world->file.path, &world->err), 0);
	assert_int_equal(result_write(&world->result, &world->machine), 0);
	return text_of(world, world->file.fd);
}

static void end_by(struct world *world, enum verdict_reason reason, int number, const char *detail)
{
	struct verdict *verdict = &world->machine.verdict;

	*verdict = (struct verdict){.reason = reason, .number = number};
	snprintf(verdict->detail, sizeof(verdict->detail), "%s", detail);
}

static void test_all_of_it(void **state)
{
	struct world *world = *state;
	struct timeline *timeline = &world->machine.timeline;
	const char *text;
	char *peak, *rest;

	end_by(world, VERDICT_PANIC, 0, "Kernel panic - not syncing: \"why\"");
	atomic_store(&timeline->at_ns[STAGE_START], 1000000000);
	atomic_store(&timeline->at_ns[STAGE_FIRST_INSTRUCTION], 1012345678);
	atomic_store(&timeline->at_ns[STAGE_END], 2500000000);
	atomic_store(&timeline->first_instruction_cpu_ns, 3456000);
	world->machine.restarts = 7;
	world->vcpu[0].exits[KVM_EXIT_IO] = 5;
	world->vcpu[1].exits[KVM_EXIT_MMIO] = 1;
	text = written(world);
	/* All but one of the values are known. */
	peak = strstr(text, "\"peak_memory_kib\": ");
	assert_non_null(peak);
	assert_true(strtoul(peak + 19, &rest, 10) > 100);
	assert_string_equal(rest, ",\n"
				  "  \"version\": \"" BANTAM_VERSION "\",\n"
				  "  \"command\": [\n"
				  "    \"./bantam\",\n"
				  "    \"run\",\n"
				  "    \"--cmdline\",\n"
				  "    \"a \\\"b\\\"\\u000a\\u00ff\"\n"
				  "  ]\n"
				  "}\n");
	*peak = '\0';
	assert_string_equal(text,
			    "{\n"
			    "  \"reason\": \"panic\",\n"
			    "  \"exit_code\": 255,\n"
			    "  \"message\": \"the guest's kernel panicked: Kernel panic - not "
			    "syncing: \\\"why\\\"\",\n"
			    "  \"duration_ms\": 1500.000,\n"
			    "  \"first_instruction_ms\": 12.346,\n"
			    "  \"first_instruction_cpu_ms\": 3.456,\n"
			    "  \"restarts\": 7,\n"
			    "  \"exits\": {\n"
			    "    \"IO\": 5,\n"
			    "    \"MMIO\": 1\n"
			    "  },\n"
			    "  ");
}

static void test_every_reason(void **state)
{
	struct world *world = *state;

	for (int reason = VERDICT_POWEROFF; reason <= VERDICT_VMM_ERROR; reason++) {
		char line[64];

		end_by(world, (enum verdict_reason)reason, 2, "because");
		written(world);
		snprintf(line, sizeof(line), "\"reason\": \"%s\",\n",
			 verdict_name((enum verdict_reason)reason));
		assert_says(world->text, line);
		snprintf(line, sizeof(line), "\"exit_code\": %d,\n",
			 verdict_status(&world->machine.verdict));
		assert_says(world->text, line);
		assert_says(world->text, "because\",\n");
		if (reason == VERDICT_SIGNAL)
			assert_says(world->text, "\"signal\": 2,\n");
		else
			assert_null(strstr(world->text, "\"signal\":"));
	}
}

static void test_a_machine_that_never_ran(void **state)
{
	struct world *world = *state;

	world->machine.vcpu = NULL;
	world->config.cpus = 0;
	end_by(world, VERDICT_VMM_ERROR, 0, "cannot open 'kernel'");
	written(world);
	assert_says(world->text, "\"message\": \"cannot open 'kernel'\",\n");
	assert_says(world->text, "\"duration_ms\": 0.000,\n");
	assert_says(world->text, "\"first_instruction_ms\": 0.000,\n");
	assert_says(world->text, "\"exits\": {},\n");
}

/* Longer than the file's buffer. */
static void test_a_long_command_line(void **state)
{
	struct world *world = *state;
	char *word = malloc(LONG_WORD + 1);
	char *command[] = {"bantam", word};

	assert_non_null(word);
	memset(word, 'w', LONG_WORD);
	word[LONG_WORD] = '\0';
	world->config.argc = 2;
	world->config.argv = command;
	end_by(world, VERDICT_POWEROFF, 0, "");
	written(world);
	assert_non_null(strstr(world->text, word));
	assert_string_equal(strstr(world->text, word) + LONG_WORD, "\"\n  ]\n}\n");
	free(word);
}

static void test_without_a_path_nothing_happens(void **state)
{
	struct world *world = *state;

	memset(&world->result, 0xa5, sizeof(world->result));
	assert_int_equal(result_open(&world->result, "result", NULL, &world->err), 0);
	assert_null(world->result.file);
	assert_int_equal(result_write(&world->result, &world->machine), 0);
}

static void test_opening_empties_the_file(void **state)
{
	struct world *world = *state;

	assert_int_equal(result_open(&world->result, "result", world->file.path, &world->err), 0);
	assert_string_equal(text_of(world, world->file.fd), "");
	assert_true(fcntl(fileno(world->result.file), F_GETFD) & FD_CLOEXEC);
	end_by(world, VERDICT_POWEROFF, 0, "");
	assert_int_equal(result_write(&world->result, &world->machine), 0);
}

static void test_paths_that_cannot_be_opened(void **state)
{
	static const char *const paths[] = {"/nowhere/at/all", "/proc/self", "/dev/null/x", ""};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(result_open(&world->result, "result", paths[i], &world->err), -1);
		assert_null(world->result.file);
		assert_says(world->err.text, "cannot write the result to '");
		assert_says(world->err.text, paths[i]);
	}
}

/* A part that had room before the disk was full doesn't stay: a limit of 4 KiB, and more than that. */
static void test_never_a_part_of_it(void **state)
{
	static char word[LONG_WORD];
	char *command[] = {"bantam", word};
	struct world *world = *state;
	struct rlimit old, limit;

	memset(word, 'w', sizeof(word) - 1);
	world->config.argc = ARRAY_LEN(command);
	world->config.argv = command;
	end_by(world, VERDICT_POWEROFF, 0, "");
	assert_int_equal(result_open(&world->result, "report", world->file.path, &world->err), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(result_write(&world->result, &world->machine), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(text_of(world, world->stderr_file),
			    "bantam: the report could not be written: File too large\n");
	assert_string_equal(text_of(world, world->file.fd), "");
}

static void test_a_full_disk_is_told(void **state)
{
	struct world *world = *state;

	end_by(world, VERDICT_POWEROFF, 0, "");
	assert_int_equal(result_open(&world->result, "result", "/dev/full", &world->err), 0);
	assert_int_equal(result_write(&world->result, &world->machine), -1);
	assert_string_equal(text_of(world, world->stderr_file),
			    "bantam: the result could not be written: No space left on device\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_of_it),
		TEST(test_every_reason),
		TEST(test_a_machine_that_never_ran),
		TEST(test_a_long_command_line),
		TEST(test_without_a_path_nothing_happens),
		TEST(test_opening_empties_the_file),
		TEST(test_paths_that_cannot_be_opened),
		TEST(test_a_full_disk_is_told),
		TEST(test_never_a_part_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
