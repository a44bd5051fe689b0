/*
 * The report of `bantam check`: see check_print.h.
 *
 * Text: a line for each subject, in three columns: subject, judgement, details. JSON: the keys are
 * a promise to scripts; new ones may be added, and none changes its meaning. A fact that could not
 * be found out is null.
 */
#include "vmm/check_print.h"

#include <string.h>

#include "vmm/json.h"

static const char *const verdict_names[] = {
	[CHECK_STOCK] = "stock", [CHECK_TINY] = "tiny", [CHECK_NOTHING] = "nothing"};

static bool probe_failed(const struct check_outcome *outcome)
{
	return outcome->end != CHECK_DONE && outcome->end != CHECK_NOT_TRIED;
}

/* Whether guests ran at all, so that there is something to say about them. */
static bool guests_tried(const struct check_report *report)
{
	return report->guests.probe[CHECK_LONG_MODE].end != CHECK_NOT_TRIED;
}

static bool guests_ran(const struct check_report *report)
{
	return report->guests.probe[CHECK_LONG_MODE].end == CHECK_DONE;
}

/* Whether KVM answered, so that its capabilities are known. */
static bool kvm_answered(const struct check_report *report)
{
	return report->kvm.capabilities > 0;
}

static void append(char *text, size_t bytes, const char *word, const char *between)
{
	const size_t used = strlen(text);

	snprintf(text + used, bytes - used, "%s%s", used ? between : "", word);
}

void check_print_failed(const struct check_guests *guests, char *text, size_t bytes)
{
	text[0] = '\0';
	for (unsigned i = 0; i < CHECK_PROBES; i++) {
		if (probe_failed(&guests->probe[i]))
			append(text, bytes, check_probe_name((enum check_probe)i), ", ");
	}
}

/* The columns: where the judgement and the details begin, and where a line ends if it can. */
enum { JUDGEMENT_AT = 18, DETAILS_AT = 22, WIDTH = 96 };

/* A subject's line; long details go on below themselves. */
static void line(FILE *out, const char *subject, const char *judgement, const char *details)
{
	const int judgement_width = details[0] ? DETAILS_AT - JUDGEMENT_AT : 0;
	size_t column = DETAILS_AT;

	fprintf(out, "%-*s%-*s", JUDGEMENT_AT, subject, judgement_width, judgement);
	while (*details) {
		const size_t length = strcspn(details, " ");

		if (column > DETAILS_AT && column + length > WIDTH) {
			fprintf(out, "\n%*s", DETAILS_AT, "");
			column = DETAILS_AT;
		}
		fprintf(out, "%s%.*s", column > DETAILS_AT ? " " : "", (int)length, details);
		column += length + 1;
		details += length + strspn(details + length, " ");
	}
	fputc('\n', out);
}

static void print_kvm(const struct check_report *report, FILE *out)
{
	const struct check_host *host = &report->host;
	char details[128];

	if (report->finding != CHECK_FOUND_OK) {
		line(out, "KVM", "no", "/dev/kvm can't be opened");
		return;
	}
	snprintf(details, sizeof(details), "/dev/kvm, API %d%s%s", report->kvm.api_version,
		 host->intel || host->amd || host->pvm ? ", " : "",
		 host->pvm     ? "kvm_pvm"
		 : host->intel ? "kvm_intel"
		 : host->amd   ? "kvm_amd"
			       : "");
	line(out, "KVM", kvm_answered(report) ? "ok" : "no", details);
}

/* The missing capabilities, needed or nice, without the beginning that all names have. */
static void list_missing(const struct check_kvm *kvm, bool needed, char *text, size_t bytes)
{
	text[0] = '\0';
	for (unsigned i = 0; i < kvm->capabilities; i++) {
		const struct check_capability *capability = &kvm->capability[i];

		if (capability->needed == needed && !capability->value)
			append(text, bytes, capability->name + strlen("KVM_CAP_"), ", ");
	}
}

static void print_capabilities(const struct check_report *report, FILE *out)
{
	const struct check_kvm *kvm = &report->kvm;
	char missing[512], details[600];

	if (!kvm_answered(report))
		return;
	list_missing(kvm, true, missing, sizeof(missing));
	if (kvm->needed_missing)
		snprintf(details, sizeof(details), "needed, and missing: %s", missing);
	else
		snprintf(details, sizeof(details), "all that are needed");
	line(out, "capabilities", kvm->needed_missing ? "no" : "ok", details);
	list_missing(kvm, false, missing, sizeof(missing));
	snprintf(details, sizeof(details), "nice, and missing: %s", missing);
	if (kvm->nice_missing)
		line(out, "", "", details);
	snprintf(details, sizeof(details), "%d recommended, %d at most", kvm->vcpus_recommended,
		 kvm->vcpus_max);
	line(out, "vCPUs", "", details);
}

static void print_guests(const struct check_report *report, FILE *out)
{
	const struct check_guests *guests = &report->guests;
	char words[64];

	if (!guests_tried(report))
		return;
	for (unsigned i = 0; i < CHECK_PROBES; i++) {
		const struct check_outcome *outcome = &guests->probe[i];
		const bool done = outcome->end == CHECK_DONE;

		check_outcome_describe(outcome, words, sizeof(words));
		if (outcome->end == CHECK_NOT_TRIED)
			line(out, check_probe_name((enum check_probe)i), "-",
			     guests_ran(report) ? "KVM doesn't offer it to guests" : words);
		else
			line(out, check_probe_name((enum check_probe)i), done ? "ok" : "no",
			     done ? "" : words);
	}
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

static void print_speed(const struct check_report *report, FILE *out)
{
	const struct check_guests *guests = &report->guests;
	const bool slow = guests->mips < CHECK_MIPS_MIN;
	char details[128];

	if (!guests_ran(report))
		return;
	if (guests->mips > 0)
		snprintf(details, sizeof(details), "%.*f million ring-0 instructions a second%s",
			 slow ? 1 : 0, guests->mips, slow ? ": emulated one by one" : "");
	else
		snprintf(details, sizeof(details), "could not be measured");
	line(out, "speed", slow ? "no" : "ok", details);
	snprintf(details, sizeof(details),
		 "single-step %s, hardware breakpoints %s, software breakpoints %s",
		 yes_no(guests->debug.step), yes_no(guests->debug.hardware),
		 yes_no(guests->debug.software));
	line(out, "debugging", "", details);
}

/* Adds "subject yes", or "subject no (why)" for an errno. */
static void append_layer(char *text, size_t bytes, const char *subject, int error)
{
	char words[128];

	if (error)
		snprintf(words, sizeof(words), "%s no (%.64s)", subject, strerror(error));
	else
		snprintf(words, sizeof(words), "%s yes", subject);
	append(text, bytes, words, ", ");
}

static void print_sandbox(const struct check_sandbox *sandbox, FILE *out)
{
	char landlock[32] = "no", details[512];

	if (sandbox->landlock_abi)
		snprintf(landlock, sizeof(landlock), "ABI %d", sandbox->landlock_abi);
	snprintf(details, sizeof(details), "seccomp %s%s, Landlock %s", yes_no(sandbox->seccomp),
		 sandbox->seccomp_inherited ? " (one filter is on already)" : "", landlock);
	append_layer(details, sizeof(details), "user namespaces", sandbox->user_namespaces);
	append_layer(details, sizeof(details), "io_uring", sandbox->io_uring);
	append_layer(details, sizeof(details), "io_uring restrictions",
		     sandbox->io_uring_restrictions);
	line(out, "sandbox", "", details);
}

void check_print_text(const struct check_report *report, FILE *out)
{
	static const char *const words[] = {
		[CHECK_STOCK] = "Stock kernels run here.",
		[CHECK_TINY] = "Only tiny guests run here, no stock kernels.",
		[CHECK_NOTHING] = "No guest runs here.",
	};

	print_kvm(report, out);
	print_capabilities(report, out);
	print_guests(report, out);
	print_speed(report, out);
	print_sandbox(&report->sandbox, out);
	fprintf(out, "\n%s\n", words[report->verdict]);
	if (report->advice.what[0])
		fprintf(out, "Why: %s\n", report->advice.what);
	if (report->advice.remedy[0])
		fprintf(out, "What to do: %s\n", report->advice.remedy);
}

static void text_or_null(struct json *json, const char *key, const char *text)
{
	if (text && text[0])
		json_text(json, key, text);
	else
		json_null(json, key);
}

static void json_host(struct json *json, const struct check_host *host)
{
	json_open_object(json, "host");
	text_or_null(json, "vendor", host->vendor);
	json_bool(json, "vmx", host->vmx);
	json_bool(json, "svm", host->svm);
	json_bool(json, "hypervisor", host->hypervisor);
	json_bool(json, "kvm_intel", host->intel);
	json_bool(json, "kvm_amd", host->amd);
	json_bool(json, "kvm_pvm", host->pvm);
	if (host->intel || host->amd)
		json_bool(json, "nested", host->nested);
	else
		json_null(json, "nested");
	json_bool(json, "container", host->container);
	json_bool(json, "ci", host->ci);
	if (host->device.there) {
		char mode[16];

		json_open_object(json, "device");
		json_text(json, "owner", host->device.owner);
		json_text(json, "group", host->device.group);
		snprintf(mode, sizeof(mode), "%04o", (unsigned)host->device.mode);
		json_text(json, "mode", mode);
		json_close_object(json);
	} else {
		json_null(json, "device");
	}
	json_close_object(json);
}

static void json_capabilities(struct json *json, const struct check_kvm *kvm, bool needed)
{
	json_open_object(json, needed ? "needed" : "nice");
	for (unsigned i = 0; i < kvm->capabilities; i++) {
		if (kvm->capability[i].needed == needed)
			json_signed(json, kvm->capability[i].name, kvm->capability[i].value);
	}
	json_close_object(json);
}

static void json_kvm(struct json *json, const struct check_report *report)
{
	const struct check_kvm *kvm = &report->kvm;

	json_open_object(json, "kvm");
	json_text(json, "finding", check_finding_name(report->finding));
	if (report->finding == CHECK_FOUND_OK)
		json_signed(json, "api_version", kvm->api_version);
	else
		json_null(json, "api_version");
	if (kvm_answered(report)) {
		json_capabilities(json, kvm, true);
		json_capabilities(json, kvm, false);
		json_signed(json, "vcpus_recommended", kvm->vcpus_recommended);
		json_signed(json, "vcpus_max", kvm->vcpus_max);
		json_signed(json, "memory_slots", kvm->memory_slots);
	}
	json_close_object(json);
}

/* A script's name for the probe: "long mode" is long_mode. */
static void json_probe(struct json *json, const struct check_guests *guests, enum check_probe probe)
{
	const struct check_outcome *outcome = &guests->probe[probe];
	char key[32];

	snprintf(key, sizeof(key), "%s", check_probe_name(probe));
	for (char *at = key; *at; at++)
		*at = *at == ' ' ? '_' : *at;
	json_open_object(json, key);
	if (outcome->end == CHECK_NOT_TRIED)
		json_null(json, "ok");
	else
		json_bool(json, "ok", outcome->end == CHECK_DONE);
	json_text(json, "end", check_end_name(outcome->end));
	if (outcome->end == CHECK_INTERNAL_ERROR)
		json_number(json, "suberror", outcome->number);
	if (outcome->end == CHECK_EXCEPTION)
		json_number(json, "vector", outcome->number);
	json_close_object(json);
}

static void json_guests(struct json *json, const struct check_report *report)
{
	const struct check_guests *guests = &report->guests;

	json_open_object(json, "guests");
	for (unsigned i = 0; i < CHECK_PROBES; i++)
		json_probe(json, guests, (enum check_probe)i);
	json_close_object(json);
	if (!guests_ran(report)) {
		json_null(json, "mips");
		json_null(json, "debug");
		return;
	}
	json_fraction(json, "mips", guests->mips);
	json_open_object(json, "debug");
	json_bool(json, "single_step", guests->debug.step);
	json_bool(json, "hardware_breakpoints", guests->debug.hardware);
	json_bool(json, "software_breakpoints", guests->debug.software);
	json_close_object(json);
}

static void json_sandbox(struct json *json, const struct check_sandbox *sandbox)
{
	json_open_object(json, "sandbox");
	json_bool(json, "seccomp", sandbox->seccomp);
	json_bool(json, "seccomp_inherited", sandbox->seccomp_inherited);
	json_signed(json, "landlock_abi", sandbox->landlock_abi);
	json_bool(json, "user_namespaces", sandbox->user_namespaces == 0);
	json_bool(json, "io_uring", sandbox->io_uring == 0);
	json_bool(json, "io_uring_restrictions", sandbox->io_uring_restrictions == 0);
	json_close_object(json);
}

void check_print_json(const struct check_report *report, FILE *out)
{
	struct json json;

	json_init(&json, out);
	json_open_object(&json, NULL);
	json_text(&json, "verdict", verdict_names[report->verdict]);
	json_signed(&json, "exit_status", check_status(report->verdict));
	text_or_null(&json, "what", report->advice.what);
	text_or_null(&json, "remedy", report->advice.remedy);
	json_host(&json, &report->host);
	json_kvm(&json, report);
	json_guests(&json, report);
	json_sandbox(&json, &report->sandbox);
	json_close_object(&json);
}
