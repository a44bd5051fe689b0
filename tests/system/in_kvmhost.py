#!/usr/bin/env python3
"""in_kvmhost.py - runs the system tests inside the emulated host, whatever becomes of that host.

    tests/system/in_kvmhost.py [ARG...]        arguments for run.py

QEMU's emulation of a processor with SVM isn't perfect: once in some dozens of boots the emulated
host freezes as a whole, its timers included, with whatever runs in it. That says nothing about the
guest or the monitor, which are processes of that host. So run.py is started in an emulated host,
its lines are passed on as they come, and when none has come for longer than a case may take by its
own time-out and SILENCE seconds more, the host is given up and a new one goes on with the cases
that have no result yet. The case that was running is tried again; in the second host that it takes
down, it has failed. Each host has a drive with an empty file system for the images that cases use.

Now and then, about once in a hundred boots, a guest dies there at an arbitrary point; whether that
is the emulation's doing too isn't known, and it was not seen elsewhere. So a case that fails is
tried once more, in another host, when all others are done; what it printed stands above, and if it
fails again it has failed. How many hosts froze and how many cases were tried twice is said in the
closing lines, which end with `N passed, N failed, N skipped`.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

SILENCE = 90         # seconds without a line, beyond what a case may take
DRIVE_GIB = 12       # sparse
HOSTS_MAX = 8        # a host that freezes so often is of no use
FREEZES_MAX = 2      # so often may a case be running when a host freezes


class Host:
    """One start of the emulated host, with run.py in it."""

    def __init__(self, todo, arguments):
        os.makedirs(ROOT + '/build/kvmhost', exist_ok=True)
        self.drive = tempfile.NamedTemporaryFile(prefix='scratch-', dir=ROOT + '/build/kvmhost')
        self.drive.truncate(DRIVE_GIB << 30)
        subprocess.run(['mke2fs', '-q', '-F', '-t', 'ext4', '-L', 'scratch', self.drive.name],
                       env=dict(os.environ, PATH=os.environ['PATH'] + ':/usr/sbin:/sbin'),
                       check=True)
        command = [ROOT + '/tests/kvmhost/run', '--timeout', '3000', '--drive', self.drive.name,
                   '--', HERE + '/run.py', '-v', '--announce']
        for name in todo:
            command += ['--case', name]
        self.process = subprocess.Popen(command + arguments, stdout=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, universal_newlines=True,
                                        start_new_session=True)
        self.frozen = False
        self.watch = None
        self.rearm(60)

    def rearm(self, seconds):
        if self.watch:
            self.watch.cancel()
        self.watch = threading.Timer(seconds + SILENCE, self.give_up)
        self.watch.daemon = True
        self.watch.start()

    def give_up(self):
        self.frozen = True
        os.killpg(self.process.pid, signal.SIGTERM)

    def lines(self):
        limit = 60
        for line in self.process.stdout:
            starts = re.match(r'start .* \((\d+) s\)$', line)
            if starts:
                limit = int(starts.group(1))
            self.rearm(limit)
            if not starts:
                yield line.rstrip('\n')
        self.process.wait()
        self.watch.cancel()
        self.drive.close()


def main():
    arguments = sys.argv[1:]
    # In there it would be lost, and there is no network.
    subprocess.run([HERE + '/run.py', '--prepare'], check=True)
    listed = subprocess.run([HERE + '/run.py', '--list'] + arguments, stdout=subprocess.PIPE,
                            universal_newlines=True, check=True)
    todo = listed.stdout.splitlines()
    # From here on each host is told which cases by their names.
    while '--case' in arguments:
        at = arguments.index('--case')
        del arguments[at:at + 2]
    passed = failed = skipped = freezes = 0
    blamed, again, retry = {}, [], []

    while todo and freezes < HOSTS_MAX:
        host = Host(todo, arguments)
        for line in host.lines():
            result = re.match(r'(ok|FAIL|skip) (.*)$', line)
            name = result and next((n for n in todo if result.group(2).startswith(n)
                                    and result.group(2)[len(n):len(n) + 1] in (' ', ':')), None)
            if re.match(r'\d+ passed, ', line):
                continue
            print(line, flush=True)
            if name:
                todo.remove(name)
                passed += result.group(1) == 'ok'
                skipped += result.group(1) == 'skip'
                if result.group(1) == 'FAIL' and name not in again:
                    again.append(name)
                    retry.append(name)
                elif result.group(1) == 'FAIL':
                    failed += 1
        if not todo:
            todo, retry = retry, []
            if todo:
                print('info %d failed and are tried once more: %s'
                      % (len(todo), ', '.join(todo)), flush=True)
            continue
        freezes += 1
        suspect = todo[0]
        blamed[suspect] = blamed.get(suspect, 0) + 1
        print('info the emulated host %s during %r; going on in a new one'
              % ('froze' if host.frozen else 'ended (status %s)' % host.process.returncode,
                 suspect), flush=True)
        if blamed[suspect] >= FREEZES_MAX:
            print('FAIL %s: took down %d emulated hosts' % (suspect, FREEZES_MAX), flush=True)
            todo.remove(suspect)
            failed += 1

    for name in todo + retry:
        print('FAIL %s: never run, %d emulated hosts froze' % (name, freezes), flush=True)
        failed += 1
    if freezes:
        print('info %d emulated hosts froze and were started anew' % freezes)
    if again:
        print('info tried twice: %s' % ', '.join(again))
    print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
