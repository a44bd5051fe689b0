/*
 * --result FILE: see result.h.
 */
#include "vmm/result.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/json.h"
#include "vmm/machine.h"

#ifdef __GLIBC__
SANDBOX_CALLS(result_glibc, CALL(write, SANDBOX_REPORT, "the result; lines of --stats"));
#else
SANDBOX_CALLS(result_musl, CALL(writev, SANDBOX_REPORT, "the result; lines of --stats"));
#endif
SANDBOX_CALLS(result, CALL(close, SANDBOX_MAIN, "files, at the end"),
	      CALL(ftruncate, SANDBOX_REPORT, "a file that can't be written whole is empty"),
	      CALL(getrusage, SANDBOX_REPORT, "peak memory for the result"));

int result_open(struct result *result, const char *what, const char *path, struct error *err)
{
	int fd;

	result->file = NULL;
	result->what = what;
	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
	result->file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!result->file) {
		error_errno(err, "cannot write the %s to '%s'", what, path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setvbuf(result->file, result->buffer, _IOFBF, sizeof(result->buffer));
	return 0;
}

int result_finish(struct result *result)
{
	const bool failed = fflush(result->file) || ferror(result->file);
	const int error = errno;

	/* No reader is to take a part for the whole. */
	if (failed)
		(void)!ftruncate(fileno(result->file), 0);
	if (!fclose(result->file) && !failed)
		return 0;
	say("the %s could not be written: %s", result->what, strerror(failed ? error : errno));
	return -1;
}

void result_json(const struct machine *machine, struct json *json, const char *key)
{
	const struct config *config = machine->config;
	const struct verdict *verdict = &machine->verdict;
	const struct timeline *timeline = &machine->timeline;
	struct rusage usage;
	char words[768];

	verdict_describe(verdict, words, sizeof(words));
	json_open(json, key, '{');
	json_text(json, "reason", verdict_name(verdict->reason));
	json_value(json, "exit_code", "%d", verdict_status(verdict));
	if (verdict->reason == VERDICT_SIGNAL || verdict->reason == VERDICT_COMMAND_SIGNAL)
		json_value(json, "signal", "%d", verdict->number);
	if (config->command)
		json_value(json, "by_command", verdict_is_commands(verdict) ? "true" : "false");
	json_text(json, "message", words);
	json_value(json, "duration_ms", "%.3f", timeline_ms(timeline, STAGE_END));
	json_value(json, "first_instruction_ms", "%.3f",
		   timeline_ms(timeline, STAGE_FIRST_INSTRUCTION));
	json_value(json, "first_instruction_cpu_ms", "%.3f",
		   (double)atomic_load(&timeline->first_instruction_cpu_ns) / 1e6);
	json_value(json, "restarts", "%u", machine->restarts);
	stats_exits_json(machine, json);
	json_value(json, "peak_memory_kib", "%ld",
		   getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_maxrss);
	json_text(json, "version", BANTAM_VERSION);
	json_open(json, "command", '[');
	for (int i = 0; i < config->argc; i++)
		json_text(json, NULL, config->argv[i]);
	json_close(json, ']');
	json_close(json, '}');
}

int result_write(struct result *result, const struct machine *machine)
{
	struct json json = {.out = result->file};

	if (!result->file)
		return 0;
	result_json(machine, &json, NULL);
	return result_finish(result);
}
