"""rows_ceiling.py - how fast devices are without a virtual machine.

tests/bench/block_ceiling.c drives the program's own disk device and worker in one process: 32 random
reads of 4 KiB under way, on a file that is in the page cache. Beside it, fio does the same with
io_uring, as it ships: no registered buffers, one request a submission.

The comparison with fio is of work with work, one thread against one: the driver's part is done on
the worker's thread, as an interrupt handler's would be. As `two threads` the driver has a thread of
its own, and each batch costs two wake-ups across processors. What those cost is the host's affair, so
that line has no goal; in a virtual machine like those that CI runs in it may be more than all else.
"""

import json
import os
import re
import shutil
import subprocess

from measure import Failed, NotTaken
from rows import NATIVE, Row, Series, needs_file

FILE_MIB = 256
SECONDS = 2
DEPTH = 32


def rows(setup):
    program = os.path.join(setup.build, 'bench', 'block_ceiling')
    path = os.path.join(setup.work, 'ceiling')
    ours = [program, path, str(SECONDS), str(DEPTH)]
    fio = ['fio', '--name=ceiling', '--filename=' + path, '--rw=randread', '--bs=4k',
           '--iodepth=%d' % DEPTH, '--ioengine=io_uring', '--direct=0', '--time_based',
           '--runtime=%d' % SECONDS, '--invalidate=0', '--thread', '--gtod_reduce=1', '--output-format=json']

    def run(argv):
        if not os.path.exists(path):
            with open(path, 'wb') as f:
                for _ in range(FILE_MIB):
                    f.write(os.urandom(1024 * 1024))
                f.flush()
                os.fsync(f.fileno())
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=setup.timeout_s, check=False)
        if done.returncode:
            raise Failed('%s: %s' % (os.path.basename(argv[0]), done.stdout.strip()[-200:]))
        return done.stdout

    def measure(argv):
        match = re.search(r'requests=(\d+) ns=(\d+)', run(argv))
        return {'iops': int(match[1]) * 1e9 / int(match[2])}

    def with_fio():
        if not shutil.which('fio'):
            raise NotTaken('there is no fio (package fio)')
        text = run(fio)
        return {'iops': json.loads(text[text.index('{'):])['jobs'][0]['read']['iops']}

    series = Series('ceiling', NATIVE,
                    {'bantam': lambda: measure(ours), 'fio': with_fio,
                     'two threads': lambda: measure(ours + ['thread'])},
                    {'bantam': ' '.join(ours), 'fio': ' '.join(fio),
                     'two threads': ' '.join(ours + ['thread'])}, runs=5,
                    needs=needs_file(program, how='make bench'))
    return [Row('4 KiB random reads, depth 32, no VM', series, 'iops', '/s',
                better='higher', goal_ratio=('fio', 0.9))]
