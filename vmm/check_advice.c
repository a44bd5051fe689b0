/*
 * What is wrong with the host and what to do, in words: see check_host.h.
 *
 * A line for each finding. They name files, groups and parameters as they are on this host, so that
 * a remedy can be copied and run.
 */
#include "vmm/check_host.h"

#include <string.h>

#define UDEV_RULE                                                                                  \
	"echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\", OPTIONS+=\"static_node=kvm\"' | "    \
	"sudo tee /etc/udev/rules.d/99-kvm.rules && sudo udevadm control --reload-rules && "       \
	"sudo udevadm trigger --name-match=kvm"

/* Inside a container, modules and firmware are the outer system's business. */
static const char *where(const struct check_host *host)
{
	return host->container ? "on the container's host, " : "";
}

/* What a container has to be started with once the host is right. */
static const char *then(const struct check_host *host)
{
	return host->container ? "; then start the container with --device /dev/kvm" : "";
}

static void advise_firmware(const struct check_host *host, struct error *err)
{
	const char *module = check_host_module(host);
	const char *name = "VT-x or SVM";

	if (module)
		name = strcmp(module, "kvm_intel") == 0 ? "VT-x (Intel Virtualization Technology)"
							: "SVM (AMD-V)";
	error_set(err, "the processor offers no virtualization: no vmx or svm among the flags in "
		       "/proc/cpuinfo");
	error_remedy(err, "turn on %s in the firmware's set-up (BIOS, UEFI) and boot again%s", name,
		     then(host));
}

static void advise_nested(const struct check_host *host, struct error *err)
{
	const char *module = check_host_module(host);

	error_set(
		err,
		"this is a virtual machine without nested virtualization: no vmx or svm among the "
		"flags in /proc/cpuinfo");
	error_remedy(
		err,
		"on the outer host, turn on the parameter nested of %s (echo 'options %s "
		"nested=1' | sudo tee /etc/modprobe.d/kvm.conf, then load the module again) and "
		"give this machine the host's processor (-cpu host); in a cloud, choose an "
		"instance type with nested virtualization%s",
		module ? module : "kvm_intel or kvm_amd", module ? module : "kvm_intel",
		then(host));
}

static void advise_module(const struct check_host *host, struct error *err)
{
	const char *module = check_host_module(host);

	error_set(err, "the processor can virtualize (%s), but the module %s is not loaded",
		  host->vmx ? "vmx" : "svm", module);
	error_remedy(err,
		     "%ssudo modprobe %s; if that says 'Operation not supported', turn on "
		     "virtualization in the firmware's set-up%s",
		     where(host), module, then(host));
}

static void advise_driver(const struct check_host *host, struct error *err)
{
	const char *module = host->intel ? "kvm_intel" : "kvm_amd";

	error_set(err,
		  "the module %s is there, but no device answers: it could not turn virtualization "
		  "on",
		  module);
	error_remedy(err,
		     "%ssee why (sudo dmesg | grep -i kvm): 'disabled by bios' is turned on in the "
		     "firmware's set-up; then sudo modprobe -r %s && sudo modprobe %s%s",
		     where(host), module, module, then(host));
}

static void advise_not_passed(const struct check_host *host, struct error *err)
{
	(void)host;
	error_set(err, "this container has no /dev/kvm, though its host has KVM");
	error_remedy(err, "start the container with --device /dev/kvm (docker, podman)");
}

static void advise_no_device(const struct check_host *host, struct error *err)
{
	(void)host;
	error_set(err, "KVM is loaded, but there is no device node /dev/kvm");
	error_remedy(err,
		     "sudo udevadm trigger --name-match=kvm, or without udev: sudo mknod -m 660 "
		     "/dev/kvm c 10 232 && sudo chgrp kvm /dev/kvm");
}

static void advise_not_device(const struct check_host *host, struct error *err)
{
	error_set(err, "/dev/kvm is there, but it is not KVM's device");
	error_remedy(err, "%s",
		     host->container
			     ? "start the container with --device /dev/kvm instead of a volume; on "
			       "a host without KVM, -v makes an empty directory of that name"
			     : "remove it (sudo rm -r /dev/kvm), then sudo udevadm trigger "
			       "--name-match=kvm");
}

/* The first of these that fits: the way in that changes least. */
static void permission_remedy(const struct check_host *host, struct error *err)
{
	const bool group_may = (host->device.mode & 0060) == 0060 && host->device.gid != 0;

	if (host->container && host->device.gid == CHECK_OVERFLOW_ID)
		error_remedy(err, "start the container with --device /dev/kvm and (podman) "
				  "--group-add keep-groups");
	else if (host->container && group_may)
		error_remedy(
			err,
			"start the container with --device /dev/kvm --group-add %u, or as root",
			host->device.gid);
	else if (host->ci && !host->container)
		error_remedy(err, "in an earlier step of the CI job: %s", UDEV_RULE);
	else if (group_may && host->member_listed)
		error_remedy(
			err,
			"%s is in the group %s already, but this session is older: log out and in, "
			"or say newgrp %s",
			host->user, host->device.group, host->device.group);
	else if (group_may)
		error_remedy(err, "sudo usermod -aG %s %s, then log out and in", host->device.group,
			     host->user);
	else
		error_remedy(
			err,
			"run as root, or let a group in: sudo chgrp kvm /dev/kvm && sudo chmod 660 "
			"/dev/kvm && sudo usermod -aG kvm %s, then log out and in",
			host->user);
}

static void advise_permission(const struct check_host *host, struct error *err)
{
	error_set(err, "no permission for /dev/kvm: owner %s, group %s, mode %04o; you are %s",
		  host->device.owner, host->device.group, (unsigned)host->device.mode, host->user);
	permission_remedy(host, err);
}

static void advise_forbidden(const struct check_host *host, struct error *err)
{
	error_set(err, "/dev/kvm may not be opened, though its mode (%s:%s, %04o) would allow it",
		  host->device.owner, host->device.group, (unsigned)host->device.mode);
	error_remedy(
		err, "%s",
		host->container
			? "start the container with --device /dev/kvm: without, its device list "
			  "forbids it"
			: "in a systemd unit: DeviceAllow=/dev/kvm rw; else a security module "
			  "(SELinux, AppArmor) says no: sudo dmesg | tail");
}

void check_host_advise(const struct check_host *host, enum check_finding finding, int error,
		       struct error *err)
{
	static void (*const advise[])(const struct check_host *, struct error *) = {
		[CHECK_FOUND_FIRMWARE] = advise_firmware,
		[CHECK_FOUND_NO_NESTED] = advise_nested,
		[CHECK_FOUND_NO_MODULE] = advise_module,
		[CHECK_FOUND_DRIVER_OFF] = advise_driver,
		[CHECK_FOUND_NO_DEVICE] = advise_no_device,
		[CHECK_FOUND_NOT_PASSED] = advise_not_passed,
		[CHECK_FOUND_NOT_DEVICE] = advise_not_device,
		[CHECK_FOUND_NO_PERMISSION] = advise_permission,
		[CHECK_FOUND_FORBIDDEN] = advise_forbidden,
		[CHECK_FOUND_OTHER] = NULL,
	};

	if (advise[finding]) {
		advise[finding](host, err);
		return;
	}
	error_set(err, "/dev/kvm can't be opened: %s", strerror(error));
	error_remedy(err, "see what the kernel says: sudo dmesg | grep -i kvm");
}
