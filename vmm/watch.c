/*
 * Listens to what the guest's kernel says: see watch.h.
 */
#include "vmm/watch.h"

#include <string.h>

#include "vmm/readwrite.h"

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

void tail_put(struct tail *tail, u8 byte)
{
	if (byte == '\r' || byte == '\0')
		return;
	if (byte != '\n' && byte != '\t' && (byte < ' ' || byte == 0x7f))
		byte = '?';
	tail->byte[tail->total++ % TAIL_BYTES] = (char)byte;
}

static char byte_at(const struct tail *tail, u64 place)
{
	return tail->byte[place % TAIL_BYTES];
}

void tail_print(const struct tail *tail, int fd)
{
	const u64 first = tail->total > TAIL_BYTES ? tail->total - TAIL_BYTES : 0;
	u64 from = tail->total;
	unsigned lines = 0;
	char text[TAIL_BYTES + 1];
	size_t used = 0;

	/* Back to the newline in front of the first line that is wanted. */
	while (from > first) {
		if (byte_at(tail, from - 1) == '\n' && from < tail->total && ++lines == TAIL_LINES)
			break;
		from--;
	}
	/* A line whose beginning is lost isn't shown. */
	if (first && from == first) {
		while (from < tail->total && byte_at(tail, from++) != '\n')
			;
	}
	for (; from < tail->total; from++)
		text[used++] = byte_at(tail, from);
	if (used && text[used - 1] != '\n')
		text[used++] = '\n';
	(void)!io_write(fd, text, used);
}
