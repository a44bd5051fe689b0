/* Who COMMAND is: USER[:GROUP] by the guest's own /etc/passwd and /etc/group. */
#ifndef BOOT_INIT_USER_H
#define BOOT_INIT_USER_H

#include "vmm/types.h"

enum { USER_GROUPS = 64 };

struct user {
	u32 uid, gid;
	u32 groups[USER_GROUPS]; /* the supplementary ones; what has no room is left out */
	size_t group_count;
	const char *home;
};

/*
 * Looks the user up. passwd, group: the files' texts, NULL for those that aren't there. They and the
 * name are taken apart, and user->home may point into passwd.
 *
 * A number needs no entry: without one the group is 0 and the home is "/". The user's supplementary
 * groups come along unless a group is named. Returns NULL, or what is wrong.
 */
const char *user_find(struct user *user, char *name, char *passwd, char *group);

#endif
