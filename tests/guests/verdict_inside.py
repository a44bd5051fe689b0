"""verdict_inside.py - verdict.py's cases of what bantam shows of a guest's inside.

Death reports against the guests' own ELF files, lines of --trace against what the guests are known
to do, counts of --stats against both. Importing it adds the cases to the list.
"""

import json
import os
import re
import signal
import struct
import time

from harness import USAGE
from verdict_lib import (DIED, OK, SOON, TIMEOUT, Process, Skip, World, Wrong, boot, case, check, want)

TRACE_LINE = re.compile(r'(main|cpu\d+) \+(\d+)\.(\d{3})ms (boot|exits|pio|mmio|msr|irq) (\S.*)')
ACCESS = re.compile(r'(in|out) (\w+\.\w+|0x[0-9a-f]+ \(\w+\)) = (0x[0-9a-f]+)( \(.+\))?')


# ---- death reports ----

def elf_bytes(guest, gpa, count):
    """What the guest's ELF file has for this address."""
    with open('%s/%s.elf' % (World.guests, guest), 'rb') as f:
        image = f.read()
    offset, entry, entries = (struct.unpack_from('<Q', image, 32)[0],
                              *struct.unpack_from('<HH', image, 54))
    for i in range(entries):
        kind, _, at, _, paddr, size = struct.unpack_from('<IIQQQQ', image, offset + i * entry)
        if kind == 1 and paddr <= gpa and gpa + count <= paddr + size:
            return image[at + gpa - paddr:][:count]
    raise Wrong('%x is not in %s' % (gpa, guest))


def report_of(run, exit_line):
    """Checks the registers of a guest in 64-bit mode; (RIP, bytes at RIP or None)."""
    if 'The registers are those after a reset' in run.err:
        raise Skip('this processor loses the state in a triple fault')
    check(run, DIED, err=[
        '^vCPU 0: ' + exit_line, r'^  RIP [0-9a-f]{16}  RFLAGS [0-9a-f]+ \(.*\)  64-bit mode$',
        r'^  CR0 8[0-9a-f]{6}[13579bdf] \(PE,.*PG\)$', r'^  CR2 [0-9a-f]+  CR3 [0-9a-f]+$',
        r'^  CR4 20 \(PAE\)$', r'^  EFER 500 \(LME,LMA\)$',
        r'^  RAX [0-9a-f]{16}  RBX [0-9a-f]{16}  RCX ', r'^  R12 .* R15 [0-9a-f]{16}$',
        r'^  CS 0010 base 0 limit ffffffff \(code, 64-bit, ring 0\)$',
        r'^  SS 0018 base 0 limit ffffffff \(data, writable, 32-bit, ring 0\)$',
        r'^  GDT base [0-9a-f]+ limit 1f   IDT base [0-9a-f]+ limit (0|fff)$',
        r'^  RIP [0-9a-f]+ is ', r'^    PML4\[0\] at [0-9a-f]+ = ', r'^  RSP [0-9a-f]+ is ',
        r'^  usually: \w.+\n\Z'])
    rip = int(re.search(r'^  RIP ([0-9a-f]{16}) ', run.err, re.M).group(1), 16)
    match = re.search(r'^  bytes at RIP:((?: [0-9a-f]{2})+)$', run.err, re.M)
    return rip, bytes.fromhex(match.group(1)) if match else None


def symbols_of(guest):
    """The options for the guest's own."""
    return ['--symbols', '%s/%s.elf' % (World.guests, guest)]


STACK = [r'^  return addresses on its stack, ', r'^    0{10}20\w{4} guest_main\+0x', r'^    \w+ boot_main\+0x']


@case
def names():
    """The functions that a guest was in, whatever its end, and where its exits were."""
    check(boot('badio'), DIED, err=['^vCPU 0'])
    want('guest_main' not in World.err, 'names, and nobody asked')
    run, lines = trace_of('exits', 'badio', *symbols_of('badio'))
    check(run, DIED, err=[r'^  RIP 00000000d0000000 in no known function$', *STACK])
    want(all(re.fullmatch(r'IO at print\+0x\w+/0x\w+', what) for _, _, what in lines[:-1]), 'lines: %s' % lines)
    same(lines[-1][2], 'INTERNAL_ERROR at 0xd0000000', 'place')
    panic = boot('panic', *symbols_of('panic'))
    check(panic, DIED, 'panic', [r'panicked', r'^vCPU 0:$', r'^  RIP \w{16} print\+0x', *STACK])
    run = boot('panic', '--on-reset', 'restart', *symbols_of('panic'))
    want(run.err == panic.err, 'a panic, with --on-reset: %s' % run.err)
    check(boot('idle', '--timeout', '300ms', *symbols_of('idle')), TIMEOUT, 'timeout',
          [r'time was up', r'^  RIP \w{16} guest_main\+0x', *STACK[::2]])
    run = boot('triplefault', *symbols_of('triplefault'))
    rip, _code = report_of(run, 'SHUTDOWN')
    check(run, DIED, err=[r'^  RIP %016x triple_fault\+0x\w+/0x\w+$' % rip, *STACK])
    # A stack pointer into nowhere, tables that map nothing.
    for how in 'stack', 'tables', 'outside':
        run = boot('death', '-a', how, *symbols_of('death'))
        report_of(run, 'SHUTDOWN')
        check(run, DIED, err=[r'^  RIP \w{16} guest_main\+0x'])
        want('return addresses' not in run.err, 'there is no stack')


@case
def symbols_that_are_none():
    for path, says in (('%s/hello.elf' % World.guests, "^bantam: --symbols: these symbols are another kernel's$"),
                       ('/nowhere/map', "^bantam: --symbols '/nowhere/map': No such file"),
                       ('/dev/null', "^bantam: --symbols '/dev/null': it is a device, not a regular file$"),
                       (__file__, "^bantam: --symbols '.*': line 1 isn't"),
                       ('/bin/true', "^bantam: --symbols '/bin/true': it has no symbol table: it was stripped$")):
        run = boot('triplefault', '--symbols', path)
        check(run, USAGE, 'vmm-error', [says])
        want(run.err.count('\n') == 1 and not run.out, 'it said %r, %r' % (run.err, run.out))


@case
def the_report_of_a_triple_fault():
    run = boot('triplefault')
    rip, code = report_of(run, 'SHUTDOWN: an exception could not be delivered')
    want(code and code[:2] == b'\x0f\x0b', 'no ud2 at RIP')
    want(code == elf_bytes('triplefault', rip, 16), 'other bytes at RIP than the ELF file has')
    check(run, DIED, 'triple-fault', [
        r'^  RIP (\w+) is guest physical address \1$',
        r'^    PDPT\[0\] .* \(present,write,accessed',
        r'^    PD\[1\] at .* = 200[0-9a-f]{3} \(present,write,.*large\)$', "IDT that isn't set up"])


@case
def the_report_of_a_wild_jump():
    run = boot('badio')
    rip, code = report_of(run, 'INTERNAL_ERROR, suberror 1: KVM had to emulate')
    want(rip == 0xd0000000 and code is None, 'RIP %x' % rip)
    check(run, DIED, 'internal-error', [
        '^  RIP d0000000 is guest physical address d0000000$', r'^    PDPT\[3\] at ',
        r'^    PD\[128\] at .* = d0000', '^  bytes at RIP: none; no RAM is there$', 'a wild jump'])


@case
def the_report_of_page_tables():
    run = boot('death', '-a', 'stack')
    rip, code = report_of(run, 'SHUTDOWN')
    want(code == elf_bytes('death', rip, 16), 'other bytes at RIP than the ELF file has')
    check(run, DIED, 'triple-fault', [
        '^  RSP 7000123450 is not mapped: not present$', r'^    PML4\[0\] at .* \(present',
        r'^    PDPT\[448\] at [0-9a-f]+e00 = 0 \(\)$', 'a stack pointer into nowhere'])
    run = boot('death', '-a', 'tables')
    report_of(run, 'SHUTDOWN')
    tables = re.search('tables at (.*)', run.out).group(1)
    check(run, DIED, 'triple-fault', [
        'CR3 %s$' % tables, '^  RIP .* is not mapped: not present$',
        r'^    PML4\[0\] at %s = 0 \(\)$' % tables, '^  RSP .* is not mapped: not present$'])
    run = boot('death', '-a', 'outside')
    report_of(run, '(SHUTDOWN|INTERNAL_ERROR)')
    check(run, DIED, err=["^  RIP .* is not mapped: the table isn't in RAM$",
                          r'^    PML4\[0\] at d0000000 = 0 \(\)$'])


# ---- the trace ----

def lines_of(path):
    """The trace's lines as (thread, kind, text), after a look at grammar and order."""
    with open(path, encoding='utf-8') as f:
        text = f.read()
    want(text.endswith('\n'), 'the trace ends in the middle of a line')
    last, lines = {}, []
    for line in text.split('\n')[:-1]:
        match = TRACE_LINE.fullmatch(line)
        want(match, 'a line of the trace is %r' % line)
        who, ms, us, kind, what = match.groups()
        now = int(ms) * 1000 + int(us)
        want(now >= last.get(who, 0), 'time goes backwards at %r' % line)
        last[who] = now
        if kind in ('pio', 'mmio'):
            want(ACCESS.fullmatch(what), 'an access of the trace is %r' % line)
        lines.append((who, kind, what))
    return lines


def trace_of(kinds, guest, *args):
    """(the run, its trace's lines)"""
    run = boot(guest, '--trace', kinds + '=' + World.path('trace'), *args)
    return run, lines_of(World.path('trace'))


def same(got, expected, what):
    for i, (a, b) in enumerate(zip(got, expected)):
        want(a == b, '%s %d is %r instead of %r' % (what, i, a, b))
    want(len(got) == len(expected), '%d of %s instead of %d' % (len(got), what, len(expected)))


def text_lines(text):
    """What a guest that polls before each byte does to write this."""
    lines = []
    for c in text:
        shown = " ('%c')" % c if ' ' < c < '\x7f' else ''
        lines += ['in serial0.LSR = 0x60 (thre,idle)',
                  'out serial0.THR = 0x%02x%s' % (ord(c), shown)]
    return lines


@case
def traces_of_ports():
    _, lines = trace_of('pio', 'hello')
    expected = text_lines('hello from a 32-bit PVH guest\n')
    expected += ['in serial0.LSR = 0x60 (thre,idle)', 'out power.SLEEP_CONTROL = 0x34']
    same(lines, [('cpu0', 'pio', line) for line in expected], 'lines')
    _, lines = trace_of('pio', 'ports')
    bare = [what for _, _, what in lines if 'serial0' not in what]
    absent = ['in 0x%x (nothing) = 0xff' % port
              for port in [*range(0x2f8, 0x300), *range(0x3e8, 0x3f0), 0x60, 0x70, 0x71]]
    absent.insert(17, 'in keyboard.STATUS = 0xfd')
    words = ['in 0x2f8 (nothing) = 0xffff', 'in 0x2f8 (nothing) = 0xffffffff']
    words += ['in 0xffff (nothing) = 0xffff', 'in 0xfffe (nothing) = 0xffffffff']
    same(bare[:20], absent, 'lines')
    same(sorted(bare[20:24]), sorted(words), 'lines')    # the compiler chooses their order
    same(bare[24:], ['out 0x2f8 (nothing) = 0x01', 'out 0x2f8 (nothing) = 0x0002',
                     'out 0x2f8 (nothing) = 0x00000003'] + ['in 0x2f8 (nothing) = 0xff'] * 4 +
         ['out power.SLEEP_CONTROL = 0x34'], 'lines')
    check(boot('speak', '--trace', 'pio', '--cmdline', 'panicked'), DIED, 'panic',
          [r'^cpu0 \+\d+\.\d{3}ms pio in pvpanic\.EVENTS = 0x03 \(panicked,crash-loaded\)$',
           r'pio out pvpanic\.EVENT = 0x01 \(panicked\)$'])


@case
def traces_of_memory_and_msrs():
    _, lines = trace_of('mmio', 'ports')
    same([what for _, _, what in lines],
         ['in 0xd0000000 (nothing) = 0x' + 'ff' * n for n in (1, 2, 4, 8)] +
         ['out 0xd0000000 (nothing) = 0x00000000', 'out 0xd0000123 (nothing) = 0x' + '00' * 8,
          'in 0xd0000000 (nothing) = 0xffffffff'], 'lines')
    plain = boot('msr')
    run, lines = trace_of('msr', 'msr')
    check(run, OK, 'poweroff', out='^faults 3$')
    want(run.out == plain.out, 'the guest sees that it is watched')
    if "can't tell of unknown MSRs" in run.err:
        raise Skip("this host's KVM can't tell of unknown MSRs")
    same([what for _, _, what in lines],
         ['read 0x4d5a1234, unknown: #GP', 'read RAPL_POWER_UNIT, unknown: #GP',
          'write 0x4d5a1234 = 0x1122334455667788, unknown: #GP'], 'lines')


@case
def traces_of_interrupts():
    run, lines = trace_of('pio,irq', 'interrupts')
    expected = [('pio', 'out serial0.MCR = 0x0b (dtr,rts,out2)'), ('irq', 'gsi 4 high'),
                ('pio', 'out serial0.IER = 0x02 (thre)')]
    for c in run.out.split('\n')[0] + '\n':
        expected += [('irq', 'gsi 4 low'), ('pio', 'in serial0.IIR = 0x02 (thre)'),
                     ('irq', 'gsi 4 high'), ('pio', text_lines(c)[1])]
    expected += [('irq', 'gsi 4 low'), ('pio', 'in serial0.IIR = 0x02 (thre)'),
                 ('pio', 'out serial0.IER = 0x00')]
    same([line[1:] for line in lines[:len(expected)]], expected, 'lines')


@case
def traces_of_the_start():
    _, lines = trace_of('boot', 'hello64')
    want(all(line[:2] == ('main', 'boot') for line in lines), 'other lines than those of the start')
    last = -1
    for _, _, what in lines[:-1]:
        match = re.fullmatch(r'place 0x([0-9a-f]+)-0x([0-9a-f]+) [A-Za-z_ ]+', what)
        want(match, 'a line is %r' % what)
        start, end = (int(word, 16) for word in match.groups())
        want(last < start <= end, 'places overlap at %r' % what)
        last = end
    want(any('kernel segment' in line[2] for line in lines), 'no kernel')
    entry = lines[-1][2]
    want(re.fullmatch(r'entry 0x20[0-9a-f]{4} by PVH', entry), 'the last is %r' % entry)
    _, lines = trace_of('boot', 'hello64', '--boot-protocol', 'linux')
    want(lines[-1][2].endswith("by Linux's 64-bit protocol"), 'the last is %r' % lines[-1][2])


@case
def traces_are_complete():
    run, lines = trace_of('all', 'overrun')
    check(run, OK, 'poweroff')
    bytes_out = [int(what.split()[3], 16) for _, kind, what in lines
                 if kind == 'pio' and what.startswith('out serial0.THR')]
    want(bytes(bytes_out) == run.out.encode(), '%d bytes in the trace, %d on the console' %
         (len(bytes_out), len(run.out)))
    own = [line for line in lines if line[0] == 'cpu0']
    same([line[1] for line in own], ['exits', 'pio'] * (len(own) // 2), 'kinds')
    _, lines = trace_of('all', 'smp', '-c', '4')
    want({line[0] for line in lines} == {'main', 'cpu0', 'cpu1', 'cpu2', 'cpu3'}, 'threads')


@case
def traces_that_cannot_be_written():
    for path in ('/nowhere/trace', World.scratch):
        check(boot('hello', '--trace', 'all=' + path), USAGE, 'vmm-error', out=r'\A\Z',
              err=r"\Abantam: cannot write the trace to '%s': .+\n\Z" % path)
    run = check(boot('overrun', '--trace', 'all=/dev/full', '-a', 'kib=16'), OK, 'poweroff', [
        r'\Abantam: the trace ends here: No space left on device; the guest runs on\n'
        r'bantam: the guest powered off\n\Z'])
    want(len(run.out) == 16 * 1024 + 5, 'the guest lost output')
    for names in ('bogus', '', 'pio,bogus', 'pio,'):
        check(boot('hello', '--trace', names), USAGE,
              err='boot, exits, pio, mmio, msr, irq, virtio, fs and all$', out=r'\A\Z')
    check(boot('hello', '--trace', 'pio='), USAGE, err='no file is named')


@case
def a_trace_that_nobody_reads():
    """Its reader has stopped: a signal ends the machine all the same."""
    out, into = os.pipe()
    run = Process('overrun', '--trace', 'all=/proc/self/fd/%d' % into, pass_fds=(into,))
    time.sleep(1)
    run.send(signal.SIGTERM)
    try:
        check(run.end(SOON), 128 + signal.SIGTERM, 'signal')
    finally:
        os.close(out)
        os.close(into)


# ---- the other formats ----

@case
def a_trace_as_a_time_line():
    """Chrome's format: valid JSON, threads with names, slices that lie in one another, pairs that close."""
    path = World.path('trace.json')
    for guest, args in (('hello', ()), ('smp', ('-c', '4')), ('rng', ('-a', 'irq'))):
        run = check(boot(guest, '--trace', 'all=' + path, *args), OK, 'poweroff')
        with open(path, encoding='utf-8') as f:
            events = json.load(f)
        names = {e['tid']: e['args']['name'] for e in events if e['name'] == 'thread_name'}
        want(len(names) == len(set(names.values())) and 'cpu0' in names.values(), 'threads: %s' % names)
        slices, pairs = {tid: [] for tid in names}, {}
        for e in events:
            want(e['pid'] == 1 and (e['name'] == 'process_name' or e['tid'] in names), 'nobody: %s' % e)
            if e['ph'] == 'X':
                slices[e['tid']].append((e['ts'], e['ts'] + e['dur'], e['name']))
            elif e['ph'] in 'be':
                pairs.setdefault((e['cat'], e['id'], e['name']), []).append((e['ts'], e['ph']))
            else:
                want(e['ph'] in 'iM', 'a phase is %r' % e['ph'])
        for own in slices.values():
            own.sort()
            want(all(a[1] <= b[0] for a, b in zip(own, own[1:])), 'slices overlap')
        want(all([ph for _, ph in sorted(pair)] == ['b', 'e'] for pair in pairs.values()), 'pairs: %s' % pairs)
        want(bool(pairs) == (guest == 'rng'), '%s: %d chains' % (guest, len(pairs)))
        exits = [s[2] for own in slices.values() for s in own]
        want({name: exits.count(name) for name in exits} == run.result['exits'], 'exits')
        want(guest != 'rng' or any(e.get('cat') == 'irq' and e['name'] == 'virtio0/q0' for e in events),
             'no interrupt')


@case
def a_trace_as_json_lines():
    path = World.path('trace.jsonl')
    run = check(boot('hello', '--trace', 'exits,pio=' + path), OK, 'poweroff')
    with open(path, encoding='utf-8') as f:
        events = [json.loads(line) for line in f]
    want({tuple(e) for e in events} == {('us', 'took_us', 'thread', 'kind', 'text')}, 'keys')
    want(sum(e['kind'] == 'exits' for e in events) == run.result['exits']['IO'], 'exits')
    # An exit lasts as long as what it brings about.
    inside = [e['us'] <= p['us'] <= e['us'] + e['took_us'] for p, e in zip(events[::2], events[1::2])]
    want(all(inside) and inside, 'an access lies outside of its exit')


# ---- statistics ----

@case
def statistics_agree_with_the_trace():
    for guest, args in (('hello', ()), ('ports', ()), ('smp', ('-c', '4'))):
        run, lines = trace_of('exits,pio,mmio', guest, '--stats', *args)
        check(run, OK, 'poweroff', ['^time since', r'ms  kernel loaded$', r'ms  VM made$',
                                    r'ms  first instruction$', r'ms  first byte on the console$',
                                    r'ms  end$', '^exits from guest code', '^accesses, by address'])
        times = [float(ms) for ms in re.findall(r'^ +([\d.]+) ms  ', run.err, re.M)]
        want(times == sorted(times), 'the time line is out of order')
        want(times[4] == run.result['duration_ms'] and times[2] ==
             run.result['first_instruction_ms'], 'time line and result disagree')
        exits = {name: int(n) for n, name in re.findall(r'^ +(\d+)  ([A-Z_0-9]+)$', run.err, re.M)}
        traced = {}
        for _, kind, what in lines:
            if kind == 'exits':
                traced[what] = traced.get(what, 0) + 1
        want(exits == traced == run.result['exits'],
             'exits: %s, in the trace %s, in the result %s' % (exits, traced, run.result['exits']))
        for n, bus, way, address, name in re.findall(
                r'^ +(\d+)  (pio |mmio) (read |write) (0x\w+)  (.+)$', run.err, re.M):
            where = name if '.' in name else '%s (nothing)' % address
            start = '%s %s = ' % ('out' if way == 'write' else 'in', where)
            got = sum(kind == bus.strip() and what.startswith(start) for _, kind, what in lines)
            want('.' in name and guest == 'ports' or got == int(n), '%s of %s, in the trace %d' %
                 (n, start, got))
