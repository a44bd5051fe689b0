/*
 * vmm/trace.c: lists of kinds, the grammar of a line, buffers that fill, threads, and files that
 * can't be written or can't be written any further. What goes to stderr is caught in a file.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/support.h"
#include "vmm/trace.h"

#define MS ((u64)1000000)

enum { LINE_MAX_BYTES = 256, THREAD_LINES = 2000, TEXT_MAX = 1 << 20 };

struct world {
	struct trace trace;
	struct loop loop;
	struct error err;
	struct temp_file file;
	int saved_stderr, stderr_file;
	char text[TEXT_MAX]; /* what was read last */
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	temp_file_make(&world->file, "old content\n", 12);
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

static char *text_of(struct world *world, int fd)
{
	const ssize_t count = pread(fd, world->text, TEXT_MAX - 1, 0);

	assert_true(count >= 0);
	world->text[count] = '\0';
	return world->text;
}

static unsigned count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void open_file(struct world *world, u32 events, const char *path)
{
	if (trace_open(&world->trace, events, path, clock_now_ns(), &world->loop, &world->err))
		fail_msg("%s", world->err.text);
}

/* ---- lists of kinds ---- */

static void assert_parses(const char *list, u32 events)
{
	struct error err = {.text = ""};
	u32 parsed = 0x1234;

	assert_int_equal(trace_parse(list, &parsed, &err), 0);
	assert_int_equal(parsed, events);
}

static void test_lists(void **state)
{
	(void)state;
	assert_parses("boot", TRACE_BOOT);
	assert_parses("exits", TRACE_EXITS);
	assert_parses("pio", TRACE_PIO);
	assert_parses("mmio", TRACE_MMIO);
	assert_parses("msr", TRACE_MSR);
	assert_parses("irq", TRACE_IRQ);
	assert_parses("virtio", TRACE_VIRTIO);
	assert_parses("fs", TRACE_FS);
	assert_parses("all", TRACE_ALL);
	assert_parses("pio,irq", TRACE_PIO | TRACE_IRQ);
	assert_parses("irq,pio,irq,irq", TRACE_PIO | TRACE_IRQ);
	assert_parses("boot,exits,pio,mmio,msr,irq,virtio,fs", TRACE_ALL);
	assert_parses("msr,all", TRACE_ALL);
}

static void test_wrong_lists_name_the_right_ones(void **state)
{
	static const char *const wrong[] = {"",          ",",    "pio,",      ",pio", "pio,,irq",
					    "PIO",       "pi",   "pioo",      "pio ", "bogus",
					    "pio,bogus", "none", "all,bogus", "io",   "mmiopio"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct error err = {.text = ""};
		u32 events;

		assert_int_equal(trace_parse(wrong[i], &events, &err), -1);
		assert_says(err.text, "there are " TRACE_NAMES " and all");
		if (strstr(wrong[i], "bogus"))
			assert_says(err.text, "'bogus'");
	}
}

/* ---- lines ---- */

static void test_off_is_off(void **state)
{
	struct world *world = *state;

	open_file(world, 0, world->file.path);
	for (unsigned bit = 0; bit < 6; bit++)
		assert_false(trace_on(&world->trace, 1U << bit));
	trace_line(&world->trace, TRACE_PIO, "nobody wants this");
	assert_null(world->loop.timers);
	trace_close(&world->trace);
	/* Not even opened. */
	assert_string_equal(text_of(world, world->file.fd), "old content\n");
}

static void test_a_line(void **state)
{
	static const struct {
		u32 event;
		const char *name;
	} kinds[] = {{TRACE_BOOT, "boot"}, {TRACE_EXITS, "exits"}, {TRACE_PIO, "pio"},
		     {TRACE_MMIO, "mmio"}, {TRACE_MSR, "msr"},     {TRACE_IRQ, "irq"},
		     {TRACE_FS, "fs"}};
	struct world *world = *state;
	const char *at;

	open_file(world, TRACE_ALL, world->file.path);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		trace_line(&world->trace, kinds[i].event, "%s number %d", "event", (int)i);
	trace_close(&world->trace);
	at = text_of(world, world->file.fd);
	assert_int_equal(count_lines(at), ARRAY_LEN(kinds));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		unsigned long long ms;
		char kind[8] = "";
		unsigned us;
		int used = 0;

		assert_int_equal(sscanf(at, "main +%llu.%3ums %7s event%n", &ms, &us, kind, &used),
				 3);
		assert_string_equal(kind, kinds[i].name);
		assert_true(ms < 1000 && us < 1000);
		at += used;
		assert_memory_equal(at, " number ", 8);
		assert_int_equal(at[8], '0' + (int)i);
		assert_int_equal(at[9], '\n');
		at += 10;
	}
}

static void test_time_counts_from_the_start(void **state)
{
	struct world *world = *state;

	assert_int_equal(trace_open(&world->trace, TRACE_PIO, world->file.path,
				    clock_now_ns() - 3600000 * MS - 1 * MS / 2, &world->loop,
				    &world->err),
			 0);
	trace_line(&world->trace, TRACE_PIO, "an hour later");
	trace_close(&world->trace);
	assert_memory_equal(text_of(world, world->file.fd), "main +3600", 10);
}

static void test_control_characters_and_long_lines(void **state)
{
	struct world *world = *state;
	char longer[1000], *text;

	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	open_file(world, TRACE_PIO, world->file.path);
	trace_line(&world->trace, TRACE_PIO, "a\x1b[2J\n\r\tb %s", "\x9f\xc2\x9b");
	trace_line(&world->trace, TRACE_PIO, "%s", longer);
	trace_line(&world->trace, TRACE_PIO, "%s", "");
	trace_close(&world->trace);
	text = text_of(world, world->file.fd);
	assert_int_equal(count_lines(text), 3);
	assert_says(text, " pio a?[2J???b ");
	assert_says(text, "???\n");
	text = strchr(text, '\n') + 1;
	assert_true(strcspn(text, "\n") < LINE_MAX_BYTES);
	assert_true(strcspn(text, "\n") > LINE_MAX_BYTES - 8);
	assert_int_equal(text[strcspn(text, "\n") - 1], 'y');
}

/* ---- the other formats ---- */

/* Writes one of each to a file whose name ends so, and returns what is in it. */
static const char *in_format(struct world *world, const char *end)
{
	const u64 start_ns = clock_now_ns() - 5 * MS;
	char path[64], longer[1000];
	int fd;

	memset(longer, '"', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	snprintf(path, sizeof(path), "/tmp/bantam-trace-%d%s", (int)getpid(), end);
	assert_int_equal(
		trace_open(&world->trace, TRACE_ALL, path, start_ns, &world->loop, &world->err), 0);
	trace_line(&world->trace, TRACE_PIO, "a \"b\" \\ \x1b\xff<");
	trace_span(&world->trace, TRACE_EXITS, start_ns + MS, "IO");
	trace_span(&world->trace, TRACE_VIRTIO, start_ns + MS, "virtio1/q0 chain 3");
	trace_line(&world->trace, TRACE_PIO, "%s", longer);
	trace_close(&world->trace);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	text_of(world, fd);
	close(fd);
	unlink(path);
	return world->text;
}

static void test_a_span_as_text(void **state)
{
	const char *text = in_format(*state, ".txt");
	unsigned us = 0;

	assert_int_equal(count_lines(text), 4);
	assert_int_equal(sscanf(strstr(text, "exits"), "exits IO, %u.%*u us\n", &us), 1);
	assert_true(us >= 4000 && us < 10000000);
}

static void test_json_lines(void **state)
{
	const char *text = in_format(*state, ".jsonl");

	assert_int_equal(count_lines(text), 4);
	assert_memory_equal(text, "{\"us\": ", 7);
	assert_says(text, "\"took_us\": 0.000, \"thread\": \"main\", \"kind\": \"pio\", "
			  "\"text\": \"a \\\"b\\\" \\\\ \\u001b\\u00ff\\u003c\"}\n");
	assert_says(text, "{\"us\": 1000.000, \"took_us\": ");
	assert_says(text, "\"kind\": \"exits\", \"text\": \"IO\"}\n");
	assert_says(text, "\\\"\\\"\"}\n");
}

static void test_chrome(void **state)
{
	const char *text = in_format(*state, ".json");

	assert_memory_equal(text, "[{\"ph\": \"M\"", 11);
	assert_says(text, "\"name\": \"thread_name\", \"pid\": 1, \"tid\": 1, "
			  "\"args\": {\"name\": \"main\"}}\n");
	assert_says(text, ",{\"ph\": \"X\", \"cat\": \"exits\", \"pid\": 1, \"tid\": 1, "
			  "\"ts\": 1000.000, \"dur\": ");
	assert_says(text, ",{\"ph\": \"b\", \"cat\": \"virtio\", \"pid\": 1, \"tid\": 1, "
			  "\"ts\": 1000.000, \"id\": 1, \"name\": \"virtio1/q0\", "
			  "\"args\": {\"text\": \"virtio1/q0 chain 3\"}}\n,{\"ph\": \"e\"");
	assert_says(text, ",{\"ph\": \"i\", \"s\": \"t\", \"cat\": \"pio\"");
	assert_says(text, "\\\"\\\"\"}\n]\n");
	assert_int_equal(count_lines(text), 8);
}

static void test_a_thread_without_a_name(void **state)
{
	struct world *world = *state;

	open_file(world, TRACE_PIO, world->file.path);
	trace_adopt(NULL);
	trace_line(&world->trace, TRACE_PIO, "lost");
	trace_close(&world->trace);
	assert_string_equal(text_of(world, world->file.fd), "");
}

/* ---- buffers ---- */

static void test_a_full_buffer_is_written_at_once(void **state)
{
	struct world *world = *state;
	unsigned lines = 0;

	open_file(world, TRACE_EXITS, world->file.path);
	trace_line(&world->trace, TRACE_EXITS, "line %u", lines++);
	assert_string_equal(text_of(world, world->file.fd), "");
	while (text_of(world, world->file.fd)[0] == '\0' && lines < 10000)
		trace_line(&world->trace, TRACE_EXITS, "line %u", lines++);
	assert_true(strlen(world->text) > TRACE_BUFFER_BYTES - LINE_MAX_BYTES);
	assert_true(strlen(world->text) <= TRACE_BUFFER_BYTES);
	/* Whole lines only. */
	assert_int_equal(world->text[strlen(world->text) - 1], '\n');
	trace_close(&world->trace);
	assert_int_equal(count_lines(text_of(world, world->file.fd)), lines);
}

static void stop_fired(void *owner)
{
	((struct loop *)owner)->stop = true;
}

static void test_the_loop_writes_out_now_and_then(void **state)
{
	struct world *world = *state;
	struct loop_timer stop;

	open_file(world, TRACE_IRQ, world->file.path);
	loop_add_timer(&world->loop, &stop, stop_fired, &world->loop);
	for (unsigned round = 1; round <= 2; round++) {
		trace_line(&world->trace, TRACE_IRQ, "round %u", round);
		world->loop.stop = false;
		loop_timer_set(&stop, 450 * MS);
		assert_int_equal(loop_run(&world->loop, &world->err), 0);
		assert_int_equal(count_lines(text_of(world, world->file.fd)), round);
	}
	trace_close(&world->trace);
	assert_int_equal(count_lines(text_of(world, world->file.fd)), 2);
}

/* ---- threads ---- */

struct writer {
	struct trace *trace;
	const char *who;
	pthread_t thread;
};

static void *write_lines(void *argument)
{
	struct writer *writer = argument;

	trace_adopt(writer->who);
	for (unsigned i = 0; i < THREAD_LINES; i++)
		trace_line(writer->trace, TRACE_PIO, "line %u", i);
	return NULL;
}

static void start_writer(struct world *world, struct writer *writer, const char *who)
{
	writer->trace = &world->trace;
	writer->who = who;
}

/* All lines of one thread, in order; and the times of all threads are. */
static void assert_in_order(const char *text, const char *who)
{
	unsigned long long ms, us, last = 0;
	unsigned expected = 0, number;
	char name[16];

	for (; *text; text = strchr(text, '\n') + 1) {
		assert_int_equal(
			sscanf(text, "%15s +%llu.%3llums pio line %u\n", name, &ms, &us, &number),
			4);
		assert_true(ms * 1000 + us >= last);
		last = ms * 1000 + us;
		if (strcmp(name, who) == 0)
			assert_int_equal(number, expected++);
	}
	assert_int_equal(expected, THREAD_LINES);
}

static void test_threads(void **state)
{
	struct world *world = *state;
	struct loop_timer stop;
	struct writer writer[2];

	open_file(world, TRACE_PIO, world->file.path);
	start_writer(world, &writer[0], "cpu0");
	start_writer(world, &writer[1], "cpu253");
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writer[i].thread, NULL, write_lines, &writer[i]),
				 0);
	loop_add_timer(&world->loop, &stop, stop_fired, &world->loop);
	loop_timer_set(&stop, 250 * MS);
	assert_int_equal(loop_run(&world->loop, &world->err),
			 0); /* writes out under the writers' hands, maybe */
	for (unsigned i = 0; i < THREAD_LINES; i++)
		trace_line(&world->trace, TRACE_PIO, "line %u", i);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(writer[i].thread, NULL);
	trace_close(&world->trace);
	text_of(world, world->file.fd);
	assert_int_equal(count_lines(world->text), 3 * THREAD_LINES);
	assert_in_order(world->text, "cpu0");
	assert_in_order(world->text, "cpu253");
	assert_in_order(world->text, "main");
}

/* ---- files that can't be written ---- */

static void test_paths_that_cannot_be_opened(void **state)
{
	static const char *const paths[] = {"/nowhere/at/all", "/proc/self", "/dev/null/x"};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(trace_open(&world->trace, TRACE_ALL, paths[i], 0, &world->loop,
					    &world->err),
				 -1);
		assert_says(world->err.text, paths[i]);
		trace_close(&world->trace);
	}
}

static void test_without_a_path_it_is_stderr(void **state)
{
	struct world *world = *state;

	open_file(world, TRACE_MMIO, NULL);
	trace_line(&world->trace, TRACE_MMIO, "here");
	trace_close(&world->trace);
	assert_says(text_of(world, world->stderr_file), "ms mmio here\n");
	/* It isn't the trace's to close. */
	assert_true(fcntl(STDERR_FILENO, F_GETFD) >= 0);
}

/* Writes much more than the buffer holds, from two threads. */
static void write_much(struct world *world, const char *path)
{
	struct writer writer;

	open_file(world, TRACE_PIO, path);
	start_writer(world, &writer, "cpu0");
	assert_int_equal(pthread_create(&writer.thread, NULL, write_lines, &writer), 0);
	for (unsigned i = 0; i < THREAD_LINES; i++)
		trace_line(&world->trace, TRACE_PIO, "line %u", i);
	pthread_join(writer.thread, NULL);
	assert_true(atomic_load(&world->trace.broken));
	trace_close(&world->trace);
}

static void test_a_full_disk_is_told_once(void **state)
{
	struct world *world = *state;

	write_much(world, "/dev/full");
	assert_string_equal(text_of(world, world->stderr_file),
			    "bantam: the trace ends here: No space left on device; the guest runs "
			    "on\n");
}

static void test_a_reader_that_left_is_told_once(void **state)
{
	struct world *world = *state;
	char path[32];
	int ends[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
	open_file(world, TRACE_PIO, path);
	close(ends[0]);
	for (unsigned i = 0; i < THREAD_LINES; i++)
		trace_line(&world->trace, TRACE_PIO, "line %u", i);
	trace_close(&world->trace);
	close(ends[1]);
	text_of(world, world->stderr_file);
	assert_int_equal(count_lines(world->text), 1);
	assert_says(world->text, "Broken pipe");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lists),
		TEST(test_wrong_lists_name_the_right_ones),
		TEST(test_off_is_off),
		TEST(test_a_line),
		TEST(test_time_counts_from_the_start),
		TEST(test_control_characters_and_long_lines),
		TEST(test_a_span_as_text),
		TEST(test_json_lines),
		TEST(test_chrome),
		TEST(test_a_thread_without_a_name),
		TEST(test_a_full_buffer_is_written_at_once),
		TEST(test_the_loop_writes_out_now_and_then),
		TEST(test_threads),
		TEST(test_paths_that_cannot_be_opened),
		TEST(test_without_a_path_it_is_stderr),
		TEST(test_a_full_disk_is_told_once),
		TEST(test_a_reader_that_left_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
