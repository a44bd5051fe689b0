#!/usr/bin/env python3
"""tables.py - puts what bench.json says into docs/performance.md.

    tests/bench/tables.py BENCH.json [MORE.json]...

Between the page's two marks stands, of each file: the program's version, the date, the hosts, and a table
of all rows that have a goal or a peer. Counts per thousand requests or per megabyte stay in the files.
"""

import json
import os
import re
import sys

sys.dont_write_bytecode = True
from report import goal_text, number, spread  # noqa: E402

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs/performance.md')
BEGIN, END = '<!-- tables.py begins -->\n', '<!-- tables.py ends -->\n'
COUNT = re.compile(r'/(1000|MB), ')


def cell(one, unit):
    if 'median' not in one:
        return 'not taken'
    text = '%s %s %s' % (number(one['median']), unit, spread(one))
    return ' '.join(text.split())


def row_lines(entry):
    """A line for bantam, and each peer's behind it in the same cells."""
    if entry.get('not_taken'):
        return
    names = list(entry['contenders'])
    ours, peers = entry['contenders'][names[0]], names[1:]
    unit = 'x' if entry.get('curve') else entry['unit']
    goal = goal_text(entry).replace('goal: ', '')
    told = '; '.join('%s %s%s' % (name, cell(entry['contenders'][name], unit), (
        ' (%s)' % number(entry['contenders'][name]['ratio']['ratio'])) if entry['contenders'][name].get('ratio')
        else '') for name in peers)
    if entry.get('curve') and ours.get('parts'):
        told = ', '.join('%s: %s' % (x, number(y)) for x, y in ours['parts'].items()) + ' ' + entry['unit']
    yield '| %s | %s | %s | %s |' % (entry['name'], cell(ours, unit), told, goal)


def tables(document):
    yield 'bantam %s, %s.' % (document['version'], document['date'])
    for place in dict.fromkeys(entry['place'] for entry in document['rows']):
        host = document['hosts'].get(place)
        if not host:
            continue
        kvm = ' '.join(host['kvm']) if isinstance(host['kvm'], list) else host['kvm']
        yield '\n*%s*: %s, %s processors, Linux %s, KVM: %s.\n' % (
            place, host['cpu'], host['cpus'], host['kernel'], kvm)
        yield '| row | bantam [middle half] | others (bantam’s part of theirs) | goal |\n|---|---|---|---|'
        for entry in document['rows']:
            if entry['place'] == place and not COUNT.search(entry['name']):
                yield from row_lines(entry)
    yield ''


def main():
    if len(sys.argv) < 2:
        sys.exit('usage: tables.py BENCH.json...')
    lines = []
    for path in sys.argv[1:]:
        with open(path) as file:
            lines += tables(json.load(file))
    with open(PAGE) as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    with open(PAGE, 'w') as file:
        file.write(before + BEGIN + '\n' + '\n'.join(lines) + '\n' + END + rest.split(END)[1])


if __name__ == '__main__':
    main()
