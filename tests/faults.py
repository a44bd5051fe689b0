#!/usr/bin/env python3
"""faults.py - the host fails bantam in every way it can, one call at a time.

    tests/faults.py [-v] [-k WORD] [--all] [--seed N] [--jobs N] [--build DIR] [BANTAM]

`strace --inject` fails the n-th call of a kind, or has a signal come at it, in the program as it is
built for everybody. Each scenario is first run once to count its calls; then, for each kind of call and
each n, it is run with each error that this call can give, with EINTR, and with SIGTERM, SIGINT, SIGHUP
and SIGSTOP. Of kinds with many calls the first 20, the last 10 and 10 others are taken (--seed chooses
them), of disks and networks half as many; with --all every one. Then come faults that need no injection: too few descriptors, too
little memory, too few processes, streams that are closed or full, full and cut images.

What must hold, whatever fails (judge()):
  - it ends by itself within LIMIT_S, never by a signal of its own making (SIGSEGV, SIGABRT, SIGSYS);
  - status 125 comes with one line that says what failed;
  - another status is the one without any fault, and then the guest has done its work, or was told of
    the error by its device, or stderr says what was lost;
  - EINTR and SIGSTOP change nothing; a signal that ends it gives 128+n;
  - a result is whole or empty or not there, and agrees with the status;
  - no process, temporary file or lock is left; the terminal is as it was.

Limits. strace puts the number -1 in the place of a call that is to fail, which a seccomp filter refuses:
calls behind the lock are failed with `--sandbox off`, those before it with the sandbox too. strace
counts for each thread: where several threads come to their n-th call, each fails. close() isn't failed:
it would stay undone, which no kernel does. A signal is said by strace to one thread: only at calls of the
main thread, before the guest runs, must it end the run. Times come from the vDSO, no calls; bantam takes nothing but
CLOCK_MONOTONIC.

At the end stands how many faults were injected, and the line of counts.
"""

import concurrent.futures
import contextlib
import ctypes
import fcntl
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + '/guests')
from harness import USAGE, Tally, guest_options, why_no_kvm  # noqa: E402
from net import Stream, frame_of  # noqa: E402
from sandbox import REFUSE  # noqa: E402
from virtio import DISK_DONE, SALT, Disk  # noqa: E402

LIMIT_S = 30         # strace and a busy machine make it slow
MANY, FEW = (20, 10, 10), (10, 5, 5)     # of a kind's calls: the first, the last, others
SECTORS = 128        # of an image: what the guest needs
TIME_WAS_UP = 124

# What each kind of call can fail with.
NO_FILES = ['EMFILE']
NO_MEMORY = ['ENOMEM']
IO = ['EIO']
REFUSED = ['EPERM', 'ENOSYS']
ERRORS = {
    **dict.fromkeys(['open', 'openat', 'openat2', 'socket', 'socketpair', 'eventfd2', 'signalfd4', 'accept4',
                     'timerfd_create', 'memfd_create', 'pipe2', 'dup', 'epoll_create1'], NO_FILES),
    # munmap() can't fail: it is never given what lies within a mapping.
    **dict.fromkeys(['mmap', 'brk', 'mprotect', 'epoll_ctl'], NO_MEMORY),
    **dict.fromkeys(['read', 'readv', 'pread64', 'preadv', 'preadv2', 'fstat', 'newfstatat', 'statx', 'lseek',
                     'getdents64', 'fsync', 'fdatasync'], IO),
    **dict.fromkeys(['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2'], ['EIO', 'ENOSPC', 'EAGAIN']),
    **dict.fromkeys(['ftruncate', 'fallocate'], ['ENOSPC']),
    **dict.fromkeys(['unshare', 'mount', 'umount2', 'pivot_root', 'capget', 'capset', 'close_range', 'chdir',
                     'landlock_create_ruleset', 'landlock_add_rule', 'landlock_restrict_self', 'seccomp'],
                    REFUSED),
    'prlimit64': ['EPERM'], 'madvise': ['EINVAL'],
    'prctl': ['EINVAL'], 'fcntl': ['EMFILE', 'ENOLCK'], 'connect': ['ECONNREFUSED', 'EAGAIN'],
    'clone': ['EAGAIN'], 'clone3': ['EAGAIN'], 'fork': ['EAGAIN'], 'vfork': ['EAGAIN'],
    'ioctl': ['ENOMEM', 'EIO'], 'timerfd_settime': ['EINVAL'], 'getrandom': ['EAGAIN'],
    'io_uring_setup': ['ENOSYS', 'EPERM', 'ENOMEM'], 'io_uring_register': ['EINVAL'],
    'io_uring_enter': ['EAGAIN', 'EBUSY'],
}
# Calls that a signal may interrupt; of ioctls, those with these words.
INTERRUPTED = ['read', 'readv', 'preadv2', 'write', 'pwritev2', 'poll', 'ppoll', 'epoll_wait', 'epoll_pwait', 'futex',
               'io_uring_enter', 'fallocate', 'wait4']
INTERRUPTED_IOCTLS = 'KVM_RUN|KVM_CREATE_VM'
SIGNALS = ['TERM', 'INT', 'HUP', 'STOP']
ENDING = ['signal=TERM', 'signal=INT', 'signal=HUP']

# Calls that can't fail: to an eventfd, which always has room; a wake-up; an interrupt line, once there is a
# controller; the modes of a terminal that took others before; and COMMAND's input, whose failing is its end,
# as its guest here doesn't look for.
NEVER = r'ioctl\(\d+, (KVM_IRQ_LINE|(\w+ or )?TCSETS)|pwritev2\(\d+, \[{iov_base="\\1(\\0){7}", iov_len=8}|futex\(\w+, FUTEX_WAKE|preadv2\(0, .*=65536}'

CALL = re.compile(r'^(\d+) +(\w+)\((.*)')


def whole_calls(log):
    """The log's lines, with calls in one that strace has in two: begun, and resumed."""
    begun, lines = {}, []
    for line in log.splitlines():
        pid, _, rest = line.partition(' ')
        if rest.endswith(' <unfinished ...>'):
            begun[pid] = line[:-len(' <unfinished ...>')]
        elif ' resumed>' in rest and pid in begun:
            lines.append(begun.pop(pid) + rest.split(' resumed>', 1)[1])
        else:
            lines.append(line)
    return lines + list(begun.values())


class Scenario:
    """A run without a fault, and what it must come to.

    guest    its kernel; append, args, command: as in virtio.py
    out      patterns that the whole output has when the guest's work is done
    disks    images; typed: what there is on stdin; terminal: stdin and stdout are one
    status   without a fault; some: how many calls of a kind are failed (MANY)
    peer     there is one at the network's other end, {peer}
    path     only calls about this file ({disk}) are failed
    threads  io_uring is refused
    locked   whether calls before the lock are failed with the sandbox as well
    """

    def __init__(self, guest, append='', args=(), out=(), disks=0, typed=b'', terminal=False, status=0,
                 command=(), options='', locked=False, some=MANY, peer=False, path=None,
                 threads=False):
        self.guest, self.append, self.args, self.out, self.disks = guest, append, args, out, disks
        self.typed, self.terminal, self.status, self.command = typed, terminal, status, command
        self.options, self.locked = options, locked
        self.some, self.peer, self.path, self.threads = some, peer, path, threads


POWERED_OFF = 'bantam: the guest powered off'
GIVE_UP = ['--timeout', '8s']     # a guest whose input has failed waits for ever
PLAY = 'play=cstart;oone;etwo;i;cend_stdout_8;cend_stderr_3;cexit_7'
A_DISK = Scenario('disk', 'salt=%d msix' % SALT, out=DISK_DONE, disks=1, some=FEW)
SCENARIOS = {
    'hello': Scenario('hello', out=['hello from a 32-bit PVH guest'], locked=True),
    'two vCPUs, initrd, trace, statistics': Scenario(
        'hello64', args=['-c', '2', '--initrd', '{file}', '--trace', 'all={trace}', '--stats'],
        out=['hello from a 64-bit PVH guest']),
    'input from a pipe': Scenario('echo', args=GIVE_UP, typed=b'hi\nquit\n', out=['line: hi', 'line: quit']),
    'a terminal': Scenario('echo', args=GIVE_UP, typed=b'hi\rquit\r', out=['line: hi', 'line: quit'],
                           terminal=True),
    'COMMAND and a volume': Scenario(
        'play-init', PLAY, ['--initrd', '{file}', '-v', '{shared}:/v'], ['^onehello'], typed=b'hello',
        status=7, command=['--', 'x'], locked=True),
    'a disk by io_uring': A_DISK,
    'a disk by threads': Scenario('disk', 'salt=%d msix' % SALT, out=DISK_DONE, disks=1, some=FEW,
                                  threads=True),
    "a disk by threads, its image's calls": Scenario('disk', 'salt=%d' % SALT, out=DISK_DONE, disks=1,
                                                     path='{disk}', threads=True),
    'a network': Scenario('echo-net', 'msix', ['--net', 'socket={peer}', *GIVE_UP],
                          ['^[1-9][0-9]* frames sent back'], some=FEW, peer=True),
}


class Peer:
    """Listens at a path; each who comes gets a frame, and one that ends the guest."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        # Who ends us shuts the listener down.
        with contextlib.suppress(OSError):
            while True:
                with self.listener.accept()[0] as sock, contextlib.suppress(OSError):
                    peer = Stream(sock)
                    peer.send(frame_of(60))
                    peer.send(frame_of(60, b'bye'))
                    while peer.receive():
                        pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


class Run:
    """One run of a scenario in a directory of its own, under strace if there are `inject`s."""

    def __init__(self, tools, scenario, inject=(), sandbox='off', before=None, stdio=None, wake=False,
                 image=None, result=None, open_to_all=False):
        """image, result: files in the place of our own; open_to_all: bantam runs as somebody else."""
        self.scenario, self.sandbox = scenario, sandbox
        self.image_path, self.result_path, self.open_to_all = image, result, open_to_all
        self.log = self.out = self.err = ''
        self.wrong = None
        with tempfile.TemporaryDirectory(prefix='bantam-faults-') as self.scratch:
            self.boot(tools, inject, before, stdio or {}, wake)

    def path(self, name):
        return self.scratch + '/' + name

    def boot(self, tools, inject, before, stdio, wake):
        bantam, guests = tools
        scenario = self.scenario
        kernel = '%s/%s.elf' % (guests, scenario.guest)
        for name in ('tmp', 'shared'):
            os.mkdir(self.path(name))
        with open(self.path('file'), 'wb') as file:
            file.write(bytes(range(256)) * 64)
        if self.open_to_all:
            for path in (self.scratch, self.path('tmp')):
                os.chmod(path, 0o777)
            bantam, kernel = (shutil.copy(path, self.scratch) for path in (bantam, kernel))
        fill = {name: self.path(name) for name in ('file', 'trace', 'console', 'shared', 'peer', 'disk')}
        self.disks = [Disk(scenario.options, None if scenario.options else SALT, SECTORS)
                      for _ in range(scenario.disks)]
        argv = [bantam, 'run', '--sandbox', self.sandbox, '--result',
                self.result_path or self.path('result')]
        argv += [arg.format(**fill) for arg in scenario.args]
        for disk in self.disks:
            disk.make(self.path('disk'))
            argv += ['--disk', (self.image_path or disk.path) + disk.options]
        if scenario.append:
            argv += ['-a', scenario.append]
        argv += [kernel, *scenario.command]
        if inject:
            about = ['-P', scenario.path.format(**fill)] if scenario.path else []
            # Where the filter stops a thread, strace has no signal come.
            quick = [] if any(':signal=' in arg for arg in inject) else ['--seccomp-bpf']
            argv = ['strace', '-f', *quick, '-qq', '-s', '8', '-o', self.path('log'), *about, *inject,
                    '--', *argv]
        if scenario.threads:
            argv = [REFUSE, 'io_uring_setup=ENOSYS', '--', *argv]
        if scenario.peer:
            peer = Peer(fill['peer'])
        master = slave = -1
        if scenario.terminal:
            master, slave = os.openpty()
            modes = termios.tcgetattr(slave)
            os.write(master, scenario.typed)
            stdio = {'stdin': slave, 'stdout': slave}

        def in_child():
            if scenario.terminal:
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            if before:
                before()

        process = subprocess.Popen(
            argv, start_new_session=True, preexec_fn=in_child, env=dict(os.environ, TMPDIR=self.path('tmp')),
            **{'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **stdio})
        with contextlib.ExitStack() as closing:
            if scenario.peer:
                closing.callback(peer.close)
            if scenario.terminal:
                closing.callback(os.close, master)
                closing.callback(os.close, slave)
            self.wait(process, wake)
            if scenario.terminal:
                if termios.tcgetattr(slave) != modes:
                    self.wrong = self.wrong or 'the terminal is not as it was'
                while select.select([master], [], [], 0)[0]:
                    self.out += os.read(master, 65536).decode('latin-1')
        self.look(any(':signal=' in arg for arg in inject))

    def wait(self, process, wake):
        end = time.monotonic() + LIMIT_S
        typed = None if self.scenario.terminal else self.scenario.typed
        while True:
            try:
                out, err = process.communicate(typed, timeout=0.05 if wake else LIMIT_S)
                break
            except subprocess.TimeoutExpired:
                typed = None
                if wake and time.monotonic() < end:
                    os.killpg(process.pid, signal.SIGCONT)
                    continue
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                self.wrong = 'no end within %d s' % LIMIT_S
                break
        self.out, self.err = (out or b'').decode('latin-1'), (err or b'').decode('latin-1')
        self.status = process.returncode
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)   # its own session: nobody else is hit
            self.wrong = self.wrong or 'a process is left behind'

    def look(self, cut_off):
        """Keeps what is looked at when the directory is gone."""
        for name in ('log', 'console', 'result'):
            setattr(self, name, None)
            if os.path.exists(self.path(name)):
                with open(self.path(name), encoding='latin-1') as file:
                    setattr(self, name, file.read())
        self.injected = len(re.findall(r'\(INJECTED\)|--- SIG(TERM|INT|HUP|STOP) .*SI_KERNEL', self.log or ''))
        if self.console:
            self.out += self.console
        self.image = self.image_wrong()
        # Of an io_uring whose process is cut off at its end, the kernel lets the files go a moment later.
        end = time.monotonic() + LIMIT_S
        while cut_off and self.image and 'locked' in self.image and time.monotonic() < end:
            time.sleep(0.02)
            self.image = self.image_wrong()
        if self.image and 'locked' in self.image:
            self.wrong = self.wrong or self.image
        if os.listdir(self.path('tmp')):
            self.wrong = self.wrong or 'files are left: %s' % os.listdir(self.path('tmp'))

    def image_wrong(self):
        return next((wrong for wrong in (disk.wrong() for disk in self.disks) if wrong), None)

    def undone(self):
        """What of the guest's work isn't done, or None."""
        for pattern in self.scenario.out:
            if not re.search(pattern, self.out, re.M):
                return 'the output lacks %r' % pattern
        if 'WRONG' in self.out:
            return re.search('.*WRONG.*', self.out).group()
        return self.image

    def told(self):
        """Whether guest or user know of what failed; of wrong data the guest must."""
        if re.search(r'status 1\b', self.out):
            return True
        return 'WRONG' not in self.out and not self.image and \
            'bantam: ' in self.err.replace(POWERED_OFF, '')

    def said_by_guest(self):
        return re.sub('(?m)^.*bantam: .*$|^(hi|quit)\\s*', '', self.out).strip()


def check_result(run, expected=()):
    """expected: statuses of signals, which may come when the result is written already."""
    if 'result could not be written' in run.err or run.status < 0:
        return None
    if not run.result:
        # A run that hasn't begun has none.
        begun = run.status not in (USAGE, *expected) or run.said_by_guest()
        return 'there is no result' if begun else None
    try:
        code = json.loads(run.result)['exit_code']
    except ValueError:
        return 'the result is cut short'
    if code != run.status and not (run.status in expected and code == run.scenario.status):
        return 'the result says %s, the status is %s' % (code, run.status)
    return None


def judge(run, expected=(), same=False, must=False):
    """Returns what is wrong, or None. expected: statuses that are right besides (must: no other is); same: it
    is to go as without a fault."""
    scenario = run.scenario
    if run.wrong:
        return run.wrong
    if run.status in expected and not same:
        if run.status < 0 and (run.err or run.said_by_guest()):
            return 'signal %d, when it had begun' % -run.status
        return check_result(run, expected)
    if must:
        return 'the signal did not end it: status %s' % run.status
    if run.status == TIME_WAS_UP and "input can't be read" in run.err + run.out and not same:
        return check_result(run)
    if run.status == scenario.status:
        undone = run.undone()
        if undone and (same or not run.told()):
            return '%s, and nobody was told' % undone
        return check_result(run)
    if same or run.status != USAGE:
        return 'status %s; it said %.300s' % (run.status, run.err)
    said = re.findall('bantam: .{8}', run.err + run.out)
    if not said:
        return 'status %s without a word' % run.status
    if len(said) > 3:
        return 'many lines: %.300s' % run.err
    return check_result(run)


# ---- injected ----

def numbers(count, some, options, source):
    first, last, others = some
    if count <= sum(some) or options.all:
        return list(range(1, count + 1))
    middle = source.sample(range(first + 1, count - last + 1), others)
    return sorted([*range(1, first + 1), *middle, *range(count - last + 1, count + 1)])


def count_calls(log, locked):
    """{name: [arguments of the most calls that a thread makes]}, None for one that can't fail; and {name: how
    many the main thread makes before the guest runs}. locked: before the first filter."""
    calls, early, main, ran = {}, {}, None, False
    for line in log.splitlines():       # in the order in which they begin
        match = CALL.match(line)
        main = main or match and match[1]
        if not match or match[2] in ('execve', 'exit', 'exit_group'):
            continue
        if locked and re.search('SECCOMP_(SET_)?MODE_FILTER, [^N0]', line):
            break
        calls.setdefault((match[2], match[1]), []).append(match[0].split(' ', 1)[1].strip())
        if 'KVM_RUN' in line:
            ran = True
        if not ran and match[1] == main:    # what comes to another thread is not the process's
            early[match[2]] = len(calls[match[2], match[1]])
    longest = {}
    for (name, _), made in sorted(calls.items(), key=lambda item: len(item[1])):
        longest[name] = list(made)
    # Where one thread's call can't fail, none is failed.
    for (name, _), made in calls.items():
        for i, call in enumerate(made):
            if re.match(NEVER, call):
                longest[name][i] = None
    return longest, early


def faults_of(calls, some, options, source):
    """Yields (call, what strace is to do, n)."""
    for name, made in sorted(calls.items()):
        chosen = [n for n in numbers(len(made), some, options, source) if made[n - 1] is not None]
        for n in chosen:
            for error in ERRORS.get(name, ()):
                yield name, 'error=' + error, n
        for n in chosen:
            if name in INTERRUPTED or name == 'ioctl' and re.search(INTERRUPTED_IOCTLS, made[n - 1]):
                yield name, 'error=EINTR', n
        if name in ('prctl', 'fcntl', 'rt_sigaction', 'munmap', 'rt_sigprocmask') and not options.all:
            continue      # many, and no other place in the program than their neighbours
        for n in chosen:
            yield name, 'signal=' + SIGNALS[source.randrange(len(SIGNALS))], n


def inject(tools, scenario, sandbox, fault, early, tries=4):
    """Returns (what is wrong or None, how many were injected, the run). early: it is before the guest runs."""
    name, what, n = fault
    run = Run(tools, scenario, ['-e', 'trace=' + name,
                                '-e', 'inject=%s:%s:when=%d' % (name, what, n)], sandbox,
              wake=what == 'signal=STOP')
    # Strace itself may fail on a busy host; and a guest may end while its signal is still on the way.
    again = 'strace: ' in run.err or early and what in ENDING and run.status == scenario.status
    if again and tries > 1:
        return inject(tools, scenario, sandbox, fault, early, tries - 1)
    if sandbox == 'on' and len(set(re.findall(r'(?m)^(\d+) .*INJECTED', run.log))) > 1:
        return None, 0, run          # another thread was hit as well, and was locked in
    expected = ()
    if what in ENDING:
        number = getattr(signal, 'SIG' + what[7:])
        expected = (128 + number, -number)
    hit = [line for line in whole_calls(run.log) if 'INJECTED' in line]
    if any(re.search(r'^\d+ +(%s)' % NEVER, line) for line in hit):
        return None, 0, run          # other threads came to other calls this time
    if run.status in expected:
        run.injected = 1             # strace does not see what a signalfd has read
    same = what in ('error=EINTR', 'signal=STOP') or not (run.injected or expected)
    return judge(run, expected, same, early and expected), run.injected, run


def scenario_runs(tools, name, scenario, options, pool):
    """Runs a scenario with all its faults: (what is wrong or None, count, output)."""
    injected, failures = 0, []
    output = ()
    for sandbox in ['off', 'on'] if scenario.locked else ['off']:
        plain = Run(tools, scenario, ['-e', 'trace=all'], sandbox)
        reason = judge(plain, same=True)
        if reason:
            return 'without a fault: ' + reason, 0, (('err', plain.err),)
        source = random.Random('%s %d' % (name, options.seed))
        calls, early = count_calls(plain.log, sandbox == 'on')
        faults = list(faults_of(calls, scenario.some, options, source))
        if sandbox == 'on':
            faults = [fault for fault in faults if not fault[1].startswith('signal')]
        for fault, (reason, count, run) in zip(faults, pool.map(
                lambda fault: inject(tools, scenario, sandbox, fault, fault[2] <= early.get(fault[0], 0)), faults)):
            injected += count
            if reason:
                failures.append('%s:%s:when=%d, sandbox %s: %s' % (*fault, sandbox, reason))
                output += (('fault', failures[-1]), ('err', run.err[-600:]), ('out', run.out[-300:]),
                           ('log', '\n'.join(re.findall('.*INJECTED.*', run.log or '')[:3])))
    if not injected:
        return 'nothing was injected', 0, ()
    if failures:
        return '%d of %d: %s' % (len(failures), injected, failures[0]), injected, output
    return None, injected, output


# ---- without injection ----

def limit(which, value):
    return lambda: resource.setrlimit(which, (value, value))


def until_it_suffices(tools, scenario, which, values):
    """Under each limit it fails with a word, or does its work; under the last one it does. Returns (what is
    wrong or None, how many failed)."""
    failed = 0
    for value in values:
        run = Run(tools, scenario, before=limit(which, value), sandbox='on')
        reason = judge(run)
        if reason:
            return 'a limit of %d: %s' % (value, reason), failed
        failed += run.status != scenario.status
    return None if not judge(run, same=True) and failed else 'the limits are all too %s' % (
        'small' if failed else 'large'), failed


def few_descriptors(tools):
    return until_it_suffices(tools, A_DISK, resource.RLIMIT_NOFILE, range(3, 64))


def few_descriptors_with_a_volume(tools):
    return until_it_suffices(tools, SCENARIOS['COMMAND and a volume'], resource.RLIMIT_NOFILE,
                             [*range(3, 40), *range(40, 257, 8)])


def little_memory(tools):
    scenario = Scenario('hello', args=['-m', '16M'], out=SCENARIOS['hello'].out)
    return until_it_suffices(tools, scenario, resource.RLIMIT_AS, range(4 << 20, 48 << 20, 256 << 10))


def few_processes(tools):
    """By users whom nobody else is: the limit counts all that a user runs."""
    scenario = Scenario('hello64', args=['-c', '4'], out=['hello from'])
    group = os.stat('/dev/kvm').st_gid
    for most in range(1, 8):
        def become(most=most):
            limit(resource.RLIMIT_NPROC, most)()
            os.setgroups([group])
            os.setgid(group)
            os.setuid(2000000 + os.getpid())
        reason = judge(Run(tools, scenario, before=become, sandbox='on', open_to_all=True))
        if reason:
            return 'at most %d: %s' % (most, reason), most
    return None, most


def streams(tools):
    """Streams that are closed, full or left by their reader, besides what tests/guests/run.py has."""
    hello, command = SCENARIOS['hello'], SCENARIOS['COMMAND and a volume']
    read_end, gone = os.pipe()
    os.close(read_end)
    full = os.open('/dev/full', os.O_WRONLY)
    cases = [('stdout full', hello, {'stdout': full}, None, 0),
             ('stderr full', hello, {'stderr': full}, None, 0),
             ('stderr without a reader', hello, {'stderr': gone}, None, 0),
             ('stderr closed', hello, {}, [2], 0),
             ('all closed', hello, {}, [0, 1, 2], 0),
             ("COMMAND's stdout full", command, {'stdout': full}, None, USAGE)]
    for name, scenario, stdio, closed, status in cases:
        run = Run(tools, scenario, stdio=stdio, sandbox='on',
                  before=lambda closed=closed: [os.close(fd) for fd in closed or ()])
        reason = run.wrong or check_result(run)
        if not reason and run.status != status:
            reason = 'status %s; it said %.200s' % (run.status, run.err)
        if not reason and 'stdout' in stdio and 'bantam: ' not in run.err.replace(POWERED_OFF, ''):
            reason = 'nobody was told'
        if reason:
            return '%s: %s' % (name, reason), len(cases)
    return None, len(cases)


def full_file_system(tools):
    """A sparse image has no room for what the guest writes; a result has none."""
    sparse = Scenario('disk', 'salt=%d' % SALT, disks=1, out=['write: status 1', 'disk done'])
    hello = SCENARIOS['hello']
    for name, scenario, status, words in (
            ('image', sparse, 0, ''), ('result', hello, USAGE, 'result could not be written')):
        with tempfile.TemporaryDirectory(prefix='bantam-faults-') as place:
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', place], check=True)
            try:
                path = place + '/' + name
                with open(path, 'wb') as file:
                    file.truncate(2 << 20 if name == 'image' else 0)
                with contextlib.suppress(OSError), open(place + '/rest', 'wb', buffering=0) as file:
                    while file.write(bytes(4096)):
                        pass
                run = Run(tools, scenario, sandbox='on', **{name: path})
            finally:
                # What still holds a file of it holds the next one's image, too.
                busy = subprocess.run(['umount', place], stderr=subprocess.PIPE, text=True).stderr
                if busy:
                    subprocess.run(['umount', '-l', place], check=True)
        missing = [pattern for pattern in scenario.out if not re.search(pattern, run.out)]
        if busy or run.wrong or run.status != status or missing or words not in run.err:
            return '%s: %s, status %s, lacks %s; it said %s' % (name, busy or run.wrong, run.status, missing,
                                                                run.err), 2
    return None, 2


def cut_image(tools):
    """An image is cut while the guest reads: the guest has the error, and goes on."""
    bantam, guests = tools
    for options in ('', ',ephemeral', ',direct'):
        with tempfile.TemporaryDirectory(prefix='bantam-faults-') as scratch:
            disk = Disk(options)
            disk.make(scratch + '/disk')
            process = subprocess.Popen([bantam, 'run', '--disk', disk.path + options, '-a', 'loop',
                                        guests + '/disk.elf'], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            kill = threading.Timer(LIMIT_S, process.kill)
            kill.start()
            seen = b''
            while b'looping' not in seen:
                seen += os.read(process.stdout.fileno(), 4096) or b'looping (over)'
            os.truncate(disk.path, 0)
            while b'sectors at 7: status 1' not in seen and process.poll() is None:
                seen += os.read(process.stdout.fileno(), 4096)
            process.terminate()
            process.communicate()
            kill.cancel()
            if process.returncode != 128 + signal.SIGTERM:
                return '%s: status %s' % (options or 'plain', process.returncode), 3
    return None, 3


HOST = [few_descriptors, few_descriptors_with_a_volume, little_memory, few_processes, streams, full_file_system,
        cut_image]


def own_mounts():
    """A mount name space of our own, for small file systems; returns why there is none, or None."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x20000):      # CLONE_NEWNS
        return 'no mount name space: %s' % os.strerror(ctypes.get_errno())
    subprocess.run(['mount', '--make-rprivate', '/'], check=True)
    return None


def attempt(function, *args):
    """What it returns, or a failure where the test itself breaks down."""
    try:
        return function(*args)
    except Exception as error:
        return 'the test broke down: %r' % error, 0


def main():
    options, bantam, guests = guest_options('Fails bantam in every way that a host can.', 'hello',
                                            more={'--all': {'action': 'store_true'},
                                                  '--jobs': {'type': int, 'default': 2 * os.cpu_count()}})
    # Whoever started this may have had it ignore these (nohup, a script's `&`), and bantam would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    tools = bantam, guests
    tally = Tally()
    names = [name for name in SCENARIOS if options.k in name]
    reason = why_no_kvm(bantam, guests + '/hello.elf') or \
        (None if shutil.which('strace') else 'strace is not installed')
    if reason:
        tally.skip(len(names), reason)
        return tally.close()
    print('seed %d' % options.seed)
    total = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name in names:
            began = time.monotonic()
            reason, injected, *output = attempt(scenario_runs, tools, name, SCENARIOS[name], options, pool)
            total += injected
            tally.result('%s: %d faults' % (name, injected), reason, time.monotonic() - began,
                         output[0] if options.v and output else ())
    host = [function for function in HOST if options.k in function.__name__.replace('_', ' ')]
    reason = own_mounts() if host else None
    if reason:
        tally.skip(len(host), reason)
        host = []
    for function in host:
        began = time.monotonic()
        reason, count = attempt(function, tools)
        total += count
        tally.result('%s: %d faults' % (function.__name__.replace('_', ' '), count), reason,
                     time.monotonic() - began)
    print('%d faults injected' % total)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
