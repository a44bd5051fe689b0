/*
 * Landlock: see landlock.h. What the kernel's header got after Linux 6.1 is named here.
 */
#include "vmm/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same numbers on every architecture. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

/* Device files' ioctls; TCP's bind and connect; abstract sockets; signals. */
enum { IOCTL_DEV = 1 << 15, NET_ALL = 3, SCOPE_ABSTRACT = 1, SCOPE_SIGNAL = 2 };

/* struct landlock_ruleset_attr's members, in their order. */
enum { FS, NET, SCOPED, MEMBERS };

int landlock_version(void)
{
	const long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
				     LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : (int)version;
}

/* How many of the file system's rights a version knows: one more with 2, 3 and 5. */
static u64 all_rights(int version)
{
	const unsigned known = 13U + (version >= 2) + (version >= 3) + (version >= 5);

	return ((u64)1 << known) - 1;
}

static int grant(int ruleset, u64 handled, const struct landlock_tree *tree)
{
	const u64 never = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
			  LANDLOCK_ACCESS_FS_MAKE_BLOCK | IOCTL_DEV;
	const u64 reads = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const struct landlock_path_beneath_attr rule = {
		.allowed_access = tree->removes    ? LANDLOCK_ACCESS_FS_REMOVE_FILE
				  : tree->writable ? handled & ~never
						   : reads,
		.parent_fd = tree->fd,
	};

	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

int landlock_enter(int version, const struct landlock_tree *tree, unsigned trees, bool signals,
		   struct error *err)
{
	const u64 all[MEMBERS] = {
		[FS] = all_rights(version),
		[NET] = version >= 4 ? NET_ALL : 0,
		[SCOPED] = version < 6 ? 0 : SCOPE_ABSTRACT | (signals ? 0 : SCOPE_SIGNAL),
	};
	/* Older kernels take what they don't know as long as it is zero. */
	const int ruleset = (int)syscall(SYS_landlock_create_ruleset, all, sizeof(all), 0);
	bool done = ruleset >= 0;

	for (unsigned i = 0; i < trees; i++)
		done = done && grant(ruleset, all[FS], &tree[i]) == 0;
	done = done && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
	if (!done)
		error_errno(err, "Landlock refuses");
	if (ruleset >= 0)
		close(ruleset);
	return done ? 0 : -1;
}
