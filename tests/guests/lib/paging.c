/*
 * RAM above 4 GiB is not in the assembled page tables. Instead of mapping all of it, one spare page
 * directory is moved about: it shows the GiB around the address that is asked for.
 */
#include "lib.h"

#define GIB            (1ull << 30)
#define PAGE_2M        (1ull << 21)
#define PTE_PRESENT_RW 0x03
#define PTE_HUGE       0x80

extern u64 pdpt[512]; /* start.S */

static u64 window[512] __attribute__((aligned(4096)));
static u64 *window_slot; /* the pdpt entry that points to the window now */

void *map_page(u64 gpa)
{
	u64 cr3;

	if (gpa < 4 * GIB)
		return (void *)gpa;
	if (gpa >= 512 * GIB)
		return NULL;
	if (window_slot)
		*window_slot = 0;
	for (unsigned i = 0; i < 512; i++)
		window[i] = ((gpa & ~(GIB - 1)) + i * PAGE_2M) | PTE_PRESENT_RW | PTE_HUGE;
	window_slot = &pdpt[gpa >> 30];
	*window_slot = (u64)window | PTE_PRESENT_RW;
	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3"
			 : "=r"(cr3)::"memory"); /* empties the TLB */
	return (void *)gpa;
}
