/*
 * The board: see board.h.
 *
 *	ports 0x3f8–0x3ff   COM1, interrupt 4
 *	port 0x505          pvpanic
 *	ports 0x600–0x602   sleep control, sleep status, reset
 *	ports 0x64, 0xcf9   reset, for kernels without ACPI
 *	ports 0xcf8–0xcff   PCI configuration (0xcf9 is shared, by the width of the access)
 *	interrupt 9         the power button, an ACPI event
 */
#include "vmm/board.h"

#include <signal.h>
#include <string.h>

#include "boot/x86/layout.h"
#include "vmm/machine.h"

static const char COM1_NAME[] = "serial0";

static void power_off(void *owner)
{
	machine_end_by_guest(owner, VERDICT_POWEROFF, "");
}

static void power_reset(void *owner)
{
	machine_end_by_guest(owner, VERDICT_RESET, "");
}

static void pvpanic_panicked(void *owner)
{
	struct machine *machine = owner;
	const bool seen = atomic_load(&machine->watch.panicked);

	machine_end_by_guest(machine, VERDICT_PANIC,
			     seen ? machine->watch.panic_line : "told by its pvpanic driver");
}

static void console_quit(void *owner)
{
	machine_end(owner, VERDICT_SIGNAL, SIGINT, "Ctrl-A x was typed");
}

/* Called with the console's lock held, which guards the watch's line and the tail. */
static void console_watch(void *owner, u8 byte)
{
	struct machine *machine = owner;

	timeline_reach(&machine->timeline, STAGE_FIRST_OUTPUT);
	if (machine->config->command)
		tail_put(&machine->tail, byte);
	if (watch_byte(&machine->watch, byte) == WATCH_PANIC_END)
		machine_end_by_guest(machine, VERDICT_PANIC, machine->watch.panic_line);
}

void board_init(struct board *board)
{
	const struct irq_line none = {.deliver = NULL};
	const struct serial_host nobody = {.host = NULL};

	console_init(&board->console);
	serial_init(&board->com1, &none, &nobody);
}

int board_attach(struct board *board, struct machine *machine, struct error *err)
{
	const struct irq_line com1_irq = machine_irq_line(machine, SERIAL_COM1_GSI);
	const struct serial_host com1_host = {
		.put = console_put,
		.has_room = console_has_room,
		.want_input = console_want_input,
		.host = &board->console,
	};
	const struct bus_range com1 = {.base = SERIAL_COM1_BASE,
				       .bytes = SERIAL_PORT_BYTES,
				       .max_width = 1,
				       .name = COM1_NAME,
				       .ops = &serial_bus_ops,
				       .device = &board->com1};

	board->com1.irq = com1_irq;
	board->com1.host = com1_host;
	board->power = (struct power){.off = power_off, .reset = power_reset, .owner = machine};
	if (machine->config->transport == TRANSPORT_PCI) {
		board->power.read_address = pci_read_address;
		board->power.write_address = pci_write_address;
		board->power.pci = &board->virtio.pci;
	}
	board->pvpanic = (struct pvpanic){.panicked = pvpanic_panicked, .owner = machine};
	board->button = machine_irq_line(machine, BUTTON_GSI);
	if (bus_add(&machine->pio, &com1, err) || power_attach(&board->power, &machine->pio, err))
		return -1;
	if (pvpanic_attach(&board->pvpanic, &machine->pio, err))
		return -1;
	return virtio_board_attach(&board->virtio, machine, err);
}

int board_open(struct board *board, struct machine *machine, struct error *err)
{
	const struct config *config = machine->config;

	board->console.device = (struct console_device){
		.input = serial_input,
		.output_drained = serial_output_drained,
		.device = &board->com1,
	};
	if (config->console_virtio)
		board->console.device = hvc_console_device(&board->virtio.hvc);
	board->console.quit = console_quit;
	board->console.watch = console_watch;
	board->console.owner = machine;
	return console_open(&board->console, &machine->loop, config->console, config->console_path,
			    err);
}

static void describe_devices(void *owner, struct aml *aml)
{
	const struct board *board = owner;
	size_t device, resources;

	device = aml_open(aml, AML_DEVICE, "COM1");
	aml_name_eisa_id(aml, "_HID", "PNP0501");
	aml_name_integer(aml, "_UID", 0);
	resources = aml_open_resources(aml);
	aml_io(aml, (u16)SERIAL_COM1_BASE, (u8)SERIAL_PORT_BYTES);
	aml_interrupt_edge(aml, SERIAL_COM1_GSI);
	aml_close_resources(aml, resources);
	aml_close(aml, device);

	device = aml_open(aml, AML_DEVICE, "PEVT");
	aml_name_text(aml, "_HID", "QEMU0001");
	resources = aml_open_resources(aml);
	aml_io(aml, (u16)PVPANIC_PORT, 1);
	aml_close_resources(aml, resources);
	aml_close(aml, device);

	button_describe(aml);
	virtio_board_describe(&board->virtio, aml);
}

struct acpi_machine board_acpi(struct board *board, const struct machine *machine)
{
	return (struct acpi_machine){
		.cpus = machine->config->cpus,
		.sleep_control_port = (u16)POWER_SLEEP_CONTROL,
		.sleep_status_port = (u16)POWER_SLEEP_STATUS,
		.reset_port = (u16)POWER_RESET,
		.reset_value = POWER_RESET_VALUE,
		.s5_type = POWER_S5_TYPE,
		.ecam_base = machine->config->transport == TRANSPORT_PCI ? LAYOUT_ECAM : 0,
		.describe_devices = describe_devices,
		.owner = board,
	};
}

int board_gsi(const struct board *board, const char *device)
{
	if (strcmp(device, COM1_NAME) == 0)
		return (int)SERIAL_COM1_GSI;
	return virtio_board_gsi(&board->virtio, device);
}

int board_quiesce(struct board *board, struct error *err)
{
	if (virtio_board_quiesce(&board->virtio))
		return 0;
	return error_set(err, "the host doesn't finish the guest's I/O");
}

void board_reset(struct board *board)
{
	serial_reset(&board->com1);
	virtio_board_reset(&board->virtio);
}

bool board_close(struct board *board)
{
	const bool done = virtio_board_close(&board->virtio);

	console_close(&board->console);
	serial_destroy(&board->com1);
	return done;
}
