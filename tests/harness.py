"""harness.py - what the test programs in Python have in common: patterns, counts, KVM or not.

Import it from tests/*/NAME.py after putting tests/ on sys.path.
"""

import argparse
import os
import random
import re
import subprocess
import sys

USAGE = 125          # bantam's exit status for a wrong command line, a bad kernel, an unfit host


class Wrong(Exception):
    """What a case finds wrong."""


def want(condition, reason):
    if not condition:
        raise Wrong(reason)


def find_in_order(patterns, text):
    """Returns the first pattern that isn't found after the one before it, or None."""
    pos = 0
    for pattern in patterns:
        match = re.compile(pattern, re.M).search(text, pos)
        if not match:
            return pattern
        pos = match.end()
    return None


def why_no_kvm(bantam, hello):
    """Returns why no guest can run here, or None. The monitor is asked, by running `hello`."""
    if not os.path.exists('/dev/kvm'):
        return '/dev/kvm is not there'
    if not os.path.exists(hello):
        return None      # it can't be asked; the cases will show
    try:
        done = subprocess.run([bantam, 'run', hello], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=30)
    except subprocess.TimeoutExpired:
        return None      # not a matter of KVM being there: let the cases tell
    said = done.stderr.decode('latin-1')
    if done.returncode == USAGE and re.search(r'kvm', said, re.I):
        return said.strip().split('\n')[0]
    return None


def reports(bantam):
    """Returns what tests/sanitized has reported since the last time: '' for any other program."""
    directory, text = os.path.dirname(os.path.abspath(bantam)) + '/reports', ''
    directory += '-kvmhost' if os.environ.get('BANTAM_KVMHOST') else ''
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        with open('%s/%s' % (directory, name), encoding='utf-8', errors='replace') as report:
            text += report.read()
        os.remove('%s/%s' % (directory, name))
    return text


def guest_options(description, guest, more=None):
    """Reads the arguments of a program that runs bare-metal guests; ends it where one isn't built.

    more: further options, {name: keywords of add_argument()}.
    Returns (options, the monitor's path, the guests' directory).
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', './bantam'))
    parser.add_argument('-k', metavar='WORD', default='', help='only cases with WORD in their name')
    parser.add_argument('-v', action='store_true', help='show what a failed case has printed')
    parser.add_argument('--build', metavar='DIR', default=os.environ.get('BUILD', 'build'))
    parser.add_argument('--seed', type=int, default=random.getrandbits(31),
                        help='of what hostile-any does at random (default: another each time)')
    parser.add_argument('--seconds', type=int, default=5, help='and for how long (default: 5)')
    for name, keywords in (more or {}).items():
        parser.add_argument(name, **keywords)
    options = parser.parse_args()
    bantam, guests = os.path.abspath(options.bantam), os.path.abspath(options.build) + '/guests'
    for path in (bantam, '%s/%s.elf' % (guests, guest)):
        if not os.path.exists(path):
            sys.exit('%s: %s is not there: build it first' % (parser.prog, path))
    return options, bantam, guests


class Tally:
    """Prints a line a case, and counts."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def result(self, name, reason, seconds, output=()):
        """reason: None, or why the case failed. output: (tag, text) pairs to show with it."""
        if reason:
            self.failed += 1
            print('FAIL %s: %s' % (name, reason))
            for tag, text in output:
                for line in text.splitlines():
                    print('    %s| %s' % (tag, line))
        else:
            self.passed += 1
            print('ok %s (%d ms)' % (name, seconds * 1000))
        sys.stdout.flush()

    def skip(self, count, reason, name=None):
        self.skipped += count
        print('skip %s: %s' % (name, reason) if name else 'skip: %s' % reason)

    def close(self):
        """Prints the closing line and returns the exit status."""
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped),
              flush=True)
        return 1 if self.failed else 0
