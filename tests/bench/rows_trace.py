"""rows_trace.py - what looking inside costs a guest that does nothing but leave to its monitor.

The guest reads a port 100,000 times, and each read is a line of the trace. A run that traces what never
happens tells what tracing costs where it is on and has nothing to say; and, since it is the same run as
without but for one test an exit, how much of a ratio is noise.
"""

import os

import measure
from contenders import words
from rows import NATIVE, Row, Series

# Title, options, and the most that the run may take of one without.
LOOKS = (('trace, text', ['--trace', 'pio={work}/trace'], 1.10),
         ('trace, JSON lines', ['--trace', 'pio={work}/trace.jsonl'], 1.10),
         ('trace, time line', ['--trace', 'pio={work}/trace.json'], 1.10),
         ('trace of nothing that happens', ['--trace', 'msr={work}/none'], None),
         ('statistics', ['--stats'], 1.10), ('report', ['--report', '{work}/report.html'], 1.10))


def look(setup, title, options, most):
    guest = setup.guest('exits')
    plain = setup.run_bantam(guest)
    looking = plain[:-1] + [option.format(work=setup.work) for option in options] + [guest]

    def timed(argv):
        def run():
            for name in os.listdir(setup.work):
                if name.startswith(('trace', 'none', 'report')):
                    os.remove(os.path.join(setup.work, name))
            return measure.run(argv, setup.work, setup.timeout_s, expect='read').sample()
        return run

    def needs():
        setup.needs_native()
        if not os.path.exists(guest):
            raise measure.NotTaken('there is no %s: `make guests` builds it' % guest)

    series = Series(title, NATIVE, {'bantam': timed(looking), 'without': timed(plain)},
                    {'bantam': words(looking), 'without': words(plain)}, needs=needs)
    return Row('100,000 exits, ' + title, series, 'cpu_ms', 'ms CPU',
               goal_ratio=('without', most) if most else None, note=' '.join(options))


def rows(setup):
    return [look(setup, *entry) for entry in LOOKS]
