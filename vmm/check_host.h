/*
 * The host as it looks from outside of KVM, and what to do when /dev/kvm can't be opened.
 *
 * check_host_look() reads; check_host_find() decides from that and from the error of open(2);
 * check_host_advise() says it in two lines. check_explain() is all three at once.
 */
#ifndef BANTAM_VMM_CHECK_HOST_H
#define BANTAM_VMM_CHECK_HOST_H

#include <sys/types.h>

#include "vmm/error.h"
#include "vmm/types.h"

enum { CHECK_NAME_BYTES = 33 };

/* The user and the group that a user namespace shows for those that it doesn't know. */
enum { CHECK_OVERFLOW_ID = 65534 };

struct check_host {
	char vendor[16];      /* the processor's, as /proc/cpuinfo has it: "GenuineIntel" */
	bool vmx, svm;        /* the processor can virtualize: Intel's way, AMD's way */
	bool hypervisor;      /* this host is itself a virtual machine */
	bool intel, amd, pvm; /* kvm_intel, kvm_amd, kvm_pvm: loaded or built in */
	bool driver;          /* a driver has registered the device */
	bool container;       /* this process is in a container, as far as can be seen … */
	bool ci;              /* … and in a CI job */
	struct {              /* /dev/kvm */
		bool there;
		mode_t mode;
		uid_t uid;
		gid_t gid;
		char owner[CHECK_NAME_BYTES]; /* names, or numbers when they have none */
		char group[CHECK_NAME_BYTES];
	} device;
	uid_t uid; /* this process's, and its name */
	char user[CHECK_NAME_BYTES];
	bool member;        /* the device's group is one of this process's … */
	bool member_listed; /* … and lists the user in /etc/group */
};

enum check_finding {
	CHECK_FOUND_FIRMWARE,      /* no vmx or svm, on bare metal */
	CHECK_FOUND_NO_NESTED,     /* no vmx or svm, in a virtual machine */
	CHECK_FOUND_NO_MODULE,     /* the flag, but no kvm_intel or kvm_amd */
	CHECK_FOUND_DRIVER_OFF,    /* the module, but it found no use for itself */
	CHECK_FOUND_NO_DEVICE,     /* a driver, but no device node */
	CHECK_FOUND_NOT_PASSED,    /* the same in a container */
	CHECK_FOUND_NOT_DEVICE,    /* /dev/kvm is a file or a directory */
	CHECK_FOUND_NO_PERMISSION, /* owner, group and mode say no */
	CHECK_FOUND_FORBIDDEN, /* they say yes, and something else says no: device cgroup, LSM */
	CHECK_FOUND_OTHER,
};

/*
 * Reads what the host tells. root: "" for this host, or the directory of a tree with dev, etc,
 * proc, run and sys in it. What can't be read counts as not there.
 */
void check_host_look(const char *root, struct check_host *host);

/* What it comes to. error: errno of opening /dev/kvm for reading and writing. */
enum check_finding check_host_find(const struct check_host *host, int error);

/* The finding in words, and what to do about it: err's two lines. */
void check_host_advise(const struct check_host *host, enum check_finding finding, int error,
		       struct error *err);

/* The driver that this processor needs, "kvm_intel" or "kvm_amd", or NULL when neither would do. */
const char *check_host_module(const struct check_host *host);

/* All three: fills err with why /dev/kvm couldn't be opened, and what to do. root, error: as above. */
void check_explain(const char *root, int error, struct error *err);

#endif
