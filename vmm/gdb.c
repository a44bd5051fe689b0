/*
 * A debugger for the guest: see gdb.h. Here are the socket, stopping and going on.
 */
#include "vmm/gdb.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/gdb_address.h"
#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

SANDBOX_CALLS(gdb, CALL(accept4, SANDBOX_GDB, "a debugger comes"),
	      CALL(recvfrom, SANDBOX_GDB, "its packets"),
	      CALL(sendto, SANDBOX_GDB, "replies", HAS(3, MSG_DONTWAIT, MSG_DONTWAIT)),
	      CALL(close, SANDBOX_GDB, "it leaves"),
	      CALL(unlinkat, SANDBOX_GDB, "the socket's name", IS(2, 0)),
	      CALL(ioctl, SANDBOX_GDB, "registers", IS(1, KVM_GET_REGS)),
	      CALL(ioctl, SANDBOX_GDB, "registers", IS(1, KVM_SET_REGS)),
	      CALL(ioctl, SANDBOX_GDB, "registers", IS(1, KVM_GET_SREGS)),
	      CALL(ioctl, SANDBOX_GDB, "registers", IS(1, KVM_SET_SREGS)),
	      CALL(ioctl, SANDBOX_GDB, "registers", IS(1, KVM_GET_FPU)),
	      CALL(ioctl, SANDBOX_GDB, "registers", IS(1, KVM_SET_FPU)),
	      CALL(ioctl, SANDBOX_GDB, "whether a vCPU is halted", IS(1, KVM_GET_MP_STATE)),
	      CALL(ioctl, SANDBOX_GDB, "breakpoints, steps", IS(1, KVM_SET_GUEST_DEBUG)));

/* So much is read at once: a client's turn of the main loop. */
enum { TURN_BYTES = 1024 };

/* --- the machine --- */

/* --timeout counts the time in which the guest runs. */
static void stop_clock(struct gdb *gdb)
{
	struct loop_timer *timeout = &gdb->machine->timeout;
	const u64 now_ns = clock_now_ns();

	gdb->time_left_ns = !timeout->deadline_ns           ? 0
			    : timeout->deadline_ns > now_ns ? timeout->deadline_ns - now_ns
							    : 1;
	timeout->deadline_ns = 0;
}

static void start_clock(struct gdb *gdb)
{
	if (gdb->time_left_ns)
		loop_timer_set(&gdb->machine->timeout, gdb->time_left_ns);
}

static void stop(struct gdb *gdb)
{
	machine_pause(gdb->machine);
	breakpoints_lift(&gdb->breakpoints, &gdb->machine->memory);
	if (!gdb->stopped)
		stop_clock(gdb);
	gdb->stopped = true;
}

/* Gives each vCPU its breakpoints and what it is to do. */
static int arm(struct gdb *gdb)
{
	/* At a start vCPUs may still be on their way to where they park. */
	machine_pause(gdb->machine);
	for (unsigned i = 0; i < gdb->machine->vcpus; i++) {
		struct vcpu *vcpu = &gdb->machine->vcpu[i];
		const u32 step = gdb->action[i] == 's' ? gdb->step_extra : 0;
		struct kvm_guest_debug debug =
			breakpoints_debug(&gdb->breakpoints, step | vcpu->pass_on);

		/* A KVM that can't do it has nothing to end, either. */
		if (kvm_ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug) < 0 && debug.control)
			return -1;
		vcpu->pass_on = 0;
		vcpu->stays = !gdb->action[i];
	}
	return 0;
}

static void let_go(struct gdb *gdb)
{
	breakpoints_insert(&gdb->breakpoints, &gdb->machine->memory);
	start_clock(gdb);
	gdb->stopped = gdb->waiting = false;
	machine_resume(gdb->machine);
}

static void note_stop(struct gdb *gdb, int signal_number)
{
	snprintf(gdb->reason, sizeof(gdb->reason), "T%02xthread:%x;", signal_number,
		 gdb->thread + 1);
}

/* Notes why a vCPU stopped. */
static void note_strike(struct gdb *gdb, const struct vcpu *vcpu, enum breakpoint_cause cause,
			const struct breakpoint *hit)
{
	char more[40] = "";

	gdb->thread = vcpu->index;
	note_stop(gdb, SIGTRAP);
	if (cause == CAUSE_WATCH)
		snprintf(more, sizeof(more), "%s:%llx;",
			 hit->kind == BREAKPOINT_WRITE ? "watch" : "awatch", hit->address);
	else if (cause != CAUSE_STEP && gdb->tells_kind)
		snprintf(more, sizeof(more), "%cwbreak:;", cause == CAUSE_SOFTWARE ? 's' : 'h');
	strncat(gdb->reason, more, sizeof(gdb->reason) - strlen(gdb->reason) - 1);
}

static void note_death(struct gdb *gdb)
{
	const struct machine *machine = gdb->machine;

	for (unsigned i = 0; i < machine->vcpus; i++) {
		if (machine->vcpu[i].died)
			gdb->thread = i;
	}
	gdb->death_told = true;
	note_stop(gdb, machine->held.reason == VERDICT_PANIC ? SIGABRT : SIGSEGV);
}

/*
 * Notes why vCPUs have asked for a stop. Of several, gdb hears of the last: at a breakpoint the others
 * strike again. Returns false when it was for nothing: the guest's own exceptions, which it gets.
 */
static bool note_reason(struct gdb *gdb)
{
	struct machine *machine = gdb->machine;
	bool told = false;

	for (unsigned i = 0; i < machine->vcpus; i++) {
		struct vcpu *vcpu = &machine->vcpu[i];
		const bool stepping = gdb->action[i] == 's';
		const struct breakpoint *hit = NULL;
		enum breakpoint_cause cause;

		if (!vcpu->struck)
			continue;
		vcpu->struck = false;
		cause = breakpoints_cause(&gdb->breakpoints, &vcpu->debug, stepping, &hit);
		if (cause == CAUSE_GUEST)
			vcpu->pass_on = breakpoints_pass_on(&vcpu->debug);
		else
			note_strike(gdb, vcpu, cause, hit);
		told = told || cause != CAUSE_GUEST;
	}
	if (machine->held.reason == VERDICT_NONE || gdb->death_told)
		return told;
	note_death(gdb);
	return true;
}

static void tell(struct gdb *gdb)
{
	gdb->owes = false;
	gdb_tell_stop(gdb);
}

int gdb_resume(struct gdb *gdb)
{
	/* A death that came while the machine was stopped, from what a device had still to say. */
	if (gdb->machine->held.reason != VERDICT_NONE && !gdb->death_told) {
		gdb->owes = true;
		note_death(gdb);
		tell(gdb);
		return 0;
	}
	if (arm(gdb))
		return -1;
	gdb->owes = true;
	let_go(gdb);
	return 0;
}

static void send_replies(struct gdb *gdb);

static void woken(void *owner)
{
	struct gdb *gdb = owner;

	if (gdb->stopped || machine_ended(gdb->machine))
		return;
	stop(gdb);
	if (machine_ended(gdb->machine))
		return;
	/* Who is gone can't be told: a death that was held for them is the end. */
	if (!atomic_load(&gdb->machine->debugged) || (!note_reason(gdb) && arm(gdb) == 0)) {
		let_go(gdb);
		return;
	}
	tell(gdb);
	send_replies(gdb);
}

void gdb_ring(struct gdb *gdb)
{
	loop_wake_signal(&gdb->wake);
}

void gdb_detach(struct gdb *gdb)
{
	if (!gdb->stopped) {
		stop(gdb);
		(void)note_reason(gdb);
	}
	gdb->breakpoints.count = 0;
	atomic_store(&gdb->machine->debugged, false);
	memset(gdb->action, 'c', sizeof(gdb->action));
	(void)arm(gdb);
	gdb->owes = false;
	let_go(gdb);
}

/* --- the client --- */

static void leave(struct gdb *gdb)
{
	close(gdb->client.fd);
	gdb->client.fd = -1;
	gdb->client.events = 0;
	gdb->listener.events = POLLIN;
	/* A machine that waits for its first command goes on waiting. */
	if ((gdb->stopped || atomic_load(&gdb->machine->debugged)) && !gdb->waiting &&
	    !machine_ended(gdb->machine))
		gdb_detach(gdb);
	atomic_store(&gdb->machine->debugged, false);
}

/* As much as the client takes; the rest when it takes more, and until then nothing is read. */
static void send_replies(struct gdb *gdb)
{
	struct gdb_reply *reply = &gdb->reply;
	ssize_t sent;

	if (gdb->client.fd < 0)
		return;
	sent = send(gdb->client.fd, reply->text + reply->sent, reply->used - reply->sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		leave(gdb);
		return;
	}
	reply->sent += sent > 0 ? (size_t)sent : 0;
	gdb->client.events = reply->sent < reply->used ? POLLOUT : POLLIN;
}

/* Acknowledges, and answers. */
static void take_event(struct gdb *gdb, enum gdb_event event)
{
	struct gdb_reply *reply = &gdb->reply;
	const bool whole = event == GDB_PACKET || event == GDB_TOO_LONG;

	if (event == GDB_RESEND) {
		if (!gdb->no_acks)
			reply->sent = reply->start;
		return;
	}
	/* What was answered is over, and was sent. */
	if (reply->sent == reply->used)
		reply->sent = reply->used = reply->start = 0;
	if (!gdb->no_acks && (whole || event == GDB_DAMAGED))
		gdb_reply_byte(reply, whole ? '+' : '-');
	if (event == GDB_INTERRUPT && !gdb->stopped) {
		stop(gdb);
		note_stop(gdb, SIGINT);
		(void)note_reason(gdb);
		tell(gdb);
	} else if (whole) {
		/* A client that doesn't wait for its answers gets them one at a time. */
		gdb_command(gdb);
	}
}

size_t gdb_feed(struct gdb *gdb, const u8 *bytes, size_t count)
{
	size_t taken = 0;

	while (taken < count && !machine_ended(gdb->machine)) {
		const enum gdb_event event = gdb_packet_take(&gdb->packet, bytes[taken++]);

		if (event == GDB_NOTHING)
			continue;
		take_event(gdb, event);
		if (gdb->reply.sent < gdb->reply.used)
			break;
	}
	return taken;
}

/* What the client sends stays with the kernel until it is answered. Returns whether it is there. */
static bool read_packets(struct gdb *gdb)
{
	u8 bytes[TURN_BYTES];
	const ssize_t count = recv(gdb->client.fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK);

	if (count > 0)
		(void)recv(gdb->client.fd, bytes, gdb_feed(gdb, bytes, (size_t)count),
			   MSG_DONTWAIT);
	return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static void client_ready(void *owner)
{
	struct gdb *gdb = owner;

	/* A client that doesn't read is not read. */
	if (gdb->reply.sent == gdb->reply.used && !read_packets(gdb))
		leave(gdb);
	else
		send_replies(gdb);
}

static void listener_ready(void *owner)
{
	struct gdb *gdb = owner;
	const int fd = accept4(gdb->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	gdb->client.fd = fd;
	gdb->client.events = POLLIN;
	gdb->listener.events = 0;
	gdb->packet.state = GDB_BETWEEN;
	gdb->reply.used = gdb->reply.sent = gdb->reply.start = 0;
	gdb->no_acks = gdb->tells_kind = gdb->owes = false;
	atomic_store(&gdb->machine->debugged, true);
	stop(gdb);
	gdb->thread = 0;
	note_stop(gdb, SIGTRAP);
	(void)note_reason(gdb);
}

/* --- its life --- */

/* Of the directory, to remove the socket's name there when the process can open nothing any more. */
static int open_directory(struct gdb *gdb, const char *path, struct error *err)
{
	char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');

	snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path) + 1, path);
	gdb->directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	gdb->name = slash + 1;
	return gdb->directory_fd < 0 ? error_errno(err, "--gdb: cannot open '%s'", directory) : 0;
}

static int listen_at(struct gdb *gdb, const char *value, struct error *err)
{
	union gdb_address address;
	const int on = 1;
	mode_t mask;
	bool bound;
	int fd;

	if (gdb_address_parse(value, &address, err))
		return -1;
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	gdb->listener.fd = fd;
	if (fd < 0)
		return error_errno(err, "--gdb: cannot listen at '%s'", value);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	mask = umask(S_IXUSR | S_IRWXG | S_IRWXO);
	bound = bind(fd, &address.any, gdb_address_bytes(&address)) == 0;
	umask(mask);
	if (!bound || listen(fd, 1))
		return error_errno(err, "--gdb: cannot listen at '%s'", value);
	return address.any.sa_family == AF_UNIX ? open_directory(gdb, value, err) : 0;
}

int gdb_init(struct gdb *gdb, struct machine *machine, struct error *err)
{
	gdb->machine = machine;
	gdb->directory_fd = gdb->wake.source.fd = -1;
	gdb->listener = (struct loop_source){
		.fd = -1, .events = POLLIN, .ready = listener_ready, .owner = gdb};
	gdb->client = (struct loop_source){.fd = -1, .ready = client_ready, .owner = gdb};
	return loop_wake_init(&gdb->wake, &machine->loop, woken, gdb, err);
}

int gdb_open(struct machine *machine, struct error *err)
{
	const struct config *config = machine->config;
	const int modes = kvm_capability(machine->kvm_fd, KVM_CAP_SET_GUEST_DEBUG2);
	struct gdb *gdb;

	if (!config->gdb)
		return 0;
	machine->gdb = gdb = calloc(1, sizeof(*gdb));
	if (!gdb)
		return error_set(err, "no memory for --gdb");
	/* An interrupt would lead a step into its handler, where KVM can't hold it back. */
	gdb->step_extra = KVM_GUESTDBG_SINGLESTEP | ((u32)modes & KVM_GUESTDBG_BLOCKIRQ);
	if (gdb_init(gdb, machine, err) || listen_at(gdb, config->gdb, err) ||
	    loop_add(&machine->loop, &gdb->listener, err) ||
	    loop_add(&machine->loop, &gdb->client, err))
		return -1;
	gdb->waiting = gdb->stopped = config->gdb_wait;
	atomic_store(&machine->pausing, gdb->waiting);
	if (!gdb->waiting)
		return 0;
	stop_clock(gdb);
	say("the guest waits for: gdb -ex 'target remote %s%s' vmlinux",
	    strpbrk(config->gdb, ":/") ? "" : ":", config->gdb);
	return 0;
}

bool gdb_tree(const struct machine *machine, struct landlock_tree *tree)
{
	const int fd = machine->gdb ? machine->gdb->directory_fd : -1;

	*tree = (struct landlock_tree){.fd = fd, .removes = true};
	return fd >= 0;
}

void gdb_restarted(struct machine *machine)
{
	struct gdb *gdb = machine->gdb;

	if (!gdb || !atomic_load(&machine->debugged))
		return;
	/* Memory is another: what gdb set was in the old one. */
	gdb->breakpoints.count = 0;
	gdb->death_told = false;
	gdb->thread = 0;
	if (!gdb->stopped)
		stop_clock(gdb);
	gdb->stopped = true;
	atomic_store(&machine->pausing, true);
	note_stop(gdb, SIGTRAP);
	if (gdb->owes)
		tell(gdb);
	send_replies(gdb);
}

void gdb_close(struct machine *machine, int status)
{
	struct gdb *gdb = machine->gdb;
	const bool killed = machine->verdict.reason == VERDICT_SIGNAL;

	if (!gdb)
		return;
	if (gdb->owes) {
		gdb_reply_begin(&gdb->reply);
		gdb_reply_text(&gdb->reply, "%c%02x", killed ? 'X' : 'W',
			       killed ? machine->verdict.number : status);
		gdb_reply_end(&gdb->reply);
		send_replies(gdb);
	}
	if (gdb->client.fd >= 0)
		close(gdb->client.fd);
	if (gdb->listener.fd >= 0)
		close(gdb->listener.fd);
	if (gdb->directory_fd >= 0) {
		(void)unlinkat(gdb->directory_fd, gdb->name, 0);
		close(gdb->directory_fd);
	}
	loop_wake_close(&gdb->wake);
	free(gdb);
	machine->gdb = NULL;
}
