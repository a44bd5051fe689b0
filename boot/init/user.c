/* Who COMMAND is: see user.h. The files' format: passwd(5), group(5). */
#include <string.h>

#include "boot/init/text.h"
#include "boot/init/user.h"

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

	if (!line)
		return false;
	for (size_t i = 0; i < FIELDS; i++)
		field[i] = text_split(&line, ':');
	return true;
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
	const bool by_number = is_id(wanted, &user->uid);
	bool group_found;
	u32 id;

	*user = (struct user){.uid = by_number ? user->uid : 0, .home = "/"};
	while (!login && next_entry(&passwd, field)) {
		if (!is_id(field[PASSWD_UID], &id) || !is_id(field[PASSWD_GID], &user->gid))
			continue;
		if (strcmp(field[PASSWD_NAME], wanted) && !(by_number && id == user->uid))
			continue;
		login = field[PASSWD_NAME];
		user->uid = id;
		if (field[PASSWD_HOME] && *field[PASSWD_HOME])
			user->home = field[PASSWD_HOME];
	}
	if (!login && !by_number)
		return "no such user in /etc/passwd";
	if (!login)
		user->gid = 0;
	group_found = !group_name || is_id(group_name, &user->gid);
	while (next_entry(&group, field)) {
		if (!is_id(field[GROUP_GID], &id))
			continue;
		if (!group_name && login && user->group_count < USER_GROUPS &&
		    is_member(field[GROUP_MEMBERS], login))
			user->groups[user->group_count++] = id;
		if (group_name && !strcmp(field[GROUP_NAME], group_name)) {
			user->gid = id;
			group_found = true;
		}
	}
	return group_found ? NULL : "no such group in /etc/group";
}
