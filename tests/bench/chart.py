#!/usr/bin/env python3
"""chart.py - bench.json as a page: bars with their numbers, and lines for what grows.

    tests/bench/chart.py bench.json bench.html

One file, nothing from a network, no script: tables whose bars are boxes, SVG for curves. Light and dark
by the reader's setting; on paper the bars stay. Rows stand in the table's order, by place; a bar's length
is in proportion within its row, bantam's first. A row with a goal says whether it is met.
"""

import html
import json
import math
import sys

from report import goal_text, number, spread

STYLE = '''
:root { color-scheme: light dark; --ink: #1b1b1b; --dim: #666; --ours: #2563a8; --theirs: #b9b4aa; --bad: #b3261e;
  --good: #2e7d32; --rule: #ddd; --paper: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e3; --dim: #a09d98; --ours: #6ea8e6; --theirs: #5c5952;
  --bad: #ff8a80; --good: #81c784; --rule: #3a3a3a; --paper: #181818 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2em auto;
  max-width: 62em; padding: 0 1em }
h2 { margin-top: 2em; border-bottom: 1px solid var(--rule) }
figure { margin: 1.2em 0; break-inside: avoid }
figcaption { font-weight: 600 } figcaption small, .dim { font-weight: 400; color: var(--dim) }
.bars { display: grid; grid-template-columns: 6.5em minmax(4em, 1fr) 17em; gap: .15em .7em; align-items: center }
.bar { height: 1em; background: var(--theirs); min-width: 2px; print-color-adjust: exact;
  -webkit-print-color-adjust: exact }
.ours { background: var(--ours) } .met { color: var(--good) } .missed { color: var(--bad) }
svg { width: 100%; max-width: 34em; height: auto } svg text { font-size: 11px; fill: var(--dim) }
polyline { fill: none; stroke: var(--ours); stroke-width: 2 } circle { fill: var(--ours) }
.axis { stroke: var(--rule) }
@media (max-width: 40em) { .bars { grid-template-columns: 1fr } }
'''


def text(value):
    return html.escape(str(value))


def verdict(entry):
    goal = goal_text(entry)
    if not goal:
        return ''
    kind = {True: 'met', False: 'missed'}.get(entry.get('met'), 'dim')
    return ' <small class="%s">%s</small>' % (kind, text(goal))


def bar(name, one, most, unit, ours):
    width = 100 * one['median'] / most if most else 0
    beside = '%s %s %s' % (number(one['median']), unit, spread(one))
    if one.get('ratio'):
        beside += ' (%s)' % number(one['ratio']['ratio'])
    return '<span>%s</span><div class="bar%s" style="width:%.1f%%"></div><span>%s</span>' % (
        text(name), ' ours' if ours else '', width, text(beside.strip()))


def bars(entry):
    told = {name: one for name, one in entry['contenders'].items() if 'median' in one}
    most = max((one['median'] for one in told.values()), default=0)
    yield '<div class="bars">'
    for index, (name, one) in enumerate(told.items()):
        yield bar(name, one, most, entry['unit'], index == 0)
    yield '</div>'
    for name, one in entry['contenders'].items():
        if 'median' not in one:
            yield '<p class="dim">%s: not taken: %s</p>' % (text(name), text(one.get('not_taken')))


def curve(entry):
    """The points of the first contender: both axes from 0, x in proportion to its logarithm."""
    points = next(iter(entry['contenders'].values())).get('parts') or {}
    xs = [math.log2(float(x)) for x in points]
    top = max(points.values(), default=0) or 1
    wide = (xs[-1] - xs[0]) or 1
    places = [(50 + 400 * (x - xs[0]) / wide, 120 - 95 * y / top) for x, y in zip(xs, points.values())]
    yield '<svg viewBox="0 0 520 150" role="img" aria-label="%s">' % text(entry['name'])
    yield '<line class="axis" x1="50" y1="120" x2="470" y2="120"/>'
    yield '<polyline points="%s"/>' % ' '.join('%.1f,%.1f' % place for place in places)
    for (x, y), (label, value) in zip(places, points.items()):
        yield '<circle cx="%.1f" cy="%.1f" r="3"/>' % (x, y)
        yield '<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>' % (x, y - 8, text(number(value)))
        yield '<text x="%.1f" y="136" text-anchor="middle">%s</text>' % (x, text(label))
    yield '<text x="470" y="148" text-anchor="end">%s</text></svg>' % text(entry['curve'])


def figure(entry):
    yield '<figure><figcaption>%s%s <small>%s</small></figcaption>' % (
        text(entry['name']), verdict(entry), text(entry['unit']))
    if entry.get('not_taken'):
        yield '<p class="dim">not taken: %s</p>' % text(entry['not_taken'])
    elif entry.get('curve'):
        yield from curve(entry)
    else:
        yield from bars(entry)
    if entry.get('note'):
        yield '<p class="dim">%s</p>' % text(entry['note'])
    yield '</figure>'


def page(document):
    """The page, as lines."""
    title = 'bantam %s, measured %s' % (document['version'], document['date'])
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<title>%s</title><style>%s</style></head><body><h1>%s</h1>' % (text(title), STYLE, text(title))
    yield '<p>Medians; in brackets the middle half of the runs, in parentheses bantam’s part of the other’s.</p>'
    places = list(dict.fromkeys(entry['place'] for entry in document['rows']))
    for place in places:
        host = document['hosts'].get(place, {})
        yield '<h2>%s</h2><p class="dim">%s, %s processors, Linux %s, KVM: %s</p>' % tuple(
            text(word) for word in (place, host.get('cpu'), host.get('cpus'), host.get('kernel'), host.get('kvm')))
        for entry in document['rows']:
            if entry['place'] == place:
                yield from figure(entry)
    yield '</body></html>'


def write(document, path):
    with open(path, 'w') as file:
        file.write('\n'.join(page(document)) + '\n')


def main():
    if len(sys.argv) != 3:
        sys.exit('usage: chart.py BENCH.json PAGE.html')
    with open(sys.argv[1]) as file:
        write(json.load(file), sys.argv[2])


if __name__ == '__main__':
    main()
