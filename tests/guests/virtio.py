#!/usr/bin/env python3
"""virtio.py - boots the guests with drivers in them: PCI, disks, entropy, a console, a shared
directory, and hostile drivers.

    tests/guests/virtio.py [-v] [-k WORD] [--seed N] [--seconds N] [--build DIR] [BANTAM]

Each case of the table below is one run of the monitor with images made for it. Afterwards the
output is looked at, the exit status, what is in the images now, and whether anything is left
behind: processes, files, locks. BANTAM is the program (default: $BANTAM, or ./bantam); the guests
are taken from DIR/guests (default: $BUILD, or build).

The 32-bit words of an image are numbered, as the guests expect it (lib/blk.h); what a guest writes
are the same numbers under a salt.

One line a case: ok or FAIL with a reason. The last line counts them. The exit status is 1 if any
failed. Where /dev/kvm can't be used at all, everything is skipped, and that is no failure.
"""

import array
import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Tally, USAGE, find_in_order, guest_options, why_no_kvm  # noqa: E402

OK = 0
SECTOR = 512
SECTORS = 4096           # of an image: 2 MiB
WRITTEN = range(5, 8)    # the sectors that disk.c writes
SALT = 0x1234567
NO_STATUS = 255          # of a COMMAND that nobody ran
TEXT = 'what the host has written'


def words(first, count, salt=0):
    """`count` sectors from `first` on, as they are made or (salt) written."""
    begin = first * (SECTOR // 4)
    return array.array('I', (i ^ salt for i in range(begin, begin + count * (SECTOR // 4))))


class Disk:
    """An image of a case: its options for --disk, and which salt its WRITTEN sectors get."""

    def __init__(self, options='', salt=None, sectors=SECTORS):
        self.options, self.salt, self.sectors = options, salt, sectors
        self.path = None

    def make(self, path):
        self.path = path
        with open(path, 'wb') as f:
            words(0, self.sectors).tofile(f)

    def wrong(self):
        """Returns what is wrong with the image after the run, or None."""
        want = words(0, self.sectors)
        if self.salt is not None:
            begin = WRITTEN.start * (SECTOR // 4)
            part = words(WRITTEN.start, len(WRITTEN), self.salt)
            want[begin:begin + len(part)] = part
        with open(self.path, 'rb') as f:
            data = f.read()
            try:
                fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return 'the image is still locked'
        if data == want.tobytes():
            return None
        if len(data) != self.sectors * SECTOR:
            return 'the image has %d bytes now' % len(data)
        want = want.tobytes()
        bad = [s for s in range(self.sectors)
               if data[s * SECTOR:(s + 1) * SECTOR] != want[s * SECTOR:(s + 1) * SECTOR]]
        return 'image: %d sectors are other than they should be, the first is %d' % (
            len(bad), bad[0])


class Case:
    """One run.

    guest    the kernel's name (build/guests/NAME.elf)
    append   its command line; {seed}, here and in the name, and {seconds} are the options
    args     further options; {new} is a file that isn't there yet
    disks    its images; each is given by one --disk
    shared   whether it has a directory of the host's, with "file" in it; its console is then what
             bantam says, for it has a COMMAND
    expect   regular expressions for the standard output, found in this order
    err      the same for standard error
    status   the exit status
    send     a signal, sent as soon as the output matches `when`
    typed    what there is on standard input
    timeout  seconds until it is killed and has failed
    """

    def __init__(self, name, guest, append='', args=(), disks=(), expect=(), err=(), status=OK,
                 when=None, send=signal.SIGTERM, typed=None, timeout=60, shared=False):
        self.name, self.guest, self.append = name, guest, append
        self.args, self.disks = list(args), list(disks)
        self.expect, self.err, self.status = expect, err, status
        self.when, self.send, self.typed, self.timeout = when, send, typed, timeout
        self.shared = shared


MMIO = ['--transport', 'mmio']

DISK_DONE = [r'^write: status 0 ', r'^flush: status 0 ', r'^read back: status 0, as written$',
             r'^disk done$']
READ_ONLY = [r', read-only,', r'^write: status 1 ', r'^read back: status 0, as before$',
             r'^disk done$']
# rng, the disk: a line for each function, with its BARs' decoding off as the machine leaves it.
FUNCTIONS = [r'^ecam e0000000 length 100000$', r'^slot 0: .* class 0600 ',
             r'^slot \d+: 1af4:1044 class \w+ decoding off$',
             r'^slot \d+: 1af4:1042 class 0100 decoding off$',
             r'^address port tried$', r'^slot \d+ bar 0: memory ', r'^slot \d+ bar 1: ports ',
             r'^at its place: status 0 served$', r'^masked: pending, unmasked: came$',
             r'^notify by port: ', r'^notify by memory: ',
             r'^moved, notify by port: status 0 served$',
             r'^moved, notify by memory: status 0 served$',
             r'^moved while decoding, notify by port: status 0 served$',
             r'^moved while decoding, notify by memory: status 0 served$',
             r'^decoding off and on: status 0 served$', r'^back: status 0 served$',
             r'^line disabled: silent, enabled: came$', r'^line read away$',
             r'^access capability: 0 registers differ$', r'^pci done$']


def disk_case(name, append='', args=(), options='', expect=(), irqs='(some|none)'):
    """A run of disk.c that writes to its image. expect: before all that is expected anyway."""
    done = DISK_DONE[:-1] + ['^interrupts: %s, of configuration 0$' % irqs, DISK_DONE[-1]]
    return Case('disk, ' + name, 'disk', 'salt=%d %s' % (SALT, append), args,
                [Disk(options, SALT)], list(expect) + done)


def hostile_cases(guest, cases):
    """The hostile guest over each transport, and with event indices; images stay as they are."""
    expect = [r'^%s: %d cases done$' % (guest, cases)]
    yield Case(guest, guest, disks=[Disk()], expect=expect)
    yield Case(guest + ', event indices', guest, 'event-index', disks=[Disk()], expect=expect)
    if guest != 'hostile-pci':
        yield Case(guest + ' by mmio', guest, 'mmio', MMIO, [Disk()], expect)


def console_case(name, append='', args=()):
    """The hostile console, which reads digits without an end."""
    heard = [r'heard %02d served$' % i for i in range(18)]
    return Case('hostile-console' + name, 'hostile-console', append,
                ['--console-device', 'virtio', *args], typed=b'0123456789' * 6000,
                expect=[*heard, r'^hostile-console: 18 cases done$'])


def any_case(name, args, disks, append=''):
    """Garbage everywhere: on every device that needs nobody else."""
    return Case('hostile-any%s, seed {seed}' % name, 'hostile-any',
                append + ' seed={seed} seconds={seconds}', args, disks,
                [r'^\d+ accesses at random, seed \d+ served$', r'^hostile-any: 8 cases done$'],
                timeout=300)


def fs_case(name, append='', args=()):
    """A file system's hostile driver."""
    served = [r'^case %d .*:(.*\n)? served$' % i for i in range(27)]
    return Case('hostile-fs' + name, 'hostile-fs', append, args, shared=True, status=NO_STATUS,
                err=[*served, r'^hostile-fs: 27 cases done$'])


CASES = [
    Case('pci', 'pci', disks=[Disk()], expect=FUNCTIONS),
    Case('pci, 4 vCPUs, 4 GiB', 'pci', args=['-c', '4', '-m', '4G'], disks=[Disk()],
         expect=FUNCTIONS),
    Case('pci, 8 disks', 'pci', disks=[Disk() for _ in range(8)],
         expect=[r'^slot 9: 1af4:1042', r'^back: status 0 served$', r'^pci done$']),
    Case('pci without a disk', 'pci', expect=[r'^slot \d+: 1af4:1044', r'^no disk$']),
    Case('pci by mmio: there is no bus', 'pci', args=MMIO, expect=[r'^512 functions absent$']),

    disk_case('polling', expect=[r'notify by port$'], irqs='none'),
    disk_case('notify by memory', 'memory-notify', expect=[r'notify by memory$']),
    disk_case('MSI-X', 'msix', irqs='some'),
    disk_case('INTx', 'line', irqs='some'),
    disk_case('MSI-X, event indices', 'msix event-index', expect=[r'^with event index$']),
    disk_case('INTx, event indices', 'line event-index', expect=[r'^with event index$']),
    disk_case('polling, event indices', 'event-index', expect=[r'^with event index$']),
    disk_case('by mmio', 'mmio', MMIO, expect=[r'^mmio capacity']),
    disk_case('by mmio, interrupts', 'mmio line', MMIO, expect=[r'^mmio capacity']),
    disk_case('by mmio, interrupts, event indices', 'mmio line event-index', MMIO,
              expect=[r'^with event index$']),
    disk_case('4 vCPUs', 'msix', ['-c', '4']),
    disk_case('4 GiB', 'msix', ['-m', '4G']),
    disk_case('16 MiB', 'msix', ['-m', '16M']),
    disk_case('named', options=',serial=a name of 20 bytes', expect=[r'text a name of 20 bytes$']),
    disk_case('direct', options=',direct'),
    disk_case('4 queues', 'msix', options=',queues=4'),
    disk_case('40 requests a second', 'msix', options=',iops=40,bps=100K'),
    disk_case('40 requests a second, by mmio', 'mmio line', MMIO, ',iops=40'),
    disk_case('traced', 'msix', ['--trace', 'virtio={new}']),
    disk_case('restarted', 'again msix', ['--on-reset', 'restart'],
              expect=[r'^first life$', r'^second life$']),
    disk_case('restarted, by mmio', 'again mmio', ['--on-reset', 'restart'] + MMIO,
              expect=[r'^first life$', r'^second life$']),
    Case('disk, reset', 'disk', 'again salt=%d' % SALT, disks=[Disk('', SALT)],
         expect=[r'^first life$']),
    Case('disk, read-only', 'disk', 'ro', disks=[Disk(',ro')], expect=READ_ONLY),
    Case('disk, read-only by mmio', 'disk', 'ro mmio', MMIO, [Disk(',ro')], READ_ONLY),
    Case('disk, ephemeral', 'disk', 'msix', disks=[Disk(',ephemeral')], expect=DISK_DONE),
    Case('disk, ephemeral, by mmio', 'disk', 'mmio', MMIO, [Disk(',ephemeral')], DISK_DONE),
    Case('disk, the second of two', 'disk', 'disk=1 salt=%d' % SALT,
         disks=[Disk(), Disk(',serial=two', SALT)], expect=[r' text two$'] + DISK_DONE),
    Case('disk, the second of two by mmio', 'disk', 'mmio disk=1 salt=%d' % SALT, MMIO,
         [Disk(), Disk(',serial=two', SALT)], [r' text two$'] + DISK_DONE),
    Case('disk, the last of 8', 'disk', 'msix disk=7 salt=%d' % SALT,
         disks=[Disk() for _ in range(7)] + [Disk('', SALT)], expect=DISK_DONE),
    Case('disk, none', 'disk', expect=[r'^no disk$']),
    Case('disk, small', 'disk', 'salt=%d' % SALT, disks=[Disk('', SALT, 8)], expect=DISK_DONE),
    Case('disk, SIGTERM', 'disk', 'loop msix', disks=[Disk()], when='looping',
         status=128 + signal.SIGTERM),
    Case('disk, SIGTERM, by mmio', 'disk', 'loop mmio', MMIO, [Disk()], when='looping',
         status=128 + signal.SIGTERM),
    Case('disk, time-out', 'disk', 'loop', ['--timeout', '500ms'], [Disk(',ephemeral')],
         expect=[r'^looping$'], status=124),

    Case('rng', 'rng', expect=[r'^32 bytes: (?!(\w\w)\1*$)\w{64}$', r'^rng done$']),
    Case('rng, MSI-X', 'rng', 'irq', expect=[r'^rng done$']),
    Case('rng by mmio', 'rng', 'mmio', MMIO, expect=[r'^rng done$']),

    *hostile_cases('hostile-queue', 55),
    *hostile_cases('hostile-setup', 35),
    *hostile_cases('hostile-block', 26),
    *hostile_cases('hostile-pci', 16),
    *hostile_cases('hostile-regs', 7),
    fs_case(''),
    fs_case(', event indices', 'event-index'),
    fs_case(' by mmio', 'mmio', MMIO),
    fs_case(', 2 vCPUs, traced', '', ['-c', '2', '--trace', 'virtio,fs={new}']),
    console_case(''),
    console_case(', event indices', 'event-index'),
    console_case(' by mmio', 'mmio', MMIO),
    console_case(', 2 vCPUs, traced', '', ['-c', '2', '--trace', 'virtio={new}']),
    Case('race', 'race', args=['-c', '2'], disks=[Disk()], expect=[r'^race: 7 cases done$']),
    Case('race by mmio', 'race', 'mmio', ['-c', '2'] + MMIO, [Disk()], [r'^race: 7 cases done$']),
    Case('race, ephemeral', 'race', args=['-c', '2'], disks=[Disk(',ephemeral')],
         expect=[r'^race: 7 cases done$']),
    Case('hostile-queue, 4 GiB', 'hostile-queue', args=['-m', '4G'], disks=[Disk()],
         expect=[r'^hostile-queue: 55 cases done$']),
    Case('hostile-queue, ephemeral', 'hostile-queue', disks=[Disk(',ephemeral')],
         expect=[r'^hostile-queue: 55 cases done$']),
    Case('hostile-block, 100 requests a second', 'hostile-block', disks=[Disk(',iops=100')],
         expect=[r'^hostile-block: 26 cases done$']),
    Case('hostile-block, read-only', 'hostile-block', disks=[Disk(',ro')],
         expect=[r'^hostile-block: 26 cases done$']),
    Case('hostile-block, ephemeral', 'hostile-block', disks=[Disk(',ephemeral')],
         expect=[r'^hostile-block: 26 cases done$']),
    Case('hostile-setup, 100,000 notifications', 'hostile-setup', 'case=28 storm=100000',
         disks=[Disk()], expect=[r'^case 28 notify storm:  served$']),
    Case('hostile-setup, 100,000 notifications by mmio', 'hostile-setup',
         'mmio case=28 storm=100000', MMIO, [Disk()], [r'^case 28 notify storm:  served$']),

    any_case('', ['--console-device', 'virtio'], [Disk(), Disk(',ro,queues=4')]),
    any_case(' by mmio', MMIO, [Disk()], 'mmio'),

    Case('a disk that is not there', 'disk', args=['--disk', '{new}'], err=[r'^bantam: .*new'],
         status=USAGE),
]


class Run:
    def __init__(self):
        self.out = self.err = ''
        self.status = None
        self.timed_out = False
        self.left = ''       # of its processes


def finish(process, end, typed=None):
    """Waits until `end`; whatever is left of the process's session is killed. Returns the Run."""
    run = Run()
    try:
        out, err = process.communicate(typed, timeout=max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        run.timed_out = True
        process.kill()
        out, err = process.communicate()
    run.out, run.err = out.decode('latin-1'), err.decode('latin-1')
    run.status = process.returncode
    try:
        os.killpg(process.pid, signal.SIGKILL)   # its own session: nobody else is hit
        run.left = 'a process is left behind'
    except ProcessLookupError:
        pass
    return run


def boot(argv, case, tmp):
    process = subprocess.Popen(argv, stdin=subprocess.PIPE if case.typed else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True, env=dict(os.environ, TMPDIR=tmp))
    end = time.monotonic() + case.timeout
    seen = b''
    while case.when is not None:
        ready, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        more = os.read(process.stdout.fileno(), 4096) if ready else b''
        seen += more
        if not more or re.search(case.when.encode(), seen):
            process.send_signal(case.send)
            break
    run = finish(process, end, case.typed)
    run.out = seen.decode('latin-1') + run.out
    return run


def judge(case, run, scratch, files):
    """Returns None if all is as it should be, or the reason why not."""
    wrong = re.search('^.*WRONG.*$', run.out + run.err, re.M)
    if wrong:
        return wrong.group()[:200]
    if 'TRAP vector' in run.out:
        return run.out[run.out.index('TRAP vector'):].split('\n')[0]
    if run.timed_out:
        return 'no end within %d s; last: %.100s' % (case.timeout, run.out.split('\n')[-1])
    if run.status != case.status:
        return 'status %s instead of %s' % (run.status, case.status)
    missing = find_in_order(case.expect, run.out)
    if missing:
        return 'stdout lacks %.80s' % missing
    missing = find_in_order(case.err, run.err)
    if missing:
        return 'stderr lacks %.80s' % missing
    if case.shared:
        with open(scratch + '/shared/file', encoding='ascii') as file:
            if file.read() != TEXT or os.path.exists(scratch + '/beside'):
                return 'the directory, or what lies beside it, is not as it was'
    for disk in case.disks:
        reason = disk.wrong()
        if reason:
            return '%s: %s' % (os.path.basename(disk.path), reason)
    left = set(os.listdir(scratch)) - files
    if left or os.listdir(scratch + '/tmp'):
        return 'files are left behind: %s' % sorted(list(left) + os.listdir(scratch + '/tmp'))
    return run.left or None


def run_case(case, bantam, guests):
    with tempfile.TemporaryDirectory(prefix='bantam-virtio-') as scratch:
        argv = [bantam, 'run']
        os.mkdir(scratch + '/tmp')
        for i, disk in enumerate(case.disks):
            disk.make('%s/disk%d' % (scratch, i))
            argv += ['--disk', disk.path + disk.options]
        if case.append:
            argv += ['-a', case.append]
        argv += [arg.replace('{new}', scratch + '/new') for arg in case.args]
        argv.append('%s/%s.elf' % (guests, case.guest))
        if case.shared:
            os.mkdir(scratch + '/shared')
            with open(scratch + '/shared/file', 'w', encoding='ascii') as file:
                file.write(TEXT)
            # What the initrd is doesn't matter to the guest.
            argv += ['-v', scratch + '/shared:/v', '--initrd', argv[-1], '--console', 'stderr',
                     '--', 'true']
        run = boot(argv, case, scratch + '/tmp')
        return run, judge(case, run, scratch, {'tmp', 'new', 'shared'} | {
            os.path.basename(disk.path) for disk in case.disks})


def main():
    options, bantam, guests = guest_options('Boots the guests with virtio drivers.', 'disk')
    cases = [case for case in CASES if options.k in case.name]
    tally = Tally()
    reason = why_no_kvm(bantam, guests + '/hello.elf')
    if reason:
        tally.skip(len(cases), reason)
        return tally.close()
    for case in cases:
        given = {'seed': options.seed, 'seconds': options.seconds}
        case.name, case.append = case.name.format(**given), case.append.format(**given)
        case.timeout += options.seconds
        began = time.monotonic()
        run, reason = run_case(case, bantam, guests)
        output = (('out', run.out[-4000:]), ('err', run.err[-2000:]))
        tally.result(case.name, reason, time.monotonic() - began, output if options.v else ())
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
