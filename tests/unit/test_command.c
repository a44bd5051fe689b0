/*
 * vmm/command.c: COMMAND's streams and status, with the ports called as the device calls them. stdout,
 * stderr and stdin are pipes of the test's.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/command.h"
#include "vmm/machine.h"

enum { STDIO = 1, STDERR = 2, CONTROL = 3, PIPE_BYTES = 4096 };

struct world {
	struct machine machine;
	struct config config;
	struct vconsole console;
	struct command command;
	int out[2], err[2], in[2], saved_stdin;
};

static void open_pipe(int ends[2])
{
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
}

static void use_pipe(struct command_output *out, int fd)
{
	sink_close(&out->sink);
	sink_borrow(&out->sink, fd);
	out->fd = fd;
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->machine.config = &world->config;
	world->machine.end_wake.source.fd = world->machine.command_wake.source.fd = -1;
	pthread_mutex_init(&world->machine.lock, NULL);
	command_open(&world->command, &world->machine, &world->console);
	open_pipe(world->out);
	open_pipe(world->err);
	open_pipe(world->in);
	use_pipe(&world->command.out, world->out[1]);
	use_pipe(&world->command.err, world->err[1]);
	world->saved_stdin = dup(STDIN_FILENO);
	assert_true(dup2(world->in[0], STDIN_FILENO) >= 0);
	signal(SIGPIPE, SIG_IGN);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	const int fds[] = {world->out[0], world->out[1], world->err[0],     world->err[1],
			   world->in[0],  world->in[1],  world->saved_stdin};

	command_close(&world->command);
	assert_true(dup2(world->saved_stdin, STDIN_FILENO) >= 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	pthread_mutex_destroy(&world->machine.lock);
	free(world);
	return 0;
}

/* The guest writes to a port; returns how many bytes were taken of the first piece. */
static size_t write_port(struct world *world, unsigned port, const char *bytes, size_t count)
{
	struct vconsole_port *ends = &world->console.port[port];
	const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};

	return ends->take(ends->owner, &piece, 1);
}

static void say_line(struct world *world, const char *line)
{
	assert_int_equal(write_port(world, CONTROL, line, strlen(line)), strlen(line));
}

/* What a port has for the guest, as text. */
static const char *read_port(struct world *world, unsigned port, size_t room)
{
	static char text[8192];
	struct vconsole_port *ends = &world->console.port[port];
	const struct iovec piece = {.iov_base = text, .iov_len = room};

	text[ends->give(ends->owner, &piece, 1)] = '\0';
	return text;
}

static void assert_pipe(int fd, const char *words)
{
	char text[PIPE_BYTES + 1];
	const ssize_t count = read(fd, text, sizeof(text) - 1);

	assert_true(count >= 0);
	text[count] = '\0';
	assert_string_equal(text, words);
}

static void assert_end(const struct world *world, enum verdict_reason reason, int number)
{
	assert_int_equal(world->machine.verdict.reason, reason);
	assert_int_equal(world->machine.verdict.number, number);
}

static void test_a_run(void **state)
{
	struct world *world = *state;

	say_line(world, "start\n");
	assert_true(atomic_load(&world->command.started));
	assert_int_equal(write_port(world, STDIO, "out", 3), 3);
	assert_int_equal(write_port(world, STDERR, "err", 3), 3);
	assert_pipe(world->out[0], "out");
	assert_pipe(world->err[0], "err");
	say_line(world, "end stdout 3\nend stderr 3\n");
	assert_end(world, VERDICT_NONE, 0);
	assert_pipe(world->out[0], ""); /* whoever reads sees the end before the status is there */
	say_line(world, "exit 7\n");
	assert_end(world, VERDICT_EXIT, 7);
	assert_int_equal(verdict_status(&world->machine.verdict), 7);
}

static void test_the_status_waits_for_the_bytes(void **state)
{
	struct world *world = *state;

	say_line(world, "end stderr 2\nend stdout 5\nsignal 9\n");
	assert_int_equal(write_port(world, STDIO, "12345", 5), 5);
	assert_end(world, VERDICT_NONE, 0);
	assert_int_equal(write_port(world, STDERR, "1", 1), 1);
	assert_end(world, VERDICT_NONE, 0);
	assert_int_equal(write_port(world, STDERR, "2", 1), 1);
	assert_end(world, VERDICT_COMMAND_SIGNAL, 9);
	assert_int_equal(verdict_status(&world->machine.verdict), 137);
}

static void test_other_ends(void **state)
{
	static const struct {
		const char *line;
		enum verdict_reason reason;
		int status;
		const char *words;
	} ends[] = {
		{"failed 126 x: permission denied\n", VERDICT_CANNOT_EXECUTE, 126, "permission"},
		{"failed 127 nosuch\n", VERDICT_NOT_FOUND, 127, "nosuch"},
		{"error user nobody: unknown\n", VERDICT_VMM_ERROR, 125, "user nobody"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		void *own = NULL;
		struct world *world;
		char words[600];

		set_up(&own);
		world = own;
		say_line(world, ends[i].line);
		assert_end(world, ends[i].reason, 0);
		assert_int_equal(verdict_status(&world->machine.verdict), ends[i].status);
		verdict_describe(&world->machine.verdict, words, sizeof(words));
		assert_says(words, ends[i].words);
		tear_down(&own);
	}
}

static void test_lies(void **state)
{
	static const char *const lies[] = {
		"exit 0\n",                                      /* before the ends */
		"end stdout 0\nexit 0\n",                        /* before one of them */
		"end stdout 0\nend stderr 0\nexit 256\n",        /* no status */
		"end stdout 0\nend stderr 0\nexit 1234567890\n", /* … with ten digits */
		"end stdout 0\nend stderr 0\nexit -1\n",
		"end stdout 0\nend stderr 0\nexit \n",
		"end stdout 0\nend stderr 0\nexit 0 \n",
		"end stdout 0\nend stderr 0\nsignal 0\n",
		"end stdout 0\nend stderr 0\nsignal 128\n",
		"end stdout 1\nend stderr 0\nexit 0\nexit 0\n", /* twice */
		"end stdout 1\nend stderr 0\nexit 0\nstart\n",  /* a word behind the last */
		"end stdout 0\nend stdout 0\n",
		"end stdout -1\n",
		"end stdout 18446744073709551616\n",
		"nonsense\n",
		"\n",
		"failed 128 x\n",
		"failed 127 \x1b[2J\n", /* what a terminal would obey */
		"error \x7f\n",
	};
	char line[2 * PROTOCOL_LINE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies) + 2; i++) {
		void *own = NULL;

		set_up(&own);
		if (i < ARRAY_LEN(lies)) {
			say_line(own, lies[i]);
		} else {
			memset(line, i == ARRAY_LEN(lies) ? 'x' : 0, sizeof(line));
			write_port(own, CONTROL, line, sizeof(line));
		}
		assert_end(own, VERDICT_BAD_REPORT, 0);
		tear_down(&own);
	}
}

static void test_bytes_behind_the_end(void **state)
{
	struct world *world = *state;

	say_line(world, "end stdout 2\n");
	assert_int_equal(write_port(world, STDIO, "abc", 3), 3);
	assert_end(world, VERDICT_BAD_REPORT, 0);
	assert_int_equal(read(world->out[0], &(char){0}, 1), -1); /* none of them was written */
}

static void test_an_end_before_what_has_come(void **state)
{
	struct world *world = *state;

	write_port(world, STDERR, "abc", 3);
	say_line(world, "end stderr 2\n");
	assert_end(world, VERDICT_BAD_REPORT, 0);
}

static void test_lines_in_pieces(void **state)
{
	struct world *world = *state;
	const char words[] = "end stdout 0\nend stderr 0\nexit 41\n";

	for (size_t i = 0; i < sizeof(words) - 1; i++)
		assert_int_equal(write_port(world, CONTROL, words + i, 1), 1);
	assert_end(world, VERDICT_EXIT, 41);
}

static void test_the_longest_line(void **state)
{
	struct world *world = *state;
	char line[PROTOCOL_LINE_BYTES];

	memset(line, 'x', sizeof(line));
	memcpy(line, "failed 127 ", 11);
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(write_port(world, CONTROL, line, sizeof(line)), sizeof(line));
	assert_end(world, VERDICT_NOT_FOUND, 0);
}

static void test_a_reader_without_room(void **state)
{
	struct world *world = *state;
	char bytes[3 * PIPE_BYTES], sink[PIPE_BYTES];
	size_t taken;

	memset(bytes, 'x', sizeof(bytes));
	taken = write_port(world, STDIO, bytes, sizeof(bytes));
	assert_true(taken > 0 && taken < sizeof(bytes));
	assert_int_equal(write_port(world, STDIO, bytes, sizeof(bytes)), 0);
	assert_int_equal(world->command.out.total, taken);
	assert_true(read(world->out[0], sink, sizeof(sink)) > 0);
	assert_true(write_port(world, STDIO, bytes, sizeof(bytes)) > 0);
}

static void test_a_reader_that_goes_away(void **state)
{
	struct world *world = *state;

	close(world->out[0]);
	world->out[0] = dup(STDIN_FILENO);
	assert_int_equal(write_port(world, STDIO, "abc", 3), 3);
	assert_string_equal(read_port(world, CONTROL, 100), "close stdout\n");
	assert_string_equal(read_port(world, CONTROL, 100), "");
	assert_int_equal(write_port(world, STDIO, "def", 3), 3); /* counted all the same */
	say_line(world, "end stdout 6\nend stderr 0\nsignal 13\n");
	assert_end(world, VERDICT_COMMAND_SIGNAL, 13);
}

static void test_output_that_is_lost(void **state)
{
	struct world *world = *state;
	const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	char words[600];

	assert_true(full >= 0);
	use_pipe(&world->command.out, full);
	assert_int_equal(write_port(world, STDIO, "abc", 3), 3);
	assert_string_equal(read_port(world, CONTROL, 100), "close stdout\n");
	assert_end(world, VERDICT_NONE, 0); /* what COMMAND does about it is its own affair */
	say_line(world, "end stdout 3\nend stderr 0\nexit 0\n");
	assert_end(world, VERDICT_VMM_ERROR, 0);
	assert_int_equal(verdict_status(&world->machine.verdict), 125);
	verdict_describe(&world->machine.verdict, words, sizeof(words));
	assert_says(words, "stdout could not be written: No space left");
}

static void test_input(void **state)
{
	struct world *world = *state;

	assert_int_equal(world->console.port[STDIO].give_fd, STDIN_FILENO);
	assert_string_equal(read_port(world, STDIO, 100), ""); /* a wake-up for nothing */
	assert_int_equal(write(world->in[1], "hello world", 11), 11);
	assert_string_equal(read_port(world, STDIO, 6), "hello ");
	assert_int_equal(world->console.port[STDIO].give_fd, -1); /* there is more at hand */
	close(world->in[1]);
	world->in[1] = dup(world->in[0]);
	assert_string_equal(read_port(world, STDIO, 100), "world");
	assert_string_equal(read_port(world, CONTROL, 100), "");
	assert_string_equal(read_port(world, STDIO, 100), "");
	assert_string_equal(read_port(world, CONTROL, 5), "end s"); /* little room */
	assert_string_equal(read_port(world, CONTROL, 100), "tdin 11\n");
	assert_string_equal(read_port(world, CONTROL, 100), "");
	assert_int_equal(world->console.port[STDIO].give_fd, -1);
}

static void test_nobody_reads_input(void **state)
{
	struct world *world = *state;

	assert_int_equal(write(world->in[1], "abc", 3), 3);
	assert_string_equal(read_port(world, STDIO, 1), "a");
	say_line(world, "close stdin\n");
	assert_int_equal(world->console.port[STDIO].give_fd, -1);
	assert_string_equal(read_port(world, STDIO, 100), "");
}

static void test_wishes(void **state)
{
	struct world *world = *state;

	command_signal(&world->command, SIGTERM);
	command_signal(&world->command, SIGTERM);
	command_signal(&world->command, SIGINT);
	command_resize(&world->command);
	assert_int_equal(strncmp(read_port(world, CONTROL, 100), "size ", 5), 0);
	assert_string_equal(read_port(world, CONTROL, 100), "signal 2\n");
	assert_string_equal(read_port(world, CONTROL, 100), "signal 15\n");
	assert_string_equal(read_port(world, CONTROL, 100), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_run),
		TEST(test_the_status_waits_for_the_bytes),
		cmocka_unit_test(test_other_ends),
		cmocka_unit_test(test_lies),
		TEST(test_bytes_behind_the_end),
		TEST(test_an_end_before_what_has_come),
		TEST(test_lines_in_pieces),
		TEST(test_the_longest_line),
		TEST(test_a_reader_without_room),
		TEST(test_a_reader_that_goes_away),
		TEST(test_output_that_is_lost),
		TEST(test_input),
		TEST(test_nobody_reads_input),
		TEST(test_wishes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
