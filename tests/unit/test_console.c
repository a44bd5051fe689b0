/*
 * vmm/console.c on real descriptors: pipes, sockets, files and terminals take the places of stdin
 * and stdout for the time of a test. The test is the main thread and turns the event loop as long
 * as it needs; vCPU threads are played by threads, where there must be some. An alarm ends the
 * program should anything block that must not.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/console.h"

#define MS ((u64)1000000)

enum { TAKEN_MAX = 8192, PIPE_BYTES = 4096 };

struct world {
	struct console console;
	struct loop loop;
	struct loop_timer timer;
	struct loop_wake stop;
	struct error err;
	int saved_in, saved_out; /* the program's own stdin and stdout */

	/* The made-up device. */
	size_t accepts; /* how many bytes it takes at a time */
	u8 taken[TAKEN_MAX];
	size_t takes;
	unsigned drained, quits, refills; /* so often it fills the ring anew when there is room */
	u64 watched;
};

static size_t device_input(void *device, const u8 *bytes, size_t count)
{
	struct world *world = device;
	const size_t taken = count < world->accepts ? count : world->accepts;

	assert_true(world->takes + taken <= TAKEN_MAX);
	memcpy(world->taken + world->takes, bytes, taken);
	world->takes += taken;
	return taken;
}

static void device_drained(void *device)
{
	struct world *world = device;

	world->drained++;
	if (world->drained < world->refills) {
		for (unsigned i = 0; i < CONSOLE_RING_BYTES; i++)
			console_put(&world->console, 'x');
		(void)console_has_room(&world->console);
	}
}

static void quit(void *owner)
{
	struct world *world = owner;

	world->quits++;
}

static void watch(void *owner, u8 byte)
{
	struct world *world = owner;

	(void)byte;
	world->watched++;
}

static void stop(void *owner)
{
	struct world *world = owner;

	world->loop.stop = true;
}

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){.accepts = 16};
	*state = &world;
	alarm(60);
	signal(SIGPIPE, SIG_IGN);
	fflush(stdout);
	world.saved_in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
	world.saved_out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
	console_init(&world.console);
	world.console.device = (struct console_device){device_input, device_drained, &world};
	world.console.quit = quit;
	world.console.watch = watch;
	world.console.owner = &world;
	loop_add_timer(&world.loop, &world.timer, stop, &world);
	return loop_wake_init(&world.stop, &world.loop, stop, &world, &world.err);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	console_close(&world->console);
	loop_wake_close(&world->stop);
	dup2(world->saved_in, STDIN_FILENO);
	dup2(world->saved_out, STDOUT_FILENO);
	close(world->saved_in);
	close(world->saved_out);
	signal(SIGPIPE, SIG_DFL);
	alarm(0);
	return 0;
}

static void run_for(struct world *world, u64 ms)
{
	world->loop.stop = false;
	loop_timer_set(&world->timer, ms * MS);
	assert_int_equal(loop_run(&world->loop, &world->err), 0);
}

/* fd becomes the program's stdin or stdout, and its own number is closed. */
static void replace(int standard, int fd)
{
	assert_true(fd >= 0 && fd != standard);
	assert_int_equal(dup2(fd, standard), standard);
	close(fd);
}

/* stdout is a pipe of the least size; returns its read end, which doesn't block. */
static int output_pipe(void)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) >= 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	replace(STDOUT_FILENO, ends[1]);
	return ends[0];
}

/* stdin is a pipe; returns its write end. */
static int input_pipe(void)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	replace(STDIN_FILENO, ends[0]);
	return ends[1];
}

static void no_input(void)
{
	replace(STDIN_FILENO, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void open_console(struct world *world, enum console_target sink, const char *path)
{
	if (console_open(&world->console, &world->loop, sink, path, &world->err))
		fail_msg("console_open: %s", world->err.text);
}

static u8 pattern(u64 at)
{
	return (u8)(at * 31 + (at >> 8));
}

static void put_pattern(struct world *world, u64 from, u64 count)
{
	for (u64 i = from; i < from + count; i++)
		console_put(&world->console, pattern(i));
}

/* Reads what is there and checks that it goes on with the pattern; returns how much it was. */
static u64 read_pattern(int fd, u64 from)
{
	u8 bytes[PIPE_BYTES];
	ssize_t count;
	u64 all = 0;

	while ((count = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < count; i++)
			assert_int_equal(bytes[i], pattern(from + all + (u64)i));
		all += (u64)count;
	}
	return all;
}

static bool blocks(int fd)
{
	return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* Turns the loop and reads until `count` bytes came or nothing comes any more. */
static u64 pump(struct world *world, int fd, u64 from, u64 count)
{
	u64 got = 0;

	for (unsigned quiet = 0; got < count && quiet < 20;) {
		const u64 more = read_pattern(fd, from + got);

		got += more;
		quiet = more ? 0 : quiet + 1;
		run_for(world, 5);
	}
	return got;
}

static void test_output_to_a_pipe(void **state)
{
	struct world *world = *state;
	const int end = output_pipe();

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	assert_false(world->console.sink.is_socket);
	put_pattern(world, 0, 100);
	run_for(world, 20);
	assert_int_equal(read_pattern(end, 0), 100);
	put_pattern(world, 100, 30000);
	assert_int_equal(pump(world, end, 100, 30000), 30000);
	assert_int_equal(world->console.total, 30100);
	assert_int_equal(world->console.dropped, 0);
	assert_int_equal(world->watched, 30100);
	/* stdout is shared with others, who don't expect it to be non-blocking. */
	assert_true(blocks(STDOUT_FILENO));
	assert_true(blocks(STDIN_FILENO));
	close(end);
}

/* Round and round in the ring, with pieces that end everywhere in it. */
static void test_output_wraps_around_the_ring(void **state)
{
	struct world *world = *state;
	const int end = output_pipe();
	u64 put = 0, got = 0;

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	while (put < 10 * CONSOLE_RING_BYTES) {
		const u64 count = 10007 + put % 9973;

		put_pattern(world, put, count);
		put += count;
		/* Not all of it, so that the ring is never empty for long. */
		while (put - got > CONSOLE_RING_BYTES / 3) {
			got += read_pattern(end, got);
			run_for(world, 1);
		}
	}
	got += pump(world, end, got, put - got);
	assert_int_equal(got, put);
	assert_int_equal(world->console.dropped, 0);
	close(end);
}

static void test_a_line_is_one_write(void **state)
{
	struct world *world = *state;
	int ends[2];
	u8 bytes[200];

	/* A datagram socket gives each write as it was. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	replace(STDOUT_FILENO, ends[1]);
	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	assert_true(world->console.sink.is_socket);
	put_pattern(world, 0, 80);
	run_for(world, 20);
	assert_int_equal(recv(ends[0], bytes, sizeof(bytes), MSG_DONTWAIT), 80);
	assert_int_equal(recv(ends[0], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	close(ends[0]);
}

static void test_a_reader_that_stops(void **state)
{
	struct world *world = *state;
	const int end = output_pipe();
	u64 got = 0;

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	put_pattern(world, 0, CONSOLE_RING_BYTES / 2);
	assert_true(console_has_room(&world->console));
	put_pattern(world, CONSOLE_RING_BYTES / 2, 1);
	assert_false(console_has_room(&world->console));
	put_pattern(world, CONSOLE_RING_BYTES / 2 + 1, CONSOLE_RING_BYTES / 2 - 1);
	assert_int_equal(world->console.dropped, 0);
	put_pattern(world, CONSOLE_RING_BYTES, 123);
	assert_int_equal(world->console.dropped, 123);
	assert_int_equal(world->console.total, CONSOLE_RING_BYTES + 123);
	run_for(world, 20);
	assert_int_equal(world->console.used, CONSOLE_RING_BYTES - PIPE_BYTES);
	assert_int_equal(world->drained, 0);
	/* It reads again: the device is told once, when there is room for more than a few bytes. */
	while (world->drained == 0) {
		const u64 before = world->console.used;

		got += read_pattern(end, got);
		run_for(world, 5);
		assert_true(world->console.used < before);
	}
	assert_true(world->console.used <= CONSOLE_RING_BYTES / 4);
	assert_true(console_has_room(&world->console));
	got += pump(world, end, got, CONSOLE_RING_BYTES - got);
	assert_int_equal(got, CONSOLE_RING_BYTES);
	assert_int_equal(world->drained, 1);
	close(end);
}

/* A full pipe must cost nothing: the loop waits for POLLOUT, it doesn't spin. */
static void test_a_full_pipe_does_not_keep_the_loop_busy(void **state)
{
	struct world *world = *state;
	const int end = output_pipe();
	struct timespec before, after;

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	put_pattern(world, 0, CONSOLE_RING_BYTES);
	run_for(world, 10);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	run_for(world, 300);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 <
		    100);
	close(end);
}

static void test_a_reader_that_goes_away(void **state)
{
	struct world *world = *state;
	const int end = output_pipe();

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	put_pattern(world, 0, CONSOLE_RING_BYTES);
	assert_false(console_has_room(&world->console));
	run_for(world, 10);
	close(end);
	run_for(world, 20);
	assert_int_equal(world->console.out.fd, -1);
	assert_int_equal(world->drained, 1); /* the guest runs on */
	assert_true(console_has_room(&world->console));
	assert_int_equal(world->console.dropped, CONSOLE_RING_BYTES - PIPE_BYTES);
	put_pattern(world, 0, 100000);
	run_for(world, 10);
	assert_int_equal(world->console.dropped, CONSOLE_RING_BYTES - PIPE_BYTES + 100000);
	assert_true(console_has_room(&world->console));
	console_drain(&world->console, -1, 0);
	console_drain(&world->console, STDIN_FILENO, 0);
	assert_true(fcntl(STDOUT_FILENO, F_GETFD) >= 0); /* it wasn't ours to close */
}

static void test_a_full_disk(void **state)
{
	struct world *world = *state;

	open_console(world, CONSOLE_FILE, "/dev/full");
	put_pattern(world, 0, 10);
	run_for(world, 20);
	assert_int_equal(world->console.out.fd, -1);
	assert_int_equal(world->console.dropped, 10);
	assert_true(console_has_room(&world->console));
}

static void test_sockets(void **state)
{
	struct world *world = *state;
	const int little = 4096;
	int ends[2];
	u64 got;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	/* Much less room than one write has bytes. */
	assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
	replace(STDOUT_FILENO, ends[1]);
	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	put_pattern(world, 0, CONSOLE_RING_BYTES);
	got = pump(world, ends[0], 0, CONSOLE_RING_BYTES);
	assert_int_equal(got, CONSOLE_RING_BYTES);
	assert_true(blocks(STDOUT_FILENO));
	/* The peer goes away, and no SIGPIPE comes even where it isn't ignored. */
	signal(SIGPIPE, SIG_DFL);
	close(ends[0]);
	put_pattern(world, got, 100);
	run_for(world, 20);
	assert_int_equal(world->console.out.fd, -1);
}

static void test_terminals(void **state)
{
	struct world *world = *state;
	struct termios raw;
	int master, slave;
	u64 got;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	replace(STDOUT_FILENO, slave);
	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	assert_false(world->console.sink.is_socket);
	put_pattern(world, 0, 50000);
	got = pump(world, master, 0, 50000);
	assert_int_equal(got, 50000);
	assert_true(blocks(STDOUT_FILENO));
	close(master);
}

/* Where a pipe can't be opened anew, it is written in pieces that poll has promised room for. */
static void test_small_writes(void **state)
{
	struct world *world = *state;
	const int end = output_pipe();

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	close(world->console.out.fd);
	world->console.out.fd = world->console.sink.fd = STDOUT_FILENO;
	world->console.sink.owned = false;
	world->console.sink.polls = true;
	world->console.sink.max_bytes = PIPE_BUF;
	put_pattern(world, 0, CONSOLE_RING_BYTES);
	run_for(world, 20); /* the alarm ends it if a write blocks */
	assert_int_equal(pump(world, end, 0, CONSOLE_RING_BYTES), CONSOLE_RING_BYTES);
	assert_true(blocks(STDOUT_FILENO));
	put_pattern(world, CONSOLE_RING_BYTES, 10000);
	console_drain(&world->console, -1, 0);
	assert_int_equal(read_pattern(end, CONSOLE_RING_BYTES), PIPE_BUF);
	console_drain(&world->console, -1, 0);
	console_drain(&world->console, -1, 0);
	close(end);
}

static void test_files(void **state)
{
	struct world *world = *state;
	char path[] = "/tmp/bantam-test-XXXXXX", content[32] = "";
	const int fd = mkstemp(path);

	assert_int_equal(write(fd, "what was there before", 21), 21);
	open_console(world, CONSOLE_FILE, path);
	assert_int_equal(world->console.in.fd, -1); /* stdin is nobody's */
	for (const char *text = "hello\n"; *text; text++)
		console_put(&world->console, (u8)*text);
	run_for(world, 20);
	assert_int_equal(pread(fd, content, sizeof(content) - 1, 0), 6);
	assert_string_equal(content, "hello\n");
	close(fd);
	unlink(path);
}

static void test_a_file_for_stdout(void **state)
{
	struct world *world = *state;
	const int fd = memfd_create("out", MFD_CLOEXEC);
	char content[16] = "";

	assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	console_put(&world->console, 'x');
	run_for(world, 20);
	assert_int_equal(pread(fd, content, sizeof(content), 0), 1);
	assert_true(blocks(STDOUT_FILENO));
	assert_false(world->console.sink.owned);
	close(fd);
}

static void test_files_that_cannot_be_opened(void **state)
{
	struct world *world = *state;
	char directory[] = "/tmp/bantam-test-XXXXXX", path[64];

	assert_non_null(mkdtemp(directory));
	assert_int_equal(
		console_open(&world->console, &world->loop, CONSOLE_FILE, directory, &world->err),
		-1);
	assert_says(world->err.text, directory);
	assert_says(world->err.text, strerror(EISDIR));
	snprintf(path, sizeof(path), "%s/x/y", directory);
	assert_int_equal(
		console_open(&world->console, &world->loop, CONSOLE_FILE, path, &world->err), -1);
	assert_says(world->err.text, strerror(ENOENT));
	snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(
		console_open(&world->console, &world->loop, CONSOLE_FILE, path, &world->err), -1);
	assert_says(world->err.text, "a FIFO needs its reader first");
	unlink(path);
	rmdir(directory);
}

static void test_no_console(void **state)
{
	struct world *world = *state;

	put_pattern(world, 0, 5); /* not yet open: dropped, and nothing rings */
	open_console(world, CONSOLE_OFF, NULL);
	put_pattern(world, 5, 100000);
	run_for(world, 5);
	assert_true(console_has_room(&world->console));
	assert_int_equal(world->console.total, 100005);
	assert_int_equal(world->console.dropped, 100005);
	assert_int_equal(world->watched, 100005);
	console_want_input(&world->console);
	run_for(world, 5);
	assert_int_equal(world->takes, 0);
	console_drain(&world->console, -1, 0);
}

/* A full console that is filled again so often, whose reader takes all. */
static void open_flooded(struct world *world, unsigned refills)
{
	replace(STDOUT_FILENO, open("/dev/null", O_WRONLY | O_CLOEXEC));
	open_console(world, CONSOLE_STDIO, NULL);
	world->refills = refills;
	for (unsigned i = 0; i < CONSOLE_RING_BYTES; i++)
		console_put(&world->console, 'x');
	assert_false(console_has_room(&world->console));
}

/* A guest that writes as fast as it is written down: the main thread has time for its timers. */
static void test_a_flood(void **state)
{
	struct world *world = *state;

	open_flooded(world, 2000);
	run_for(world, 5);
	assert_in_range(world->drained, 1, world->refills - 1);
	world->refills = 0;
}

static void test_drain_without_waiting(void **state)
{
	struct world *world = *state;
	const int end = output_pipe();

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	console_drain(&world->console, -1, 0); /* nothing to do */
	put_pattern(world, 0, 1000);
	console_drain(&world->console, -1, 0);
	assert_int_equal(read_pattern(end, 0), 1000);
	put_pattern(world, 1000, 10000);
	console_drain(&world->console, -1, 0); /* what fits, and no wait for the rest */
	assert_int_equal(read_pattern(end, 1000), PIPE_BYTES);
	console_drain(&world->console, -1, 0);
	assert_int_equal(read_pattern(end, 1000 + PIPE_BYTES), PIPE_BYTES);
	close(end);
}

static void test_drain_is_interrupted(void **state)
{
	struct world *world = *state;
	const int end = output_pipe(), bell = eventfd(1, EFD_CLOEXEC);

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	put_pattern(world, 0, CONSOLE_RING_BYTES);
	console_drain(&world->console, bell, 0);
	assert_int_equal(world->console.used, CONSOLE_RING_BYTES - PIPE_BYTES);
	close(bell);
	close(end);
}

/* A reader that is slow, in a thread of its own. */
struct reader {
	int fd;
	u64 expects, got;
	bool right;
	unsigned pause_us;
};

static void *read_slowly(void *owner)
{
	struct reader *reader = owner;
	u8 bytes[3000];

	reader->right = true;
	while (reader->got < reader->expects) {
		const ssize_t count = read(reader->fd, bytes, sizeof(bytes));

		if (count <= 0)
			break;
		for (ssize_t i = 0; i < count; i++)
			reader->right &= bytes[i] == pattern(reader->got + (u64)i);
		reader->got += (u64)count;
		usleep(reader->pause_us);
	}
	return NULL;
}

static pthread_t start_reader(struct reader *reader, int fd, u64 expects, unsigned pause_us)
{
	pthread_t thread;

	*reader = (struct reader){.fd = fd, .expects = expects, .pause_us = pause_us};
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, reader), 0);
	return thread;
}

static void test_drain_waits_for_a_slow_reader(void **state)
{
	struct world *world = *state;
	const int end = output_pipe(), bell = eventfd(0, EFD_CLOEXEC);
	struct reader reader;
	pthread_t thread;

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	put_pattern(world, 0, CONSOLE_RING_BYTES);
	thread = start_reader(&reader, end, CONSOLE_RING_BYTES, 1000);
	console_drain(&world->console, bell, 0);
	assert_int_equal(world->console.used, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.got, CONSOLE_RING_BYTES);
	assert_true(reader.right);
	close(bell);
	close(end);
}

static void test_drain_of_small_writes(void **state)
{
	struct world *world = *state;
	const int end = output_pipe(), bell = eventfd(0, EFD_CLOEXEC);
	struct reader reader;
	pthread_t thread;

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	world->console.sink.polls = true;
	world->console.sink.max_bytes = PIPE_BUF;
	put_pattern(world, 0, CONSOLE_RING_BYTES);
	thread = start_reader(&reader, end, CONSOLE_RING_BYTES, 500);
	console_drain(&world->console, bell, 0);
	assert_int_equal(world->console.used, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(reader.right && reader.got == CONSOLE_RING_BYTES);
	close(bell);
	close(end);
}

static int bytes_waiting(int fd)
{
	int count = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &count), 0);
	return count;
}

static void write_text(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* What the device has taken so far, as a text. */
static void assert_taken(struct world *world, const char *text)
{
	assert_int_equal(world->takes, strlen(text));
	assert_memory_equal(world->taken, text, world->takes);
}

static void test_input_is_read_when_it_is_wanted(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	write_text(end, "hello");
	run_for(world, 10);
	assert_int_equal(world->takes, 0);
	assert_int_equal(bytes_waiting(STDIN_FILENO), 5); /* somebody else could still have it */
	console_want_input(&world->console);
	run_for(world, 10);
	assert_taken(world, "hello");
	assert_int_equal(bytes_waiting(STDIN_FILENO), 0);
	close(end);
}

static void test_input_is_held_and_all_of_it_arrives(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();
	u8 all[5000];

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	for (u64 i = 0; i < sizeof(all); i++)
		all[i] = pattern(i);
	assert_int_equal(write(end, all, sizeof(all)), sizeof(all));
	close(end);
	world->accepts = 0;
	console_want_input(&world->console);
	run_for(world, 10);
	assert_int_equal(world->takes, 0);
	assert_true(world->console.held_used <= CONSOLE_HELD_BYTES);
	world->accepts = 16;
	for (unsigned i = 0; i < 1000 && world->takes < sizeof(all); i++) {
		console_want_input(&world->console);
		run_for(world, 1);
	}
	assert_int_equal(world->takes, sizeof(all));
	assert_memory_equal(world->taken, all, sizeof(all));
}

static void test_the_end_of_input(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();
	struct timespec before, after;

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	world->accepts = 3;
	console_want_input(&world->console);
	run_for(world, 10);
	write_text(end, "last words");
	close(end);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	run_for(world, 200);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 <
		    100); /* the hang-up doesn't make it spin */
	for (unsigned i = 0; i < 10; i++) {
		console_want_input(&world->console);
		run_for(world, 2);
	}
	assert_taken(world, "last words");
	/* Output goes on without. */
	put_pattern(world, 0, 10);
	run_for(world, 10);
	assert_int_equal(world->console.used, 0);
}

static void test_input_from_a_regular_file(void **state)
{
	struct world *world = *state;
	const int fd = memfd_create("in", MFD_CLOEXEC);

	write_text(fd, "from a file");
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	replace(STDIN_FILENO, fd);
	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	for (unsigned i = 0; i < 5; i++) {
		console_want_input(&world->console);
		run_for(world, 2);
	}
	assert_taken(world, "from a file");
}

static void test_stdin_is_the_guests_with_stdio_alone(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();

	open_console(world, CONSOLE_STDERR, NULL);
	write_text(end, "not for the guest");
	console_want_input(&world->console);
	run_for(world, 10);
	assert_int_equal(world->takes, 0);
	assert_int_equal(bytes_waiting(STDIN_FILENO), 17);
	close(end);
}

static void test_keys_of_a_raw_terminal(void **state)
{
	static const struct {
		const char *typed, *taken;
		unsigned quits;
	} keys[] = {
		{"abc", "abc", 0},
		{"\x01x", "", 1},
		{"\x01X", "", 1},
		{"a\x01xb", "ab", 1},
		{"\x01"
		 "a",
		 "\x01", 0},
		{"\x01\x01", "\x01", 0},
		{"\x01\x01x", "\x01x", 0},
		{"\x01qz", "z", 0},
		{"x\x01", "x", 0},
		{"X", "X", 0},
		{"\x03\x1a\x1c", "\x03\x1a\x1c", 0},
	};
	struct world *world = *state;
	const int end = input_pipe();

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	console_take_terminal(&world->console, true);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		world->takes = world->quits = 0;
		world->console.escape = false;
		write_text(end, keys[i].typed);
		run_for(world, 5);
		assert_taken(world, keys[i].taken);
		assert_int_equal(world->quits, keys[i].quits);
	}
	/* The two keys needn't come together. */
	write_text(end, "\x01");
	run_for(world, 5);
	write_text(end, "x");
	run_for(world, 5);
	assert_int_equal(world->quits, 1);
	close(end);
}

static void test_the_escape_key_is_one_of_terminals_only(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	console_want_input(&world->console);
	write_text(end, "a\x01x\x01\x01");
	run_for(world, 10);
	assert_taken(world, "a\x01x\x01\x01");
	assert_int_equal(world->quits, 0);
	close(end);
}

/* The guest takes nothing; too much is typed; Ctrl-A x must still be heard. */
static void test_the_escape_key_works_with_a_deaf_guest(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	console_take_terminal(&world->console, true);
	world->accepts = 0;
	for (unsigned i = 0; i < 500; i++)
		write_text(end, "0123456789");
	run_for(world, 700); /* the console's patience */
	assert_int_equal(bytes_waiting(STDIN_FILENO), 0);
	assert_int_equal(world->console.held_used, CONSOLE_HELD_BYTES);
	write_text(end, "\x01x");
	run_for(world, 700);
	assert_int_equal(world->quits, 1);
	/* What could be held is the first of what was typed. */
	world->accepts = CONSOLE_HELD_BYTES;
	console_want_input(&world->console);
	run_for(world, 5);
	assert_int_equal(world->takes, CONSOLE_HELD_BYTES);
	for (size_t i = 0; i < world->takes; i++)
		assert_int_equal(world->taken[i], '0' + i % 10);
	close(end);
}

/* In the background the terminal isn't read, even if the guest wants input. */
static void test_a_terminal_in_the_background(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	console_take_terminal(&world->console, false);
	write_text(end, "abc");
	console_want_input(&world->console);
	run_for(world, 10);
	assert_int_equal(world->takes, 0);
	assert_int_equal(bytes_waiting(STDIN_FILENO), 3);
	console_take_terminal(&world->console, true);
	run_for(world, 10);
	assert_taken(world, "abc");
	close(end);
}

/* When the guest has ended, and somebody writes on without an end: that is over after a while, too. */
static void test_a_flood_at_the_end(void **state)
{
	struct world *world = *state;

	open_flooded(world, 5000);
	console_drain(&world->console, -1, 0);
	assert_in_range(world->drained, MIB / CONSOLE_RING_BYTES, 100);
	assert_true(world->console.dropped > 0);
}

/* A vCPU thread that sends as an interrupt-driven driver does, against a slow reader. */
enum { STREAM_BYTES = 400000 };

static void *send_stream(void *owner)
{
	struct world *world = owner;

	for (u64 i = 0; i < STREAM_BYTES; i++) {
		while (i % 16 == 0 && !console_has_room(&world->console))
			sched_yield();
		console_put(&world->console, pattern(i));
	}
	loop_wake_signal(&world->stop);
	return NULL;
}

static void test_a_thread_sends_while_the_loop_runs(void **state)
{
	struct world *world = *state;
	const int end = output_pipe(), bell = eventfd(0, EFD_CLOEXEC);
	pthread_t sending, reading;
	struct reader reader;

	no_input();
	open_console(world, CONSOLE_STDIO, NULL);
	reading = start_reader(&reader, end, STREAM_BYTES, 10);
	assert_int_equal(pthread_create(&sending, NULL, send_stream, world), 0);
	assert_int_equal(loop_run(&world->loop, &world->err),
			 0); /* the alarm ends it if a bell is lost */
	assert_int_equal(pthread_join(sending, NULL), 0);
	console_drain(&world->console, bell, 0);
	assert_int_equal(pthread_join(reading, NULL), 0);
	assert_int_equal(reader.got, STREAM_BYTES);
	assert_true(reader.right);
	assert_int_equal(world->console.dropped, 0);
	assert_int_equal(world->console.total, STREAM_BYTES);
	close(bell);
	close(end);
}

/* A vCPU thread asks for input again and again, while stdin has a little and then ends. */
static void *ask_often(void *owner)
{
	struct world *world = owner;

	for (unsigned i = 0; i < 20000; i++)
		console_want_input(&world->console);
	loop_wake_signal(&world->stop);
	return NULL;
}

static void test_input_ends_while_a_thread_asks_for_it(void **state)
{
	struct world *world = *state;
	const int end = input_pipe();
	pthread_t asking;

	(void)output_pipe();
	open_console(world, CONSOLE_STDIO, NULL);
	write_text(end, "the last bytes of stdin, which is more than sixteen");
	close(end);
	assert_int_equal(pthread_create(&asking, NULL, ask_often, world), 0);
	assert_int_equal(loop_run(&world->loop, &world->err), 0);
	assert_int_equal(pthread_join(asking, NULL), 0);
	for (unsigned i = 0; i < 10; i++) {
		console_want_input(&world->console);
		run_for(world, 1);
	}
	assert_taken(world, "the last bytes of stdin, which is more than sixteen");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_output_to_a_pipe),
		TEST(test_output_wraps_around_the_ring),
		TEST(test_a_line_is_one_write),
		TEST(test_a_reader_that_stops),
		TEST(test_a_full_pipe_does_not_keep_the_loop_busy),
		TEST(test_a_reader_that_goes_away),
		TEST(test_a_full_disk),
		TEST(test_sockets),
		TEST(test_terminals),
		TEST(test_small_writes),
		TEST(test_files),
		TEST(test_a_file_for_stdout),
		TEST(test_files_that_cannot_be_opened),
		TEST(test_no_console),
		TEST(test_a_flood),
		TEST(test_drain_without_waiting),
		TEST(test_drain_is_interrupted),
		TEST(test_drain_waits_for_a_slow_reader),
		TEST(test_drain_of_small_writes),
		TEST(test_input_is_read_when_it_is_wanted),
		TEST(test_input_is_held_and_all_of_it_arrives),
		TEST(test_the_end_of_input),
		TEST(test_input_from_a_regular_file),
		TEST(test_stdin_is_the_guests_with_stdio_alone),
		TEST(test_keys_of_a_raw_terminal),
		TEST(test_the_escape_key_is_one_of_terminals_only),
		TEST(test_the_escape_key_works_with_a_deaf_guest),
		TEST(test_a_terminal_in_the_background),
		TEST(test_a_flood_at_the_end),
		TEST(test_a_thread_sends_while_the_loop_runs),
		TEST(test_input_ends_while_a_thread_asks_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
