/*
 * The death report: what the processor looked like when the guest could not go on.
 *
 * For triple faults, internal errors and failed entries: what the exit means, the registers with
 * their bits named, the page walk of RIP and RSP, the bytes at RIP, and what usually causes it. With
 * --symbols also which function that is, and who called it: then of panics and time-outs, too.
 */
#ifndef BANTAM_VMM_X86_DEATH_H
#define BANTAM_VMM_X86_DEATH_H

#include "vmm/types.h"

struct vcpu;

/* Text of several lines. */
struct death {
	size_t used;
	char text[8192];
};

/* Takes the report. For the vCPU's own thread, right after the exit in vcpu->run. */
void death_take(struct death *death, struct vcpu *vcpu);

/*
 * Adds where the vCPU is, by --symbols; without them nothing. For the vCPU's own thread, out of KVM_RUN;
 * the machine's lock is held.
 */
void death_calls(struct death *death, const struct vcpu *vcpu);

/* The registers alone, behind what the text has already, of a vCPU that is out of KVM_RUN. */
void death_registers(struct death *death, const struct vcpu *vcpu);

#endif
