/*
 * The archive that makes a kernel run COMMAND: bantam's init, how to run COMMAND, and the modules that
 * the kernel needs to reach its devices. It is put behind the user's initrd; boot/init/protocol.h
 * says what lies in it.
 */
#ifndef BANTAM_VMM_INIT_ARCHIVE_H
#define BANTAM_VMM_INIT_ARCHIVE_H

#include "boot/cpio.h"
#include "vmm/config.h"

/* What is added to the kernel command line: a panic is the end, and init is ours. */
#define INIT_CMDLINE " panic=-1 rdinit=" INIT_PROGRAM
/*
 * The same where the command line is the default one: only what goes wrong is worth a word, and the
 * kernel need not test its ciphers, as distributions have it do. With fips=1 it does so all the same.
 */
#define INIT_CMDLINE_DEFAULT " quiet cryptomgr.notests" INIT_CMDLINE

/*
 * Makes the archive, which cpio_free() is due for in both cases. hint becomes a line of help for the
 * case that the kernel lacks modules, or empty. Returns 0, or -1 with err set.
 */
int init_archive_make(struct cpio *archive, const struct config *config, struct error *hint,
		      struct error *err);

#endif
