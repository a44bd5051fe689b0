#!/usr/bin/env python3
"""run.py - boots every test guest in bantam and looks at what comes out.

    tests/guests/run.py [-v] [-k WORD] [--build DIR] [BANTAM]

Each case of the table below is one run of the monitor: arguments, what goes to its standard input,
what must appear on its standard output (regular expressions, in this order), and its exit status.
BANTAM is the program (default: $BANTAM, or ./bantam); the guests are taken from DIR/guests
(default: $BUILD, or build).

One line a case: ok or FAIL with a reason. The last line counts them. The exit status is 1 if any
failed. Where /dev/kvm can't be used at all, which is found out by running hello.elf, everything is
skipped, and that is no failure.
"""

import os
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Tally, USAGE, find_in_order, guest_options, why_no_kvm  # noqa: E402

# What bantam's exit status means.
OK = 0
GUEST_DIED = 255     # panic, triple fault, KVM internal error

INITRD_BYTES = 100003    # no multiple of anything
INITRD = bytes(range(0x41, 0x49)) + bytes(i * 7 % 251 for i in range(INITRD_BYTES - 8))
LONG = ' '.join('word%03d=%s' % (i, 'x' * 20) for i in range(60)) + ' last'   # 1.7 KiB
TOO_LONG = 'x' * 70000

EVERY_BYTE = bytes(b for b in range(1, 256) if b not in b'\n\r')
MANY_LINES = b''.join(b'line %04d %s\n' % (i, b'x' * 53) for i in range(512))

TRAP = r'TRAP vector'    # lib/irq.c's report of an exception that nobody expected


class Case:
    """One run. Only name and guest must be given.

    guest      the kernel's name (build/guests/NAME.elf); None: args is all that follows `bantam`
    args       options before the kernel
    stdin      bytes for a pipe, or 'null' (/dev/null), 'closed' (no descriptor 0), 'open' (a pipe
               that stays open and silent)
    feed_when  send stdin's bytes only when the output matches this
    stdout     'pipe', 'closed', 'gone' (a pipe whose reader has left), 'slow' (a pipe that is not
               read for a second, so that it fills up)
    expect     regular expressions for the standard output, found in this order
    err        the same for standard error
    status     the exit status, or a tuple of those that are right
    check      a function of the whole output that returns None or what is wrong
    when, send the signal to send as soon as the output matches `when`
    cpu_max    seconds of processor time that the run may take
    timeout    seconds until it is killed and has failed
    """

    def __init__(self, name, guest, args=(), stdin='null', feed_when=None, stdout='pipe', expect=(),
                 err=(), status=OK, check=None, when=None, send=signal.SIGTERM, cpu_max=None,
                 timeout=30):
        self.name, self.guest, self.args = name, guest, list(args)
        self.stdin, self.feed_when, self.stdout = stdin, feed_when, stdout
        self.expect, self.err = expect, err
        self.status = status if isinstance(status, tuple) else (status,)
        self.check, self.when, self.send = check, when, send
        self.cpu_max, self.timeout = cpu_max, timeout


# ---- checks that look at more than a pattern ----

GIB = 1 << 30
HOLE = 3 * GIB       # RAM stops here, and goes on at 4 GiB


def memory_map(mib):
    """The memory map sums up to `mib`, leaves the hole out, overlaps nowhere, is really RAM."""
    def check(out):
        ram = sorted((int(a, 16), int(b, 16)) for a, b in
                     re.findall(r'^e820 (\w{16}) (\w{16}) 1$', out, re.M))
        if not ram:
            return 'no RAM in the memory map'
        if 'BAD' in out or 'OVERLAP' in out:
            return 'bad memory map'
        for start, end in ram:
            if start < 4 * GIB and end > HOLE:
                return 'RAM %x-%x lies in the hole below 4 GiB' % (start, end)
        total = sum(end - start for start, end in ram)
        if not mib * 1024 * 1024 - (1 << 20) <= total <= mib * 1024 * 1024:
            return 'RAM is %d KiB, wanted %d MiB less at most 1' % (total >> 10, mib)
        below = max(end for start, end in ram if start < HOLE)
        if below != min(mib << 20, HOLE):
            return 'RAM below the hole ends at %x' % below
        above = [r for r in ram if r[0] >= 4 * GIB]
        if mib << 20 > HOLE and above != [(4 * GIB, (mib << 20) + 4 * GIB - HOLE)]:
            return 'RAM above 4 GiB is %s' % above
        if len(re.findall(r'^ram \w{16} ok$', out, re.M)) != 1 + len(above):
            return 'not every region was tested'
        return None
    return check


def topologies_agree(out):
    """Leaf 0x1f, which a kernel prefers where it exists, says the same as leaf 0xb."""
    leaf_b = re.findall(r'^leaf b (.*)$', out, re.M)
    leaf_1f = re.findall(r'^leaf 1f (.*)$', out, re.M)
    if leaf_1f and leaf_1f[:len(leaf_b)] != leaf_b:
        return 'leaf 0x1f has %d levels and does not agree with leaf 0xb' % len(leaf_1f)
    return None


def numbered_lines(kib):
    """overrun's output is whole: each line with its number and its 64 bytes."""
    def check(out):
        lines = out.split('\n')
        if lines[-2:] != ['done', '']:
            return 'does not end with "done"'
        if len(lines) - 2 != kib * 16:
            return '%d lines instead of %d' % (len(lines) - 2, kib * 16)
        for i, line in enumerate(lines[:-2]):
            want = '%07d ' % i + ''.join(chr(97 + (i + c) % 26) for c in range(8, 63))
            if line != want:
                return 'line %d is %r' % (i, line)
        return None
    return check


def many_lines(out):
    """echo has shown all of MANY_LINES."""
    got = ''.join(re.findall(r'^line: (line .*\n)', out, re.M))
    if got == MANY_LINES.decode():
        return None
    return '%d of %d bytes came through' % (len(got), len(MANY_LINES))


def whole_or_refused(text):
    """A command line arrives whole, or bantam refuses it: it is never cut in silence."""
    def check(out):
        return None if out == '' or text in out else 'the command line was cut'
    return check


INITRD_SEEN = r'first %s sum %d in ram yes$' % (INITRD[:8].hex(), sum(INITRD))
LINE_OF = r'^line: %s$'

CASES = [
    # -- it runs at all, and ends
    Case('hello', 'hello', expect=[r'\Ahello from a 32-bit PVH guest\n\Z']),
    Case('hello, dry run', 'hello', ['--dry-run'], expect=[r'\A(?!(?s:.*hello from))']),
    Case('hello64', 'hello64', expect=[r'^hello from a 64-bit PVH guest$']),
    Case('hello64 by PVH', 'hello64', ['--boot-protocol', 'pvh'], expect=[r'a 64-bit PVH guest']),
    Case('hello64 by Linux', 'hello64', ['--boot-protocol', 'linux'],
         expect=[r'a 64-bit Linux guest']),
    Case('hello64, 4 vCPUs', 'hello64', ['-c', '4'], expect=[r'^hello from']),
    Case('hello64, 16M', 'hello64', ['-m', '16M'], expect=[r'^hello from']),
    Case('longmode', 'longmode', expect=[r'^lme 1 lma 1 pe 1 pg 1 pae 1$', r'^long mode ok$']),
    Case('longmode by Linux', 'longmode', ['--boot-protocol', 'linux'],
         expect=[r'cs 10$', r'^long mode ok$']),
    Case('poweroff', 'poweroff', expect=[r'^a type alone does nothing$']),
    Case('poweroff, 4 vCPUs', 'poweroff', ['-c', '4']),
    Case('reset', 'reset', expect=[r'^reset by']),
    Case('reset, 4 vCPUs', 'reset', ['-c', '4']),
    Case('reset-cf9', 'reset-cf9', expect=[r'^reset by port 0xcf9\n\Z']),
    Case('reset-kbd', 'reset-kbd', expect=[r'^reset by the keyboard controller\n\Z']),
    Case('triplefault', 'triplefault', expect=[r'^an IDT without entries'], err=[r'bantam: '],
         status=GUEST_DIED),
    Case('triplefault, 4 vCPUs', 'triplefault', ['-c', '4'], status=GUEST_DIED),
    Case('badio', 'badio', expect=[r'^jumping to 0xd0000000\n\Z'], err=[r'bantam: '],
         status=GUEST_DIED),

    # -- what the monitor tells the guest
    Case('memmap-pvh', 'memmap-pvh', ['-m', '256M'], check=memory_map(256),
         expect=[r'^magic ok$', r'^version 1 ', r'^modules 0$', r'^image in ram yes$',
                 r'^rsdp e\w{4} ok$|^rsdp f\w{4} ok$']),
    Case('memmap-pvh, 16M', 'memmap-pvh', ['-m', '16M'], check=memory_map(16)),
    Case('memmap-pvh, 3G', 'memmap-pvh', ['-m', '3G'], check=memory_map(3072)),
    Case('memmap-pvh, 4G', 'memmap-pvh', ['-m', '4G'], check=memory_map(4096)),
    Case('memmap-pvh, 5000M', 'memmap-pvh', ['-m', '5000M'], check=memory_map(5000)),
    Case('memmap-pvh, initrd', 'memmap-pvh', ['-m', '256M', '--initrd', '{initrd}'],
         check=memory_map(256),
         expect=[r'^modules 1$', r'^module \w+ size %d ' % INITRD_BYTES + INITRD_SEEN]),
    Case('memmap-pvh, initrd, 16M', 'memmap-pvh', ['-m', '16M', '--initrd', '{initrd}'],
         check=memory_map(16), expect=[INITRD_SEEN]),
    Case('memmap-pvh, initrd, 4G', 'memmap-pvh', ['-m', '4G', '--initrd', '{initrd}'],
         check=memory_map(4096), expect=[INITRD_SEEN]),
    Case('memmap-pvh, command line', 'memmap-pvh', ['--cmdline', 'one two=3'],
         expect=[r'^cmdline 9 bytes: one two=3$']),
    Case('memmap-pvh, command line appended', 'memmap-pvh', ['-a', 'one', '-a', 'two=3'],
         expect=[r'^cmdline \d+ bytes: .*\bone two=3$']),
    Case('memmap-pvh, long command line', 'memmap-pvh', ['--cmdline', LONG],
         expect=[r'^cmdline %d bytes: %s$' % (len(LONG), LONG)]),
    Case('memmap-pvh, too long a command line', 'memmap-pvh', ['--cmdline', TOO_LONG],
         status=(OK, USAGE), check=whole_or_refused(TOO_LONG)),
    Case('memmap-linux', 'memmap-linux', ['-m', '256M'], check=memory_map(256),
         expect=[r'^boot flag ok header ok$', r'^version 2\w\w loader (?!0 )\w+ ',
                 r'^ramdisk 0 size 0$', r'^image in ram yes$', r'^rsdp [ef]\w{4} ok$']),
    Case('memmap-linux, 4G', 'memmap-linux', ['-m', '4G'], check=memory_map(4096)),
    Case('memmap-linux, initrd', 'memmap-linux', ['-m', '256M', '--initrd', '{initrd}'],
         check=memory_map(256), expect=[r'^ramdisk \w+ size %d ' % INITRD_BYTES + INITRD_SEEN]),
    Case('memmap-linux, initrd, 16M', 'memmap-linux', ['-m', '16M', '--initrd', '{initrd}'],
         check=memory_map(16), expect=[INITRD_SEEN]),
    Case('memmap-linux, long command line', 'memmap-linux', ['--cmdline', LONG],
         expect=[r'^cmdline at \w+, %d bytes: %s$' % (len(LONG), LONG)]),
    Case('memmap-linux by PVH is refused', 'memmap-linux', ['--boot-protocol', 'pvh'],
         expect=[r'\A\Z'], err=[r'^bantam: '], status=USAGE),
    Case('cpuid', 'cpuid', expect=[r' apic id 0 logical cpus [01] ', r'^hypervisor 1 .* vmx 0 ',
                                   r'^local apic id 0 ', r'^svm 0 long mode 1 ']),
    Case('cpuid, 4 vCPUs', 'cpuid', ['-c', '4'], check=topologies_agree,
         expect=[r' apic id 0 logical cpus 4 htt 1$', r'^leaf b level 1 type 2 .* cpus 4 ']),

    # -- interrupts and time
    Case('interrupts', 'interrupts',
         expect=[r'^every byte of this line', r'^bytes 54 interrupts 55 other 0$']),
    Case('interrupts, 4 vCPUs', 'interrupts', ['-c', '4'],
         expect=[r'^bytes 54 interrupts 55 other 0$']),
    Case('timer', 'timer', expect=[r'^one-shot ticks 5$', r'^periodic ticks 5$',
                                   r'^(tsc-deadline ticks 5|no TSC-deadline mode)$'],
         check=lambda out: 'a deadline came early' if 'EARLY' in out else None),
    Case('timer, 4 vCPUs', 'timer', ['-c', '4'], expect=[r'^periodic ticks 5$']),
    Case('hlt', 'hlt', expect=[r'^woken 1, ticks 1$', r'^woken 10, ticks 10$']),
    Case('smp, 1 vCPU', 'smp', ['-c', '1'], expect=[r'^madt lists 1 cpus$', r'^1 cpus up$']),
    Case('smp, 2 vCPUs', 'smp', ['-c', '2'], expect=[r'^madt lists 2 cpus$', r'^2 cpus up$']),
    Case('smp, 4 vCPUs', 'smp', ['-c', '4'],
         expect=[r'apic id 1 is up$', r'apic id 2 is up$', r'apic id 3 is up$', r'^4 cpus up$']),
    Case('smp, 4 vCPUs by Linux', 'smp', ['-c', '4', '--boot-protocol', 'linux'],
         expect=[r'^4 cpus up$']),
    Case('smp, 16 vCPUs', 'smp', ['-c', '16'], expect=[r'^16 cpus up$'], timeout=60),

    # -- ports and memory without a device
    Case('ports', 'ports',
         expect=[r'^in8 2f8-2ff: ff ff ff ff ff ff ff ff$',
                 r'^in8 3e8-3ef: ff ff ff ff ff ff ff ff$',
                 r'^in16 2f8: ffff in32 2f8: ffffffff$', r'^scratch 5a$', r'^by rep outsb$',
                 r'^by rep insb ffffffff$', r'^mmio8 ff$', r'^mmio16 ffff$', r'^mmio32 ffffffff$',
                 r'^mmio64 ffffffffffffffff$', r'^mmio32 after writes ffffffff$']),

    # -- a virtqueue without a library
    Case('virtqueue', 'virtqueue', ['--transport', 'mmio'],
         expect=[r'^used: avail index 1, used index 1\ndescriptor 2 came back, 16 bytes are written\n\Z']),
    Case('virtqueue, a buffer that is not to be written', 'virtqueue',
         ['--transport', 'mmio', '-a', 'no-write'],
         expect=[r'^descriptor 2 came back, 0 bytes are written\n\Z']),
    Case('virtqueue, a buffer outside of RAM', 'virtqueue', ['--transport', 'mmio', '-a', 'outside'],
         expect=[r'^descriptor 2 came back, 0 bytes are written\n\Z']),

    # -- the serial port: nothing is lost, in or out
    Case('overrun', 'overrun', check=numbered_lines(64), timeout=60),
    Case('overrun, slow reader', 'overrun', ['-a', 'kib=128'], stdout='slow',
         check=numbered_lines(128), timeout=90),
    Case('overrun to a file', 'overrun', ['-a', 'kib=8', '--console', '{file}'], expect=[r'\A\Z']),
    Case('echo', 'echo', stdin=b'hi\nquit\n',
         expect=[r'^ready$', LINE_OF % 'hi', LINE_OF % 'quit']),
    Case('echo, every byte value', 'echo', stdin=EVERY_BYTE + b'\nquit\n',
         expect=[LINE_OF % re.escape(EVERY_BYTE.decode('latin-1')), LINE_OF % 'quit']),
    Case('echo, with FIFOs', 'echo', ['-a', 'fifo'], stdin=b'hi\nquit\n', feed_when='ready',
         expect=[r'^ready$', LINE_OF % 'hi', LINE_OF % 'quit']),
    Case('echo, 32 KiB, with FIFOs', 'echo', ['-a', 'fifo'], stdin=MANY_LINES + b'quit\n',
         feed_when='ready', check=many_lines, timeout=60),
    Case('echo, 32 KiB', 'echo', stdin=MANY_LINES + b'quit\n', check=many_lines,
         timeout=60),
    Case('echo, no newline at the end of input', 'echo', stdin=b'hi', expect=[r'^ready$'],
         when='ready', status=128 + signal.SIGTERM),
    Case('echo, stdin is /dev/null', 'echo', when='ready', cpu_max=2, status=128 + signal.SIGTERM),
    Case('echo, stdin closed', 'echo', stdin='closed', when='ready', status=128 + signal.SIGTERM),
    Case('hello, stdin closed', 'hello', stdin='closed', expect=[r'^hello from']),
    Case('hello, stdin open and silent', 'hello', stdin='open', expect=[r'^hello from']),
    Case('hello, stdin with input nobody reads', 'hello', stdin=b'x' * 30000,
         expect=[r'^hello from']),
    # Output that can't be delivered: either the run goes on and says how the guest ended, or it is
    # refused at the start. Death by SIGPIPE would hide the guest's end.
    Case('hello, stdout closed', 'hello', stdout='closed', status=(OK, USAGE)),
    Case('hello, stdout\'s reader gone', 'hello', stdout='gone', status=(OK, USAGE)),
    Case('hello, console off', 'hello', ['--console', 'off'], expect=[r'\A\Z']),
    Case('hello, console on stderr', 'hello', ['--console', 'stderr'], expect=[r'\A\Z'],
         err=[r'hello from']),

    # -- a guest that does not end
    Case('spin, SIGTERM', 'spin', when='spinning', status=128 + signal.SIGTERM),
    Case('spin, SIGINT', 'spin', when='spinning', send=signal.SIGINT, status=128 + signal.SIGINT),
    Case('spin, SIGHUP', 'spin', when='spinning', send=signal.SIGHUP, status=128 + signal.SIGHUP),
    Case('spin, 4 vCPUs, SIGTERM', 'spin', ['-c', '4'], when='spinning',
         status=128 + signal.SIGTERM),
    Case('idle, SIGTERM', 'idle', when='idle', cpu_max=2, status=128 + signal.SIGTERM),
    Case('idle, 4 vCPUs, SIGTERM', 'idle', ['-c', '4'], when='idle', cpu_max=2,
         status=128 + signal.SIGTERM),

    # -- panics
    Case('panic', 'panic', expect=[r'Kernel panic - not syncing: test$'], status=GUEST_DIED),
    Case('panic, halted at the end', 'panic', ['-a', 'end'], status=GUEST_DIED),
    Case('panic, not really', 'panic', ['-a', 'false'], expect=[r'^user says']),
    Case('panic, then orderly', 'panic', ['-a', 'orderly'], expect=[r'reboot: Restarting']),

    # -- wrong from the start
    Case('no command', None, [], status=USAGE),
    Case('no kernel', None, ['run'], err=[r'^bantam: '], status=USAGE),
    Case('a kernel that is not there', None, ['run', '{dir}/missing'], err=[r'^bantam: .*missing'],
         status=USAGE),
    Case('a kernel that is none', None, ['run', '{text}'], err=[r'^bantam: '], status=USAGE),
    Case('an empty kernel', None, ['run', '{empty}'], err=[r'^bantam: '], status=USAGE),
    Case('a directory', None, ['run', '{dir}'], err=[r'^bantam: '], status=USAGE),
    Case('an initrd that is not there', 'hello', ['--initrd', '{dir}/missing'],
         err=[r'^bantam: .*missing'], status=USAGE),
    Case('an initrd larger than memory', 'hello', ['-m', '16M', '--initrd', '{big}'],
         err=[r'^bantam: '], expect=[r'\A\Z'], status=USAGE),
    Case('an unknown option', 'hello', ['--frobnicate'], err=[r'^bantam: .*frobnicate'],
         status=USAGE),
    Case('no memory', 'hello', ['-m', '0'], err=[r'^bantam: '], status=USAGE),
    Case('memory that is no number', 'hello', ['-m', '12monkeys'], err=[r'^bantam: '],
         status=USAGE),
    Case('memory beyond 64 bits', 'hello', ['-m', '99999999999999999999G'], err=[r'^bantam: '],
         status=USAGE),
    Case('no vCPU', 'hello', ['-c', '0'], err=[r'^bantam: '], status=USAGE),
    Case('minus one vCPU', 'hello', ['-c', '-1'], err=[r'^bantam: '], status=USAGE),
    Case('an unknown boot protocol', 'hello', ['--boot-protocol', 'bios'], err=[r'^bantam: '],
         status=USAGE),
]


class Result:
    def __init__(self):
        self.out, self.err, self.status = '', '', None
        self.cpu_s, self.timed_out = 0.0, False


def feed(fd, data):
    """Writes to a pipe from a process of its own, so that nobody has to wait for anybody."""
    if os.fork() == 0:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        while data:
            data = data[os.write(fd, data):]
        os._exit(0)
    os.close(fd)


def start(argv, case, err_file):
    """Starts the monitor with the standard input and output that the case asks for.

    Returns the process, the descriptor to read its output from (or None), and the one to write its
    input to (or None).
    """
    keep = []        # descriptors of ours to close once the child has them
    stdin = stdout = subprocess.DEVNULL
    into = out = None
    if isinstance(case.stdin, bytes) or case.stdin == 'open':
        stdin, into = os.pipe()
        keep.append(stdin)
    if case.stdout != 'closed':
        out, stdout = os.pipe()
        keep.append(stdout)
        if case.stdout == 'gone':
            os.close(out)
            out = None

    def in_child():
        if case.stdin == 'closed':
            os.close(0)
        if case.stdout == 'closed':
            os.close(1)

    process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=err_file,
                               preexec_fn=in_child)
    for fd in keep:
        os.close(fd)
    return process, out, into


def run(argv, case):
    """Runs one case to its end and returns what happened."""
    result = Result()
    with tempfile.TemporaryFile() as err_file:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process, out, into = start(argv, case, err_file)
        if isinstance(case.stdin, bytes) and not case.feed_when:
            feed(into, case.stdin)
            into = None
        end = time.monotonic() + case.timeout
        data = b''
        sent = case.when is None
        if case.stdout == 'slow':
            time.sleep(1)
        while out is not None:
            ready, _, _ = select.select([out], [], [], max(0, end - time.monotonic()))
            if not ready:
                result.timed_out = True
                break
            chunk = os.read(out, 65536)
            if not chunk:
                break
            data += chunk
            if into is not None and case.feed_when and re.search(case.feed_when.encode(), data):
                feed(into, case.stdin)
                into = None
            if not sent and re.search(case.when.encode(), data):
                time.sleep(0.2)      # let it come to rest, or spin a while
                process.send_signal(case.send)
                sent = True
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            result.timed_out = True
        if result.timed_out:
            process.kill()
            process.wait()
        for fd in (into, out):
            if fd is not None:
                os.close(fd)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass                 # the feeder, if there was one
        except ChildProcessError:
            pass
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        result.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        err_file.seek(0)
        result.out = data.decode('latin-1')
        result.err = err_file.read().decode('latin-1')
        result.status = process.returncode
    return result


def judge(case, result):
    """Returns None if the run was as the case wants it, or the reason why not."""
    if result.timed_out:
        return 'no end within %d s' % case.timeout
    if 'WRONG' in result.out:
        return result.out[result.out.index('WRONG'):].split('\n')[0]
    if TRAP in result.out:
        return result.out[result.out.index(TRAP):].split('\n')[0]
    if result.status not in case.status:
        return 'status %s instead of %s' % (result.status, ' or '.join(map(str, case.status)))
    missing = find_in_order(case.expect, result.out)
    if missing:
        return 'stdout lacks %.80s' % missing
    missing = find_in_order(case.err, result.err)
    if missing:
        return 'stderr lacks %.80s' % missing
    if case.cpu_max is not None and result.cpu_s > case.cpu_max:
        return 'used %.1f s of processor time' % result.cpu_s
    return case.check(result.out) if case.check else None


def main():
    options, bantam, guests = guest_options('Boots every test guest in bantam.', 'hello')
    cases = [case for case in CASES if options.k in case.name]
    tally = Tally()
    reason = why_no_kvm(bantam, guests + '/hello.elf')
    if reason:
        tally.skip(len(cases), reason)
        return tally.close()

    with tempfile.TemporaryDirectory(prefix='bantam-guests-') as scratch:
        names = {name: scratch + '/' + name for name in ('initrd', 'text', 'empty', 'big', 'file')}
        names['dir'] = scratch
        with open(names['initrd'], 'wb') as f:
            f.write(INITRD)
        with open(names['text'], 'w') as f:
            f.write('This is no kernel.\n' * 1000)
        with open(names['big'], 'wb') as f:
            f.truncate(64 << 20)
        open(names['empty'], 'w').close()
        for case in cases:
            argv = [bantam] + ([] if case.guest is None else ['run'])
            argv += [re.sub(r'\{(\w+)\}', lambda m: names[m.group(1)], a) for a in case.args]
            if case.guest is not None:
                argv.append('%s/%s.elf' % (guests, case.guest))
            began = time.monotonic()
            result = run(argv, case)
            reason = judge(case, result)
            output = (('out', result.out[-2000:]), ('err', result.err[-2000:]))
            tally.result(case.name, reason, time.monotonic() - began,
                         output if options.v else ())
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
