/*
 * A debugger for the guest: gdb's remote serial protocol on a TCP port or a UNIX socket.
 *
 * The main loop serves one client at a time; the next waits until that one is gone. When a client comes,
 * the machine is paused (machine_pause()), as gdb expects it; while it is, registers and memory belong
 * to the main thread. Every vCPU is a thread of gdb's, numbered from 1 on. All of them stop and go
 * together, unless gdb lets single ones go (vCont, which a step is). Meanwhile devices' own work goes
 * on, and --timeout doesn't count.
 *
 * How it ends:
 *	detach, or a client that is gone	breakpoints are removed, the guest runs on
 *	kill					the machine ends as by SIGKILL
 *	the guest's death			it stops first, and ends when gdb lets it go on
 *	the machine's end			gdb hears the exit status
 *	--on-reset restart			it stops before the new first instruction; breakpoints are gone
 *
 * A client is no more trusted than it must be: packets have a bound, a reply is made when the one before
 * is sent, and what is malformed is answered with an error. But who reaches the socket owns the guest.
 *
 * Limits: memory is read and written by virtual address, as the chosen vCPU's page tables have it, or
 * physically (`monitor xp`), and only RAM; no non-stop mode, no tracepoints.
 *
 * Source: gdb's manual, appendix E "GDB Remote Serial Protocol".
 */
#ifndef BANTAM_VMM_GDB_H
#define BANTAM_VMM_GDB_H

#include "vmm/config.h"
#include "vmm/gdb_packet.h"
#include "vmm/landlock.h"
#include "vmm/loop.h"
#include "vmm/x86/breakpoints.h"

struct machine;
struct vcpu;

struct gdb {
	struct machine *machine;
	struct loop_source listener, client; /* fd -1: none */
	struct loop_wake wake;               /* a vCPU stopped, or the guest died */
	int directory_fd;                    /* of the socket's name; -1: it has none */
	const char *name;
	bool waiting; /* no client has let the guest run yet, and it is to wait for one */
	bool stopped; /* the machine is paused, for us */
	bool owes;    /* the client waits for the next stop */
	bool no_acks;
	bool tells_kind;       /* of breakpoints, in stop replies */
	unsigned thread;       /* the vCPU whose registers are meant */
	char reason[64];       /* of the last stop, as '?' wants it */
	bool death_told;       /* of machine->held */
	u64 time_left_ns;      /* --timeout's, while the machine is stopped */
	u32 step_extra;        /* what a step asks of KVM */
	char action[CPUS_MAX]; /* of each vCPU, at the last resume: 's', 'c', or 0 */
	struct breakpoints breakpoints;
	struct gdb_packet packet;
	struct gdb_reply reply;
};

/* Makes one of the machine that nobody can reach yet. Returns 0, or -1 with err set. */
int gdb_init(struct gdb *gdb, struct machine *machine, struct error *err);

/*
 * Opens what --gdb says, for a machine whose VM is made and whose vCPUs aren't started. Returns 0, or
 * -1 with err set; gdb_close() is due in both cases.
 */
int gdb_open(struct machine *machine, struct error *err);

/* For the jail: the directory in which a socket's name is to be removed. Returns whether there is one. */
bool gdb_tree(const struct machine *machine, struct landlock_tree *tree);

/* A vCPU stopped, or the guest died; for any thread. */
void gdb_ring(struct gdb *gdb);

/* The machine was made anew, and isn't started yet. */
void gdb_restarted(struct machine *machine);

/* Tells a client that waits how it ended, and closes all; without a debugger it does nothing. status: the
 * process's. */
void gdb_close(struct machine *machine, int status);

/* --- between the files of this --- */

/* Answers one packet, gdb->packet, in gdb->reply. */
void gdb_command(struct gdb *gdb);

/* The reason of the last stop as a packet. */
void gdb_tell_stop(struct gdb *gdb);

/* Lets each vCPU do its action. Returns 0, or -1 with errno, and nothing happened. */
int gdb_resume(struct gdb *gdb);

/* What bytes from the client bring about; replies are in gdb->reply. Returns how many were taken. */
size_t gdb_feed(struct gdb *gdb, const u8 *bytes, size_t count);

enum { GDB_TEXT_BYTES = 8192 };

/* Runs a command of `monitor`, told in hexadecimal; text: GDB_TEXT_BYTES of room. */
void gdb_monitor(struct gdb *gdb, const char *hex, char *text);

/* Ends the machine. */
void gdb_kill(struct gdb *gdb);

/* The client leaves, and the guest goes on without it. */
void gdb_detach(struct gdb *gdb);

#endif
