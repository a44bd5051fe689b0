/*
 * `bantam check`: see check.h.
 *
 * The verdict rests on what was tried, not on names. A guest in 64-bit mode must run at all; then
 * each instruction that a stock kernel can't do without must work in a guest of its own. The speed
 * decides only when it is grossly low: below 25 million ring-0 instructions a second (MIPS) no
 * processor is running the kernel but an interpreter in KVM, and a boot takes minutes. Hardware
 * does the loop at more than 1000 MIPS; a KVM host that QEMU emulates in software, on which stock
 * kernels do boot, at some 800; KVM's own emulator at 2 to 4. So the line is far from both sides,
 * and neither a loaded host (the best of three runs counts) nor a slow processor crosses it.
 *
 * The name kvm_pvm only chooses the words of the advice.
 */
#include "vmm/check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/check_print.h"
#include "vmm/kvm.h"
#include "vmm/verdict.h"

int check_status(enum check_verdict verdict)
{
	static const int statuses[] = {
		[CHECK_STOCK] = 0, [CHECK_TINY] = 1, [CHECK_NOTHING] = STATUS_VMM_ERROR};

	return statuses[verdict];
}

/* KVM answers, but with the wrong API or without what is needed. */
static void advise_kvm(const struct check_kvm *kvm, struct check_advice *advice)
{
	if (kvm->api_version != KVM_API_VERSION) {
		snprintf(advice->what, sizeof(advice->what),
			 "this host's KVM speaks API version %d, and %d is needed",
			 kvm->api_version, KVM_API_VERSION);
	} else {
		const char *name = "";

		for (unsigned i = kvm->capabilities; i-- > 0;) {
			if (kvm->capability[i].needed && !kvm->capability[i].value)
				name = kvm->capability[i].name;
		}
		snprintf(advice->what, sizeof(advice->what),
			 "this host's KVM lacks %s, without which no guest runs", name);
	}
	snprintf(advice->remedy, sizeof(advice->remedy), "boot a newer kernel (5.4 or later)");
}

static void advise_no_guest(const struct check_guests *guests, struct check_advice *advice)
{
	char words[64];

	check_outcome_describe(&guests->probe[CHECK_LONG_MODE], words, sizeof(words));
	snprintf(advice->what, sizeof(advice->what),
		 "KVM answers, but a guest of three instructions does not run: %.280s",
		 guests->err.text[0] ? guests->err.text : words);
	snprintf(advice->remedy, sizeof(advice->remedy),
		 "stop other hypervisors (VirtualBox, VMware), and see what the kernel says: sudo "
		 "dmesg | grep -i kvm");
}

static void advise_tiny(const struct check_report *report, bool failed, struct check_advice *advice)
{
	const char *who = report->host.pvm
				  ? "this host's KVM (kvm_pvm) runs only paravirtual kernels"
				  : "this host's KVM can't run an unmodified kernel's ring 0";
	const char *module = check_host_module(&report->host);
	char names[128];

	check_print_failed(&report->guests, names, sizeof(names));
	if (failed)
		snprintf(advice->what, sizeof(advice->what), "%s: a guest fails at %s", who, names);
	else
		snprintf(advice->what, sizeof(advice->what),
			 "%s: it emulates it, at %.1f million instructions a second", who,
			 report->guests.mips);
	snprintf(advice->remedy, sizeof(advice->remedy),
		 "use a host with hardware virtualization: bare metal, or a virtual machine with "
		 "nested virtualization (the parameter nested of %s on the outer host), where %s "
		 "can be loaded",
		 module ? module : "kvm_intel or kvm_amd", module ? module : "it");
}

void check_decide(struct check_report *report)
{
	const struct check_guests *guests = &report->guests;
	const struct check_kvm *kvm = &report->kvm;
	struct check_advice *advice = &report->advice;
	bool failed = false;

	*advice = (struct check_advice){0};
	report->verdict = CHECK_NOTHING;
	report->finding = check_host_find(&report->host, kvm->error);
	if (report->finding != CHECK_FOUND_OK) {
		check_host_advise(&report->host, report->finding, kvm->error, advice);
		return;
	}
	if (kvm->api_version != KVM_API_VERSION || kvm->needed_missing) {
		advise_kvm(kvm, advice);
		return;
	}
	if (guests->probe[CHECK_LONG_MODE].end != CHECK_DONE) {
		advise_no_guest(guests, advice);
		return;
	}
	for (unsigned i = 0; i < CHECK_PROBES; i++)
		failed |= guests->probe[i].end != CHECK_DONE &&
			  guests->probe[i].end != CHECK_NOT_TRIED;
	report->verdict = failed || guests->mips < CHECK_MIPS_MIN ? CHECK_TINY : CHECK_STOCK;
	if (report->verdict == CHECK_TINY)
		advise_tiny(report, failed, advice);
}

static void collect(struct check_report *report)
{
	int fd;

	*report = (struct check_report){0};
	check_host_look("", &report->host);
	fd = check_kvm_open(&report->kvm);
	if (fd >= 0) {
		if (!report->kvm.needed_missing)
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
	if (json)
		check_print_json(&report, stdout);
	else
		check_print_text(&report, stdout);
	return check_status(report.verdict);
}
