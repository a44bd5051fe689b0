#!/usr/bin/env python3
"""check.py - does what the lessons and the tour say, and compares.

    tests/lessons/check.py [--build DIR] [BANTAM]        all pages, and each exercise by its solution
    tests/lessons/check.py [--build DIR] --lesson N      one page, and the reader's own exercise
    tests/lessons/check.py [--build DIR] --linux         only what needs a KVM that runs stock kernels

What a page claims, and how it is written, stands in pages.py; the exercises in exercises.py. The
pages name ./bantam and build/, and are tried as they stand: BANTAM and DIR have to be those.

A block that can't run here (no /dev/kvm, no stock kernel, a KVM that doesn't run one) is skipped, by
name. The exit status is 1 if anything failed.
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.dirname(HERE), HERE]
from exercises import ERR, EXERCISES, OUT, TRACE  # noqa: E402
from harness import USAGE, Tally, why_no_kvm  # noqa: E402
from pages import blocks, broken_links, difference  # noqa: E402

LINKED = ['docs/lessons/README.md', 'docs/tour.md', 'docs/architecture.md', 'README.md']
OWN = 'build/lessons'            # the reader's
KERNEL = 'build/kernels/generic/vmlinuz'
TIMEOUT = 120

# A make that runs this must not count those that it runs.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith('MAKE')}


class Here:
    """What this machine can do, found out when it is asked for first."""

    def __init__(self):
        self.no_kvm = why_no_kvm('./bantam', 'build/guests/hello.elf')
        self.no_linux = None

    def lacks(self, needs):
        """Why a block can't run, or None."""
        if needs == 'anywhere':
            return None
        if needs in ('kernel', 'linux') and not os.path.exists(KERNEL):
            return 'there is no %s (tools/kernels generic)' % KERNEL
        if needs == 'kvm':
            return self.no_kvm
        if needs == 'linux' and self.no_linux is None:
            fit = subprocess.run(['./bantam', 'check'], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, timeout=TIMEOUT).returncode == 0
            self.no_linux = '' if fit else 'this KVM runs no stock kernels (./bantam check)'
        return self.no_linux or None if needs == 'linux' else None


def run(command, **more):
    """Runs bash's idea of a command; returns (output lines, whether the time was up)."""
    process = subprocess.Popen(['bash', '-c', command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=CLEAN,
                               start_new_session=True, **more)
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        return process.communicate()[0].decode('utf-8', 'replace').splitlines(), True
    return output.decode('utf-8', 'replace').splitlines(), False


def try_page(page, here, tally, linux=False):
    for block in blocks(page):
        if linux and block.needs != 'linux':
            continue
        name = '%s:%d' % (page, block.line)
        reason = here.lacks(block.needs)
        if reason:
            tally.skip(1, reason, name)
            continue
        began, reason = time.monotonic(), None
        for command, expected in block.steps:
            got, late = run(command)
            reason = 'no end' if late else difference(expected, got)
            if reason:
                reason = '$ %s: %s' % (command, reason)
                break
        tally.result(name, reason, time.monotonic() - began, [('got', '\n'.join(got))])


def build(source):
    """Makes what `source`, a file below build/lessons, becomes. Returns (its path, None or why not)."""
    stem, suffix = os.path.splitext(source)
    target = stem if os.path.basename(source) == EXERCISES[1].file else stem + '.elf'
    # make may know another rule for it, or none but an old file.
    if os.path.exists(target):
        os.remove(target)
    lines, _ = run('make -s ' + target)
    return target, None if os.path.exists(target) else 'it does not build:\n' + '\n'.join(lines)


def run_exercise(exercise, target, scratch):
    """Returns the texts by place, and the exit status."""
    trace = scratch + '/trace'
    if exercise.args is None:
        argv = [target]
    else:
        argv = ['./bantam', 'run', '--timeout', '20s', '--trace', 'pio,mmio,irq,virtio=' + trace]
        argv += [arg.format(scratch=scratch) for arg in exercise.args] + [target]
    for name, content in exercise.files.items():
        with open('%s/%s' % (scratch, name), 'wb') as f:
            f.write(content)
    done = subprocess.run(argv, input=exercise.stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT)
    text = {OUT: done.stdout.decode('latin-1'), ERR: done.stderr.decode('latin-1'), TRACE: ''}
    if os.path.exists(trace):
        with open(trace, encoding='utf-8') as f:
            text[TRACE] = f.read()
    return text, done.returncode


def judge_exercise(exercise, source):
    """Builds and runs it; returns what is still missing, or None."""
    target, reason = build(source)
    if reason:
        return reason
    with tempfile.TemporaryDirectory(prefix='bantam-lesson-') as scratch:
        text, status = run_exercise(exercise, target, scratch)
    if status == USAGE:
        return text[ERR].split('\n')[0]
    at = {OUT: 0, ERR: 0, TRACE: 0}
    for where, pattern, hint in exercise.wants:
        match = re.compile(pattern, re.M).search(text[where], at[where])
        if not match:
            return hint
        at[where] = match.end()
    for where, pattern, hint in exercise.forbids:
        if re.search(pattern, text[where], re.M):
            return hint
    if status != exercise.status:
        return 'exit status %d instead of %d: %s' % (status, exercise.status,
                                                      text[ERR].split('\n')[0])
    return None


def prove_exercise(number, exercise, tally):
    """The solution passes, and where the reader starts does not."""
    for kind, origin in (('solution', 'tests/lessons/solutions/' + exercise.file),
                         ('start', exercise.start)):
        began = time.monotonic()
        source = '%s/%s/%s' % (OWN, kind, exercise.file)
        os.makedirs(os.path.dirname(source), exist_ok=True)
        shutil.copyfile(origin, source)
        reason = judge_exercise(exercise, source)
        if kind == 'start':
            reason = None if reason else 'the check takes it for a solution'
        tally.result('exercise %d, %s' % (number, kind), reason, time.monotonic() - began)


def own_exercise(number, here, tally):
    exercise = EXERCISES[number]
    source = '%s/%s' % (OWN, exercise.file)
    if here.no_kvm:
        tally.skip(1, here.no_kvm, 'exercise %d' % number)
    elif not os.path.exists(source):
        os.makedirs(OWN, exist_ok=True)
        print('exercise %d is not begun: cp %s %s' % (number, exercise.start, source))
    else:
        began = time.monotonic()
        tally.result(source, judge_exercise(exercise, source), time.monotonic() - began)


def main():
    parser = argparse.ArgumentParser(description='Tries the lessons.')
    parser.add_argument('bantam', nargs='?', default='./bantam')
    parser.add_argument('--build', metavar='DIR', default='build')
    parser.add_argument('--lesson', metavar='N', type=int, choices=sorted(EXERCISES))
    parser.add_argument('--linux', action='store_true')
    options = parser.parse_args()
    if os.path.abspath(options.bantam) != ROOT + '/bantam' or \
            os.path.abspath(options.build) != ROOT + '/build':
        sys.exit('check.py: the pages speak of ./bantam and build/ in %s' % ROOT)
    os.chdir(ROOT)
    os.makedirs(OWN, exist_ok=True)
    here, tally = Here(), Tally()
    pages = sorted(glob.glob('docs/lessons/0%s-*.md' % (options.lesson or '[0-9]')))
    if options.linux:
        for page in pages:
            try_page(page, here, tally, linux=True)
        return tally.close()
    for page in pages + LINKED:
        wrong = broken_links(page) if os.path.exists(page) else ['there is no ' + page]
        tally.result('links of ' + page, '\n'.join(wrong) or None, 0)
    for page in pages if options.lesson else pages + ['docs/tour.md']:
        try_page(page, here, tally)
    if options.lesson:
        own_exercise(options.lesson, here, tally)
        return tally.close()
    for number, exercise in EXERCISES.items():
        if here.no_kvm:
            tally.skip(2, here.no_kvm, 'exercise %d' % number)
        else:
            prove_exercise(number, exercise, tally)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
