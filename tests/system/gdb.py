"""gdb.py - a session with Debian's gdb on Debian's kernel: from its first instruction to its end."""

import json
import re
import shutil
import signal
import subprocess
import threading
import time

from case import Case, KERNELS, USER_SPACE
from harness import Wrong, find_in_order, want
from rsp import Client

PATIENCE = 150       # seconds for what a guest does; a failure, never a measure
BYTES = 100
GDB_CONTINUES_S = 3  # gdb says nothing when it has let the guest run

# A kernel without symbols: where it stands, it may be looked at all the same.
AT_THE_ENTRY = (
    ('info threads', r'^\* 1 .*vCPU 0 \(running\)'), ('', r'^  2 .*vCPU 1 \(not started\)'),
    ('info registers rip cr3 efer', r'^rip '), ('', r'^cr3 +0x9000 '), ('', r'^efer .*LME'),
    ('p $xmm0.v2_int64', r'= \{0, 0\}'))
IN_ITS_IDLE_LOOP = (
    ('info threads', r'^\* \d .*vCPU \d'), ('', r'^  \d .*vCPU \d'),
    ('thread 2', r'Switching to thread 2'),
    ('info registers rip cs ss', r'^rip +0xffffffff\w{8} '), ('', r'^cs +0x10 '), ('', r'^ss +0x18 '),
    ('info registers cr0 cr3 efer', r'^cr0 .*PG'), ('', r'^cr3 '), ('', r'^efer .*LMA.*NXE'),
    ('thread 1', r'Switching to thread 1'),
    ('p/x $xmm1.uint128 = 0x1234', '= 0x1234'), ('p/x $xmm1.uint128', '= 0x1234'),
    ('x/2i $pc', '^=> 0xffffffff'),
    # No frame is there as long as the guest stands still: a kernel has no red zone.
    ('p/x *(long *)($rsp - 256) = 0x1122334455667788', '= 0x1122334455667788'),
    ('p/x *(long *)($rsp - 256)', '= 0x1122334455667788'),
    ('p *(char *)0', 'Cannot access memory'),
    # Where its command line was handed over: the first MiB is left as it is.
    ('monitor xp 0x20000 8', ': 63 6f 6e 73 6f 6c 65 3d'))
# What this KVM delivers besides, by `bantam check`'s word for it.
DELIVERED = {
    'single_step': (('p $pc0 = $pc', '='), ('stepi', ''), ('p $pc != $pc0', '= 1')),
    'hardware_breakpoint': (('hbreak *$pc', 'breakpoint 1'), ('continue', 'Breakpoint 1'),
                            ('delete', '')),
    'software_breakpoint': (('watch *(long *)$rsp', 'atchpoint 2'), ('continue', 'atchpoint 2'),
                            ('delete', '')),
}


class Gdb:
    """gdb at work on a list of (command, pattern of what it says then)."""

    def __init__(self, path, steps):
        self.patterns = [pattern for _, pattern in steps]
        argv = ['gdb', '-q', '-nx', '-batch', '-ex', 'set pagination off', '-ex', 'set confirm off',
                '-ex', 'set architecture i386:x86-64', '-ex', 'target remote ' + path]
        for command, _ in steps:
            argv += ['-ex', command] if command else []
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.said = ''

    def read_until(self, pattern):
        while not re.search(pattern, self.said, re.M):
            line = self.process.stdout.readline()
            want(line, 'gdb does not say %r: %s' % (pattern, self.said[-1500:]))
            self.said += line

    def end(self):
        self.said += self.process.communicate(timeout=PATIENCE)[0]
        missing = find_in_order(self.patterns, self.said)
        want(not missing, 'gdb does not say %r: %s' % (missing, self.said[-3000:]))


def interrupted(path):
    """gdb lets the guest run, is interrupted, and lets it go."""
    gdb = Gdb(path, [('echo running\\n', '^running'), ('continue', 'SIGINT'),
                     ('info threads', r'vCPU 1'), ('detach', 'detached')])
    gdb.read_until('^running')
    time.sleep(GDB_CONTINUES_S)
    gdb.process.send_signal(signal.SIGINT)
    gdb.end()


def session(run, path, delivered):
    Gdb(path, [*AT_THE_ENTRY, ('detach', 'detached')]).end()
    out = b''
    while not re.search(rb'^GUEST: send \d+ bytes', out, re.M):
        line = run.stdout.readline()
        want(line, 'it ended: %r' % out[-500:])
        out += line
    want(re.search(USER_SPACE.encode(), out, re.M), 'no user space')
    steps = list(IN_ITS_IDLE_LOOP)
    for probe, more in DELIVERED.items():
        steps += more if delivered[probe]['ok'] else ()
    Gdb(path, [*steps, ('detach', 'detached')]).end()
    interrupted(path)
    Client(path).close()     # gone without a word, while the guest stands still


def play(bantam, initrd, directory):
    path = directory + '/gdb'
    check = subprocess.run([bantam, 'check', '--json'], stdout=subprocess.PIPE, check=False)
    delivered = json.loads(check.stdout)['guests']
    run = subprocess.Popen(
        [bantam, 'run', '-c', '2', '--gdb', path, '--gdb-wait', '--initrd', initrd, '-a',
         'loglevel=5 do=sum bytes=%d' % BYTES, KERNELS + '/cloud/vmlinuz'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watchdog = threading.Timer(PATIENCE, run.kill)
    watchdog.start()
    try:
        session(run, path, delivered)
        out, err = run.communicate(b'x' * BYTES)
        want(b'GUEST: md5 ' in out, 'it did not run on: %r' % out[-300:])
        want(run.returncode == 0, 'status %s: %r' % (run.returncode, err))
    except (Wrong, EOFError, OSError, subprocess.TimeoutExpired) as wrong:
        run.kill()
        return '%s %s; bantam says %r' % (type(wrong).__name__, wrong, run.communicate()[1][-500:])
    finally:
        watchdog.cancel()
        run.kill()
        run.wait()
    lacks = [probe for probe in DELIVERED if not delivered[probe]['ok']]
    if lacks:
        print('info gdb: this KVM delivers no %s' % ', no '.join(lacks).replace('_', ' '), flush=True)
    return None


CASES = [Case('gdb: from the first instruction to the end', 'cloud/vmlinuz', play=play,
              needs=lambda directory: None if shutil.which('gdb') else 'gdb is not installed',
              timeout=PATIENCE + 20)]
