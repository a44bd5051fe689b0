"""rows_command.py - how fast COMMAND starts and ends, and what its bytes cost.

From exec to exit: bantam runs `busybox true` in an initrd; QEMU boots the same kernel with the same
initrd, whose busybox powers off as the first program, so that it need not load a driver, mount or
tell anything. Once with the same kernel command line, bantam's own, and there beside both what bantam
takes for that boot alone, without COMMAND: the difference is modules, ports and COMMAND. Once as each
ships: with the machine and the words that a user gets who asks for no more than a kernel, an initrd
and the console.

Streams: bytes from bantam's standard input through `busybox head` to its standard output, timed from
the first byte that comes back to the last, so that the boot is in no number. QEMU (q35) does the
same with a virtio-serial port behind its own standard input and output.

Exits to the monitor are bantam's own account (--result): those of a run that writes so many KiB
less those of one that writes nothing. The console is written to by its name.
"""

import json
import os
import subprocess
import threading
import time

import measure
from contenders import MEMORY_MIB, QEMU, words
from measure import Failed
from rows import STOCK, Row, Series, needs_file

SAME = 'console=ttyS0 quiet cryptomgr.notests'    # bantam's own
POWER_OFF = ' panic=-1 rdinit=/bin/busybox -- poweroff -f'
STREAM_MIB = {'kvm': 64, 'kvmhost': 4}
MIB = 1024 * 1024
EXITS = (('stdout', 1024, '', 'stdout'), ('hvc', 64, '/dev/hvc0', 'console on hvc0'),
         ('serial', 8, '/dev/ttyS0', 'console on ttyS0'))
CHUNK = bytes(64 * 1024)


def command(setup, words_of_it, options=(), cmdline=None, initrd=None):
    """bantam's command line for COMMAND."""
    argv = setup.run_bantam(setup.kernel('vmlinux'), cmdline, initrd or setup.initrd)
    return argv[:-1] + ['--modules', setup.modules, *options] + argv[-1:] + ['--'] + words_of_it


def exec_to_exit(setup):
    kernel = setup.kernel('vmlinux')
    found = []
    plain_qemu = [QEMU, '-M', 'microvm', '-accel', 'kvm', '-cpu', 'host', '-m', str(MEMORY_MIB),
                  '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none',
                  '-serial', 'stdio', '-kernel', kernel, '-initrd', setup.initrd,
                  '-append', 'console=ttyS0' + POWER_OFF]
    for what, cmdline, theirs, goal in (
            ('same command line', SAME,
             setup.run_qemu(kernel, SAME + POWER_OFF, setup.initrd), 0.7),
            ('as each ships', None, plain_qemu, 0.5)):
        ours = command(setup, ['/bin/busybox', 'true'], cmdline=cmdline)

        def bantam(argv=ours):
            return measure.run(argv, setup.work, setup.timeout_s).sample()

        def qemu(argv=theirs):
            setup.needs_qemu()
            return measure.run(argv, setup.work, setup.timeout_s).sample()

        takes = {'bantam': bantam, 'qemu': qemu}
        lines = {'bantam': words(ours), 'qemu': words(theirs)}
        if cmdline:
            boot = setup.run_bantam(kernel, cmdline + POWER_OFF, setup.initrd)
            lines['boot alone'] = words(boot)
            takes['boot alone'] = lambda argv=boot: measure.run(argv, setup.work,
                                                                setup.timeout_s).sample()
        series = Series('COMMAND, %s' % what, STOCK, takes, lines, needs=needs(setup))
        found.append(Row('COMMAND, exec to exit, %s' % what, series, 'wall_ms', 's', scale=1e-3,
                         goal_ratio=('qemu', goal)))
    return found


def streamed(argv, count, timeout_s):
    """Runs argv with count bytes for its standard input, which stays open until as many have come
    out of it; MB/s behind the first read."""
    def feed(pipe):
        try:
            for _ in range(count // len(CHUNK)):
                pipe.write(CHUNK)
            pipe.flush()
        except OSError:
            pass    # it has ended early: what came out tells

    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        feeder = threading.Thread(target=feed, args=(process.stdin,), daemon=True)
        feeder.start()
        try:
            got = first = len(os.read(process.stdout.fileno(), 1 << 20))
            start = end = time.monotonic()
            while got < count:
                more = len(os.read(process.stdout.fileno(), 1 << 20))
                if not more:
                    raise Failed('%s: %d of %d bytes came back' % (argv[0], got, count))
                got, end = got + more, time.monotonic()
        finally:
            timer.cancel()
            process.kill()
    return {'stream': (got - first) / 1e6 / (end - start)}


def stream(setup):
    count = STREAM_MIB['kvmhost' if os.environ.get('BANTAM_KVMHOST') else 'kvm'] * MIB
    ours = command(setup, ['/bin/busybox', 'head', '-c', str(count)])
    theirs = [QEMU, '-M', 'q35', '-accel', 'kvm', '-cpu', 'host', '-smp', '1',
              '-m', str(MEMORY_MIB), '-nodefaults', '-no-user-config', '-no-reboot',
              '-display', 'none', '-serial', 'null', '-device', 'virtio-serial-pci',
              '-chardev', 'stdio,id=stream,signal=off', '-device', 'virtserialport,chardev=stream',
              '-kernel', setup.kernel('vmlinux'), '-initrd', setup.stream_initrd, '-append',
              'console=ttyS0 quiet do=run script=stream_guest load=virtio_pci,virtio_console '
              'count=%d' % count]

    def bantam():
        return streamed(ours, count, setup.timeout_s)

    def qemu():
        setup.needs_qemu()
        return streamed(theirs, count, setup.timeout_s)

    series = Series('COMMAND, stream', STOCK, {'bantam': bantam, 'qemu': qemu},
                    {'bantam': words(ours), 'qemu': words(theirs)},
                    needs=needs(setup, setup.stream_initrd))
    return [Row('COMMAND, stdin to stdout', series, 'stream', 'MB/s', better='higher')]


def exits(setup):
    """What a KiB of output costs."""
    console = os.path.join(setup.work, 'console')

    def run(script, count, options):
        argv = command(setup, ['/bin/busybox', 'sh', '-c', script % count],
                       ['--result', setup.result, *options])
        written = len(measure.run(argv, setup.work, setup.timeout_s).output)
        if options:
            written = os.path.getsize(console)
        if written < count:
            raise Failed('%s: %d of %d bytes came out' % (argv[0], written, count))
        with open(setup.result) as file:
            return sum(json.load(file)['exits'].values())

    def bantam():
        sample = {}
        for name, kib, device, _ in EXITS:
            options = ['--console', console] if device else []
            options += ['--console-device', 'virtio'] if name == 'hvc' else []
            script = 'busybox head -c %%d /dev/zero%s' % (device and ' >' + device)
            few, many = (run(script, count, options) for count in (0, kib * 1024))
            sample[name] = (many - few) / kib
        return sample

    series = Series('COMMAND, exits', STOCK, {'bantam': bantam},
                    {'bantam': words(command(setup, ['...'], ['--result', setup.result]))}, runs=1,
                    warm_up=False, needs=needs(setup))
    return [Row('exits to bantam/KiB, %s' % what, series, name, '',
                goal=None if name == 'serial' else 1, note="by bantam's own account")
            for name, _, _, what in EXITS]


def needs(setup, *more):
    return needs_file(setup.kernel('vmlinux'), setup.initrd, setup.modules, *more,
                      how='`make bench` gets it')


def rows(setup):
    return exec_to_exit(setup) + stream(setup) + exits(setup)
