/*
 * vmm/stats.c: the time line's stages, counts by address and what happens when their table is full,
 * and what is printed of a machine made by hand. What goes to stderr is caught in a file.
 */
#include "tests/unit/test.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/json.h"
#include "vmm/loop.h"
#include "vmm/machine.h"
#include "vmm/stats.h"
#include "vmm/vcpu.h"

enum { CPUS = 2, TOP_ADDRESSES = 20, COM1 = 0x3f8, REACHERS = 8 };

static const char *device_name(void *device, u64 offset, bool write)
{
	(void)device;
	return offset == 1 ? "" : write ? "OUT" : "IN";
}

static const struct bus_ops named_ops = {.name = device_name};
static const struct bus_ops plain_ops = {.name = NULL};

struct world {
	struct machine machine;
	struct config config;
	struct vcpu vcpu[CPUS];
	struct touches touches[CPUS];
	char text[16384]; /* what was printed last */
};

static int set_up(void **state)
{
	const struct bus_range com1 = {COM1, 8, 1, "serial0", &named_ops, NULL};
	const struct bus_range plain = {0x600, 3, 1, "plain", &plain_ops, NULL};
	struct world *world = calloc(1, sizeof(*world));
	struct error err;

	assert_non_null(world);
	world->machine.vcpu = world->vcpu;
	world->machine.config = &world->config;
	world->config.cpus = CPUS;
	world->machine.touches = world->touches;
	assert_int_equal(bus_add(&world->machine.pio, &com1, &err), 0);
	assert_int_equal(bus_add(&world->machine.pio, &plain, &err), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

/* stats_print(), with stderr led into a file for that time. */
static const char *printed(struct world *world)
{
	const int saved = dup(STDERR_FILENO), file = memfd_create("stderr", MFD_CLOEXEC);
	ssize_t count;

	assert_true(saved >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
	stats_print(&world->machine);
	fflush(stderr);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	count = pread(file, world->text, sizeof(world->text) - 1, 0);
	assert_true(count >= 0);
	world->text[count] = '\0';
	close(saved);
	close(file);
	return world->text;
}

/* ---- the time line ---- */

static void test_a_stage_is_reached_once(void **state)
{
	struct timeline timeline = {0};
	double first;

	(void)state;
	timeline_reach(&timeline, STAGE_START);
	assert_true(timeline_ms(&timeline, STAGE_START) == 0);
	for (int stage = STAGE_START + 1; stage < STAGES; stage++)
		assert_true(timeline_ms(&timeline, (enum stage)stage) == 0);
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	timeline_reach(&timeline, STAGE_LOADED);
	first = timeline_ms(&timeline, STAGE_LOADED);
	assert_true(first >= 2 && first < 10000);
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	timeline_reach(&timeline, STAGE_LOADED);
	assert_true(timeline_ms(&timeline, STAGE_LOADED) == first);
	timeline_reach(&timeline, STAGE_END);
	assert_true(timeline_ms(&timeline, STAGE_END) >= first + 2);
}

static void test_processor_time_of_the_first_instruction(void **state)
{
	struct timeline timeline = {0};
	const u64 until = clock_now_ns() + 5000000;
	u64 used;

	(void)state;
	while (clock_now_ns() < until)
		;
	timeline_reach(&timeline, STAGE_VM_MADE);
	assert_int_equal(atomic_load(&timeline.first_instruction_cpu_ns), 0);
	timeline_reach(&timeline, STAGE_FIRST_INSTRUCTION);
	used = atomic_load(&timeline.first_instruction_cpu_ns);
	assert_true(used > 0);
	timeline_reach(&timeline, STAGE_FIRST_INSTRUCTION);
	assert_int_equal(atomic_load(&timeline.first_instruction_cpu_ns), used);
}

static void test_a_restart_forgets_all_but_the_start(void **state)
{
	struct timeline timeline = {0};

	(void)state;
	atomic_store(&timeline.at_ns[STAGE_START], clock_now_ns() - 1000000);
	for (int stage = 0; stage < STAGES; stage++)
		timeline_reach(&timeline, (enum stage)stage);
	timeline_restart(&timeline);
	for (int stage = STAGE_START + 1; stage < STAGES; stage++)
		assert_true(timeline_ms(&timeline, (enum stage)stage) == 0);
	timeline_reach(&timeline, STAGE_FIRST_OUTPUT);
	assert_true(timeline_ms(&timeline, STAGE_FIRST_OUTPUT) >= 1);
}

static void *reach(void *argument)
{
	timeline_reach(argument, STAGE_FIRST_OUTPUT);
	return (void *)(uintptr_t)(timeline_ms(argument, STAGE_FIRST_OUTPUT) * 1e6);
}

static void test_threads_agree_on_when(void **state)
{
	struct timeline timeline = {0};
	pthread_t thread[REACHERS];
	void *seen[REACHERS];

	(void)state;
	timeline_reach(&timeline, STAGE_START);
	for (unsigned i = 0; i < REACHERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reach, &timeline), 0);
	for (unsigned i = 0; i < REACHERS; i++)
		pthread_join(thread[i], &seen[i]);
	for (unsigned i = 1; i < REACHERS; i++)
		assert_ptr_equal(seen[i], seen[0]);
}

/* ---- counts by address ---- */

static u64 count_of(const struct touches *touches, bool mmio, u64 address, bool write)
{
	u64 count = 0;
	unsigned rows = 0;

	for (unsigned i = 0; i < TOUCH_ROWS; i++) {
		const struct touch *row = &touches->row[i];

		if (row->used && row->mmio == mmio && row->address == address &&
		    row->write == write) {
			count = row->count;
			rows++;
		}
	}
	assert_true(rows <= 1);
	return count;
}

static void test_each_way_to_an_address_counts_for_itself(void **state)
{
	struct touches touches = {0};

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		touches_count(&touches, false, 0x1000, false);
	touches_count(&touches, false, 0x1000, true);
	touches_count(&touches, true, 0x1000, false);
	touches_count(&touches, true, 0, false);
	touches_count(&touches, true, ~(u64)0, true);
	assert_int_equal(count_of(&touches, false, 0x1000, false), 7);
	assert_int_equal(count_of(&touches, false, 0x1000, true), 1);
	assert_int_equal(count_of(&touches, true, 0x1000, false), 1);
	assert_int_equal(count_of(&touches, true, 0x1000, true), 0);
	assert_int_equal(count_of(&touches, true, 0, false), 1);
	assert_int_equal(count_of(&touches, true, ~(u64)0, true), 1);
	assert_int_equal(touches.others, 0);
}

static void test_the_table_takes_as_many_as_it_has_rows(void **state)
{
	/* Neighbours, pages, and addresses that only differ above bit 32. */
	static const u64 strides[] = {1, 4, 0x1000, (u64)1 << 40};

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(strides); s++) {
		struct touches touches = {0};

		for (u64 round = 0; round < 3; round++) {
			for (u64 i = 0; i < TOUCH_ROWS; i++)
				touches_count(&touches, true, 0x3f8 + i * strides[s], false);
		}
		assert_int_equal(touches.others, 0);
		for (u64 i = 0; i < TOUCH_ROWS; i++)
			assert_int_equal(count_of(&touches, true, 0x3f8 + i * strides[s], false),
					 3);
		/* What comes now has no row; what has one still counts there. */
		for (u64 i = 0; i < 1000; i++)
			touches_count(&touches, true, 0x3f8 + (TOUCH_ROWS + i) * strides[s], false);
		touches_count(&touches, false, 0x3f8, false);
		touches_count(&touches, true, 0x3f8, false);
		assert_int_equal(touches.others, 1001);
		assert_int_equal(count_of(&touches, true, 0x3f8, false), 4);
	}
}

/* ---- what is printed ---- */

static void test_exits_by_reason(void **state)
{
	struct world *world = *state;
	struct json json;
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	world->vcpu[0].exits[KVM_EXIT_IO] = 100;
	world->vcpu[1].exits[KVM_EXIT_IO] = 23;
	world->vcpu[1].exits[KVM_EXIT_MMIO] = 4;
	world->vcpu[0].exits[EXIT_REASONS - 1] = 1; /* one that only a newer KVM knows */
	json = (struct json){.out = out};
	json_open(&json, NULL, '{');
	stats_exits_json(&world->machine, &json);
	json_close(&json, '}');
	fclose(out);
	assert_string_equal(text, "{\n"
				  "  \"exits\": {\n"
				  "    \"IO\": 123,\n"
				  "    \"MMIO\": 4,\n"
				  "    \"OTHER\": 1\n"
				  "  }\n"
				  "}\n");
	free(text);
	printed(world);
	assert_says(world->text, "       123  IO\n");
	assert_says(world->text, "         4  MMIO\n");
	assert_says(world->text, "         1  OTHER\n");
}

/* A JSON object has each key once; whatever reasons this program has no name for. */
static void test_reasons_without_a_name_are_one_key(void **state)
{
	struct world *world = *state;
	struct json json;
	char *text, *other;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	for (unsigned reason = 0; reason < EXIT_REASONS; reason++)
		world->vcpu[0].exits[reason] = 1;
	json = (struct json){.out = out};
	stats_exits_json(&world->machine, &json);
	fclose(out);
	other = strstr(text, "\"OTHER\"");
	assert_non_null(other);
	assert_null(strstr(other + 1, "\"OTHER\""));
	free(text);
}

static void test_addresses_with_their_names(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < 12; i++)
		touches_count(&world->touches[i % CPUS], false, COM1, true);
	for (unsigned i = 0; i < 5; i++)
		touches_count(&world->touches[i % CPUS], false, COM1, false);
	touches_count(&world->touches[1], false, COM1 + 1, false);
	touches_count(&world->touches[1], false, 0x602, true);
	touches_count(&world->touches[1], true, 0xd0000000, true);
	touches_count(&world->touches[1], true, COM1, false); /* no device on that bus */
	printed(world);
	assert_says(world->text, "          12  pio  write 0x3f8  serial0.OUT\n"
				 "           5  pio  read  0x3f8  serial0.IN\n");
	assert_says(world->text, "         1  pio  read  0x3f9  serial0\n");
	assert_says(world->text, "         1  pio  write 0x602  plain\n");
	assert_says(world->text, "         1  mmio write 0xd0000000  no device\n");
	assert_says(world->text, "         1  mmio read  0x3f8  no device\n");
	assert_null(strstr(world->text, "other addresses"));
}

static void test_the_same_as_json(void **state)
{
	struct world *world = *state;
	struct json json;
	char *text;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	touches_count(&world->touches[0], false, COM1, true);
	touches_count(&world->touches[1], false, COM1, true);
	touches_count(&world->touches[1], true, 0xd0000000, false);
	world->touches[1].others = 7;
	atomic_store(&world->machine.timeline.at_ns[STAGE_START], 1000000);
	atomic_store(&world->machine.timeline.at_ns[STAGE_COMMAND], 3500000);
	json = (struct json){.out = out};
	json_open(&json, NULL, '{');
	stats_stages_json(&world->machine, &json);
	stats_accesses_json(&world->machine, &json);
	json_close(&json, '}');
	fclose(out);
	assert_says(text, "\"name\": \"COMMAND started\",\n      \"ms\": 2.500\n");
	assert_says(text, "\"space\": \"pio\",\n      \"way\": \"write\",\n"
			  "      \"address\": \"0x3f8\",\n      \"count\": 2,\n"
			  "      \"device\": \"serial0\",\n      \"register\": \"OUT\"\n");
	assert_says(text, "\"address\": \"0xd0000000\",\n      \"count\": 1,\n"
			  "      \"device\": \"\",\n");
	assert_says(text, "\"other_accesses\": 7\n");
	free(text);
	/* Nothing is used up by that. */
	assert_says(printed(world), "         2  pio  write 0x3f8  serial0.OUT\n");
}

static void test_the_busiest_come_first(void **state)
{
	struct world *world = *state;
	unsigned long long count, last = ~0ULL;
	unsigned rows = 0;
	const char *at;

	for (unsigned i = 0; i < TOUCH_ROWS; i++) {
		for (unsigned n = 0; n <= i; n++)
			touches_count(&world->touches[i % CPUS], false, 0x2000 + i, false);
	}
	at = strstr(printed(world), "accesses, by address:\n");
	assert_non_null(at);
	for (at = strchr(at, '\n') + 1; sscanf(at, "%llu  pio", &count) == 1 && strstr(at, "pio");
	     at = strchr(at, '\n') + 1) {
		assert_true(count < last);
		assert_true(count > TOUCH_ROWS - TOP_ADDRESSES);
		last = count;
		rows++;
	}
	assert_int_equal(rows, TOP_ADDRESSES);
}

/* What the lines of accesses sum up to. */
static u64 printed_accesses(struct world *world)
{
	const char *at = strstr(printed(world), "accesses, by address:\n");
	unsigned long long count;
	u64 sum = 0;

	assert_non_null(at);
	for (at = strchr(at, '\n') + 1; sscanf(at, "%llu", &count) == 1; at = strchr(at, '\n') + 1)
		sum += count;
	return sum;
}

static void count_many(struct touches *touches)
{
	for (unsigned i = 0; i < 100 * TOUCH_ROWS; i++)
		touches_count(touches, false, 0x1000 + i % (2 * TOUCH_ROWS), false);
}

/* More addresses than there are rows, from two vCPUs: not a single access gets lost. */
static void test_a_full_table(void **state)
{
	struct world *world = *state;

	count_many(&world->touches[0]);
	count_many(&world->touches[1]);
	assert_int_equal(printed_accesses(world), 2 * 100 * TOUCH_ROWS);
	assert_says(world->text, "to other addresses\n");
}

/* The last line stands for those that have none of their own. */
static void test_no_access_is_left_out(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < 300; i++)
		touches_count(&world->touches[i % CPUS], false, 0x2000 + i, false);
	assert_int_equal(printed_accesses(world), 300);
}

static void test_the_time_line_in_order(void **state)
{
	static const char *const names[] = {"kernel loaded",     "VM made",
					    "first instruction", "first byte on the console",
					    "COMMAND started",   "end"};
	struct world *world = *state;
	const char *at;

	for (unsigned i = 0; i < STAGES; i++)
		atomic_store(&world->machine.timeline.at_ns[i], 1000000 + i * 1500000);
	at = printed(world);
	assert_says(at, "       1.500 ms  kernel loaded\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		at = strstr(at, names[i]);
		assert_non_null(at);
	}
	atomic_store(&world->machine.timeline.at_ns[STAGE_FIRST_OUTPUT], 0);
	assert_null(strstr(printed(world), "first byte"));
}

static void test_a_machine_that_never_ran(void **state)
{
	struct world *world = *state;

	world->machine.vcpu = NULL;
	world->machine.touches = NULL;
	printed(world);
	assert_says(world->text, "exits from guest code");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stage_is_reached_once),
		cmocka_unit_test(test_processor_time_of_the_first_instruction),
		cmocka_unit_test(test_a_restart_forgets_all_but_the_start),
		cmocka_unit_test(test_threads_agree_on_when),
		cmocka_unit_test(test_each_way_to_an_address_counts_for_itself),
		cmocka_unit_test(test_the_table_takes_as_many_as_it_has_rows),
		TEST(test_exits_by_reason),
		TEST(test_reasons_without_a_name_are_one_key),
		TEST(test_addresses_with_their_names),
		TEST(test_the_same_as_json),
		TEST(test_the_busiest_come_first),
		TEST(test_a_full_table),
		TEST(test_no_access_is_left_out),
		TEST(test_the_time_line_in_order),
		TEST(test_a_machine_that_never_ran),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
