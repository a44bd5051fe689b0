/*
 * The value of --disk: see disk_option.h.
 */
#include "vmm/disk_option.h"

#include <stdlib.h>
#include <string.h>

#include "devices/virtio/device.h"
#include "vmm/options.h"

static int set_queues(struct disk_config *disk, const char *text, struct error *err)
{
	if (options_number(text, 1, VIRTIO_QUEUES_MAX, &disk->queues))
		return 0;
	return error_set(err, "--disk: queues=%s: 1 to %d are possible", text, VIRTIO_QUEUES_MAX);
}

static int set_serial(struct disk_config *disk, const char *text, struct error *err)
{
	if (strlen(text) >= sizeof(disk->serial))
		return error_set(err, "--disk: serial=%s is longer than %d bytes", text,
				 DISK_SERIAL_BYTES);
	memcpy(disk->serial, text, strlen(text) + 1);
	return 0;
}

static int apply_word(struct disk_config *disk, const char *word, struct error *err)
{
	static const char serial[] = "serial=", queues[] = "queues=";

	if (strcmp(word, "ro") == 0)
		disk->read_only = true;
	else if (strcmp(word, "ephemeral") == 0)
		disk->ephemeral = true;
	else if (strcmp(word, "direct") == 0)
		disk->direct = true;
	else if (strncmp(word, serial, sizeof(serial) - 1) == 0)
		return set_serial(disk, word + sizeof(serial) - 1, err);
	else if (strncmp(word, queues, sizeof(queues) - 1) == 0)
		return set_queues(disk, word + sizeof(queues) - 1, err);
	else
		return error_set(err,
				 "--disk: '%s' is not known; there are ro, ephemeral, direct, "
				 "serial=ID and queues=N (a comma in a file's name is written ,,)",
				 word);
	return 0;
}

int disk_option_parse(struct disk_config *disk, const char *value, struct error *err)
{
	char *path = strdup(value);
	char *words;

	if (!path)
		return error_set(err, "no memory for the options");
	words = options_split(path);
	*disk = (struct disk_config){.path = path, .queues = 1};
	if (!path[0]) {
		error_set(err, "--disk '%s': no file is named", value);
		goto free;
	}
	while (words) {
		if (apply_word(disk, strsep(&words, ","), err))
			goto free;
	}
	if (!disk->read_only || !disk->ephemeral)
		return 0;
	error_set(err, "--disk: ro and ephemeral don't go together: choose one");
free:
	disk_option_free(disk);
	return -1;
}

void disk_option_free(struct disk_config *disk)
{
	free((void *)(uintptr_t)disk->path);
	disk->path = NULL;
}
