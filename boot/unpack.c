/*
 * Unpacking on the host: see unpack.h.
 *
 * Which tool it takes, the first bytes of a bzImage's payload tell. How long the result is, its last
 * four: in gzip's format they are, and behind the others the kernel's build puts them. A tool that doesn't
 * know them would complain of them, so they are left out where they aren't its format's own.
 *
 * Source: Linux Documentation/arch/x86/boot.rst, payload_offset; scripts/Makefile.lib (size_append).
 */
#include "boot/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot/image_cache.h"
#include "boot/kernel.h"
#include "boot/x86/kaslr.h"

enum { TOOL_MS = 120000, TOOL_CPU_SECONDS = 60, MAGIC_BYTES = 6, SIZE_BYTES = 4 };

static const struct {
	char magic[MAGIC_BYTES];
	unsigned count;
	const char *tool;
} formats[] = {
	{"\x1f\x8b", 2, "gzip"},        {"\3757zXZ", 6, "xz"}, {"\x28\xb5\x2f\xfd", 4, "zstd"},
	{"\x02\x21\x4c\x18", 4, "lz4"}, {"BZh", 3, "bzip2"},   {"\x89LZO", 4, "lzop"},
	{"\x5d\0\0", 3, "xz"}, /* lzma */
};

/* Whether a signal is held back for the main loop that will end the machine. */
static bool is_ending(void)
{
	sigset_t held;

	sigpending(&held);
	return sigismember(&held, SIGINT) || sigismember(&held, SIGTERM) ||
	       sigismember(&held, SIGHUP) || sigismember(&held, SIGQUIT);
}

/* Returns the tool's status. One that sleeps too long, or is in a signal's way, is ended. */
static int wait_for(pid_t pid)
{
	int status = -1;
	unsigned ms = 0;
	pid_t ended;

	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
		if (is_ending() || ms++ == TOOL_MS)
			kill(pid, SIGKILL);
		(void)poll(NULL, 0, 1);
	}
	return status;
}

int unpack_run(const char *tool, int *fd, u64 most, struct error *err)
{
	const struct rlimit limit = {TOOL_CPU_SECONDS, TOOL_CPU_SECONDS};
	char *const arguments[] = {(char *)(uintptr_t)tool, (char *)(uintptr_t) "-dc", NULL};
	const int out = memfd_create(tool, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int status = -1, error;
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, *fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	/* As long as it may become; it is cut to what was written. */
	if (out < 0 || ftruncate(out, (off_t)most) || fcntl(out, F_ADD_SEALS, F_SEAL_GROW)) {
		error = errno;
	} else if ((error = posix_spawnp(&pid, tool, &actions, NULL, arguments, environ)) == 0) {
		(void)prlimit(pid, RLIMIT_CPU, &limit, NULL);
		status = wait_for(pid);
	}
	posix_spawn_file_actions_destroy(&actions);
	if (status == 0 && ftruncate(out, lseek(out, 0, SEEK_CUR)) == 0) {
		close(*fd);
		*fd = out;
		return 0;
	}
	if (out >= 0)
		close(out);
	return error == ENOENT ? 1
			       : error_set(err, "'%s -dc' can't unpack it%s%s", tool,
					   error ? ": " : "", error ? strerror(error) : "");
}

/* Which tool unpacks it, or NULL; the payload becomes what that tool is given. */
static const char *recognise(const struct boot_file *kernel, struct payload *payload,
			     struct error *err)
{
	u8 magic[MAGIC_BYTES];

	if (payload->bytes < MAGIC_BYTES + SIZE_BYTES || payload->image_bytes > UNPACK_MAX_BYTES) {
		error_set(err, "its payload is broken: %llu bytes that become %llu", payload->bytes,
			  payload->image_bytes);
		return NULL;
	}
	if (file_read(kernel, payload->at, magic, sizeof(magic), err))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (memcmp(magic, formats[i].magic, formats[i].count) != 0)
			continue;
		payload->bytes -= i ? SIZE_BYTES : 0;
		return formats[i].tool;
	}
	error_set(err, "it is compressed in an unknown way");
	return NULL;
}

/* Has the payload unpacked into a file in memory; its descriptor, or -1 with err set. */
static int unpack_payload(const struct boot_file *kernel, const struct payload *payload,
			  const char *tool, struct error *err)
{
	int fd = memfd_create("payload", MFD_CLOEXEC), result;

	if (fd < 0 || file_copy(fd, kernel->fd, payload->at, payload->bytes) ||
	    lseek(fd, 0, SEEK_SET)) {
		result = error_errno(err, "cannot read its payload");
	} else if ((result = unpack_run(tool, &fd, payload->image_bytes, err)) == 1) {
		error_set(err, "the program %s is not installed", tool);
	} else if (result == 0 && (u64)lseek(fd, 0, SEEK_END) != payload->image_bytes) {
		result = error_set(err, "its payload is shorter than it says");
	}
	if (result && fd >= 0)
		close(fd);
	return result ? -1 : fd;
}

/* Whether what was unpacked is a kernel that can be loaded. */
static int check_image(const struct payload *payload, int fd, struct error *err)
{
	const struct boot_file image = {.fd = fd, .bytes = payload->image_bytes};
	struct vmlinux vmlinux;

	if (vmlinux_open(&vmlinux, &image, payload->gpa, err))
		return -1;
	vmlinux_close(&vmlinux);
	return 0;
}

static int find_or_unpack(const struct boot_file *kernel, struct payload *payload,
			  enum unpack_mode mode, struct error *err)
{
	const char *const tool = recognise(kernel, payload, err);
	const int cache = tool ? image_cache_open(err) : -1;
	int fd = -1;

	if (!tool || (cache < 0 && mode == UNPACK_AUTO))
		return -1;
	if (cache >= 0)
		fd = image_cache_find(cache, kernel, payload);
	if (fd < 0) {
		fd = unpack_payload(kernel, payload, tool, err);
		if (fd >= 0 && check_image(payload, fd, err)) {
			close(fd);
			fd = -1;
		}
		if (fd >= 0 && cache >= 0)
			image_cache_keep(cache, kernel, payload, fd);
	}
	if (cache >= 0)
		close(cache);
	return fd;
}

int unpack_kernel(const char *path, enum unpack_mode mode, struct error *err)
{
	struct kernel_head head;
	struct payload payload;
	struct boot_file kernel;
	enum boot_kind kind;
	int fd = -1;

	if (file_open(&kernel, path, 0, err))
		return -1;
	if (kernel_recognise(&kernel, &head, &kind, err) == 0) {
		if (kind != BOOT_BZIMAGE)
			fd = 0;
		else if (bzimage_payload(&kernel, &head, &payload, err) == 0)
			fd = find_or_unpack(&kernel, &payload, mode, err);
	}
	file_close(&kernel);
	return fd;
}
