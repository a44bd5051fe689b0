/* boot/init/: command.c and files.c, with real processes and a directory of the test's own. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

#include "boot/init/init.h"

static void expect_candidates(const char *path, const char *name, const char *const *expected)
{
	char file[32];

	while (command_candidate(&path, name, file, sizeof(file))) {
		assert_non_null(*expected);
		assert_string_equal(file, *expected++);
	}
	assert_null(*expected);
}

static void test_candidates(void **state)
{
	static const char *const none[] = {NULL}, *const two[] = {"/a/x", "/b/x", NULL},
				 *const here[] = {"x", "/b/x", "x", NULL},
				 *const same[] = {"./x", NULL}, *const fitting[] = {"/a/x", NULL},
				 *const edge[] = {"/1234567890123456789012345678/x", NULL};

	(void)state;
	expect_candidates("/a:/b", "x", two);
	expect_candidates(":/b:", "x", here);
	expect_candidates("/a:/b", "./x", same);
	expect_candidates("/a", "", none);
	expect_candidates(NULL, "x", none);
	/* 31 characters have room, 32 haven't: such a directory is passed over. */
	expect_candidates("/1234567890123456789012345678", "x", edge);
	expect_candidates("/12345678901234567890123456789:/a", "x", fitting);
	expect_candidates("/a:/12345678901234567890123456789", "x", fitting);
}

/* A directory of the test's own. */
struct place {
	char path[32];
	char file[64];
};

static int place_make(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	strcpy(place->path, "/tmp/bantam-init-XXXXXX");
	assert_non_null(mkdtemp(place->path));
	*state = place;
	return 0;
}

static int place_free(void **state)
{
	struct place *place = *state;

	directory_remove(place->path);
	assert_int_equal(access(place->path, F_OK), -1);
	free(place);
	return 0;
}

static const char *within(struct place *place, const char *name)
{
	snprintf(place->file, sizeof(place->file), "%s/%s", place->path, name);
	return place->file;
}

static void test_names_come_in_order(void **state)
{
	struct place *place = *state;
	char name[NAME_BYTES] = "", expected[NAME_BYTES];

	for (unsigned i = 0; i < 200; i++) {
		/* 7 has no common divisor with 200: all of them, in some other order. */
		snprintf(expected, sizeof(expected), "%03u-a-rather-long-name.ko", i * 7 % 200);
		file_fill(within(place, expected), STRINGS("x"));
	}
	for (unsigned i = 0; i < 200; i++) {
		snprintf(expected, sizeof(expected), "%03u-a-rather-long-name.ko", i);
		assert_true(directory_next(place->path, name));
		assert_string_equal(name, expected);
	}
	assert_false(directory_next(place->path, name));
	assert_false(directory_next("/nonexistent/path", name));
}

static void expect_content(const char *path, const char *content)
{
	size_t bytes;
	char *text = file_load(path, &bytes);

	assert_non_null(text);
	assert_string_equal(text, content);
	assert_int_equal(bytes, strlen(content));
}

static void test_fill(void **state)
{
	struct place *place = *state;
	const char *path = within(place, "f");

	file_fill(path, STRINGS("one"));
	expect_content(path, "one");
	file_fill(path, STRINGS("two"));
	expect_content(path, "one");
	assert_int_equal(truncate(path, 0), 0);
	file_fill(path, STRINGS("three"));
	expect_content(path, "three");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nonexistent/path", path), 0);
	file_fill(path, STRINGS("four"));
	expect_content(path, "four");
}

static void test_load_of_any_size(void **state)
{
	static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 131071, 131072, 1000000};
	struct place *place = *state;
	const char *path = within(place, "f");
	size_t bytes;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char *content = malloc(sizes[i] + 1);
		FILE *file = fopen(path, "w");

		for (size_t at = 0; at < sizes[i]; at++)
			content[at] = (char)('a' + at % 23);
		content[sizes[i]] = '\0';
		fwrite(content, 1, sizes[i], file);
		fclose(file);
		expect_content(path, content);
		free(content);
	}
	assert_null(file_load("/nonexistent", &bytes));
	assert_null(file_load("/", &bytes));
}

static void test_directories_on_the_way(void **state)
{
	struct place *place = *state;
	char path[64];
	struct stat stat_buf;

	snprintf(path, sizeof(path), "%s/a/b", place->path);
	directory_make(path);
	directory_make(path);
	assert_int_equal(stat(path, &stat_buf), 0);
	assert_true(S_ISDIR(stat_buf.st_mode));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(within(place, "a")), 0);
}

/* Starts a command with PATH=/bin:/usr/bin as the user who runs the test. */
static bool start(struct command *command, char **args, char *line)
{
	char path[] = "PATH=/bin:/usr/bin", *env[] = {path, NULL}, dir[] = "/";
	const struct init_config config = {.args = args, .env = env, .env_count = 1, .dir = dir};
	const struct user user = {.uid = getuid(), .gid = getgid()};

	return command_start(command, &config, &user, line);
}

static void test_start(void **state)
{
	char shell[] = "sh", option[] = "-c", script[] = "read x; echo $x $$; exit 9";
	char *args[] = {shell, option, script, NULL};
	char line[PROTOCOL_LINE_BYTES], expected[64], got[64];
	struct command command;
	int status;

	(void)state;
	if (geteuid())
		SKIP("only root may set a user's groups");
	assert_true(start(&command, args, line));
	assert_int_equal(write(command.end[STREAM_IN], "word\n", 5), 5);
	assert_int_equal(waitpid(command.pid, &status, 0), command.pid);
	assert_int_equal(WEXITSTATUS(status), 9);
	snprintf(expected, sizeof(expected), "word %d\n", command.pid);
	got[read(command.end[STREAM_OUT], got, strlen(expected))] = '\0';
	assert_string_equal(got, expected);
	close(command.end[STREAM_IN]);
	close(command.end[STREAM_OUT]);
	close(command.end[STREAM_ERR]);
}

static void expect_failure(char *name, const char *expected)
{
	char *args[] = {name, NULL}, line[PROTOCOL_LINE_BYTES];
	struct command command;

	assert_false(start(&command, args, line));
	assert_string_equal(line, expected);
	assert_int_equal(waitpid(command.pid, NULL, 0), command.pid);
	close(command.end[STREAM_IN]);
	close(command.end[STREAM_OUT]);
	close(command.end[STREAM_ERR]);
}

static void test_failures(void **state)
{
	char nowhere[] = "nosuch", file[] = "/etc/passwd", directory[] = "/etc", empty[] = "";
	char script[64], expected[128];
	struct place *place = *state;

	if (geteuid())
		SKIP("only root may set a user's groups");
	expect_failure(nowhere, "failed 127 nosuch: no such command");
	expect_failure(empty, "failed 127 : no such command");
	expect_failure(file, "failed 126 /etc/passwd: permission denied");
	expect_failure(directory, "failed 126 /etc: permission denied");
	strcpy(script, within(place, "script"));
	file_fill(script, STRINGS("#!/nonexistent\n"));
	assert_int_equal(chmod(script, 0755), 0);
	snprintf(expected, sizeof(expected), "failed 127 %s: its interpreter isn't there", script);
	expect_failure(script, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_candidates),
		cmocka_unit_test_setup_teardown(test_names_come_in_order, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_fill, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_load_of_any_size, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_directories_on_the_way, place_make,
						place_free),
		cmocka_unit_test(test_start),
		cmocka_unit_test_setup_teardown(test_failures, place_make, place_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
