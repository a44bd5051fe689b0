/*
 * The jail: see jail.h.
 */
#include "vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/loop.h"

/* Beyond what is mapped: threads, rings, tables. */
#define ROOM_BYTES (256 * MIB)

/* poll(2) is given no more than may be open, be they open or not. */
enum { DESCRIPTORS_ROOM = 16, DESCRIPTORS_LEAST = 2 * LOOP_SOURCES_MAX };

#define CAPABILITY(name) ((u64)1 << (name))

static int limit(struct error *err)
{
	const struct rlimit none = {0, 0};
	struct rlimit space;
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (getrlimit(RLIMIT_AS, &space) == 0 && file && fscanf(file, "%lu", &pages) == 1) {
		const rlim_t bytes = pages * PAGE_BYTES + ROOM_BYTES;

		/* What the user has set lower stays. */
		space.rlim_max = bytes < space.rlim_max ? bytes : space.rlim_max;
		space.rlim_cur = space.rlim_max < space.rlim_cur ? space.rlim_max : space.rlim_cur;
		(void)setrlimit(RLIMIT_AS, &space);
	}
	if (file)
		fclose(file);
	return setrlimit(RLIMIT_CORE, &none) ? error_errno(err, "cannot forbid core dumps") : 0;
}

/* What is mounted on /dev is seen by nobody else: the mounts are a copy, and changes don't go out. */
static bool empty_root(void)
{
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/dev", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		     "mode=0555") == 0 &&
	       chdir("/dev") == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
	       umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

static void leave_namespaces(const struct jail *jail)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC | (jail->paths ? 0 : CLONE_NEWNS))) {
		if (jail->verbose)
			say("no namespaces of its own: %s", strerror(errno));
	} else if (jail->paths ? jail->verbose : !empty_root() && jail->verbose) {
		say("no empty root directory: %s",
		    jail->paths ? "a network's socket has a path" : strerror(errno));
	}
}

/* What is left of root: to serve files as their owners would, and to end a child of another user. */
static u64 needed_capabilities(const struct jail *jail)
{
	u64 needed = jail->child ? CAPABILITY(CAP_KILL) : 0;

	for (unsigned i = 0; i < jail->trees && !jail->uid; i++)
		needed |= jail->tree[i].removes ? 0
			  : jail->tree[i].writable
				  ? CAPABILITY(CAP_CHOWN) | CAPABILITY(CAP_DAC_OVERRIDE) |
					    CAPABILITY(CAP_FOWNER) | CAPABILITY(CAP_FSETID)
				  : CAPABILITY(CAP_DAC_READ_SEARCH);
	return needed;
}

/* Nothing that is executed gets any; and changing the user doesn't change what this process has. */
static int drop_bounds(struct error *err)
{
	const unsigned long bits = SECURE_ALL_BITS & ~issecure_mask(SECURE_KEEP_CAPS);
	unsigned long capability = 0;

	/* Until there are no more; and whoever may not do this has no capabilities to lose. */
	while (prctl(PR_CAPBSET_DROP, capability) == 0)
		capability++;
	if (errno != EINVAL && errno != EPERM)
		return error_errno(err, "cannot bound capabilities");
	if (prctl(PR_SET_SECUREBITS, bits | SECURE_ALL_LOCKS) && errno != EPERM)
		return error_errno(err, "cannot lock capabilities");
	return 0;
}

static int become(const struct jail *jail, struct error *err)
{
	if (jail->uid && (setgroups(0, NULL) || setresgid(jail->gid, jail->gid, jail->gid) ||
			  setresuid(jail->uid, jail->uid, jail->uid)))
		return error_errno(err, "--run-as");
	return 0;
}

static int drop_capabilities(u64 needed, struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct half[2];

	if (syscall(SYS_capget, &header, half))
		return error_errno(err, "cannot read capabilities");
	/* A container's root may have only the stronger one; Landlock and the server keep it from writing. */
	if ((needed & CAPABILITY(CAP_DAC_READ_SEARCH)) &&
	    !(half[0].permitted & 1U << CAP_DAC_READ_SEARCH))
		needed |= CAPABILITY(CAP_DAC_OVERRIDE);
	for (unsigned i = 0; i < ARRAY_LEN(half); i++) {
		half[i].permitted &= (u32)(needed >> 32 * i);
		half[i].effective = half[i].permitted;
		half[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, half))
		return error_errno(err, "cannot drop capabilities");
	return 0;
}

static int lock_paths(const struct jail *jail, struct error *err)
{
	const int version = landlock_version();
	bool changes = false;

	for (unsigned i = 0; i < jail->trees; i++)
		changes = changes || jail->tree[i].writable;
	if (version > (changes ? 1 : 0))
		return landlock_enter(version, jail->tree, jail->trees, jail->child, err);
	if (jail->verbose)
		say("this kernel has no Landlock%s: paths are kept by the file server alone",
		    version ? " that lets files move between directories" : "");
	return 0;
}

int jail_enter(const struct jail *jail, struct error *err)
{
	if (limit(err))
		return -1;
	leave_namespaces(jail);
	if (drop_bounds(err) || become(jail, err) ||
	    drop_capabilities(needed_capabilities(jail), err) || lock_paths(jail, err))
		return -1;
	/* A change of the user had made it what the host's suid_dumpable says. */
	return prctl(PR_SET_DUMPABLE, 0) ? error_errno(err, "cannot forbid others to look in") : 0;
}

void jail_close(bool opens)
{
	/* The lowest number that is free; others' numbers are theirs already. */
	const int next = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	struct rlimit descriptors;

	if (next < 0)
		return;
	close(next);
	if (getrlimit(RLIMIT_NOFILE, &descriptors))
		return;
	if (!opens)
		descriptors.rlim_cur = next + DESCRIPTORS_ROOM > DESCRIPTORS_LEAST
					       ? (rlim_t)next + DESCRIPTORS_ROOM
					       : DESCRIPTORS_LEAST;
	descriptors.rlim_max = descriptors.rlim_cur;
	(void)setrlimit(RLIMIT_NOFILE, &descriptors);
}
