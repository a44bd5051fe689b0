"""rows.py - what a benchmark row is, and which there are.

A Series is interleaved runs of contenders: one warm-up of each, then A B A B ... Each run returns a
sample, a dict of numbers (or of dicts of numbers: counts by reason). A Row is one line of the
table: a number out of a series' samples, its unit, which way is better, and its goal. So one boot
gives several rows.

To add rows: a function rows(setup) in a file rows_TOPIC.py, which is named in TOPICS below; it
returns a list of Row. A contender is a function without arguments that returns a sample, or raises
NotTaken (this machine can't) or Failed (it went wrong). The first contender is bantam; ratios are
bantam's to each other's.

    series = Series('blk', STOCK, {'bantam': boot_with_disk, 'qemu': ...}, commands={...})
    Row('random reads, queue depth 1', series, 'iops', unit='/s', better='higher',
        goal_ratio=('qemu', 1.0))
"""

import importlib
import os

from measure import NotTaken

NATIVE = 'native'    # tiny guests on this machine's KVM
STOCK = 'stock'      # stock kernels: `kvm` where that KVM runs them, else `kvmhost`

TOPICS = ('rows_boot', 'rows_many', 'rows_command', 'rows_size', 'rows_growth', 'rows_exits', 'rows_trace',
          'rows_request', 'rows_disk', 'rows_share', 'rows_net', 'rows_ceiling')


class Series:
    """name        what is run, for people
    place       NATIVE or STOCK
    contenders  name to function
    commands    name to what bench.json is to say of how the contender was run
    runs        how many, if not as many as is usual for the place: for what doesn't vary
    warm_up     False: no run before those that count
    needs       a function that raises NotTaken when the machine can't; for the emulated host it is
                asked on both sides
    drive       True: it wants a drive in the emulated host, /dev/vda there
    """

    def __init__(self, name, place, contenders, commands=None, runs=None, warm_up=True, needs=None,
                 drive=False):
        self.name, self.place, self.contenders = name, place, contenders
        self.commands = commands or {}
        self.runs, self.warm_up, self.needs, self.drive = runs, warm_up, needs, drive


class Row:
    """name        what is measured
    series      where it comes from
    value       key into the samples; if it leads to a dict, the row is its sum and its parts
    unit        what the number counts
    scale       the number is the sample's times this
    better      'lower' or 'higher'
    goal        bantam's median has to be below it (above it, if higher is better)
    goal_ratio  (contender, number): the same for the ratio of bantam's median to that contender's
    needs       a function that raises NotTaken when this row can't be had of the series
    note        what a reader of bench.json has to know
    curve       what the keys count, if the value leads to a dict from "1", "2", ... to numbers: the
                row is how the last relates to the first, and is drawn
    """

    def __init__(self, name, series, value, unit, scale=1, better='lower', goal=None,
                 goal_ratio=None, needs=None, note=None, curve=None):
        self.name, self.series, self.value, self.unit = name, series, value, unit
        self.scale, self.better, self.needs, self.note = scale, better, needs, note
        self.goal, self.goal_ratio, self.curve = goal, goal_ratio, curve


def all_rows(setup):
    """All rows, in the table's order."""
    rows = []
    for topic in TOPICS:
        rows += importlib.import_module(topic).rows(setup)
    return rows


def needs_file(*paths, how=''):
    """For Series.needs: files that must exist, and how to get them."""
    def check():
        for path in paths:
            if not os.path.exists(path):
                raise NotTaken('there is no %s%s' % (path, how and ': ' + how))
    return check
