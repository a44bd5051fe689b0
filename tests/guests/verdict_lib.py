"""verdict_lib.py - what verdict.py's cases are made of: runs of bantam, what holds for all ends.

Each run writes a --result, and whatever the case is about, Process.end() checks that the exit
status, the words on stderr and the JSON agree, and that no control characters reach stderr.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Wrong, find_in_order, want  # noqa: E402
from packed import pack  # noqa: E402

OK, TIMEOUT, DIED = 0, 124, 255
PATIENCE = 20        # seconds for any run; those that want a time-out give it
SOON = 5             # seconds for what should happen at once
KEYS = ['reason', 'exit_code', 'message', 'duration_ms', 'first_instruction_ms',
        'first_instruction_cpu_ms', 'restarts', 'exits', 'peak_memory_kib', 'version', 'command']


class Skip(Exception):
    """Why a case can't be run here."""


class World:
    """What the cases share: the program, the guests, a directory for files, the last run."""
    bantam = guests = scratch = version = None
    out = err = ''

    @classmethod
    def path(cls, name):
        return os.path.join(cls.scratch, name)


class Process:
    """A run of bantam. args: all behind `bantam run`; a guest's name stands for its file."""

    def __init__(self, guest, *args, result=True, stdout=None, **popen):
        self.out_file = tempfile.TemporaryFile()
        self.err_file = tempfile.TemporaryFile()
        self.result_path = World.path('result.json') if result else None
        kernel = '%s/%s.elf' % (World.guests, guest) if guest and '/' not in guest else guest
        self.argv = [World.bantam, 'run', *args]
        if result:
            self.argv += ['--result', self.result_path]
            if os.path.exists(self.result_path):
                os.unlink(self.result_path)
        self.argv += [kernel] if kernel else []
        self.began = time.monotonic()
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=self.err_file,
                                        stdout=stdout or self.out_file, **popen)

    @staticmethod
    def text(file):
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), size, 0).decode('latin-1')

    def wait_for(self, pattern, file=None):
        """Until the console (or file) has this."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text(file or self.out_file), re.M):
            want(time.monotonic() < end, 'no %s within %d s' % (pattern, PATIENCE))
            want(self.process.poll() is None, 'ended without %s' % pattern)
            time.sleep(0.005)

    def send(self, number):
        self.process.send_signal(number)
        self.sent = time.monotonic()

    def end(self, seconds=PATIENCE):
        """Waits for the end, and checks what holds for all ends."""
        try:
            self.status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.status = None
        self.seconds = time.monotonic() - self.began
        self.out, self.err = self.text(self.out_file), self.text(self.err_file)
        World.out, World.err = self.out, self.err
        want(self.status is not None, 'no end within %g s' % seconds)
        want(not re.search(r'[\x00-\x09\x0b-\x1f\x7f]', self.err), 'stderr has control characters')
        self.result = None
        if self.result_path and self.status >= 0 and os.path.exists(self.result_path):
            self.check_result()
        return self

    def check_result(self):
        with open(self.result_path, encoding='utf-8') as f:
            text = f.read()
        want(text, 'the result is empty')
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
        keys = [key for key, _ in pairs]
        r = self.result = json.loads(text)
        want(len(set(keys)) == len(keys), 'a key of the result stands twice')
        want([k for k in keys if k != 'signal'] == KEYS, 'the result has %s' % keys)
        want(('signal' in keys) == (r['reason'] == 'signal'), 'signal and reason disagree')
        want(r['exit_code'] == self.status, 'exit_code %s, status %s' % (r['exit_code'],
                                                                         self.status))
        want('bantam: %s\n' % r['message'] in self.err.encode('latin-1').decode(),
             'message %r is not on stderr' % r['message'])
        want(0 < r['duration_ms'] <= self.seconds * 1000, 'duration %s ms of %s s' %
             (r['duration_ms'], self.seconds))
        want(0 <= r['first_instruction_ms'] <= r['duration_ms'], 'first instruction after the end')
        ran = r['first_instruction_ms'] > 0
        want((r['first_instruction_cpu_ms'] > 0) == ran or r['restarts'], 'processor time: %s' %
             r['first_instruction_cpu_ms'])
        want(ran or r['reason'] in ('vmm-error', 'signal', 'timeout'), 'it never ran')
        want(all(re.fullmatch('[A-Z0-9_]+', k) and type(v) is int and v > 0
                 for k, v in r['exits'].items()), 'exits: %s' % r['exits'])
        want(300 < r['peak_memory_kib'] < 4 << 20, 'peak memory %s KiB' % r['peak_memory_kib'])
        want(r['version'] == World.version, 'version %s' % r['version'])
        want(r['command'] == self.argv, 'command %s' % r['command'])


def packed(guest):
    return pack('%s/%s.elf' % (World.guests, guest), World.path('bzImage'))


def boot(guest, *args, seconds=PATIENCE, **how):
    return Process(guest, *args, **how).end(seconds)


def check(run, status, reason=None, err=(), out=()):
    """The status, the result's reason, and words in this order on stderr and the console."""
    want(run.status == status, 'status %s instead of %s' % (run.status, status))
    if reason:
        want(run.result, 'no result is written')
        want(run.result['reason'] == reason, 'reason %s' % run.result['reason'])
    for name, patterns, text in (('stderr', err, run.err), ('stdout', out, run.out)):
        missing = find_in_order([patterns] if isinstance(patterns, str) else patterns, text)
        want(not missing, '%s lacks %s' % (name, missing))
    return run


def speak(end, *lines, args=()):
    """Boots speak.elf: what it says on its console, and how it ends."""
    return boot('speak', *args, '--cmdline', '|'.join((end,) + lines) + ('|' if lines else ''))


CASES = []


def case(function):
    CASES.append(function)
    return function
