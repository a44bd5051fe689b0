/*
 * The command line of `bantam run` (vmm/options.c, option_values.c, *_option.c, config.c), as
 * words of the input, which have newlines between them.
 *
 * Nothing is opened: users and groups are made up here, and what --rootfs and the files name is
 * only looked at (stat(2)).
 *
 * Checked: a refusal gives its reason in a line; what is taken is what the machine can be built
 * of, every number in its range; and a disk, a network, a port and a volume, written down again
 * from what was understood, are understood as the same.
 */
#include <arpa/inet.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/device.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/disk_option.h"
#include "vmm/options.h"
#include "vmm/trace.h"

/* Every word fits into a text, with all of its commas doubled and what is put behind. */
enum { WORDS_MAX = 400, INPUT_MAX = 1 << 12, TEXT_BYTES = 1 << 14 };

/* ---- the host's users, one of each; who runs is root ---- */

uid_t geteuid(void)
{
	return 0;
}

struct passwd *getpwnam(const char *name)
{
	static struct passwd user = {.pw_uid = 1000, .pw_gid = 100};

	return strcmp(name, "user") == 0 ? &user : NULL;
}

struct group *getgrnam(const char *name)
{
	static struct group group = {.gr_gid = 50};

	return strcmp(name, "group") == 0 ? &group : NULL;
}

/* ---- written down again ---- */

/* A path, its commas doubled. Returns what is behind it. */
static char *put_path(char *to, const char *path)
{
	for (; *path; path++) {
		*to++ = *path;
		if (*path == ',')
			*to++ = ',';
	}
	*to = '\0';
	return to;
}

static char *put_rate(char *to, const char *name, const struct bucket *bucket)
{
	return bucket->rate ? to + sprintf(to, ",%s=%llu", name, bucket->rate) : to;
}

static bool same_limit(const struct limit *a, const struct limit *b)
{
	return a->requests.rate == b->requests.rate && a->bytes.rate == b->bytes.rate;
}

static void check_disk(const struct disk_config *disk)
{
	struct error err = {.text = ""};
	struct disk_config again;
	char text[TEXT_BYTES], *to;

	FUZZ_CHECK(disk->path && disk->path[0] && !(disk->read_only && disk->ephemeral));
	FUZZ_CHECK(disk->queues >= 1 && disk->queues <= VIRTIO_QUEUES_MAX);
	FUZZ_CHECK(memchr(disk->serial, '\0', sizeof(disk->serial)));
	to = put_path(text, disk->path);
	to += sprintf(to, "%s%s%s,queues=%u", disk->read_only ? ",ro" : "",
		      disk->ephemeral ? ",ephemeral" : "", disk->direct ? ",direct" : "",
		      disk->queues);
	to = put_rate(put_rate(to, "iops", &disk->limit.requests), "bps", &disk->limit.bytes);
	sprintf(to, ",serial=%s", disk->serial);
	FUZZ_CHECK(disk_option_parse(&again, text, &err) == 0);
	FUZZ_CHECK(strcmp(again.path, disk->path) == 0 && again.queues == disk->queues &&
		   again.read_only == disk->read_only && again.ephemeral == disk->ephemeral &&
		   again.direct == disk->direct && strcmp(again.serial, disk->serial) == 0 &&
		   same_limit(&again.limit, &disk->limit));
	free((void *)(uintptr_t)again.path);
}

static void check_net(const struct net_config *net)
{
	static const u8 none[ETH_ALEN];
	struct error err = {.text = ""};
	struct net_config again;
	char text[TEXT_BYTES], *to;
	const u8 *mac = net->mac;

	FUZZ_CHECK(net->kind <= NET_SOCKET && net->name);
	FUZZ_CHECK(net->queues >= 1 && net->queues <= NET_PAIRS_MAX);
	FUZZ_CHECK(net->kind == NET_TAP || net->queues == 1);
	FUZZ_CHECK(net->kind == NET_FD ? net->fd > 2 : net->fd == -1);
	FUZZ_CHECK(net->has_mac == (memcmp(mac, none, ETH_ALEN) != 0) && !(mac[0] & 1));
	to = put_path(text + sprintf(text, "%s", net_kind_names[net->kind]), net->name);
	if (net->kind == NET_TAP)
		to += sprintf(to, ",queues=%u", net->queues);
	if (net->has_mac)
		to += sprintf(to, ",mac=%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
			      mac[3], mac[4], mac[5]);
	put_rate(put_rate(to, "pps", &net->limit.requests), "bps", &net->limit.bytes);
	FUZZ_CHECK(net_option_parse(&again, text, &err) == 0);
	FUZZ_CHECK(again.kind == net->kind && again.fd == net->fd && again.queues == net->queues &&
		   again.has_mac == net->has_mac && memcmp(again.mac, mac, ETH_ALEN) == 0 &&
		   strcmp(again.name, net->name) == 0 && same_limit(&again.limit, &net->limit));
	free(again.name);
}

static void check_publish(const struct net_publish *publish)
{
	const bool wide = strchr(publish->address, ':');
	struct error err = {.text = ""};
	struct net_publish again;
	struct in6_addr binary;
	char text[80];

	FUZZ_CHECK(publish->host && publish->guest);
	FUZZ_CHECK(!publish->address[0] ||
		   inet_pton(wide ? AF_INET6 : AF_INET, publish->address, &binary) == 1);
	snprintf(text, sizeof(text), "%s%s%s%s%u:%u/%s", wide ? "[" : "", publish->address,
		 wide ? "]" : "", publish->address[0] ? ":" : "", publish->host, publish->guest,
		 publish->udp ? "udp" : "tcp");
	FUZZ_CHECK(net_publish_parse(&again, text, &err) == 0);
	FUZZ_CHECK(strcmp(again.address, publish->address) == 0 && again.host == publish->host &&
		   again.guest == publish->guest && again.udp == publish->udp);
}

/* An absolute path in its one spelling, which leads neither up nor to the root. */
static bool is_plain(const char *path)
{
	if (!*path)
		return false;
	while (*path) {
		const size_t length = *path == '/' ? strcspn(path + 1, "/") : 0;

		if (length == 0 || (length == 1 && path[1] == '.') ||
		    (length == 2 && path[1] == '.' && path[2] == '.'))
			return false;
		path += 1 + length;
	}
	return true;
}

static void check_volume(const struct share_config *volume)
{
	static const char *const caches[] = {[FUSE_CACHE_AUTO] = "auto",
					     [FUSE_CACHE_NONE] = "none",
					     [FUSE_CACHE_ALWAYS] = "always"};
	struct error err = {.text = ""};
	struct share_config again;
	char text[TEXT_BYTES];

	FUZZ_CHECK(volume->host[0] && is_plain(volume->guest));
	sprintf(text, "%s:%s:%s,cache=%s", volume->host, volume->guest,
		volume->read_only ? "ro" : "rw", caches[volume->cache]);
	FUZZ_CHECK(share_option_volume(&again, text, &err) == 0);
	FUZZ_CHECK(strcmp(again.host, volume->host) == 0 &&
		   strcmp(again.guest, volume->guest) == 0 &&
		   again.read_only == volume->read_only && again.cache == volume->cache);
	free(again.host);
}

/* ---- what was taken ---- */

static bool is_hostname(const char *name)
{
	return !name || (name[0] && strlen(name) <= HOST_NAME_MAX && !strpbrk(name, " /,:=\n\t"));
}

static void check_numbers(const struct config *config)
{
	FUZZ_CHECK(config->cpus >= 1 && config->cpus <= CPUS_MAX);
	FUZZ_CHECK(config->memory_bytes >= MEMORY_MIN_BYTES &&
		   config->memory_bytes <= (u64)1 << 52 && config->memory_bytes % PAGE_BYTES == 0);
	FUZZ_CHECK(config->timeout_ns <= INT64_MAX && config->stop_timeout_ns <= INT64_MAX);
	FUZZ_CHECK(config->protocol <= BOOT_PVH && config->transport <= TRANSPORT_MMIO);
	FUZZ_CHECK(config->console <= CONSOLE_FILE && config->dry_run <= DRY_RUN_JSON);
	FUZZ_CHECK(config->console != CONSOLE_FILE || config->console_path);
	FUZZ_CHECK(!(config->trace & ~(u32)TRACE_ALL));
	FUZZ_CHECK(config->disks <= DISKS_MAX && config->nets <= NETS_MAX &&
		   config->publishes <= PUBLISHES_MAX && config->volumes <= VOLUMES_MAX &&
		   config->appends <= APPENDS_MAX && config->envs <= ENVS_MAX);
	/* Who is told to become somebody becomes nobody's superior. */
	FUZZ_CHECK(!config->run_as || (config->run_uid && config->run_gid));
}

static void check_devices(const struct config *config)
{
	bool user = false;

	for (unsigned i = 0; i < config->disks; i++)
		check_disk(&config->disk[i]);
	for (unsigned i = 0; i < config->nets; i++) {
		check_net(&config->net[i]);
		user = user || config->net[i].kind == NET_USER;
	}
	for (unsigned i = 0; i < config->publishes; i++)
		check_publish(&config->publish[i]);
	FUZZ_CHECK(user || !config->publishes);
	for (unsigned i = 0; i < config->volumes; i++) {
		check_volume(&config->volume[i]);
		for (unsigned k = 0; k < i; k++)
			FUZZ_CHECK(strcmp(config->volume[i].guest, config->volume[k].guest) != 0);
	}
}

static void check_command(const struct config *config)
{
	if (!config->command) {
		FUZZ_CHECK(!config->root.host && !config->volumes && !config->tty);
		return;
	}
	FUZZ_CHECK(config->words > 0 && config->command[0]);
	FUZZ_CHECK(!config->initrd != !config->root.host);
	FUZZ_CHECK(!config->dir || config->dir[0] == '/');
	FUZZ_CHECK(config->console != CONSOLE_STDIO && !config->restart);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	static struct config config;
	struct error err = {.text = ""};
	char text[INPUT_MAX + 1], *rest = text, *argv[WORDS_MAX + 1];
	enum options_outcome outcome;
	int argc = 0;

	if (count > INPUT_MAX)
		return 0;
	memcpy(text, bytes, count);
	text[count] = '\0';
	while (rest && argc < WORDS_MAX)
		argv[argc++] = strsep(&rest, "\n");
	argv[argc] = NULL;
	outcome = options_parse(&config, argc, argv, &err);
	if (outcome == OPTIONS_WRONG) {
		FUZZ_CHECK(err.text[0] && !strchr(err.text, '\n'));
	} else if (outcome == OPTIONS_RUN) {
		FUZZ_CHECK(config.kernel && config.cmdline && !err.text[0]);
		FUZZ_CHECK(is_hostname(config.name) && is_hostname(config.hostname));
		check_numbers(&config);
		check_devices(&config);
		check_command(&config);
		if (config_check_files(&config, &err))
			FUZZ_CHECK(err.text[0]);
	}
	options_free(&config);
	return 0;
}
