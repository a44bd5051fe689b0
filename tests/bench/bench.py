#!/usr/bin/env python3
"""bench.py - takes the benchmarks: `make bench`.

    tests/bench/bench.py [-k WORD] [--runs N] [--only native|stock] [--count] [--build DIR]
                         [--json FILE] [--list] [BANTAM]

Each row (rows.py says what that is; rows_*.py have them) is taken in its place: tiny guests on this
machine's KVM (native); stock kernels on it as well if it runs them (kvm), which
tests/kvmhost/needed tells, or else in the software-emulated host of tests/kvmhost (kvmhost). That
host is started once, with this program in it for all such rows; what it finds comes back as a file.
The contenders of a row run in turns, after a warm-up of each, so that whatever else the machine
does meets all of them alike.

With --count the emulated host's clock counts instructions (counted), so that what else the machine
does is in no time, nor what an emulated exit costs beyond its instructions; waits are in it.

At the end: a table on standard output, bench.json with every sample, the command lines and the hosts, and
beside it bench.html with its bars and curves (chart.py). tools/bench-diff compares two of them. A row that can't be taken says why. Nothing here passes or fails by its numbers: the exit
status is 1 when a program or the emulated host did not do what it should have, 2 for a wrong
command line, otherwise 0.

Limits: times on the emulated host say something only beside each other, and vary a lot.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import chart       # noqa: E402 (the path must be set before)
import measure     # noqa: E402
import report      # noqa: E402
from contenders import Setup                  # noqa: E402
from rows import NATIVE, STOCK, all_rows      # noqa: E402

RUNS = {'native': 10, 'kvm': 5, 'kvmhost': 3, 'counted': 3}
DRIVE_BYTES = 1 << 30
RUN_TIMEOUT_S = {'native': 60, 'kvm': 120, 'kvmhost': 900, 'counted': 900}


def say(text, end='\n'):
    print(text, end=end, flush=True)


def stock_place():
    """'kvm' or 'kvmhost' for stock kernels, and why; inside of the emulated host it is that one."""
    if os.environ.get('BANTAM_KVMHOST'):
        return 'kvmhost', 'this is the emulated host'
    needed = subprocess.run([ROOT + '/tests/kvmhost/needed'], stdout=subprocess.PIPE, text=True)
    return 'kvmhost' if needed.returncode == 0 else 'kvm', needed.stdout.strip()


def native_place():
    return 'kvmhost' if os.environ.get('BANTAM_KVMHOST') else 'native'


def take(series, place, runs):
    """Takes a series, the contenders in turns. What bench.json says of it: name, place, and either
    not_taken, or for each contender its command, warm_up, samples, and not_taken or failed."""
    entry = {'name': series.name, 'place': place}
    try:
        if series.needs:
            series.needs()
    except measure.NotTaken as error:
        say('%-8s%s: not taken: %s' % (place, series.name, error))
        return dict(entry, not_taken=str(error))
    entry['contenders'] = {name: {'command': series.commands.get(name), 'samples': []}
                           for name in series.contenders}
    say('%-8s%s ' % (place, series.name), end='')
    start = time.monotonic()
    for turn in range(0 if series.warm_up else 1, runs + 1):
        for name, contender in series.contenders.items():
            mine = entry['contenders'][name]
            if 'not_taken' in mine or 'failed' in mine:
                continue
            try:
                sample = contender()
            except measure.NotTaken as error:
                mine['not_taken'] = str(error)
            except (measure.Failed, OSError, subprocess.SubprocessError) as error:
                mine['failed'] = str(error)
                say('\n        FAILED: %s: %s ' % (name, error), end='')
            else:
                if turn == 0:
                    mine['warm_up'] = sample
                else:
                    mine['samples'].append(sample)
        say('.', end='')
    say(' %.1f s' % (time.monotonic() - start))
    return entry


def write_json(path, document):
    """Complete or not at all."""
    with open(path + '.new', 'w') as file:
        json.dump(document, file, indent=1)
        file.write('\n')
    os.replace(path + '.new', path)


def version(bantam):
    try:
        told = subprocess.run([bantam, 'version'], stdout=subprocess.PIPE, text=True)
    except OSError as error:
        sys.exit('bench: %s: %s; build it first' % (bantam, error.strerror))
    return told.stdout.strip().replace('bantam ', '')


def series_of(rows):
    """The rows' series, each once, in their order."""
    return list(dict.fromkeys(row.series for row in rows))


class Bench:
    """One call of this program: the options, the rows chosen, and the document that becomes
    bench.json."""

    def __init__(self, options):
        self.options = options
        self.host_broke = False
        told = version(options.bantam)
        self.place = {NATIVE: native_place()}
        self.place[STOCK], why = stock_place()
        if options.count:
            self.place[STOCK] = 'counted'
        self.setup = Setup(options.bantam, options.build, RUN_TIMEOUT_S[self.place[NATIVE]])
        self.rows = [row for row in all_rows(self.setup) if self.chosen(row)]
        self.document = {'version': told,
                         'date': datetime.datetime.now().astimezone().isoformat('T', 'seconds'),
                         'command': sys.argv, 'stock_kernels': why,
                         'hosts': {}, 'series': [], 'rows': []}

    def chosen(self, row):
        if self.options.only and row.series.place != self.options.only:
            return False
        text = ' '.join([row.name, row.series.name, self.place[row.series.place]])
        return not self.options.word or self.options.word.lower() in text.lower()

    def take_here(self, where):
        """Takes the chosen series of NATIVE or STOCK, in this machine."""
        place = self.place[where]
        chosen = [series for series in series_of(self.rows) if series.place == where]
        if not chosen:
            return
        self.setup.timeout_s = RUN_TIMEOUT_S[place]
        self.document['hosts'][place] = measure.host()
        for series in chosen:
            runs = self.options.runs or RUNS[place]
            runs = min(runs, series.runs) if series.runs else runs
            self.document['series'].append(take(series, place, runs))
            # After each: what is there counts, should the host break down later.
            write_json(self.options.json, self.document)

    def take_in_kvmhost(self):
        """Takes the chosen STOCK series in the emulated host."""
        chosen = [series for series in series_of(self.rows) if series.place == STOCK]
        if not chosen:
            return
        # A row that lacks what it needs doesn't need the host to find that out.
        missing = {}
        for series in chosen:
            try:
                if series.needs:
                    series.needs()
            except measure.NotTaken as error:
                missing[series.name] = str(error)
        inner = {'hosts': {}, 'series': []}
        reason = None
        if len(missing) < len(chosen):
            inner, reason = self.call_kvmhost(any(series.drive for series in chosen))
            self.host_broke = bool(reason)
        self.document['hosts'].update(inner['hosts'])
        taken = {entry['name']: entry for entry in inner['series']}
        for series in chosen:
            entry = {'name': series.name, 'place': self.place[STOCK]}
            why = missing.get(series.name, reason or 'the emulated host did not get to it')
            self.document['series'].append(taken.get(series.name, dict(entry, not_taken=why)))

    def call_kvmhost(self, with_drive):
        """This program, in the emulated host, with an empty drive or without: its document, and
        what went wrong or None."""
        options = self.options
        count = ['--count'] if options.count else []
        with tempfile.TemporaryDirectory(prefix='bantam-bench-') as results:
            argv = [ROOT + '/tests/kvmhost/run', '--timeout', str(options.kvmhost_timeout),
                    '--results', results, *self.drive(with_drive), *count, '--',
                    'python3', os.path.abspath(__file__), '--only', STOCK, '--no-table', *count,
                    '--json', '/results/bench.json', '--build', os.path.abspath(options.build)]
            argv += ['-k', options.word] if options.word else []
            argv += ['--runs', str(options.runs)] if options.runs else []
            argv += [os.path.abspath(options.bantam)]
            say('kvmhost %s' % self.document['stock_kernels'])
            # It has an EXIT trap that ends its QEMU: it must get the time to do so.
            with subprocess.Popen(argv) as child:
                try:
                    status = child.wait()
                except BaseException:
                    child.terminate()
                    child.wait()
                    raise
            try:
                with open(results + '/bench.json') as file:
                    inner = json.load(file)
            except (OSError, ValueError):
                inner = {'hosts': {}, 'series': []}
        return inner, status and 'the emulated host ended with status %d' % status

    def drive(self, wanted):
        """kvmhost's options for a drive: a file that takes the room that is written to."""
        path = os.path.join(self.setup.work, 'drive')
        if not wanted:
            return []
        with open(path, 'wb') as file:
            file.truncate(DRIVE_BYTES)
        return ['--drive', path]

    def summarize(self):
        taken = {entry['name']: entry for entry in self.document['series']}
        for row in self.rows:
            self.document['rows'].append(report.summary(
                row, self.place[row.series.place], taken[row.series.name]))

    def failures(self):
        return [contender['failed'] for entry in self.document['series']
                for contender in entry.get('contenders', {}).values() if 'failed' in contender]

    def main(self):
        stamp = os.stat(self.options.bantam).st_mtime_ns
        if self.options.only != STOCK:
            self.take_here(NATIVE)
        if self.options.only != NATIVE:
            if self.place[STOCK] != 'kvm' and not os.environ.get('BANTAM_KVMHOST'):
                self.take_in_kvmhost()
            else:
                self.take_here(STOCK)
        self.summarize()
        write_json(self.options.json, self.document)
        if not self.options.no_table:
            say('')
            for line in report.table(self.document):
                say(line)
            page = os.path.splitext(self.options.json)[0] + '.html'
            chart.write(self.document, page)
            say('\nEvery sample is in %s, drawn in %s.' % (self.options.json, page))
        if os.stat(self.options.bantam).st_mtime_ns != stamp:
            say('bench: %s was rebuilt meanwhile: the rows are of different programs'
                % self.options.bantam)
        return 1 if self.host_broke or self.failures() else 0


def parse():
    parser = argparse.ArgumentParser(
        description='Takes the benchmarks; the top of this file says how.')
    parser.add_argument('-k', dest='word', help='only rows with WORD in their name or place')
    parser.add_argument('--runs', type=int, help='runs of each contender (10 native, 5 on a KVM '
                        'that runs stock kernels, 3 in the emulated host)')
    parser.add_argument('--only', choices=[NATIVE, STOCK], help='only tiny guests, or only stock '
                        'kernels')
    parser.add_argument('--count', action='store_true', help="stock kernels in the emulated host, "
                        "whose clock counts instructions")
    parser.add_argument('--build', default='build', help='the build directory')
    parser.add_argument('--json', default='bench.json', help='where every sample goes')
    parser.add_argument('--list', action='store_true', help='print the rows, take none')
    parser.add_argument('--no-table', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--kvmhost-timeout', type=int, default=7200, help='seconds that all rows '
                        'together may take in the emulated host')
    parser.add_argument('bantam', nargs='?', default='./bantam', help='the program')
    options = parser.parse_args()
    if options.runs is not None and options.runs < 1:
        parser.error('--runs must be 1 or more')
    return options


def main():
    # A signal that ends this program lets it end what it has started.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    bench = Bench(parse())
    try:
        if not bench.rows:
            print('bench: no such row has "%s" in its name' % bench.options.word, file=sys.stderr)
            return 2
        if bench.options.list:
            for row in bench.rows:
                say('%-8s%s' % (bench.place[row.series.place], row.name))
            return 0
        return bench.main()
    except KeyboardInterrupt:
        return 130
    finally:
        bench.setup.clean_up()


if __name__ == '__main__':
    sys.exit(main())
