/*
 * What is wrong with the host and what to do, in words: see check_host.h.
 *
 * A row for each finding. They name files, groups and parameters as they are on this host, so that
 * a remedy can be copied and run: what stands in braces is replaced by the host's own.
 */
#include "vmm/check_host.h"

#include <stdio.h>
#include <string.h>

#define UDEV_RULE                                                                                  \
	"echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\", OPTIONS+=\"static_node=kvm\"' | "    \
	"sudo tee /etc/udev/rules.d/99-kvm.rules && sudo udevadm control --reload-rules && "       \
	"sudo udevadm trigger --name-match=kvm"

/* contained: what to do in a container, where that is something else. */
static const struct {
	const char *text, *remedy, *contained;
} advice[] = {
	[CHECK_FOUND_FIRMWARE] =
		{"the processor offers no virtualization: no vmx or svm among the flags in "
		 "/proc/cpuinfo",
		 "turn on {technology} in the firmware's set-up (BIOS, UEFI) and boot again{then}",
		 NULL},
	[CHECK_FOUND_NO_NESTED] =
		{"this is a virtual machine without nested virtualization: no vmx or svm among the "
		 "flags in /proc/cpuinfo",
		 "on the outer host, turn on the parameter nested of {modules} (echo 'options "
		 "{module} nested=1' | sudo tee /etc/modprobe.d/kvm.conf, then load the module "
		 "again) and give this machine the host's processor (-cpu host); in a cloud, "
		 "choose an instance type with nested virtualization{then}",
		 NULL},
	[CHECK_FOUND_NO_MODULE] =
		{"the processor can virtualize ({flag}), but the module {module} is not loaded",
		 "{where}sudo modprobe {module}; if that says 'Operation not supported', turn on "
		 "virtualization in the firmware's set-up{then}",
		 NULL},
	[CHECK_FOUND_DRIVER_OFF] =
		{"the module {module} is there, but no device answers: it could not turn "
		 "virtualization on",
		 "{where}see why (sudo dmesg | grep -i kvm): 'disabled by bios' is turned on in "
		 "the firmware's set-up; then sudo modprobe -r {module} && sudo modprobe "
		 "{module}{then}",
		 NULL},
	[CHECK_FOUND_NO_DEVICE] =
		{"KVM is loaded, but there is no device node /dev/kvm",
		 "sudo udevadm trigger --name-match=kvm, or without udev: sudo mknod -m 660 "
		 "/dev/kvm c 10 232 && sudo chgrp kvm /dev/kvm",
		 NULL},
	[CHECK_FOUND_NOT_PASSED] = {"this container has no /dev/kvm, though its host has KVM",
				    "start the container with --device /dev/kvm (docker, podman)",
				    NULL},
	[CHECK_FOUND_NOT_DEVICE] =
		{"/dev/kvm is there, but it is not KVM's device",
		 "remove it (sudo rm -r /dev/kvm), then sudo udevadm trigger --name-match=kvm",
		 "start the container with --device /dev/kvm instead of a volume; on a host "
		 "without KVM, -v makes an empty directory of that name"},
	[CHECK_FOUND_NO_PERMISSION] =
		{"no permission for /dev/kvm: owner {owner}, group {group}, mode {mode}; you are "
		 "{user}",
		 NULL, NULL},
	[CHECK_FOUND_FORBIDDEN] =
		{"/dev/kvm may not be opened, though its mode ({owner}:{group}, {mode}) would "
		 "allow it",
		 "in a systemd unit: DeviceAllow=/dev/kvm rw; else a security module (SELinux, "
		 "AppArmor) says no: sudo dmesg | tail",
		 "start the container with --device /dev/kvm: without, its device list forbids it"},
	[CHECK_FOUND_OTHER] = {"/dev/kvm can't be opened: {error}",
			       "see what the kernel says: sudo dmesg | grep -i kvm", NULL},
};

/* The way in that changes least. */
static const char *permission_remedy(const struct check_host *host)
{
	const bool group_may = (host->device.mode & 0060) == 0060 && host->device.gid != 0;

	if (host->container && host->device.gid == CHECK_OVERFLOW_ID)
		return "start the container with --device /dev/kvm and (podman) --group-add "
		       "keep-groups";
	if (host->container && group_may)
		return "start the container with --device /dev/kvm --group-add {gid}, or as root";
	if (host->ci && !host->container)
		return "in an earlier step of the CI job: " UDEV_RULE;
	if (group_may && host->member_listed)
		return "{user} is in the group {group} already, but this session is older: log "
		       "out and in, or say newgrp {group}";
	if (group_may)
		return "sudo usermod -aG {group} {user}, then log out and in";
	return "run as root, or let a group in: sudo chgrp kvm /dev/kvm && sudo chmod 660 "
	       "/dev/kvm && sudo usermod -aG kvm {user}, then log out and in";
}

/* What stands for a name in braces. */
struct value {
	const char *name, *value;
};

/* Copies form to text with the values, of which the last has an empty name. */
static void fill(char *text, size_t bytes, const char *form, const struct value *values)
{
	size_t used = 0;

	for (; *form && used < bytes; used = strlen(text)) {
		const struct value *value = values;

		while (strncmp(form, value->name, strlen(value->name)) != 0)
			value++;
		if (value->name[0])
			snprintf(text + used, bytes - used, "%s", value->value);
		else
			snprintf(text + used, bytes - used, "%c", *form);
		form += value->name[0] ? strlen(value->name) : 1;
	}
}

void check_host_advise(const struct check_host *host, enum check_finding finding, int error,
		       struct error *err)
{
	const char *remedy = advice[finding].remedy;
	const char *module = check_host_module(host);
	const bool intel = module && strcmp(module, "kvm_intel") == 0;
	char mode[16], gid[16];
	/* Inside a container, modules and firmware are the outer system's business. */
	const struct value values[] = {
		{"{module}", module ? module : "kvm_intel"},
		{"{modules}", module ? module : "kvm_intel or kvm_amd"},
		{"{technology}", !module ? "VT-x or SVM"
				 : intel ? "VT-x (Intel Virtualization Technology)"
					 : "SVM (AMD-V)"},
		{"{flag}", host->vmx ? "vmx" : "svm"},
		{"{where}", host->container ? "on the container's host, " : ""},
		{"{then}",
		 host->container ? "; then start the container with --device /dev/kvm" : ""},
		{"{owner}", host->device.owner},
		{"{group}", host->device.group},
		{"{mode}", mode},
		{"{user}", host->user},
		{"{gid}", gid},
		{"{error}", strerror(error)},
		{"", ""},
	};

	if (finding == CHECK_FOUND_NO_PERMISSION)
		remedy = permission_remedy(host);
	else if (host->container && advice[finding].contained)
		remedy = advice[finding].contained;
	snprintf(mode, sizeof(mode), "%04o", (unsigned)host->device.mode);
	snprintf(gid, sizeof(gid), "%u", host->device.gid);
	fill(err->text, sizeof(err->text), advice[finding].text, values);
	fill(err->remedy, sizeof(err->remedy), remedy, values);
}
