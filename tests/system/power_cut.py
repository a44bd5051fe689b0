#!/usr/bin/env python3
"""power_cut.py - cuts a host's power while a guest writes, and looks what of it is still there.

    tests/system/power_cut.py [--cuts N] [--jobs N] [--seed N] [BANTAM]
    tests/system/power_cut.py --lie guest|monitor [--cuts N] [--jobs N] [--seed N] [BANTAM]

The host is tests/kvmhost, with a drive of its own; on that lies an ext4 file system and on that the
image of the guest's disk. The guest writes, and says a number on its console only after an fsync.
Some time after the first the emulator is killed: the host's memory is gone, and with it all that was
on its way to the drive. What the guest's numbers stand for must then be in the image. It writes, in
turn (tests/system/guest):

    records       numbered records, right onto its disk
    records-fio   the same, while fio writes at random beside them, with flushes of its own
    files         files in an ext4 file system: once its journal is replayed, e2fsck -f finds nothing to
                  repair

That is looked for twice: on the drive as the emulator left it, and on a drive that has lost
everything behind its last completed flush (but for writes that ask to be kept by themselves). The
latter is what a real drive with a volatile cache may do, and finds a monitor whose writes reach the
drive but which flushes nothing. It is made of the log that QEMU keeps of writes and flushes.

Half of an image for records is allocated in the host's file system and half is a hole, so that both
data and the file system's own notes must have been kept. The cuts take turns with both transports and
with `direct`.

--lie is the test of the test: with `guest` the guest does not call fsync and says its numbers all
the same, with `monitor` the monitor's calls of fsync and fdatasync do nothing (tests/system/refuse;
it has to do without io_uring, whose flushes can't be kept from it in this way). Each cut must then
find that something is lost. One cut of each kind is made at the end of every run without --lie.

One line a cut; the last line counts. The exit status is 1 if any failed. A host that shows no sign
of the guest's records in time (see in_kvmhost.py for why that is) is tried again, with a word, and
has failed the second time.

Limits: what a drive does that loses what it was told to flush isn't looked at; nor are drives that
tear a sector. A write that was under way when a flush was asked for counts as flushed.
"""

import argparse
import concurrent.futures
import os
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + '/tests')
from harness import Tally  # noqa: E402

HERE = ROOT + '/tests/system'
BUILD = os.environ.get('BUILD', ROOT + '/build')

DRIVE_BYTES = 256 << 20
IMAGE_BYTES = 64 << 20
RECORD = 4096
HALF = IMAGE_BYTES // 2 // RECORD
FIRST_RECORD_S = 120     # seconds to the guest's first record
RUN_S = (0.5, 4.0)       # how much longer until the cut

# The monitor's options, in turn.
VARIANTS = (('pci', ''), ('mmio', ''), ('pci', ',direct'), ('mmio', ',direct'))

LOADS = ('records', 'records-fio', 'files')
KEPT_FILES = 64          # of the last so many files none is removed

# In the emulated host: the drive's file system, then the monitor. Nothing is to be kept by luck,
# because the file system happened to commit just then.
HOST_SCRIPT = 'mkdir -p /run/drive && mount -t ext4 -o commit=300 /dev/vda /run/drive && exec "$@"'


def tool(*argv):
    environment = dict(os.environ, PATH=os.environ['PATH'] + ':/usr/sbin:/sbin')
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors='replace', env=environment)
    return done.returncode, done.stdout


# ---- the drive ----

def make_file_system(path, size, *options):
    with open(path, 'ab') as f:
        f.truncate(size)
    status, said = tool('mke2fs', '-q', '-F', '-t', 'ext4', *options, path)
    if status:
        sys.exit('power_cut: mke2fs: %s' % said)


def make_drive(directory, load):
    """Makes the drive that every cut with that load begins with a copy of."""
    tree, path = '%s/%s' % (directory, load), '%s/%s.drive' % (directory, load)
    os.mkdir(tree)
    with open(tree + '/disk.img', 'wb') as f:
        if load != 'files':
            f.write(b'nothing here yet'.ljust(64, b'.') * (IMAGE_BYTES // 2 // 64))
        f.truncate(IMAGE_BYTES)
    if load == 'files':
        make_file_system(tree + '/disk.img', IMAGE_BYTES)
    make_file_system(path, DRIVE_BYTES, '-d', tree)
    return path


def log_entries(path):
    """Yields (flags, first byte, data) of a log of writes, up to where the emulator died.

    A superblock of a sector, and for each write one for its head, then its data; as Linux's
    dm-log-writes has it (Documentation/admin-guide/device-mapper/log-writes.rst).
    """
    with open(path, 'rb') as f:
        magic, version, _count, sector_bytes = struct.unpack('<QQQI', f.read(28))
        if magic != 0x6a736677736872 or version != 1:
            raise ValueError('%s is no log of writes' % path)
        f.seek(sector_bytes)
        while True:
            head = f.read(sector_bytes)
            if len(head) < sector_bytes:
                return
            sector, count, flags, _length = struct.unpack('<QQQQ', head[:32])
            if not count and not flags:
                return
            discard = flags & LOG_DISCARD
            data = b'' if discard else f.read(count * sector_bytes)
            if not discard and len(data) < count * sector_bytes:
                return
            yield flags, sector * sector_bytes, bytes(count * sector_bytes) if discard else data


LOG_FLUSH, LOG_FUA, LOG_DISCARD = 1, 2, 4


def forget_unflushed(template, log, out):
    """Makes the drive as one would be that lost what no flush came after. Returns the flushes."""
    shutil.copyfile(template, out)
    entries = list(log_entries(log))
    flushes = [at for at, entry in enumerate(entries) if entry[0] & LOG_FLUSH]
    last = flushes[-1] if flushes else -1
    with open(out, 'r+b') as f:
        for at, (flags, start, data) in enumerate(entries):
            if at <= last or flags & LOG_FUA:
                f.seek(start)
                f.write(data)
    return len(flushes)


def record(number):
    return ''.join('record %010d %03d %09d\n' % (number, line, (number * 7919 + line) % 999999937)
                   for line in range(128)).encode()


def missing_records(image, acknowledged):
    """Returns None if records 0 to `acknowledged` are in the image, or what is wrong."""
    lost = []
    with open(image, 'rb') as f:
        for number in range(acknowledged + 1):
            f.seek(((number // 4 % 2) * HALF + number // 8 * 4 + number % 4) * RECORD)
            if f.read(RECORD) != record(number):
                lost.append(number)
    if not lost:
        return None
    return '%d of %d acknowledged records are lost, the first is %d, the last %d' % (
        len(lost), acknowledged + 1, lost[0], lost[-1])


def missing_files(image, acknowledged):
    """The same for files in the image's file system, which has to be in order."""
    status, said = tool('e2fsck', '-E', 'journal_only', '-y', image)
    if status & ~1:
        return 'the journal: %.200s' % said
    status, said = tool('e2fsck', '-f', '-n', image)
    if status:
        return 'e2fsck would repair: %.200s' % said
    tree = image + '.tree'
    os.mkdir(tree)
    tool('debugfs', '-R', 'rdump / ' + tree, image)
    for number in range(max(0, acknowledged - KEPT_FILES + 2), acknowledged + 1):
        path = '%s/%d/%d' % (tree, number % 8, number)
        wanted = 'file %d\n' % number * (number % 400 + 1)
        if not os.path.exists(path):
            return 'file %d is lost, %d was acknowledged' % (number, acknowledged)
        with open(path) as f:
            if f.read() != wanted:
                return 'file %d is not whole, %d was acknowledged' % (number, acknowledged)
    return None


def missing(load, drive, acknowledged):
    """Returns None if all that was acknowledged is on the drive, or what is wrong."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(drive)) as directory:
        image = directory + '/disk.img'
        # What a mount would do: the journal's replay, and nothing that needs a decision.
        status, said = tool('e2fsck', '-p', drive)
        if status & ~1:
            return 'the host\'s file system is damaged: %.200s' % said
        tool('debugfs', '-R', 'dump /disk.img ' + image, drive)
        return (missing_files if load == 'files' else missing_records)(image, acknowledged)


# ---- a cut ----

class Host:
    """An emulated host in which a guest writes."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.said = b''

    def read_until(self, end, pattern=None):
        """Reads until the output has the pattern (True), or until `end`, or to its end (False)."""
        fd = self.process.stdout.fileno()
        while not (pattern and re.search(pattern, self.said, re.M)):
            if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
                return False
            chunk = os.read(fd, 65536)
            if not chunk:
                return False
            self.said += chunk
        return True

    def emulator(self):
        """Returns the process id of QEMU, a child of tests/kvmhost/run."""
        for entry in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open('/proc/%s/stat' % entry) as f:
                    name, rest = f.read().split('(', 1)[1].rsplit(')', 1)
            except OSError:
                continue
            if int(rest.split()[1]) == self.process.pid and name.startswith('qemu-system'):
                return int(entry)
        return None

    def cut(self):
        pid = self.emulator()
        if pid:
            os.kill(pid, signal.SIGKILL)
        # What had come out before is still on its way.
        self.read_until(time.monotonic() + 20)
        return pid is not None

    def close(self):
        if self.process.poll() is None:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.terminate()
                self.process.wait()
        self.process.stdout.close()

    def acknowledged(self):
        """Returns the last number that the guest has said, or -1."""
        numbers = re.findall(rb'^flushed (\d+)\r?\n', self.said, re.M)
        return int(numbers[-1]) if numbers else -1


def cut_power(options, template, load, variant, lie, seconds):
    """One cut. Returns (True when it can be tried again, reason or None, what was found)."""
    transport, more = variant
    with tempfile.TemporaryDirectory(prefix='cut-', dir=BUILD + '/system') as directory:
        drive, log = directory + '/drive', directory + '/log'
        subprocess.run(['cp', '--sparse=always', template, drive], check=True)
        open(log, 'w').close()
        refuse = []
        if lie == 'monitor':
            refuse = [HERE + '/refuse', 'io_uring_setup=EPERM', 'fsync=0', 'fdatasync=0',
                      'sync_file_range=0', 'syncfs=0', '--']
        host = Host([ROOT + '/tests/kvmhost/run', '--memory', '1536', '--timeout', '300',
                     '--drive', drive, '--drive-log', log, '--', 'sh', '-c', HOST_SCRIPT, 'sh']
                    + refuse +
                    [options.bantam, 'run', '--initrd', BUILD + '/system/initrd.img',
                     '--transport', transport, '--disk', '/run/drive/disk.img' + more,
                     *(['--disk', BUILD + '/images/tools.img,ro'] if load == 'records-fio' else []),
                     '-a', 'quiet load=virtio_pci,virtio_mmio,virtio_blk%s do=run script=%s%s'
                     % ('' if load == 'records' else ',crc32c_generic,ext4', load,
                        ' sync=no' if lie == 'guest' else ''),
                     BUILD + '/kernels/cloud/vmlinuz'])
        try:
            began = host.read_until(time.monotonic() + FIRST_RECORD_S, rb'^flushed \d+\r?\n')
            if began:
                host.read_until(time.monotonic() + seconds, rb'^GUEST: FAILED')
            was_there = host.cut()
        finally:
            host.close()
        said = host.said.decode('latin-1')
        if not began or not was_there or 'GUEST: FAILED' in said:
            return 'GUEST: FAILED' not in said, 'the guest did not write: %s' % said[-600:], ''
        acknowledged = host.acknowledged()
        left = missing(load, drive, acknowledged)
        flushes = forget_unflushed(template, log, drive)
        flushed = missing(load, drive, acknowledged)
        reason = '; '.join('%s: %s' % (where, what) for where, what in (
            ('on the drive', left), ('had it lost what was not flushed', flushed)) if what)
        return False, reason or None, '%d acknowledged, %d flushes' % (acknowledged + 1, flushes)


def cut_and_judge(options, template, number, load, variant, lie, seconds):
    """One cut, tried again when the emulated host is at fault. Returns (name, reason)."""
    name = 'cut %d, %s, %s%s' % (number, load, variant[0], variant[1])
    for attempt in (1, 2):
        again, reason, found = cut_power(options, template, load, variant, lie, seconds)
        if not again:
            break
        if attempt == 1:
            print('info %s: tried again: %s' % (name, reason.replace('\r', '')), flush=True)
    if lie:
        name += ', a %s that lies' % lie
        if found:
            name += ' (%s)' % reason
            reason = None if reason else 'the loss was not noticed (%s)' % found
    elif found:
        name += ' (%s)' % found
    return name, reason


def plan(options):
    """Yields (load, variant, lie) for each cut."""
    for number in range(options.cuts):
        # Only the records' guest can lie.
        load = 'records' if options.lie == 'guest' else LOADS[number % len(LOADS)]
        yield load, VARIANTS[number % len(VARIANTS)], options.lie
    if not options.lie:
        yield 'records', VARIANTS[0], 'guest'
        yield 'files', VARIANTS[0], 'monitor'
        yield 'records', VARIANTS[2], 'monitor'


def main():
    parser = argparse.ArgumentParser(description='Cuts the power of an emulated host.')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', ROOT + '/bantam'))
    parser.add_argument('--cuts', metavar='N', type=int, default=20)
    parser.add_argument('--jobs', metavar='N', type=int, default=min(2, os.cpu_count() or 1),
                        help='hosts at the same time')
    parser.add_argument('--seed', metavar='N', type=int, default=int(time.time()),
                        help='for the moments of the cuts')
    parser.add_argument('--lie', choices=('guest', 'monitor'), help='the test of the test')
    options = parser.parse_args()
    options.bantam = os.path.abspath(options.bantam)
    if not os.path.exists(options.bantam):
        sys.exit('power_cut: %s is not there: build it first' % options.bantam)
    subprocess.run([HERE + '/run.py', '--prepare'], check=True)
    chance = random.Random(options.seed)
    print('info seed %d' % options.seed, flush=True)

    tally = Tally()
    with tempfile.TemporaryDirectory(prefix='power-cut-', dir=BUILD + '/system') as directory, \
            concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        template = {load: make_drive(directory, load) for load in LOADS}
        futures = [pool.submit(timed, cut_and_judge, options, template[load], number, load, variant,
                               lie, chance.uniform(*RUN_S))
                   for number, (load, variant, lie) in enumerate(plan(options), 1)]
        for future in concurrent.futures.as_completed(futures):
            (name, reason), seconds = future.result()
            tally.result(name, reason, seconds)
    return tally.close()


def timed(function, *args):
    began = time.monotonic()
    return function(*args), time.monotonic() - began


if __name__ == '__main__':
    sys.exit(main())
