# fuzz.mk - the fuzzers. Included by the top Makefile behind unit.mk, of which it uses HOST_CC,
# UNIT_CFLAGS and UNIT_ASAN besides BUILD, LIBRARY and QUIET.
#
#	make check-fuzz       the corpus once, without a fuzzing engine; then `make fuzz`
#	make fuzz             libFuzzer, each fuzzer for SECONDS (10)
#	make fuzz-replay      the corpus once: needs no clang
#	make fuzz-afl         AFL++ on the same sources, each for SECONDS
#	make fuzz-coverage    what of the devices all inputs reach that there are by now, by file
#	make coverage         what of devices/ and boot/ these inputs and the unit tests reach, by
#	                      file; an error where it is less than COVERAGE_LEAST per cent of the lines
#
# K=WORD takes only the fuzzers with WORD in their name. Every fuzz_*.c is a fuzzer, and
# corpus/NAME are the inputs that it begins with; what libFuzzer finds besides stays in
# build/fuzz/corpus, for the next time, and an input that breaks something in build/fuzz/found.
#
# Each flavour has objects of its own: build/fuzz/libfuzzer, afl, replay and coverage. Only the
# program's own objects are instrumented: what a fuzzer does itself isn't what is looked for.

FUZZ_DIR   := tests/fuzz
FUZZ_NAMES := $(patsubst $(FUZZ_DIR)/fuzz_%.c,%,$(sort $(wildcard $(FUZZ_DIR)/fuzz_*.c)))
FUZZ_SHARED := $(filter-out $(FUZZ_DIR)/fuzz_% $(FUZZ_DIR)/replay.c,$(sort \
	$(wildcard $(FUZZ_DIR)/*.c))) tests/unit/support.c
# What is fuzzed, and what it needs; worker.c here stands in for the devices'.
FUZZ_LIBRARY := $(addprefix vmm/x86/,gdb_registers.c breakpoints.c registers.c walk.c calls.c) \
	$(filter-out devices/virtio/worker.c vmm/x86/% boot/init/%,$(LIBRARY))
FUZZ_CHOSEN = $(if $(K),$(foreach name,$(FUZZ_NAMES),$(if $(findstring $(K),$(name)),$(name))),$(FUZZ_NAMES))

# Whose calls are watched or answered here: guest.h, worker.h, board.h.
comma := ,
FUZZ_WRAPPED := virtq_pop virtq_unpop virtq_push virtq_place virtq_publish virtq_ask_notify \
	virtq_stop getrandom poll clock_now_ns pthread_cond_timedwait
FUZZ_LDFLAGS := -pthread $(FUZZ_WRAPPED:%=-Wl$(comma)--wrap=%)

# KVM is answered in the debugger's fuzzer alone.
$(BUILD)/fuzz/%/fuzz_gdb: FUZZ_LDFLAGS += -Wl,--wrap=kvm_ioctl

FUZZ_CLANG    ?= clang
FUZZ_AFL      ?= afl-clang-fast
FUZZ_CHECKS   := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_SECONDS   = $(or $(SECONDS),10)

# $(1): the flavour, $(2): its compiler, $(3): flags for the program, $(4): flags for the fuzzer and
# what it shares, $(5): flags to link, $(6): what has main(), if the engine hasn't.
define fuzz_flavour
FUZZ_PROGRAMS_$(1) = $$(FUZZ_CHOSEN:%=$(BUILD)/fuzz/$(1)/fuzz_%)
FUZZ_OWN_$(1) := $$(patsubst %.c,$(BUILD)/fuzz/$(1)/%.o,$$(FUZZ_SHARED) $(6))

.SECONDARY: $$(FUZZ_OWN_$(1)) $$(FUZZ_NAMES:%=$(BUILD)/fuzz/$(1)/$(FUZZ_DIR)/fuzz_%.o)

$(BUILD)/fuzz/$(1)/tests/%.o: tests/%.c $(BUILD)/fuzz/$(1)/flags
	@mkdir -p $$(@D)
	$$(QUIET)$(2) $$(UNIT_CFLAGS) $(4) -MMD -MP -c $$< -o $$@

$(BUILD)/fuzz/$(1)/%.o: %.c $(BUILD)/fuzz/$(1)/flags
	@mkdir -p $$(@D)
	$$(QUIET)$(2) $$(UNIT_CFLAGS) $(3) -MMD -MP -c $$< -o $$@

$(BUILD)/fuzz/$(1)/library.a: $$(FUZZ_LIBRARY:%.c=$(BUILD)/fuzz/$(1)/%.o)
	$$(QUIET)rm -f $$@ && $$(AR) rcs $$@ $$^

$$(FUZZ_NAMES:%=$(BUILD)/fuzz/$(1)/fuzz_%): $(BUILD)/fuzz/$(1)/fuzz_%: \
		$(BUILD)/fuzz/$(1)/$(FUZZ_DIR)/fuzz_%.o $$(FUZZ_OWN_$(1)) $(BUILD)/fuzz/$(1)/library.a
	$$(QUIET)$(2) $(5) $$^ $$(FUZZ_LDFLAGS) -o $$@

$(BUILD)/fuzz/$(1)/flags: FORCE
	@mkdir -p $$(@D)
	@echo '$(2) $$(subst ','\'',$$(UNIT_CFLAGS)) $(3) $(4)' | cmp -s - $$@ || \
		echo '$(2) $$(subst ','\'',$$(UNIT_CFLAGS)) $(3) $(4)' >$$@

-include $$(FUZZ_LIBRARY:%.c=$(BUILD)/fuzz/$(1)/%.d)
-include $$(FUZZ_OWN_$(1):.o=.d) $$(FUZZ_NAMES:%=$(BUILD)/fuzz/$(1)/$(FUZZ_DIR)/fuzz_%.d)
endef

# The unit tests have a flavour with profiles too, build/profile, for `make coverage`.
FUZZ_PROFILE := -fprofile-instr-generate -fcoverage-mapping
$(eval $(call fuzz_flavour,replay,$(HOST_CC),$(UNIT_ASAN),$(UNIT_ASAN),$(UNIT_ASAN),$(FUZZ_DIR)/replay.c))
$(eval $(call fuzz_flavour,libfuzzer,$(FUZZ_CLANG),-fsanitize=fuzzer-no-link $(FUZZ_CHECKS),-O2,-fsanitize=fuzzer $(FUZZ_CHECKS),))
$(eval $(call fuzz_flavour,afl,AFL_QUIET=1 $(FUZZ_AFL),-fsanitize=fuzzer-no-link $(FUZZ_CHECKS),-O2,-fsanitize=fuzzer $(FUZZ_CHECKS),))
$(eval $(call fuzz_flavour,coverage,$(FUZZ_CLANG),$(FUZZ_PROFILE),-O2,$(FUZZ_PROFILE),$(FUZZ_DIR)/replay.c))
$(eval $(call unit_flavour,profile,$(FUZZ_PROFILE),$(UNIT_TESTS),$(FUZZ_CLANG)))

COVERAGE_LEAST := 90
FUZZ_RUN = $(FUZZ_DIR)/run $(BUILD)/fuzz $(FUZZ_SECONDS)

# An engine that isn't there is a skip, with its reason.
fuzz_has_libfuzzer = echo 'int LLVMFuzzerTestOneInput(void);int LLVMFuzzerTestOneInput(void){return 0;}' | \
	$(FUZZ_CLANG) -fsanitize=fuzzer $(FUZZ_CHECKS) -x c - -o $(BUILD)/fuzz/probe 2>/dev/null

.PHONY: check-fuzz fuzz fuzz-replay fuzz-afl fuzz-coverage coverage fuzz-libfuzzer-programs \
	fuzz-afl-programs
check-fuzz: $(FUZZ_PROGRAMS_replay) fuzz-libfuzzer-programs
	@$(FUZZ_RUN) 'replay libfuzzer' $(FUZZ_CHOSEN)

fuzz: fuzz-libfuzzer-programs
	@$(FUZZ_RUN) libfuzzer $(FUZZ_CHOSEN)

fuzz-replay: $(FUZZ_PROGRAMS_replay)
	@$(FUZZ_RUN) replay $(FUZZ_CHOSEN)

fuzz-afl: fuzz-afl-programs
	@$(FUZZ_RUN) afl $(FUZZ_CHOSEN)

fuzz-libfuzzer-programs:
	@mkdir -p $(BUILD)/fuzz
	@if $(fuzz_has_libfuzzer); then \
		$(MAKE) --no-print-directory $(FUZZ_PROGRAMS_libfuzzer); \
	else \
		rm -f $(FUZZ_PROGRAMS_libfuzzer); \
	fi

fuzz-afl-programs:
	@if command -v $(FUZZ_AFL) afl-fuzz >/dev/null; then \
		$(MAKE) --no-print-directory $(FUZZ_PROGRAMS_afl); \
	else \
		rm -f $(FUZZ_PROGRAMS_afl); \
	fi

fuzz-coverage: $(FUZZ_PROGRAMS_coverage)
	@rm -f $(BUILD)/fuzz/coverage/*.profraw
	@$(FUZZ_RUN) coverage $(FUZZ_CHOSEN)
	@$(FUZZ_DIR)/coverage.py 0 $(BUILD)/fuzz/coverage $(FUZZ_PROGRAMS_coverage)

# %m: one file a program, to which what it forks adds its own.
coverage: $(UNIT_PROGRAMS_profile) $(FUZZ_PROGRAMS_coverage)
	@rm -f $(BUILD)/fuzz/coverage/*.profraw
	@LLVM_PROFILE_FILE=$(abspath $(BUILD))/fuzz/coverage/unit-%m.profraw \
		$(UNIT_DIR)/run $(UNIT_TIMEOUT_S) $(UNIT_PROGRAMS_profile)
	@$(FUZZ_RUN) coverage $(FUZZ_CHOSEN)
	@$(FUZZ_DIR)/coverage.py $(COVERAGE_LEAST) $(BUILD)/fuzz/coverage $^
