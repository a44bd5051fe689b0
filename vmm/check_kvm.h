/*
 * KVM as it answers: whether /dev/kvm opens, which API it speaks, which capabilities it has.
 */
#ifndef BANTAM_VMM_CHECK_KVM_H
#define BANTAM_VMM_CHECK_KVM_H

#include "vmm/types.h"

enum { CHECK_CAPABILITIES_MAX = 64 };

struct check_capability {
	const char *name; /* "KVM_CAP_…" */
	bool needed;      /* nothing goes without it; else it is nice to have */
	int value;        /* of KVM_CHECK_EXTENSION: 0 when it isn't there */
};

struct check_kvm {
	int error;       /* errno of opening it, or of asking its version; 0: it answered */
	int api_version; /* KVM_API_VERSION (12), unless it is something else's device */
	struct check_capability capability[CHECK_CAPABILITIES_MAX];
	unsigned capabilities;
	unsigned needed_missing, nice_missing;
	int vcpus_recommended, vcpus_max, memory_slots;
};

/*
 * Opens /dev/kvm for reading and writing and fills *kvm. Returns the descriptor, or -1 when it
 * can't be opened or speaks no API that bantam knows.
 */
int check_kvm_open(struct check_kvm *kvm);

#endif
