# guests.mk - builds the bare-metal test guests into $(BUILD)/guests. Included by the top Makefile,
# which may have set BUILD, CC and QUIET (@ hides the commands). `make guests` builds all of them.
#
# A guest is hello.S (all by itself) or NAME.c with the library in lib/. memmap-linux is linked
# without lib/note.S: it has no PVH entry on purpose. Guests with a driver in them get the drivers'
# part of the library, too.

BUILD ?= build
GUEST_CC ?= $(CC)

GUEST_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
GUEST_OUT := $(BUILD)/guests

GUESTS := hello $(sort $(patsubst $(GUEST_DIR)/%.c,%,$(wildcard $(GUEST_DIR)/*.c)))
GUEST_ELFS := $(GUESTS:%=$(GUEST_OUT)/%.elf)

# No library, no stack protector (it reads fs), no red zone (an interrupt writes there), general
# registers only (no FPU state is set up, and handlers need not save any). Clang warns of handlers
# that call functions because of that state; gcc doesn't know the warning and takes its "no" in
# silence.
GUEST_CFLAGS := -std=gnu17 -ffreestanding -fno-pie -mno-red-zone -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -mgeneral-regs-only -O2 \
	-Wall -Wextra -Werror -Wno-interrupt-service-routine
GUEST_LDFLAGS := -nostdlib -static -Wl,-T,$(GUEST_DIR)/lib/guest.lds -Wl,--build-id=sha1 \
	-Wl,-z,noexecstack

GUEST_LIB := $(patsubst %,$(GUEST_OUT)/lib/%.o,start trap lib boot paging acpi irq)
GUEST_DRIVERS := $(patsubst %,$(GUEST_OUT)/lib/%.o,pci virtio virtq blk net hostile misuse peer)
GUEST_NOTE := $(GUEST_OUT)/lib/note.o

DRIVER_GUESTS := pci disk latency rng race loud echo-net play-init $(filter hostile-%,$(GUESTS))

.PHONY: guests
guests: $(GUEST_ELFS)

# Kept after linking, so that a second make has nothing to do.
.SECONDARY: $(GUESTS:%=$(GUEST_OUT)/%.o) $(GUEST_LIB) $(GUEST_DRIVERS) $(GUEST_NOTE)

$(GUEST_OUT)/%.o: $(GUEST_DIR)/%.c
	@mkdir -p $(@D)
	$(QUIET)$(GUEST_CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(GUEST_OUT)/%.o: $(GUEST_DIR)/%.S
	@mkdir -p $(@D)
	$(QUIET)$(GUEST_CC) -MMD -MP -c -o $@ $<

$(GUEST_OUT)/hello.elf: $(GUEST_OUT)/hello.o
$(GUEST_OUT)/memmap-linux.elf: $(GUEST_OUT)/memmap-linux.o $(GUEST_LIB)
$(filter-out %/hello.elf %/memmap-linux.elf,$(GUEST_ELFS)): $(GUEST_OUT)/%.elf: \
	$(GUEST_OUT)/%.o $(GUEST_LIB) $(GUEST_NOTE)
$(DRIVER_GUESTS:%=$(GUEST_OUT)/%.elf): $(GUEST_DRIVERS)

$(GUEST_ELFS): $(GUEST_DIR)/lib/guest.lds
	$(QUIET)$(GUEST_CC) $(GUEST_LDFLAGS) -o $@ $(filter %.o,$^)

-include $(wildcard $(GUEST_OUT)/*.d $(GUEST_OUT)/lib/*.d)
