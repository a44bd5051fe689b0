/* What COMMAND finds mounted, and how it is left behind. */
#ifndef BOOT_INIT_MOUNTS_H
#define BOOT_INIT_MOUNTS_H

/* Mounts the kernel's file systems and makes /dev complete; notes what it can't. */
void mounts_make(void);

/*
 * Writes everything to the disks and unmounts what can be unmounted; the rest becomes read-only.
 * Nothing is left to write when it returns.
 */
void mounts_leave(void);

#endif
