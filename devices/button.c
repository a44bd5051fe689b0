/*
 * The power button: see button.h.
 */
#include "devices/button.h"

enum { NOTIFY_PRESSED = 0x80 };

void button_press(struct irq_line *button)
{
	/* The interrupt is an edge: the line has only to rise. */
	irq_line_set(button, true);
	irq_line_set(button, false);
}

void button_describe(struct aml *aml)
{
	size_t device, resources, method;

	device = aml_open(aml, AML_DEVICE, "PWRB");
	aml_name_eisa_id(aml, "_HID", "PNP0C0C");
	aml_close(aml, device);

	device = aml_open(aml, AML_DEVICE, "GED0");
	aml_name_text(aml, "_HID", "ACPI0013");
	resources = aml_open_resources(aml);
	aml_interrupt_edge(aml, BUTTON_GSI);
	aml_close_resources(aml, resources);
	/* Only one interrupt leads here, so the method needn't look at its number. */
	method = aml_open_method(aml, "_EVT", 1);
	aml_notify(aml, "PWRB", NOTIFY_PRESSED);
	aml_close(aml, method);
	aml_close(aml, device);
}
