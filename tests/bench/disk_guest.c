/*
 * disk_guest - the first program of a guest that works its disk, for the benchmarks' disk rows.
 *
 * Loads the virtio drivers (/modules, as tools/kernels --modules leaves them), opens /dev/vda past
 * the guest's page cache, and works it in one way after the other:
 *
 *	randread-1   randread-32   randwrite-1   randwrite-32	4 KiB at random places
 *	seqread-4    seqwrite-4					128 KiB, one behind the other
 *
 * The number is how many requests are under way at once. Each request is handed in by a system call
 * of its own, all that are done are taken in one: what fio's libaio engine does when it isn't told
 * otherwise. What it says:
 *
 *	DISK: begin NAME
 *	DISK: end NAME requests=N ns=N
 *
 * and in the end `DISK: done`, then it switches off. The kernel command line tells, as words that
 * the kernel makes the environment of: loads=A,B (which, in that order; all six), milliseconds=N (of
 * each), and pause=N (milliseconds before and after each, for whoever counts on the other side).
 *
 * Limits: an error, or no disk after ten seconds, ends with one line that says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 32, BYTES_MAX = 128 * 1024 };

struct load {
	const char *name;
	uint16_t opcode;
	unsigned depth, bytes;
	int random;
};

static const struct load all_loads[] = {
	{"randread-1", IOCB_CMD_PREAD, 1, 4096, 1},
	{"randread-32", IOCB_CMD_PREAD, 32, 4096, 1},
	{"randwrite-1", IOCB_CMD_PWRITE, 1, 4096, 1},
	{"randwrite-32", IOCB_CMD_PWRITE, 32, 4096, 1},
	{"seqread-4", IOCB_CMD_PREAD, 4, BYTES_MAX, 0},
	{"seqwrite-4", IOCB_CMD_PWRITE, 4, BYTES_MAX, 0},
};

static void off(void)
{
	fflush(stdout);
	reboot(RB_POWER_OFF);
	_exit(1);
}

static void die(const char *what)
{
	printf("DISK: %s: %s\n", what, strerror(errno));
	off();
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void sleep_ms(uint64_t ms)
{
	const struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

/* A file of /modules; one that is loaded already, or finds no device, is no error. */
static void load_module(const char *file)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/modules/%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST && errno != ENODEV))
		die(path);
	close(fd);
}

/* modules.list: in each line a module's name, then its files in the order they need. */
static void load_modules(void)
{
	FILE *list = fopen("/modules/modules.list", "re");
	char line[1024];

	while (list && fgets(line, sizeof(line), list)) {
		char *at = line;

		strsep(&at, " \n");
		while (at && *at) {
			const char *file = strsep(&at, " \n");

			if (*file)
				load_module(file);
		}
	}
	if (list)
		fclose(list);
}

static int open_disk(void)
{
	for (int tries = 0; tries < 100; tries++) {
		const int fd = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		sleep_ms(100);
	}
	die("/dev/vda");
	return -1;
}

/* Xorshift: the same places for everybody. */
static uint64_t random_number(void)
{
	static uint64_t state = 88172645463325252U;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void hand_in(aio_context_t context, const struct load *load, struct iocb *iocb,
		    uint64_t blocks, uint64_t *next)
{
	const uint64_t block = load->random ? random_number() % blocks : (*next)++ % blocks;

	iocb->aio_offset = (int64_t)(block * load->bytes);
	if (syscall(SYS_io_submit, context, 1, &iocb) != 1)
		die("io_submit");
}

static void work(const struct load *load, int fd, uint64_t disk_bytes, uint8_t *memory, uint64_t ms)
{
	static struct iocb iocb[DEPTH_MAX];
	struct io_event event[DEPTH_MAX];
	aio_context_t context = 0;
	const uint64_t blocks = disk_bytes / load->bytes, start = now_ns();
	const uint64_t end = start + ms * 1000000;
	uint64_t next = 0, requests = 0;
	unsigned under_way = 0;

	if (syscall(SYS_io_setup, DEPTH_MAX, &context))
		die("io_setup");
	for (; under_way < load->depth; under_way++) {
		iocb[under_way] = (struct iocb){
			.aio_lio_opcode = load->opcode,
			.aio_fildes = (uint32_t)fd,
			.aio_buf = (uintptr_t)(memory + (size_t)under_way * load->bytes),
			.aio_nbytes = load->bytes,
		};
		hand_in(context, load, &iocb[under_way], blocks, &next);
	}
	while (under_way) {
		const long done = syscall(SYS_io_getevents, context, 1, DEPTH_MAX, event, NULL);
		const int on = now_ns() < end;

		if (done < 1)
			die("io_getevents");
		for (long i = 0; i < done; i++) {
			if (event[i].res != load->bytes) {
				errno = EIO;
				die(load->name);
			}
			requests++;
			if (on)
				hand_in(context, load, (struct iocb *)(uintptr_t)event[i].obj,
					blocks, &next);
			else
				under_way--;
		}
	}
	printf("DISK: end %s requests=%llu ns=%llu\n", load->name, (unsigned long long)requests,
	       (unsigned long long)(now_ns() - start));
	syscall(SYS_io_destroy, context);
}

static const struct load *find_load(const char *name)
{
	for (size_t i = 0; i < sizeof(all_loads) / sizeof(all_loads[0]); i++) {
		if (strcmp(all_loads[i].name, name) == 0)
			return &all_loads[i];
	}
	errno = EINVAL;
	die(name);
	return NULL;
}

int main(void)
{
	static char all[] = "randread-1,randread-32,randwrite-1,randwrite-32,seqread-4,seqwrite-4";
	const uint64_t ms = number("milliseconds", 1000), pause = number("pause", 0);
	char *names = getenv("loads") ? getenv("loads") : all;
	uint64_t bytes = 0;
	uint8_t *memory;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir("/dev", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	load_modules();
	fd = open_disk();
	if (ioctl(fd, BLKGETSIZE64, &bytes) || bytes < BYTES_MAX)
		die("the disk's size");
	memory = mmap(NULL, (size_t)DEPTH_MAX * BYTES_MAX, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		die("memory");
	while (names && *names) {
		const struct load *load = find_load(strsep(&names, ","));

		printf("DISK: begin %s\n", load->name);
		sleep_ms(pause);
		work(load, fd, bytes, memory, ms);
		sleep_ms(pause);
	}
	printf("DISK: done\n");
	off();
	return 0;
}
