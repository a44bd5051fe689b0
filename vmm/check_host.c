/*
 * The host as it looks from outside of KVM: see check_host.h. This file reads; check_advice.c has
 * the words.
 *
 * Where it is read, below root:
 *
 *	/proc/cpuinfo                        the first processor's vendor and flags
 *	/sys/module/kvm_{intel,amd,pvm}      loaded or built in
 *	/sys/class/misc/kvm                  a driver that works has registered the device
 *	/dev/kvm                             owner, group, mode
 *	/etc/passwd, /etc/group              names; who is in the group
 *	/.dockerenv, /run/.containerenv,     containers of Docker; Podman;
 *	/run/systemd/container,                systemd, which names the kind; LXC and others,
 *	/proc/1/environ, /proc/1/cgroup        by `container=`; by the control group's name
 *
 * CI jobs are known by the environment: CI, which nearly all of them set.
 *
 * Limits: x86. Kernels since 5.6 (vmx) and 6.7 (svm) take the flag away when the firmware has
 * locked virtualization off; on older ones the module is there and can't be loaded, or stays
 * silent. Users and groups that only a directory service knows are shown by their numbers. ACLs
 * aren't looked at.
 *
 * Source: Linux Documentation/virt/kvm/x86/nested-vmx.rst, arch/x86/kernel/cpu/feat_ctl.c;
 * systemd's "The Container Interface".
 */
#include "vmm/check_host.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* System calls: openat, read, close, fstat, stat, access, getuid, geteuid, getegid, getgroups. */

enum { LINE_BYTES = 8192 };

static bool path_make(char path[PATH_MAX], const char *root, const char *name)
{
	return snprintf(path, PATH_MAX, "%s%s", root, name) < PATH_MAX;
}

static bool exists(const char *root, const char *name)
{
	char path[PATH_MAX];

	return path_make(path, root, name) && access(path, F_OK) == 0;
}

static FILE *open_file(const char *root, const char *name)
{
	char path[PATH_MAX];

	return path_make(path, root, name) ? fopen(path, "re") : NULL;
}

/* Reads the file's beginning; returns how many bytes that is. Files in /proc may hold NULs. */
static size_t read_head(const char *root, const char *name, char *text, size_t bytes)
{
	FILE *file = open_file(root, name);
	size_t used;

	if (!file)
		return 0;
	used = fread(text, 1, bytes, file);
	fclose(file);
	return used;
}

static bool file_has(const char *root, const char *name, const char *words)
{
	char text[4096];
	const size_t used = read_head(root, name, text, sizeof(text));

	return memmem(text, used, words, strlen(words)) != NULL;
}

/* Lines of "key	: value". An empty line ends the first processor; the others are the same. */
static void look_at_processor(const char *root, struct check_host *host)
{
	char text[LINE_BYTES + 1], *rest = text, *end;

	text[read_head(root, "/proc/cpuinfo", text, LINE_BYTES)] = '\0';
	end = strstr(text, "\n\n");
	if (end)
		*end = '\0';
	while (rest) {
		char *line = strsep(&rest, "\n");

		if (strncmp(line, "vendor_id", strlen("vendor_id")) == 0)
			snprintf(host->vendor, sizeof(host->vendor), "%s",
				 line + strcspn(line, ":") +
					 strspn(line + strcspn(line, ":"), ": "));
		if (strncmp(line, "flags", strlen("flags")) != 0)
			continue;
		for (char *word = strsep(&line, " "); word; word = strsep(&line, " ")) {
			host->vmx |= strcmp(word, "vmx") == 0;
			host->svm |= strcmp(word, "svm") == 0;
			host->hypervisor |= strcmp(word, "hypervisor") == 0;
		}
	}
}

static void look_at_modules(const char *root, struct check_host *host)
{
	host->intel = exists(root, "/sys/module/kvm_intel");
	host->amd = exists(root, "/sys/module/kvm_amd");
	host->pvm = exists(root, "/sys/module/kvm_pvm");
	/* Where the list of devices can't be seen, a module is taken to work. */
	host->driver = exists(root, "/sys/class/misc") ? exists(root, "/sys/class/misc/kvm")
						       : host->intel || host->amd || host->pvm;
}

/* A user's name as /etc/passwd has it, or the number. */
static void user_name(const char *root, uid_t uid, char name[CHECK_NAME_BYTES])
{
	FILE *file = open_file(root, "/etc/passwd");

	snprintf(name, CHECK_NAME_BYTES, "%u", uid);
	if (!file)
		return;
	for (const struct passwd *entry = fgetpwent(file); entry; entry = fgetpwent(file)) {
		if (entry->pw_uid == uid) {
			snprintf(name, CHECK_NAME_BYTES, "%s", entry->pw_name);
			break;
		}
	}
	fclose(file);
}

/* The same for the device's group; also whether it lists the user. */
static void look_at_group(const char *root, struct check_host *host)
{
	FILE *file = open_file(root, "/etc/group");

	snprintf(host->device.group, CHECK_NAME_BYTES, "%u", host->device.gid);
	if (!file)
		return;
	for (const struct group *entry = fgetgrent(file); entry; entry = fgetgrent(file)) {
		if (entry->gr_gid != host->device.gid)
			continue;
		snprintf(host->device.group, CHECK_NAME_BYTES, "%s", entry->gr_name);
		for (char **member = entry->gr_mem; *member; member++)
			host->member_listed |= strcmp(*member, host->user) == 0;
		break;
	}
	fclose(file);
}

static bool is_member(gid_t gid)
{
	gid_t groups[NGROUPS_MAX];
	const int count = getgroups(NGROUPS_MAX, groups);
	bool found = getegid() == gid;

	for (int i = 0; i < count; i++)
		found |= groups[i] == gid;
	return found;
}

static void look_at_device(const char *root, struct check_host *host)
{
	char path[PATH_MAX];
	struct stat stat_of;

	if (!path_make(path, root, "/dev/kvm") || stat(path, &stat_of) < 0)
		return;
	host->device.there = true;
	host->device.mode = stat_of.st_mode & 07777;
	host->device.uid = stat_of.st_uid;
	host->device.gid = stat_of.st_gid;
	user_name(root, host->device.uid, host->device.owner);
	look_at_group(root, host);
	host->member = is_member(host->device.gid);
}

static bool is_container(const char *root)
{
	static const char *const marks[] = {"/.dockerenv", "/run/.containerenv",
					    "/run/systemd/container"};
	static const char *const groups[] = {"docker", "kubepods", "containerd", "libpod", "/lxc"};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		if (exists(root, marks[i]))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		if (file_has(root, "/proc/1/cgroup", groups[i]))
			return true;
	}
	return file_has(root, "/proc/1/environ", "container=");
}

/* Set, and not to a word that means no. */
static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value && strcmp(value, "0") != 0 && strcmp(value, "false") != 0;
}

void check_host_look(const char *root, struct check_host *host)
{
	*host = (struct check_host){.uid = geteuid()};
	look_at_processor(root, host);
	look_at_modules(root, host);
	user_name(root, host->uid, host->user);
	look_at_device(root, host);
	host->container = is_container(root);
	host->ci = is_set("CI");
}

/* Whether owner, group and mode let this process read and write. */
static bool mode_allows(const struct check_host *host)
{
	const mode_t mode = host->device.mode;

	/* Root of a user namespace has no power over what belongs to somebody outside. */
	if (host->uid == 0 && host->device.uid != CHECK_OVERFLOW_ID)
		return true;
	if (host->uid == host->device.uid)
		return (mode & 0600) == 0600;
	if (host->member)
		return (mode & 0060) == 0060;
	return (mode & 0006) == 0006;
}

/* Nothing answers behind /dev/kvm, or there is no such node: whose turn is it? */
static enum check_finding find_missing(const struct check_host *host, bool node)
{
	if (host->driver && !node)
		return host->container ? CHECK_FOUND_NOT_PASSED : CHECK_FOUND_NO_DEVICE;
	if (!host->vmx && !host->svm)
		return host->hypervisor ? CHECK_FOUND_NO_NESTED : CHECK_FOUND_FIRMWARE;
	if (host->intel || host->amd)
		return CHECK_FOUND_DRIVER_OFF;
	return CHECK_FOUND_NO_MODULE;
}

enum check_finding check_host_find(const struct check_host *host, int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return find_missing(host, false);
	case ENODEV:
	case ENXIO:
		return find_missing(host, true);
	case EACCES:
	case EPERM:
		return mode_allows(host) ? CHECK_FOUND_FORBIDDEN : CHECK_FOUND_NO_PERMISSION;
	case EISDIR:
	case ENOTTY:
		return CHECK_FOUND_NOT_DEVICE;
	default:
		return CHECK_FOUND_OTHER;
	}
}

const char *check_host_module(const struct check_host *host)
{
	static const char *const intel[] = {"GenuineIntel", "CentaurHauls", "Shanghai"};
	static const char *const amd[] = {"AuthenticAMD", "HygonGenuine"};

	if (host->vmx || host->svm)
		return host->vmx ? "kvm_intel" : "kvm_amd";
	for (size_t i = 0; i < ARRAY_LEN(intel); i++) {
		if (strcmp(host->vendor, intel[i]) == 0)
			return "kvm_intel";
	}
	for (size_t i = 0; i < ARRAY_LEN(amd); i++) {
		if (strcmp(host->vendor, amd[i]) == 0)
			return "kvm_amd";
	}
	return NULL;
}

void check_explain(const char *root, int error, struct error *err)
{
	struct check_host host;

	check_host_look(root, &host);
	check_host_advise(&host, check_host_find(&host, error), error, err);
}
