/*
 * What the user asked for, as a whole: which options go together, and what those that weren't given
 * are then.
 */
#include "vmm/config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Ports are passt's to publish. */
static int check_publish(const struct config *config, struct error *err)
{
	for (unsigned i = 0; i < config->nets; i++) {
		if (config->net[i].kind == NET_USER)
			return 0;
	}
	return config->publishes ? error_set(err, "--publish needs --net user") : 0;
}

/* A root that is no directory is the first disk, vda; written to only where the user said so. */
static int add_root_disk(struct config *config, struct error *err)
{
	const struct share_config *root = &config->root;
	struct stat status;

	if (!root->host)
		return 0;
	if (stat(root->host, &status))
		return error_errno(err, "--rootfs '%s'", root->host);
	config->root.is_directory = S_ISDIR(status.st_mode);
	if (config->root.is_directory)
		return 0;
	if (config->disks == DISKS_MAX)
		return error_set(err, "--rootfs: there are %d disks already", DISKS_MAX);
	memmove(&config->disk[1], &config->disk[0], config->disks * sizeof(config->disk[0]));
	config->disk[0] =
		(struct disk_config){.path = strdup(root->host),
				     .queues = 1,
				     .read_only = root->read_only,
				     .ephemeral = !root->read_only && !root->write_through};
	config->disks++;
	return config->disk[0].path ? 0 : error_set(err, "no memory for the options");
}

/* What COMMAND wants, and what only makes sense with it. */
static int check_command(struct config *config, struct error *err)
{
	if (!config->command)
		return config->tty || config->envs || config->dir || config->user ||
				       config->modules || config->root.host || config->volumes
			       ? error_set(err,
					   "--rootfs, --volume, --tty, --env, --workdir, --user "
					   "and --modules are for a COMMAND: 'bantam run "
					   "KERNEL -- COMMAND'")
			       : 0;
	if (config->words == 0)
		return error_set(err, "no COMMAND is given behind '--'");
	if (!config->initrd == !config->root.host)
		return error_set(err,
				 "COMMAND needs one root directory: give it by --rootfs, or by "
				 "--initrd");
	if (config->dir && config->dir[0] != '/')
		return error_set(err, "--workdir '%s': it is an absolute path", config->dir);
	if (config->restart)
		return error_set(err,
				 "--on-reset restart doesn't go with COMMAND, which runs once");
	if (!config->console_path)
		config->console = CONSOLE_OFF;
	if (config->console == CONSOLE_STDIO)
		return error_set(err,
				 "--console stdio: with COMMAND, stdin and stdout are its own; "
				 "say stderr or a file");
	return 0;
}

/* What is no name may be a number; 0 is nobody to become. */
static u32 id_of(const char *text)
{
	char *end;
	const unsigned long id = strtoul(text, &end, 10);

	return *end || id >= UINT32_MAX ? 0 : (u32)id;
}

/* USER[:GROUP] as numbers; without GROUP it is the user's own. */
static int find_user(struct config *config, struct error *err)
{
	char name[64] = "", *group = name;
	const struct passwd *user;
	const struct group *entry;

	if (!config->run_as)
		return 0;
	if (geteuid() || config->sandbox != SANDBOX_ON)
		return error_set(err, "--run-as is for root, and for --sandbox on");
	strncpy(name, config->run_as, sizeof(name) - 1);
	(void)strsep(&group, ":");
	user = getpwnam(name);
	entry = group ? getgrnam(group) : NULL;
	config->run_uid = user ? user->pw_uid : id_of(name);
	config->run_gid = entry   ? entry->gr_gid
			  : group ? id_of(group)
			  : user  ? user->pw_gid
				  : config->run_uid;
	return config->run_uid && config->run_gid
		       ? 0
		       : error_set(err, "--run-as '%s': no such user, or root", config->run_as);
}

int config_complete(struct config *config, struct error *err)
{
	config->cmdline_default = !config->cmdline;
	if (config->cmdline_default)
		config->cmdline = config->console_virtio ? "console=hvc0" : CMDLINE_DEFAULT;
	if (!config->memory_bytes)
		config->memory_bytes = config->root.host ? GIB : 256 * MIB;
	if (config->gdb_wait && !config->gdb)
		return error_set(err, "--gdb-wait needs --gdb");
	if (check_publish(config, err) || check_command(config, err) || find_user(config, err))
		return -1;
	return add_root_disk(config, err);
}

/* The files that a run names, and which of them it writes to. */
struct named_files {
	const char *path[7 + DISKS_MAX];
	bool written[7 + DISKS_MAX];
	unsigned count;
};

static void name_file(struct named_files *files, const char *path, bool written)
{
	if (!path)
		return;
	files->path[files->count] = path;
	files->written[files->count++] = written;
}

int config_check_files(const struct config *config, struct error *err)
{
	struct named_files files = {.count = 0};
	struct stat first, second;

	name_file(&files, config->kernel, false);
	name_file(&files, config->initrd, false);
	name_file(&files, config->symbols, false);
	for (unsigned i = 0; i < config->disks; i++)
		name_file(&files, config->disk[i].path, disk_is_written(&config->disk[i]));
	name_file(&files, config->result_path, true);
	name_file(&files, config->report_path, true);
	name_file(&files, config->trace_path, true);
	name_file(&files, config->console == CONSOLE_FILE ? config->console_path : NULL, true);
	for (unsigned i = 1; i < files.count; i++) {
		if (stat(files.path[i], &first) ||
		    (!S_ISREG(first.st_mode) && !S_ISBLK(first.st_mode)))
			continue;
		for (unsigned k = 0; k < i; k++) {
			if ((files.written[i] || files.written[k]) &&
			    stat(files.path[k], &second) == 0 && second.st_dev == first.st_dev &&
			    second.st_ino == first.st_ino)
				return error_set(err,
						 "'%s' is given twice, and would be written to",
						 files.path[i]);
		}
	}
	return 0;
}
