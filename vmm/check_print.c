/*
 * The report of `bantam check`: see check.h. Its form is sheet.h's; the verdict stands last, and
 * outside of the form where people read it: a remedy can be copied in one piece.
 *
 * What could not be found out is null.
 */
#include <string.h>

#include "vmm/check.h"
#include "vmm/sheet.h"
#include "vmm/verdict.h"

static const struct {
	const char *name, *words;
	int status;
} verdicts[] = {
	[CHECK_STOCK] = {"stock", "Stock kernels run here.", 0},
	[CHECK_TINY] = {"tiny", "Only tiny guests run here, no stock kernels.", 1},
	[CHECK_NOTHING] = {"nothing", "No guest runs here.", STATUS_VMM_ERROR},
};

int check_status(enum check_verdict verdict)
{
	return verdicts[verdict].status;
}

static struct cell text_or_none(const char *text)
{
	return text[0] ? TEXT(text) : NONE;
}

static struct cell count_or_none(int count)
{
	return count > 0 ? COUNT((u64)count) : NONE;
}

static void print_host(struct sheet *sheet, const struct check_report *report)
{
	const struct check_host *host = &report->host;
	char mode[16];

	sheet_open(sheet, "host", "the processor, the modules, the device", NULL);
	sheet_fact(sheet, "vendor", text_or_none(host->vendor));
	sheet_fact(sheet, "vmx", YES_NO(host->vmx));
	sheet_fact(sheet, "svm", YES_NO(host->svm));
	sheet_fact(sheet, "hypervisor", YES_NO(host->hypervisor));
	sheet_fact(sheet, "kvm_intel", YES_NO(host->intel));
	sheet_fact(sheet, "kvm_amd", YES_NO(host->amd));
	sheet_fact(sheet, "kvm_pvm", YES_NO(host->pvm));
	sheet_fact(sheet, "container", YES_NO(host->container));
	sheet_fact(sheet, "ci", YES_NO(host->ci));
	snprintf(mode, sizeof(mode), "%04o", (unsigned)host->device.mode);
	sheet_fact(sheet, "device_owner", text_or_none(host->device.owner));
	sheet_fact(sheet, "device_group", text_or_none(host->device.group));
	sheet_fact(sheet, "device_mode", host->device.there ? TEXT(mode) : NONE);
	sheet_fact(sheet, "kvm_usable", YES_NO(report->usable));
	sheet_fact(sheet, "vcpus_recommended", count_or_none(report->vcpus_recommended));
	sheet_fact(sheet, "vcpus_max", count_or_none(report->vcpus_max));
}

static void print_guests(struct sheet *sheet, const struct check_guests *guests)
{
	static const struct column columns[] = {{"name", 20}, {"ok", 3}, {"end", 0}};

	sheet_open(sheet, "guests", "what kernels need, and debuggers, tried in a machine each",
		   columns);
	for (unsigned i = 0; i < CHECK_PROBES; i++) {
		const struct check_outcome *outcome = &guests->probe[i];
		char words[64];

		check_outcome_describe(outcome, words, sizeof(words));
		sheet_row(sheet, TEXT(check_probe_name((enum check_probe)i)),
			  outcome->end == CHECK_NOT_TRIED ? NONE
							  : YES_NO(outcome->end == CHECK_DONE),
			  TEXT(words));
	}
	sheet_open(sheet, "speed", "of code in ring 0, millions of instructions a second", NULL);
	sheet_fact(sheet, "mips", guests->mips > 0 ? COUNT((u64)guests->mips) : NONE);
}

/* A layer for which an errno tells whether it can be had. */
static void print_layer(struct sheet *sheet, const char *name, int error)
{
	sheet_row(sheet, TEXT(name), YES_NO(error == 0), error ? TEXT(strerror(error)) : NONE);
}

static void print_sandbox(struct sheet *sheet, const struct check_sandbox *sandbox)
{
	static const struct column columns[] = {{"name", 15}, {"offered", 7}, {"detail", 0}};
	char abi[16];

	snprintf(abi, sizeof(abi), "ABI %d", sandbox->landlock_abi);
	sheet_open(sheet, "sandbox", "the walls that this kernel offers", columns);
	sheet_row(sheet, TEXT("seccomp"), YES_NO(sandbox->seccomp),
		  sandbox->seccomp_inherited ? TEXT("one filter is on already") : NONE);
	sheet_row(sheet, TEXT("landlock"), YES_NO(sandbox->landlock_abi > 0),
		  sandbox->landlock_abi > 0 ? TEXT(abi) : NONE);
	print_layer(sheet, "user_namespaces", sandbox->user_namespaces);
	print_layer(sheet, "io_uring", sandbox->io_uring);
}

static void print_verdict(struct sheet *sheet, const struct check_report *report)
{
	sheet_open(sheet, "result", "", NULL);
	sheet_fact(sheet, "verdict", TEXT(verdicts[report->verdict].name));
	sheet_fact(sheet, "exit_status", COUNT((u64)check_status(report->verdict)));
	sheet_fact(sheet, "what", text_or_none(report->why.text));
	sheet_fact(sheet, "remedy", text_or_none(report->why.remedy));
}

static void say_verdict(FILE *out, const struct check_report *report)
{
	fprintf(out, "\n%s\n", verdicts[report->verdict].words);
	if (report->why.text[0])
		fprintf(out, "Why: %s\n", report->why.text);
	if (report->why.remedy[0])
		fprintf(out, "What to do: %s\n", report->why.remedy);
}

int check_print(const struct check_report *report, FILE *out, bool as_json, struct error *err)
{
	struct sheet sheet;

	sheet_start(&sheet, out, as_json);
	print_host(&sheet, report);
	print_guests(&sheet, &report->guests);
	print_sandbox(&sheet, &report->sandbox);
	if (as_json)
		print_verdict(&sheet, report);
	else
		say_verdict(out, report);
	return sheet_finish(&sheet, err);
}
