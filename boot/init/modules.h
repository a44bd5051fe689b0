/* The kernel modules that came with init. */
#ifndef BOOT_INIT_MODULES_H
#define BOOT_INIT_MODULES_H

/* Loads those in INIT_MODULES in the order of their names; notes what the kernel doesn't take. */
void modules_load(void);

#endif
