#!/usr/bin/env python3
"""sandbox.py - runs bantam under strace and compares what it asks of the kernel with its lists.

    tests/guests/sandbox.py [-v] [-k WORD] [--build DIR] [BANTAM]

Each scenario is a function that runs a test guest: ended in every way, with its console on all that
a console can be, with a trace, a restart, a stop. It is run twice, with the sandbox on and with
`--sandbox audit`, which stops nothing; both times `strace -f` writes down the system calls of each
thread after its own filter was installed. Then

  - no thread makes a call that its kind's list doesn't have, and
  - each call of each kind's list is made by a thread of that kind in some scenario, but for the
    rows of NOT_SEEN, which have their reasons beside them.

And it looks at what /proc says of a machine that runs: capabilities, namespaces, limits, filters, with
and without `--run-as`; and counts how many calls are left over all threads, of which there may not be
more than there were.

The lists are those inside the program: SANDBOX_CALLS() (vmm/sandbox.h) puts its rows into a section
of their own, which is read from the ELF file. So they are those of its C library, however it was
built, and nothing is compared with a list of another build.

BANTAM is the program (default: $BANTAM, or ./bantam); the guests are taken from DIR/guests
(default: $BUILD, or build). -k runs some scenarios only, and then doesn't look for unused rows; -v
prints the calls of each kind with the scenario that made each first.

One line a scenario and mode: ok or FAIL with a reason; then one for the unused rows. The last line
counts them. The exit status is 1 if any failed. Without /dev/kvm, strace or seccomp filters
everything is skipped, and that is no failure.

Kinds: the main thread is the process's first, the others are told by their names; of a device's
threads the scenario says what they are besides workers. In a scenario that restarts,
the main thread has the rows of `restart` too, and so have threads made after it was locked in,
until they lock themselves in; from then on they are under both filters. A row of `main` must be
needed without any restart.
"""

import argparse
import array
import contextlib
import fcntl
import os
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Tally, Wrong, want, why_no_kvm  # noqa: E402
from rsp import Client  # noqa: E402
from net import Stream, Tap, echo, frame_of, why_no_taps  # noqa: E402
from packed import pack  # noqa: E402

PATIENCE = 20        # seconds for anything that should happen soon; strace makes all of it slow
GUEST_DIED = 255
TIME_WAS_UP = 124
QUIT_KEY = 130

F_SETPIPE_SZ = 1031  # fcntl has it from Python 3.10 on
ENDED = r'.*\+\+\+ (exited|killed)'      # what strace says of a thread

# As in vmm/sandbox.h.
MAIN, VCPU, RESTART, WORKER, NET, CHILD, CONNECT, STREAM, FILES, CHANGE, RING, HELPER, SOCKET, \
    LIMIT, REPORT, GDB = (1 << bit for bit in range(16))
KINDS = {MAIN: 'main', VCPU: 'vcpu', RESTART: 'restart', WORKER: 'worker', NET: 'net',
         CONNECT: 'connect', STREAM: 'stream', RING: 'ring', HELPER: 'helper', SOCKET: 'socket',
         FILES: 'files', CHANGE: 'change', LIMIT: 'limit', REPORT: 'report',
         GDB: 'gdb'}
# No guest here has a driver for a volume: what its threads ask for, tests/system/share_run.py needs.
FROM_STOCK_KERNELS = FILES | CHANGE
# The most calls that a machine with a disk and a tap may have, and with a volume besides.
MACHINE = MAIN | VCPU | WORKER | RING | NET
MOST = {'a disk and a tap': (MACHINE, 14), 'and a read-only volume': (MACHINE | FILES, 26),
        'and a volume': (MACHINE | FILES | CHANGE, 40)}
REFUSE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'system',
                      'refuse')

# Rows that no scenario is sure to need, and the row that is needed in their place (None: none).
NOT_SEEN = {
    # A worker handles a signal only when it crashes; a vCPU sends one only then.
    ('worker', 'rt_sigreturn'): None,
    ('worker', 'tgkill'): None,
    ('vcpu', 'tgkill'): None,
    # glibc's abort() asks for both.
    ('main', 'gettid'): None,
    ('main', 'getpid'): None,
    ('vcpu', 'gettid'): None,
    ('vcpu', 'getpid'): None,
    ('worker', 'gettid'): None,
    ('worker', 'getpid'): None,
    # No guest here discards; tests/system does, locked in as well.
    ('helper', 'fallocate'): None,
    # Older kernels end a poll; any may be short of memory.
    ('ring', 'preadv2'): None,
    ('ring', 'poll'): None,
    # The vDSO tells the time without a call almost everywhere.
    ('main', 'clock_gettime'): None,
    ('worker', 'clock_gettime'): None,
    # glibc makes threads with clone3, and with clone where there is none: on older kernels, and
    # under container run-times that refuse it.
    ('restart', 'clone'): 'clone3',
    # glibc keeps the stacks of ended threads for new ones, guard and all.
    ('restart', 'mprotect'): None,
    # Old and new versions of glibc ask for a file's size by fstat, those between by newfstatat.
    ('restart', 'fstat'): 'newfstatat',
    ('restart', 'newfstatat'): 'fstat',
}


# ---- the lists ----

class Row:
    """What SANDBOX_CALLS() has: struct sandbox_call."""

    BYTES = 56

    def __init__(self, number, threads, name, why, error):
        self.number, self.threads, self.name, self.why = number, threads, name, why
        self.error = error   # it doesn't happen, but this is answered


def read_rows(path):
    """Returns the rows of an ELF64 program's section sandbox_rows."""
    with open(path, 'rb') as f:
        image = f.read()
    if image[:6] != b'\x7fELF\x02\x01':
        sys.exit('sandbox.py: %s is no 64-bit ELF file' % path)
    section_table, = struct.unpack_from('<Q', image, 0x28)
    entry_bytes, entries, names_index = struct.unpack_from('<HHH', image, 0x3a)
    # name, type, flags, address, offset, size, link, info, alignment, entry size
    headers = [struct.unpack_from('<IIQQQQIIQQ', image, section_table + i * entry_bytes)
               for i in range(entries)]

    def text_at(offset):
        return image[offset:image.index(b'\0', offset)].decode()

    sections = {text_at(headers[names_index][4] + header[0]): header for header in headers}
    if 'sandbox_rows' not in sections:
        sys.exit('sandbox.py: %s has no section sandbox_rows' % path)
    # A position-independent program's pointers are in its relocations: R_X86_64_RELATIVE.
    pointers = {}
    _, _, _, _, offset, size, _, _, _, _ = sections.get('.rela.dyn', (0,) * 10)
    for at in range(offset, offset + size, 24):
        where, info, addend = struct.unpack_from('<QQq', image, at)
        if info & 0xffffffff == 8:
            pointers[where] = addend

    def string_at(address, where):
        address = pointers.get(where, address)
        for header in headers:
            if header[1] == 1 and header[2] & 2 and header[3] <= address < header[3] + header[5]:
                return text_at(header[4] + address - header[3])
        sys.exit('sandbox.py: a row of %s points nowhere' % path)

    _, _, _, address, offset, size, _, _, _, _ = sections['sandbox_rows']
    rows = []
    for at in range(0, size, Row.BYTES):
        number, threads, name, why, error = struct.unpack_from('<iIQQI', image, offset + at)
        rows.append(Row(number, threads, string_at(name, address + at + 8),
                        string_at(why, address + at + 16), error))
    return rows


def numbers_of(rows, kinds):
    return {row.number for row in rows if row.threads & kinds}


# ---- what strace has written ----

CALL_LINE = re.compile(r'^(\d+) +\[ *(-?\d+|0x\w+)\] (<\.\.\. )?(\w+)(?:\((.*)| resumed>(.*))$')


class Calls:
    """The calls of each thread once it was locked in: (kinds of the filters, number, name)."""

    def __init__(self, log, pid, main_kind, devices):
        self.made = []                   # ([bits of each filter], number, name), in order
        self.refused = []                # SIGSYS
        # For the end of an io_uring: what it needs was kept from it.
        self.in_vain = re.search(r'poll\(\[{fd=\d+, events=0}\], 1, \d{4}\).* = 0 \(Timeout\)', log)
        filters = {pid: []}
        inherited = []
        entering = set()
        kinds = {}                       # what each thread's filter will be, by its name
        self.threads = self.locked = 0
        for line in log.splitlines():
            if re.match(r'\d+ .*--- SIGSYS ', line):
                self.refused.append(line)
            match = CALL_LINE.match(line)
            if not match:
                continue
            tid, number, resumed, name = int(match[1]), int(match[2], 0), match[3], match[4]
            rest = match[5] or match[6] or ''
            # Only the main thread makes threads; they have the filter that it had then.
            if name in ('clone', 'clone3') and not resumed:
                inherited = filters[tid]
            if tid not in filters:
                filters[tid] = inherited
                self.threads += 1
            if not resumed and filters[tid]:
                self.made.append((filters[tid], number, name))
            thread = re.match(r'PR_SET_NAME, "(?:cpu|(\w+))', rest)
            if thread:
                kinds[tid] = WORKER | devices.get(thread[1], 0) if thread[1] else VCPU
                kinds[tid] |= main_kind & SOCKET
            if not resumed and name in ('prctl', 'seccomp') and \
                    re.search(r'SECCOMP_(MODE|SET_MODE)_FILTER', rest):
                entering.add(tid)
            if tid in entering and not rest.endswith('<unfinished ...>'):
                entering.discard(tid)
                if re.search(r'= 0$', rest):
                    filters[tid] = filters[tid] + [main_kind if tid == pid
                                                   else kinds.get(tid, VCPU)]
                    self.locked += 1


# ---- a run of the monitor ----

class Monitor:
    """bantam under strace, which is no parent of it: its process id and status are its own."""

    def __init__(self, bantam, guests, scratch, mode):
        self.bantam, self.guests, self.scratch, self.mode = bantam, guests, scratch, mode
        self.log_path = scratch + '/strace'
        self.process = self.out = self.keys = None
        self.seen, self.err = b'', b''
        self.restarts = False
        self.closing = []

    def path(self, name):
        return self.scratch + '/' + name

    def start(self, guest, *args, stdin='null', stdout='pipe', stderr='pipe', wrap=(), devices=None,
              main=0, command=()):
        """guest: its name, or a kernel's path. wrap: a command in front of all. stdin: null, pipe (type()
        writes into it) or terminal. stdout: pipe, socket, terminal, or a descriptor. stderr: pipe,
        terminal. devices: what the threads of 'virtioN' are besides workers (default: virtio1 is a disk
        with a ring). main: what the main thread is besides. command: behind --. Returns our end of
        stdout."""
        self.restarts = 'restart' in args
        self.devices = devices or {'virtio1': HELPER if wrap else RING}
        self.main_kind = MAIN | main | (RESTART if self.restarts else 0)
        if '--stats' in args or '--result' in args:
            self.main_kind |= REPORT
        if stdout == 'socket':
            self.main_kind |= SOCKET
        fds, keep = [None] * 3, []
        slave = -1
        if 'terminal' in (stdin, stdout, stderr):
            master, slave = os.openpty()
            self.closing += [master]
            keep.append(slave)
        if stdin == 'pipe':
            fds[0], self.keys = os.pipe()
            self.closing.append(self.keys)
            keep.append(fds[0])
        elif stdin == 'terminal':
            fds[0], self.keys = slave, master
        else:
            fds[0] = os.open('/dev/null', os.O_RDWR)
            keep.append(fds[0])
        if stdout == 'terminal':
            fds[1], self.out = slave, master
        elif stdout == 'socket':
            ours, theirs = socket.socketpair()
            self.out, fds[1] = ours.detach(), theirs.detach()
            self.closing.append(self.out)
            keep.append(fds[1])
        elif stdout == 'pipe':
            self.out, fds[1] = os.pipe()
            self.closing.append(self.out)
            keep.append(fds[1])
        else:
            fds[1] = stdout
        if stderr == 'terminal':
            fds[2] = slave
        else:
            err, fds[2] = os.pipe()
            keep.append(fds[2])
            self.reader = threading.Thread(target=self.read_err, args=(err,), daemon=True)
            self.reader.start()

        def in_child():
            os.setsid()
            if slave >= 0:
                fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        argv = [*wrap, 'strace', '-DDD', '-f', '-q', '-n', '-s', '16', '-o', self.log_path, self.bantam,
                'run', '--sandbox', self.mode, *args,
                guest if '/' in guest else '%s/%s.elf' % (self.guests, guest), *command]
        self.process = subprocess.Popen(argv, stdin=fds[0], stdout=fds[1], stderr=fds[2],
                                        preexec_fn=in_child)
        for fd in keep:
            os.close(fd)
        return self.out

    def read_err(self, fd):
        while True:
            chunk = os.read(fd, 65536)
            if not chunk:
                break
            self.err += chunk
        os.close(fd)

    def look(self, seconds=0.0):
        """Takes what the guest has said; False when nothing more came."""
        if self.out is None or not select.select([self.out], [], [], seconds)[0]:
            return False
        try:
            chunk = os.read(self.out, 65536)
        except OSError:
            chunk = b''      # a terminal that nobody has open any more
        self.seen += chunk
        return bool(chunk)

    def see(self, pattern):
        """Waits for the guest to say something."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.seen, re.M):
            want(time.monotonic() < end, 'the guest has not said %r' % pattern)
            want(self.process.poll() is None, 'bantam has ended with %s; it said %r' %
                 (self.process.returncode, self.err))
            self.look(0.05)

    def type(self, keys):
        os.write(self.keys, keys)

    def close_stdin(self):
        self.closing.remove(self.keys)
        os.close(self.keys)

    def kill(self, number):
        self.process.send_signal(number)

    def traced(self):
        try:
            with open(self.log_path, encoding='latin-1') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    def until_traced(self, pattern, times=1, read=True):
        """Waits until strace has seen something that often; read: taking output meanwhile."""
        end = time.monotonic() + PATIENCE
        while len(re.findall(pattern, self.traced(), re.M)) < times:
            want(time.monotonic() < end, 'strace has not seen %r' % pattern)
            if not read or not self.look(0.05):
                time.sleep(0.05)

    def stop(self, number):
        """Stops it by a signal, and lets it go on."""
        self.kill(number)
        self.until_traced(r'--- stopped by SIGSTOP')
        time.sleep(0.2)
        self.kill(signal.SIGCONT)

    def wait(self, status, read=True):
        """Waits for its end, which must have that status, or that signal if it is negative."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            want(time.monotonic() < end, 'no end within %d s' % PATIENCE)
            if not read or not self.look(0.05):
                time.sleep(0.01)
        while read and self.look():
            pass
        # strace is another process, and may be behind.
        self.until_traced(r'^%d ' % self.process.pid + ENDED, read=read)
        want(self.process.returncode == status, 'status %s instead of %s; it said %r' %
             (self.process.returncode, status, self.err[-300:]))

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in self.closing:
            os.close(fd)


# ---- scenarios ----

SCENARIOS = []


def scenario(name):
    def add(function):
        SCENARIOS.append((name, function))
        return function
    return add


@scenario('power-off')
def _(m):
    m.start('poweroff')
    m.wait(0)


@scenario('4 vCPUs')
def _(m):
    m.start('smp', '-c', '4')
    m.wait(0)


@scenario('32 vCPUs with statistics')
def _(m):
    m.start('smp', '-c', '32', '--stats')
    m.wait(0)


@scenario('interrupts and timer')
def _(m):
    m.start('interrupts', '-c', '2')
    m.wait(0)


@scenario('input from a pipe')
def _(m):
    m.start('echo', stdin='pipe')
    m.type(b'hi\nquit\n')
    m.close_stdin()
    m.wait(0)
    want(b'line: hi' in m.seen, 'the input did not arrive')


@scenario('input that is held back')
def _(m):
    m.start('echo', '-a', 'fifo', stdin='pipe')
    m.see(rb'^ready')
    m.type(b''.join(b'line %03d\n' % i for i in range(300)) + b'quit\n')
    m.wait(0)


@scenario('input that nobody reads')
def _(m):
    m.start('spin', stdin='pipe')
    m.type(b'x' * 20000)
    m.see(rb'^spinning')
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('the console is a file')
def _(m):
    m.start('hello', '--console', m.path('console'))
    m.wait(0)


@scenario('the console is stderr')
def _(m):
    m.start('hello', '--console', 'stderr')
    m.wait(0)


@scenario('the console is off')
def _(m):
    m.start('hello', '--console', 'off')
    m.wait(0)


@scenario('stdout is a file')
def _(m):
    with open(m.path('out'), 'wb') as out:
        m.start('hello', stdout=out.fileno())
        m.wait(0)


@scenario('stdout is a socket')
def _(m):
    m.start('hello', stdout='socket')
    m.wait(0)
    want(b'hello from' in m.seen, 'no greeting')


@scenario('stdout\'s reader has gone')
def _(m):
    read_end, write_end = os.pipe()
    os.close(read_end)
    m.start('hello', stdout=write_end)
    os.close(write_end)
    m.wait(0)
    want(b'can\'t be written' in m.err, 'it said %r' % m.err)


@scenario('a slow reader at the end')
def _(m):
    pipe_bytes = fcntl.fcntl(m.start('overrun', '-a', 'kib=16'), F_SETPIPE_SZ, 4096)
    want(pipe_bytes <= 8192, 'the pipe holds %d bytes' % pipe_bytes)
    m.until_traced(ENDED, read=False)       # the vCPU's thread: the guest has powered off
    time.sleep(0.2)
    m.wait(0)
    want(m.seen.endswith(b'done\n'), 'the end is missing')


@scenario('a reader who never comes, and a signal')
def _(m):
    fcntl.fcntl(m.start('overrun', '-a', 'kib=1024'), F_SETPIPE_SZ, 4096)
    m.until_traced(r' = -1 EAGAIN ', read=False)
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM, read=False)


@scenario('on a terminal')
def _(m):
    m.start('echo', stdin='terminal', stdout='terminal', stderr='terminal')
    m.see(rb'^ready')
    m.type(b'hi\rquit\r')
    m.wait(0)
    want(b'line: hi' in m.seen, 'the input did not arrive')


@scenario('on a terminal, Ctrl-A x')
def _(m):
    m.start('spin', stdin='terminal', stdout='terminal', stderr='terminal')
    m.see(rb'^spinning')
    m.type(b'\x01x')
    m.wait(QUIT_KEY)


@scenario('on a terminal, SIGTSTP and SIGCONT')
def _(m):
    m.start('echo', stdin='terminal', stdout='terminal', stderr='terminal')
    m.see(rb'^ready')
    m.stop(signal.SIGTSTP)
    m.until_traced(r'ioctl\(0, .*TCSETS', 3)     # raw, as it was, raw
    m.type(b'hi\rquit\r')
    m.wait(0)


@scenario('on a terminal, a crash of our own')
def _(m):
    m.start('spin', stdin='terminal', stdout='terminal', stderr='terminal')
    m.see(rb'^spinning')
    m.kill(signal.SIGSEGV)
    m.wait(-signal.SIGSEGV)


@scenario('a crash of our own')
def _(m):
    m.start('spin', '-c', '2')
    m.see(rb'^spinning')
    m.until_traced('SECCOMP_MODE_FILTER', 4)    # a question, the main thread, two vCPUs …
    m.until_traced('KVM_RUN', 8)                # … which are all locked in by then
    m.kill(signal.SIGSEGV)
    m.wait(-signal.SIGSEGV)


@scenario('SIGTSTP without a terminal')
def _(m):
    m.start('spin')
    m.see(rb'^spinning')
    m.stop(signal.SIGTSTP)
    m.kill(signal.SIGINT)
    m.wait(128 + signal.SIGINT)


@scenario('SIGSTOP and SIGCONT while a time-out runs')
def _(m):
    m.start('spin', '--timeout', '3s')
    m.see(rb'^spinning')
    time.sleep(0.3)
    m.stop(signal.SIGSTOP)
    m.wait(TIME_WAS_UP)


@scenario('SIGSTOP and SIGCONT of an idle guest')
def _(m):
    m.start('idle', '-c', '2')
    m.see(rb'^idle')
    time.sleep(0.3)
    m.stop(signal.SIGSTOP)
    m.kill(signal.SIGHUP)
    m.wait(128 + signal.SIGHUP)


@scenario('a time-out')
def _(m):
    m.start('spin', '-c', '4', '--timeout', '500ms')
    m.wait(TIME_WAS_UP)


@scenario('a guest that does not hear its power button')
def _(m):
    m.start('idle', '--stop-timeout', '300ms')
    m.see(rb'^idle')
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('a debugger')
def _(m):
    m.start('debug', '--gdb', m.path('gdb'), '--gdb-wait', main=GDB)
    client = Client(m.path('gdb'))
    client.ask('G' + client.ask('g'))
    client.ask('qThreadExtraInfo,1')
    client.put('vCont;c')
    m.see(rb'^ready')
    client.stop()
    client.put('k')
    m.wait(128 + signal.SIGKILL)


@scenario('a result and statistics')
def _(m):
    m.start('timer', '--result', m.path('result'), '--stats')
    m.wait(0)
    want(b'exits from guest code' in m.err, 'no statistics')


@scenario('a result that can\'t be written')
def _(m):
    m.start('hello', '--result', '/dev/full')
    m.wait(125)


@scenario('a trace to a file')
def _(m):
    m.start('timer', '-c', '2', '--trace', 'all=' + m.path('trace'))
    m.wait(0)


@scenario('a trace to stderr')
def _(m):
    m.start('overrun', '-a', 'kib=4', '--trace', 'pio,irq')
    m.wait(0)


@scenario('a trace that can\'t be written')
def _(m):
    m.start('overrun', '-a', 'kib=4', '--trace', 'all=/dev/full')
    m.wait(0)
    want(b'the trace ends here' in m.err, 'it said %r' % m.err)


@scenario('a panic')
def _(m):
    m.start('panic', '--result', m.path('result'))
    m.wait(GUEST_DIED)


@scenario('a triple fault and its report')
def _(m):
    m.start('triplefault', '-c', '2', '--stats')
    m.wait(GUEST_DIED)


@scenario('KVM gives up, and the report')
def _(m):
    m.start('badio')
    m.wait(GUEST_DIED)


@scenario('restarts')
def _(m):
    m.start('reset', '-c', '4', '--on-reset', 'restart', '--stop-timeout', '0')
    m.until_traced(r'KVM_CREATE_VM', 4)
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('restarts with all that can be seen')
def _(m):
    m.start('reset', '-c', '8', '--on-reset', 'restart', '--stats', '--result', m.path('result'),
            '--trace', 'all=' + m.path('trace'), '--timeout', '3s', '--initrd', m.path('initrd'))
    m.wait(TIME_WAS_UP)


@scenario('restarts with a heap that is just full')
def _(m):
    # As many vCPUs as let glibc's heap grow when they are made for the second time.
    m.start('reset', '-c', '11', '--on-reset', 'restart', '--stats', '--trace', 'all=/dev/null')
    m.until_traced(r'KVM_CREATE_VM', 4)
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('restarts of an unpacked kernel')
def _(m):
    kernel, cache = pack(m.guests + '/reset.elf', m.path('bzImage')), 'XDG_CACHE_HOME=' + m.scratch
    # Once before, so that the one that is looked at needs no child.
    subprocess.run(['env', cache, m.bantam, 'run', '--dry-run', kernel], stdout=subprocess.DEVNULL, check=True)
    m.start(kernel, '--unpack', 'on', '-a', 'mem=256M', '--on-reset', 'restart', wrap=['env', cache])
    m.until_traced(r'KVM_CREATE_VM', 4)
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('restarts on a terminal')
def _(m):
    m.start('reset', '--on-reset', 'restart', stdin='terminal', stdout='terminal',
            stderr='terminal')
    m.until_traced(r'KVM_CREATE_VM', 3)
    m.type(b'\x01x')
    m.wait(QUIT_KEY)


def image(m):
    # Numbered words, as the guest expects them.
    with open(m.path('image'), 'wb') as f:
        array.array('I', range(4096 * 128)).tofile(f)
    return m.path('image')


@scenario('a disk')
def _(m):
    m.start('disk', '--disk', image(m) + ',queues=2', '-c', '2')
    m.wait(0)


@scenario('a disk by mmio, with a trace')
def _(m):
    m.start('disk', '--disk', image(m), '--transport', 'mmio', '-a', 'mmio', '--trace',
            'all=' + m.path('trace'))
    m.wait(0)


@scenario('a disk and hostile requests')
def _(m):
    m.start('hostile-block', '--disk', image(m))
    m.wait(0)


@scenario('a disk and hostile requests, by threads')
def _(m):
    m.start('hostile-block', '--disk', image(m), wrap=(REFUSE, 'io_uring_setup=EPERM', '--'))
    m.wait(0)


@scenario('a disk with a limit')
def _(m):
    m.start('disk', '--disk', image(m) + ',iops=40', devices={'virtio1': RING | LIMIT})
    m.wait(0)


@scenario('a disk by threads')
def _(m):
    m.start('disk', '--disk', image(m), wrap=(REFUSE, 'io_uring_setup=EPERM', '--'))
    m.wait(0)


@scenario('a disk by threads, stopped and continued')
def _(m):
    m.start('idle', '--disk', image(m), wrap=(REFUSE, 'io_uring_setup=EPERM', '--'))
    m.until_traced(r'KVM_RUN')
    m.stop(signal.SIGSTOP)
    m.until_traced(r'restart_syscall')
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('an ephemeral disk, and restarts')
def _(m):
    m.start('reset', '--disk', image(m) + ',ephemeral', '--on-reset', 'restart')
    m.until_traced(r'KVM_CREATE_VM', 4)
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('entropy')
def _(m):
    m.start('rng')
    m.wait(0)


@scenario('PCI')
def _(m):
    m.start('pci', '--disk', image(m))
    m.wait(0)


@scenario('a network by a socket, whose peer comes again')
def _(m):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(m.path('peer'))
    listener.listen()
    m.start('echo-net', '--net', 'socket=' + m.path('peer'), devices={'virtio1': NET}, main=CONNECT)
    with contextlib.closing(listener):
        for _ in range(2):
            peer = Stream(listener.accept()[0])
            for length in (60, 9000):
                echo(peer, length)
            peer.send_raw(b'\0\0')         # half a length
            peer.close()
        m.kill(signal.SIGTERM)
        m.wait(128 + signal.SIGTERM)


@scenario('a tap that comes and goes')
def _(m):
    for _ in range(2):
        tap = Tap('bantam-lock', False)
        tap.release()
        if not m.process:
            m.start('echo-net', '--net', 'tap=bantam-lock', devices={'virtio1': NET}, main=CONNECT)
            tap.process = m.process
        end = time.monotonic() + PATIENCE
        frame = frame_of(100)
        while not tap.answered(frame):
            want(time.monotonic() < end, 'nothing comes back from the tap')
            tap.send(frame)
        tap.close()
        subprocess.run(['ip', 'link', 'delete', 'bantam-lock'], check=True)
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


def status_of(m):
    """What the kernel says of each thread: {name of a field: value}."""
    threads = []
    for thread in os.listdir('/proc/%d/task' % m.process.pid):
        with open('/proc/%d/task/%s/status' % (m.process.pid, thread)) as f:
            threads.append(dict(line.split(':\t', 1) for line in f.read().splitlines()
                                if ':\t' in line))
    return threads


def want_locked(m, capabilities=0, uid=None):
    """All threads are in the jail, and under a filter each; as root it has namespaces of its own. Returns
    the limits."""
    end = time.monotonic() + PATIENCE
    # A thread may have been made, and not have begun.
    while any(thread['Seccomp_filters'] == '0' for thread in status_of(m)) and time.monotonic() < end:
        time.sleep(0.05)
    for thread in status_of(m):
        name = thread['Name']
        want(thread['NoNewPrivs'] == '1', '%s may get new privileges' % name)
        want(int(thread['Seccomp_filters']) == 1, '%s has %s filters' % (name, thread['Seccomp_filters']))
        for kind in ('CapPrm', 'CapEff', 'CapInh', 'CapAmb'):
            have = int(thread[kind], 16)
            want(have == (capabilities if kind in ('CapPrm', 'CapEff') else 0),
                 '%s has %s %x' % (name, kind, have))
        want(uid is None or set(thread['Uid'].split()) == {str(uid)}, '%s is %s' % (name, thread['Uid']))
        want(uid is None or not thread['Groups'].strip(), '%s has groups' % name)
    with open('/proc/%d/limits' % m.process.pid) as f:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in f}
    want(limits['Max core file size'] == ['0', '0'], 'it may dump its core')
    want('unlimited' not in limits['Max address space'], 'its memory has no limit')
    want(len(set(limits['Max open files'])) == 1, 'it may have more files')
    if os.geteuid() == 0:
        for kind in ('net', 'ipc', 'mnt'):
            want(os.readlink('/proc/%d/ns/%s' % (m.process.pid, kind)) !=
                 os.readlink('/proc/self/ns/' + kind), 'it has our %s namespace' % kind)
        want(not os.listdir('/proc/%d/root/' % m.process.pid), 'its root is not empty')
    return limits


SAY_READY = 'play=cstart;oready;i;cend_stdout_10;cend_stderr_0;cexit_0'    # and send back `hello`
FILE_OWNERS = 0x1b    # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID


@scenario('what the kernel says of it')
def _(m):
    m.start('idle', '--disk', image(m), '-c', '2')
    m.see(rb'^idle')
    if m.mode == 'on':
        want(int(want_locked(m)['Max open files'][1]) < 100, 'it may have many files')
    m.kill(signal.SIGTERM)
    m.wait(128 + signal.SIGTERM)


@scenario('what the kernel says of it with a volume')
def _(m):
    m.start('play-init', '--initrd', m.path('initrd'), '-v', m.scratch + ':/mnt', '-a', SAY_READY,
            stdin='pipe', devices={'virtio1': FILES | CHANGE, 'virtio2': STREAM}, command=('--', 'x'))
    m.see(rb'ready')
    if m.mode == 'on':
        want_locked(m, FILE_OWNERS if os.geteuid() == 0 else 0)
    m.type(b'hello')
    m.close_stdin()
    m.wait(0)


@scenario('a kernel that has neither Landlock nor namespaces')
def _(m):
    m.start('hello', '--verbose', wrap=(REFUSE, 'landlock_create_ruleset=ENOSYS', 'unshare=EPERM', '--'))
    m.wait(0)
    for missing in (b'no Landlock', b'no namespaces of its own: Operation not permitted'):
        want((missing in m.err) == (m.mode == 'on'), 'it said %r' % m.err)


@scenario('by nobody, with a disk, a tap and a volume')
def _(m):
    tap = Tap('bantam-lock', False)
    tap.release()
    run_as = () if m.mode == 'audit' else ('--run-as', 'nobody')
    m.start('play-init', '--initrd', m.path('initrd'), '-v', m.scratch + ':/mnt', '--disk', image(m),
            '--net', 'tap=bantam-lock', *run_as, '-a', SAY_READY, stdin='pipe',
            main=CONNECT, devices={'virtio1': RING, 'virtio2': NET, 'virtio3': FILES | CHANGE, 'virtio4': STREAM},
            command=('--', 'x'))
    m.see(rb'ready')
    if run_as:
        want_locked(m, 0, pwd.getpwnam('nobody').pw_uid)
    m.type(b'hello')
    m.close_stdin()
    m.wait(0)
    tap.close()
    subprocess.run(['ip', 'link', 'delete', 'bantam-lock'], check=True)


@scenario('COMMAND and its streams')
def _(m):
    m.start('play-init', '--initrd', m.path('initrd'), '-a',
            'play=cstart;i;oone;etwo;cend_stdout_8;cend_stderr_3;cexit_7', stdin='pipe',
            devices={'virtio1': STREAM}, command=('--', 'x'))
    m.type(b'hello')
    m.close_stdin()
    m.wait(7)


@scenario('COMMAND, whose stdout is a socket, and a volume')
def _(m):
    m.start('play-init', '--initrd', m.path('initrd'), '-v', m.scratch + ':/mnt', '-a',
            'play=cstart;oone;cend_stdout_3;cend_stderr_0;cexit_0', stdout='socket',
            devices={'virtio1': FILES | CHANGE, 'virtio2': STREAM}, command=('--', 'x'))
    m.wait(0)


# ---- running them ----

class Lists:
    """The rows, and which of them were needed, first by which scenario."""

    def __init__(self, rows):
        self.rows = rows
        self.used = {}       # (kind's bit, number) -> scenario

    def take(self, calls, name, restarts):
        """Marks the rows that the calls needed; returns what is wrong, or None."""
        unlisted = {}
        for filters, number, call in calls.made:
            names = {row.name for row in self.rows if row.number == number}
            if names and names != {call}:
                return 'number %d is %s, and listed as %s' % (number, call, ', '.join(names))
            for kinds in filters:
                if number not in numbers_of(self.rows, kinds):
                    key = ' and '.join(KINDS[bit] for bit in KINDS if kinds & bit), call
                    unlisted[key] = unlisted.get(key, 0) + 1
                for bit in KINDS:
                    if not kinds & bit or (bit == MAIN and restarts):
                        continue
                    if number in numbers_of(self.rows, bit):
                        self.used.setdefault((bit, number), name)
        if unlisted:
            return 'not listed: ' + ', '.join('%s of %s (%d times)' % (call, kind, count)
                                              for (kind, call), count in sorted(unlisted.items()))
        if calls.refused:
            return 'the sandbox stopped a call: %s' % calls.refused[0]
        if calls.in_vain:
            return 'it waited in vain: %s' % calls.in_vain[0]
        return None

    def is_used(self, bit, name):
        return any((bit, row.number) in self.used for row in self.rows if row.name == name)

    def may_be_unused(self, bit, name):
        key = KINDS[bit], name
        return key in NOT_SEEN and (NOT_SEEN[key] is None or self.is_used(bit, NOT_SEEN[key]))

    def unused(self):
        """(kind, call, why) of the rows that no scenario needed."""
        return sorted({(KINDS[bit], row.name, row.why) for row in self.rows for bit in KINDS
                       if row.threads & bit & ~FROM_STOCK_KERNELS and not row.error
                       and not self.is_used(bit, row.name)
                       and not self.may_be_unused(bit, row.name)})

    def show(self):
        for bit in KINDS:
            numbers = numbers_of(self.rows, bit)
            print('%s: %d calls' % (KINDS[bit], len(numbers)))
            for number in sorted(numbers):
                row = next(row for row in self.rows if row.number == number)
                print('    %-18s %s' % (row.name, self.used.get((bit, number), '-')))


def run(function, name, mode, bantam, guests, lists):
    """Runs a scenario; returns what is wrong, or None, and the output."""
    with tempfile.TemporaryDirectory(prefix='bantam-sandbox-') as scratch:
        with open(scratch + '/initrd', 'wb') as f:
            f.write(b'x' * 100000)
        monitor = Monitor(bantam, guests, scratch, mode)
        reason = None
        try:
            function(monitor)
        except Wrong as wrong:
            reason = str(wrong)
        finally:
            monitor.close()
        log = monitor.traced()
        calls = Calls(log, monitor.process.pid, monitor.main_kind, monitor.devices)
        # What the lists say goes first: a call that was stopped explains the rest.
        listed = lists.take(calls, name, monitor.restarts)
        if not (listed or reason) and calls.locked != calls.threads + 1:
            reason = '%d of %d threads locked themselves in' % (calls.locked, calls.threads + 1)
        return listed or reason, (('err', monitor.err[-2000:].decode('latin-1')),
                                  ('strace', '\n'.join(log.splitlines()[-30:])))


def why_no_strace(bantam, scratch):
    """Returns why bantam can't be traced, or would have no sandbox; or None."""
    if not shutil.which('strace'):
        return 'strace is not installed'
    log = scratch + '/strace'
    done = subprocess.run(['strace', '-DDD', '-f', '-q', '-n', '-o', log, 'true'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE)
    time.sleep(0.2)
    if done.returncode or not os.path.exists(log) or not os.path.getsize(log):
        said = done.stderr.decode('latin-1').strip().split('\n')[0]
        return 'strace can\'t trace here: %s' % (said or 'it says nothing')
    if not os.path.exists('/proc/sys/kernel/seccomp'):
        return 'this kernel has no seccomp filters'
    return None


def main():
    parser = argparse.ArgumentParser(description='Compares bantam\'s system calls with its lists.')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', './bantam'))
    parser.add_argument('-k', metavar='WORD', default='', help='only scenarios with WORD in them')
    parser.add_argument('-v', action='store_true',
                        help='show the calls by kind, and the output of a failed scenario')
    parser.add_argument('--build', metavar='DIR', default=os.environ.get('BUILD', 'build'))
    options = parser.parse_args()
    bantam, guests = os.path.abspath(options.bantam), os.path.abspath(options.build) + '/guests'

    for path in (bantam, guests + '/hello.elf'):
        if not os.path.exists(path):
            sys.exit('sandbox.py: %s is not there: build it first' % path)
    scenarios = [(name, mode, function) for name, function in SCENARIOS
                 for mode in ('on', 'audit') if options.k in name]
    tally = Tally()
    lists = Lists(read_rows(bantam))
    with tempfile.TemporaryDirectory(prefix='bantam-sandbox-') as scratch:
        reason = why_no_kvm(bantam, guests + '/hello.elf') or why_no_strace(bantam, scratch)
    if reason:
        tally.skip(len(scenarios) + 1, reason)
        return tally.close()
    reason = why_no_taps()
    if reason:
        count = len(scenarios)
        scenarios = [one for one in scenarios if 'tap' not in one[0]]
        tally.skip(count - len(scenarios), reason)
    for name, mode, function in scenarios:
        began = time.monotonic()
        reason, output = run(function, name, mode, bantam, guests, lists)
        tally.result('%s, %s' % (name, mode), reason, time.monotonic() - began,
                     output if options.v else ())
    if options.v:
        lists.show()
    for name, (kinds, most) in MOST.items():
        count = len({row.number for row in lists.rows if row.threads & kinds and not row.error})
        tally.result('%s: %d calls' % (name, count), count > most and 'more than %d' % most or None, 0)
    # Filters look at rows of arguments from the last on.
    first = [row.why for row in lists.rows if row.name == 'ioctl' and row.threads & VCPU][-1]
    tally.result('KVM_RUN is looked at first', None if first == 'runs the guest' else first, 0)
    if options.k:
        tally.skip(1, 'unused rows: only some scenarios were run')
    else:
        unused = lists.unused()
        tally.result('no row is unused', ', '.join('%s of %s (%s)' % (call, kind, why)
                                                   for kind, call, why in unused), 0)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
