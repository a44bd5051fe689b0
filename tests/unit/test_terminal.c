/*
 * vmm/terminal.c, on pseudo-terminals. Each test is a child process, a session of its own whose
 * terminal the pty is, and reports by its exit status; the parent keeps the terminal open and looks
 * at its state afterwards.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/terminal.h"

struct world {
	int master, slave;
	struct termios before;
};

static int set_up(void **state)
{
	static struct world world;

	*state = &world;
	if (openpty(&world.master, &world.slave, NULL, NULL, NULL))
		return -1;
	return tcgetattr(world.slave, &world.before);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	close(world->master);
	close(world->slave);
	return 0;
}

static bool is_raw(int fd)
{
	struct termios now;

	if (tcgetattr(fd, &now))
		return false;
	return !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_oflag & OPOST);
}

static bool is_same(int fd, const struct termios *old)
{
	struct termios now;

	return tcgetattr(fd, &now) == 0 && now.c_iflag == old->c_iflag &&
	       now.c_oflag == old->c_oflag && now.c_cflag == old->c_cflag &&
	       now.c_lflag == old->c_lflag && memcmp(now.c_cc, old->c_cc, sizeof(now.c_cc)) == 0;
}

/* Runs the body in a session whose terminal is the pty; returns what waitpid() tells. */
static int in_session(struct world *world, int (*body)(struct world *world))
{
	const pid_t child = fork();
	int status;

	if (child == 0) {
		const struct rlimit no_core = {0, 0};

		alarm(20);
		setrlimit(RLIMIT_CORE, &no_core);
		if (setsid() < 0 || ioctl(world->slave, TIOCSCTTY, 0) ||
		    dup2(world->slave, STDIN_FILENO) < 0)
			_exit(99);
		_exit(body(world));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__ % 90 + 1;                                                  \
	} while (0)

static int raw_and_back(struct world *world)
{
	struct terminal terminal;

	terminal_init(&terminal, true);
	CHECK(terminal.wanted && !terminal.raw);
	CHECK(is_same(STDIN_FILENO, &world->before)); /* not yet */
	CHECK(terminal_enter_raw(&terminal));
	CHECK(terminal.raw && is_raw(STDIN_FILENO));
	terminal_restore(&terminal);
	CHECK(!terminal.raw && is_same(STDIN_FILENO, &world->before));
	terminal_restore(&terminal); /* does nothing */
	CHECK(is_same(STDIN_FILENO, &world->before));
	return 0;
}

static void test_raw_and_back(void **state)
{
	assert_int_equal(in_session(*state, raw_and_back), 0);
}

/* A shell changed the terminal while it was ours. */
static int raw_again(struct world *world)
{
	struct terminal terminal;

	terminal_init(&terminal, true);
	CHECK(terminal_enter_raw(&terminal));
	CHECK(tcsetattr(STDIN_FILENO, TCSANOW, &world->before) == 0);
	CHECK(terminal_enter_raw(&terminal) && is_raw(STDIN_FILENO));
	terminal_restore(&terminal);
	CHECK(is_same(STDIN_FILENO, &world->before));
	return 0;
}

static void test_raw_again(void **state)
{
	assert_int_equal(in_session(*state, raw_again), 0);
}

/* What the user changed while the guest hadn't the terminal comes back afterwards. */
static int changed_in_between(struct world *world)
{
	struct termios changed = world->before;
	struct terminal terminal;

	terminal_init(&terminal, true);
	CHECK(terminal_enter_raw(&terminal));
	terminal_restore(&terminal);
	changed.c_lflag ^= ECHO;
	changed.c_cc[VERASE] = 'q';
	CHECK(tcsetattr(STDIN_FILENO, TCSANOW, &changed) == 0);
	CHECK(terminal_enter_raw(&terminal));
	terminal_restore(&terminal);
	CHECK(is_same(STDIN_FILENO, &changed));
	return 0;
}

static void test_changed_in_between(void **state)
{
	assert_int_equal(in_session(*state, changed_in_between), 0);
}

static int not_wanted(struct world *world)
{
	struct terminal terminal;

	terminal_init(&terminal, false);
	CHECK(!terminal.wanted && !terminal_enter_raw(&terminal));
	CHECK(is_same(STDIN_FILENO, &world->before));
	CHECK(dup2(open("/dev/null", O_RDWR), STDIN_FILENO) == STDIN_FILENO);
	terminal_init(&terminal, true);
	CHECK(!terminal.wanted && !terminal_enter_raw(&terminal));
	terminal_restore(&terminal);
	return 0;
}

static void test_not_wanted(void **state)
{
	assert_int_equal(in_session(*state, not_wanted), 0);
}

/* In the background a process that sets the terminal is stopped (SIGTTOU, which isn't ignored). */
static int in_background(struct world *world)
{
	int status;
	const pid_t child = fork();

	if (child == 0) {
		struct terminal terminal;

		setpgid(0, 0);
		terminal_init(&terminal, true);
		_exit(terminal.wanted && !terminal_enter_raw(&terminal) && !terminal.raw ? 0 : 1);
	}
	CHECK(waitpid(child, &status, WUNTRACED) == child);
	if (WIFSTOPPED(status))
		kill(child, SIGKILL);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(is_same(STDIN_FILENO, &world->before));
	return 0;
}

static void test_in_the_background(void **state)
{
	assert_int_equal(in_session(*state, in_background), 0);
}

static int crash_signal;

static int crash(struct world *world)
{
	struct terminal terminal;

	(void)world;
	terminal_init(&terminal, true);
	CHECK(terminal_enter_raw(&terminal) && is_raw(STDIN_FILENO));
	raise(crash_signal);
	return 98;
}

static void test_a_crash_gives_the_terminal_back(void **state)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		int status;

		crash_signal = signals[i];
		status = in_session(world, crash);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), crash_signal);
		assert_true(is_same(world->slave, &world->before));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_raw_and_back),       TEST(test_raw_again),
		TEST(test_changed_in_between), TEST(test_not_wanted),
		TEST(test_in_the_background),  TEST(test_a_crash_gives_the_terminal_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
