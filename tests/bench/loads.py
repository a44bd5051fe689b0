"""loads.py - what a guest's work costs, counted; for rows whose guest does one load after another.

The guest says `WORD: begin LOAD` and `WORD: end LOAD name=number...` around each, `WORD: done` in
the end, and pauses beside them for as long as reading the counters takes. counted() runs a monitor
with such a guest. Per unit of the load (a thousand requests, a megabyte) it tells system calls of
the monitor (raw_syscalls:sys_enter), exits of the guest to KVM and to the monitor (kvm:kvm_exit,
kvm:kvm_userspace_exit), interrupts of devices (kvm:kvm_inj_virq) and how often the monitor's
threads were switched away from (/proc/PID/task). What a child of the monitor's does counts as its
own. These are the same on a fast and on a slow host as long as its threads take turns in the same
way: on one processor, a doorbell usually lets the worker run at once, on several it doesn't stop the
guest.

Limits: as ExitTrace's; the guest's own ticks, and what the console needs, are in the counts; what a
kernel thread does for a monitor (vhost) isn't.
"""

import os
import re
import time

from measure import ExitTrace, Failed, Process

COUNTS = (('user_exits', 'exits to the monitor'), ('kernel_exits', 'exits to KVM'),
          ('interrupts', 'interrupts'), ('calls', 'system calls'), ('switches', 'switches'))
SYSTEM_VECTORS = 0xec    # Linux's own, the timer's among them, begin here


class LoadTrace:
    """Counts what a monitor and its guest do, as ExitTrace does, with the same needs and limits;
    snapshot() tells the counts so far."""

    EVENTS = {'user_exits': ('kvm/kvm_userspace_exit', 'reason'),
              'kernel_exits': ('kvm/kvm_exit', 'exit_reason'),
              'interrupts': ('kvm/kvm_inj_virq', 'vector'),
              'calls': ('raw_syscalls/sys_enter', 'id')}

    def __init__(self):
        ExitTrace()    # whether it can be done at all
        self.instance = '%s/instances/bantam-load-%d' % (ExitTrace.TRACEFS, os.getpid())

    def __enter__(self):
        os.mkdir(self.instance)
        for event, key in self.EVENTS.values():
            self.write(event, 'hist:keys=common_pid,%s:size=4096' % key)
        return self

    def __exit__(self, *unused):
        for event, key in self.EVENTS.values():
            self.write(event, '!hist:keys=common_pid,%s' % key)
        os.rmdir(self.instance)

    def write(self, event, text):
        with open('%s/events/%s/trigger' % (self.instance, event), 'w') as file:
            file.write(text)

    def read(self, event, name):
        with open('%s/events/%s/%s' % (self.instance, event, name)) as file:
            return file.read()

    def threads(self, pid):
        """Thread to its name and how often it was switched away from; children's as well."""
        found = {}
        for thread in os.listdir('/proc/%d/task' % pid):
            try:
                with open('/proc/%d/task/%s/status' % (pid, thread)) as file:
                    status = file.read()
                with open('/proc/%d/task/%s/children' % (pid, thread)) as file:
                    for child in file.read().split():
                        found.update(self.threads(int(child)))
            except OSError:
                continue
            switches = re.findall(r'ctxt_switches:\s*(\d+)', status)
            name = re.match(r'Name:\s*(.*)', status).group(1)
            found[int(thread)] = re.sub(r'-\d+$', '', name), sum(map(int, switches))
        return found

    def snapshot(self, pid):
        """Kind of count to (what: count)."""
        threads = self.threads(pid)
        counts = {'switches': {}}
        for name, switches in threads.values():
            counts['switches'][name] = counts['switches'].get(name, 0) + switches
        for kind, (event, _) in self.EVENTS.items():
            names = ExitTrace.names(self.read(event, 'format')) if kind.endswith('exits') else {}
            counts[kind] = {}
            for thread, key, hits in re.findall(
                    r'common_pid:\s*(\d+), \w+:\s*(\d+) } hitcount:\s*(\d+)',
                    self.read(event, 'hist')):
                if int(thread) not in threads or (kind == 'interrupts' and
                                                  int(key) >= SYSTEM_VECTORS):
                    continue
                name = names.get(int(key), key)
                counts[kind][name] = counts[kind].get(name, 0) + int(hits)
        return counts


def counted(argv, work, timeout_s, units):
    """Runs argv; of each load, and each kind of count, the number per unit, and all of them by what
    they are as `parts`. units(load, numbers): how many units it was, by the numbers that the guest
    told, a dict."""
    sample = {'parts': {}}
    with LoadTrace() as trace, Process(argv, work) as process:
        end = time.monotonic() + timeout_s
        seen, before = 0, None
        while not process.ended(0.02):
            lines = re.findall(r'[A-Z]+: (begin|end|done) ?(\S*)(.*)\n', process.output())
            for what, load, numbers in lines[seen:]:
                if what == 'begin':
                    before = trace.snapshot(process.pid)
                elif what == 'end':
                    numbers = dict(re.findall(r'(\w+)=(\S*)', numbers))
                    parts = per_unit(before, trace.snapshot(process.pid), units(load, numbers))
                    sample['parts'][load] = parts
                    for kind, _ in COUNTS:
                        sample['%s %s' % (load, kind)] = sum(parts[kind].values())
            seen = len(lines)
            if time.monotonic() >= end:
                raise Failed('%s: no end after %d s' % (argv[0], timeout_s))
        if ('done', '', '') not in lines:
            raise Failed('%s: %s' % (argv[0], process.complaint()))
    return sample


def per_unit(before, after, units):
    return {kind: {name: round((count - before[kind].get(name, 0)) / units, 1)
                   for name, count in counts.items() if count != before[kind].get(name, 0)}
            for kind, counts in after.items()}
