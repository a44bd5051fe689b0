/* boot/init/user.c: users and groups by a guest's files, good and odd ones. */
#include "tests/unit/test.h"

#include "boot/init/init.h"

static const char passwd_file[] = "root:x:0:0:root:/root:/bin/sh\n"
				  "# a line that is none\n"
				  "\n"
				  "short:x:7\n"
				  "odd:x:seven:8::/odd:\n"
				  "huge:x:4294967295:8::/huge:\n"
				  "alice:x:1000:1001:A:/home/alice:/bin/sh\n"
				  "bob:x:1002:1003\n"
				  "dave:x:1006:1007:::/bin/sh\n"
				  "5:x:1004:1005::/five:";
static const char group_file[] = "root:x:0:\n"
				 "alice:x:1001:\n"
				 "audio:x:29:bob,alice\n"
				 "none\n"
				 "video:x:44:alice,alicex\n"
				 "wrong:x:-1:alice\n"
				 "xalice:x:45:malice,alic";

struct found {
	struct user user;
	char passwd[512], group[512], name[64];
};

static const char *find(struct found *found, const char *name)
{
	text_join(found->passwd, sizeof(found->passwd), STRINGS(passwd_file));
	text_join(found->group, sizeof(found->group), STRINGS(group_file));
	text_join(found->name, sizeof(found->name), STRINGS(name));
	return user_find(&found->user, found->name, found->passwd, found->group);
}

static void test_good_names(void **state)
{
	static const struct {
		const char *name;
		u32 uid, gid;
		const char *home;
		size_t groups;
	} table[] = {
		{"0", 0, 0, "/root", 0},
		{"root", 0, 0, "/root", 0},
		{"alice", 1000, 1001, "/home/alice", 2},
		{"1000", 1000, 1001, "/home/alice", 2},
		{"alice:audio", 1000, 29, "/home/alice", 0},
		{"alice:5", 1000, 5, "/home/alice", 0},
		{"bob", 1002, 1003, "/", 1},
		{"dave", 1006, 1007, "/", 0},
		{"4000", 4000, 0, "/", 0},
		{"4000:44", 4000, 44, "/", 0},
		{"4000:video", 4000, 44, "/", 0},
		{"5", 1004, 1005, "/five", 0}, /* a name comes before a number */
		{"4294967294", 4294967294, 0, "/", 0},
	};
	struct found found;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *wrong = find(&found, table[i].name);

		if (wrong)
			fail_msg("%s: %s", table[i].name, wrong);
		assert_int_equal(found.user.uid, table[i].uid);
		assert_int_equal(found.user.gid, table[i].gid);
		assert_string_equal(found.user.home, table[i].home);
		assert_int_equal(found.user.group_count, table[i].groups);
	}
	assert_null(find(&found, "alice"));
	assert_int_equal(found.user.groups[0], 29);
	assert_int_equal(found.user.groups[1], 44);
}

static void test_bad_names(void **state)
{
	static const char *const users[] = {"",           "carol", "short", "odd",
					    "4294967295", "Alice", ":audio"};
	static const char *const groups[] = {"alice:", "alice:nosuch", "alice:none",
					     "0:4294967295"};
	struct found found;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		assert_says(find(&found, users[i]), "no such user");
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		assert_says(find(&found, groups[i]), "no such group");
}

static void test_without_files(void **state)
{
	char number[] = "7:8", name[] = "alice";
	struct user user;

	(void)state;
	assert_null(user_find(&user, number, NULL, NULL));
	assert_int_equal(user.uid, 7);
	assert_int_equal(user.gid, 8);
	assert_string_equal(user.home, "/");
	assert_says(user_find(&user, name, NULL, NULL), "no such user");
}

static void test_too_many_groups(void **state)
{
	char name[] = "u", passwd[] = "u:x:1:2:::", group[8192] = "";
	struct user user;

	(void)state;
	for (u32 i = 0; i < USER_GROUPS + 5; i++) {

		text_join(group + strlen(group), sizeof(group) - strlen(group),
			  STRINGS("g:x:", TEXT_NUMBER(100 + i), ":u\n"));
	}
	assert_null(user_find(&user, name, passwd, group));
	assert_int_equal(user.group_count, USER_GROUPS);
	assert_int_equal(user.groups[USER_GROUPS - 1], 100 + USER_GROUPS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_names),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_without_files),
		cmocka_unit_test(test_too_many_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
