/* One direction of a stream: see init.h. */
#include <errno.h>
#include <linux/poll.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

void channel_open(struct channel *channel, int from, int to)
{
	channel->from = from;
	channel->to = to;
	channel->limit = UINT64_MAX;
	channel->received = channel->passed = 0;
	channel->at = channel->held = 0;
}

void channel_end(struct channel *channel)
{
	sys(close, channel->from);
	channel->from = -1;
}

void channel_drop(struct channel *channel)
{
	channel->held = 0;
	sys(close, channel->to);
	channel->to = -1;
}

void channel_limit(struct channel *channel, u64 bytes)
{
	channel->limit = bytes;
	if (channel->received >= bytes)
		channel_end(channel);
}

bool channel_is_done(const struct channel *channel)
{
	return channel->from < 0 && !channel->held;
}

void channel_poll(const struct channel *channel, struct pollfd *wait)
{
	/* An end that hangs up wakes poll() even when it is asked for nothing: that the reader
	 * goes is always wanted, that the writer does only when it has been read empty. */
	wait[0] = (struct pollfd){.fd = channel->held ? -1 : channel->from, .events = POLLIN};
	wait[1] = (struct pollfd){.fd = channel->to, .events = channel->held ? POLLOUT : 0};
}

/* Whether an operation is to be tried again later; a port copies what it takes, so wants memory. */
static bool is_later(long result)
{
	return result == -EAGAIN || result == -EINTR || result == -ENOMEM;
}

/* Until nothing more is there: a port gives no more than a page at once. */
static void fill(struct channel *channel)
{
	long count;

	channel->at = 0;
	do {
		const u64 left = channel->limit - channel->received;
		const size_t room = CHANNEL_BYTES - channel->held;

		count = sys(read, channel->from, channel->bytes + channel->held,
			    left < room ? left : room);
		if (count > 0) {
			channel->held += (size_t)count;
			channel->received += (u64)count;
		}
	} while (count > 0 && channel->held < CHANNEL_BYTES && channel->received < channel->limit);
	if (channel->to < 0)
		channel->held = 0;
	/* An error is an end as well: a terminal's, on which no process is left, is EIO. */
	if (channel->received == channel->limit || (count <= 0 && !is_later(count)))
		channel_end(channel);
}

void channel_move(struct channel *channel, const struct pollfd *wait)
{
	if (wait[1].revents & (POLLERR | POLLHUP | POLLNVAL))
		channel_drop(channel);
	if (wait[0].revents)
		fill(channel);
	while (channel->held) {
		const long count =
			sys(write, channel->to, channel->bytes + channel->at, channel->held);

		if (is_later(count))
			return;
		if (count <= 0) {
			channel_drop(channel);
			return;
		}
		channel->at += (size_t)count;
		channel->held -= (size_t)count;
		channel->passed += (u64)count;
	}
}
