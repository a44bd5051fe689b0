#!/usr/bin/env python3
"""in_kvmhost.py - runs the system tests inside the emulated host, whatever becomes of that host.

    tests/system/in_kvmhost.py [ARG...]        arguments for run.py

QEMU's emulation of a processor with SVM isn't perfect: once in some dozens of boots the emulated
host freezes as a whole, its timers included, with whatever runs in it. That says nothing about the
guest or the monitor, which are processes of that host. So run.py is started in an emulated host,
its lines are passed on as they come, and when none has come for longer than a case may take by its
own time-out and SILENCE seconds more, the host is given up and a new one goes on with the cases
that have no result yet. The case that was running is tried again; in the second host that it takes
down, it has failed. Where there are two processors, two hosts share the cases. Each host has a drive
with an empty file system for the images that cases use.

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
SHARES_MAX = 2       # hosts at once: each has one processor, and memory as it is used


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


def say(line):
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


class Share(threading.Thread):
    """Some of the cases, and the hosts in which they run, one after the other."""

    def __init__(self, todo, arguments):
        super().__init__()
        self.todo, self.arguments = todo, arguments
        self.passed = self.failed = self.skipped = self.freezes = 0
        self.blamed, self.again, self.retry = {}, [], []
        self.host = None

    def take(self, line):
        """A line that run.py has printed."""
        result = re.match(r'(ok|FAIL|skip) (.*)$', line)
        name = result and next((n for n in self.todo if result.group(2).startswith(n)
                                and result.group(2)[len(n):len(n) + 1] in (' ', ':')), None)
        if re.match(r'\d+ passed, ', line):
            return
        say(line)
        if not name:
            return
        self.todo.remove(name)
        self.passed += result.group(1) == 'ok'
        self.skipped += result.group(1) == 'skip'
        if result.group(1) == 'FAIL' and name not in self.again:
            self.again.append(name)
            self.retry.append(name)
        elif result.group(1) == 'FAIL':
            self.failed += 1

    def blame(self, host):
        """The host has ended with cases to do."""
        self.freezes += 1
        suspect = self.todo[0]
        self.blamed[suspect] = self.blamed.get(suspect, 0) + 1
        say('info the emulated host %s during %r; going on in a new one'
            % ('froze' if host.frozen else 'ended (status %s)' % host.process.returncode, suspect))
        if self.blamed[suspect] >= FREEZES_MAX:
            say('FAIL %s: took down %d emulated hosts' % (suspect, FREEZES_MAX))
            self.todo.remove(suspect)
            self.failed += 1

    def run(self):
        while self.todo and self.freezes < HOSTS_MAX:
            self.host = host = Host(self.todo, self.arguments)
            for line in host.lines():
                self.take(line)
            if self.todo:
                self.blame(host)
                continue
            self.todo, self.retry = self.retry, []
            if self.todo:
                say('info %d failed and are tried once more: %s'
                    % (len(self.todo), ', '.join(self.todo)))
        for name in self.todo + self.retry:
            say('FAIL %s: never run, %d emulated hosts froze' % (name, self.freezes))
            self.failed += 1


def end_hosts(shares):
    for share in shares:
        if share.host and share.host.process.poll() is None:
            share.host.give_up()
    os._exit(143)


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
    count = max(1, min(SHARES_MAX, os.cpu_count() or 1, len(todo)))
    shares = [Share(todo[i::count], arguments) for i in range(count)]
    # Each host is a session of its own: who ends us must not leave them behind.
    signal.signal(signal.SIGTERM, lambda *_: end_hosts(shares))
    for share in shares:
        share.start()
    for share in shares:
        share.join()

    freezes = sum(share.freezes for share in shares)
    again = [name for share in shares for name in share.again]
    failed = sum(share.failed for share in shares)
    if freezes:
        say('info %d emulated hosts froze and were started anew' % freezes)
    if again:
        say('info tried twice: %s' % ', '.join(again))
    say('%d passed, %d failed, %d skipped' % (sum(share.passed for share in shares), failed,
                                              sum(share.skipped for share in shares)))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
