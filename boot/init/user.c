/* Who COMMAND is, by the guest's own /etc/passwd and /etc/group; passwd(5), group(5). */
#include <string.h>

#include "boot/init/init.h"

enum { PASSWD_NAME, PASSWD_PASSWORD, PASSWD_UID, PASSWD_GID, PASSWD_GECOS, PASSWD_HOME };
enum { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS };
enum { FIELDS = 6 };

/* The last id is no user's: setuid(2) and chown(2) take it for "none". */
static bool is_id(const char *text, u32 *id)
{
	u64 number;

	if (!text || !text_to_number(text, UINT32_MAX - 1, &number))
		return false;
	*id = (u32)number;
	return true;
}

/* Takes the next line of a file apart into its fields, those that are missing NULL. */
static bool next_entry(char **file, char *field[FIELDS])
{
	char *line = text_split(file, '\n');

	for (size_t i = 0; i < FIELDS; i++)
		field[i] = text_split(&line, ':');
	return field[0];
}

static bool is_member(char *members, const char *name)
{
	const char *member;

	while ((member = text_split(&members, ',')))
		if (!strcmp(member, name))
			return true;
	return false;
}

const char *user_find(struct user *user, char *name, char *passwd, char *group)
{
	char *field[FIELDS], *group_name = name;
	const char *wanted = text_split(&group_name, ':'), *login = NULL;
	bool group_found = !group_name, by_number;
	u32 id, gid;

	*user = (struct user){.home = "/"};
	by_number = is_id(wanted, &user->uid);
	while (!login && next_entry(&passwd, field)) {
		if (!is_id(field[PASSWD_UID], &id) || !is_id(field[PASSWD_GID], &gid) ||
		    (strcmp(field[PASSWD_NAME], wanted) != 0 && !(by_number && id == user->uid)))
			continue;
		login = field[PASSWD_NAME];
		user->uid = id;
		user->gid = gid;
		if (field[PASSWD_HOME] && *field[PASSWD_HOME])
			user->home = field[PASSWD_HOME];
	}
	if (!login && !by_number)
		return "no such user in /etc/passwd";
	if (group_name)
		group_found = is_id(group_name, &user->gid);
	while (next_entry(&group, field)) {
		if (!is_id(field[GROUP_GID], &id))
			continue;
		if (group_name && !strcmp(field[GROUP_NAME], group_name)) {
			user->gid = id;
			group_found = true;
		} else if (!group_name && login && user->group_count < USER_GROUPS &&
			   is_member(field[GROUP_MEMBERS], login)) {
			user->groups[user->group_count++] = id;
		}
	}
	return group_found ? NULL : "no such group in /etc/group";
}
