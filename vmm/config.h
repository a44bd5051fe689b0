/*
 * What the user asked for: the options as one struct, checked whole before anything is opened.
 * The strings are argv's own, but for the names of disks, networks and shared directories, which
 * options_free() gives back.
 */
#ifndef BANTAM_VMM_CONFIG_H
#define BANTAM_VMM_CONFIG_H

#include "boot/boot.h"
#include "boot/unpack.h"
#include "devices/virtio/disk.h"
#include "vmm/console.h"
#include "vmm/net_option.h"
#include "vmm/sandbox.h"
#include "vmm/share_option.h"
#include "vmm/types.h"

enum { CMDLINE_BYTES = 16384, APPENDS_MAX = 64 };

/* The most vCPUs: an APIC id has eight bits, and 255 addresses all of them. */
enum { CPUS_MAX = 254 };

/* What a stock kernel needs to be told: where its console is. */
#define CMDLINE_DEFAULT "console=ttyS0"

/* The most disks: PCI has 31 slots for devices, and one is taken. */
enum { DISKS_MAX = 30 };

/* The most networks, and ports of the host that lead to the guest. */
enum { NETS_MAX = 16, PUBLISHES_MAX = 64 };

/* The most volumes. */
enum { VOLUMES_MAX = 12 };

/* The most -e options. */
enum { ENVS_MAX = 256 };

/* How virtio devices are reached. */
enum transport { TRANSPORT_PCI, TRANSPORT_MMIO };

enum dry_run_mode { DRY_RUN_NO, DRY_RUN_TEXT, DRY_RUN_JSON };

struct config {
	const char *kernel;
	const char *initrd;   /* or NULL */
	const char *cmdline;  /* the kernel command line … */
	bool cmdline_default; /* (nobody chose it) */
	const char *append[APPENDS_MAX];
	unsigned appends; /* … and what is added to it, in the order given */
	u64 memory_bytes;
	unsigned cpus;
	enum boot_protocol protocol;
	enum unpack_mode unpack;
	enum console_target console;
	const char *console_path; /* what was given; NULL: nothing was */
	bool console_virtio;      /* the guest's console is hvc0 */

	struct disk_config disk[DISKS_MAX];
	unsigned disks;
	struct net_config net[NETS_MAX];
	unsigned nets;
	struct net_publish publish[PUBLISHES_MAX];
	unsigned publishes;
	enum transport transport;

	struct share_config root; /* host NULL: none */
	struct share_config volume[VOLUMES_MAX];
	unsigned volumes;
	bool expose_home;

	/* COMMAND in the guest. */
	char **command; /* its words, `words` of them; NULL: the guest's own init runs */
	int words;
	const char *env[ENVS_MAX]; /* NAME=VALUE */
	unsigned envs;
	const char *dir;      /* working directory, or NULL */
	const char *user;     /* USER[:GROUP], or NULL */
	const char *name;     /* of the machine, or NULL */
	const char *hostname; /* or NULL: the name */
	const char *modules;  /* a directory, or NULL: the host's /lib/modules */
	bool tty;             /* COMMAND gets a terminal */

	u64 timeout_ns;      /* 0: none */
	u64 stop_timeout_ns; /* how long SIGTERM waits for the guest's own end; 0: not at all */
	bool restart;        /* a reset restarts the guest instead of ending the machine */

	const char *result_path; /* or NULL */
	const char *report_path; /* or NULL */
	const char *gdb;         /* [ADDR:]PORT or a path where a debugger may come, or NULL */
	bool gdb_wait;           /* the guest doesn't run before it has */
	u32 trace;               /* TRACE_… bits */
	const char *trace_path;  /* NULL: stderr */
	const char *symbols;     /* a file with the names of the kernel's functions, or NULL */
	bool stats;
	bool verbose;
	bool help; /* only the options are to be printed */

	enum dry_run_mode dry_run;
	const char *dump_acpi_path; /* a directory, or NULL */
	enum sandbox_mode sandbox;
	bool own_cores;       /* no other process's threads run on a core beside this one's */
	const char *run_as;   /* USER[:GROUP] of the host's, or NULL; and as numbers: */
	u32 run_uid, run_gid; /* 0: stay who we are */

	u64 start_ns; /* CLOCK_MONOTONIC when the process started */

	/* The whole command line, for reports. */
	int argc;
	char **argv;
};

/* Fills in what wasn't given, and refuses what doesn't go together. Returns 0, or -1 with err set. */
int config_complete(struct config *config, struct error *err);

/*
 * A file that is written to has that one purpose: an output that is also an input would be emptied
 * before it is read, and a disk could rewrite the kernel. Returns 0, or -1 with err set.
 */
int config_check_files(const struct config *config, struct error *err);

#endif
