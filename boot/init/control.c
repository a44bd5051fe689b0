/* The control port: lines to the host and from it, as protocol.h has them. */
#include <errno.h>
#include <linux/poll.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

/* Takes bytes off the front of a queue. */
static void consume(char *queue, size_t *bytes, size_t taken)
{
	memcpy(queue, queue + taken, *bytes - taken);
	*bytes -= taken;
}

void control_poll(struct control *control, struct pollfd *wait)
{
	long count;

	while (control->out_bytes &&
	       (count = sys(write, control->fd, control->out, control->out_bytes)) > 0)
		consume(control->out, &control->out_bytes, (size_t)count);
	*wait = (struct pollfd){.fd = control->gone ? -1 : control->fd,
				.events = control->out_bytes ? POLLIN | POLLOUT : POLLIN};
}

void control_say(struct control *control, const char *const *list)
{
	char line[PROTOCOL_LINE_BYTES];
	size_t length = text_join(line, sizeof(line), list);

	for (char *at = line; *at; at++)
		if ((u8)*at < ' ' || *at == 0x7f)
			*at = '?';
	line[length++] = '\n';
	if (length > sizeof(control->out) - control->out_bytes)
		return;
	memcpy(control->out + control->out_bytes, line, length);
	control->out_bytes += length;
}

enum control_word control_parse(char *line, u64 numbers[2])
{
	static const struct {
		const char *word;
		size_t numbers;
		u64 max;
	} table[] = {
		[CONTROL_SIZE] = {"size ", 2, UINT16_MAX},
		[CONTROL_SIGNAL] = {"signal ", 1, 64},
		[CONTROL_END_STDIN] = {"end stdin ", 1, UINT64_MAX},
		[CONTROL_CLOSE_STDOUT] = {"close stdout", 0, 0},
		[CONTROL_CLOSE_STDERR] = {"close stderr", 0, 0},
	};
	size_t word = 0;

	for (; word < ARRAY_LEN(table); word++) {
		char *rest = text_after(line, table[word].word);
		const size_t count = table[word].numbers;

		if (rest &&
		    (count ? text_to_numbers(rest, count, table[word].max, numbers) : !*rest))
			break;
	}
	return (enum control_word)word;
}

bool control_next(struct control *control, enum control_word *word, u64 numbers[2])
{
	long count;

	do {
		for (size_t i = 0; i < control->in_bytes; i++)
			if (control->in[i] == '\n') {
				control->in[i] = '\0';
				*word = control_parse(control->in, numbers);
				consume(control->in, &control->in_bytes, i + 1);
				return true;
			}
		count = sys(read, control->fd, control->in + control->in_bytes,
			    sizeof(control->in) - control->in_bytes);
		control->in_bytes += count > 0 ? (size_t)count : 0;
	} while (count > 0);
	control->gone = control->gone || (count != -EAGAIN && count != -EINTR);
	return false;
}
