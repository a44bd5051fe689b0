#!/usr/bin/env python3
"""gdb.py - bantam's --gdb, tried by Debian's gdb and by a client that keeps to no rules.

    tests/guests/gdb.py [-v] [-k WORD] [--build DIR] [BANTAM]

The guest is debug.elf, which counts until a debugger tells it to stop. Cases that need breakpoints or
steps are skipped where `bantam check` says that this host's KVM doesn't deliver them. BANTAM is the
program (default: $BANTAM, or ./bantam); the guests are taken from DIR/guests (default: $BUILD, or
build). -k runs some cases only, -v shows what a failed one has printed. One line a case; the last line
counts them.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import USAGE, Tally, guest_options, want, why_no_kvm  # noqa: E402
from rsp import CR3, PATIENCE, RIP, Client  # noqa: E402
from verdict_lib import CASES, DIED, OK, TIMEOUT, Process, Skip, World, Wrong, check  # noqa: E402
from verdict_lib import case, find_in_order  # noqa: E402

KILLED = 128 + signal.SIGKILL
STOP = 'set var *(long *)&stop = 1'
SOME_S = 0.3            # long enough for what must not happen


def need(probe):
    """Skips a case where this host's KVM doesn't deliver what it is about."""
    done = subprocess.run([World.bantam, 'check', '--json'], stdout=subprocess.PIPE, check=False)
    if not json.loads(done.stdout)['guests'][probe]['ok']:
        raise Skip('this KVM has no %s' % probe.replace('_', ' '))


def symbol(name, guest='debug'):
    listed = subprocess.run(['nm', '%s/%s.elf' % (World.guests, guest)], stdout=subprocess.PIPE,
                            check=True, text=True).stdout
    return int(re.search(r'^(\w+) \w %s$' % name, listed, re.M)[1], 16)


def start(*args, guest='debug', where=None, wait=True):
    return Process(guest, '--gdb', str(where or World.path('gdb')), *['--gdb-wait'] * wait, *args)


def attach(run, **how):
    """A client of a guest that counts."""
    run.wait_for('^ready')
    return Client(World.path('gdb'), **how)


def finish(client, run, status=OK, tells='W00', **more):
    """The guest stops counting; the rest is as it wants."""
    client.store(symbol('stop'), 1)
    want(client.ask('vCont;c') == tells, 'the end was told otherwise')
    want(client.ends(), 'the connection stays')
    check(run.end(), status, out=['tick.. is whole'], **more)
    want(not os.path.exists(World.path('gdb')), 'the socket is left')


def gdb(*commands, where=None):
    """What gdb says to commands, behind its `target remote`."""
    if not shutil.which('gdb'):
        raise Skip('gdb is not installed')
    argv = ['gdb', '-q', '-nx', '-batch', '-ex', 'set pagination off', '-ex',
            'target remote %s' % (where or World.path('gdb'))]
    for command in commands:
        argv += ['-ex', command]
    done = subprocess.run(argv + [World.guests + '/debug.elf'], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    World.out = done.stdout
    return done.stdout


def says(text, *patterns):
    missing = find_in_order(patterns, text)
    want(not missing, 'gdb does not say %r: %s' % (missing, text[-1500:]))


# ---- with gdb ----

@case
def gdb_sees_the_first_instruction_and_lets_it_go():
    run = start('-c', '2')
    run.wait_for("^bantam: the guest waits for: gdb -ex 'target remote /", run.err_file)
    says(gdb('info threads', 'info registers rip cr0 eflags', 'x/2i $pc', 'p $xmm1.v2_int64',
             STOP,
             'p *(long *)&stop', 'p $r9 = 0x1122334455667788', 'p/x $r9', 'detach'),
         r'^\* 1 .*vCPU 0 \(running\).* pvh_start', r'^  2 .*vCPU 1 \(not started\)',
         r'^rip +0x\w+ +0x\w+ <pvh_start>', r'^cr0 .*\[ PE ET \]', r'^=> .*<pvh_start>:\tcli',
         r'= \{0, 0\}', r'= 1$', r'= 0x1122334455667788', 'detached')
    check(run.end(), OK, out=['tick.. is whole'])


@case
def gdb_stops_at_hardware_breakpoints():
    need('hardware_breakpoint')
    run = start()
    says(gdb('hbreak tick', 'continue', 'bt', 'continue', 'p *(long *)&counter', STOP, 'delete',
             'continue'),
         'Breakpoint 1, .* in tick', r'^#1 .* in guest_main', 'Breakpoint 1, .* in tick', '= 1$',
         'exited normally')
    check(run.end(), OK, out=['tick.. is whole'])


@case
def gdb_stops_at_a_watched_store():
    need('software_breakpoint')     # who emulates instructions knows no watched data, either
    run = start()
    says(gdb('watch *(unsigned long *)&counter', 'continue', 'continue', 'delete',
             STOP, 'continue'),
         'Old value = 0\nNew value = 1', 'Old value = 1\nNew value = 2', 'exited normally')
    check(run.end(), OK)


@case
def gdb_takes_steps():
    need('single_step')
    run = start()
    says(gdb('stepi', 'x/i $pc', 'stepi', 'x/i $pc', 'kill'), r'=> .*<pvh_start\+1>:\tcld',
         r'=> .*<pvh_start\+2>:\tlgdt')
    check(run.end(), KILLED, 'signal', ['gdb ended the machine'])


@case
def gdb_stops_at_software_breakpoints():
    need('software_breakpoint')
    run = start()
    run_until = ('tbreak guest_main', 'continue', 'break tick', 'continue', 'continue', 'p *(long *)&counter')
    says(gdb(*run_until, STOP, 'delete', 'continue'), 'breakpoint 1, .* in guest_main',
         'Breakpoint 2, .* in tick', '= 1$', 'exited normally')
    check(run.end(), OK, out=['tick.. is whole'])


@case
def gdb_by_a_port_of_this_host_alone():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        port = taken.getsockname()[1]
    run = start(where=port)
    says(gdb('p *(long *)&counter', 'monitor help', 'monitor xp %x 8' % symbol('stop'), 'monitor nonsense',
             'monitor registers', 'monitor quit', where=':%d' % port),
         '= 0$', '^xp ADDR', ': 00 00 00 00 00 00 00 00$', 'no such command',
         r'^  RIP .*32-bit protected mode')
    listening = [line.split()[1] for line in open('/proc/net/tcp', encoding='ascii')
                 if line.split()[1].endswith(':%04X' % port)]
    want(set(listening) <= {'0100007F:%04X' % port}, 'it listens at %s' % listening)
    check(run.end(), KILLED, 'signal')


# ---- how it ends ----

@case
def a_debugger_comes_later_and_interrupts():
    run = start('-c', '2', wait=False)
    client = attach(run)
    want(client.ask('?').startswith('T05thread:1;'), 'no reason')
    want(client.ask('qfThreadInfo') == 'm1,2' and client.ask('qsThreadInfo') == 'l', 'threads')
    first = client.number(symbol('counter'))
    time.sleep(SOME_S)
    want(client.number(symbol('counter')) == first, 'it counts while it is stopped')
    client.put('vCont;c')
    want(client.quiet(SOME_S), 'a reply before there is a reason')
    want(client.stop().startswith('T02thread:'), 'no interrupt')
    want(client.number(symbol('counter')) > first, 'it did not run')
    finish(client, run)


@case
def the_debugger_is_gone_and_the_guest_runs_on():
    run = start(wait=False)
    for way in ('D', '', 'Z0,%x,1' % symbol('tick')):
        client = attach(run)
        first = client.number(symbol('counter'))
        want(not way or client.ask(way) == 'OK', 'no %s' % way)
        client.close()
        end = time.monotonic() + PATIENCE
        now = first
        while now == first:
            want(time.monotonic() < end, 'it does not run after %r' % way)
            client = attach(run)
            now = client.number(symbol('counter'))
            client.close()
    finish(attach(run), run)


@case
def a_guest_that_waits_goes_on_waiting_for_a_command():
    run = start()
    Client(World.path('gdb')).close()
    client = Client(World.path('gdb'))
    want(client.register(RIP) == symbol('pvh_start'), 'it has run')
    finish(client, run)


@case
def kill_ends_the_machine():
    for packet in ('k', 'vKill;1'):
        run = start()
        client = Client(World.path('gdb'))
        client.put(packet)
        want(client.ends(), 'the connection stays')
        check(run.end(), KILLED, 'signal', ['gdb ended the machine'])


@case
def a_guest_that_dies_can_be_looked_at():
    for word, told, reason in (('fault', 'T0b', 'triple-fault'), ('panic', 'T06', 'panic')):
        run = start('-a', word)
        client = Client(World.path('gdb'))
        client.store(symbol('stop'), 1)
        want(client.ask('vCont;c').startswith(told), 'the death was not told')
        want(client.number(symbol('counter')) == 0 and client.register(CR3) is not None, 'memory')
        want(client.ask('vCont;c') == 'Wff', 'no end')
        check(run.end(), DIED, reason)


@case
def a_guest_dies_without_its_debugger():
    run = start('-a', 'fault')
    client = Client(World.path('gdb'))
    client.store(symbol('stop'), 1)
    want(client.ask('vCont;c').startswith('T0b'), 'the death was not told')
    client.close()
    check(run.end(), DIED, 'triple-fault')
    run = start('-a', 'fault')
    client = Client(World.path('gdb'))
    client.store(symbol('stop'), 1)
    want(client.ask('D') == 'OK', 'no detach')
    check(run.end(), DIED, 'triple-fault')      # though the client is still there


@case
def a_restart_stops_at_the_first_instruction():
    run = start('-a', 'reset', '--on-reset', 'restart')
    client = Client(World.path('gdb'))
    for _ in range(3):
        client.store(symbol('stop'), 1)
        want(client.ask('vCont;c').startswith('T05'), 'no stop')
        want(client.register(RIP) == symbol('pvh_start'), 'not at its start')
        want(client.number(symbol('stop')) == 0, 'the memory is the old one')
    client.monitor('reset')
    want(client.register(RIP) == symbol('pvh_start'), 'monitor reset')
    client.monitor('quit')
    check(run.end(), KILLED, 'signal')
    want(run.result['restarts'] == 4, 'restarts: %s' % run.result['restarts'])


@case
def the_time_stands_still_while_it_is_stopped():
    run = start('--timeout', '500ms')
    client = Client(World.path('gdb'))
    time.sleep(1)
    want(client.register(RIP) == symbol('pvh_start'), 'the time was up')
    want(client.ask('vCont;c') == 'W7c', 'the end was told otherwise')
    check(run.end(), TIMEOUT, 'timeout')


@case
def a_signal_ends_a_machine_that_is_stopped():
    run = start()
    client = Client(World.path('gdb'))
    run.send(signal.SIGTERM)
    want(client.ends(), 'the connection stays')
    check(run.end(), 128 + signal.SIGTERM, 'signal')
    want(not os.path.exists(World.path('gdb')), 'the socket is left')


@case
def wrong_addresses_are_told():
    for where in ('0', '65536', 'host:1', '1.2.3:1', '[::g]:1', ':', '/' + 'x' * 200, '/nowhere/gdb'):
        check(start(where=where).end(), USAGE, err=['--gdb'])
    check(Process('debug', '--gdb-wait', result=False).end(), USAGE, err=['--gdb-wait needs --gdb'])
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(World.path('gdb'))
        check(start().end(), USAGE, err=['cannot listen at .*: Address'])
        want(os.path.exists(World.path('gdb')), 'somebody else\'s socket was removed')


# ---- clients that keep to no rules ----

@case
def bad_packets_get_errors():
    run = start()
    client = Client(World.path('gdb'), acks=True)
    client.send(b'$g#00')
    want(client.byte() == b'-', 'a wrong checksum was taken')
    client.send(b'garbage\x00\xff}#$g#zz')
    want(client.byte() == b'-', 'a checksum of letters was taken')
    client.send(b'$' * 5000 + b'$m0,4#fd')
    want(client.byte() == b'+' and client.reply() == '00000000', 'lost after many $')
    client.send(b'-' * 3)
    want(client.reply() == '00000000', 'no repetition')
    while not client.quiet(SOME_S):
        client.byte()
    client.put(b'x' * 20000)
    want(client.reply().startswith('E'), 'too much was taken')
    for packet in ('m', 'm0', 'm0,', 'm0,g', 'm10000000000000000,1', 'M0,4:00', 'M0,1:', 'X0,5:ab',
                   'mfffffffffffffff0,20', 'p', 'pfff', 'P0', 'P0=12', 'G123', 'Hg', 'Hx1', 'Hg9',
                   'T0', 'T9', 'Z0', 'Z0,fffffffffffff000,1', 'Z2,1,3', 'vCont;', 'vCont;x', 'vCont;t',
                   'vCont;c:9', 'qXfer:features:read:target.xml:ffffff,1', 'qThreadExtraInfo,9',
                   'G' + '0' * 10000):
        data = client.ask(packet)
        want(re.fullmatch('E[0-9a-f]{2}', data), '%r is answered with %r' % (packet[:40], data))
    for packet in ('vMustReplyEmpty', 'Z3,0,1', 'z3,0,1', 'Z9,0,1', 'qSymbol::', '!', '', 'R0'):
        want(client.ask(packet) == '', '%r is not unknown' % packet)
    for _ in range(4):
        want(client.ask('Z1,%x,1' % (symbol('tick') + _)) == 'OK', 'four are not to be had')
    want(client.ask('Z1,%x,1' % (symbol('tick') + 4)).startswith('E'), 'five are to be had')
    for _ in range(4):
        want(client.ask('z1,%x,1' % (symbol('tick') + _)) == 'OK', 'not taken away')
    finish(client, run)


@case
def what_was_written_is_read():
    run = start()
    client = Client(World.path('gdb'))
    want(client.ask(b'X100000,6:a}\x03}\x04}]b\x00') == 'OK', 'no binary')
    want(client.memory(0x100000, 6) == b'a#$}b\0', 'other bytes')
    registers = client.ask('g')
    want(client.ask('P8=8877665544332211') == 'OK', 'no register')
    want(client.register(8) == 0x1122334455667788, 'another register')
    want(client.ask('G' + registers) == 'OK' and client.ask('g') == registers, 'other registers')
    want(client.ask('Z0,%x,1' % symbol('tick')) == 'OK', 'no breakpoint')
    want(client.memory(symbol('tick'), 1) != b'\xcc', 'the breakpoint is seen')
    want(client.ask('z0,%x,1' % symbol('tick')) == 'OK', 'not taken away')
    finish(client, run)


@case
def a_client_that_does_not_read_holds_nobody():
    run = start(wait=False)
    client = attach(run)
    client.socket.setblocking(False)
    sent = 0
    try:
        while sent < 100 << 20:
            sent += client.socket.send(b'$m200000,1000#0a' * 1000)
    except BlockingIOError:
        pass
    want(sent < 100 << 20, 'it takes without end')
    run.send(signal.SIGTERM)
    check(run.end(), 128 + signal.SIGTERM, 'signal')


@case
def thousands_of_packets_and_halves():
    run = start(wait=False)
    client = attach(run)
    for _ in range(30):
        client.send(b'$?#3f' * 100)
        for _ in range(100):
            want(client.reply().startswith('T05'), 'another reply')
    for byte in b'$m200000,1#':
        client.send(bytes([byte]))
        time.sleep(0.002)
    client.close()
    for _ in range(50):
        attach(run).close()
    second, first = None, attach(run)
    with socket.socket(socket.AF_UNIX) as second:
        second.connect(World.path('gdb'))
        second.sendall(b'$?#3f')
        second.settimeout(SOME_S)
        try:
            want(not second.recv(1), 'two at a time are served')
            raise Wrong('the second one was sent away')
        except socket.timeout:
            pass
        first.close()
        second.settimeout(20)
        want(second.recv(1) == b'+', 'the second one is not served')
    finish(attach(run), run)


def main():
    options, World.bantam, World.guests = guest_options('bantam\'s --gdb.', 'debug')
    cases = [c for c in CASES if options.k in c.__name__.replace('_', ' ')]
    tally = Tally()
    reason = why_no_kvm(World.bantam, World.guests + '/hello.elf')
    if reason:
        tally.skip(len(cases), reason)
        return tally.close()
    World.version = subprocess.run([World.bantam, 'version'], capture_output=True,
                                   text=True, check=True).stdout.split()[1]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for function in cases:
        name, reason, began = function.__name__.replace('_', ' '), None, time.monotonic()
        with tempfile.TemporaryDirectory(prefix='bantam-gdb-') as World.scratch:
            try:
                function()
            except (Wrong, EOFError, socket.timeout, ConnectionError) as wrong:
                reason = str(wrong) or type(wrong).__name__
            except Skip as skip:
                tally.skip(1, str(skip), name)
                continue
        tally.result(name, reason, time.monotonic() - began,
                     (('out', World.out), ('err', World.err)) if options.v else ())
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
