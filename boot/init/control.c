/* The control port: see control.h. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "boot/init/control.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

/* Takes bytes off the front of a queue. */
static void consume(char *queue, size_t *bytes, size_t taken)
{
	for (size_t i = taken; i < *bytes; i++)
		queue[i - taken] = queue[i];
	*bytes -= taken;
}

void control_flush(struct control *control)
{
	long count;

	while (control->out_bytes &&
	       (count = sys_write(control->fd, control->out, control->out_bytes)) > 0)
		consume(control->out, &control->out_bytes, (size_t)count);
}

void control_say(struct control *control, const char *first, ...)
{
	char line[PROTOCOL_LINE_BYTES] = "";
	const char *more = first;
	va_list list;
	size_t length;

	va_start(list, first);
	for (; more; more = va_arg(list, const char *))
		text_join(line + strlen(line), sizeof(line) - 1 - strlen(line), more, NULL);
	va_end(list);
	text_join(line + strlen(line), 2, "\n", NULL);
	length = strlen(line);
	if (length > sizeof(control->out) - control->out_bytes)
		return;
	memcpy(control->out + control->out_bytes, line, length);
	control->out_bytes += length;
	control_flush(control);
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
		[CONTROL_DONE] = {"done", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const size_t length = strlen(table[i].word);

		if (strncmp(line, table[i].word, length))
			continue;
		if (table[i].numbers ? text_to_numbers(line + length, table[i].numbers,
						       table[i].max, numbers)
				     : !line[length])
			return (enum control_word)i;
	}
	return CONTROL_UNKNOWN;
}

bool control_next(struct control *control, enum control_word *word, u64 numbers[2])
{
	for (;;) {
		long count;

		for (size_t i = 0; i < control->in_bytes; i++)
			if (control->in[i] == '\n') {
				control->in[i] = '\0';
				*word = control_parse(control->in, numbers);
				consume(control->in, &control->in_bytes, i + 1);
				return true;
			}
		count = sys_read(control->fd, control->in + control->in_bytes,
				 sizeof(control->in) - control->in_bytes);
		if (count <= 0) {
			control->gone = control->gone || (count != -EAGAIN && count != -EINTR);
			return false;
		}
		control->in_bytes += (size_t)count;
	}
}
