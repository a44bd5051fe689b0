/*
 * vmm/thread.c: what the kernel is asked for by --core-scheduling, and what its answers mean. The
 * kernel is a filter here, which answers this one call of a child process's.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/thread.h"

#define LOAD_ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))

/* prctl(62, 1, 0, 1, 0) fails with this error or, with 0, doesn't; with other arguments: EFAULT. */
static bool answer(u32 error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 10),
		LOAD_ARGUMENT(0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 62, 0, 8),
		LOAD_ARGUMENT(1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 5),
		LOAD_ARGUMENT(2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
		LOAD_ARGUMENT(3),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EFAULT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { TAKEN, REFUSED_IN_WORDS, REFUSED, NO_FILTER };

static int ask_with_answer(u32 error)
{
	const pid_t child = fork();
	int status = 0;

	if (child == 0) {
		struct error err = {.text = ""};

		if (!answer(error))
			_exit(NO_FILTER);
		if (thread_own_cores(&err) == 0)
			_exit(TAKEN);
		_exit(strstr(err.text, "--core-scheduling: this host's kernel can't") &&
				      strstr(err.text, strerror((int)error))
			      ? REFUSED_IN_WORDS
			      : REFUSED);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_core_scheduling(void **state)
{
	(void)state;
	if (ask_with_answer(0) == NO_FILTER)
		SKIP("there are no filters");
	assert_int_equal(ask_with_answer(0), TAKEN);
	assert_int_equal(ask_with_answer(ENODEV), TAKEN);
	assert_int_equal(ask_with_answer(EINVAL), REFUSED_IN_WORDS);
	assert_int_equal(ask_with_answer(EPERM), REFUSED_IN_WORDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_scheduling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
