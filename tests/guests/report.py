#!/usr/bin/env python3
"""report.py - the page of `bantam run --report`: its figures, whatever the end, and in a browser.

    tests/guests/report.py [-v] [-k WORD] [--build DIR] [BANTAM]

Bare-metal guests end in every way there is; the page's figures are compared with --result and --stats
of the same run. In Chromium (Debian's package), without a window, the page has to show the same
numbers, keep a hostile command line text, and leave the console empty: that is also where a request
to the network would be told of. Without Chromium those cases are skipped. Ends with `N passed, N failed,
N skipped`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
from harness import USAGE, Tally, Wrong, guest_options, want, why_no_kvm  # noqa: E402

HOSTILE = '</script><script>console.log("x")</script><img src=x onerror=alert(1)><!--\'"&'
DATA = re.compile(r'<script type="application/json" id="(\w+)">\n(.*?)</script>', re.S)


class Run:
    """One run with --report, --result and --stats, and what they say."""

    def __init__(self, world, guest, *args, after=None):
        self.page_path = world.scratch + '/page.html'
        path = world.scratch + '/result'
        argv = [world.bantam, 'run', guest if '/' in guest else '%s/%s.elf' % (world.guests, guest),
                '--stats', '--result', path, '--report', self.page_path, *args]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        if after:
            want(any(after[0] in line for line in iter(process.stdout.readline, b'')),
                 'it never said %r' % after[0])
            process.send_signal(after[1])
        out, err = process.communicate(timeout=60)
        self.status, self.out, self.err = process.returncode, out.decode(), err.decode()
        with open(path, encoding='utf-8') as file:
            self.result = json.load(file)
        with open(self.page_path, encoding='utf-8') as file:
            self.page = file.read()
        blocks = dict(DATA.findall(self.page))
        want(sorted(blocks) == ['machine', 'run'], 'the page has the data %s' % sorted(blocks))
        self.machine, self.run = json.loads(blocks['machine']), json.loads(blocks['run'])
        want(self.run['result'] == self.result, 'page and result disagree')

    def printed(self, pattern):
        return re.findall(pattern, self.err, re.M)


class World:
    def __init__(self, bantam, guests, scratch):
        self.bantam, self.guests, self.scratch = bantam, guests, scratch

    def image(self):
        """The words that the guest `disk` expects: each is its own number."""
        path = self.scratch + '/image'
        with open(path, 'wb') as file:
            file.write(b''.join(i.to_bytes(4, 'little') for i in range(1 << 18)))
        return path

    def disk(self, *args):
        return Run(self, 'disk', '-a', 'msix', '-c', '2', '--disk', self.image(), *args)


def figures(world):
    """The page, the result and --stats count the same."""
    run = world.disk()
    want(run.status == 0, 'status %d: %s' % (run.status, run.err))
    exits = {}
    for vcpu in run.run['vcpus']:
        want(0 <= sum(e['handled_ms'] for e in vcpu['exits']) <= vcpu['ran_ms'], 'more than it ran')
        want(vcpu['cpu_ms'] <= vcpu['ran_ms'] * 1.01 + 1, 'more processor time than time')
        for entry in vcpu['exits']:
            exits[entry['reason']] = exits.get(entry['reason'], 0) + entry['count']
    printed = {name: int(n) for n, name in run.printed(r'^ +(\d+)  ([A-Z_0-9]+)$')}
    want(exits == run.result['exits'] == printed, 'exits: %s, printed %s' % (exits, printed))
    rows = {(a['space'], a['way'], a['address']): a['count'] for a in run.run['accesses']}
    top = run.printed(r'^ +(\d+)  (pio|mmio) +(read|write) +(0x\w+)  ')
    want(len(top) == 20, '%d addresses are printed' % len(top))
    for count, *row in top:
        want(rows.get(tuple(row)) == int(count), '%s: %s, printed %s' % (row, rows.get(tuple(row)), count))
    want(sum(rows.values()) == sum(exits.values()), 'accesses are no exits')
    stages = [(s['name'], s['ms']) for s in run.run['stages']]
    want(stages == [(name, float(ms)) for ms, name in run.printed(r'^ +([\d.]+) ms  (.+)$')], 'stages')
    last = dict(zip(run.run['sample_columns'], run.run['samples'][-1]))
    want(last['pio'] == exits['IO'] and last['mmio'] == exits['MMIO'], 'the last sample is %s' % last)
    for before, row in zip(run.run['samples'], run.run['samples'][1:]):
        want(all(a <= b for a, b in zip(before, row)), 'a counter went down: %s, %s' % (before, row))


def devices(world):
    """A disk's requests, bytes, latencies and interrupts."""
    run = world.disk()
    disk = [d for d in run.run['devices'] if d['kind'] == 'block']
    want(len(disk) == 1 and disk[0]['file'].endswith('/image'), 'devices: %s' % disk)
    queue = disk[0]['queues'][0]
    want(sum(queue['latency']) == queue['chains'] > 50, 'latencies of %d requests' % queue['chains'])
    want(0 < queue['interrupts'] <= queue['chains'], '%d interrupts' % queue['interrupts'])
    want(queue['out_bytes'] >= 16 * queue['chains'] and queue['in_bytes'] > 64 * 512, 'bytes: %s' % queue)
    want(0 < queue['first_ms'] < run.result['duration_ms'], 'first at %s' % queue['first_ms'])
    want(any(r['kind'] == 'ram' for r in run.machine['memory_map']), 'no RAM in the map')


def lines(world):
    """Interrupts by line are as many as the trace has."""
    trace = world.scratch + '/trace'
    run = Run(world, 'interrupts', '--trace', 'irq=' + trace)
    with open(trace, encoding='utf-8') as file:
        raised = re.findall(r'irq gsi (\d+) high', file.read())
    for gsi, count in enumerate(run.run['lines']):
        want(raised.count(str(gsi)) == count, 'line %d: %d, in the trace %d' %
             (gsi, count, raised.count(str(gsi))))
    want(raised, 'there was no interrupt')


def ends(world):
    """There is a page whatever the end."""
    for reason, guest, *args in (('poweroff', 'hello'), ('panic', 'panic'), ('reset', 'reset'),
                                 ('triple-fault', 'triplefault'),
                                 ('timeout', 'idle', '--timeout', '300ms'),
                                 ('reset', 'reset', '--console', 'off'),
                                 ('vmm-error', world.scratch + '/missing')):
        run = Run(world, guest, *args)
        want(run.result['reason'] == reason, '%s: %s' % (guest, run.result['reason']))
        want(run.page.endswith('</html>\n'), '%s: the page has no end' % guest)
        want(bool(run.machine) == (reason != 'vmm-error'), '%s: the machine' % guest)
    run = Run(world, 'disk', '-a', 'loop', '--disk', world.image(), after=(b'looping', signal.SIGTERM))
    want(run.result['reason'] == 'signal' and run.status == 128 + signal.SIGTERM, run.result['reason'])


def cannot_be_written(world):
    argv = [world.bantam, 'run', world.guests + '/hello.elf', '--report']
    for path, said, out in (('/nowhere/page', r"\Abantam: cannot write the report to '/nowhere/page': .+\n\Z", ''),
                            (world.guests + '/hello.elf', r"\Abantam: '.+' is given twice, .+\n\Z", ''),
                            ('/dev/full', '^bantam: the report could not be written: No space', None)):
        done = subprocess.run([*argv, path], stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                              check=False)
        want(done.returncode == USAGE, '%s: status %d' % (path, done.returncode))
        want(re.search(said, done.stderr.decode(), re.M), '%s: %r' % (path, done.stderr))
        want(out is None or done.stdout == b'', '%s: the guest ran' % path)


def browse(world, page):
    """(the page's DOM, what its script or the browser wrote to the console)"""
    done = subprocess.run(
        ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
         '--user-data-dir=' + world.scratch + '/browser', '--virtual-time-budget=5000', '--dump-dom',
         'file://' + page], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
        env=dict(os.environ, HOME=world.scratch))
    return done.stdout.decode(), [line for line in done.stderr.decode().split('\n') if 'CONSOLE' in line]


def numbers_of(dom, table):
    """The numbers of a table's first column of numbers, by the rows' names."""
    bodies = re.findall(r'<table data-table="%s">.*?</table>' % table, dom, re.S)
    rows = re.findall(r'<tr>(.*?)</tr>', ''.join(bodies), re.S)
    found = [(re.sub('<[^>]*>', '', row.split('</td>')[0]), re.search(r'data-n="([\d.]+)"', row))
             for row in rows]
    return {name: float(match.group(1)) for name, match in found if match}


def in_a_browser(world):
    run = world.disk()
    dom, console = browse(world, run.page_path)
    want(not console, 'the console says %s' % console)
    want(numbers_of(dom, 'exits') == run.result['exits'], 'exits: %s' % numbers_of(dom, 'exits'))
    shown = numbers_of(dom, 'accesses')
    for count, way, name in run.printed(r'^ +(\d+)  (?:pio|mmio) +(read|write) +0x\w+  (\S+\.\S+)$'):
        want(shown.get('%s (%s)' % (name, way)) is not None, '%s is not shown' % name)
    want(len(shown) > 20 and max(shown.values()) == max(a['count'] for a in run.run['accesses']), 'accesses')
    want(numbers_of(dom, 'stages') == {s['name']: s['ms'] for s in run.run['stages']}, 'stages')
    want(numbers_of(dom, 'virtio1') == {'0': run.run['devices'][1]['queues'][0]['chains']}, 'requests')
    want('>the guest powered off</h1>' in dom, 'the verdict')


def hostile(world):
    """A page of a command line that is markup, and of a run that never was."""
    run = Run(world, 'panic', '-a', HOSTILE)
    want('</script><script>console' not in run.page and '<img' not in run.page, 'markup in the data')
    dom, console = browse(world, run.page_path)
    want(not console, 'the console says %s' % console)
    want('<img' not in dom and HOSTILE.split("'", maxsplit=1)[0].replace('<', '&lt;').replace('>', '&gt;') in dom,
         'the command line is not shown as it is')
    run = Run(world, world.scratch + '/missing')
    dom, console = browse(world, run.page_path)
    want(not console, 'the console says %s' % console)
    want('missing' in dom, 'the verdict')


CASES = [figures, devices, lines, ends, cannot_be_written]
BROWSER_CASES = [in_a_browser, hostile]


def main():
    options, bantam, guests = guest_options(__doc__.split('\n', maxsplit=1)[0], 'hello')
    tally = Tally()
    why = why_no_kvm(bantam, guests + '/hello.elf')
    for case in CASES + BROWSER_CASES:
        if options.k not in case.__name__:
            continue
        if why or (case in BROWSER_CASES and not shutil.which('chromium')):
            tally.skip(1, why or 'chromium is not installed', 'report: ' + case.__name__)
            continue
        start, reason = time.monotonic(), None
        with tempfile.TemporaryDirectory(prefix='bantam-report-') as scratch:
            try:
                case(World(bantam, guests, scratch))
            except (Wrong, subprocess.TimeoutExpired) as wrong:
                reason = str(wrong)
        tally.result('report: ' + case.__name__, reason, time.monotonic() - start)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
