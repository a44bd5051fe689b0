"""rows_many.py - many machines: one after the other, and side by side.

How many tiny machines a processor core turns out in a second: all on one core, from exec to exit. In
one lane the next starts when the last has ended; much of that time nobody computes, since the kernel
lets a virtual machine go only when all processors have seen that it is gone. So there are four lanes
besides, whose waits overlap. What the host takes at the least is told by `bare`: a program that makes a
machine with the same calls, runs one instruction and ends.

Side by side are 100 machines whose guests have gone to sleep: what each has in memory beside its guest's
RAM, and the processor time of all of them together.
"""

import contextlib
import os
import select
import time

import measure
from contenders import MEMORY_MIB, words
from rows import NATIVE, Row, Series, needs_file

MACHINES, PEER_MACHINES = 200, 20
LANES = 4
IDLE = 100
WATCH_S = 5


@contextlib.contextmanager
def one_core():
    """Programs started here run on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def in_lanes(argv, status, lanes, machines, setup):
    """Runs argv `machines` times on one core, so many at a time; how many a second."""
    live = {}
    with contextlib.ExitStack() as stack, one_core():
        start = time.monotonic()
        left = machines
        while left or live:
            while left and len(live) < lanes:
                process = stack.enter_context(measure.Process(argv, setup.work))
                live[process.pidfd] = process
                left -= 1
            ready = select.select(list(live), [], [], setup.timeout_s)[0]
            if not ready:
                raise measure.Failed('%s: no end after %d s' % (argv[0], setup.timeout_s))
            for pidfd in ready:
                run = live.pop(pidfd).reap()
                if run.status != status:
                    raise measure.Failed('%s: status %d' % (argv[0], run.status))
        return {'machines_per_s': machines / (time.monotonic() - start)}


def in_a_row(setup, lanes, what, goal):
    kernel = setup.guest('triplefault')
    bare = os.path.join(setup.build, 'bench', 'bare_machine')
    ours, theirs = setup.run_bantam(kernel), setup.run_qemu(kernel)

    def qemu():
        setup.needs_qemu()
        return in_lanes(theirs, 0, lanes, PEER_MACHINES, setup)

    series = Series('machines in a row, ' + what, NATIVE,
                    {'bantam': lambda: in_lanes(ours, 255, lanes, MACHINES, setup), 'qemu': qemu,
                     'bare': lambda: in_lanes([bare], 0, lanes, MACHINES, setup)},
                    {'bantam': words(ours), 'qemu': words(theirs), 'bare': bare}, runs=5,
                    needs=lambda: (setup.needs_native(), needs_file(bare, how='make bench')()))
    return Row('machines in a row on a core, %s' % what, series, 'machines_per_s', '/s', better='higher',
               goal=goal)


def cpu_ticks(pids):
    """Of these processes together: user and system time, in clock ticks."""
    ticks = 0
    for pid in pids:
        with open('/proc/%d/stat' % pid) as file:
            fields = file.read().rpartition(')')[2].split()
        ticks += int(fields[14 - 3]) + int(fields[15 - 3])
    return ticks


def side_by_side(argv, setup):
    with contextlib.ExitStack() as stack:
        all_of_them = []
        for n in range(IDLE):
            work = os.path.join(setup.work, 'idle-%d' % n)
            os.makedirs(work, exist_ok=True)
            all_of_them.append(stack.enter_context(measure.Process(argv, work)))
        end = time.monotonic() + setup.timeout_s
        while not all('idle' in process.output() for process in all_of_them):
            if time.monotonic() > end or any(process.ended(0) for process in all_of_them):
                raise measure.Failed('%s: not all are idle after %d s' % (argv[0], setup.timeout_s))
            time.sleep(0.1)
        time.sleep(1)
        pids = [process.pid for process in all_of_them]
        before = cpu_ticks(pids)
        time.sleep(WATCH_S)
        spent = cpu_ticks(pids) - before
        private = [measure.own_memory(pid, MEMORY_MIB * measure.MIB)['private_dirty_kib'] for pid in pids]
    return {'cpu_percent': 100 * spent / measure.CLOCK_TICKS / WATCH_S,
            'private_dirty_kib': sum(private) / IDLE}


def idle(setup):
    guest = setup.guest('idle')
    ours, theirs = setup.run_bantam(guest), setup.run_qemu(guest)

    def bantam():
        measure.flush(setup.bantam)
        return side_by_side(ours, setup)

    def qemu():
        setup.needs_qemu()
        return side_by_side(theirs, setup)

    series = Series('%d machines side by side' % IDLE, NATIVE, {'bantam': bantam, 'qemu': qemu},
                    {'bantam': words(ours), 'qemu': words(theirs)}, runs=2, warm_up=False,
                    needs=setup.needs_native)
    return [Row('%d idle machines, CPU of all' % IDLE, series, 'cpu_percent', '%', goal=1,
                note='of one processor, over %d s' % WATCH_S),
            Row('%d idle machines, private dirty, each' % IDLE, series, 'private_dirty_kib', 'KiB')]


def rows(setup):
    return [in_a_row(setup, 1, 'one lane', None),
            in_a_row(setup, LANES, '%d lanes' % LANES, 200)] + idle(setup)
