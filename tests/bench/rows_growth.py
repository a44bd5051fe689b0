"""rows_growth.py - what more vCPUs, disks, memory, machines and depth cost.

A tiny guest at rest, with each number of vCPUs, of disks, of MiB and of machines side by side: the
monitor's resident memory, and the time to the first instruction. Each line is drawn; the goal is the
memory of a step of one: how much more the largest has than the smallest, divided by the steps between.
The disk device without a machine does its random reads with each depth.
"""

import contextlib
import json
import os
import re
import time

import measure
from contenders import words
from rows import NATIVE, Row, Series, needs_file
from rows_ceiling import run as run_program

MEMORY = {'own memory': ('rss_kib', 'KiB'), 'first instruction': ('first_instruction_ms', 'ms')}
SWEEPS = (('vCPUs', (1, 2, 4, 8), lambda n, disks: ['--cpus', str(n)]),
          ('disks', (1, 2, 4, 8, 16), lambda n, disks: [w for disk in disks[:n] for w in ('--disk', disk)]),
          ('GiB', (0.25, 1, 4, 16), lambda n, disks: ['--memory', '%dM' % (n * 1024)]))
STARTS = 5
MACHINES = (1, 10, 100)
DEPTHS = (1, 2, 4, 8, 16, 32, 64)


def name_of(n):
    return '%g' % n


def images(setup):
    """Sixteen empty disks."""
    paths = [os.path.join(setup.work, 'growth-%d.img' % n) for n in range(max(SWEEPS[1][1]))]
    for path in paths:
        with open(path, 'wb') as file:
            file.truncate(measure.MIB)
    return paths


def at_rest(setup, argv, mib):
    """One machine: when its guest began, the median of several, and its memory at rest. In this order: a
    machine that was killed is still being taken apart for a while."""
    begins = []
    for _ in range(STARTS):
        measure.run(argv + ['--result', setup.result, setup.guest('hello')], setup.work, setup.timeout_s)
        with open(setup.result) as file:
            begins.append(json.load(file)['first_instruction_ms'])
    sample = measure.at_rest(argv + [setup.guest('idle')], setup.work, 'idle',
                             lambda pid: measure.own_memory(pid, mib * measure.MIB), setup.timeout_s)
    time.sleep(0.3)
    return dict(sample, first_instruction_ms=measure.median(begins))


def sweep(setup, what, counts, options):
    base = [setup.bantam, 'run']

    def bantam():
        measure.flush(setup.bantam)
        disks = images(setup)
        found = {}
        for n in counts:
            memory = [] if what == 'GiB' else ['--memory', '256M']
            mib = int(n * 1024) if what == 'GiB' else 256
            found[n] = at_rest(setup, base + memory + options(n, disks), mib)
        first, last = found[counts[0]], found[counts[-1]]
        sample = {value: {name_of(n): one[value] for n, one in found.items()} for value, _ in MEMORY.values()}
        sample['step_kib'] = (last['rss_kib'] - first['rss_kib']) / (counts[-1] - counts[0])
        return sample

    series = Series('growth with %s' % what, NATIVE, {'bantam': bantam},
                    {'bantam': words(base + options(counts[-1], ['DISK'] * max(SWEEPS[1][1])))}, runs=3,
                    warm_up=False, needs=setup.needs_native)
    one = what[:-1] if what.endswith('s') else what
    return [Row('own memory, each %s more' % one, series, 'step_kib', 'KiB', goal=64,
                note='from %s to %s' % (name_of(counts[0]), name_of(counts[-1])))] + [
        Row('%s, %s' % (title, what), series, value, unit, curve=what)
        for title, (value, unit) in MEMORY.items()]


def machines(setup):
    """Memory of all of them together, by the proportional share of what they have in common."""
    argv = setup.run_bantam(setup.guest('idle'))

    def of_all(count):
        with contextlib.ExitStack() as stack:
            live = []
            for n in range(count):
                work = os.path.join(setup.work, 'growth-%d' % n)
                os.makedirs(work, exist_ok=True)
                live.append(stack.enter_context(measure.Process(argv, work)))
            while not all('idle' in process.output() for process in live):
                if any(process.ended(0.02) for process in live):
                    raise measure.Failed('%s ended early' % argv[0])
            return sum(mapping.get('Pss', 0) for process in live for mapping in measure.mappings(process.pid))

    series = Series('growth with machines', NATIVE,
                    {'bantam': lambda: {'pss_kib': {name_of(n): of_all(n) for n in MACHINES}}},
                    {'bantam': words(argv)}, runs=2, warm_up=False, needs=setup.needs_native)
    return [Row('memory of all, guests and monitors', series, 'pss_kib', 'MiB', scale=1 / 1024, curve='machines',
                note='proportional set size; what an idle tiny guest has touched of its RAM is in it')]


def depths(setup):
    program = os.path.join(setup.build, 'bench', 'block_ceiling')
    path = os.path.join(setup.work, 'depths')

    def bantam():
        if not os.path.exists(path):
            with open(path, 'wb') as file:
                for _ in range(64):
                    file.write(os.urandom(measure.MIB))
        found = {}
        for depth in DEPTHS:
            text = run_program([program, path, '1', str(depth)], setup.timeout_s)
            match = re.search(r'requests=(\d+) ns=(\d+)', text)
            found[name_of(depth)] = int(match[1]) * 1e9 / int(match[2])
        return {'iops': found}

    series = Series('growth with depth', NATIVE, {'bantam': bantam}, {'bantam': '%s FILE 1 DEPTH' % program},
                    runs=2, warm_up=False, needs=needs_file(program, how='make bench'))
    return [Row('4 KiB random reads, no VM', series, 'iops', '/s', better='higher', curve='under way')]


def rows(setup):
    found = []
    for what, counts, options in SWEEPS:
        found += sweep(setup, what, counts, options)
    return found + machines(setup) + depths(setup)
