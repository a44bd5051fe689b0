/*
 * The walls that this host's kernel offers: see struct check_sandbox.
 *
 * A user namespace counts only when something can be done in it: a distribution may let anybody
 * make one and then give no right inside (Ubuntu's AppArmor restriction), so that the network
 * namespace inside is tried too. io_uring is off by the sysctl kernel.io_uring_disabled (EPERM), in
 * most containers by their seccomp filter (EPERM, ENOSYS), and in kernels without it
 * (ENOSYS) or without restrictions (EINVAL, before 5.10).
 *
 * Limits: it is what this process may do now; another user, or the same outside of a container, may
 * be allowed more or less.
 *
 * Source: seccomp(2), landlock(7), user_namespaces(7), io_uring_setup(2), io_uring_register(2).
 */
#include "vmm/check.h"
#include "vmm/thread.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/landlock.h"

/* System calls: seccomp, prctl, landlock_create_ruleset, io_uring_setup, io_uring_register, close,
 * clone (fork), wait4; in the child: unshare, exit_group. */

/* The same number on every architecture, for C libraries that are older than the call. */
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup    425
#define SYS_io_uring_register 427
#endif

/* Both, one after the other; the child's exit status is its errno. */
static int try_namespaces(int first, int second)
{
	int status;
	pid_t reaped;
	const pid_t child = fork();

	if (child < 0)
		return errno;
	if (child == 0) {
		if (unshare(first) < 0 || unshare(second) < 0)
			_exit(errno);
		_exit(0);
	}
	do
		reaped = waitpid(child, &status, 0);
	while (reaped < 0 && errno == EINTR);
	if (reaped < 0)
		return errno;
	/* A filter may have killed it. */
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

/* A ring that can be limited to some operations: others aren't used. */
static int try_io_uring(void)
{
	struct io_uring_params params = {.flags = IORING_SETUP_R_DISABLED};
	struct io_uring_restriction restriction = {.opcode = IORING_RESTRICTION_SQE_OP,
						   .sqe_op = IORING_OP_READV};
	const int fd = (int)syscall(SYS_io_uring_setup, 1, &params);
	int error = 0;

	if (fd < 0)
		return errno;
	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, &restriction, 1) < 0)
		error = errno;
	close(fd);
	return error;
}

/* ENODEV: there are no cores that threads could share. */
static int try_core_scheduling(void)
{
	u64 cookie;

	return prctl(CORE_SCHEDULING, CORE_GET, 0, 0, &cookie) ? errno : 0;
}

void check_sandbox_look(struct check_sandbox *sandbox)
{
	u32 kill = SECCOMP_RET_KILL_PROCESS;

	*sandbox = (struct check_sandbox){
		.seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill) == 0,
		.seccomp_inherited = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0,
		.landlock_abi = landlock_version(),
		.namespaces = try_namespaces(CLONE_NEWNS | CLONE_NEWIPC, CLONE_NEWNET),
		.user_namespaces = try_namespaces(CLONE_NEWUSER, CLONE_NEWNET),
		.io_uring = try_io_uring(),
		.core_scheduling = try_core_scheduling(),
	};
}
