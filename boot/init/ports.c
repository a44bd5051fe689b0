/*
 * The kernel modules that came with init, and the ports that they are for.
 *
 * Modules are files as a distribution has them, compressed ones too where the kernel can decompress
 * them itself (Linux 5.17, CONFIG_MODULE_DECOMPRESS).
 *
 * virtio_console makes the ports and learns their names from messages of the host's, some time after
 * it was loaded. Each is /dev/vportNpM, its name in /sys/class/virtio-ports (virtio 1.2, 5.3.6.2;
 * Linux drivers/char/virtio_console.c). A port that the host doesn't have open hangs up.
 */
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/time.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

#define CLASS "/sys/class/virtio-ports"

enum { COMPRESSED_FILE = 4 }; /* MODULE_INIT_COMPRESSED_FILE: older headers don't have it */
enum { WAIT_US = 10000000, PAUSE_US = 50, PAUSE_MAX_US = 2000 };

void modules_load(void)
{
	char name[NAME_BYTES] = "", path[PATH_BYTES];

	while (directory_next(INIT_MODULES, name)) {
		const size_t end = text_join(path, sizeof(path), STRINGS(INIT_MODULES "/", name));
		const int fd = file_take(path, O_RDONLY);
		const long error = sys(finit_module, fd, "",
				       strcmp(path + end - 3, ".ko") != 0 ? COMPRESSED_FILE : 0);

		if (error && error != -EEXIST)
			NOTE("can't load module ", name, ": ",
			     error == -ENOENT ? "it needs another one's symbols"
					      : TEXT_ERROR(error));
		sys(close, fd);
	}
}

/* Opens the port of this name; returns a descriptor, or -1 if it isn't there yet. */
static int port_open(const char *wanted)
{
	char device[NAME_BYTES] = "", path[PATH_BYTES];

	while (directory_next(CLASS, device)) {
		char name[64] = "", *rest = name;
		int fd;

		text_join(path, sizeof(path), STRINGS(CLASS "/", device, "/name"));
		fd = file_take(path, O_RDONLY);
		sys(read, fd, name, sizeof(name) - 1);
		sys(close, fd);
		if (strcmp(text_split(&rest, '\n'), wanted) != 0)
			continue;
		text_join(path, sizeof(path), STRINGS("/dev/", device));
		return file_take(path, O_RDWR | O_NONBLOCK);
	}
	return -1;
}

/* Waits a little, longer each time: most hosts answer at once. False: that was long enough. */
static bool pause(u32 *waited_us)
{
	const u32 wanted_us = PAUSE_US + *waited_us / 4,
		  us = wanted_us < PAUSE_MAX_US ? wanted_us : PAUSE_MAX_US;
	const struct timespec time = {.tv_nsec = 1000L * us};

	*waited_us += us;
	sys(nanosleep, &time, NULL);
	return *waited_us < WAIT_US;
}

const char *ports_open(int fd[PORTS])
{
	static const char *const names[PORTS] = {INIT_PORT_STDIO, INIT_PORT_STDERR,
						 INIT_PORT_CONTROL};
	const int class = file_take(CLASS, O_RDONLY | O_DIRECTORY);
	u32 waited_us = 0;

	/* The driver makes it before it looks for devices. */
	if (class < 0)
		return "a driver for virtio consoles (CONFIG_VIRTIO_CONSOLE), built into the kernel "
		       "or among the modules that came with init";
	sys(close, class);
	for (int i = 0; i < PORTS; i++) {
		struct pollfd port = {.fd = -1};

		for (;;) {
			if (port.fd < 0)
				port.fd = fd[i] = port_open(names[i]);
			if (port.fd >= 0 && !sys(poll, &port, 1, 0))
				break;
			if (!pause(&waited_us))
				return names[i];
		}
	}
	return NULL;
}
