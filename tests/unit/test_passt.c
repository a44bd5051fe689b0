/* vmm/passt.c: the socket that leads to passt. A script stands in for the program. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/passt.h"

static int send_buffer(int fd)
{
	socklen_t length = sizeof(int);
	int bytes = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &length), 0);
	return bytes;
}

/*
 * A passt of 2023 reads 8 MB at most, and loses its place when these end within a frame's length:
 * what waits for it must not come near.
 */
static void test_little_waits_for_passt(void **state)
{
	char directory[] = "/tmp/test_passt.XXXXXX", program[64];
	struct passt passt;
	struct error err;
	int other[2];
	FILE *script;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(program, sizeof(program), "%s/passt", directory);
	script = fopen(program, "w");
	assert_non_null(script);
	fputs("#!/bin/sh\nexec /bin/sleep 60\n", script);
	fclose(script);
	assert_int_equal(chmod(program, 0700), 0);
	assert_int_equal(setenv("PATH", directory, 1), 0);
	passt_init(&passt);
	if (passt_start(&passt, false, NULL, 0, &err))
		fail_msg("%s", err.text);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
	assert_int_equal(send_buffer(passt.socket), send_buffer(other[0]));
	close(other[0]);
	close(other[1]);
	passt_close(&passt);
	unlink(program);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_little_waits_for_passt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
