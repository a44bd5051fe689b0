# unit.mk - builds the unit tests and runs them. Included by the top Makefile, whose BUILD, LIBRARY,
# INIT_LIBRARY, WARNINGS, DEFINES, HOST_CC and QUIET it uses.
#
#	make check-unit       the tests as they are
#	make check-sanitize   the same under AddressSanitizer and UndefinedBehaviorSanitizer, and
#	                      those with threads under ThreadSanitizer too
#
# Each flavour has objects of its own, in build/unit, build/asan and build/tsan; fuzz.mk makes one
# more, build/profile. Every test_*.c here is a program; what they share is in the other files.
# cmocka (libcmocka-dev) is needed.

UNIT_DIR   := tests/unit
# What the programs share.
UNIT_SHARED := $(patsubst $(UNIT_DIR)/%.c,%,$(filter-out $(UNIT_DIR)/test_%,$(sort \
	$(wildcard $(UNIT_DIR)/*.c))))
UNIT_TESTS := $(patsubst $(UNIT_DIR)/%.c,%,$(sort $(wildcard $(UNIT_DIR)/test_*.c)))
# The programs with threads.
UNIT_THREADED := test_block test_block_life test_console test_fs test_fuse_threads test_io test_limit test_loop test_net test_net_control \
	test_net_life test_net_tap test_rng test_serial \
	test_vconsole test_vconsole_life test_vconsole_messages \
	test_virtio_life test_virtio_pci_threads test_virtio_worker test_virtq_ring

UNIT_CFLAGS = -std=c17 $(WARNINGS) -O1 -g -fno-omit-frame-pointer $(DEFINES) -I. -pthread
UNIT_ASAN   := -fsanitize=address,undefined -fno-sanitize-recover=all
# It warns that it doesn't know fences; what it is told of atomic reads and writes is enough here.
UNIT_TSAN   := -fsanitize=thread -Wno-tsan

UNIT_TIMEOUT_S := 120

# $(1): the flavour, $(2): its flags, $(3): its tests, $(4): its compiler.
define unit_flavour
UNIT_OBJECTS_$(1) := $(patsubst %.c,$(BUILD)/$(1)/%.o,$(LIBRARY) $(INIT_LIBRARY))
UNIT_PROGRAMS_$(1) := $(3:%=$(BUILD)/$(1)/%)

.SECONDARY: $(3:%=$(BUILD)/$(1)/$(UNIT_DIR)/%.o)

$(BUILD)/$(1)/%.o: %.c $(BUILD)/$(1)/flags
	@mkdir -p $$(@D)
	$$(QUIET)$(4) $$(UNIT_CFLAGS) $(2) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/library.a: $$(UNIT_OBJECTS_$(1)) $(UNIT_SHARED:%=$(BUILD)/$(1)/$(UNIT_DIR)/%.o)
	$$(QUIET)rm -f $$@ && $$(AR) rcs $$@ $$^

$$(UNIT_PROGRAMS_$(1)): $(BUILD)/$(1)/%: $(BUILD)/$(1)/$(UNIT_DIR)/%.o $(BUILD)/$(1)/library.a
	$$(QUIET)$(4) $(2) -pthread $$^ -lcmocka -o $$@

# Objects of another compiler or other flags are made anew.
$(BUILD)/$(1)/flags: FORCE
	@mkdir -p $$(@D)
	@echo '$(4) $$(subst ','\'',$$(UNIT_CFLAGS)) $(2)' | cmp -s - $$@ || \
		echo '$(4) $$(subst ','\'',$$(UNIT_CFLAGS)) $(2)' >$$@

-include $$(UNIT_OBJECTS_$(1):.o=.d) $(UNIT_SHARED:%=$(BUILD)/$(1)/$(UNIT_DIR)/%.d)
-include $(3:%=$(BUILD)/$(1)/$(UNIT_DIR)/%.d)
endef

$(eval $(call unit_flavour,unit,,$(UNIT_TESTS),$(HOST_CC)))
$(eval $(call unit_flavour,asan,$(UNIT_ASAN),$(UNIT_TESTS),$(HOST_CC)))
$(eval $(call unit_flavour,tsan,$(UNIT_TSAN),$(UNIT_THREADED),$(HOST_CC)))

.PHONY: check-unit
check-unit: $(UNIT_PROGRAMS_unit)
	@$(UNIT_DIR)/run $(UNIT_TIMEOUT_S) $(UNIT_PROGRAMS_unit)

.PHONY: check-sanitize
check-sanitize: $(UNIT_PROGRAMS_asan) $(UNIT_PROGRAMS_tsan)
	@$(UNIT_DIR)/run $(UNIT_TIMEOUT_S) $(UNIT_PROGRAMS_asan) $(UNIT_PROGRAMS_tsan)
