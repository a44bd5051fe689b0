/*
 * The ports: virtio_console makes them and learns their names from messages of the host's, some
 * time after its module was loaded. Each is /dev/vportNpM, its name in /sys/class/virtio-ports
 * (virtio 1.2, 5.3.6.2; Linux drivers/char/virtio_console.c). A port that the host doesn't have open
 * hangs up.
 */
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <string.h>

#include "boot/init/files.h"
#include "boot/init/ports.h"
#include "boot/init/protocol.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

#define CLASS "/sys/class/virtio-ports"

/* Opens the port of this name; returns a descriptor, or -1 if it isn't there yet. */
static int port_open(const char *wanted)
{
	char device[NAME_BYTES] = "", path[PATH_BYTES], line[64], name[64];

	text_join(line, sizeof(line), wanted, "\n", NULL);
	while (directory_next(CLASS, device)) {
		int fd;
		long count;

		text_join(path, sizeof(path), CLASS "/", device, "/name", NULL);
		fd = file_take(path, O_RDONLY);
		if (fd < 0)
			continue;
		count = sys_read(fd, name, sizeof(name) - 1);
		name[count > 0 ? count : 0] = '\0';
		sys_close(fd);
		if (strcmp(name, line))
			continue;
		text_join(path, sizeof(path), "/dev/", device, NULL);
		return file_take(path, O_RDWR | O_NONBLOCK);
	}
	return -1;
}

int pause_next(int pause_ms)
{
	sys_poll(NULL, 0, pause_ms);
	return pause_ms < 64 ? pause_ms * 2 : pause_ms;
}

const char *ports_open(int fd[PORTS])
{
	static const char *const names[PORTS] = {INIT_PORT_STDIO, INIT_PORT_STDERR,
						 INIT_PORT_CONTROL};
	int left_ms = PORTS_WAIT_MS, pause_ms = 1;
	int class = file_take(CLASS, O_RDONLY | O_DIRECTORY);

	/* The driver makes it before it looks for devices. */
	if (class < 0)
		return "a driver for virtio consoles (CONFIG_VIRTIO_CONSOLE), built into the kernel "
		       "or among the modules that came with init";
	sys_close(class);
	for (int i = 0; i < PORTS; i++) {
		fd[i] = -1;
		for (;;) {
			struct pollfd port;

			if (fd[i] < 0)
				fd[i] = port_open(names[i]);
			port = (struct pollfd){.fd = fd[i]};
			if (fd[i] >= 0 && sys_poll(&port, 1, 0) == 0)
				break;
			if (left_ms <= 0)
				return names[i];
			left_ms -= pause_ms;
			pause_ms = pause_next(pause_ms);
		}
	}
	return NULL;
}
