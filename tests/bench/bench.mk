# bench.mk - the benchmarks. Included by the top Makefile, whose BUILD and QUIET it uses.
#
#	make bench          all rows: tiny guests here, stock kernels where they can run
#	make bench-quick    the rows with tiny guests only: seconds
#
# RUNS=N takes N runs of each contender, K=WORD only the rows with WORD in their name; COUNT=1 takes the
# rows with stock kernels in the emulated host with a clock that counts instructions. The table
# goes to standard output, every sample to bench.json, their bars and curves to bench.html;
# tools/bench-diff compares two such files. tests/bench/bench.py says what is measured how.

BENCH_DIR    := tests/bench
BENCH_INITRD := $(BUILD)/bench/initrd.img
BENCH_CEILING := $(BUILD)/bench/block_ceiling $(BUILD)/bench/net_ceiling
BENCH_BARE   := $(BUILD)/bench/bare_machine
BENCH_DISK   := $(BUILD)/bench/disk.img
BENCH_NET    := $(BUILD)/bench/net.img
BENCH_STREAM := $(BUILD)/bench/stream.img
BENCH_SHARE  := $(BUILD)/bench/share.img
BENCH_ARGS    = $(if $(RUNS),--runs $(RUNS)) $(if $(K),-k '$(K)') $(if $(COUNT),--count) --build $(BUILD) ./bantam

.PHONY: bench bench-quick bench-kernels
bench: bantam guests bench-kernels $(BENCH_INITRD) $(BENCH_DISK) $(BENCH_NET) \
		$(BENCH_STREAM) $(BENCH_SHARE) $(BENCH_CEILING) $(BENCH_BARE)
	$(QUIET)$(BENCH_DIR)/bench.py $(BENCH_ARGS)

bench-quick: bantam guests $(BENCH_CEILING) $(BENCH_BARE)
	$(QUIET)$(BENCH_DIR)/bench.py --only native $(BENCH_ARGS)

# Without kernels the other rows are still worth having; the rows that miss them say so.
bench-kernels:
	$(QUIET)tools/kernels cloud generic || \
		echo 'bench: no stock kernel: rows that need one are not taken' >&2

$(BENCH_INITRD): tests/system/initrd/build tests/system/initrd/init
	$(QUIET)tests/system/initrd/build $@

# The devices without a machine: the program's own objects, with a main() of the bench's.
$(BENCH_CEILING): $(BUILD)/bench/%: $(BENCH_DIR)/%.c $(BENCH_DIR)/ceiling.c \
		$(BENCH_DIR)/ceiling.h $(OBJECTS)
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(ALL_CFLAGS) $(filter %.c,$^) $(filter-out %/vmm/main.o,$(OBJECTS)) \
		$(ALL_LDFLAGS) -o $@

# A virtual machine and nothing else: the floor of the rows with many machines.
$(BENCH_BARE): $(BENCH_DIR)/bare_machine.c
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(ALL_CFLAGS) $< $(ALL_LDFLAGS) -o $@

# The guest of the disk rows: one program, and the drivers that the kernel has as modules.
$(BUILD)/bench/disk_guest: $(BENCH_DIR)/disk_guest.c
	@mkdir -p $(@D)
	$(QUIET)$(CC) -std=gnu17 -Wall -Wextra -Os -static $(DEFINES) \
		$(if $(findstring musl,$(CC)),$(KERNEL_HEADERS)) \
		$< -o $@

$(BENCH_DISK): $(BUILD)/bench/disk_guest | bench-kernels
	$(QUIET)rm -rf $(@D)/disk && mkdir -p $(@D)/disk/modules && cp $< $(@D)/disk/init
	$(QUIET)[ ! -d $(BUILD)/kernels/cloud ] || tools/kernels --modules \
		$(BUILD)/kernels/cloud/modules $(@D)/disk/modules virtio_pci virtio_mmio virtio_blk
	$(QUIET)cd $(@D)/disk && find . | sort | cpio --quiet -o -H newc -R 0:0 --reproducible | \
		gzip -n -1 >../disk.img.new && mv ../disk.img.new ../disk.img

# The guest of the network rows: the tests' own, with iperf3 where there is one.
$(BENCH_NET): $(BENCH_DIR)/net_guest tests/system/initrd/build tests/system/initrd/init \
		| bench-kernels
	$(QUIET)tests/system/initrd/build --script $< \
		$(if $(shell command -v iperf3),--program iperf3) $@ \
		$(wildcard $(BUILD)/kernels/cloud/modules)

# The guest of the stream row, and the modules that bantam gives to a guest with COMMAND: as a
# distribution's directory has them.
$(BENCH_STREAM): $(BENCH_DIR)/stream_guest tests/system/initrd/build tests/system/initrd/init \
		| bench-kernels
	$(QUIET)tests/system/initrd/build --script $< $@ $(wildcard $(BUILD)/kernels/cloud/modules)
	$(QUIET)rm -rf $(@D)/modules && mkdir -p $(@D)/modules/kernel
	$(QUIET)[ ! -d $(BUILD)/kernels/cloud ] || tools/kernels --modules \
		$(BUILD)/kernels/cloud/modules $(@D)/modules/kernel virtio_pci virtio_console

# The guest of the rows with a shared directory: the kernel for all machines, which has 9p as well.
$(BENCH_SHARE): $(BENCH_DIR)/share_guest tests/system/initrd/build tests/system/initrd/init \
		| bench-kernels
	$(QUIET)tests/system/initrd/build --script $< \
		$(if $(shell command -v git),--program git) $@ \
		$(wildcard $(BUILD)/kernels/generic/modules)
	$(QUIET)rm -rf $(@D)/share-modules && mkdir -p $(@D)/share-modules/kernel
	$(QUIET)[ ! -d $(BUILD)/kernels/generic ] || tools/kernels --modules \
		$(BUILD)/kernels/generic/modules $(@D)/share-modules/kernel \
		virtio_pci virtio_console virtiofs
