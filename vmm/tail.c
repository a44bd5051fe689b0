/*
 * The console's last lines: see tail.h.
 */
#include "vmm/tail.h"

#include <unistd.h>

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
	(void)!write(fd, text, used);
}
