/*
 * vmm/check_host.c and check_advice.c: what `bantam check` finds and advises, from made-up /dev,
 * /proc, /sys and /etc trees in a temporary directory. No KVM is touched.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/check_host.h"

#define INTEL_VMX "vendor_id\t: GenuineIntel\nflags\t\t: fpu vmx lm\n\n"
#define INTEL_VM  "vendor_id\t: GenuineIntel\nflags\t\t: fpu lm hypervisor\n\n"
#define INTEL_OFF "vendor_id\t: GenuineIntel\nflags\t\t: fpu lm vmx_not svm_not\n\nflags\t\t: vmx\n"
#define AMD_SVM   "vendor_id\t: AuthenticAMD\nflags\t\t: fpu lm svm\n\n"
#define AMD_VM    "vendor_id\t: AuthenticAMD\nflags\t\t: hypervisor fpu lm\n\n"
#define AMD_OFF   "vendor_id\t: AuthenticAMD\nflags\t\t: fpu lm\n\n"
#define ARM       "processor\t: 0\nFeatures\t: fp asimd\n\n"

/* A host's tree, removed after each test. */
struct tree {
	char root[64];
	struct check_host host;
	struct error advice;
};

static void path_of(const struct tree *tree, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s%s", tree->root, name);
}

/* Makes the directory of each name that a slash follows. */
static void make_parents(char *path)
{
	for (char *at = path + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
}

static void put_bytes(const struct tree *tree, const char *name, const void *bytes, size_t count)
{
	char path[PATH_MAX];
	FILE *file;

	path_of(tree, name, path);
	make_parents(path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, count, file), count);
	assert_int_equal(fclose(file), 0);
}

static void put(const struct tree *tree, const char *name, const char *text)
{
	put_bytes(tree, name, text, strlen(text));
}

static void put_directory(const struct tree *tree, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, PATH_MAX, "%s%s/", tree->root, name);
	make_parents(path);
}

/* A stand-in for the device: the reading code only stats it. */
static void put_device(const struct tree *tree, mode_t mode)
{
	char path[PATH_MAX];

	put(tree, "/dev/kvm", "");
	path_of(tree, "/dev/kvm", path);
	assert_int_equal(chmod(path, mode), 0);
}

static int remove_one(const char *path, const struct stat *stat_of, int kind, struct FTW *where)
{
	(void)stat_of, (void)kind, (void)where;
	return remove(path);
}

static int tree_make(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	assert_non_null(tree);
	snprintf(tree->root, sizeof(tree->root), "/tmp/bantam-check.XXXXXX");
	assert_non_null(mkdtemp(tree->root));
	put_directory(tree, "/dev");
	put_directory(tree, "/sys/module");
	put_directory(tree, "/sys/class/misc");
	put(tree, "/proc/1/cgroup", "0::/init.scope\n");
	put(tree, "/etc/passwd", "root:x:0:0::/:/bin/sh\nann:x:4321:4321::/:/bin/sh\n");
	put(tree, "/etc/group", "root:x:0:\nkvm:x:4242:bob,ann\n");
	unsetenv("CI");
	*state = tree;
	return 0;
}

static int tree_free(void **state)
{
	struct tree *tree = *state;

	nftw(tree->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(tree);
	return 0;
}

/* A host whose driver works: the module, and the device that it registered. */
static void put_driver(const struct tree *tree, const char *module)
{
	char name[64];

	snprintf(name, sizeof(name), "/sys/module/%s", module);
	put_directory(tree, name);
	put_directory(tree, "/sys/class/misc/kvm");
}

static enum check_finding look(struct tree *tree, int error)
{
	enum check_finding finding;

	check_host_look(tree->root, &tree->host);
	finding = check_host_find(&tree->host, error);
	check_host_advise(&tree->host, finding, error, &tree->advice);
	assert_null(strchr(tree->advice.text, '\n'));
	assert_null(strchr(tree->advice.remedy, '\n'));
	return finding;
}

/* The same for ann, who is in no group, and a device of root:kvm. */
static enum check_finding look_as_ann(struct tree *tree, int error)
{
	enum check_finding finding;

	check_host_look(tree->root, &tree->host);
	tree->host.uid = 4321;
	tree->host.member = false;
	snprintf(tree->host.user, sizeof(tree->host.user), "ann");
	tree->host.device.uid = 0;
	tree->host.device.gid = 4242;
	snprintf(tree->host.device.owner, sizeof(tree->host.device.owner), "root");
	snprintf(tree->host.device.group, sizeof(tree->host.device.group), "kvm");
	finding = check_host_find(&tree->host, error);
	check_host_advise(&tree->host, finding, error, &tree->advice);
	return finding;
}

static void test_what_is_read(void **state)
{
	struct tree *tree = *state;

	put(tree, "/proc/cpuinfo", INTEL_VMX);
	put_driver(tree, "kvm_intel");
	put_device(tree, 0660);
	check_host_look(tree->root, &tree->host);
	assert_string_equal(tree->host.vendor, "GenuineIntel");
	assert_true(tree->host.vmx && tree->host.intel && tree->host.driver);
	assert_false(tree->host.svm || tree->host.hypervisor || tree->host.amd || tree->host.pvm);
	assert_false(tree->host.container || tree->host.ci);
	assert_true(tree->host.device.there);
	assert_int_equal(tree->host.device.mode, 0660);
}

static void test_firmware(void **state)
{
	struct tree *tree = *state;

	/* Flags are whole words, of the first processor. */
	put(tree, "/proc/cpuinfo", INTEL_OFF);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_FIRMWARE);
	assert_says(tree->advice.text, "no vmx or svm");
	assert_says(tree->advice.remedy, "turn on VT-x");
	assert_says(tree->advice.remedy, "firmware");
	put(tree, "/proc/cpuinfo", AMD_OFF);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_FIRMWARE);
	assert_says(tree->advice.remedy, "turn on SVM");
	/* A static node without a driver behind it is the same case. */
	put_device(tree, 0660);
	assert_int_equal(look(tree, ENODEV), CHECK_FOUND_FIRMWARE);
	assert_int_equal(look(tree, ENXIO), CHECK_FOUND_FIRMWARE);
}

static void test_no_nested(void **state)
{
	struct tree *tree = *state;

	put(tree, "/proc/cpuinfo", INTEL_VM);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_NESTED);
	assert_says(tree->advice.text, "without nested virtualization");
	assert_says(tree->advice.remedy, "outer host");
	assert_says(tree->advice.remedy, "options kvm_intel nested=1");
	put(tree, "/proc/cpuinfo", AMD_VM);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_NESTED);
	assert_says(tree->advice.remedy, "options kvm_amd nested=1");
	assert_null(strstr(tree->advice.remedy, "--device"));
	put(tree, "/.dockerenv", "");
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_NESTED);
	assert_says(tree->advice.remedy, "--device /dev/kvm");
	/* Built in, and of no use there. */
	put_directory(tree, "/sys/module/kvm_amd");
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_NESTED);
}

static void test_no_module(void **state)
{
	struct tree *tree = *state;

	put(tree, "/proc/cpuinfo", INTEL_VMX);
	put_directory(tree, "/sys/module/kvm");
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_MODULE);
	assert_says(tree->advice.text, "kvm_intel is not loaded");
	assert_says(tree->advice.remedy, "sudo modprobe kvm_intel");
	put(tree, "/proc/cpuinfo", AMD_SVM);
	assert_int_equal(look(tree, ENODEV), CHECK_FOUND_NO_MODULE);
	assert_says(tree->advice.remedy, "sudo modprobe kvm_amd");
	put(tree, "/run/.containerenv", "");
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_MODULE);
	assert_says(tree->advice.remedy, "on the container's host, sudo modprobe");
	assert_says(tree->advice.remedy, "--device /dev/kvm");
}

static void test_driver_off(void **state)
{
	struct tree *tree = *state;
	char path[PATH_MAX];

	put(tree, "/proc/cpuinfo", AMD_SVM);
	put_directory(tree, "/sys/module/kvm_amd");
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_DRIVER_OFF);
	assert_says(tree->advice.text, "kvm_amd");
	assert_says(tree->advice.remedy, "dmesg");
	/* Without a list of devices the module is believed. */
	path_of(tree, "/sys/class/misc", path);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_DEVICE);
}

static void test_no_device(void **state)
{
	struct tree *tree = *state;

	put(tree, "/proc/cpuinfo", INTEL_VMX);
	put_driver(tree, "kvm_intel");
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_DEVICE);
	assert_says(tree->advice.remedy, "mknod");
	assert_false(tree->host.device.there);
}

static void check_container(struct tree *tree, const char *mark, const char *text, size_t count)
{
	char path[PATH_MAX];

	put_bytes(tree, mark, text, count);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NOT_PASSED);
	assert_says(tree->advice.text, "container");
	assert_says(tree->advice.remedy, "--device /dev/kvm");
	path_of(tree, mark, path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_NO_DEVICE);
}

static void test_container(void **state)
{
	static const char environ[] = "PATH=/bin\0container=lxc\0TERM=dumb";
	static const char cgroup[] = "12:cpu:/kubepods/besteffort/pod1\n0::/\n";
	struct tree *tree = *state;

	put(tree, "/proc/cpuinfo", INTEL_VMX);
	put_driver(tree, "kvm_intel");
	check_container(tree, "/.dockerenv", "", 0);
	check_container(tree, "/run/.containerenv", "", 0);
	check_container(tree, "/run/systemd/container", "lxc\n", 4);
	check_container(tree, "/proc/1/environ", environ, sizeof(environ));
	check_container(tree, "/proc/1/cgroup", cgroup, sizeof(cgroup) - 1);
}

static void test_not_a_device(void **state)
{
	struct tree *tree = *state;

	put_directory(tree, "/dev/kvm");
	assert_int_equal(look(tree, EISDIR), CHECK_FOUND_NOT_DEVICE);
	assert_says(tree->advice.text, "not KVM's device");
	assert_says(tree->advice.remedy, "rm -r /dev/kvm");
	assert_true(tree->host.device.there);
	put(tree, "/.dockerenv", "");
	assert_int_equal(look(tree, ENOTTY), CHECK_FOUND_NOT_DEVICE);
	assert_says(tree->advice.remedy, "--device /dev/kvm");
}

static void test_permission(void **state)
{
	struct tree *tree = *state;

	put_device(tree, 0660);
	assert_int_equal(look_as_ann(tree, EACCES), CHECK_FOUND_NO_PERMISSION);
	assert_says(tree->advice.text, "owner root, group kvm, mode 0660; you are ann");
	assert_says(tree->advice.remedy, "sudo usermod -aG kvm ann");

	put_device(tree, 0600);
	assert_int_equal(look_as_ann(tree, EACCES), CHECK_FOUND_NO_PERMISSION);
	assert_says(tree->advice.text, "mode 0600");
	assert_says(tree->advice.remedy, "chgrp kvm /dev/kvm");
	assert_says(tree->advice.remedy, "usermod -aG kvm ann");
}

static void test_permission_in_ci(void **state)
{
	struct tree *tree = *state;

	put_device(tree, 0660);
	setenv("CI", "true", 1);
	assert_int_equal(look_as_ann(tree, EACCES), CHECK_FOUND_NO_PERMISSION);
	assert_says(tree->advice.remedy, "KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\"");
	assert_says(tree->advice.remedy, "udevadm trigger --name-match=kvm");
	setenv("CI", "false", 1);
	assert_int_equal(look_as_ann(tree, EACCES), CHECK_FOUND_NO_PERMISSION);
	assert_says(tree->advice.remedy, "usermod");
	unsetenv("CI");
}

static void test_permission_in_container(void **state)
{
	struct tree *tree = *state;

	put_device(tree, 0660);
	put(tree, "/.dockerenv", "");
	assert_int_equal(look_as_ann(tree, EACCES), CHECK_FOUND_NO_PERMISSION);
	assert_says(tree->advice.remedy, "--device /dev/kvm --group-add 4242");

	/* Root of a user namespace that doesn't know the device's owner. */
	tree->host.uid = 0;
	tree->host.device.uid = tree->host.device.gid = CHECK_OVERFLOW_ID;
	assert_int_equal(check_host_find(&tree->host, EACCES), CHECK_FOUND_NO_PERMISSION);
	check_host_advise(&tree->host, CHECK_FOUND_NO_PERMISSION, EACCES, &tree->advice);
	assert_says(tree->advice.remedy, "--group-add keep-groups");
}

/* Who asks is this process, so that the names are those of its own ids. */
static void test_names(void **state)
{
	struct tree *tree = *state;
	char text[128];

	put_device(tree, 0660);
	snprintf(text, sizeof(text), "ann:x:%u:1::/:/bin/sh\n", geteuid());
	put(tree, "/etc/passwd", text);
	snprintf(text, sizeof(text), "other:x:99999:\nkvm:x:%u:bob,ann\n", getegid());
	put(tree, "/etc/group", text);
	check_host_look(tree->root, &tree->host);
	assert_string_equal(tree->host.user, "ann");
	assert_string_equal(tree->host.device.owner, "ann");
	assert_string_equal(tree->host.device.group, "kvm");
	assert_true(tree->host.member && tree->host.member_listed);

	/* In the group's list, but this session is older than that. */
	tree->host.member = false;
	tree->host.uid = 4321;
	tree->host.device.uid = 0;
	tree->host.device.gid = 4242;
	assert_int_equal(check_host_find(&tree->host, EACCES), CHECK_FOUND_NO_PERMISSION);
	check_host_advise(&tree->host, CHECK_FOUND_NO_PERMISSION, EACCES, &tree->advice);
	assert_says(tree->advice.remedy, "newgrp kvm");

	/* Without the files there are numbers. */
	put(tree, "/etc/passwd", "");
	put(tree, "/etc/group", "");
	check_host_look(tree->root, &tree->host);
	snprintf(text, sizeof(text), "%u", geteuid());
	assert_string_equal(tree->host.user, text);
	assert_string_equal(tree->host.device.owner, text);
	snprintf(text, sizeof(text), "%u", getegid());
	assert_string_equal(tree->host.device.group, text);
	assert_false(tree->host.member_listed);
}

static void test_forbidden(void **state)
{
	struct tree *tree = *state;

	put_device(tree, 0666);
	assert_int_equal(look_as_ann(tree, EPERM), CHECK_FOUND_FORBIDDEN);
	assert_says(tree->advice.remedy, "DeviceAllow=/dev/kvm");
	put(tree, "/.dockerenv", "");
	assert_int_equal(look_as_ann(tree, EPERM), CHECK_FOUND_FORBIDDEN);
	assert_says(tree->advice.remedy, "--device /dev/kvm");
}

static void test_other(void **state)
{
	struct tree *tree = *state;

	assert_int_equal(look(tree, EMFILE), CHECK_FOUND_OTHER);
	assert_says(tree->advice.text, strerror(EMFILE));
}

/* Nothing to read, and another architecture: an answer all the same. */
static void test_bare_tree(void **state)
{
	struct tree *tree = *state;

	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_FIRMWARE);
	assert_null(check_host_module(&tree->host));
	put(tree, "/proc/cpuinfo", ARM);
	assert_int_equal(look(tree, ENOENT), CHECK_FOUND_FIRMWARE);
	assert_string_equal(tree->host.vendor, "");
	/* Lines without a colon, without an end, longer than the buffer. */
	put(tree, "/proc/cpuinfo", "vendor_id\nflags : vmx\nvendor_id:GenuineIntel");
	look(tree, ENOENT);
	assert_true(tree->host.vmx);
	assert_string_equal(tree->host.vendor, "GenuineIntel");
}

static void test_explain(void **state)
{
	struct tree *tree = *state;
	struct error err;

	put(tree, "/proc/cpuinfo", INTEL_VMX);
	check_explain(tree->root, ENOENT, &err);
	assert_says(err.text, "kvm_intel is not loaded");
	assert_says(err.remedy, "modprobe kvm_intel");
}

#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, tree_make, tree_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TREE_TEST(test_what_is_read),
		TREE_TEST(test_firmware),
		TREE_TEST(test_no_nested),
		TREE_TEST(test_no_module),
		TREE_TEST(test_driver_off),
		TREE_TEST(test_no_device),
		TREE_TEST(test_container),
		TREE_TEST(test_not_a_device),
		TREE_TEST(test_permission),
		TREE_TEST(test_permission_in_ci),
		TREE_TEST(test_permission_in_container),
		TREE_TEST(test_names),
		TREE_TEST(test_forbidden),
		TREE_TEST(test_other),
		TREE_TEST(test_bare_tree),
		TREE_TEST(test_explain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
