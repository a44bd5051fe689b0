# lessons.mk - the lessons of docs/lessons: their pages' commands, and their exercises. Included by
# the top Makefile, behind the guests.
#
#	make lesson-3		tries what page 3 says, then your exercise build/lessons/*, if it is there
#	make check-lessons	all pages and docs/tour.md, and each exercise by its solution
#
# An exercise is build/lessons/NAME.c or NAME.S: a guest like those in tests/guests (in assembly all by
# itself, in C with the library) becomes NAME.elf, a program of the host's NAME. What the pages start
# from lies beside this file.

LESSON_OUT := $(BUILD)/lessons
LESSONS := 1 2 3 4 5 6 7 8

.PHONY: check-lessons $(LESSONS:%=lesson-%)
$(LESSONS:%=lesson-%): lesson-%: bantam guests
	$(QUIET)tests/lessons/check.py --build $(BUILD) --lesson $*

check-lessons: bantam guests
	$(QUIET)tests/run_all tests/lessons/check.py -- --build $(BUILD) ./bantam

$(LESSON_OUT)/%: tests/lessons/%.c
	@mkdir -p $(@D)
	$(QUIET)$(HOST_CC) -std=gnu17 -Wall -Wextra -O2 -o $@ $<

$(LESSON_OUT)/%: $(LESSON_OUT)/%.c
	$(QUIET)$(HOST_CC) -std=gnu17 -Wall -Wextra -O2 -o $@ $<

$(LESSON_OUT)/%.elf: $(LESSON_OUT)/%.S $(GUEST_DIR)/lib/guest.lds
	$(QUIET)$(GUEST_CC) $(GUEST_LDFLAGS) -o $@ $<

$(LESSON_OUT)/%.elf: $(LESSON_OUT)/%.c $(GUEST_LIB) $(GUEST_DRIVERS) $(GUEST_NOTE)
	$(QUIET)$(GUEST_CC) $(GUEST_CFLAGS) -I$(GUEST_DIR) $(GUEST_LDFLAGS) -o $@ $(filter %.c %.o,$^)
