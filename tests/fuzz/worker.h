/*
 * Workers without threads, and a host whose answers an input chooses.
 *
 * worker.c stands in for devices/virtio/worker.c: a worker does one round of its loop when it is
 * told to, on the fuzzer's own thread, so that an input does the same each time. Its struct io is an
 * engine (vmm/io_engine.h) that does an operation when its turn comes: first in, first out, or the
 * other way round, as many as one is told, so that some are under way while other things happen. A
 * plan makes operations fall short or fail; getrandom(2) goes by the same plan. A worker with a
 * wait() of its own has a poll(2) that never waits, and a clock that an input moves.
 *
 * Checked: operations stay on the disk and on descriptors that were announced, keep to the depth,
 * write only where writing is allowed, are aligned where that is needed; all are done when the
 * worker is closed.
 */
#ifndef BANTAM_TESTS_FUZZ_WORKER_H
#define BANTAM_TESTS_FUZZ_WORKER_H

#include "devices/virtio/disk.h"

/*
 * Forgets plan and workers, and says what the disk is, against which operations are checked; NULL
 * where there is none.
 */
void workers_begin(const struct disk *disk);

/* Four bytes more of the plan; each is one answer, and behind its end all goes well. */
void workers_plan(u32 bytes);
void workers_forget_plan(void);

/* The next answer of the plan: 0, a negative errno, or how many 256ths of what was wanted is done. */
int workers_answer(void);

/* Whether the last operation that was started is done first. */
void workers_last_first(bool yes);

/*
 * One round for each worker that has a reason to wake; `limit` operations are done at most. Returns
 * whether one had.
 */
bool workers_round(unsigned limit);

/* A time passes in which everybody loses patience who waits for something, and a round. */
void workers_sleep(void);

/* Whether something was ever written to the image. */
bool workers_wrote(void);

#endif
