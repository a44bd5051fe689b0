"""rows_ceiling.py - how fast devices are without a virtual machine.

tests/bench/block_ceiling.c drives the program's own disk device and worker in one process: 32
random reads of 4 KiB under way, on a file that is in the page cache. Beside it, fio does the same
with io_uring, as it ships: no registered buffers, one request a submission.

tests/bench/net_ceiling.c does that with the network device on a tap, whose peer is the kernel
alone: frames into it end there, frames from it were put into its queue before. Beside it is a bare
loop of writev() or readv() on the same tap, with which it takes turns. Told are frames per second
of processor time, which on an idle machine is what a clock tells, and on a busy one the same.

These are comparisons of work with work, one thread against one: the driver's part is done on the
worker's thread, as an interrupt handler's would be. As `two threads` the driver has a thread of its
own, and each batch costs two wake-ups across processors. What those cost is the host's affair, so
that line has no goal; in a virtual machine like those that CI runs in it may be more than all else.
"""

import json
import os
import re
import shutil
import subprocess

from measure import Failed, NotTaken
from rows import NATIVE, Row, Series, needs_file
from rows_net import needs_tap

FILE_MIB = 256
SECONDS = 2
DEPTH = 32
FRAMES, ROUNDS = 20000, 20


def run(argv, timeout_s):
    """What a program printed."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout_s, check=False)
    if done.returncode:
        raise Failed('%s: %s' % (os.path.basename(argv[0]), done.stdout.strip()[-200:]))
    return done.stdout


def disk_rows(setup):
    program = os.path.join(setup.build, 'bench', 'block_ceiling')
    path = os.path.join(setup.work, 'ceiling')
    ours = [program, path, str(SECONDS), str(DEPTH)]
    fio = ['fio', '--name=ceiling', '--filename=' + path, '--rw=randread', '--bs=4k',
           '--iodepth=%d' % DEPTH, '--ioengine=io_uring', '--direct=0', '--time_based',
           '--runtime=%d' % SECONDS, '--invalidate=0', '--thread', '--gtod_reduce=1', '--output-format=json']

    def read(argv):
        if not os.path.exists(path):
            with open(path, 'wb') as f:
                for _ in range(FILE_MIB):
                    f.write(os.urandom(1024 * 1024))
                f.flush()
                os.fsync(f.fileno())
        return run(argv, setup.timeout_s)

    def measure(argv):
        match = re.search(r'requests=(\d+) ns=(\d+)', read(argv))
        return {'iops': int(match[1]) * 1e9 / int(match[2])}

    def with_fio():
        if not shutil.which('fio'):
            raise NotTaken('there is no fio (package fio)')
        text = read(fio)
        return {'iops': json.loads(text[text.index('{'):])['jobs'][0]['read']['iops']}

    series = Series('ceiling', NATIVE,
                    {'bantam': lambda: measure(ours), 'fio': with_fio,
                     'two threads': lambda: measure(ours + ['thread'])},
                    {'bantam': ' '.join(ours), 'fio': ' '.join(fio),
                     'two threads': ' '.join(ours + ['thread'])}, runs=5,
                    needs=needs_file(program, how='make bench'))
    return [Row('4 KiB random reads, depth 32, no VM', series, 'iops', '/s',
                better='higher', goal_ratio=('fio', 0.9))]


def net_series(setup, frame_bytes):
    """A run of the program gives samples of two contenders."""
    program = os.path.join(setup.build, 'bench', 'net_ceiling')
    ours = [program, str(frame_bytes), str(FRAMES), str(ROUNDS)]
    bare = {}

    def needs():
        needs_tap()
        needs_file(program, how='make bench')()

    def measure(argv):
        sample = {}
        for direction, device_ns, bare_ns in re.findall(r'(\w+) device_ns=(\d+) bare_ns=(\d+)',
                                                        run(argv, setup.timeout_s)):
            sample[direction] = FRAMES * 1e9 / int(device_ns)
            bare[direction] = FRAMES * 1e9 / int(bare_ns)
        return sample

    return Series('network ceiling, %d bytes' % frame_bytes, NATIVE,
                  {'bantam': lambda: measure(ours), 'bare': lambda: dict(bare),
                   'two threads': lambda: measure(ours + ['thread'])},
                  {'bantam': ' '.join(ours), 'bare': ' '.join(ours),
                   'two threads': ' '.join(ours + ['thread'])}, runs=5, needs=needs)


def net_rows(setup):
    return [Row('%d-byte frames %s a tap, no VM' % (frame_bytes, what), series, direction, '/s',
                better='higher', goal_ratio=('bare', 0.8), note='per second of processor time')
            for frame_bytes in (64, 1514) for series in [net_series(setup, frame_bytes)]
            for direction, what in (('send', 'into'), ('receive', 'from'))]


def rows(setup):
    return disk_rows(setup) + net_rows(setup)
