/*
 * The guest's console as hvc0: see hvc.h.
 */
#include "vmm/hvc.h"

#include <string.h>

static size_t take(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct hvc *hvc = owner;
	const volatile u8 *bytes = piece->iov_base;

	(void)pieces;
	for (size_t i = 0; i < piece->iov_len; i++)
		console_put(hvc->console, bytes[i]);
	return piece->iov_len;
}

static size_t give(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct hvc *hvc = owner;
	bool ask;
	u32 bytes;

	pthread_mutex_lock(&hvc->lock);
	bytes = virtq_copy(piece, pieces, 0, hvc->key, (u32)hvc->keys, true);
	hvc->keys -= bytes;
	memmove(hvc->key, hvc->key + bytes, hvc->keys);
	ask = hvc->keys == 0 && !hvc->asked;
	hvc->asked = hvc->asked || ask;
	pthread_mutex_unlock(&hvc->lock);
	if (ask)
		console_want_input(hvc->console);
	return bytes;
}

/* On the main thread. */
static size_t input(void *owner, const u8 *bytes, size_t count)
{
	struct hvc *hvc = owner;

	pthread_mutex_lock(&hvc->lock);
	if (count > sizeof(hvc->key) - hvc->keys)
		count = sizeof(hvc->key) - hvc->keys;
	hvc->asked = false;
	if (count)
		memcpy(hvc->key + hvc->keys, bytes, count);
	hvc->keys += count;
	pthread_mutex_unlock(&hvc->lock);
	if (count)
		vconsole_wake(hvc->device);
	return count;
}

static void output_drained(void *owner)
{
	(void)owner; /* nobody was told to wait */
}

void hvc_init(struct hvc *hvc, struct vconsole *device, struct console *console)
{
	*hvc = (struct hvc){.device = device, .console = console};
	pthread_mutex_init(&hvc->lock, NULL);
	device->port[0] = (struct vconsole_port){
		.take = take, .give = give, .take_fd = -1, .give_fd = -1, .owner = hvc};
}

struct console_device hvc_console_device(struct hvc *hvc)
{
	return (struct console_device){
		.input = input, .output_drained = output_drained, .device = hvc};
}

void hvc_close(struct hvc *hvc)
{
	if (hvc->device)
		pthread_mutex_destroy(&hvc->lock);
	hvc->device = NULL;
}
