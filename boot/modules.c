/*
 * Kernel modules for the guest: see modules.h.
 *
 * Everything known about the directory is one text: modules.dep, "PATH: PATH PATH…" a line, or
 * where there is none, a line "PATH" for each file that was found. A line without a colon says that
 * the file is to be asked. Names are looked for line by line: there are few to look for.
 */
#include "boot/modules.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boot/file.h"
#include "boot/init/protocol.h"
#include "boot/unpack.h"

enum { MODULES_MAX = 256, NAME_BYTES = 64, PATH_BYTES = 512, SEARCH_ENTRIES = 1 << 18 };

/* What ends a path or a name in modules.dep, modules.builtin and .modinfo. */
static const char separators[] = " :,\n";

/* How the file of a module may end, and what unpacks it then by -dc. */
static const char *const endings[] = {".ko", ".ko.gz", ".ko.xz", ".ko.zst"};
static const char *const tools[] = {NULL, "gzip", "xz", "zstd"};

struct resolver {
	char directory[PATH_MAX];
	int fd;                                 /* the directory */
	char *list;                             /* as above */
	char *builtin;                          /* modules.builtin, or NULL */
	u64 room;                               /* bytes that may still be read */
	unsigned entries;                       /* that the search may still look at */
	char seen[MODULES_MAX + 1][NAME_BYTES]; /* packed, or about to be; and one to try */
	unsigned seen_count, packed;
	struct cpio *archive;
};

/* The length bytes at offset, or NULL when they aren't all among the count bytes of whole. */
static const void *part(const void *whole, u64 count, u64 offset, u64 length)
{
	if (!whole || offset > count || length > count - offset)
		return NULL;
	return (const u8 *)whole + offset;
}

int modules_depends(const void *module, size_t count, const char **depends, struct error *err)
{
	static const char wanted[] = ".modinfo", key[] = "depends=";
	Elf64_Shdr names, section = {.sh_size = 0};
	Elf64_Ehdr header = {.e_shnum = 0};
	const u8 *table, *texts;
	const char *text = NULL, *end;

	if (count >= sizeof(header))
		memcpy(&header, module, sizeof(header));
	table = part(module, count, header.e_shoff, header.e_shnum * sizeof(section));
	if (memcmp(header.e_ident, ELFMAG "\2\1", 6) != 0 || !table ||
	    header.e_shentsize != sizeof(section) || header.e_shstrndx >= header.e_shnum)
		return error_set(err, "it is truncated, or no 64-bit ELF file with sections");
	memcpy(&names, table + header.e_shstrndx * sizeof(names), sizeof(names));
	texts = part(module, count, names.sh_offset, names.sh_size);
	for (unsigned i = 0; i < header.e_shnum && !text; i++, table += sizeof(section)) {
		const char *name;

		memcpy(&section, table, sizeof(section));
		name = part(texts, names.sh_size, section.sh_name, sizeof(wanted));
		if (name && memcmp(name, wanted, sizeof(wanted)) == 0)
			text = part(module, count, section.sh_offset, section.sh_size);
	}
	if (!text || section.sh_size == 0 || text[section.sh_size - 1] != '\0')
		return error_set(err, "its section .modinfo is missing or broken");
	*depends = "";
	for (end = text + section.sh_size; text < end; text += strlen(text) + 1)
		if (strncmp(text, key, strlen(key)) == 0)
			*depends = text + strlen(key);
	return 0;
}

/*
 * The name of the module that a path or a name stands for: what is behind the last '/' and before
 * ".ko", with '_' for '-'.
 */
static void name_of(const char *word, char name[NAME_BYTES])
{
	const char *const end = word + strcspn(word, separators);
	const char *const slash = memrchr(word, '/', (size_t)(end - word));
	const char *const from = slash ? slash + 1 : word;
	const char *const ending = memmem(from, (size_t)(end - from), ".ko", 3);
	const size_t bytes = (size_t)((ending ? ending : end) - from);
	size_t used = 0;

	for (; used < bytes && used < NAME_BYTES - 1; used++)
		name[used] = from[used] == '-' ? '_' : from[used];
	name[used] = '\0';
}

/* The line of text (which may be NULL) whose path is that of the module, or NULL. */
static const char *find_line(const char *text, const char *name)
{
	char found[NAME_BYTES];

	for (const char *line = text; line && *line; line += *line == '\n') {
		name_of(line, found);
		if (strcmp(found, name) == 0)
			return line;
		line = strchrnul(line, '\n');
	}
	return NULL;
}

/* Which of the endings the path has, or -1. */
static int ending_of(const char *path)
{
	const char *const slash = strrchr(path, '/');
	const char *const ending = strstr(slash ? slash : path, ".ko");

	for (int i = 0; ending && i < (int)ARRAY_LEN(endings); i++)
		if (strcmp(ending, endings[i]) == 0)
			return i;
	return -1;
}

/* Opens what lies in the directory. */
static int open_beneath(const struct resolver *resolver, const char *path, u64 flags)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	const struct open_how how = {
		.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags,
		.resolve = RESOLVE_BENEATH,
	};

	return (int)syscall(SYS_openat2, resolver->fd, path, &how, sizeof(how));
}

/* Reads and closes fd, which may be -1 with errno set. Returns its bytes and a NUL, or NULL. */
static char *read_whole(struct resolver *resolver, int fd, size_t *count, struct error *err)
{
	struct boot_file file = {.bytes = 0};
	char *bytes = NULL;

	if (fd < 0)
		error_set(err, "%s", errno == EXDEV ? "it is outside of it" : strerror(errno));
	else if (file_open(&file, NULL, fd, err) == 0) {
		bytes = file.bytes <= resolver->room ? calloc(1, (size_t)file.bytes + 1) : NULL;
		if (!bytes)
			error_set(err, "it is too large");
		else if (file_read(&file, 0, bytes, file.bytes, err)) {
			free(bytes);
			bytes = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	resolver->room -= bytes ? file.bytes : 0;
	*count = (size_t)file.bytes;
	return bytes;
}

/* Adds the modules in the directory at path, length bytes long, to the list. */
static void search(struct resolver *resolver, FILE *list, char path[PATH_BYTES], size_t length)
{
	const int fd = open_beneath(resolver, length ? path : ".", O_DIRECTORY | O_NOFOLLOW);
	DIR *const directory = fd < 0 ? NULL : fdopendir(fd);
	const size_t room = PATH_BYTES - length;
	const struct dirent *entry;

	while (directory && resolver->entries && (entry = readdir(directory))) {
		const int bytes =
			snprintf(path + length, room, "%s%s", length ? "/" : "", entry->d_name);

		resolver->entries--;
		/* A name that can't be in a list is no module's. */
		if (entry->d_name[0] == '.' || strpbrk(entry->d_name, separators) ||
		    (size_t)bytes >= room)
			continue;
		if (ending_of(path) >= 0)
			fprintf(list, "%s\n", path);
		else if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)
			search(resolver, list, path, length + (size_t)bytes);
	}
	if (directory)
		closedir(directory);
}

/* Reads or makes the lists; one that can't be read, or is empty, is as good as none. */
static void make_lists(struct resolver *resolver)
{
	char path[PATH_BYTES] = "";
	struct error ignored;
	size_t count;
	FILE *list;

	resolver->builtin = read_whole(resolver, open_beneath(resolver, "modules.builtin", 0),
				       &count, &ignored);
	resolver->list =
		read_whole(resolver, open_beneath(resolver, "modules.dep", 0), &count, &ignored);
	if (resolver->list || !(list = open_memstream(&resolver->list, &count)))
		return;
	search(resolver, list, path, 0);
	fclose(list);
}

/*
 * Reads the module at path, unpacked if that can be; *ending is how its name has to end then.
 * Returns its bytes, or NULL with err set.
 */
static char *read_module(struct resolver *resolver, const char *path, const char **ending,
			 size_t *count, struct error *err)
{
	const int which = ending_of(path);
	int fd, result = 0;

	if (which < 0) {
		error_set(err, "its name doesn't end like a module's");
		return NULL;
	}
	fd = open_beneath(resolver, path, 0);
	if (fd >= 0 && tools[which])
		result = unpack_run(tools[which], &fd, UNPACK_MAX_BYTES, err);
	if (result < 0) {
		close(fd);
		return NULL;
	}
	*ending = endings[result ? which : 0];
	return read_whole(resolver, fd, count, err);
}

static int add(struct resolver *resolver, const char *word, const char *needed_by,
	       struct error *err);

/* Adds all modules named in the rest of a line. */
static int add_all(struct resolver *resolver, const char *words, const char *needed_by,
		   struct error *err)
{
	for (;;) {
		words += strspn(words, " :,");
		if (*words == '\0' || *words == '\n')
			return 0;
		if (add(resolver, words, needed_by, err))
			return -1;
		words += strcspn(words, separators);
	}
}

/* Packs the module on this line of the list, behind what it needs. */
static int pack(struct resolver *resolver, const char *name, const char *line, struct error *err)
{
	const char *depends = line + strcspn(line, separators), *ending;
	char path[PATH_BYTES], target[PATH_BYTES], *module;
	size_t count;
	int result;

	snprintf(path, sizeof(path), "%.*s", (int)(depends - line), line);
	module = read_module(resolver, path, &ending, &count, err);
	if (!module || *depends == ':')
		result = module ? 0 : -1;
	else if (ending != endings[0])
		result = error_set(err, "what it depends on can't be read, as %s isn't installed",
				   tools[ending_of(path)]);
	else
		result = modules_depends(module, count, &depends, err);
	if (result) {
		error_prefix(err, "cannot use the module '%s/%s'", resolver->directory, path);
	} else if ((result = add_all(resolver, depends, name, err)) == 0) {
		snprintf(target, sizeof(target), INIT_MODULES "/%03u-%s%s", resolver->packed++,
			 name, ending);
		cpio_add(resolver->archive, target, S_IFREG | 0644, module, count);
	}
	free(module);
	return result;
}

static int add(struct resolver *resolver, const char *word, const char *needed_by,
	       struct error *err)
{
	char *const name = resolver->seen[resolver->seen_count];
	const char *line;

	name_of(word, name);
	for (unsigned i = 0; i < resolver->seen_count; i++)
		if (strcmp(resolver->seen[i], name) == 0)
			return 0;
	if (find_line(resolver->builtin, name))
		return 0;
	line = find_line(resolver->list, name);
	if (!line)
		return error_set(err,
				 "the kernel module '%s', which %s needs, is neither in '%s' nor "
				 "built in; --modules DIR names the directory with the kernel's "
				 "modules",
				 name, needed_by, resolver->directory);
	if (resolver->seen_count == MODULES_MAX)
		return error_set(err, "more than %d kernel modules are needed", MODULES_MAX);
	resolver->seen_count++;
	return pack(resolver, name, line, err);
}

/* Finds and opens the directory; returns as modules_pack() does. */
static int open_directory(struct resolver *resolver, const struct modules_request *request,
			  struct error *err)
{
	static const char *const below[] = {"", "/lib/modules/", "/usr/lib/modules/"};
	static const char *const signs[] = {"kernel", "modules.builtin", "modules.dep"};
	const char *const root = request->directory ? request->directory : "";
	const char *const release = request->release;

	for (size_t i = 0; i < ARRAY_LEN(below); i++) {
		snprintf(resolver->directory, sizeof(resolver->directory), "%s%s%s", root, below[i],
			 i ? release : "");
		resolver->fd = open(resolver->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		for (size_t j = 0; resolver->fd >= 0 && j < ARRAY_LEN(signs); j++)
			if (faccessat(resolver->fd, signs[j], F_OK, 0) == 0)
				return 0;
		if (resolver->fd >= 0)
			close(resolver->fd);
	}
	error_set(err,
		  "no kernel modules in '%s/', nor in lib/modules/%s or usr/lib/modules/%s there; "
		  "--modules DIR names their directory",
		  root, release, release);
	return request->directory ? -1 : MODULES_NO_DIRECTORY;
}

int modules_pack(const struct modules_request *request, struct cpio *archive, struct error *err)
{
	struct resolver resolver = {
		.room = UNPACK_MAX_BYTES, .entries = SEARCH_ENTRIES, .archive = archive};
	int result = open_directory(&resolver, request, err);

	if (result)
		return result;
	make_lists(&resolver);
	cpio_add(archive, INIT_MODULES, S_IFDIR | 0755, NULL, 0);
	for (size_t i = 0; result == 0 && i < request->wanted_count; i++)
		result = add(&resolver, request->wanted[i], "the guest", err);
	free(resolver.list);
	free(resolver.builtin);
	close(resolver.fd);
	return result;
}
