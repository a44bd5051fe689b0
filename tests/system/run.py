#!/usr/bin/env python3
"""run.py - boots stock distribution kernels in bantam and looks at what comes out.

    tests/system/run.py [-v] [-k WORD]... [-j N] [--logs DIR] [BANTAM]
    tests/system/run.py --prepare

Each case of the table below is one run of the monitor: a kernel, its command line, what is typed on
its console and when, what must appear (regular expressions, in this order), and the exit status.
The guests' first program is tests/system/initrd/init; `do=` on the command line says what it does.

BANTAM is the program (default: $BANTAM, or ./bantam). The kernels are those of tools/kernels; the
initramfs is build/system/initrd.img. --prepare makes what is missing of them and runs nothing:
inside tests/kvmhost, what is written is lost.

One line a case: ok or FAIL with a reason. Lines that begin with `info` tell of long silences
between two messages of a kernel; they are no failures. The last line counts. The exit status is 1
if any failed.

How: N guests run at the same time (default: 2), each watched by a thread. What a case has printed
is left in DIR/NAME.log. Inside tests/kvmhost there is one guest at a time: the emulated host was
seen to break down (a lost processor, a fault in its own kernel) with two.

Limits: a /dev/kvm that runs unmodified kernels; tests/kvmhost is one. No time is asserted but the
generous time-outs, for a software-emulated processor takes fifty times as long.
"""

import argparse
import concurrent.futures
import hashlib
import os
import random
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + '/tests')
from harness import Tally, find_in_order, why_no_kvm  # noqa: E402

OK = 0
GUEST_DIED = 255
LONG_SILENCE_S = 3

BUILD = os.environ.get('BUILD', ROOT + '/build')
KERNELS = BUILD + '/kernels'
INITRD = BUILD + '/system/initrd.img'

POWERED_OFF = r'^bantam: the guest powered off$'
RESET = r'^bantam: the guest reset the machine$'
PANICKED = r"^bantam: the guest's kernel panicked: Kernel panic - not syncing: "
USER_SPACE = r'^GUEST: user space reached'

# What a kernel says when the machine is not as it was told, or does not work.
COMPLAINTS = (
    r'Firmware Bug', r'\bBUG:', r'ACPI (BIOS )?(Error|Warning)', r'nobody cared',
    r'i8042: (Probing|Can|No controller)', r'rtc\S*: .*(fail|unable|timed? ?out)',
    r'WARNING: CPU', r'unchecked MSR access', r'No irq handler', r'Oops', r'do_IRQ',
    r'fail(ed|ure) to (bring up|wake|start) ', r'CPU\d+ failed to', r'APIC.*(error|bogus)',
    r'Dazed and confused', r'ttyS0: (too much work|LSR)',
)
# The emulated host's processor has this, not ours.
KNOWN_IN_KVMHOST = re.compile(
    r'^.*\n.*XSAVE consistency problem.*\n.*WARNING: CPU.*$', re.M)


class Case:
    """One run. Only name and kernel must be given.

    kernel     cloud or generic, and the file: 'cloud/vmlinuz'
    append     added to the kernel command line
    cpus, memory
    args       more options
    stdin      bytes for a pipe that then stays open; None: /dev/null
    feed_when  send them only when the output matches this
    stdout     'pipe', or 'gone' (a pipe whose reader has left)
    pause      (pattern, seconds): read nothing for so long once the output matches
    expect     regular expressions for the standard output, found in this order
    absent     one that must not be found there
    err        as expect, for standard error
    status     the exit status
    when, send the signals to send as soon as the output matches `when`
    check      a function of the output that returns None or what is wrong
    clean      the kernel must not complain about the machine
    timeout    seconds until it is killed and has failed
    """

    def __init__(self, name, kernel, append='', cpus=1, memory='256M', args=(), stdin=None,
                 feed_when=None, stdout='pipe', pause=None, expect=(), absent=None,
                 err=(POWERED_OFF,), status=OK, when=None, send=(signal.SIGTERM,), check=None,
                 clean=True, timeout=60):
        self.name, self.kernel, self.append = name, kernel, append
        self.cpus, self.memory, self.args = cpus, memory, list(args)
        self.stdin, self.feed_when, self.stdout, self.pause = stdin, feed_when, stdout, pause
        self.expect, self.absent, self.err = expect, absent, err
        self.status, self.when, self.send = status, when, send
        self.check, self.clean, self.timeout = check, clean, timeout


# ---- the table ----

def boots(title, kernel, cpus, memory, *args):
    """A case that boots to user space and powers off."""
    kib = {'256M': (200 << 10, 256 << 10), '4G': (3700 << 10, 4096 << 10)}[memory]
    above = []
    if memory == '4G':
        above = [r'e820: \[mem 0x0000000100000000-0x000000013fffffff\] usable']

    def check(out):
        if '\nbantam: ' in out:
            return 'bantam\'s words are among the guest\'s'
        found = re.search(USER_SPACE + r', cpus=(\d+) mem_kib=(\d+) kernel=(\S+)', out, re.M)
        if int(found.group(1)) != cpus:
            return '%s CPUs instead of %d' % (found.group(1), cpus)
        if not kib[0] < int(found.group(2)) <= kib[1]:
            return '%s KiB of memory' % found.group(2)
        with open('%s/%s/version' % (KERNELS, kernel.split('/')[0])) as f:
            version = f.read().strip()
        if found.group(3) != version or 'Linux version %s ' % version not in out:
            return 'kernel %s instead of %s' % (found.group(3), version)
        return None
    return Case('%s, %d vCPU%s, %s' % (title, cpus, 's' * (cpus > 1), memory), kernel, cpus=cpus,
                memory=memory, args=args, check=check,
                expect=above + [USER_SPACE, r'reboot: Power down'])


def ends(name, append, status, err, expect=(), **more):
    """A case in which the guest's own end matters."""
    return Case(name, 'cloud/vmlinuz', append, status=status, err=[err],
                expect=[USER_SPACE] + list(expect), **more)


def random_bytes(count):
    return random.Random(count).randbytes(count)


def summed(name, count, **more):
    """The guest gets random bytes and says their sum."""
    data = random_bytes(count)
    return Case(name, 'cloud/vmlinuz', 'do=sum bytes=%d' % count, stdin=data,
                feed_when=r'GUEST: send \d+ bytes',
                expect=[r'^GUEST: md5 %s\r?$' % hashlib.md5(data).hexdigest()], **more)


def flooded(lines):
    """A user space that writes faster than it is read has lost nothing."""
    def check(out):
        numbers = [int(n) for n in re.findall(
            r'^FLOOD (\d{8}) abcdefghijklmnopqrstuvwxyz0123456789abcdefghijkl$', out, re.M)]
        if numbers == list(range(lines)):
            return None
        lost = sorted(set(range(lines)) - set(numbers))
        return '%d of %d lines are missing or torn, the first %s' % (len(lost), lines, lost[:1])
    return check


FLOOD_LINES = 4096
TICKS = 5
# A flood, and beside it a process that wakes up once a second and takes notes.
FLOOD_SCRIPT = (
    '(for i in %s; do sleep 1; echo "TICK $i"; done >/tmp/ticks) &\n'
    'stty -opost -echo; awk \'BEGIN { for (i = 0; i < %d; i++) printf "FLOOD %%08d '
    'abcdefghijklmnopqrstuvwxyz0123456789abcdefghijkl\\n", i }\'; stty opost; cat /tmp/ticks; '
    'echo "flood" ends; exit\n' % (' '.join(map(str, range(TICKS))), FLOOD_LINES)).encode()


def flooded_and_ticked(out):
    ticks = re.findall(r'^TICK \d+$', out, re.M)
    if len(ticks) != TICKS:
        return 'the guest\'s timer woke it %d times instead of %d' % (len(ticks), TICKS)
    return flooded(FLOOD_LINES)(out)


CASES = [
    # -- the longest first: what comes last should not be waited for alone
    Case('flood into a slow reader', 'cloud/vmlinuz', 'do=shell', stdin=FLOOD_SCRIPT,
         feed_when=USER_SPACE, pause=(r'FLOOD 000000', 10), check=flooded_and_ticked,
         expect=[r'^flood ends'], timeout=180),

    # -- to user space and back: each kernel, small and large
    boots('cloud bzImage', 'cloud/vmlinuz', 1, '256M'),
    boots('cloud bzImage', 'cloud/vmlinuz', 2, '4G'),
    boots('cloud bzImage', 'cloud/vmlinuz', 2, '256M'),
    boots('cloud vmlinux by PVH', 'cloud/vmlinux', 1, '256M'),
    boots('cloud vmlinux by PVH', 'cloud/vmlinux', 2, '4G'),
    boots('cloud vmlinux by PVH', 'cloud/vmlinux', 1, '4G', '--boot-protocol', 'pvh'),
    boots('cloud vmlinux by Linux', 'cloud/vmlinux', 1, '256M', '--boot-protocol', 'linux'),
    boots('cloud vmlinux by Linux', 'cloud/vmlinux', 2, '4G', '--boot-protocol', 'linux'),
    boots('generic bzImage', 'generic/vmlinuz', 1, '256M'),
    boots('generic bzImage', 'generic/vmlinuz', 2, '4G'),
    boots('generic vmlinux by PVH', 'generic/vmlinux', 2, '256M'),
    boots('generic vmlinux by PVH', 'generic/vmlinux', 1, '4G'),

    # -- how it ends
    ends('reboot', 'do=reboot', OK, RESET, [r'reboot: Restarting system']),
    ends('reboot, 2 vCPUs', 'do=reboot', OK, RESET, cpus=2),
    ends('reboot by triple fault', 'do=reboot reboot=t', OK, RESET),
    ends('reboot by the keyboard controller', 'do=reboot reboot=k', OK, RESET),
    ends('reboot by port 0xcf9', 'do=reboot reboot=p', OK, RESET),
    ends('panic', 'do=panic', GUEST_DIED, PANICKED + 'sysrq triggered crash', clean=False),
    ends('panic, 2 vCPUs', 'do=panic', GUEST_DIED, PANICKED, cpus=2, clean=False),
    ends('panic, restart at once', 'do=panic panic=-1', GUEST_DIED, PANICKED, clean=False),
    ends('panic, restart after a second', 'do=panic panic=1', GUEST_DIED, PANICKED, clean=False),
    ends('panic, quiet', 'quiet do=panic panic=-1', GUEST_DIED, PANICKED, clean=False),
    ends('init ends', 'do=exit', GUEST_DIED, PANICKED + 'Attempted to kill init'),
    ends('what looks like a panic', 'do=fakepanic', OK, POWERED_OFF),
    # It writes to its port before it would say its last line.
    ends('panic, told by the pvpanic driver', 'quiet load=pvpanic_mmio do=panic panic=50', GUEST_DIED,
         PANICKED + 'sysrq triggered crash', absent='Rebooting in', clean=False),
    Case('time-out', 'cloud/vmlinuz', 'do=idle', args=['--timeout', '12s'], status=124,
         err=[r'^bantam: the time was up']),
    Case('the power button', 'cloud/vmlinuz', 'quiet load=button,evdev do=button',
         args=['--stop-timeout', '50s'], when='waiting for the power button',
         expect=[r'the power button was pressed'],
         err=[r'^bantam: asked the guest to power off', POWERED_OFF]),
    Case('the power button, and nobody listens', 'cloud/vmlinuz', 'do=idle',
         args=['--stop-timeout', '2s'], when=USER_SPACE, status=128 + signal.SIGTERM,
         err=[r'^bantam: asked the guest to power off', r'did not power off in time']),
    Case('restart after a reset', 'cloud/vmlinuz', 'quiet do=reboot',
         args=['--on-reset', 'restart', '--timeout', '25s'], status=124,
         expect=[USER_SPACE, USER_SPACE], err=[r'^bantam: the time was up']),
    Case('quiet', 'cloud/vmlinuz', 'quiet', expect=[USER_SPACE], absent=r'Linux version'),
    # Without tables it looks for old hardware, and finds that there is none.
    Case('acpi=off', 'cloud/vmlinuz', 'acpi=off do=reboot', expect=[USER_SPACE], err=[RESET],
         clean=False),

    # -- signals
    Case('SIGTERM while booting', 'cloud/vmlinuz', when='Linux version', err=[],
         status=128 + signal.SIGTERM),
    Case('SIGTERM, 2 vCPUs, in user space', 'cloud/vmlinuz', 'do=idle', cpus=2, when=USER_SPACE,
         err=[], status=128 + signal.SIGTERM),
    Case('SIGTERM when /init starts', 'cloud/vmlinuz', when='Run /init', err=[],
         status=128 + signal.SIGTERM),
    Case('SIGINT twice', 'cloud/vmlinuz', when='Linux version',
         send=(signal.SIGINT, signal.SIGINT), err=[], status=128 + signal.SIGINT),

    # -- the console, in
    Case('echo, input from the start', 'cloud/vmlinuz', 'do=echo', stdin=b'hi\nquit\n',
         expect=[r'^GOT: hi$']),
    Case('echo, 3000 bytes from the start', 'cloud/vmlinuz', 'do=echo',
         stdin=b''.join(b'line %03d %s\n' % (i, b'x' * 51) for i in range(50)) + b'quit\n',
         expect=[r'^GOT: line %03d x{51}$' % i for i in range(50)]),
    summed('64 KiB in raw mode', 65536),

    # -- the console, out
    Case('the console\'s reader has left', 'cloud/vmlinuz', stdout='gone',
         err=[r"^bantam: the console's output can't be written", POWERED_OFF]),
    Case('console in a file', 'cloud/vmlinuz', args=['--console', '{file}'],
         expect=[r'\A', USER_SPACE]),
    Case('console on stderr', 'cloud/vmlinuz', args=['--console', 'stderr'], expect=[r'\A\Z'],
         err=[USER_SPACE, POWERED_OFF]),
    Case('console off', 'cloud/vmlinuz', args=['--console', 'off'], expect=[r'\A\Z'],
         err=[r'\A' + POWERED_OFF]),
    Case('dry run', 'cloud/vmlinuz', args=['--dry-run'], absent='Linux version', err=[r'\A\Z']),
]


# ---- running them ----

class Result:
    def __init__(self):
        self.out, self.err, self.status, self.seconds = '', '', None, 0.0
        self.timed_out = False
        self.after_signal_s = None


def feed(fd, data):
    """Writes to a pipe that nobody may read."""
    try:
        while data:
            data = data[os.write(fd, data):]
    except OSError:
        pass


class Running:
    """A run: the process, and what is done to it as its output comes."""

    def __init__(self, case, argv, err_file):
        self.case, self.data = case, b''
        self.out = self.into = None
        stdin = subprocess.DEVNULL
        if case.stdin is not None:
            stdin, self.into = os.pipe()
        self.out, stdout = os.pipe()
        if case.stdout == 'gone':
            os.close(self.out)
            self.out = None
        self.process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=err_file)
        os.close(stdout)
        if self.into is not None:
            os.close(stdin)
        self.todo = [(case.when, self.send)] if case.when else []
        if case.stdin is not None:
            self.todo.append((case.feed_when or '', self.feed))
        if case.pause:
            self.todo.append((case.pause[0], lambda: time.sleep(case.pause[1])))

    def feed(self):
        threading.Thread(target=feed, args=(self.into, self.case.stdin), daemon=True).start()

    def send(self):
        for number in self.case.send:
            self.process.send_signal(number)
        self.sent_at = time.monotonic()

    def act(self):
        """Does what waits for output that has come."""
        for item in self.todo[:]:
            if re.search(item[0].encode(), self.data, re.M):
                self.todo.remove(item)
                item[1]()

    def read_all(self, end):
        """Reads until the output ends; False when time is up before."""
        self.act()
        while self.out is not None:
            if not select.select([self.out], [], [], max(0, end - time.monotonic()))[0]:
                return False
            chunk = os.read(self.out, 65536)
            if not chunk:
                break
            self.data += chunk
            self.act()
        return True

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.into, self.out):
            if fd is not None:
                os.close(fd)


def run(bantam, case):
    """Runs one case to its end and returns what happened."""
    result = Result()
    began = time.monotonic()
    end = began + case.timeout
    with tempfile.TemporaryDirectory(prefix='bantam-system-') as scratch, \
            open(scratch + '/err', 'w+b') as err_file:
        console = scratch + '/console'
        argv = [bantam, 'run', '-c', str(case.cpus), '-m', case.memory, '--initrd', INITRD]
        argv += ['-a', case.append] if case.append else []
        argv += [arg.replace('{file}', console) for arg in case.args]
        running = Running(case, argv + ['%s/%s' % (KERNELS, case.kernel)], err_file)
        try:
            result.timed_out = not running.read_all(end)
            if not result.timed_out:
                running.process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            result.timed_out = True
        running.close()
        result.status = running.process.returncode
        result.seconds = time.monotonic() - began
        err_file.seek(0)
        result.err = err_file.read().decode('latin-1')
        if '{file}' in case.args:
            with open(console, 'rb') as f:
                running.data += f.read()
        result.out = running.data.decode('latin-1').replace('\r\n', '\n')
    return result


def complaint(log):
    """Returns a line in which the kernel says that something is wrong with the machine, or None."""
    if os.environ.get('BANTAM_KVMHOST'):
        log = KNOWN_IN_KVMHOST.sub('', log)
    for line in log.split('\n'):
        for pattern in COMPLAINTS:
            if re.search(pattern, line):
                return line
    return None


def judge(case, result):
    """Returns None if the run was as the case wants it, or the reason why not."""
    if result.timed_out:
        return 'no end within %d s' % case.timeout
    if result.status != case.status:
        return 'status %s instead of %s' % (result.status, case.status)
    missing = find_in_order(case.expect, result.out)
    if missing:
        return 'stdout lacks %.80s' % missing
    if case.absent and re.search(case.absent, result.out, re.M):
        return 'stdout has %.80s' % case.absent
    missing = find_in_order(case.err, result.err.replace('\r\n', '\n'))
    if missing:
        return 'stderr lacks %.80s' % missing
    reason = case.check(result.out) if case.check else None
    if not reason and case.clean:
        reason = complaint(result.out)
        reason = reason and 'the kernel complains: %s' % reason
    return reason


def silences(log):
    """Yields the long gaps between the stamps of two messages."""
    last = None
    for stamp, text in re.findall(r'^\[ *(\d+\.\d+)\] (.*)$', log, re.M):
        now = float(stamp)
        if last is not None and now - last > LONG_SILENCE_S:
            yield '%.1f s before "%.60s"' % (now - last, text)
        last = now


def why_no_stock_kernels():
    """Returns why the local KVM is not one for these kernels, or None."""
    if os.environ.get('BANTAM_KVMHOST'):
        return None
    needed = subprocess.run([ROOT + '/tests/kvmhost/needed'], stdout=subprocess.PIPE,
                            universal_newlines=True)
    if needed.returncode:
        return None
    return '%s; say tests/kvmhost/run -- tests/system/run.py' % needed.stdout.strip()


def prepare():
    """Makes what the runs need and isn't there."""
    subprocess.run([ROOT + '/tools/kernels', 'cloud', 'generic'], check=True)
    inputs = [os.path.getmtime(ROOT + '/tests/system/initrd/' + name) for name in ('init', 'build')]
    if not os.path.exists(INITRD) or os.path.getmtime(INITRD) < max(inputs):
        subprocess.run([ROOT + '/tests/system/initrd/build', INITRD, KERNELS + '/cloud/modules'],
                       check=True)


def main():
    parser = argparse.ArgumentParser(description='Boots stock kernels in bantam.')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', ROOT + '/bantam'))
    parser.add_argument('-j', metavar='N', type=int,
                        default=1 if os.environ.get('BANTAM_KVMHOST') else 2,
                        help='guests at the same time')
    parser.add_argument('-k', metavar='WORD', action='append',
                        help='only cases with WORD in their name; may be given again')
    parser.add_argument('--case', metavar='NAME', action='append',
                        help='only the case of this name; may be given again')
    parser.add_argument('--list', action='store_true', help='print the names of the cases, and end')
    parser.add_argument('-v', action='store_true', help='show what a failed case has printed')
    parser.add_argument('--logs', metavar='DIR', help='keep what each case printed there')
    parser.add_argument('--prepare', action='store_true', help='get kernels and initramfs, and end')
    options = parser.parse_args()
    cases = [case for case in CASES if any(word in case.name for word in options.k or [''])
             and (not options.case or case.name in options.case)]
    if options.list:
        print('\n'.join(case.name for case in cases))
        return 0
    prepare()
    if options.prepare:
        return 0
    bantam = os.path.abspath(options.bantam)
    if not os.path.exists(bantam):
        sys.exit('run.py: %s is not there: build it first' % bantam)

    tally = Tally()
    reason = why_no_stock_kernels() or why_no_kvm(bantam, BUILD + '/guests/hello.elf')
    if reason:
        tally.skip(len(cases), reason)
        return tally.close()
    if options.logs:
        os.makedirs(options.logs, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        futures = {pool.submit(run, bantam, case): case for case in cases}
        for future in concurrent.futures.as_completed(futures):
            case, result = futures[future], future.result()
            output = (('out', result.out[-3000:]), ('err', result.err[-2000:]))
            tally.result(case.name, judge(case, result), result.seconds,
                         output if options.v else ())
            for gap in silences(result.out):
                print('info %s: silence of %s' % (case.name, gap))
            sys.stdout.flush()
            if options.logs:
                name = re.sub(r'\W+', '-', case.name)
                with open('%s/%s.log' % (options.logs, name), 'w', encoding='latin-1') as f:
                    f.write(result.out + result.err)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
