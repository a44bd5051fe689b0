/*
 * The value of --disk: see disk_option.h.
 */
#include "vmm/disk_option.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/device.h"

const char *option_copy_path(char *path, const char *value)
{
	while (*value && (value[0] != ',' || value[1] == ',')) {
		value += *value == ',';
		*path++ = *value++;
	}
	*path = '\0';
	return value;
}

static int set_queues(struct disk_config *disk, const char *text, struct error *err)
{
	char *end;
	const unsigned long count = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end || count < 1 || count > VIRTIO_QUEUES_MAX)
		return error_set(err, "--disk: queues=%s: 1 to %d are possible", text,
				 VIRTIO_QUEUES_MAX);
	disk->queues = (unsigned)count;
	return 0;
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

static int apply_words(struct disk_config *disk, const char *at, struct error *err)
{
	while (*at) {
		const char *word = at + 1;
		const size_t length = strcspn(word, ",");
		char copy[256];

		if (length >= sizeof(copy))
			return error_set(err, "--disk: '%s' is not known", word);
		snprintf(copy, sizeof(copy), "%.*s", (int)length, word);
		if (apply_word(disk, copy, err))
			return -1;
		at = word + length;
	}
	if (disk->read_only && disk->ephemeral)
		return error_set(err, "--disk: ro and ephemeral don't go together: choose one");
	return 0;
}

int disk_option_parse(struct disk_config *disk, const char *value, struct error *err)
{
	char *path = malloc(strlen(value) + 1);
	const char *words;

	if (!path)
		return error_set(err, "no memory for the options");
	words = option_copy_path(path, value);
	*disk = (struct disk_config){.path = path, .queues = 1};
	if (!path[0])
		error_set(err, "--disk '%s': no file is named", value);
	else if (apply_words(disk, words, err) == 0)
		return 0;
	disk_option_free(disk);
	return -1;
}

void disk_option_free(struct disk_config *disk)
{
	free((void *)(uintptr_t)disk->path);
	disk->path = NULL;
}
