/*
 * What a run was made of: see stats.h.
 */
#include "vmm/stats.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmm/json.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

/* How many of the busiest addresses are worth a line. */
enum { TOP_ADDRESSES = 20 };

_Static_assert(TOUCH_ROWS == 256, "a row is chosen by eight bits of the hash");

u64 clock_cpu_ns(clockid_t whose)
{
	struct timespec used;

	clock_gettime(whose, &used);
	return (u64)used.tv_sec * 1000000000U + (u64)used.tv_nsec;
}

void timeline_reach(struct timeline *timeline, enum stage stage)
{
	unsigned long long unset = 0;

	if (atomic_load_explicit(&timeline->at_ns[stage], memory_order_relaxed))
		return;
	if (atomic_compare_exchange_strong(&timeline->at_ns[stage], &unset, clock_now_ns()) &&
	    stage == STAGE_FIRST_INSTRUCTION)
		atomic_store(&timeline->first_instruction_cpu_ns,
			     clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID));
}

double timeline_ms(const struct timeline *timeline, enum stage stage)
{
	const u64 at = atomic_load(&timeline->at_ns[stage]);

	return at ? (double)(at - atomic_load(&timeline->at_ns[STAGE_START])) / 1e6 : 0;
}

void timeline_restart(struct timeline *timeline)
{
	for (int stage = STAGE_START + 1; stage < STAGES; stage++)
		atomic_store(&timeline->at_ns[stage], 0);
}

/* The address's row, or NULL when all are taken by others. */
static struct touch *find_row(struct touches *touches, bool mmio, u64 address, bool write)
{
	u64 slot = (address * 0x9e3779b97f4a7c15U) >> 56;

	for (unsigned tries = 0; tries < TOUCH_ROWS; tries++, slot = (slot + 1) % TOUCH_ROWS) {
		struct touch *row = &touches->row[slot];

		if (!row->used)
			*row = (struct touch){
				.used = true, .address = address, .mmio = mmio, .write = write};
		if (row->address == address && row->mmio == mmio && row->write == write)
			return row;
	}
	return NULL;
}

static void add_touches(struct touches *touches, const struct touch *touch)
{
	struct touch *row = find_row(touches, touch->mmio, touch->address, touch->write);

	*(row ? &row->count : &touches->others) += touch->count;
}

void touches_count(struct touches *touches, bool mmio, u64 address, bool write)
{
	add_touches(touches, &(struct touch){address, true, mmio, write, 1});
}

/* All vCPUs' counts go into the first one's table, which is returned; NULL: nothing was counted. */
static struct touches *all_touches(struct machine *machine)
{
	struct touches *all = machine->touches;

	for (unsigned i = 1; all && i < machine->config->cpus; i++) {
		for (unsigned row = 0; row < TOUCH_ROWS; row++) {
			if (all[i].row[row].used)
				add_touches(all, &all[i].row[row]);
		}
		all->others += all[i].others;
		all[i] = (struct touches){.others = 0};
	}
	return all;
}

/* What all vCPUs count, by reason; reasons without a name of their own are one, the last. */
struct exits {
	u64 count[EXIT_REASONS + 1];
};

static struct exits count_exits(const struct machine *machine)
{
	struct exits exits = {.count = {0}};

	for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
		const bool named = strcmp(vcpu_exit_name(reason), "OTHER") != 0;

		for (unsigned i = 0; machine->vcpu && i < machine->config->cpus; i++)
			exits.count[named ? reason : EXIT_REASONS] +=
				machine->vcpu[i].exits[reason];
	}
	return exits;
}

void stats_exits_json(const struct machine *machine, struct json *json)
{
	const struct exits exits = count_exits(machine);

	json_open(json, "exits", '{');
	for (unsigned reason = 0; reason <= EXIT_REASONS; reason++) {
		if (exits.count[reason])
			json_value(json, vcpu_exit_name(reason), "%llu", exits.count[reason]);
	}
	json_close(json, '}');
}

/* Takes the busiest row out of the table; false when none is left. */
static bool take_busiest(struct touches *touches, struct touch *busiest)
{
	struct touch *best = &touches->row[0];

	for (unsigned i = 1; i < TOUCH_ROWS; i++) {
		if (touches->row[i].count > best->count)
			best = &touches->row[i];
	}
	*busiest = *best;
	best->count = 0;
	return busiest->count > 0;
}

/* The device that the address belongs to, or NULL, and its register's name, or "". */
static const char *who_is_touched(const struct machine *machine, const struct touch *row,
				  const char **name)
{
	const struct bus *bus = row->mmio ? &machine->mmio : &machine->pio;
	const struct bus_range *range = bus_find(bus, row->address);
	const char *who = bus_who(bus, row->address);

	*name = who && range && range->ops->name
			? range->ops->name(range->device, row->address - range->base, row->write)
			: "";
	return who;
}

void stats_accesses_json(struct machine *machine, struct json *json)
{
	const struct touches *touches = all_touches(machine);
	const char *who, *name;

	json_open(json, "accesses", '[');
	for (unsigned i = 0; touches && i < TOUCH_ROWS; i++) {
		const struct touch *row = &touches->row[i];

		if (!row->count)
			continue;
		who = who_is_touched(machine, row, &name);
		json_open(json, NULL, '{');
		json_text(json, "space", row->mmio ? "mmio" : "pio");
		json_text(json, "way", row->write ? "write" : "read");
		json_value(json, "address", "\"0x%llx\"", row->address);
		json_value(json, "count", "%llu", row->count);
		json_text(json, "device", who ? who : "");
		json_text(json, "register", name);
		json_close(json, '}');
	}
	json_close(json, ']');
	json_value(json, "other_accesses", "%llu", touches ? touches->others : 0);
}

static void print_touch(const struct machine *machine, const struct touch *row)
{
	const char *name;
	const char *who = who_is_touched(machine, row, &name);

	fprintf(stderr, "  %10llu  %s %-5s 0x%llx  %s%s%s\n", row->count,
		row->mmio ? "mmio" : "pio ", row->write ? "write" : "read", row->address,
		who ? who : "no device", name[0] ? "." : "", name);
}

static const char *const stage_names[] = {
	[STAGE_LOADED] = "kernel loaded",
	[STAGE_VM_MADE] = "VM made",
	[STAGE_FIRST_INSTRUCTION] = "first instruction",
	[STAGE_FIRST_OUTPUT] = "first byte on the console",
	[STAGE_COMMAND] = "COMMAND started",
	[STAGE_END] = "end",
};

void stats_stages_json(const struct machine *machine, struct json *json)
{
	json_open(json, "stages", '[');
	for (int stage = STAGE_START + 1; stage < STAGES; stage++) {
		const double ms = timeline_ms(&machine->timeline, (enum stage)stage);

		if (ms <= 0)
			continue;
		json_open(json, NULL, '{');
		json_text(json, "name", stage_names[stage]);
		json_value(json, "ms", "%.3f", ms);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void print_timeline(const struct machine *machine)
{
	fprintf(stderr, "time since the start of the process:\n");
	for (int stage = STAGE_START + 1; stage < STAGES; stage++) {
		const double ms = timeline_ms(&machine->timeline, (enum stage)stage);

		if (ms > 0)
			fprintf(stderr, "  %10.3f ms  %s\n", ms, stage_names[stage]);
	}
}

void stats_print(struct machine *machine)
{
	const struct exits exits = count_exits(machine);
	struct touches *touches = all_touches(machine);
	struct touch row;

	print_timeline(machine);
	fprintf(stderr, "exits from guest code to bantam, by reason:\n");
	for (unsigned reason = 0; reason <= EXIT_REASONS; reason++) {
		if (exits.count[reason])
			fprintf(stderr, "  %10llu  %s\n", exits.count[reason],
				vcpu_exit_name(reason));
	}
	if (!touches)
		return;
	fprintf(stderr, "accesses, by address:\n");
	for (unsigned i = 0; i < TOP_ADDRESSES && take_busiest(touches, &row); i++)
		print_touch(machine, &row);
	while (take_busiest(touches, &row))
		touches->others += row.count;
	if (touches->others)
		fprintf(stderr, "  %10llu  to other addresses\n", touches->others);
}
