# init.mk - builds the guest's init, $(BUILD)/init/init, which boot/init/program.c puts into the
# program. Included by the top Makefile, whose BUILD, WARNINGS, GUEST_CC and QUIET it uses.
#
# A static program without a C library: its code is small and starts at a fixed address. No stack
# protector (nobody sets up its segment), and no checks of the library's that headers might add.

INIT_DIR := boot/init
INIT_OUT := $(BUILD)/init
INIT_ELF := $(INIT_OUT)/init

INIT_CFLAGS := -std=c17 $(WARNINGS) -Os -I. -ffreestanding -fno-pie -fno-stack-protector \
	-U_FORTIFY_SOURCE -fcf-protection=none -fno-asynchronous-unwind-tables \
	-ffunction-sections -fdata-sections
INIT_LDFLAGS := -nostdlib -static -Wl,--gc-sections -Wl,-z,noexecstack \
	-Wl,-z,noseparate-code -Wl,--build-id=none -s

# program.c is the embedding program's; the unit tests have a C library and a start of their own.
INIT_SOURCES := $(filter-out $(INIT_DIR)/program.c,$(sort $(wildcard $(INIT_DIR)/*.c)))
INIT_LIBRARY := $(filter-out %/init.c %/string.c,$(INIT_SOURCES))
INIT_OBJECTS := $(INIT_SOURCES:$(INIT_DIR)/%.c=$(INIT_OUT)/%.o) $(INIT_OUT)/x86/start.o

$(INIT_OUT)/%.o: $(INIT_DIR)/%.c $(INIT_OUT)/flags
	@mkdir -p $(@D)
	$(QUIET)$(GUEST_CC) $(INIT_CFLAGS) -MMD -MP -c $< -o $@

$(INIT_OUT)/%.o: $(INIT_DIR)/%.S $(INIT_OUT)/flags
	@mkdir -p $(@D)
	$(QUIET)$(GUEST_CC) -c $< -o $@

$(INIT_ELF): $(INIT_OBJECTS)
	$(QUIET)$(GUEST_CC) $(INIT_LDFLAGS) $^ -o $@

# Objects of another compiler or other flags are made anew.
$(INIT_OUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(GUEST_CC) $(INIT_CFLAGS) $(INIT_LDFLAGS)' | cmp -s - $@ || \
		echo '$(GUEST_CC) $(INIT_CFLAGS) $(INIT_LDFLAGS)' >$@

-include $(wildcard $(INIT_OUT)/*.d)

# program.c names a file that the compiler doesn't know of.
$(patsubst %,$(BUILD)/%/$(INIT_DIR)/program.o,obj unit asan tsan profile): $(INIT_ELF)
