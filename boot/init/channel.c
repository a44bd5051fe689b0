/* One direction of a stream: see channel.h. */
#include <errno.h>
#include <linux/poll.h>

#include "boot/init/channel.h"
#include "boot/init/sys.h"

void channel_open(struct channel *channel, int from, int to)
{
	channel->from = from;
	channel->to = to;
	channel->limit = UINT64_MAX;
	channel->received = channel->passed = 0;
	channel->at = channel->held = 0;
	channel->ended = from < 0;
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

void channel_end(struct channel *channel)
{
	channel->ended = true;
	close_end(&channel->from);
}

void channel_drop(struct channel *channel)
{
	channel->held = 0;
	close_end(&channel->to);
}

void channel_limit(struct channel *channel, u64 bytes)
{
	channel->limit = bytes;
	if (channel->received >= bytes)
		channel_end(channel);
}

bool channel_is_done(const struct channel *channel)
{
	return channel->ended && !channel->held;
}

void channel_poll(const struct channel *channel, struct pollfd *wait)
{
	/* An end that hangs up wakes poll() even when it is asked for nothing: only the reader's
	 * is wanted always. */
	wait[0] = (struct pollfd){.fd = channel->held ? -1 : channel->from, .events = POLLIN};
	wait[1] = (struct pollfd){.fd = channel->to, .events = channel->held ? POLLOUT : 0};
}

/* Whether an operation is to be tried again later; a port copies what it takes, so wants memory. */
static bool is_later(long result)
{
	return result == -EAGAIN || result == -EINTR || result == -ENOMEM;
}

void channel_move(struct channel *channel, const struct pollfd *wait)
{
	long count;

	if (channel->to >= 0 && wait[1].revents & (POLLERR | POLLHUP | POLLNVAL))
		channel_drop(channel);
	if (!channel->held && channel->from >= 0 && wait[0].revents) {
		const u64 left = channel->limit - channel->received;

		count = sys_read(channel->from, channel->bytes,
				 left < CHANNEL_BYTES ? left : CHANNEL_BYTES);
		if (is_later(count))
			return;
		if (count > 0) {
			channel->at = 0;
			channel->held = channel->to < 0 ? 0 : (size_t)count;
			channel->received += (u64)count;
		}
		/* A terminal without a process ends with EIO. */
		if (count <= 0 || channel->received == channel->limit)
			channel_end(channel);
	}
	while (channel->held) {
		count = sys_write(channel->to, channel->bytes + channel->at, channel->held);
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
