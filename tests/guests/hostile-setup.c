/*
 * hostile-setup - a driver that starts its device in wrong ways: status bits, features and queues
 * against virtio 1.2, 2.1, 2.2, 3.1 and 4.1.4.3.2; notifications and resets in masses, and a reset
 * while requests are under way.
 *
 * storm=N on the command line: how many notifications (20000).
 */
#include "lib/hostile.h"

#define FEATURES (FEATURE_VERSION_1 | FEATURE_INDIRECT)
#define ALL_OK   (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK)

#define LONG_SECTORS 1024
#define MARK         0x33
#define MARK_STEP    4096

static u32 long_data[RING_SIZE / 4][LONG_SECTORS * SECTOR / 4];

/* ---- features, 2.2, 3.1.1 ---- */

static void features(u64 bits, bool acceptable)
{
	if (virtio_negotiate(&disk, bits) != acceptable)
		print("WRONG: features %lx are %s ", bits, acceptable ? "refused" : "agreed to");
}

static void no_features(void)
{
	features(0, false);
}

static void legacy_features(void)
{
	features(FEATURE_INDIRECT, false);
}

static void features_not_offered(void)
{
	const u64 offered = virtio_device_features(&disk);

	for (unsigned bit = 0; bit < 64; bit++)
		if (!(offered >> bit & 1))
			features(FEATURE_VERSION_1 | 1ull << bit, false);
}

static void all_features(void)
{
	features(~0ull, false);
}

static void features_afterwards(void)
{
	features(FEATURES, true);
	virtio_write(&disk, REG_DRIVER_FEATURES_SELECT, 1);
	virtio_write(&disk, REG_DRIVER_FEATURES, ~0u);
	virtq_describe(&disk, 0);
	virtq_enable(&disk, 0);
	virtio_driver_ok(&disk);
}

static void features_selected_nowhere(void)
{
	static const u32 select[] = {2, 3, 31, 32, 64, 0x80000000, 0xffffffff};

	for (unsigned i = 0; i < COUNT(select); i++) {
		virtio_write(&disk, REG_DEVICE_FEATURES_SELECT, select[i]);
		if (virtio_read(&disk, REG_DEVICE_FEATURES))
			print("WRONG: features at %x ", select[i]);
		virtio_write(&disk, REG_DRIVER_FEATURES_SELECT, select[i]);
		virtio_write(&disk, REG_DRIVER_FEATURES, ~0u);
	}
}

/* ---- status, 2.1 ---- */

static void ok_without_features_ok(void)
{
	virtio_reset(&disk);
	virtq_describe(&disk, 0);
	virtq_enable(&disk, 0);
	virtio_write(&disk, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

static void ok_at_once(void)
{
	virtio_reset(&disk);
	virtio_write(&disk, REG_STATUS, ALL_OK);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

static void ok_without_queues(void)
{
	features(FEATURES, true);
	virtio_driver_ok(&disk);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

static void ok_twice(void)
{
	virtio_driver_ok(&disk);
	virtio_driver_ok(&disk);
}

static void bits_cleared(void)
{
	virtio_write(&disk, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	virtio_write(&disk, REG_STATUS, STATUS_DRIVER);
	virtio_notify(&disk, 0);
	virtio_write(&disk, REG_STATUS, ALL_OK);
	virtio_reset(&disk);
}

static void every_status(void)
{
	for (u32 i = 0; i < 256; i++) {
		virtio_write(&disk, REG_STATUS, i);
		virtio_read(&disk, REG_STATUS);
	}
	virtio_reset(&disk);
	if (virtio_read(&disk, REG_STATUS))
		print("WRONG: a reset leaves status %x ", virtio_read(&disk, REG_STATUS));
}

static void needs_reset_by_driver(void) /* it is the device's bit */
{
	virtio_write(&disk, REG_STATUS, ALL_OK | STATUS_NEEDS_RESET);
	if (virtio_read(&disk, REG_STATUS) & STATUS_NEEDS_RESET)
		print("taken ");
}

static void failed(void)
{
	virtio_write(&disk, REG_STATUS, ALL_OK | STATUS_FAILED);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

/* ---- queues that are wrong from the start, 4.1.4.3.2 ---- */

/* The start as it should be, but for what `spoil` does before the queue is enabled. */
static void start_with(enum virtio_register reg, u64 address)
{
	features(FEATURES, true);
	virtq_describe(&disk, 0);
	virtio_write_address(&disk, reg, address);
	virtq_enable(&disk, 0);
	virtio_driver_ok(&disk);
	prepare_read();
}

static void wrong_place(enum virtio_register reg, u64 right)
{
	const u64 wrong[] = {
		HOLE,           ram_end - 16,    ram_end,     right | 1ull << 63,
		~0ull & ~15ull, 0x7000000000ull, MSI_ADDRESS, disk.common.base & ~15ull};

	for (unsigned i = 0; i < COUNT(wrong); i++) {
		struct outcome outcome;

		if (wrong[i] < 0x100000) /* a device in I/O ports: that is RAM */
			continue;
		start_with(reg, wrong[i]);
		outcome = offer(0);
		if (!outcome.broken)
			print("WRONG: at %lx ", wrong[i]);
	}
}

static void descriptors_outside(void)
{
	wrong_place(REG_QUEUE_DESC, (u64)disk.queue[0].desc);
}

static void available_outside(void)
{
	wrong_place(REG_QUEUE_AVAIL, (u64)&disk.queue[0].avail);
}

static void used_outside(void)
{
	wrong_place(REG_QUEUE_USED, (u64)&disk.queue[0].used);
}

/* Whoever rounds the address down serves it; whoever doesn't, refuses. Both go on. */
static void not_aligned(void)
{
	start_with(REG_QUEUE_DESC, (u64)disk.queue[0].desc + 1);
	virtio_notify(&disk, 0);
	start_with(REG_QUEUE_AVAIL, (u64)&disk.queue[0].avail + 1);
	virtio_notify(&disk, 0);
	start_with(REG_QUEUE_USED, (u64)&disk.queue[0].used + 1);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

static void all_at_one_place(void)
{
	start_with(REG_QUEUE_AVAIL, (u64)disk.queue[0].desc);
	virtio_notify(&disk, 0);
	start_with(REG_QUEUE_USED, (u64)disk.queue[0].desc);
	virtq_offer(&disk.queue[0], 0);
	virtio_notify(&disk, 0);
	start_with(REG_QUEUE_USED, (u64)&disk.queue[0].avail);
	virtq_offer(&disk.queue[0], 0);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

static void never_described(void)
{
	features(FEATURES, true);
	virtq_enable(&disk, 0);
	virtio_driver_ok(&disk);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

static void odd_sizes(void)
{
	static const u16 sizes[] = {0, 3, 31, 33, 1025, 4096, 0x8000, 0xffff};

	for (unsigned i = 0; i < COUNT(sizes); i++) {
		struct outcome outcome;
		u32 size;

		features(FEATURES, true);
		virtq_describe(&disk, 0);
		virtio_write(&disk, REG_QUEUE_SIZE, sizes[i]);
		size = virtio_read(&disk, REG_QUEUE_SIZE_MAX);
		if (disk.bus == VIRTIO_ON_PCI && (size == 0 || size & (size - 1)))
			print("WRONG: size %u stays %u ", sizes[i], size);
		virtq_enable(&disk, 0);
		virtio_driver_ok(&disk);
		prepare_read();
		outcome = offer(0); /* the first entries lie at the same places for every size */
		print("%u: %s ", sizes[i], outcome.broken ? "needs reset" : "answered");
	}
}

static void size_1(void)
{
	struct outcome outcome;

	features(FEATURES, true);
	virtq_describe(&disk, 0);
	disk.queue[0].size = 1;
	virtio_write(&disk, REG_QUEUE_SIZE, 1);
	virtq_enable(&disk, 0);
	virtio_driver_ok(&disk);
	for (unsigned i = 0; i < 3; i++) { /* one descriptor: the chain must be in a table */
		prepare_read();
		memcpy(request.indirect, disk.queue[0].desc, 3 * sizeof(struct virtq_desc));
		set_desc(0, (u64)request.indirect, 48, DESC_INDIRECT, 0);
		outcome = offer(0);
		judge(SERVED, &outcome);
		print(" ");
	}
	virtio_reset(&disk);
}

static void change_queue(u64 address)
{
	virtio_write(&disk, REG_QUEUE_SELECT, 0);
	virtio_write(&disk, REG_QUEUE_SIZE, 4);
	virtio_write_address(&disk, REG_QUEUE_DESC, address);
	virtio_write_address(&disk, REG_QUEUE_AVAIL, address);
	virtio_write_address(&disk, REG_QUEUE_USED, address);
}

static void changed_after_enable(void)
{
	features(FEATURES, true);
	virtq_describe(&disk, 0);
	virtq_enable(&disk, 0);
	change_queue(HOLE);
	virtio_driver_ok(&disk);
}

static void changed_while_running(void)
{
	change_queue(HOLE);
	virtq_enable(&disk, 0);
}

static void disabled_while_running(void) /* 4.1.4.3.2: "MUST NOT write a 0 to queue_enable" */
{
	virtio_write(&disk, REG_QUEUE_SELECT, 0);
	virtio_write(&disk, REG_QUEUE_ENABLE, 0);
	virtio_notify(&disk, 0);
	virtio_reset(&disk);
}

static void queues_that_are_not(void)
{
	static const u16 select[] = {16, 17, 63, 255, 256, 0x7fff, 0x8000, 0xffff};

	features(FEATURES, true);
	for (unsigned i = 0; i < COUNT(select); i++) {
		virtio_write(&disk, REG_QUEUE_SELECT, select[i]);
		if (virtio_read(&disk, REG_QUEUE_SIZE_MAX))
			print("WRONG: queue %u has a size ", select[i]);
		virtio_write(&disk, REG_QUEUE_SIZE, 8);
		virtio_write_address(&disk, REG_QUEUE_DESC, 0x1000);
		virtio_write(&disk, REG_QUEUE_ENABLE, 1);
	}
	virtio_driver_ok(&disk);
	virtio_reset(&disk);
}

/* ---- notifications, 4.1.5.2 ---- */

static void notify_by(u32 value, unsigned width)
{
	for (unsigned i = 0; i < disk.notify_areas; i++)
		area_write(&disk.notify[i].area, 0, width, value);
}

static void notify_nowhere(void)
{
	static const u32 queues[] = {1, 2, 15, 16, 255, 256, 0x7fff, 0xffff, 0x10000, 0xffffffff};

	for (unsigned i = 0; i < COUNT(queues); i++)
		for (unsigned width = 1; width <= 4; width *= 2)
			notify_by(queues[i], width);
}

static void notify_too_early(void)
{
	features(FEATURES, true);
	notify_by(0, 2);
	virtq_describe(&disk, 0);
	notify_by(0, 2);
	virtq_enable(&disk, 0);
	notify_by(0, 4);
}

static void notify_storm(void)
{
	const u64 storm = cmdline_number("storm", 20000);

	for (u64 i = 0; i < storm; i++)
		virtio_notify(&disk, 0);
}

/* ---- resets ---- */

static void reset_storm(void)
{
	for (unsigned i = 0; i < 1000; i++)
		virtio_write(&disk, REG_STATUS, 0);
	virtio_reset(&disk);
}

static void start_storm(void)
{
	for (unsigned i = 0; i < 100; i++) {
		restart();
		if (!good_service()) {
			print("WRONG: start %u ", i);
			break;
		}
	}
}

/* Everything else at the registers while a reset may be under way. */
static void busy_reset(void)
{
	for (unsigned i = 0; i < 100; i++) {
		virtio_notify(&disk, 0);
		virtio_write(&disk, REG_STATUS, 0);
		virtio_write(&disk, REG_QUEUE_SELECT, 0);
		virtio_write(&disk, REG_QUEUE_ENABLE, 1);
		virtio_write(&disk, REG_STATUS, ALL_OK);
		virtio_notify(&disk, 0);
		virtio_write(&disk, REG_STATUS, 0);
		restart();
	}
}

/*
 * Once the status reads 0 the device has let go of our memory (2.1.2, 2.4.1): what we then write to
 * the buffers of requests that were under way must stay.
 */
static void reset_under_way(void)
{
	const u16 chains = RING_SIZE / 4;
	volatile u8 *bytes = (volatile u8 *)long_data;
	unsigned dirty = 0;

	for (unsigned round = 0; round < 30; round++) {
		restart();
		prepare_read();
		for (u16 i = 0; i < chains; i++) {
			set_desc((u16)(3 * i), (u64)&request.header, sizeof(request.header),
				 DESC_NEXT, (u16)(3 * i + 1));
			set_desc((u16)(3 * i + 1), (u64)long_data[i], sizeof(long_data[i]),
				 DESC_NEXT | DESC_WRITE, (u16)(3 * i + 2));
			set_desc((u16)(3 * i + 2), (u64)&request.status, 1, DESC_WRITE, 0);
			virtq_offer(&disk.queue[0], (u16)(3 * i));
		}
		virtio_notify(&disk, 0);
		for (unsigned i = 0; i < round * 100; i++)
			pause();
		virtio_reset(&disk);
		/* From the end, towards who may still be filling it; the image has zeros there. */
		for (u32 i = sizeof(long_data); i; i -= MARK_STEP)
			bytes[i - MARK_STEP] = MARK;
		memset(&disk.queue[0].used, MARK, sizeof(disk.queue[0].used));
		for (unsigned i = 0; i < 2000; i++)
			pause();
		for (u32 i = 0; i < sizeof(long_data); i += MARK_STEP)
			dirty += bytes[i] != MARK;
		for (u32 i = 0; i < sizeof(disk.queue[0].used); i++)
			dirty += ((volatile u8 *)&disk.queue[0].used)[i] != MARK;
	}
	if (dirty)
		print("WRONG: written to after the reset ");
}

/* ---- the reason for interrupts, 4.1.4.5 and 4.2.2 ---- */

static void interrupt_reason(void)
{
	restart();
	want_interrupt();
	if (!good_service())
		print("WRONG: no service ");
	/* A little after the answer; no reason is ever seen twice. */
	while (!virtio_take_reason(&disk))
		pause();
	for (unsigned i = 0; i < 10; i++)
		if (virtio_take_reason(&disk))
			print("WRONG: the reason stays ");
	head = disk.queue[0].size; /* which breaks the device */
	virtq_offer(&disk.queue[0], head);
	virtio_notify(&disk, 0);
	while (!(virtio_read(&disk, REG_STATUS) & STATUS_NEEDS_RESET))
		pause();
	while (virtio_take_reason(&disk) != ISR_CONFIG) /* 2.1.2: it tells the driver */
		pause();
}

/* ---- device configuration, 2.5 ---- */

static void config_everywhere(void)
{
	const u32 generation = virtio_read(&disk, REG_GENERATION);

	for (u64 at = 0; at + 4 <= disk.config.length; at++)
		for (unsigned width = 1; width <= 4; width *= 2) {
			area_read(&disk.config, at, width);
			area_write(&disk.config, at, width, 0xa5a5a5a5);
		}
	if (virtio_read(&disk, REG_GENERATION) != generation)
		print("the generation went on ");
	if (virtio_config64(&disk, BLK_CONFIG_CAPACITY) != capacity)
		print("WRONG: the capacity is another ");
}

static const struct hostile_case cases[] = {
	{"no features", SELF, no_features},
	{"features without VERSION_1", SELF, legacy_features},
	{"features that are not offered", SELF, features_not_offered},
	{"all features", SELF, all_features},
	{"features after FEATURES_OK", SELF, features_afterwards},
	{"features selected nowhere", SELF, features_selected_nowhere},
	{"DRIVER_OK without FEATURES_OK", SELF, ok_without_features_ok},
	{"DRIVER_OK at once", SELF, ok_at_once},
	{"DRIVER_OK without queues", SELF, ok_without_queues},
	{"DRIVER_OK twice", SELF, ok_twice},
	{"status bits cleared", SELF, bits_cleared},
	{"every status", SELF, every_status},
	{"NEEDS_RESET by the driver", SELF, needs_reset_by_driver},
	{"FAILED", SELF, failed},
	{"descriptors outside RAM", SELF, descriptors_outside},
	{"available ring outside RAM", SELF, available_outside},
	{"used ring outside RAM", SELF, used_outside},
	{"rings not aligned", SELF, not_aligned},
	{"all rings at one place", SELF, all_at_one_place},
	{"a queue never described", SELF, never_described},
	{"odd queue sizes", SELF, odd_sizes},
	{"queue size 1", SELF, size_1},
	{"queue changed after enable", SELF, changed_after_enable},
	{"queue changed while running", SELF, changed_while_running},
	{"queue disabled while running", SELF, disabled_while_running},
	{"queues that are not", SELF, queues_that_are_not},
	{"notify nowhere", SELF, notify_nowhere},
	{"notify too early", SELF, notify_too_early},
	{"notify storm", SELF, notify_storm},
	{"reset storm", SELF, reset_storm},
	{"start storm", SELF, start_storm},
	{"registers during reset", SELF, busy_reset},
	{"reset with requests under way", SELF, reset_under_way},
	{"reason for interrupts", SELF, interrupt_reason},
	{"configuration everywhere", SELF, config_everywhere},
};

void guest_main(void)
{
	hostile_run("hostile-setup", cases, COUNT(cases));
}
