#!/usr/bin/env python3
"""soak.py - many machines in a row, many side by side, one for long: and nothing grows.

    tests/guests/soak.py [--machines N] [--waves N] [--resets N] [--build DIR] [BANTAM]

The machines are bare-metal guests with a disk, the same by mmio, a shared directory, COMMAND's
console, and a network on a socket and, where a namespace of our own can be made (root), on a tap.
After each kind has run once, the host is counted, and again after N machines in a row and N waves of
16 at a time:

    processes     children of ours, and theirs that lost their parent: they become ours
    descriptors   open here
    files         in $TMPDIR of the machines, and what is theirs in /tmp, /var/tmp, /dev/shm and /run
    interfaces    of the namespace
    vCPUs, network and other namespaces that the kernel holds memory for (root, /proc/slabinfo)

The first four must be what they were; of the kernel's there may be a few more, for others use them
too, but not one for every fourth machine. MemAvailable and Slab are shown and not judged: they are
everybody's.

Then one machine with a disk, a console device and a network resets itself N times in one process, with
--on-reset restart. Its descriptors and threads must be as many, and its own memory as large (a KiB a
reset, at most), at the end as after the first 100.

Figures first, then one line a case; the last line counts them. Where /dev/kvm can't be used at all,
everything is skipped, and that is no failure.
"""

import argparse
import contextlib
import ctypes
import glob
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Tally, Wrong, want, why_no_kvm  # noqa: E402
from net import Stream, Tap, frame_of, why_no_taps  # noqa: E402
from virtio import MMIO, Disk  # noqa: E402

GROUP = 54322            # nobody's: what machines make can be told by it
LIMIT_S = 60             # for one machine; a failure, never a measure
SIDE_BY_SIDE = 16
FIRST_RESETS = 100       # until all that a machine needs is there
SAMPLES = 50
PR_SET_CHILD_SUBREAPER = 36
SLABS = {'kvm_vcpu': 'vCPUs', 'net_namespace': 'network namespaces', 'nsproxy': 'sets of namespaces',
         'pid_namespace': 'process namespaces'}
OWNER = dict(group=GROUP, extra_groups=[]) if os.geteuid() == 0 else {}


# ---- machines ----

class Soak:
    """What all machines share: the program, the guests, a directory."""

    def __init__(self, options, directory):
        self.bantam, self.guests = os.path.abspath(options.bantam), options.build + '/guests'
        self.directory, self.tmp = directory, directory + '/tmp'
        self.shared, self.initrd = directory + '/shared', directory + '/initrd'
        for path in (self.tmp, self.shared):
            os.mkdir(path)
            os.chmod(path, 0o777)
        for path in (self.initrd, self.shared + '/file'):
            with open(path, 'wb') as file:
                file.write(b'what the host has written')
        self.disks = 0

    def disk(self):
        """A new image's path, for the time of a machine."""
        self.disks += 1
        path = '%s/disk-%d' % (self.directory, self.disks)
        Disk().make(path)
        return path

    def start(self, guest, *args, command=(), fds=()):
        return subprocess.Popen(
            [self.bantam, 'run', *args, '%s/%s.elf' % (self.guests, guest), *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=fds, env=dict(os.environ, TMPDIR=self.tmp), **OWNER)


def ended(process, status, pattern):
    """Waits for a machine's end; what it said must match."""
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Wrong('no end within %d s' % LIMIT_S) from None
    said = (out + err).decode('latin-1')
    want(process.returncode == status and re.search(pattern, said, re.M) and 'WRONG' not in said,
         'status %d: %.300s' % (process.returncode, said[-300:]))


def disk(soak, transport=(), append='msix'):
    path = soak.disk()
    process = soak.start('disk', *transport, '--disk', path + ',ephemeral', '-a', append)
    yield
    ended(process, 0, '^disk done$')
    os.remove(path)


def disk_by_mmio(soak):
    return disk(soak, MMIO, 'mmio line')


def shared(soak):
    """One case of hostile-fs, in which it is mounted."""
    process = soak.start('hostile-fs', '-v', soak.shared + ':/v', '--initrd', soak.initrd,
                         '--console', 'stderr', '-a', 'case=2', command=('--', 'true'))
    yield
    ended(process, 255, '^hostile-fs: ')


def command(soak):
    process = soak.start('play-init', '--initrd', soak.initrd, '-a',
                         'play=cstart;ohello;cend_stdout_5;cend_stderr_0;cexit_7', command=('--', 'x'))
    yield
    ended(process, 7, '^hello$')


def net_socket(soak):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        process = soak.start('echo-net', '--net', 'fd=%d' % theirs.fileno(), '-a', 'msix',
                             fds=[theirs.fileno()])
    yield
    peer = Stream(ours)
    with contextlib.closing(peer):
        for frame in map(frame_of, (60, 1514, 9014)):
            peer.send(frame)
            want((peer.receive() or b'')[12:] == frame[12:], 'a frame came back as another')
        process.terminate()
        ended(process, 143, '^address')


def net_tap(soak):
    name = 'soak%d' % soak.disks
    soak.disks += 1
    tap = Tap(name, False)
    tap.release()
    tap.process = process = soak.start('echo-net', '--net', 'tap=' + name)
    yield
    with contextlib.closing(tap):
        frame, end = frame_of(1000), time.monotonic() + LIMIT_S
        tap.send(frame)
        while not tap.answered(frame):
            want(time.monotonic() < end, 'nothing comes back from the tap')
            tap.send(frame)
        process.terminate()
        ended(process, 143, '^address')
    subprocess.run(['ip', 'link', 'delete', name], check=True)


# ---- counting ----

def children():
    """The processes whose parent we are."""
    found = []
    for entry in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open('/proc/%s/stat' % entry) as file:
            if int(file.read().rsplit(')', 1)[1].split()[1]) == os.getpid():
                found.append(int(entry))
    return found


def files(soak):
    """What machines have left of names."""
    found = glob.glob(soak.tmp + '/*')
    for path in glob.glob('/tmp/*') + glob.glob('/var/tmp/*') + glob.glob('/dev/shm/*') + \
            glob.glob('/run/*'):
        with contextlib.suppress(OSError):
            if OWNER and os.lstat(path).st_gid == GROUP:
                found.append(path)
    return found


def in_kernel():
    """How many of what the kernel has are there: {name: number}; nothing, who may not know."""
    found = {}
    with contextlib.suppress(OSError), open('/proc/slabinfo') as file:
        for line in file:
            name, *numbers = line.split()
            if name in SLABS:
                found[SLABS[name]] = int(numbers[0])
    return found


def memory():
    """MemAvailable and Slab in MiB."""
    with open('/proc/meminfo') as file:
        lines = dict(line.split(':') for line in file)
    return {name: int(lines[name].split()[0]) >> 10 for name in ('MemAvailable', 'Slab')}


def census(soak):
    return {'processes': len(children()), 'descriptors': len(os.listdir('/proc/self/fd')),
            'files': len(files(soak)), 'interfaces': len(os.listdir('/sys/class/net'))}


def settled(soak, before):
    """A census, and the kernel's, when nothing is late any more."""
    end = time.monotonic() + LIMIT_S
    while census(soak) != before and time.monotonic() < end:
        time.sleep(0.1)
    return census(soak), in_kernel()


def compare(soak, title, before, kernel_before, machines):
    """Shows both counts; raises Wrong where something has grown."""
    after, kernel = settled(soak, before)
    for name in before:
        print('info %s: %s: %d before, %d after' % (title, name, before[name], after[name]))
    for name, count in kernel.items():
        print('info %s: %s: %d before, %d after' % (title, name, kernel_before[name], count))
    grown = [name for name in before if after[name] != before[name]]
    grown += [name for name in kernel if kernel[name] - kernel_before[name] > machines // 4]
    want(not grown, 'grown: %s' % ', '.join(grown))


# ---- cases ----

def together(soak, kinds):
    """Starts a machine of each of the kinds, then waits for all of them."""
    plays = [kind(soak) for kind in kinds]
    for play in plays:
        next(play)
    for play in plays:
        for _ in play:
            pass


def many(soak, title, machines, at_once, kinds):
    together(soak, kinds)        # what is made once, and kept, is there
    before, kernel, memory_before = census(soak), in_kernel(), memory()
    for first in range(0, machines, at_once):
        together(soak, [kinds[i % len(kinds)] for i in range(first, first + at_once)])
    for name, count in memory().items():
        print('info %s: %s: %d MiB before, %d MiB after' % (title, name, memory_before[name], count))
    compare(soak, title, before, kernel, machines)


def of_process(pid):
    """(descriptors, threads, KiB of its own memory)."""
    with open('/proc/%d/status' % pid) as file:
        status = dict(line.split(':', 1) for line in file)
    return (len(os.listdir('/proc/%d/fd' % pid)), int(status['Threads']),
            int(status['RssAnon'].split()[0]))


def sample(process, skip):
    """The largest of each figure in SAMPLES rounds behind the next `skip`."""
    seen = []
    rounds = 0
    while rounds < skip + SAMPLES:
        line = process.stdout.readline()
        want(line, 'it has ended: %.300r' % (process.stderr.read() if not line else ''))
        if line.startswith(b'round: '):
            want(b'WRONG' not in line, line.decode())
            rounds += 1
            if rounds > skip:
                seen.append(of_process(process.pid))
    return [max(figures) for figures in zip(*seen)]


def resets(soak, count):
    """One process, one machine after the other in it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    path = soak.disk()
    with theirs:
        process = soak.start('restart', '--on-reset', 'restart', '--disk', path, '--console-device',
                             'virtio', '--net', 'fd=%d' % theirs.fileno(), '-c', '2', '-a', 'cpus=2',
                             fds=[theirs.fileno()])
    try:
        first = sample(process, FIRST_RESETS - SAMPLES)
        last = sample(process, count - FIRST_RESETS - SAMPLES)
    finally:
        process.terminate()
        out, err = process.communicate()
        ours.close()
        os.remove(path)
    for name, before, after in zip(('descriptors', 'threads', 'KiB'), first, last):
        print('info %d resets: %s: %d after %d, %d at the end'
              % (count, name, before, FIRST_RESETS, after))
    want(process.returncode == 143, 'status %d: %r %r' % (process.returncode, out[-200:], err))
    want(last[:2] == first[:2] and last[2] - first[2] <= count, 'grown')


def main():
    parser = argparse.ArgumentParser(description='Many machines, and one for long.')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', './bantam'))
    parser.add_argument('--build', metavar='DIR', default=os.environ.get('BUILD', 'build'))
    parser.add_argument('--machines', metavar='N', type=int, default=200)
    parser.add_argument('--waves', metavar='N', type=int, default=5)
    parser.add_argument('--resets', metavar='N', type=int, default=1000)
    options = parser.parse_args()
    if options.resets < 2 * FIRST_RESETS:
        parser.error('--resets: %d at least' % (2 * FIRST_RESETS))
    tally = Tally()
    reason = why_no_kvm(options.bantam, options.build + '/guests/hello.elf')
    if reason:
        tally.skip(3, reason)
        return tally.close()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    kinds = [disk, disk_by_mmio, shared, command, net_socket]
    why = why_no_taps()
    if why:
        tally.skip(1, why, 'machines with a tap')
    else:
        kinds.append(net_tap)
    waves = options.waves * SIDE_BY_SIDE
    with tempfile.TemporaryDirectory(prefix='bantam-soak-') as directory:
        os.chmod(directory, 0o755)
        soak = Soak(options, directory)
        for name, case in (
                ('%d in a row' % options.machines,
                 lambda name: many(soak, name, options.machines, 1, kinds)),
                ('%d times %d side by side' % (options.waves, SIDE_BY_SIDE),
                 lambda name: many(soak, name, waves, SIDE_BY_SIDE, kinds)),
                ('%d resets of one' % options.resets,
                 lambda _name: resets(soak, options.resets))):
            began, reason = time.monotonic(), None
            try:
                case(name)
            except (Wrong, OSError, subprocess.SubprocessError) as wrong:
                reason = str(wrong) or repr(wrong)
            for pid in children():      # of a case that failed
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            tally.result(name, reason, time.monotonic() - began)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
