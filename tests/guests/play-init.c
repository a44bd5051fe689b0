/*
 * play-init - takes the part of bantam's init (boot/init/protocol.h) at the ports of a virtio console
 * (virtio 1.2, 5.3), and says what the command line tells it to say, the truth or not.
 *
 * The word play=STEP;STEP;… has the steps. In texts '_' is a space:
 *
 *	cTEXT	a line on bantam.control		oTEXT	bytes on bantam.stdio
 *	C	waits for a line from the host there,	eTEXT	bytes on bantam.stderr
 *		and prints it by the serial port	i	waits for input, and sends it back
 *	n	no newline behind the next line		xN	the next step N times
 *	p	powers off				r	resets the machine
 *
 * Then it waits for its end. mmio: the other transport.
 */
#include "lib/virtio.h"

/* Queues, 5.3.2: a port's, and the messages'. Of a port the second one is from the guest. */
enum { CONTROL_IN = 2, CONTROL_OUT = 3, PORTS = 3, QUEUES = 10 };
enum { DEVICE_READY = 0, PORT_ADD = 1, PORT_READY = 3, PORT_OPEN = 6, PORT_NAME = 7 }; /* 5.3.6.2 */

#define F_MULTIPORT (1ull << 1)

struct message {
	u32 id;
	u16 event, value;
};

static struct virtio v;
static u8 received[4096];

static const char *const names[PORTS] = {"bantam.stdio", "bantam.stderr", "bantam.control"};
static u16 first_queue[PORTS]; /* of the port with that name */

/* One chain of one buffer: offers it and waits. Returns the length that the device wrote. */
static u32 pass(u16 queue, const void *bytes, u32 count, u32 flags)
{
	u32 id, length;

	v.queue[queue].desc[0] = (struct virtq_desc){(u64)bytes, count, (u16)flags, 0};
	virtq_offer(&v.queue[queue], 0);
	virtio_notify(&v, queue);
	virtq_wait(&v.queue[queue], &id, &length);
	return length;
}

static void tell(u32 id, u16 event)
{
	const struct message message = {id, event, 1};

	pass(CONTROL_OUT, &message, sizeof(message), 0);
}

/* Says that it is there, and opens each port that it is told of, until all three are known. */
static void open_ports(void)
{
	u32 known = 0;

	tell(0, DEVICE_READY);
	while (known < PORTS) {
		const u32 length = pass(CONTROL_IN, received, sizeof(received), DESC_WRITE);
		const struct message *message = (const void *)received;
		const u32 text = sizeof(*message);

		if (message->event == PORT_ADD)
			tell(message->id, PORT_READY);
		for (u32 i = 0; message->event == PORT_NAME && i < PORTS; i++) {
			if (length - text != strlen(names[i]) ||
			    memcmp(received + text, names[i], length - text) != 0)
				continue;
			first_queue[i] = (u16)(2 * message->id + 2);
			tell(message->id, PORT_OPEN);
			known++;
		}
	}
}

static void say(u32 port, const char *text, u32 length)
{
	static char bytes[2048];

	for (u32 i = 0; i < length && i < sizeof(bytes); i++)
		bytes[i] = text[i] == '_' ? ' ' : text[i];
	pass((u16)(first_queue[port] + 1), bytes, length, 0);
}

static u32 hear(u32 port)
{
	return pass(first_queue[port], received, sizeof(received) - 1, DESC_WRITE);
}

/* The end of the step: a ';', or of the word. */
static u32 length_of(const char *step)
{
	u32 length = 0;

	while (step[length] && step[length] != ';' && step[length] != ' ')
		length++;
	return length;
}

static bool newline = true;

static void play(const char *step, u32 length)
{
	const u32 stdio = 0, stderr = 1, control = 2;
	u32 count;

	switch (step[0]) {
	case 'c':
		say(control, step + 1, length - 1);
		if (newline)
			say(control, "\n", 1);
		newline = true;
		break;
	case 'n':
		newline = false;
		break;
	case 'o':
		say(stdio, step + 1, length - 1);
		break;
	case 'e':
		say(stderr, step + 1, length - 1);
		break;
	case 'i':
		count = hear(stdio);
		pass((u16)(first_queue[stdio] + 1), received, count, 0);
		break;
	case 'C':
		received[hear(control)] = '\0';
		print("host: %s", (const char *)received);
		break;
	case 'p':
		power_off();
	case 'r':
		reset();
	default:
		print("WRONG: no step %c\n", step[0]);
	}
}

static void play_all(const char *step)
{
	u32 times = 1;

	while (*step && *step != ' ') {
		const u32 length = length_of(step);

		if (step[0] == 'x') {
			times = 0;
			for (u32 i = 1; i < length; i++)
				times = 10 * times + (u32)(step[i] - '0');
		} else {
			for (; times; times--)
				play(step, length);
			times = 1;
		}
		step += length + (step[length] == ';');
	}
}

void guest_main(void)
{
	const char *script = boot.cmdline;

	while (*script && memcmp(script, "play=", 5) != 0)
		script++;
	if (!virtio_find(&v, VIRTIO_CONSOLE, 0,
			 cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI)) {
		print("no console\n");
		return;
	}
	v.queues = QUEUES;
	if (!virtio_start(&v, F_MULTIPORT, VIRTIO_POLL) || !(v.features & F_MULTIPORT)) {
		print("WRONG: the device does not agree to its features\n");
		return;
	}
	open_ports();
	if (*script)
		play_all(script + 5);
	for (;;)
		pause();
}
