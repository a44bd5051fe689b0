/*
 * boot/file.c: what may be opened, and what is said of what may not; reads at every edge.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot/file.h"
#include "tests/unit/support.h"

static char directory[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/bantam-test-XXXXXX");
	return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(directory);
}

static const char *in_directory(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

/* Opening path fails with these words, and leaves no descriptor. */
static void refused(const char *path, const char *words)
{
	const int next = dup(STDERR_FILENO);
	struct boot_file file;
	struct error err = {.text = ""};
	int again;

	close(next);
	assert_int_equal(file_open(&file, path, 0, &err), -1);
	assert_says(err.text, words);
	assert_int_equal(file.fd, -1);
	again = dup(STDERR_FILENO);
	close(again);
	assert_int_equal(again, next);
}

static void test_what_is_no_file(void **state)
{
	(void)state;
	refused(directory, "a directory");
	refused("/dev/null", "a device");
	refused(in_directory("missing"), strerror(ENOENT));
	refused("", strerror(ENOENT));
	refused("/dev/null/x", strerror(ENOTDIR));
}

/* Opening a FIFO would wait for its writer. The alarm ends the test program if it does. */
static void test_a_fifo_does_not_hang(void **state)
{
	const char *path = in_directory("fifo");

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(5);
	refused(path, "a FIFO");
	alarm(0);
	unlink(path);
}

static void test_a_socket(void **state)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_directory("socket"));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	refused(address.sun_path, strerror(ENXIO));
	close(fd);
	unlink(address.sun_path);
}

static void test_an_empty_file(void **state)
{
	const char *path = in_directory("empty");

	(void)state;
	close(open(path, O_CREAT | O_WRONLY, 0600));
	refused(path, "empty");
	unlink(path);
}

/* Root reads everything, so the unreadable file is opened as nobody, in a child. */
static void test_an_unreadable_file(void **state)
{
	const char *path = in_directory("secret");
	int status;
	pid_t child;

	(void)state;
	close(open(path, O_CREAT | O_WRONLY, 0));
	assert_int_equal(chmod(directory, 0755), 0);
	child = fork();
	if (child == 0) {
		struct boot_file file;
		struct error err = {.text = ""};

		if (geteuid() == 0 && (setegid(65534) || seteuid(65534)))
			_exit(2);
		if (file_open(&file, path, 0, &err) != -1 || file.fd != -1)
			_exit(3);
		_exit(strstr(err.text, "permission denied") && strstr(err.text, path) ? 0 : 4);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	unlink(path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		SKIP("this root can't become nobody");
	assert_int_equal(status, 0);
}

static void test_reads_at_the_edges(void **state)
{
	struct temp_file temp;
	struct boot_file file;
	struct error err = {.text = ""};
	u8 got[16];

	(void)state;
	temp_file_make(&temp, "0123456789", 10);
	assert_int_equal(file_open(&file, temp.path, 0, &err), 0);
	assert_int_equal(file.bytes, 10);
	memset(got, 'x', sizeof(got));
	assert_int_equal(file_read(&file, 0, got, 10, &err), 0);
	assert_memory_equal(got, "0123456789xx", 12);
	assert_int_equal(file_read(&file, 9, got, 1, &err), 0);
	assert_memory_equal(got, "9123", 4);
	assert_int_equal(file_read(&file, 3, got, 2, &err), 0);
	assert_memory_equal(got, "3423", 4);
	assert_int_equal(file_read(&file, 10, got, 1, &err), -1);
	assert_says(err.text, "truncated");
	assert_says(err.text, "bytes 10 to 10 are needed");
	assert_int_equal(file_read(&file, 0, got, 11, &err), -1);
	assert_int_equal(file_read(&file, ~(u64)0, got, 1, &err), -1);
	assert_int_equal(file_read(&file, ~(u64)0, got, 2, &err), -1);
	assert_int_equal(file_read(&file, 2, got, ~(u64)0, &err), -1);
	assert_int_equal(file_read(&file, (u64)1 << 63, got, 1, &err), -1);
	assert_memory_equal(got, "3423", 4);
	file_close(&file);
	assert_int_equal(file.fd, -1);
	file_close(&file);
	temp_file_free(&temp);
}

/* A file that is open already stays the caller's, good or not. */
static void test_adopted_files(void **state)
{
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct temp_file temp;
	struct boot_file file;
	struct error err = {.text = ""};
	u8 got[4];

	(void)state;
	temp_file_make(&temp, "0123456789", 10);
	assert_int_equal(file_open(&file, "it", temp.fd, &err), 0);
	assert_int_equal(file.bytes, 10);
	assert_int_equal(file_read(&file, 6, got, 4, &err), 0);
	assert_memory_equal(got, "6789", 4);
	file_close(&file);
	assert_int_equal(file.fd, -1);
	assert_true(fcntl(temp.fd, F_GETFD) >= 0);
	temp_file_set(&temp, "", 0);
	assert_int_equal(file_open(&file, "it", temp.fd, &err), -1);
	assert_says(err.text, "empty");
	assert_true(fcntl(temp.fd, F_GETFD) >= 0);
	assert_int_equal(file_open(&file, "it", null, &err), -1);
	assert_says(err.text, "a device");
	assert_true(fcntl(null, F_GETFD) >= 0);
	close(null);
	temp_file_free(&temp);
}

static void test_a_file_that_shrinks(void **state)
{
	struct temp_file temp;
	struct boot_file file;
	struct error err = {.text = ""};
	u8 got[16];

	(void)state;
	temp_file_make(&temp, "0123456789", 10);
	assert_int_equal(file_open(&file, temp.path, 0, &err), 0);
	temp_file_set(&temp, "01234", 5);
	assert_int_equal(file_read(&file, 0, got, 10, &err), -1);
	assert_says(err.text, "shrank");
	file_close(&file);
	temp_file_free(&temp);
}

static void test_a_read_that_fails(void **state)
{
	const struct boot_file file = {.fd = -1, .bytes = 10};
	struct error err = {.text = ""};
	u8 got[16];

	(void)state;
	assert_int_equal(file_read(&file, 0, got, 10, &err), -1);
	assert_says(err.text, strerror(EBADF));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_no_file),    TEST(test_a_fifo_does_not_hang),
		TEST(test_a_socket),           TEST(test_an_empty_file),
		TEST(test_an_unreadable_file), TEST(test_reads_at_the_edges),
		TEST(test_adopted_files),      TEST(test_a_file_that_shrinks),
		TEST(test_a_read_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
