/*
 * The archive with bantam's init: see init_archive.h.
 */
#include "vmm/init_archive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/init/program.h"
#include "boot/kernel.h"
#include "boot/modules.h"
#include "vmm/command.h"
#include "vmm/share_board.h"

enum { MODULES_WANTED_MAX = 8 };

static void record(FILE *out, const char *key, const char *value)
{
	fprintf(out, "%s=%s", key, value);
	fputc('\0', out);
}

static void record_if(FILE *out, const char *key, const char *value)
{
	if (value)
		record(out, key, value);
}

/* -e NAME alone takes the value that it has here, if it has one. */
static void record_env(FILE *out, const char *env)
{
	const char *value = getenv(env);

	if (strchr(env, '='))
		record(out, INIT_ENV, env);
	else if (value)
		fprintf(out, "%s=%s=%s%c", INIT_ENV, env, value, '\0');
}

/* The type of the file system in an image, by its magic number; what most images are if it has none. */
static const char *disk_file_system(const char *path)
{
	static const struct {
		const char *name, *magic;
		off_t at;
	} types[] = {{"squashfs", "hsqs", 0},
		     {"xfs", "XFSB", 0},
		     {"erofs", "\xe2\xe1\xf5\xe0", 1024},
		     {"btrfs", "_BHRfS_M", 0x10040}};
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	const char *found = "ext4";
	char bytes[8];

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const size_t count = strlen(types[i].magic);

		if (pread(fd, bytes, count, types[i].at) == (ssize_t)count &&
		    memcmp(bytes, types[i].magic, count) == 0)
			found = types[i].name;
	}
	if (fd >= 0)
		close(fd);
	return found;
}

static void record_root(FILE *out, const struct config *config)
{
	const struct share_config *root = &config->root;
	const char *how = root->read_only ? "ro" : root->write_through ? "rw" : "cow";
	char tag[SHARE_TAG_BYTES];

	if (config->root.is_directory)
		fprintf(out, "%s=virtiofs %s %s%c", INIT_ROOT, SHARE_ROOT_TAG, how, '\0');
	else if (root->host) /* the disk itself is copy-on-write */
		fprintf(out, "%s=%s /dev/vda %s%c", INIT_ROOT, disk_file_system(root->host),
			root->read_only ? "ro" : "rw", '\0');
	for (unsigned i = 0; i < config->volumes; i++) {
		share_tag(tag, i);
		fprintf(out, "%s=%s %s %s%c", INIT_VOLUME, tag,
			config->volume[i].read_only ? "ro" : "rw", config->volume[i].guest, '\0');
	}
}

static void record_all(FILE *out, const struct config *config)
{
	unsigned rows, columns;

	for (int i = 0; i < config->words; i++)
		record(out, INIT_ARG, config->command[i]);
	if (config->tty)
		record_env(out, "TERM");
	for (unsigned i = 0; i < config->envs; i++)
		record_env(out, config->env[i]);
	record_root(out, config);
	record_if(out, INIT_DIR, config->dir);
	record_if(out, INIT_USER, config->user);
	record(out, INIT_HOSTNAME,
	       config->hostname ? config->hostname
	       : config->name   ? config->name
				: "bantam");
	if (config->tty) {
		command_terminal_size(&rows, &columns);
		fprintf(out, "%s=%u %u%c", INIT_TTY, rows, columns, '\0');
	}
	/* eth0 is the first. */
	if (config->nets && config->net[0].kind == NET_USER) {
		record(out, INIT_ADDRESS, NET_USER_ADDRESS "/" NET_USER_BITS);
		record(out, INIT_GATEWAY, NET_USER_GATEWAY);
		record(out, INIT_NAMESERVER, NET_USER_NAMESERVER);
	}
}

static int add_config(struct cpio *archive, const struct config *config, struct error *err)
{
	char *bytes = NULL;
	size_t count = 0;
	FILE *out = open_memstream(&bytes, &count);
	bool failed = true;

	if (out) {
		record_all(out, config);
		failed = ferror(out);
		failed = fclose(out) || failed;
	}
	if (!failed)
		cpio_add(archive, INIT_CONFIG, S_IFREG | 0400, bytes, count);
	free(bytes);
	return failed ? error_set(err, "no memory for COMMAND's words") : 0;
}

static int add_modules(struct cpio *archive, const struct config *config, struct error *hint,
		       struct error *err)
{
	char release[KERNEL_RELEASE_BYTES];
	const char *wanted[MODULES_WANTED_MAX];
	struct modules_request request = {
		.release = release, .directory = config->modules, .wanted = wanted};
	struct boot_file kernel;
	int result;

	wanted[request.wanted_count++] = config->transport == TRANSPORT_PCI ? "virtio_pci"
									    : "virtio_mmio";
	wanted[request.wanted_count++] = "virtio_console";
	if (config->disks)
		wanted[request.wanted_count++] = "virtio_blk";
	if (config->root.is_directory || config->volumes)
		wanted[request.wanted_count++] = "virtiofs";
	if (config->root.is_directory)
		wanted[request.wanted_count++] = "overlay";
	else if (config->root.host)
		wanted[request.wanted_count++] = disk_file_system(config->root.host);
	if (config->nets)
		wanted[request.wanted_count++] = "virtio_net";
	if (file_open(&kernel, config->kernel, 0, err))
		return error_prefix(err, "cannot boot '%s'", config->kernel);
	result = kernel_release(&kernel, release, err);
	file_close(&kernel);
	if (result)
		return error_prefix(err, "cannot boot '%s'", config->kernel);
	result = modules_pack(&request, archive, err);
	if (result == MODULES_NO_DIRECTORY)
		*hint = *err;
	return result < 0 ? -1 : 0;
}

int init_archive_make(struct cpio *archive, const struct config *config, struct error *hint,
		      struct error *err)
{
	cpio_begin(archive);
	cpio_add(archive, INIT_DIRECTORY, S_IFDIR | 0700, NULL, 0);
	cpio_add(archive, INIT_PROGRAM, S_IFREG | 0700, init_program, init_program_bytes);
	if (add_config(archive, config, err) || add_modules(archive, config, hint, err))
		return -1;
	return cpio_end(archive, err);
}
