/*
 * The page of --report: see report.h.
 */
#include "vmm/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/board.h"
#include "vmm/dry_run.h"
#include "vmm/json.h"
#include "vmm/machine.h"
#include "vmm/result.h"
#include "vmm/vcpu.h"

/* report.html: what stands in front of the data, and behind. */
extern const char report_page[];
extern const u64 report_page_bytes;

__asm__(".pushsection .rodata.report_page, \"a\"\n"
	".balign 8\n"
	".globl report_page, report_page_bytes\n"
	"report_page_bytes: .quad report_page_end - report_page\n"
	"report_page: .incbin \"vmm/report.html\"\n"
	"report_page_end:\n"
	".popsection\n");

static const char DATA_MARK[] = "<!-- DATA -->\n";

enum { SAMPLES = 256 };

#define FIRST_PERIOD_NS ((u64)1000000)

/* What was counted up to a moment. */
struct sample {
	u64 at_ns, cpu_ns; /* since the start; the process's */
	u64 pio, mmio, other_exits;
	u64 chains, interrupts, console_bytes;
};

struct report {
	struct result file;
	char *machine_json; /* NULL: the machine was never made */
	size_t machine_bytes;
	struct loop_timer timer;
	u64 period_ns;
	struct sample sample[SAMPLES + 1]; /* one more, for the end */
	unsigned samples;
};

int report_open(struct machine *machine, struct error *err)
{
	if (!machine->config->report_path)
		return 0;
	machine->report = calloc(1, sizeof(*machine->report));
	if (!machine->report)
		return error_set(err, "no memory for the report");
	return result_open(&machine->report->file, "report", machine->config->report_path, err);
}

static void add_exits(struct sample *sample, const struct vcpu *vcpu)
{
	for (unsigned reason = 0; reason < EXIT_REASONS; reason++)
		*(reason == KVM_EXIT_IO ? &sample->pio
		  : reason == KVM_EXIT_MMIO
			  ? &sample->mmio
			  : &sample->other_exits) += count_read(&vcpu->exits[reason]);
}

static void take_sample(struct machine *machine)
{
	struct report *report = machine->report;
	struct sample *sample = &report->sample[report->samples++];
	const struct virtio_board *virtio = &machine->board->virtio;
	struct console *console = &machine->board->console;

	*sample = (struct sample){.at_ns = clock_now_ns() - machine->config->start_ns,
				  .cpu_ns = clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID)};
	for (unsigned i = 0; machine->vcpu && i < machine->config->cpus; i++)
		add_exits(sample, &machine->vcpu[i]);
	for (unsigned i = 0; i < MACHINE_PINS; i++)
		sample->interrupts += atomic_load(&machine->raised[i]);
	for (unsigned i = 0; i < virtio->slots; i++) {
		const struct virtio_device *device = virtio->slot[i].device;

		for (unsigned q = 0; q < device->queues && device->queue[q].meter; q++) {
			sample->chains += count_read(&device->queue[q].meter->chains);
			sample->interrupts += count_read(&device->queue[q].meter->interrupts);
		}
	}
	pthread_mutex_lock(&console->lock);
	sample->console_bytes = console->total;
	pthread_mutex_unlock(&console->lock);
}

static void timer_fired(void *owner)
{
	struct machine *machine = owner;
	struct report *report = machine->report;

	if (report->samples == SAMPLES) {
		report->samples /= 2;
		report->period_ns *= 2;
		for (unsigned i = 0; i < report->samples; i++)
			report->sample[i] = report->sample[2 * i];
	}
	take_sample(machine);
	loop_timer_set(&report->timer, report->period_ns);
}

int report_start(struct machine *machine, const struct boot_plan *plan, struct error *err)
{
	struct report *report = machine->report;
	const struct dry_run_input input = {
		.machine = machine, .plan = plan, .cpuid_missing = "not in a report"};
	FILE *out;
	int result;

	if (!report)
		return 0;
	out = open_memstream(&report->machine_json, &report->machine_bytes);
	if (!out)
		return error_set(err, "no memory for the report");
	result = dry_run(&input, out, true, err);
	fclose(out);
	report->period_ns = FIRST_PERIOD_NS;
	loop_add_timer(&machine->loop, &report->timer, timer_fired, machine);
	timer_fired(machine);
	return result;
}

static void samples_json(const struct report *report, struct json *json)
{
	json_value(json, "sample_columns", "%s",
		   "[\"ms\", \"cpu_ms\", \"pio\", \"mmio\", \"other_exits\", \"chains\", "
		   "\"interrupts\", \"console_bytes\"]");
	json_open(json, "samples", '[');
	for (unsigned i = 0; i < report->samples; i++) {
		const struct sample *sample = &report->sample[i];

		json_value(json, NULL, "[%.3f, %.3f, %llu, %llu, %llu, %llu, %llu, %llu]",
			   (double)sample->at_ns / 1e6, (double)sample->cpu_ns / 1e6, sample->pio,
			   sample->mmio, sample->other_exits, sample->chains, sample->interrupts,
			   sample->console_bytes);
	}
	json_close(json, ']');
}

static void vcpus_json(const struct machine *machine, struct json *json)
{
	json_open(json, "vcpus", '[');
	for (unsigned i = 0; machine->vcpu && i < machine->config->cpus; i++) {
		const struct vcpu *vcpu = &machine->vcpu[i];

		json_open(json, NULL, '{');
		json_value(json, "ran_ms", "%.3f", (double)vcpu->ran_ns / 1e6);
		json_value(json, "cpu_ms", "%.3f", (double)vcpu->cpu_ns / 1e6);
		json_open(json, "exits", '[');
		for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
			if (!vcpu->exits[reason])
				continue;
			json_open(json, NULL, '{');
			json_text(json, "reason", vcpu_exit_name(reason));
			json_value(json, "count", "%llu", vcpu->exits[reason]);
			json_value(json, "handled_ms", "%.3f",
				   (double)vcpu->handled_ns[reason] / 1e6);
			json_close(json, '}');
		}
		json_close(json, ']');
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void queue_json(const struct machine *machine, const struct virtq_meter *meter,
		       struct json *json)
{
	const u64 first_ns = count_read(&meter->first_ns);

	json_open(json, NULL, '{');
	json_value(json, "chains", "%llu", count_read(&meter->chains));
	json_value(json, "out_bytes", "%llu", count_read(&meter->out_bytes));
	json_value(json, "in_bytes", "%llu", count_read(&meter->in_bytes));
	json_value(json, "interrupts", "%llu", count_read(&meter->interrupts));
	json_value(json, "first_ms", "%.3f",
		   first_ns ? (double)(first_ns - machine->config->start_ns) / 1e6 : 0);
	json_open(json, "latency", '[');
	for (unsigned i = 0; i < VIRTQ_LATENCIES; i++)
		json_value(json, NULL, "%llu", count_read(&meter->latency[i]));
	json_close(json, ']');
	json_close(json, '}');
}

static void devices_json(const struct machine *machine, struct json *json)
{
	const struct config *config = machine->config;
	const struct virtio_board *virtio = &machine->board->virtio;

	json_open(json, "lines", '[');
	for (unsigned i = 0; i < MACHINE_PINS; i++)
		json_value(json, NULL, "%llu", atomic_load(&machine->raised[i]));
	json_close(json, ']');
	json_open(json, "devices", '[');
	for (unsigned i = 0; i < virtio->slots; i++) {
		const struct virtio_device *device = virtio->slot[i].device;

		json_open(json, NULL, '{');
		json_text(json, "name", device->name);
		json_text(json, "kind", device->class->name);
		if (i >= 1 && i <= config->disks)
			json_text(json, "file", config->disk[i - 1].path);
		json_open(json, "queues", '[');
		for (unsigned q = 0; q < device->queues && device->queue[q].meter; q++)
			queue_json(machine, device->queue[q].meter, json);
		json_close(json, ']');
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void run_json(struct machine *machine, struct json *json)
{
	json_open(json, NULL, '{');
	result_json(machine, json, "result");
	stats_stages_json(machine, json);
	vcpus_json(machine, json);
	stats_accesses_json(machine, json);
	devices_json(machine, json);
	samples_json(machine->report, json);
	json_close(json, '}');
}

int report_write(struct machine *machine)
{
	struct report *report = machine->report;
	FILE *out = report ? report->file.file : NULL;
	const char *mark = memmem(report_page, report_page_bytes, DATA_MARK, sizeof(DATA_MARK) - 1);
	struct json json = {.out = out};

	if (!out)
		return 0;
	if (report->machine_json)
		take_sample(machine);
	fwrite(report_page, (size_t)(mark - report_page), 1, out);
	fprintf(out, "<script type=\"application/json\" id=\"machine\">\n%s</script>\n",
		report->machine_json ? report->machine_json : "{}");
	fputs("<script type=\"application/json\" id=\"run\">\n", out);
	run_json(machine, &json);
	fputs("</script>\n", out);
	fwrite(mark, report_page_bytes - (size_t)(mark - report_page), 1, out);
	return result_finish(&report->file);
}

void report_free(struct report *report)
{
	if (report)
		free(report->machine_json);
	free(report);
}
