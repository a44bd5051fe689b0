/*
 * Listens to what the guest's kernel says about its own end: see watch.h.
 */
#include "vmm/watch.h"

#include <string.h>

static const char PANIC[] = "Kernel panic - not syncing";
static const char PANIC_END[] = "---[ end Kernel panic";
static const char RESTARTING[] = "reboot: Restarting system";

static bool begins(const char *line, const char *phrase)
{
	return strncmp(line, phrase, strlen(phrase)) == 0;
}

/* Skips printk's time stamp, "[    1.234567] ", with the caller's id, "[    T1] ", behind it. */
static const char *skip_stamp(const char *line)
{
	while (*line == '[') {
		const size_t stamp = strspn(line + 1, " .0123456789TC");

		if (stamp == 0 || line[1 + stamp] != ']')
			break;
		line += stamp + 2;
		if (*line == ' ')
			line++;
	}
	return line;
}

/* The line is quoted on the user's terminal: nothing of it may do more there than be read. */
static void ascii_only(char *text)
{
	for (; *text; text++) {
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
	}
}

static enum watch_news judge_line(struct watch *watch)
{
	const char *said = skip_stamp(watch->line);

	/* What was said last counts: a kernel that panics on its way down doesn't restart in order. */
	if (begins(said, RESTARTING))
		atomic_store(&watch->restarting, true);
	else if (begins(said, PANIC))
		atomic_store(&watch->restarting, false);
	if (begins(said, PANIC) && !atomic_load(&watch->panicked)) {
		memcpy(watch->panic_line, said, strlen(said) + 1);
		ascii_only(watch->panic_line);
		atomic_store(&watch->panicked, true);
	} else if (begins(said, PANIC_END) && atomic_load(&watch->panicked)) {
		return WATCH_PANIC_END;
	}
	return WATCH_NOTHING;
}

enum watch_news watch_byte(struct watch *watch, u8 byte)
{
	enum watch_news news = WATCH_NOTHING;

	if (byte == '\r')
		return WATCH_NOTHING;
	if (byte != '\n') {
		if (watch->used < sizeof(watch->line) - 1)
			watch->line[watch->used++] = (char)byte;
		return WATCH_NOTHING;
	}
	watch->line[watch->used] = '\0';
	if (watch->used)
		news = judge_line(watch);
	watch->used = 0;
	return news;
}
