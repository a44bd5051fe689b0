/*
 * What a client of --gdb sends (vmm/gdb_packet.c, gdb_commands.c, gdb_monitor.c), to a machine without
 * KVM: it has two vCPUs whose registers are zero, or what was written last, and two pages of RAM.
 *
 * Input: pieces, each a byte of kind and a byte of length with so many bytes behind it. Kind 0 is sent
 * as it is, 1 in a packet with the right checksum, 2 lets a vCPU stop at address 0 (bytes: exception,
 * DR6). Between pieces replies are taken.
 *
 * Checked: each reply is acknowledgements and packets whose checksum is right and whose bytes have no
 * '$' or '#'; a packet has one answer at most; vCPUs are asked for nothing while they run; and the chosen
 * one is there.
 */
#include <stdio.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "vmm/gdb.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"
#include "vmm/x86/gdb_registers.h"

enum { RAM_BYTES = 0x2000, CPUS = 2, VCPU_FD = 1 << 20, KINDS = 3 };

static struct {
	struct machine machine;
	struct config config;
	struct vcpu vcpu[CPUS];
	struct gdb_registers registers[CPUS];
	u8 ram[RAM_BYTES];
	struct gdb gdb;
	bool runs, ended;
} world;

int __real_kvm_ioctl(int fd, unsigned long request, void *argument);
int __wrap_kvm_ioctl(int fd, unsigned long request, void *argument);

int __wrap_kvm_ioctl(int fd, unsigned long request, void *argument)
{
	struct gdb_registers *registers = &world.registers[fd - VCPU_FD];

	if (fd < VCPU_FD)
		return __real_kvm_ioctl(fd, request, argument);
	FUZZ_CHECK(!world.runs && fd < VCPU_FD + CPUS);
	switch (request) {
	case KVM_GET_REGS:
		memcpy(argument, &registers->general, sizeof(registers->general));
		break;
	case KVM_SET_REGS:
		memcpy(&registers->general, argument, sizeof(registers->general));
		break;
	case KVM_GET_SREGS:
		memcpy(argument, &registers->system, sizeof(registers->system));
		break;
	case KVM_SET_SREGS:
		memcpy(&registers->system, argument, sizeof(registers->system));
		break;
	case KVM_GET_FPU:
		memcpy(argument, &registers->fpu, sizeof(registers->fpu));
		break;
	case KVM_SET_FPU:
		memcpy(&registers->fpu, argument, sizeof(registers->fpu));
		break;
	case KVM_GET_MP_STATE:
		memset(argument, 0, sizeof(struct kvm_mp_state));
		break;
	default:
		break;
	}
	return 0;
}

/* ---- the machine ---- */

void machine_pause(struct machine *machine)
{
	(void)machine;
	world.runs = false;
}

void machine_resume(struct machine *machine)
{
	(void)machine;
	world.runs = true;
}

bool machine_ended(struct machine *machine)
{
	(void)machine;
	return world.ended;
}

void machine_end(struct machine *machine, enum verdict_reason reason, int number,
		 const char *detail, ...)
{
	(void)machine, (void)reason, (void)number, (void)detail;
	world.ended = true;
}

void death_registers(struct death *death, const struct vcpu *vcpu)
{
	(void)vcpu;
	memset(death->text, 'x', sizeof(death->text) - 1);
	death->text[sizeof(death->text) - 1] = '\0';
}

/* ---- the client ---- */

static unsigned hex(char c)
{
	const char *const digits = "0123456789abcdef";
	const char *at = strchr(digits, c);

	FUZZ_CHECK(c && at);
	return (unsigned)(at - digits);
}

/* Takes all that was said. Returns how many packets it was. */
static unsigned take_replies(void)
{
	struct gdb_reply *reply = &world.gdb.reply;
	const char *at = reply->text + reply->sent, *end = reply->text + reply->used;
	unsigned packets = 0;

	while (at < end) {
		u8 sum = 0;

		FUZZ_CHECK(*at == '+' || *at == '-' || *at == '$');
		if (*at++ != '$')
			continue;
		for (; at < end && *at != '#'; at++) {
			FUZZ_CHECK(*at != '$');
			sum = (u8)(sum + (u8)*at);
		}
		FUZZ_CHECK(end - at >= 3 && (hex(at[1]) << 4 | hex(at[2])) == sum);
		at += 3;
		packets++;
	}
	reply->sent = reply->used;
	return packets;
}

static void send_bytes(const u8 *bytes, size_t count)
{
	while (count > 0 && !world.ended) {
		const size_t taken = gdb_feed(&world.gdb, bytes, count);

		FUZZ_CHECK(taken > 0 && taken <= count);
		bytes += taken;
		count -= taken;
		FUZZ_CHECK(take_replies() <= 1);
	}
}

static void send_packet(const u8 *bytes, size_t count)
{
	const u8 start = '$', *check = (const u8 *)"#";
	char sum[3];
	u8 total = 0;

	send_bytes(&start, 1);
	for (size_t i = 0; i < count; i++)
		total = (u8)(total + bytes[i]);
	send_bytes(bytes, count);
	send_bytes(check, 1);
	snprintf(sum, sizeof(sum), "%02x", total);
	send_bytes((const u8 *)sum, 2);
}

static void strike(const u8 *bytes, size_t count)
{
	struct vcpu *vcpu = &world.vcpu[count % CPUS];

	if (!world.runs || world.ended || count < 2)
		return;
	vcpu->struck = true;
	vcpu->debug = (struct kvm_debug_exit_arch){.exception = bytes[0], .dr6 = bytes[1]};
	world.gdb.wake.woken(world.gdb.wake.owner);
	(void)take_replies();
}

static void make_world(void)
{
	struct error err;

	memset(&world, 0, sizeof(world));
	world.machine.config = &world.config;
	world.machine.gdb = &world.gdb;
	world.machine.memory = (struct memory){
		.region = {{0, RAM_BYTES, world.ram}}, .regions = 1, .bytes = RAM_BYTES};
	world.machine.vcpu = world.vcpu;
	world.machine.vcpus = CPUS;
	for (unsigned i = 0; i < CPUS; i++)
		world.vcpu[i] = (struct vcpu){.index = i, .fd = VCPU_FD + (int)i};
	FUZZ_CHECK(gdb_init(&world.gdb, &world.machine, &err) == 0);
	world.gdb.stopped = true;
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};

	make_world();
	while (input.left > 0 && !world.ended) {
		const u64 kind = input_take(&input, 1) % KINDS;
		size_t length = (size_t)input_take(&input, 1);

		length = length < input.left ? length : input.left;
		if (kind == 0)
			send_bytes(input.bytes, length);
		else if (kind == 1)
			send_packet(input.bytes, length);
		else
			strike(input.bytes, length);
		input.bytes += length;
		input.left -= length;
		FUZZ_CHECK(world.gdb.stopped == !world.runs);
		FUZZ_CHECK(world.gdb.thread < CPUS);
	}
	loop_wake_close(&world.gdb.wake);
	return 0;
}
