/*
 * The process's signals, and the terminal that most of them come from.
 *
 * Signals are events of the main loop (signalfd(2)): all threads have them blocked. The first that asks
 * for the end is the guest's: COMMAND gets SIGINT and SIGTERM as it would from a shell; --stop-timeout
 * presses the power button. A second ends the machine. SIGTSTP stops the process with the terminal as
 * it was; SIGCONT takes the terminal again. What the parent had us ignore stays ignored.
 *
 * All functions belong to the main thread.
 */
#ifndef BANTAM_SIGNALS_H
#define BANTAM_SIGNALS_H

#include "vmm/error.h"
#include "vmm/machine.h"

/* Makes signals events of the machine's loop. Returns 0, or -1 with err set. */
int signals_take(struct machine *machine, struct error *err);

/* Adds the timers of --timeout, --stop-timeout and of a terminal that isn't ours yet; starts the first. */
void signals_add_timers(struct machine *machine);

/*
 * The last words may find a stderr that nobody reads: from here on signals are no events any more. By a
 * handler, for sigprocmask(2) would be a call more that is left to a guest.
 */
void signals_end_us(struct machine *machine);

/* Gives the terminal back and stops as the signal would have; SIGCONT comes as an event. */
void signals_stop_process(struct machine *machine);

/* Whether COMMAND has begun: until it does, signals and keys are for us. */
bool signals_command_runs(struct machine *machine);

/* To be called when the terminal may have become the machine's. owner: the machine. */
void signals_take_terminal(void *owner);

#endif
