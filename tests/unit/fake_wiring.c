/* Wires that only remember: see fake_wiring.h. */
#include "tests/unit/test.h"

#include <poll.h>
#include <unistd.h>

#include "tests/unit/fake_wiring.h"

static bool same_place(const struct doorbell *a, const struct doorbell *b)
{
	return a->io_port == b->io_port && a->address == b->address;
}

static bool fake_doorbell(void *owner, const struct doorbell *bell, bool lay)
{
	struct fake_wiring *fake = owner;
	unsigned i = 0;

	fake->calls++;
	while (i < fake->bells &&
	       !(same_place(&fake->bell[i], bell) && fake->bell[i].match == bell->match &&
		 fake->bell[i].value == bell->value))
		i++;
	if (fake->refuse)
		return false;
	if (lay) {
		assert_int_equal(i, fake->bells); /* it isn't laid yet */
		assert_true(i < FAKE_BELLS_MAX);
		fake->bell[fake->bells++] = *bell;
		return true;
	}
	assert_true(i < fake->bells);
	assert_int_equal(fake->bell[i].fd, bell->fd);
	assert_int_equal(fake->bell[i].width, bell->width);
	fake->bell[i] = fake->bell[--fake->bells];
	return true;
}

static struct fake_interrupt *find(struct fake_wiring *fake, u32 gsi)
{
	assert_in_range(gsi, fake->first_gsi, fake->first_gsi + FAKE_GSIS - 1);
	return &fake->interrupt[gsi - fake->first_gsi];
}

/* What a descriptor counts, which is 0 afterwards. */
static u64 take(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	u64 count;

	if (poll(&poll_fd, 1, 0) != 1 || read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}

/*
 * KVM takes the count when somebody writes to a descriptor that is joined. What it counted when it
 * was joined is delivered, but stays until the next write: stale.
 */
static void look(struct fake_interrupt *interrupt)
{
	const u64 count = take(interrupt->fd);

	if (count > interrupt->stale) {
		interrupt->delivered++;
		interrupt->stale = 0;
	} else if (count) {
		assert_int_equal(write(interrupt->fd, &count, sizeof(count)), sizeof(count));
	} else {
		interrupt->stale = 0;
	}
}

static bool fake_interrupt(void *owner, int fd, u32 gsi, bool join)
{
	struct fake_wiring *fake = owner;
	struct fake_interrupt *interrupt = find(fake, gsi);

	fake->calls++;
	if (fake->refuse)
		return false;
	assert_int_not_equal(interrupt->joined, join);
	if (join) {
		interrupt->stale = take(fd);
		if (interrupt->stale)
			assert_int_equal(write(fd, &interrupt->stale, 8), 8);
		interrupt->delivered += interrupt->stale != 0;
	} else {
		assert_int_equal(interrupt->fd, fd);
		look(interrupt);
	}
	interrupt->fd = fd;
	interrupt->joined = join;
	interrupt->joins += join;
	return true;
}

static bool fake_message(void *owner, u32 gsi, u64 address, u32 data)
{
	struct fake_wiring *fake = owner;
	struct fake_interrupt *interrupt = find(fake, gsi);

	fake->calls++;
	if (fake->refuse)
		return false;
	interrupt->address = address;
	interrupt->data = data;
	interrupt->messages++;
	return true;
}

static const struct wiring_ops fake_ops = {
	.doorbell = fake_doorbell, .interrupt = fake_interrupt, .message = fake_message};

void fake_wiring_init(struct fake_wiring *fake, u32 first_gsi)
{
	*fake = (struct fake_wiring){.first_gsi = first_gsi};
	fake->wiring = (struct wiring){&fake_ops, fake};
}

void fake_deliver(struct fake_wiring *fake)
{
	for (unsigned i = 0; i < FAKE_GSIS; i++) {
		if (fake->interrupt[i].joined)
			look(&fake->interrupt[i]);
	}
}

bool fake_ring(struct fake_wiring *fake, bool io_port, u64 address, unsigned width, u64 value)
{
	const struct doorbell write_to = {.io_port = io_port, .address = address};
	const u64 one = 1;

	for (unsigned i = 0; i < fake->bells; i++) {
		const struct doorbell *bell = &fake->bell[i];

		if (!same_place(bell, &write_to) || bell->width != width ||
		    (bell->match && bell->value != value))
			continue;
		assert_int_equal(write(bell->fd, &one, sizeof(one)), sizeof(one));
		return true;
	}
	return false;
}
