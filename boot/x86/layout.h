/*
 * The guest's physical memory on x86-64: who lives where, by convention or by choice.
 *
 *	0x00000000  RAM     the PC's first 640 KiB; the boot data below
 *	0x0009fc00  -       where a PC has its EBDA, up to 1 MiB: RAM, but reserved in the e820 map
 *	0x000e0000  -       ACPI: the RSDP where old kernels search for it, then the tables
 *	0x000ffff0  -       a few bytes of code for kernels that restart through the BIOS
 *	0x00100000  RAM     the kernel, and the initrd as high as it may go
 *	0xc0000000  hole    devices: the window for PCI BARs
 *	0xe0000000  -       ECAM: the PCI configuration space
 *	0xe1000000  -       virtio-mmio, a page a device
 *	0xfec00000  -       I/O APIC
 *	0xfee00000  -       local APIC
 *	0xfffbc000  -       4 pages that KVM needs on Intel (identity map, then the TSS)
 *	0x100000000 RAM     what didn't fit below the hole
 */
#ifndef BANTAM_BOOT_X86_LAYOUT_H
#define BANTAM_BOOT_X86_LAYOUT_H

#include "vmm/types.h"

/* Boot data, gone once the kernel has taken it over. */
#define LAYOUT_GDT             ((u64)0x500)
#define LAYOUT_START_INFO      ((u64)0x6000) /* PVH: hvm_start_info, modules, memory map */
#define LAYOUT_START_INFO_SIZE ((u64)0x1000)
#define LAYOUT_BOOT_PARAMS     ((u64)0x7000)
#define LAYOUT_PAGE_TABLES     ((u64)0x9000)
#define LAYOUT_CMDLINE         ((u64)0x20000)
#define LAYOUT_CMDLINE_MAX     ((u64)0x10000) /* with the terminating NUL */

#define LAYOUT_LOW_RAM_END ((u64)0x9fc00)
#define LAYOUT_ACPI        ((u64)0xe0000)
#define LAYOUT_ACPI_SIZE   ((u64)0x1f000)
#define LAYOUT_BIOS_ENTRY  ((u64)0xffff0) /* where a reset starts a PC, f000:fff0 */
#define LAYOUT_HIGH_RAM    ((u64)0x100000)

#define LAYOUT_HOLE_START      ((u64)0xc0000000)
#define LAYOUT_HOLE_END        ((u64)0x100000000)
#define LAYOUT_PCI_MEMORY      ((u64)0xc0000000)
#define LAYOUT_PCI_MEMORY_SIZE ((u64)0x20000000)
#define LAYOUT_ECAM            ((u64)0xe0000000)
#define LAYOUT_VIRTIO_MMIO     ((u64)0xe1000000)

#define LAYOUT_IOAPIC       ((u64)0xfec00000)
#define LAYOUT_LOCAL_APIC   ((u64)0xfee00000)
#define LAYOUT_IDENTITY_MAP ((u64)0xfffbc000)
#define LAYOUT_TSS          ((u64)0xfffbd000)

#endif
