/*
 * The ways a guest ends or restarts its machine: see power.h.
 */
#include "devices/power.h"

enum { SLP_TYP_SHIFT = 2, SLP_TYP_MASK = 0x7, SLP_EN = 0x20 };
enum { CHIPSET_RESET_CPU = 0x04 };
enum { KEYBOARD_PULSE_RESET = 0xfe, KEYBOARD_STATUS_ABSENT = 0xfd };

/* Nothing ever sleeps here and comes back, so the wake status and all else reads 0. */
static u64 acpi_read(void *device, u64 offset, unsigned width)
{
	(void)device, (void)offset, (void)width;
	return 0;
}

static void acpi_write(void *device, u64 offset, unsigned width, u64 value)
{
	struct power *power = device;

	(void)width;
	if (offset + POWER_PORT_BASE == POWER_RESET && value == POWER_RESET_VALUE)
		power->reset(power->owner);
	if (offset + POWER_PORT_BASE == POWER_SLEEP_CONTROL && (value & SLP_EN) &&
	    ((value >> SLP_TYP_SHIFT) & SLP_TYP_MASK) == POWER_S5_TYPE)
		power->off(power->owner);
	/* The sleep status: write one to clear, and nothing is ever set. */
}

/* The range is PCI's configuration address, which takes whole dwords; one byte of it is ours. */
static bool is_address(const struct power *power, u64 offset, unsigned width)
{
	return power->read_address && offset == 0 && width == 4;
}

static bool is_reset_control(u64 offset, unsigned width)
{
	return offset == 1 && width == 1;
}

static u64 chipset_read(void *device, u64 offset, unsigned width)
{
	const struct power *power = device;

	if (is_address(power, offset, width))
		return power->read_address(power->pci);
	return is_reset_control(offset, width) ? 0 : UINT64_MAX;
}

static void chipset_write(void *device, u64 offset, unsigned width, u64 value)
{
	struct power *power = device;

	if (is_address(power, offset, width))
		power->write_address(power->pci, (u32)value);
	else if (is_reset_control(offset, width) && (value & CHIPSET_RESET_CPU))
		power->reset(power->owner);
}

static u64 keyboard_read(void *device, u64 offset, unsigned width)
{
	(void)device, (void)offset, (void)width;
	return KEYBOARD_STATUS_ABSENT;
}

static void keyboard_write(void *device, u64 offset, unsigned width, u64 value)
{
	struct power *power = device;

	(void)offset, (void)width;
	if (value == KEYBOARD_PULSE_RESET)
		power->reset(power->owner);
}

static const char *acpi_name(void *device, u64 offset, bool write)
{
	static const char *const names[] = {"SLEEP_CONTROL", "SLEEP_STATUS", "RESET"};

	(void)device, (void)write;
	return offset < ARRAY_LEN(names) ? names[offset] : "";
}

static const char *chipset_name(void *device, u64 offset, bool write)
{
	(void)device, (void)write;
	return offset == 1 ? "RESET" : "PCI_ADDRESS";
}

static const char *keyboard_name(void *device, u64 offset, bool write)
{
	(void)device, (void)offset;
	return write ? "COMMAND" : "STATUS";
}

static const struct bus_ops acpi_ops = {.read = acpi_read, .write = acpi_write, .name = acpi_name};
static const struct bus_ops chipset_ops = {
	.read = chipset_read, .write = chipset_write, .name = chipset_name};
static const struct bus_ops keyboard_ops = {
	.read = keyboard_read, .write = keyboard_write, .name = keyboard_name};

int power_attach(struct power *power, struct bus *pio, struct error *err)
{
	const struct bus_range ranges[] = {
		{POWER_PORT_BASE, POWER_PORT_BYTES, 1, "power", &acpi_ops, power},
		{POWER_CHIPSET_BASE, POWER_CHIPSET_BYTES, 4, "chipset", &chipset_ops, power},
		{POWER_KEYBOARD_PORT, 1, 1, "keyboard", &keyboard_ops, power},
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (bus_add(pio, &ranges[i], err))
			return -1;
	}
	return 0;
}
