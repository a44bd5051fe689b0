/*
 * The power button, which asks the guest to shut down.
 *
 * Hardware-reduced ACPI has no fixed button: it is a device of its own (PNP0C0C), and pressing it
 * is an interrupt of the Generic Event Device (ACPI0013), whose _EVT method notifies the button.
 * Linux needs its `button` driver for it, and something in user space that listens.
 *
 * Source: ACPI 6.5, 5.6.9 "Interrupt-signaled ACPI events", 4.8.2.2.1.2 "Control Method Power
 * Button".
 */
#ifndef BANTAM_DEVICES_BUTTON_H
#define BANTAM_DEVICES_BUTTON_H

#include "boot/aml.h"
#include "vmm/irq.h"

#define BUTTON_GSI ((u32)9)

/* Presses the button, whose line is used by the main thread alone. */
void button_press(struct irq_line *button);

/* Describes the button and its event device, in the scope \_SB. */
void button_describe(struct aml *aml);

#endif
