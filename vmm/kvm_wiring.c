/*
 * Wiring by KVM: see kvm_wiring.h.
 */
#include "vmm/kvm_wiring.h"

#include <linux/kvm.h>
#include <stdlib.h>

#include "vmm/kvm.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(kvm_wiring, CALL(ioctl, SANDBOX_ALL, "doorbells", IS(1, KVM_IOEVENTFD)),
	      CALL(ioctl, SANDBOX_ALL, "interrupts", IS(1, KVM_IRQFD)),
	      CALL(ioctl, SANDBOX_ALL, "messages", IS(1, KVM_SET_GSI_ROUTING)));

/* KVM's two chips: the first 16 pins of the I/O APIC lead to the 8259s as well. */
enum { PIC_PINS = 16, PIC_PINS_EACH = 8 };

static void add_pin(struct kvm_irq_routing *table, u32 gsi, u32 chip, u32 pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = {.irqchip = chip, .pin = pin},
	};
}

/* As KVM has it before anybody sets the table. */
static void add_pins(struct kvm_irq_routing *table)
{
	for (u32 gsi = 0; gsi < WIRING_FIRST_MESSAGE; gsi++) {
		add_pin(table, gsi, KVM_IRQCHIP_IOAPIC, gsi);
		if (gsi < PIC_PINS)
			add_pin(table, gsi,
				gsi < PIC_PINS_EACH ? KVM_IRQCHIP_PIC_MASTER
						    : KVM_IRQCHIP_PIC_SLAVE,
				gsi % PIC_PINS_EACH);
	}
}

int kvm_wiring_init(struct kvm_wiring *wiring, const int *vm_fd, unsigned messages,
		    struct trace *trace, struct error *err)
{
	const size_t entries = WIRING_FIRST_MESSAGE + PIC_PINS + (size_t)messages;

	*wiring = (struct kvm_wiring){.vm_fd = vm_fd, .trace = trace, .messages_max = messages};
	pthread_mutex_init(&wiring->lock, NULL);
	wiring->table =
		calloc(1, sizeof(*wiring->table) + entries * sizeof(wiring->table->entries[0]));
	if (!wiring->table)
		return error_set(err, "no memory for the table of interrupts");
	add_pins(wiring->table);
	wiring->pins = wiring->table->nr;
	return 0;
}

void kvm_wiring_reset(struct kvm_wiring *wiring)
{
	wiring->table->nr = wiring->pins;
}

void kvm_wiring_destroy(struct kvm_wiring *wiring)
{
	if (!wiring->vm_fd)
		return;
	free(wiring->table);
	pthread_mutex_destroy(&wiring->lock);
	wiring->vm_fd = NULL;
}

static bool lay_doorbell(void *owner, const struct doorbell *bell, bool lay)
{
	const struct kvm_wiring *wiring = owner;
	struct kvm_ioeventfd wire = {
		.datamatch = bell->value,
		.addr = bell->address,
		.len = bell->width,
		.fd = bell->fd,
		.flags = (bell->match ? (u32)KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
			 (bell->io_port ? (u32)KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (lay ? 0 : (u32)KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	return kvm_ioctl(*wiring->vm_fd, KVM_IOEVENTFD, &wire) == 0;
}

static bool join_interrupt(void *owner, int fd, u32 gsi, bool join)
{
	const struct kvm_wiring *wiring = owner;
	struct kvm_irqfd wire = {
		.fd = (u32)fd, .gsi = gsi, .flags = join ? 0 : (u32)KVM_IRQFD_FLAG_DEASSIGN};

	if (trace_on(wiring->trace, TRACE_IRQ))
		trace_line(wiring->trace, TRACE_IRQ, "gsi %u %s", gsi, join ? "joined" : "masked");
	return kvm_ioctl(*wiring->vm_fd, KVM_IRQFD, &wire) == 0;
}

/* The place of a message in the table: its own, or the next free one; NULL when all are taken. */
static struct kvm_irq_routing_entry *find_message(struct kvm_wiring *wiring, u32 gsi)
{
	struct kvm_irq_routing *table = wiring->table;
	unsigned at = wiring->pins;

	while (at < table->nr && table->entries[at].gsi != gsi)
		at++;
	return at < wiring->pins + wiring->messages_max ? &table->entries[at] : NULL;
}

/* Gives KVM the whole table with this entry in it. What KVM refuses leaves the table as it was. */
static bool set_message(struct kvm_wiring *wiring, const struct kvm_irq_routing_entry *message)
{
	struct kvm_irq_routing_entry *entry = find_message(wiring, message->gsi);
	struct kvm_irq_routing_entry before;
	const u32 count = wiring->table->nr;

	if (!entry)
		return false;
	before = *entry;
	*entry = *message;
	if (entry == &wiring->table->entries[count])
		wiring->table->nr++;
	if (kvm_ioctl(*wiring->vm_fd, KVM_SET_GSI_ROUTING, wiring->table) == 0)
		return true;
	*entry = before;
	wiring->table->nr = count;
	return false;
}

static bool tell_message(void *owner, u32 gsi, u64 address, u32 data)
{
	struct kvm_wiring *wiring = owner;
	struct kvm_irq_routing_entry message = {.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI};
	bool told;

	if (trace_on(wiring->trace, TRACE_IRQ))
		trace_line(wiring->trace, TRACE_IRQ, "gsi %u is message 0x%llx = 0x%x", gsi,
			   address, data);
	message.u.msi.address_lo = (u32)address;
	message.u.msi.address_hi = (u32)(address >> 32);
	message.u.msi.data = data;
	pthread_mutex_lock(&wiring->lock);
	told = set_message(wiring, &message);
	pthread_mutex_unlock(&wiring->lock);
	return told;
}

static const struct wiring_ops ops = {
	.doorbell = lay_doorbell, .interrupt = join_interrupt, .message = tell_message};

struct wiring kvm_wiring(struct kvm_wiring *wiring)
{
	return (struct wiring){.ops = &ops, .owner = wiring};
}
