#!/usr/bin/env python3
"""bench_cli.py - what the benchmarks print: the table, the page, the comparison.

    tests/bench_cli.py [-k WORD] [--build DIR] [BANTAM]

Rows are made up here, so that what must come out is known: ratios, goals met and missed, curves, rows that
weren't taken. Of real ones the one that needs no guest is taken, the size of the program's file. No number
is judged. Ends with `N passed, N failed, N skipped`.
"""

import argparse
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
sys.path[:0] = [TESTS, TESTS + '/bench']
import chart  # noqa: E402
import report  # noqa: E402
from harness import Tally, Wrong, find_in_order, want  # noqa: E402
from rows import Row, Series  # noqa: E402

SERIES = Series('made up', 'native', {'bantam': None, 'other': None})
ROWS = [Row('time <of> it', SERIES, 'ms', 'ms', goal=5, goal_ratio=('other', 0.5)),
        Row('rate of it', SERIES, 'rate', '/s', better='higher', goal_ratio=('other', 3)),
        Row('exits', SERIES, 'exits', ''), Row('memory, vCPUs', SERIES, 'kib', 'KiB', curve='vCPUs'),
        Row('nowhere', SERIES, 'nothing', 's')]
TAKEN = {'contenders': {
    'bantam': {'samples': [{'ms': ms, 'rate': 200, 'exits': {'IO': 3, 'HLT': 5}, 'kib': {'1': 600, '8': 660}}
                           for ms in (3.9, 4.0, 4.1)]},
    'other': {'samples': [{'ms': ms, 'rate': 100} for ms in (9.9, 10.0, 10.1)]},
    'third': {'samples': [], 'not_taken': 'it is not installed'}}}


def document():
    return {'version': '0.0', 'date': 'today', 'hosts': {'native': {
        'cpu': 'a processor', 'cpus': 2, 'kernel': '6', 'kvm': ['kvm_amd'], 'load': 0.0}},
        'series': [], 'rows': [report.summary(row, 'native', TAKEN) for row in ROWS]}


def saved(directory, name, content):
    path = os.path.join(directory, name)
    with open(path, 'w') as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path


def told(argv, status=0):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    want(done.returncode == status, '%s: status %d: %s' % (argv[0], done.returncode, done.stderr))
    return done


def in_order(patterns, text):
    missing = find_in_order(patterns, text)
    want(missing is None, 'no %r in:\n%s' % (missing, text))


def the_table(options, directory):
    """ratios, goals, counts by reason, curves, and what was not taken"""
    in_order([r'^native +time <of> it +bantam +4 ms +\[3\.90 4\.10\] +goal: under 5 and under 0\.50 times other, met$',
              r'^ +other +10 ms +\[9\.90 10\.1\] +0\.40 \[',
              r'^ +third +not taken \(1\)', r'rate of it +bantam +200 /s .*goal: over 3 times other, MISSED$',
              r' other +100 /s +\S+ \S+ +2 ', r'exits +bantam +8 ', r'^ +5 +HLT$', r'^ +3 +IO$',
              r'memory, vCPUs +bantam +1\.10 x', r'600 KiB +1 vCPUs$', r'660 KiB +8 vCPUs$',
              r'nowhere +- +not taken|nowhere +third +not taken', r'^\(1\) it is not installed$'],
             '\n'.join(report.table(document())))


def the_page(options, directory):
    """every row and number, a curve's points, nothing from elsewhere, no mark-up out of a name"""
    path = os.path.join(directory, 'bench.html')
    told([TESTS + '/bench/chart.py', saved(directory, 'bench.json', document()), path])
    with open(path) as file:
        page = file.read()
    in_order(['<title>bantam 0.0, measured today', 'time &lt;of&gt; it.*class="met"', 'width:40.0%.*4 ms',
              'width:100.0%.*10 ms .*\\(0.40\\)', 'third: not taken: it is not installed', 'class="missed"',
              '<polyline points="50.0,33.6 450.0,25.0"', '>600<', '>660<', '>vCPUs<', '</html>'], page)
    want(not re.search(r'(src|href)=|https?:|<script|@import|url\(', page), 'the page wants something from elsewhere')
    want('<of>' not in page, 'a name is mark-up')
    want(page == '\n'.join(chart.page(document())) + '\n', 'written otherwise than made')


def the_comparison(options, directory):
    """better, worse, noise, and rows that only one has"""
    after = copy.deepcopy(document())
    rows = {row['name']: row for row in after['rows']}
    rows['time <of> it']['contenders']['bantam'].update(median=3.0, spread=[2.9, 3.1])
    rows['rate of it']['contenders']['bantam'].update(median=100, spread=[99, 101])
    rows['time <of> it']['contenders']['other'].update(median=11.0, spread=[10.0, 12.0])
    after['rows'] = [row for row in after['rows'] if row['name'] != 'exits']
    pair = saved(directory, 'a', document()), saved(directory, 'b', after)
    output = told([ROOT + '/tools/bench-diff', *pair]).stdout
    in_order([r'^A: bantam 0\.0, today, on native: a processor$', r'time <of> it +bantam +4 ms +3 ms +0\.75 +better$',
              r'other +10 ms +11 ms +1\.10$', r'rate of it +bantam +200 /s +100 /s +0\.50 +worse$',
              r'^only A has: native, exits$'], output)
    want('worse' not in told([ROOT + '/tools/bench-diff', '--least', '60', *pair]).stdout, '--least is not heard')


def what_is_no_bench(options, directory):
    """one line and status 2"""
    for content in '{', '{}', '[]', '{"rows": 3}':
        path = saved(directory, 'bad', content)
        error = told([ROOT + '/tools/bench-diff', path, path], 2).stderr
        want(error.startswith('bench-diff: %s: ' % path) and error.count('\n') == 1, error)
    want('nowhere/a' in told([ROOT + '/tools/bench-diff', 'nowhere/a', 'b'], 2).stderr, 'no file')


def a_real_row(options, directory):
    """the size of the program: table, bench.json, bench.html; and a row that isn't"""
    path = os.path.join(directory, 'size.json')
    argv = [TESTS + '/bench/bench.py', '--only', 'native', '--build', options.build, '--json', path]
    output = told(argv + ['-k', 'stripped', options.bantam]).stdout
    with open(path) as file:
        row = json.load(file)['rows'][0]
    want(row['name'] == 'stripped binary' and row['contenders']['bantam']['median'] > 10, row)
    in_order([r'stripped binary +bantam +%d KiB' % round(row['contenders']['bantam']['median']), 'size.html'], output)
    want(os.path.exists(os.path.join(directory, 'size.html')), 'no page')
    want('no such row' in told(argv + ['-k', 'no such thing', options.bantam], 2).stderr, 'an unknown row')


CASES = the_table, the_page, the_comparison, what_is_no_bench, a_real_row


def main():
    parser = argparse.ArgumentParser(description='Tests what the benchmarks print.')
    parser.add_argument('bantam', nargs='?', default='./bantam')
    parser.add_argument('-k', metavar='WORD', default='', help='only cases with WORD in their name')
    parser.add_argument('--build', metavar='DIR', default='build')
    options = parser.parse_args()
    tally = Tally()
    for case in CASES:
        name = case.__name__.replace('_', ' ') + ': ' + case.__doc__
        if options.k not in name:
            continue
        began = time.monotonic()
        reason = None
        with tempfile.TemporaryDirectory(prefix='bantam-bench-') as directory:
            try:
                case(options, directory)
            except (Wrong, OSError, subprocess.SubprocessError) as error:
                reason = str(error)
        tally.result(name, reason, time.monotonic() - began)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
