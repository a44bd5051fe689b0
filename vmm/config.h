/*
 * What the user asked for: the options as one struct, checked whole before anything is opened.
 */
#ifndef BANTAM_VMM_CONFIG_H
#define BANTAM_VMM_CONFIG_H

#include "boot/boot.h"
#include "vmm/console.h"
#include "vmm/types.h"

enum { CMDLINE_BYTES = 16384, APPENDS_MAX = 64 };

/* The most vCPUs: an APIC id has eight bits, and 255 addresses all of them. */
enum { CPUS_MAX = 254 };

/* What a stock kernel needs to be told: where its console is. */
#define CMDLINE_DEFAULT "console=ttyS0"

struct config {
	const char *kernel;
	const char *initrd;  /* or NULL */
	const char *cmdline; /* the kernel command line … */
	const char *append[APPENDS_MAX];
	unsigned appends; /* … and what is added to it, in the order given */
	u64 memory_bytes;
	unsigned cpus;
	enum boot_protocol protocol;
	enum console_sink console;
	const char *console_path; /* with CONSOLE_FILE */
	bool dry_run;
};

#endif
