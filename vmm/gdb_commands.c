/*
 * What gdb's packets ask for: see gdb.h.
 *
 * A table leads from a packet's first letters to a function, which gets what stands behind them; a
 * packet that isn't there gets the empty answer, which says so. But for the question why it stopped,
 * all are for a machine that is stopped: the client that asks for more meanwhile hears EBUSY.
 *
 * Errors are numbers of errno: EFAULT for memory, EINVAL for what is malformed.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/gdb.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"
#include "vmm/x86/gdb_registers.h"
#include "vmm/x86/walk.h"

/* The most that one reply has of memory; and the description's size, with some room. */
enum { DATA_BYTES = GDB_PACKET_BYTES / 2, XML_BYTES = 12288 };

static void reply(struct gdb *gdb, const char *text)
{
	gdb_reply_begin(&gdb->reply);
	gdb_reply_text(&gdb->reply, "%s", text);
	gdb_reply_end(&gdb->reply);
}

static void reply_error(struct gdb *gdb, int number)
{
	char text[8];

	snprintf(text, sizeof(text), "E%02x", number & 0xff);
	reply(gdb, text);
}

/* "OK" for 0. */
static void reply_result(struct gdb *gdb, int error)
{
	if (error)
		reply_error(gdb, error);
	else
		reply(gdb, "OK");
}

static void reply_hex(struct gdb *gdb, const void *bytes, size_t count)
{
	gdb_reply_begin(&gdb->reply);
	gdb_reply_hex(&gdb->reply, bytes, count);
	gdb_reply_end(&gdb->reply);
}

void gdb_tell_stop(struct gdb *gdb)
{
	reply(gdb, gdb->reason);
}

static struct vcpu *chosen(struct gdb *gdb)
{
	return &gdb->machine->vcpu[gdb->thread];
}

/* --- registers --- */

static void read_registers(struct gdb *gdb, const char *args)
{
	struct gdb_registers registers;
	u8 bytes[GDB_REGISTER_BYTES_MAX];
	size_t count;

	(void)args;
	if (gdb_registers_load(chosen(gdb)->fd, &registers)) {
		reply_error(gdb, errno);
		return;
	}
	gdb_reply_begin(&gdb->reply);
	for (u64 i = 0; (count = gdb_register_bytes(i)) > 0; i++) {
		gdb_register_get(&registers, i, bytes);
		gdb_reply_hex(&gdb->reply, bytes, count);
	}
	gdb_reply_end(&gdb->reply);
}

static void write_registers(struct gdb *gdb, const char *args)
{
	struct gdb_registers registers;
	u8 bytes[GDB_REGISTER_BYTES_MAX];
	size_t count;

	if (gdb_registers_load(chosen(gdb)->fd, &registers)) {
		reply_error(gdb, errno);
		return;
	}
	for (u64 i = 0; (count = gdb_register_bytes(i)) > 0; i++) {
		if (gdb_unhex(args, bytes, count) < count)
			break;
		gdb_register_set(&registers, i, bytes);
		args += 2 * count;
	}
	if (*args)
		reply_error(gdb, EINVAL);
	else
		reply_result(gdb, gdb_registers_store(chosen(gdb)->fd, &registers) ? errno : 0);
}

static void read_register(struct gdb *gdb, const char *args)
{
	struct gdb_registers registers;
	u8 bytes[GDB_REGISTER_BYTES_MAX];
	u64 number;

	if (!gdb_number(&args, &number) || gdb_register_bytes(number) == 0) {
		reply_error(gdb, EINVAL);
	} else if (gdb_registers_load(chosen(gdb)->fd, &registers)) {
		reply_error(gdb, errno);
	} else {
		gdb_register_get(&registers, number, bytes);
		reply_hex(gdb, bytes, gdb_register_bytes(number));
	}
}

static void write_register(struct gdb *gdb, const char *args)
{
	struct gdb_registers registers;
	u8 bytes[GDB_REGISTER_BYTES_MAX];
	u64 number;
	size_t count;

	if (!gdb_number(&args, &number) || *args != '=' ||
	    (count = gdb_register_bytes(number)) == 0 ||
	    gdb_unhex(args + 1, bytes, count) < count) {
		reply_error(gdb, EINVAL);
		return;
	}
	if (gdb_registers_load(chosen(gdb)->fd, &registers)) {
		reply_error(gdb, errno);
		return;
	}
	gdb_register_set(&registers, number, bytes);
	reply_result(gdb, gdb_registers_store(chosen(gdb)->fd, &registers) ? errno : 0);
}

/* --- memory --- */

/* The guest physical address of a virtual one, as the chosen vCPU has it; false: it has none. */
static bool translate(struct gdb *gdb, const struct kvm_sregs *sregs, u64 address, u64 *gpa)
{
	struct walk walk;

	walk_address(&walk, &gdb->machine->memory, sregs, address);
	*gpa = walk.gpa;
	return walk.mapped;
}

/* Copies page by page. Returns how many bytes it were before one that isn't mapped, or isn't RAM. */
static size_t access_memory(struct gdb *gdb, u64 address, u8 *bytes, size_t count, bool write)
{
	struct kvm_sregs sregs;
	size_t done = 0;

	if (kvm_ioctl(chosen(gdb)->fd, KVM_GET_SREGS, &sregs) < 0)
		return 0;
	while (done < count) {
		const size_t in_page = PAGE_BYTES - (size_t)((address + done) % PAGE_BYTES);
		const size_t piece = count - done < in_page ? count - done : in_page;
		u8 *host = NULL;
		u64 gpa;

		if (translate(gdb, &sregs, address + done, &gpa))
			host = memory_at(&gdb->machine->memory, gpa, piece);
		if (!host)
			break;
		memcpy(write ? host : bytes + done, write ? bytes + done : host, piece);
		done += piece;
	}
	return done;
}

/* ADDRESS,LENGTH */
static bool parse_range(const char **args, u64 *address, u64 *count)
{
	if (!gdb_number(args, address) || **args != ',')
		return false;
	++*args;
	return gdb_number(args, count);
}

static void reply_memory(struct gdb *gdb, u64 address, u64 count)
{
	u8 bytes[DATA_BYTES];
	const size_t most = count < sizeof(bytes) ? (size_t)count : sizeof(bytes);
	const size_t done = access_memory(gdb, address, bytes, most, false);

	if (most && !done)
		reply_error(gdb, EFAULT);
	else
		reply_hex(gdb, bytes, done);
}

static void read_memory(struct gdb *gdb, const char *args)
{
	u64 address, count;

	if (!parse_range(&args, &address, &count) || *args)
		reply_error(gdb, EINVAL);
	else
		reply_memory(gdb, address, count);
}

static void finish_write(struct gdb *gdb, u64 address, u64 count, u8 *bytes, size_t there)
{
	if (there != count)
		reply_error(gdb, EINVAL);
	else
		reply_result(gdb,
			     access_memory(gdb, address, bytes, there, true) < there ? EFAULT : 0);
}

static void write_memory(struct gdb *gdb, const char *args)
{
	u8 bytes[DATA_BYTES];
	u64 address, count;

	size_t there;

	if (!parse_range(&args, &address, &count) || *args != ':') {
		reply_error(gdb, EINVAL);
		return;
	}
	there = gdb_unhex(args + 1, bytes, sizeof(bytes));
	finish_write(gdb, address, count, bytes, there);
}

static void write_binary(struct gdb *gdb, const char *args)
{
	struct gdb_packet *packet = &gdb->packet;
	u64 address, count;
	char *data;

	if (!parse_range(&args, &address, &count) || *args != ':') {
		reply_error(gdb, EINVAL);
		return;
	}
	data = packet->data + (args + 1 - packet->data);
	finish_write(gdb, address, count, (u8 *)data,
		     gdb_unescape(data, packet->used - (size_t)(data - packet->data)));
}

/* --- breakpoints --- */

/* KIND,ADDRESS,LENGTH: in `one`. Returns 0, an error number, or -1 for what there isn't. */
static int parse_breakpoint(struct gdb *gdb, const char *args, struct breakpoint *one)
{
	struct kvm_sregs sregs;
	u64 kind;

	if (!gdb_number(&args, &kind) || *args++ != ',' ||
	    !parse_range(&args, &one->address, &one->bytes))
		return EINVAL;
	if (kind > BREAKPOINT_ACCESS || kind == BREAKPOINT_READ)
		return -1;
	one->kind = (enum breakpoint_kind)kind;
	if (one->kind != BREAKPOINT_SOFTWARE)
		return 0;
	if (kvm_ioctl(chosen(gdb)->fd, KVM_GET_SREGS, &sregs) < 0)
		return errno;
	return translate(gdb, &sregs, one->address, &one->gpa) &&
			       memory_at(&gdb->machine->memory, one->gpa, 1)
		       ? 0
		       : EFAULT;
}

static void set_breakpoint(struct gdb *gdb, const char *args)
{
	struct breakpoint one;
	int error = parse_breakpoint(gdb, args, &one);

	if (error == 0)
		error = breakpoint_set(&gdb->breakpoints, &one);
	if (error < 0)
		reply(gdb, "");
	else
		reply_result(gdb, error);
}

static void clear_breakpoint(struct gdb *gdb, const char *args)
{
	struct breakpoint one;
	const int error = parse_breakpoint(gdb, args, &one);

	/* One whose address isn't mapped any more can be taken away all the same. */
	if (error == 0 || error == EFAULT)
		breakpoint_clear(&gdb->breakpoints, &one);
	if (error < 0)
		reply(gdb, "");
	else
		reply_result(gdb, error == EFAULT ? 0 : error);
}

/* --- threads --- */

enum { ALL = -1 };

/* A thread's number, as a vCPU's index, or ALL, which 0 ("any") is too. Returns false for none. */
static bool parse_thread(const struct gdb *gdb, const char **args, int *vcpu)
{
	u64 number;

	*vcpu = ALL;
	if (strncmp(*args, "-1", 2) == 0) {
		*args += 2;
		return true;
	}
	if (!gdb_number(args, &number) || number > gdb->machine->vcpus)
		return false;
	*vcpu = (int)number - 1;
	return true;
}

static void choose_thread(struct gdb *gdb, const char *args)
{
	const char what = *args ? *args++ : '\0';
	int vcpu;

	if ((what != 'g' && what != 'c') || !parse_thread(gdb, &args, &vcpu) || *args) {
		reply_error(gdb, EINVAL);
		return;
	}
	/* What a step is for, vCont says itself; without it, it is for the same thread. */
	if (what == 'g' && vcpu != ALL)
		gdb->thread = (unsigned)vcpu;
	reply(gdb, "OK");
}

static void is_alive(struct gdb *gdb, const char *args)
{
	int vcpu;

	reply_result(gdb, parse_thread(gdb, &args, &vcpu) && vcpu != ALL ? 0 : EINVAL);
}

static void current_thread(struct gdb *gdb, const char *args)
{
	char text[16] = "";

	if (!*args)
		snprintf(text, sizeof(text), "QC%x", gdb->thread + 1);
	reply(gdb, text);
}

static void list_threads(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb_reply_begin(&gdb->reply);
	for (unsigned i = 0; i < gdb->machine->vcpus; i++)
		gdb_reply_text(&gdb->reply, "%c%x", i ? ',' : 'm', i + 1);
	gdb_reply_end(&gdb->reply);
}

static void end_of_list(struct gdb *gdb, const char *args)
{
	(void)args;
	reply(gdb, "l");
}

static void describe_thread(struct gdb *gdb, const char *args)
{
	static const char *const names[] = {[KVM_MP_STATE_RUNNABLE] = "running",
					    [KVM_MP_STATE_UNINITIALIZED] = "not started",
					    [KVM_MP_STATE_INIT_RECEIVED] = "not started",
					    [KVM_MP_STATE_HALTED] = "halted",
					    [KVM_MP_STATE_SIPI_RECEIVED] = "starting"};
	struct kvm_mp_state state;
	char text[40];
	int vcpu;

	if (!parse_thread(gdb, &args, &vcpu) || vcpu == ALL) {
		reply_error(gdb, EINVAL);
		return;
	}
	if (kvm_ioctl(gdb->machine->vcpu[vcpu].fd, KVM_GET_MP_STATE, &state) < 0 ||
	    state.mp_state >= ARRAY_LEN(names))
		state.mp_state = KVM_MP_STATE_RUNNABLE;
	snprintf(text, sizeof(text), "vCPU %d (%s)", vcpu, names[state.mp_state]);
	reply_hex(gdb, text, strlen(text));
}

/* --- going on --- */

static void resume(struct gdb *gdb)
{
	if (gdb_resume(gdb))
		reply_error(gdb, errno);
}

/* ;ACTION[:THREAD]…: each vCPU does the first that is for it; 't', and none, is to stay. */
static void continue_as_told(struct gdb *gdb, const char *args)
{
	bool taken[CPUS_MAX] = {false}, moves = false;
	char action[CPUS_MAX] = {0};

	while (*args == ';') {
		const char kind = args[1] ? (char)tolower((unsigned char)args[1]) : '\0';
		const bool has_signal = args[1] != kind;
		int thread = ALL;
		u64 number;

		args += kind ? 2 : 1;
		if (!strchr("cst", kind) || !kind || (has_signal && !gdb_number(&args, &number)))
			break;
		if (*args == ':' && (++args, !parse_thread(gdb, &args, &thread)))
			break;
		for (unsigned i = 0; i < gdb->machine->vcpus; i++) {
			if ((thread != ALL && thread != (int)i) || taken[i])
				continue;
			taken[i] = true;
			action[i] = kind == 't' ? '\0' : kind;
			moves = moves || action[i];
		}
	}
	if (*args || !moves) {
		reply_error(gdb, EINVAL);
		return;
	}
	memcpy(gdb->action, action, sizeof(action));
	resume(gdb);
}

static void name_actions(struct gdb *gdb, const char *args)
{
	(void)args;
	reply(gdb, "vCont;c;C;s;S;t");
}

static void continue_all(struct gdb *gdb, const char *args)
{
	(void)args;
	memset(gdb->action, 'c', sizeof(gdb->action));
	resume(gdb);
}

static void step_one(struct gdb *gdb, const char *args)
{
	(void)args;
	memset(gdb->action, 'c', sizeof(gdb->action));
	gdb->action[gdb->thread] = 's';
	resume(gdb);
}

static void detach(struct gdb *gdb, const char *args)
{
	(void)args;
	reply(gdb, "OK");
	gdb_detach(gdb);
}

static void do_kill(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb_kill(gdb);
}

static void do_kill_politely(struct gdb *gdb, const char *args)
{
	(void)args;
	reply(gdb, "OK");
	gdb_kill(gdb);
}

static void tell_why(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb_tell_stop(gdb);
}

static void monitor(struct gdb *gdb, const char *args)
{
	char text[GDB_TEXT_BYTES];

	gdb_monitor(gdb, args, text);
	reply_hex(gdb, text, strlen(text));
}

/* --- what the two can do --- */

static void features(struct gdb *gdb, const char *args)
{
	char text[160];

	gdb->tells_kind = strstr(args, "swbreak+") && strstr(args, "hwbreak+");
	snprintf(text, sizeof(text),
		 "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+%s",
		 GDB_PACKET_BYTES, gdb->tells_kind ? ";swbreak+;hwbreak+" : "");
	reply(gdb, text);
}

/* OFFSET,LENGTH of the target's description. */
static void read_description(struct gdb *gdb, const char *args)
{
	char xml[XML_BYTES];
	const size_t total = gdb_describe(xml, sizeof(xml));
	u64 offset, count;

	if (!parse_range(&args, &offset, &count) || *args || offset > total) {
		reply_error(gdb, EINVAL);
		return;
	}
	if (count > total - offset)
		count = total - offset;
	if (count > GDB_PACKET_BYTES - 1)
		count = GDB_PACKET_BYTES - 1;
	gdb_reply_begin(&gdb->reply);
	gdb_reply_byte(&gdb->reply, offset + count < total ? 'm' : 'l');
	for (u64 i = 0; i < count; i++)
		gdb_reply_byte(&gdb->reply, xml[offset + i]);
	gdb_reply_end(&gdb->reply);
}

static void stop_acks(struct gdb *gdb, const char *args)
{
	(void)args;
	gdb->no_acks = true;
	reply(gdb, "OK");
}

/* gdb ends no guest that it didn't start. */
static void is_attached(struct gdb *gdb, const char *args)
{
	(void)args;
	reply(gdb, "1");
}

/* The first that fits counts. */
static const struct {
	const char *begin;
	void (*run)(struct gdb *gdb, const char *args);
} commands[] = {
	{"?", tell_why},
	{"g", read_registers},
	{"G", write_registers},
	{"p", read_register},
	{"P", write_register},
	{"m", read_memory},
	{"M", write_memory},
	{"X", write_binary},
	{"Z", set_breakpoint},
	{"z", clear_breakpoint},
	{"H", choose_thread},
	{"T", is_alive},
	{"vCont?", name_actions},
	{"vCont", continue_as_told},
	{"vKill", do_kill_politely},
	{"c", continue_all},
	{"C", continue_all},
	{"s", step_one},
	{"S", step_one},
	{"D", detach},
	{"k", do_kill},
	{"qSupported", features},
	{"qXfer:features:read:target.xml:", read_description},
	{"qfThreadInfo", list_threads},
	{"qsThreadInfo", end_of_list},
	{"qThreadExtraInfo,", describe_thread},
	{"qAttached", is_attached},
	{"qRcmd,", monitor},
	{"qC", current_thread},
	{"QStartNoAckMode", stop_acks},
};

void gdb_command(struct gdb *gdb)
{
	const char *data = gdb->packet.data;

	if (gdb->packet.too_long || !gdb->stopped) {
		reply_error(gdb, gdb->stopped ? EMSGSIZE : EBUSY);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const size_t length = strlen(commands[i].begin);

		if (strncmp(data, commands[i].begin, length) == 0) {
			commands[i].run(gdb, data + length);
			return;
		}
	}
	reply(gdb, "");
}
