# bantam: builds the program, its tests and its bare-metal guests.
#
#	make            the program: ./bantam
#	make check      every test that this machine can run
#	make lint       formatting and static analysis
#	make install    PREFIX (/usr/local), DESTDIR; make uninstall
#	make deb        build/bantam_VERSION_amd64.deb
#	make lesson-1   what docs/lessons say, tried; up to lesson-8
#
# The program is linked statically against musl where musl-gcc is installed: that is what makes it
# small. Otherwise, and for the sanitizer builds always, the system's C library is used.

VERSION := 0.1.0
BUILD   := build
PREFIX  := /usr/local

MUSL_GCC := $(shell command -v musl-gcc 2>/dev/null)
ifeq ($(origin CC),default)
CC := $(if $(MUSL_GCC),$(MUSL_GCC),gcc)
endif
HOST_CC ?= gcc

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS   ?= -Os -g
DEFINES  := -D_GNU_SOURCE -DBANTAM_VERSION='"$(VERSION)"' -DBANTAM_INIT='"$(BUILD)/init/init"'
# Behind the C library's own, for the kernel's headers: musl-gcc doesn't look where they are.
KERNEL_HEADERS := -idirafter /usr/include -idirafter /usr/include/$(shell uname -m)-linux-gnu
ALL_CFLAGS = -std=c17 $(WARNINGS) $(CFLAGS) $(DEFINES) -I. -pthread -fstack-protector-strong \
	-ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -fPIE $(if $(findstring musl,$(CC)),$(KERNEL_HEADERS))

# A static program whose code lies at another address each time (static-pie). musl-gcc's own
# settings can't link one, so its start files are named here, in their order. Where they aren't (a
# musl that doesn't come from Debian or Ubuntu), the program is plainly static.
MUSL_LIB := $(dir $(wildcard /usr/lib/$(shell uname -m)-linux-musl/rcrt1.o))
STATIC_PIE = -static -nostartfiles -Wl,-pie -Wl,--no-dynamic-linker -Wl,-z,text \
	$(addprefix $(MUSL_LIB),rcrt1.o crti.o) $(shell gcc -print-file-name=crtbeginS.o) \
	$(shell gcc -print-file-name=crtendS.o) $(MUSL_LIB)crtn.o
ALL_LDFLAGS = $(LDFLAGS) -pthread -Wl,--gc-sections -Wl,-z,relro,-z,now \
	$(if $(findstring musl,$(CC)),$(if $(MUSL_LIB),$(STATIC_PIE),-static),-pie)

SOURCES := $(sort $(wildcard vmm/*.c vmm/x86/*.c devices/*.c devices/virtio/*.c boot/*.c boot/x86/*.c \
	boot/init/program.c))
OBJECTS := $(SOURCES:%.c=$(BUILD)/obj/%.o)
# All of the program but main(), for the tests.
LIBRARY := $(filter-out vmm/main.c,$(SOURCES))

.PHONY: all
all: bantam

# V=1 shows the commands.
QUIET := $(if $(V),,@)

bantam: $(OBJECTS)
	$(QUIET)$(CC) $(ALL_CFLAGS) $(OBJECTS) $(ALL_LDFLAGS) -o $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

# Objects of another compiler or other flags are made anew.
.PHONY: FORCE
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(subst ','\'',$(ALL_CFLAGS) $(ALL_LDFLAGS))' | cmp -s - $@ || \
		echo '$(CC) $(subst ','\'',$(ALL_CFLAGS) $(ALL_LDFLAGS))' >$@

-include $(OBJECTS:.o=.d)

# report.c puts a file into the program that the compiler doesn't know of.
$(patsubst %,$(BUILD)/%/vmm/report.o,obj unit asan tsan): vmm/report.html

GUEST_CC := $(HOST_CC)
include boot/init/init.mk
include tests/guests/guests.mk
include tests/unit/unit.mk
include tests/system/system.mk
include tests/fuzz/fuzz.mk
include tests/bench/bench.mk
include tests/lessons/lessons.mk

# The tests that need no more than a compiler, cmocka and, for the guests, some /dev/kvm. tools/check
# runs these and the system tests, and installs what they need.
.PHONY: check check-cli check-guests soak power-cuts lint
check: check-unit check-cli check-guests check-lessons

# What bantam prints: the programs tests/*_cli.py, each of which takes these arguments.
check-cli: bantam guests
	$(QUIET)tests/run_all $(wildcard tests/*_cli.py) -- --build $(BUILD) ./bantam

# Bare-metal guests: what they see, how they end, the terminal around them, the lock.
check-guests: bantam guests
	$(QUIET)tests/run_all tests/guests/run.py tests/guests/virtio.py tests/guests/verdict.py \
		tests/guests/net.py tests/guests/command.py tests/guests/terminal.py tests/guests/sandbox.py \
		tests/guests/report.py tests/guests/gdb.py \
		-- --build $(BUILD) ./bantam

# Hundreds of machines, and one that resets itself 1,000 times: nothing grows. Two minutes or three.
soak: bantam guests
	$(QUIET)tests/guests/soak.py --build $(BUILD) ./bantam

# N cuts of an emulated host's power, 20 seconds each, two at a time.
power-cuts: N := 100
power-cuts: bantam
	$(QUIET)tests/system/power_cut.py --cuts $(N) ./bantam

# Every call of bantam's that can fail does, a few of each kind (ALL=1: each).
.PHONY: check-faults
check-faults: bantam guests
	$(QUIET)tests/faults.py $(if $(ALL),--all) --build $(BUILD) ./bantam

# All that docs/security.md gives figures for: hours. SECONDS for each fuzzer (600), N power cuts (100).
.PHONY: prove
prove: bantam guests
	$(QUIET)tools/prove $(SECONDS:%=--seconds %) $(N:%=--cuts %)

lint:
	$(QUIET)tools/lint

SHARE := $(PREFIX)/share
ZSH_COMPLETIONS := $(SHARE)/zsh/site-functions
DOCS := README.md CHANGELOG.md LICENSE $(wildcard docs/*.md docs/lessons/*.md)

.PHONY: install uninstall deb
install: bantam
	install -D -m 755 bantam $(DESTDIR)$(PREFIX)/bin/bantam
	install -D -m 644 docs/bantam.1 $(DESTDIR)$(SHARE)/man/man1/bantam.1
	install -D -m 644 docs/completion/bantam.bash $(DESTDIR)$(SHARE)/bash-completion/completions/bantam
	install -D -m 644 docs/completion/_bantam $(DESTDIR)$(ZSH_COMPLETIONS)/_bantam
	for file in $(DOCS); do install -D -m 644 $$file $(DESTDIR)$(SHARE)/doc/bantam/$$file || exit; done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/bantam $(DESTDIR)$(SHARE)/man/man1/bantam.1 \
		$(DESTDIR)$(SHARE)/bash-completion/completions/bantam $(DESTDIR)$(ZSH_COMPLETIONS)/_bantam
	rm -rf $(DESTDIR)$(SHARE)/doc/bantam

deb: bantam
	$(QUIET)tools/deb $(VERSION) $(BUILD)

.PHONY: clean
clean:
	rm -rf $(BUILD)/obj $(BUILD)/init $(BUILD)/guests $(BUILD)/unit $(BUILD)/asan $(BUILD)/tsan $(BUILD)/profile $(BUILD)/fuzz \
		$(BUILD)/flags bantam
