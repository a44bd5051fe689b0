"""report.py - from samples to the table and to bench.json.

summary() turns one row's samples into what bench.json says of the row; table() prints rows as

    place   what                            who         median unit  [middle half]   bantam/other
    native  exec to exit, tiny guest, wall  bantam     26.1 ms   [25.2 27.0]     goal: under 30, met
                                            qemu       64.0 ms   [63.1 66.2]     0.41 [0.39 0.42]

The ratio is that of the medians; what follows it in brackets is the middle half of the ratios of
neighbouring runs (all of them, if there are fewer than four). A count by reason has a line for each
reason below it, the frequent ones first. A curve's value is its last point divided by its first, and its
points stand below it. Why a row was not taken stands below the table.
"""

import measure

WIDE = '%-8s%-41s%-7s%13s  %-15s'
PARTS_SHOWN = 8    # the others are in bench.json


def number(value):
    """Three digits or more, no exponents."""
    if value == int(value) or abs(value) >= 100:
        return '%d' % round(value)
    if abs(value) < 0.1:
        return '%.3f' % value
    return '%.1f' % value if abs(value) >= 10 else '%.2f' % value


def growth(curve):
    """How much more the last point is than the first."""
    points = list(curve.values())
    return points[-1] / points[0]


def pick(samples, row):
    """The values of one row in a contender's samples; of a dict, the sum, of a curve, its growth."""
    values = [sample[row.value] for sample in samples if row.value in sample]
    of_dict = growth if row.curve else lambda value: sum(value.values())
    return [of_dict(value) if isinstance(value, dict) else value for value in values]


def parts(samples, row):
    """Of a count by reason: the median of each reason, the most frequent first. Of a curve: the median of
    each point, in their order. None for others."""
    key = row.value
    dicts = [sample[key] for sample in samples if isinstance(sample.get(key), dict)]
    if not dicts:
        return None
    names = {name for counts in dicts for name in counts}
    medians = {name: measure.median([counts.get(name, 0) for counts in dicts]) for name in names}
    if row.curve:
        return {name: medians[name] * row.scale for name in dicts[0]}
    return dict(sorted(medians.items(), key=lambda item: (-item[1], item[0])))


def beats(row, value, limit):
    return value < limit if row.better == 'lower' else value > limit


def summary(row, place, taken):
    """bench.json's entry for a row. taken: the series' entry, as bench.py's take() makes it."""
    entry = {'name': row.name, 'place': place, 'unit': row.unit, 'better': row.better,
             'goal': row.goal, 'goal_ratio': row.goal_ratio, 'note': row.note,
             'series': row.series.name, 'value': row.value, 'curve': row.curve, 'contenders': {}}
    reason = taken.get('not_taken')
    if not reason and row.needs:
        try:
            row.needs()
        except measure.NotTaken as error:
            reason = str(error)
    if reason:
        return dict(entry, not_taken=reason)
    first, ours, met = None, [], []
    for name, contender in taken['contenders'].items():
        first = first or name
        if contender.get('not_taken') or contender.get('failed'):
            entry['contenders'][name] = {
                'not_taken': contender.get('not_taken') or contender.get('failed')}
            continue
        scale = 1 if row.curve else row.scale
        values = [value * scale for value in pick(contender['samples'], row)]
        if not values:
            continue
        one = {'median': measure.median(values), 'spread': measure.quartiles(values),
               'samples': len(values), 'parts': parts(contender['samples'], row)}
        if name == first:
            ours = values
            if row.goal is not None:
                met.append(beats(row, one['median'], row.goal))
        else:
            one['ratio'] = measure.ratio(ours, values)
            if row.goal_ratio and row.goal_ratio[0] == name and one['ratio']:
                met.append(beats(row, one['ratio']['ratio'], row.goal_ratio[1]))
        entry['contenders'][name] = one
    if not entry['contenders']:
        return dict(entry, not_taken='no run told %s' % row.value)
    if met:
        entry['met'] = all(met)
    return entry


def spread(one, of=None):
    """The middle half of a contender's values, or of something else, if there was more than one
    run."""
    if one['samples'] < 2:
        return ''
    return '[%s %s]' % tuple(number(value) for value in (of or one)['spread'])


def goal_text(entry):
    words = []
    side = 'under' if entry['better'] == 'lower' else 'over'
    if entry['goal'] is not None:
        words.append('%s %s' % (side, number(entry['goal'])))
    if entry['goal_ratio']:
        words.append('%s %s times %s' % (side, number(entry['goal_ratio'][1]),
                                         entry['goal_ratio'][0]))
    if not words:
        return ''
    met = {True: ', met', False: ', MISSED'}.get(entry.get('met'), '')
    return 'goal: %s%s' % (' and '.join(words), met)


def row_lines(entry, reasons):
    """A row of the table. reasons: a list of what kept rows from being taken, which is added to."""
    def why(reason):
        if reason not in reasons:
            reasons.append(reason)
        return 'not taken (%d)' % (reasons.index(reason) + 1)

    place, what = entry['place'], entry['name']
    remark = goal_text(entry)
    if entry.get('not_taken'):
        yield (WIDE % (place, what, '-', why(entry['not_taken']), '') + remark).rstrip()
        return
    for name, one in entry['contenders'].items():
        if one.get('not_taken'):
            yield (WIDE % (place, what, name, why(one['not_taken']), '') + remark).rstrip()
        else:
            if one.get('ratio'):
                remark = '%s %s' % (number(one['ratio']['ratio']), spread(one, one['ratio']))
                remark = remark.rstrip()
            value = '%s %-3s' % (number(one['median']), 'x' if entry.get('curve') else entry['unit'])
            yield (WIDE % (place, what, name, value, spread(one)) + remark).rstrip()
        lines = curve_lines(entry, one['parts']) if entry.get('curve') and one.get('parts') else \
            part_lines(one.get('parts'))
        yield from lines
        place = what = remark = ''


def curve_lines(entry, points):
    for x, y in points.items():
        yield (WIDE % ('', '', '', '%s %-3s' % (number(y), entry['unit']),
                       '%s %s' % (x, entry['curve']))).rstrip()


def part_lines(counts):
    if not counts:
        return
    shown = list(counts.items())[:PARTS_SHOWN]
    others = sum(counts.values()) - sum(count for _, count in shown)
    for name, count in shown + ([('others', others)] if others else []):
        yield (WIDE % ('', '', '', number(count) + '    ', name)).rstrip()


def table(document):
    """The whole table, as lines."""
    yield 'bantam %s, %s' % (document['version'], document['date'])
    for place, host in document['hosts'].items():
        yield '%-8s%s; %s processors, Linux %s, KVM: %s; load %.1f at the start' % (
            place, host['cpu'], host['cpus'], host['kernel'],
            ' '.join(host['kvm']) if isinstance(host['kvm'], list) else host['kvm'], host['load'])
    yield ''
    yield (WIDE % ('place', 'what', 'who', 'median    ', '[middle half]') +
           'bantam/other [middle half]')
    reasons = []
    for entry in document['rows']:
        yield from row_lines(entry, reasons)
    for index, reason in enumerate(reasons):
        yield '%s(%d) %s' % ('' if index else '\n', index + 1, reason)
