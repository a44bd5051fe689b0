#!/usr/bin/env python3
"""coverage.py LEAST PROFILES PROGRAM... - what of devices/ and boot/ has been run, by file.

PROFILES is a directory with what the instrumented PROGRAMs have written (*.profraw). For each file
come the lines that were reached, how many there are, and the share; the last line is the sum. The
exit status is 1 when that is under LEAST per cent.

The guest's init (boot/init/) is left out: it runs in the guest, where nobody counts.
tests/guests/command.py and tests/system are its tests, and parts of it have unit tests.
"""

import json
import pathlib
import subprocess
import sys

LEFT_OUT = 'boot/init/'


def lines_of(profiles, programs):
    """(file, lines reached, lines) for each, by name."""
    merged = profiles / 'all.profdata'
    subprocess.run(['llvm-profdata', 'merge', '-o', merged, *profiles.glob('*.profraw')], check=True)
    objects = [word for program in programs[1:] for word in ('-object', program)]
    report = subprocess.run(
        ['llvm-cov', 'export', '-summary-only', f'-instr-profile={merged}', programs[0], *objects,
         'devices', 'boot'], check=True, stdout=subprocess.PIPE)
    for entry in sorted(json.loads(report.stdout)['data'][0]['files'], key=lambda e: e['filename']):
        name = pathlib.Path(entry['filename']).relative_to(pathlib.Path.cwd()).as_posix()
        lines = entry['summary']['lines']
        if name.endswith('.c') and not name.startswith(LEFT_OUT):
            yield name, lines['covered'], lines['count']


def main():
    least, profiles, programs = float(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
    reached = count = 0
    for name, covered, lines in lines_of(profiles, programs):
        print(f'{name:<32} {covered:5} of {lines:5} lines {100 * covered / lines:6.1f} %')
        reached += covered
        count += lines
    print(f"{LEFT_OUT} is left out: the guest's init is tested in guests (tests/guests/command.py)")
    share = 100 * reached / count if count else 0
    print(f'coverage: {reached} of {count} lines, {share:.1f} %, {least:g} % is the least')
    sys.exit(share < least)


if __name__ == '__main__':
    main()
