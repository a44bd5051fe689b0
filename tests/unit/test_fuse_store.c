/*
 * devices/virtio/fuse_store.c: places of a few sizes, used again, and no more than there are.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/fuse_server.h"

static int set_up(void **state)
{
	struct fuse_store *store = calloc(1, sizeof(*store));

	*state = store;
	return store ? fuse_store_open(store) : -1;
}

static int tear_down(void **state)
{
	fuse_store_close(*state);
	free(*state);
	return 0;
}

static void test_places_lie_apart(void **state)
{
	static const size_t bytes[] = {1,
				       32,
				       33,
				       32,
				       128,
				       129,
				       FUSE_NAME_BYTES,
				       FUSE_LIST_BYTES,
				       200,
				       104,
				       1,
				       33,
				       XATTR_SIZE_MAX,
				       FUSE_BODY_BYTES + 1};
	u8 *place[ARRAY_LEN(bytes)];

	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		place[i] = fuse_store_take(*state, bytes[i]);
		assert_non_null(place[i]);
		assert_int_equal((uintptr_t)place[i] % sizeof(u64), 0);
		memset(place[i], (int)i, bytes[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
		for (size_t k = 0; k < bytes[i]; k++)
			assert_int_equal(place[i][k], i);
		fuse_store_give(*state, place[i]);
	}
	fuse_store_give(*state, NULL);
}

static void test_what_was_given_back_is_used_again(void **state)
{
	/* A name of each range, so often that it would be full long since. */
	for (unsigned i = 0; i < 4U * FUSE_INODES_MAX; i++) {
		void *name = fuse_store_take(*state, 1 + i % FUSE_NAME_BYTES);

		assert_non_null(name);
		fuse_store_give(*state, name);
	}
}

static void test_there_is_an_end(void **state)
{
	void *place;
	unsigned count = 0;

#ifdef __SANITIZE_ADDRESS__
	SKIP("the sanitizer's own allocator has no such end");
#endif
	assert_null(fuse_store_take(*state, FUSE_WRITE_BYTES));
	while ((place = fuse_store_take(*state, FUSE_BODY_BYTES)) != NULL && count < 1000)
		count++;
	assert_in_range(count, 16, 999);
	/* Others have theirs still. */
	assert_non_null(fuse_store_take(*state, FUSE_LIST_BYTES));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_places_lie_apart),
		TEST(test_what_was_given_back_is_used_again),
		TEST(test_there_is_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
