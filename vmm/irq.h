/*
 * An interrupt line as a device sees it: a level that it sets.
 *
 * The device knows neither the controller behind it nor the architecture; the machine fills in
 * how a level reaches the guest. The line has no lock of its own: it is set under the lock of the
 * device that owns it, which also keeps the order of its levels.
 */
#ifndef BANTAM_VMM_IRQ_H
#define BANTAM_VMM_IRQ_H

#include "vmm/types.h"

struct irq_line {
	void (*deliver)(void *controller, u32 gsi, bool level);
	void *controller;
	u32 gsi; /* global system interrupt number */
	bool level;
};

/* Sets the level; the controller hears of changes only. */
static inline void irq_line_set(struct irq_line *line, bool level)
{
	if (line->level == level)
		return;
	line->level = level;
	line->deliver(line->controller, line->gsi, level);
}

#endif
