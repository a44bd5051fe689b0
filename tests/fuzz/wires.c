/* The kernel's wires: see wires.h. */
#include "tests/fuzz/wires.h"

#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static bool same_bell(const struct doorbell *a, const struct doorbell *b)
{
	return a->fd == b->fd && a->io_port == b->io_port && a->address == b->address &&
	       a->width == b->width && a->match == b->match && a->value == b->value;
}

/* KVM has no two of them: a write would ring both. */
static bool collide(const struct doorbell *a, const struct doorbell *b)
{
	return a->io_port == b->io_port && a->address == b->address && a->width == b->width &&
	       (!a->match || !b->match || a->value == b->value);
}

static bool is_refused(struct wires *wires)
{
	const bool refused = wires->refuse & 1;

	wires->refuse >>= 1;
	wires->refused = wires->refused || refused;
	return refused;
}

static bool doorbell(void *owner, const struct doorbell *bell, bool lay)
{
	struct wires *wires = owner;
	bool rings = !lay || !is_refused(wires);
	unsigned same = wires->bells;

	FUZZ_CHECK(bell->fd >= 0 && bell->address);
	for (unsigned i = 0; i < wires->bells; i++) {
		if (same_bell(&wires->laid[i].bell, bell))
			same = i;
		else if (wires->laid[i].rings && collide(&wires->laid[i].bell, bell))
			rings = false;
	}
	if (lay) {
		FUZZ_CHECK(same == wires->bells); /* it isn't laid yet */
		FUZZ_CHECK(wires->bells < WIRES_BELLS_MAX);
		wires->laid[wires->bells].bell = *bell;
		wires->laid[wires->bells++].rings = rings;
		return rings;
	}
	FUZZ_CHECK(same < wires->bells); /* it is laid */
	rings = wires->laid[same].rings;
	wires->laid[same] = wires->laid[--wires->bells];
	return rings;
}

static unsigned take(int fd)
{
	u64 count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static bool interrupt(void *owner, int fd, u32 gsi, bool join)
{
	struct wires *wires = owner;

	FUZZ_CHECK(gsi < WIRES_GSIS && fd >= 0);
	FUZZ_CHECK(wires->interrupt[gsi].joined != join);
	FUZZ_CHECK(join || wires->interrupt[gsi].fd == fd);
	if (is_refused(wires))
		return false;
	wires->interrupt[gsi].delivered += take(fd);
	wires->interrupt[gsi].joined = join;
	wires->interrupt[gsi].fd = fd;
	return true;
}

static bool message(void *owner, u32 gsi, u64 address, u32 data)
{
	struct wires *wires = owner;

	FUZZ_CHECK(gsi < WIRES_GSIS);
	if (is_refused(wires))
		return false;
	wires->interrupt[gsi].address = address;
	wires->interrupt[gsi].data = data;
	return true;
}

static const struct wiring_ops ops = {
	.doorbell = doorbell, .interrupt = interrupt, .message = message};

void wires_init(struct wires *wires)
{
	*wires = (struct wires){.wiring = {&ops, wires}};
}

bool wires_ring(const struct wires *wires, bool io_port, u64 address, unsigned width, u64 value)
{
	const u64 one = 1;

	for (unsigned i = 0; i < wires->bells; i++) {
		const struct doorbell *bell = &wires->laid[i].bell;

		if (!wires->laid[i].rings || bell->io_port != io_port || bell->address != address ||
		    bell->width != width || (bell->match && bell->value != value))
			continue;
		FUZZ_CHECK(write(bell->fd, &one, sizeof(one)) == sizeof(one));
		return true;
	}
	return false;
}

bool wires_has_bell(const struct wires *wires, int fd, bool io_port, u64 address)
{
	for (unsigned i = 0; i < wires->bells; i++) {
		const struct doorbell *bell = &wires->laid[i].bell;

		if (bell->fd == fd && bell->io_port == io_port && bell->address == address)
			return true;
	}
	return false;
}

unsigned wires_delivered(struct wires *wires, u32 gsi)
{
	unsigned count;

	if (wires->interrupt[gsi].joined)
		wires->interrupt[gsi].delivered += take(wires->interrupt[gsi].fd);
	count = wires->interrupt[gsi].delivered;
	wires->interrupt[gsi].delivered = 0;
	return count;
}
