/*
 * The value of --disk: see disk_option.h.
 */
#include "vmm/disk_option.h"

#include <string.h>

#include "devices/virtio/device.h"
#include "vmm/options.h"

static int set_serial(void *into, const char *text, struct error *err)
{
	struct disk_config *disk = into;

	if (strlen(text) >= sizeof(disk->serial))
		return error_set(err, "--disk: serial=%s is longer than %d bytes", text,
				 DISK_SERIAL_BYTES);
	memcpy(disk->serial, text, strlen(text) + 1);
	return 0;
}

#define IN(member) OPTION_FIELD(struct disk_config, member)

static const struct option_word table[] = {
	{"ro", IN(read_only), .number = true},
	{"ephemeral", IN(ephemeral), .number = true},
	{"direct", IN(direct), .number = true},
	{"serial=", .set = set_serial},
	{"queues=", IN(queues), .least = 1, .most = VIRTIO_QUEUES_MAX},
	{"iops=", IN(limit.requests.rate), .least = 1, .rate = true},
	{"bps=", IN(limit.bytes.rate), .least = LIMIT_BYTES_MIN, .rate = true},
};

static const struct option_words words = {
	"--disk", table, ARRAY_LEN(table),
	"there are ro, ephemeral, direct, serial=ID, queues=N, iops=N and bps=N (a comma in a file's "
	"name is written ,,)"};

int disk_option_parse(struct disk_config *disk, const char *value, struct error *err)
{
	char *rest;

	*disk = (struct disk_config){.path = options_copy(value, &rest, err), .queues = 1};
	if (!disk->path)
		return -1;
	if (!disk->path[0])
		return error_set(err, "--disk '%s': no file is named", value);
	if (options_words(&words, disk, rest, err))
		return -1;
	if (disk->read_only && disk->ephemeral)
		return error_set(err, "--disk: ro and ephemeral don't go together: choose one");
	return 0;
}
