/*
 * The modules: files as the distribution has them, compressed ones too where the kernel can
 * decompress them itself (Linux 5.17, CONFIG_MODULE_DECOMPRESS).
 */
#include <errno.h>
#include <linux/fcntl.h>
#include <string.h>

#include "boot/init/files.h"
#include "boot/init/modules.h"
#include "boot/init/protocol.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

/* MODULE_INIT_COMPRESSED_FILE, which older headers don't have. */
enum { COMPRESSED_FILE = 4 };

void modules_load(void)
{
	char name[NAME_BYTES] = "", path[PATH_BYTES];
	struct digits digits;

	while (directory_next(INIT_MODULES, name)) {
		const size_t length = strlen(name);
		const bool plain = length > 3 && !strcmp(name + length - 3, ".ko");
		long error;
		int fd;

		text_join(path, sizeof(path), INIT_MODULES "/", name, NULL);
		fd = file_take(path, O_RDONLY);
		error = fd < 0 ? fd : sys_finit_module(fd, "", plain ? 0 : COMPRESSED_FILE);
		if (error && error != -EEXIST)
			note("can't load module ", name, ": ",
			     error == -ENOENT ? "it needs another module's symbols"
					      : text_error(&digits, error),
			     NULL);
		if (fd >= 0)
			sys_close(fd);
	}
}
