/*
 * `bantam check`: see check.h.
 *
 * The verdict rests on what was tried, not on names. A guest in 64-bit mode must run at all; then
 * each instruction that a stock kernel can't do without must work in a guest of its own. The speed
 * decides only when it is grossly low: below 25 million ring-0 instructions a second (MIPS) no
 * processor is running the kernel but an interpreter in KVM, and a boot takes minutes. Hardware
 * does the loop at more than 1000 MIPS; a KVM host that QEMU emulates in software, on which stock
 * kernels do boot, at some 800; KVM's own emulator at 2 to 4. So the line is far from both sides,
 * and neither a loaded host (the best of some runs counts) nor a slow processor crosses it.
 *
 * The name kvm_pvm only chooses the words of the advice.
 *
 * The report's form is sheet.h's; the verdict stands last, and outside of the form where people read
 * it: a remedy can be copied in one piece.
 */
#include "vmm/check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/kvm.h"
#include "vmm/sheet.h"
#include "vmm/verdict.h"

/* The names of the needed probes that were tried and failed: "cmpxchg16b, int3". */
static void name_failed(const struct check_guests *guests, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < CHECK_NEEDED && used < bytes; i++) {
		const enum check_end end = guests->probe[i].end;

		if (end != CHECK_DONE && end != CHECK_NOT_TRIED)
			used += (size_t)snprintf(text + used, bytes - used, "%s%s",
						 used ? ", " : "",
						 check_probe_name((enum check_probe)i));
	}
}

static void explain_no_guest(const struct check_guests *guests, struct error *why)
{
	const char *words = check_outcome_words(&guests->probe[CHECK_LONG_MODE]);

	error_set(why, "KVM answers, but a guest of three instructions does not run: %.280s",
		  guests->err.text[0] ? guests->err.text : words);
	snprintf(why->remedy, sizeof(why->remedy),
		 "stop other hypervisors (VirtualBox, VMware), and see what the kernel "
		 "says: sudo dmesg | grep -i kvm");
}

/* failed: what doesn't run, or nothing when it is the speed. */
static void explain_tiny(const struct check_report *report, const char *failed, struct error *why)
{
	const char *who = report->host.pvm
				  ? "this host's KVM (kvm_pvm) runs only paravirtual kernels"
				  : "this host's KVM can't run an unmodified kernel's ring 0";
	const char *module = check_host_module(&report->host);

	if (failed[0])
		error_set(why, "%s: a guest fails at %s", who, failed);
	else
		error_set(why, "%s: it emulates it, at %.1f million instructions a second", who,
			  report->guests.mips);
	snprintf(why->remedy, sizeof(why->remedy),
		 "use a host with hardware virtualization: bare metal, or a virtual machine "
		 "with nested virtualization (the parameter nested of %s on the outer host), "
		 "where %s can be loaded",
		 module ? module : "kvm_intel or kvm_amd", module ? module : "it");
}

void check_decide(struct check_report *report)
{
	const struct check_guests *guests = &report->guests;
	char failed[128];

	report->verdict = CHECK_NOTHING;
	if (!report->usable)
		return;
	if (guests->probe[CHECK_LONG_MODE].end != CHECK_DONE) {
		explain_no_guest(guests, &report->why);
		return;
	}
	name_failed(guests, failed, sizeof(failed));
	report->verdict = failed[0] || guests->mips < CHECK_MIPS_MIN ? CHECK_TINY : CHECK_STOCK;
	if (report->verdict == CHECK_TINY)
		explain_tiny(report, failed, &report->why);
}

/* The report. What could not be found out is null. */

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

		sheet_row(sheet, TEXT(check_probe_name((enum check_probe)i)),
			  outcome->end == CHECK_NOT_TRIED ? NONE
							  : YES_NO(outcome->end == CHECK_DONE),
			  TEXT(check_outcome_words(outcome)));
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
	print_layer(sheet, "namespaces", sandbox->namespaces);
	print_layer(sheet, "user_namespaces", sandbox->user_namespaces);
	print_layer(sheet, "io_uring", sandbox->io_uring);
	print_layer(sheet, "core_scheduling", sandbox->core_scheduling);
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

/* The subcommand. */

static void collect(struct check_report *report)
{
	int fd;

	*report = (struct check_report){.verdict = CHECK_NOTHING};
	check_host_look("", &report->host);
	fd = kvm_open(&report->why);
	if (fd >= 0) {
		report->usable = true;
		report->vcpus_recommended = kvm_capability(fd, KVM_CAP_NR_VCPUS);
		report->vcpus_max = kvm_capability(fd, KVM_CAP_MAX_VCPUS);
		check_guests_run(&report->guests, fd);
		close(fd);
	}
	check_sandbox_look(&report->sandbox);
	check_decide(report);
}

static void help(void)
{
	puts("Usage: bantam check [--json]\n"
	     "\n"
	     "Finds out what this host can run: opens /dev/kvm, runs tiny guests in it, and says "
	     "what\n"
	     "is missing and what to do about it. Lists the sandbox layers that the host offers.\n"
	     "\n"
	     "  --json      print it for scripts\n"
	     "  -h, --help  print this help\n"
	     "\n"
	     "Exit status: 0 a stock kernel can run; 1 only tiny guests can; 125 nothing can.");
}

int check_command(int argc, char **argv)
{
	struct check_report report;
	struct error err;
	bool json = false;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			help();
			return 0;
		}
		if (strcmp(argv[i], "--json") != 0) {
			say("unknown option '%s'; see 'bantam check --help'", argv[i]);
			return STATUS_VMM_ERROR;
		}
		json = true;
	}
	collect(&report);
	/* Whether stdout took it all, is main's to tell. */
	(void)check_print(&report, stdout, json, &err);
	return check_status(report.verdict);
}
