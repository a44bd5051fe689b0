/* boot/init/: channel.c and control.c over pipes and socket pairs. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/support.h"
#include "tests/unit/test.h"

#include "boot/init/init.h"

/* A channel from a socket to a pipe, as standard input's is, and the two far ends. */
struct world {
	struct channel channel;
	int writer, reader;
};

static void set_nonblocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static int world_make(void **state)
{
	struct world *world = malloc(sizeof(*world));
	int pair[2], pipe_ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(pipe_ends), 0);
	channel_open(&world->channel, pair[0], pipe_ends[1]);
	world->writer = pair[1];
	world->reader = pipe_ends[0];
	set_nonblocking(pair[0]);
	set_nonblocking(pair[1]);
	set_nonblocking(pipe_ends[0]);
	set_nonblocking(pipe_ends[1]);
	*state = world;
	return 0;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int world_free(void **state)
{
	struct world *world = *state;

	channel_drop(&world->channel);
	channel_end(&world->channel);
	shut(&world->writer);
	shut(&world->reader);
	free(world);
	return 0;
}

/* Lets the channel do what it can without waiting; returns how often poll() saw something. */
static unsigned work(struct channel *channel)
{
	struct pollfd wait[2];
	unsigned times = 0;

	for (;;) {
		channel_poll(channel, wait);
		if (poll(wait, 2, 0) == 0)
			return times;
		channel_move(channel, wait);
		assert_in_range(++times, 1, 1000);
		if (channel_is_done(channel))
			return times;
	}
}

/* A port gives a page a read: what is there goes at once all the same. */
static void test_pages_go_together(void **state)
{
	struct world *world = *state;
	u8 page[4096] = {0}, got[sizeof(page) * 4];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	channel_end(&world->channel);
	world->channel.from = pair[0];
	shut(&world->writer);
	world->writer = pair[1];
	for (int i = 0; i < 3; i++)
		assert_int_equal(write(world->writer, page, sizeof(page)), sizeof(page));
	assert_int_equal(work(&world->channel), 1);
	assert_int_equal(read(world->reader, got, sizeof(got)), 3 * sizeof(page));
}

static void test_bytes_arrive_in_order(void **state)
{
	enum { BYTES = 3 * CHANNEL_BYTES + 12345 };
	struct world *world = *state;
	u8 *sent = malloc(BYTES), *got = malloc(BYTES + 1);
	size_t put = 0, taken = 0;
	u32 seed = 1;

	fill_pattern(sent, BYTES, 7);
	while (taken < BYTES) {
		const size_t want = next_random(&seed) % 50000 + 1;
		ssize_t count = put < BYTES ? write(world->writer, sent + put,
						    want < BYTES - put ? want : BYTES - put)
					    : 0;

		put += count > 0 ? (size_t)count : 0;
		if (put == BYTES)
			shut(&world->writer);
		work(&world->channel);
		count = read(world->reader, got + taken, next_random(&seed) % 20000 + 1);
		taken += count > 0 ? (size_t)count : 0;
		assert_in_range(taken, 0, BYTES);
	}
	work(&world->channel);
	assert_true(channel_is_done(&world->channel));
	assert_int_equal(world->channel.passed, BYTES);
	assert_int_equal(world->channel.received, BYTES);
	assert_memory_equal(sent, got, BYTES);
	free(sent);
	free(got);
}

static void test_slow_reader_holds_the_writer(void **state)
{
	struct world *world = *state;
	static const u8 block[4096];
	struct pollfd wait[2];
	size_t stuck;
	ssize_t count;

	while ((count = write(world->writer, block, sizeof(block))) > 0)
		work(&world->channel);
	/* The pipe is full, the channel holds the rest: it asks for room, and not for more. */
	channel_poll(&world->channel, wait);
	assert_int_equal(wait[0].fd, -1);
	assert_int_equal(wait[1].events, POLLOUT);
	stuck = world->channel.passed;
	assert_int_equal(work(&world->channel), 0);
	shut(&world->writer);
	while (!channel_is_done(&world->channel)) {
		u8 bytes[8192];

		assert_true(read(world->reader, bytes, sizeof(bytes)) > 0);
		work(&world->channel);
	}
	assert_true(world->channel.passed > stuck);
	assert_int_equal(world->channel.passed, world->channel.received);
}

static void test_nothing_is_read_behind_the_limit(void **state)
{
	struct world *world = *state;
	char text[16] = "";

	assert_int_equal(write(world->writer, "abcdef", 6), 6);
	channel_limit(&world->channel, 4);
	work(&world->channel);
	assert_true(channel_is_done(&world->channel));
	assert_int_equal(read(world->reader, text, sizeof(text)), 4);
	assert_string_equal(text, "abcd");
}

static void test_limit_that_is_reached_already(void **state)
{
	struct world *world = *state;

	assert_int_equal(write(world->writer, "abc", 3), 3);
	work(&world->channel);
	assert_false(channel_is_done(&world->channel));
	channel_limit(&world->channel, 4);
	assert_false(channel_is_done(&world->channel));
	channel_limit(&world->channel, 3);
	assert_true(channel_is_done(&world->channel));
}

static void test_end_keeps_what_is_held(void **state)
{
	struct world *world = *state;
	static const u8 block[CHANNEL_BYTES];
	size_t taken = 0;
	ssize_t count;
	u8 bytes[8192];

	while (write(world->writer, block, sizeof(block)) > 0)
		work(&world->channel);
	channel_end(&world->channel);
	assert_false(channel_is_done(&world->channel));
	while (!channel_is_done(&world->channel)) {
		assert_true((count = read(world->reader, bytes, sizeof(bytes))) > 0);
		taken += (size_t)count;
		work(&world->channel);
	}
	while ((count = read(world->reader, bytes, sizeof(bytes))) > 0)
		taken += (size_t)count;
	assert_int_equal(taken, world->channel.received);
	assert_int_equal(taken, world->channel.passed);
}

/* Nobody reads: it is noticed without a byte to write, and what comes is swallowed. */
static void test_reader_that_goes(void **state)
{
	struct world *world = *state;
	static const u8 block[CHANNEL_BYTES];

	assert_int_equal(write(world->writer, "abc", 3), 3);
	work(&world->channel);
	shut(&world->reader);
	work(&world->channel);
	assert_int_equal(world->channel.to, -1);
	assert_false(channel_is_done(&world->channel));
	for (int i = 0; i < 20; i++) {
		assert_int_equal(write(world->writer, block, 1000), 1000);
		work(&world->channel);
	}
	shut(&world->writer);
	work(&world->channel);
	assert_true(channel_is_done(&world->channel));
	assert_int_equal(world->channel.passed, 3);
	assert_int_equal(world->channel.received, 3 + 20 * 1000);
}

static void test_drop_forgets_what_is_held(void **state)
{
	struct world *world = *state;
	static const u8 block[CHANNEL_BYTES];

	while (write(world->writer, block, sizeof(block)) > 0)
		work(&world->channel);
	assert_true(world->channel.held);
	channel_drop(&world->channel);
	channel_end(&world->channel);
	assert_true(channel_is_done(&world->channel));
}

static int control_make(struct control *control)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	set_nonblocking(pair[0]);
	*control = (struct control){.fd = pair[0]};
	return pair[1];
}

static void test_control_lines_in_pieces(void **state)
{
	static const char text[] = "size 1 2\nnonsense\nend stdin 70000\nclose stdout\n";
	enum control_word word, got[8];
	struct control control;
	unsigned count = 0;
	u64 numbers[2];
	int host = control_make(&control);

	(void)state;
	for (const char *at = text; *at; at++) {
		assert_int_equal(write(host, at, 1), 1);
		while (control_next(&control, &word, numbers))
			got[count++] = word;
		if (word == CONTROL_END_STDIN && count == 3)
			assert_int_equal(numbers[0], 70000);
	}
	assert_int_equal(count, 4);
	assert_int_equal(got[0], CONTROL_SIZE);
	assert_int_equal(got[1], CONTROL_UNKNOWN);
	assert_int_equal(got[2], CONTROL_END_STDIN);
	assert_int_equal(got[3], CONTROL_CLOSE_STDOUT);
	assert_false(control.gone);
	/* A last word that came with the end still counts. */
	assert_int_equal(write(host, "size 3 4\n", 9), 9);
	close(host);
	assert_true(control_next(&control, &word, numbers));
	assert_false(control_next(&control, &word, numbers));
	assert_true(control.gone);
	close(control.fd);
}

static void test_control_line_without_end(void **state)
{
	struct control control;
	enum control_word word;
	u64 numbers[2];
	int host = control_make(&control);

	(void)state;
	for (int i = 0; i < PROTOCOL_LINE_BYTES; i++)
		assert_int_equal(write(host, "x", 1), 1);
	assert_false(control_next(&control, &word, numbers));
	assert_true(control.gone);
	close(host);
	close(control.fd);
}

static void test_control_says_whole_lines(void **state)
{
	struct control control;
	char text[1024], long_text[400];
	struct pollfd wait;
	ssize_t count;
	int host = control_make(&control);

	(void)state;
	memset(long_text, 'y', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	SAY(&control, "failed ", "a\nb\x7f\x1f");
	SAY(&control, "error ", long_text);
	control_poll(&control, &wait);
	assert_int_equal(wait.events, POLLIN);
	count = read(host, text, sizeof(text));
	assert_int_equal(count, 13 + PROTOCOL_LINE_BYTES);
	assert_memory_equal(text, "failed a?b??\nerror y", 20);
	assert_int_equal(text[count - 1], '\n');
	close(host);
	close(control.fd);
}

/* What the port doesn't take now is sent later, in order. */
static void test_control_queues(void **state)
{
	static const char block[4096];
	struct control control;
	char text[4096];
	struct pollfd wait;
	ssize_t count;
	int host = control_make(&control);

	(void)state;
	while (write(control.fd, block, sizeof(block)) > 0)
		;
	SAY(&control, "start");
	SAY(&control, "exit 0");
	control_poll(&control, &wait);
	assert_int_equal(control.out_bytes, 13);
	assert_int_equal(wait.events, POLLIN | POLLOUT);
	set_nonblocking(host);
	do {
		while (read(host, text, sizeof(text)) > 0)
			;
		control_poll(&control, &wait);
		count = read(host, text, sizeof(text));
	} while (count <= 0);
	assert_int_equal(count, 13);
	assert_memory_equal(text, "start\nexit 0\n", 13);
	close(host);
	close(control.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pages_go_together, world_make, world_free),
		cmocka_unit_test_setup_teardown(test_bytes_arrive_in_order, world_make, world_free),
		cmocka_unit_test_setup_teardown(test_slow_reader_holds_the_writer, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(test_nothing_is_read_behind_the_limit, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(test_limit_that_is_reached_already, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(test_end_keeps_what_is_held, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(test_reader_that_goes, world_make, world_free),
		cmocka_unit_test_setup_teardown(test_drop_forgets_what_is_held, world_make,
						world_free),
		cmocka_unit_test(test_control_lines_in_pieces),
		cmocka_unit_test(test_control_line_without_end),
		cmocka_unit_test(test_control_says_whole_lines),
		cmocka_unit_test(test_control_queues),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
