# system.mk - tests of the whole program, built with sanitizers. Included by the top Makefile behind
# tests/unit/unit.mk, whose flavours' objects and flags it uses.
#
#	make check-guests-asan   the bare-metal guests with a bantam with AddressSanitizer and UBSan
#	make check-guests-tsan   the same with ThreadSanitizer
#	make check-system-asan   disks, networks, commands and directories of the host's, with stock
#	                         kernels; in the emulated host, where the local KVM can't run them
#	make check-system-tsan   the same with ThreadSanitizer
#
# K=WORD takes only the cases with WORD in their name. A report is a failure (tests/sanitized).
#
# An exit to the program costs ten times what it does else, and in the emulated host that is a
# millisecond: not tried there is a whole Debian on a serial console, which takes four minutes and runs
# through nothing that shorter cases don't.

SYSTEM_TABLES := $(addprefix --table ,disk net command share) --without Debian
SYSTEM_RUN = $(if $(shell tests/kvmhost/needed >/dev/null && echo yes),in_kvmhost.py,run.py)
SANITIZED_GUESTS := $(addprefix tests/guests/,run.py virtio.py net.py command.py)

# $(1): the flavour, $(2): its flags.
define system_flavour
$(BUILD)/$(1)/bantam: $(BUILD)/$(1)/vmm/main.o $(BUILD)/$(1)/library.a
	$$(QUIET)$(HOST_CC) $(2) -pthread $$^ -o $$@

# Some cases run it as somebody else, who may report as well.
$(BUILD)/$(1)/sanitized: tests/sanitized tests/tsan.suppressions $(BUILD)/$(1)/bantam
	$$(QUIET)mkdir -p $$(@D)/reports $$(@D)/reports-kvmhost && chmod 1777 $$(@D)/reports*
	$$(QUIET)cp tests/tsan.suppressions $$(@D)/suppressions && cp $$< $$@

-include $(BUILD)/$(1)/vmm/main.d

.PHONY: check-guests-$(1) check-system-$(1)
check-guests-$(1): $(BUILD)/$(1)/sanitized guests
	$$(QUIET)rm -f $$(<D)/reports/*
	$$(QUIET)tests/run_all $$(SANITIZED_GUESTS) tests/sanitizer_reports.py -- --build $$(BUILD) $$<

check-system-$(1): $(BUILD)/$(1)/sanitized
	$$(QUIET)rm -f $$(<D)/reports/*
	$$(QUIET)tests/system/$$(SYSTEM_RUN) $$(SYSTEM_TABLES) $$(if $$(K),-k '$$(K)') $$<
endef

$(eval $(call system_flavour,asan,$(UNIT_ASAN)))
$(eval $(call system_flavour,tsan,$(UNIT_TSAN)))
