/*
 * The address at which a PC starts after a reset, f000:fff0 in real mode.
 *
 * There is no firmware here, but kernels jump there to restart: Linux on a hardware-reduced ACPI
 * machine takes it to have EFI, finds none to ask, and goes on with the BIOS. A few bytes of code
 * pull the machine's own reset line.
 *
 * Source: Linux arch/x86/kernel/reboot.c (BOOT_EFI, BOOT_BIOS), arch/x86/platform/efi/quirks.c
 * (efi_reboot_required).
 */
#include <string.h>

#include "boot/x86/handover.h"
#include "boot/x86/layout.h"

int bios_entry_place(struct place_map *map, u16 port, u8 value, struct error *err)
{
	const u8 code[] = {
		0xba, (u8)port, (u8)(port >> 8), /* mov dx, port */
		0xb0, value,                     /* mov al, value */
		0xee,                            /* out dx, al */
		0xf4,                            /* hlt */
		0xeb, 0xfd,                      /* jmp back to the hlt */
	};
	void *host = place_at(map, "BIOS entry", LAYOUT_BIOS_ENTRY, sizeof(code), err);

	if (!host)
		return -1;
	memcpy(host, code, sizeof(code));
	return 0;
}
