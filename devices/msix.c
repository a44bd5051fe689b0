/*
 * MSI-X: see msix.h.
 */
#include "devices/msix.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bell.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(msix, CALL(preadv2, SANDBOX_VCPU, "an interrupt that was pending"),
	      CALL(poll, SANDBOX_VCPU, "the pending bits"));

/* The control dword's one bit, and the bytes of a message. */
enum { ENTRY_MASKED = 1, MESSAGE_BYTES = MSIX_CONTROL * sizeof(u32) };

static const struct msix_entry power_on = {.dword = {[MSIX_CONTROL] = ENTRY_MASKED}};

int msix_init(struct msix *msix, unsigned vectors, const struct wiring *wiring, u32 first_gsi,
	      struct error *err)
{
	*msix = (struct msix){.wiring = wiring, .first_gsi = first_gsi};
	for (unsigned v = 0; v < vectors; v++) {
		msix->entry[v] = power_on;
		msix->fd[v] = bell_open(err);
		if (msix->fd[v] < 0)
			return -1;
		msix->vectors++;
	}
	return 0;
}

void msix_destroy(struct msix *msix)
{
	for (unsigned v = 0; v < msix->vectors; v++)
		close(msix->fd[v]);
	msix->vectors = 0;
}

/*
 * Joins a vector to its descriptor. The kernel would deliver what the descriptor has counted, but
 * leave the count, and the vector would look pending for ever: so it is taken out before and put
 * back behind.
 */
static bool join(struct msix *msix, unsigned v)
{
	const struct wiring *wiring = msix->wiring;
	const bool pending = bell_silence(msix->fd[v]);
	const bool joined =
		wiring->ops->interrupt(wiring->owner, msix->fd[v], msix->first_gsi + v, true);

	if (pending)
		bell_ring(msix->fd[v]);
	return joined;
}

/* Tells the kernel a vector's message, if it doesn't know it yet. */
static bool tell(struct msix *msix, unsigned v)
{
	const struct wiring *wiring = msix->wiring;
	const struct msix_entry *entry = &msix->entry[v];
	const u64 address = (u64)entry->dword[MSIX_ADDRESS_HIGH] << 32 |
			    entry->dword[MSIX_ADDRESS_LOW];

	if (memcmp(entry, &msix->told[v], MESSAGE_BYTES) == 0)
		return true;
	if (!wiring->ops->message(wiring->owner, msix->first_gsi + v, address,
				  entry->dword[MSIX_DATA]))
		return false;
	msix->told[v] = *entry;
	return true;
}

/*
 * Brings the kernel's wires to what the registers say of a vector. A message that the kernel refuses
 * is nothing that could reach the guest: the vector stays parted.
 */
static void update(struct msix *msix, unsigned v)
{
	const struct wiring *wiring = msix->wiring;
	const bool open = msix->enabled && !msix->all_masked &&
			  !(msix->entry[v].dword[MSIX_CONTROL] & ENTRY_MASKED) && tell(msix, v);

	if (open && !msix->joined[v])
		msix->joined[v] = join(msix, v);
	else if (!open && msix->joined[v])
		msix->joined[v] = !wiring->ops->interrupt(wiring->owner, msix->fd[v],
							  msix->first_gsi + v, false);
}

void msix_control(struct msix *msix, bool enabled, bool all_masked)
{
	msix->enabled = enabled;
	msix->all_masked = all_masked;
	for (unsigned v = 0; v < msix->vectors; v++)
		update(msix, v);
}

void msix_reset(struct msix *msix)
{
	msix_control(msix, false, false);
	for (unsigned v = 0; v < msix->vectors; v++) {
		msix->entry[v] = power_on;
		msix->told[v] = (struct msix_entry){{0}};
		msix->joined[v] = false;
		(void)bell_silence(msix->fd[v]);
	}
}

u64 msix_read_table(const struct msix *msix, u64 offset, unsigned width)
{
	u64 value = 0;

	for (unsigned i = 0; i < width; i++) {
		const u64 index = (offset + i) / 4;
		u32 dword = 0;

		if (index / MSIX_DWORDS < msix->vectors)
			dword = msix->entry[index / MSIX_DWORDS].dword[index % MSIX_DWORDS];
		value |= (u64)(dword >> (8 * ((offset + i) % 4)) & 0xff) << (8 * i);
	}
	return value;
}

static void write_dword(struct msix *msix, u64 index, u32 value)
{
	static const u32 writable[] = {[MSIX_ADDRESS_LOW] = ~3U,
				       [MSIX_ADDRESS_HIGH] = ~0U,
				       [MSIX_DATA] = ~0U,
				       [MSIX_CONTROL] = ENTRY_MASKED};
	const unsigned v = (unsigned)(index / MSIX_DWORDS), dword = index % MSIX_DWORDS;

	if (v >= msix->vectors)
		return;
	msix->entry[v].dword[dword] = value & writable[dword];
	update(msix, v);
}

/* 6.8.2: whole dwords or qwords, aligned; what other writes do is left open, and they do nothing. */
void msix_write_table(struct msix *msix, u64 offset, unsigned width, u64 value)
{
	if (width < 4 || offset % width)
		return;
	write_dword(msix, offset / 4, (u32)value);
	if (width == 8)
		write_dword(msix, offset / 4 + 1, (u32)(value >> 32));
}

u64 msix_read_pending(const struct msix *msix, u64 offset, unsigned width)
{
	u64 pending = 0;

	for (unsigned v = 0; v < msix->vectors; v++) {
		struct pollfd fd = {.fd = msix->fd[v], .events = POLLIN};

		if (!msix->joined[v] && poll(&fd, 1, 0) > 0)
			pending |= (u64)1 << v;
	}
	return offset < 8 && width <= 8 ? pending >> (8 * offset) : 0;
}
