/*
 * A directory of kernel modules, all of it input (boot/modules.c): modules.dep and
 * modules.builtin, or neither of them, and the files of three modules.
 *
 * Input: which lists there are and which module is wanted, a byte; the lengths of the two lists
 * and of the first two modules, two bytes each; then all of that, and the third module.
 *
 * Checked: what a module depends on is text that lies in the file, with its end, and the same
 * bytes say the same again; a refusal gives its reason; what is packed are these modules, whole,
 * each name once and numbered, and nothing that a link or a path leads to outside of the
 * directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/init/protocol.h"
#include "boot/modules.h"
#include "tests/fuzz/fuzz.h"

enum { DEP = 1, BUILTIN = 2, WANTED_SHIFT = 2, WANTED_MASK = 3 };
enum { FILES = 5, MODULES_FROM = 2, PATH_BYTES = 128, HEADER_BYTES = 110 };

static const char *const paths[FILES] = {"modules.dep", "modules.builtin", "kernel/a.ko",
					 "kernel/b-c.ko", "d.ko"};

struct tree {
	char root[PATH_BYTES / 2];
	const u8 *bytes[FILES];
	size_t count[FILES];
	bool there[FILES];
};

static const char *in_tree(const struct tree *tree, const char *name, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%s", tree->root, name);
	return path;
}

static void tree_make(struct tree *tree)
{
	const char *const where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char path[PATH_BYTES];

	snprintf(tree->root, sizeof(tree->root), "%s/bantam-fuzz-XXXXXX", where);
	FUZZ_CHECK(mkdtemp(tree->root));
	FUZZ_CHECK(mkdir(in_tree(tree, "kernel", path), 0700) == 0);
	FUZZ_CHECK(symlink("/etc/passwd", in_tree(tree, "kernel/out.ko", path)) == 0);
	for (unsigned i = 0; i < FILES; i++) {
		int fd;

		if (!tree->there[i])
			continue;
		fd = open(in_tree(tree, paths[i], path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		FUZZ_CHECK(fd >= 0 &&
			   write(fd, tree->bytes[i], tree->count[i]) == (ssize_t)tree->count[i]);
		close(fd);
	}
}

static void tree_remove(const struct tree *tree)
{
	char path[PATH_BYTES];

	for (unsigned i = 0; i < FILES; i++)
		FUZZ_CHECK(!tree->there[i] || unlink(in_tree(tree, paths[i], path)) == 0);
	FUZZ_CHECK(unlink(in_tree(tree, "kernel/out.ko", path)) == 0);
	FUZZ_CHECK(rmdir(in_tree(tree, "kernel", path)) == 0 && rmdir(tree->root) == 0);
}

static void check_depends(const u8 *bytes, size_t count)
{
	const char *depends = NULL, *again = NULL;
	struct error err = {.text = ""};
	size_t at;

	if (modules_depends(bytes, count, &depends, &err)) {
		FUZZ_CHECK(err.text[0]);
		return;
	}
	FUZZ_CHECK(modules_depends(bytes, count, &again, &err) == 0 && again == depends);
	if (depends[0] == '\0')
		return;
	at = (size_t)((const u8 *)depends - bytes);
	FUZZ_CHECK(at < count && memchr(depends, '\0', count - at));
	FUZZ_CHECK(memcmp(bytes + at - strlen("depends="), "depends=", strlen("depends=")) == 0);
}

static u32 field(const char *header, unsigned which)
{
	char digits[9] = "";

	memcpy(digits, header + 6 + 8 * which, 8);
	return (u32)strtoul(digits, NULL, 16);
}

/* The number and the name of one that was packed, whose content is all of a module's file. */
static void check_packed(const struct tree *tree, const char *name, unsigned number,
			 const char *bytes, u32 count)
{
	char prefix[32];
	bool known = false;

	snprintf(prefix, sizeof(prefix), INIT_MODULES "/%03u-", number);
	FUZZ_CHECK(strncmp(name, prefix + 1, strlen(prefix + 1)) == 0);
	FUZZ_CHECK(!strcmp(name + strlen(name) - 3, ".ko"));
	for (unsigned i = MODULES_FROM; i < FILES; i++)
		known = known || (tree->there[i] && tree->count[i] == count &&
				  memcmp(tree->bytes[i], bytes, count) == 0);
	FUZZ_CHECK(known);
}

static void check_archive(const struct tree *tree, const struct cpio *archive)
{
	const char *names[FILES];
	unsigned packed = 0;
	size_t at = 0;

	for (;;) {
		const char *header = archive->bytes + at, *name = header + HEADER_BYTES;
		const u32 count = field(header, 6);
		const size_t content = align_up(at + HEADER_BYTES + field(header, 11), 4);

		FUZZ_CHECK(content + count <= archive->count);
		if (strcmp(name, "TRAILER!!!") == 0)
			return;
		at = align_up(content + count, 4);
		if (S_ISDIR(field(header, 1)))
			continue;
		check_packed(tree, name, packed, archive->bytes + content, count);
		FUZZ_CHECK(packed < FILES);
		names[packed++] = strchr(name, '-');
		for (unsigned i = 0; i + 1 < packed; i++)
			FUZZ_CHECK(strcmp(names[i], names[packed - 1]) != 0);
	}
}

static void check_pack(const struct tree *tree, unsigned wanted)
{
	static const char *const names[] = {"a", "b-c", "d", "out"};
	const struct modules_request request = {.release = "",
						.directory = tree->root,
						.wanted = names + wanted,
						.wanted_count = ARRAY_LEN(names) - wanted};
	struct error err = {.text = ""}, ignored;
	struct cpio archive;
	int result;

	cpio_begin(&archive);
	result = modules_pack(&request, &archive, &err);
	FUZZ_CHECK(result == 0 || (result == -1 && err.text[0]));
	FUZZ_CHECK(cpio_end(&archive, &ignored) == 0);
	check_archive(tree, &archive);
	cpio_free(&archive);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};
	const u8 flags = (u8)input_take(&input, 1);
	struct tree tree = {.there = {flags & DEP, flags & BUILTIN, true, true, true}};

	for (unsigned i = 0; i + 1 < FILES; i++)
		tree.count[i] = input_take(&input, 2);
	for (unsigned i = 0; i < FILES; i++) {
		if (tree.count[i] > input.left || i + 1 == FILES)
			tree.count[i] = input.left;
		tree.bytes[i] = input.bytes;
		input.bytes += tree.count[i];
		input.left -= tree.count[i];
		if (i >= MODULES_FROM)
			check_depends(tree.bytes[i], tree.count[i]);
	}
	tree_make(&tree);
	check_pack(&tree, flags >> WANTED_SHIFT & WANTED_MASK);
	tree_remove(&tree);
	return 0;
}
