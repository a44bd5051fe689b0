/*
 * The jail: see jail.h.
 */
#include "vmm/jail.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int lock_paths(const struct jail *jail, struct error *err)
{
	const int version = landlock_version();
	bool changes = false;

	for (unsigned i = 0; i < jail->trees; i++)
		changes = changes || jail->tree[i].writable;
	if (version > (changes ? 1 : 0))
		return landlock_enter(version, jail->tree, jail->trees, jail->signals, err);
	if (jail->verbose)
		say("this kernel has no Landlock%s: paths are kept by the file server alone",
		    version ? " that lets files move between directories" : "");
	return 0;
}

int jail_enter(const struct jail *jail, struct error *err)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0))
		return error_set(err, "cannot forbid core dumps: %s", strerror(errno));
	return lock_paths(jail, err);
}
