"""rows_boot.py - how fast a machine starts: to its first instruction, and through a stock kernel.

The first instruction is told by bantam's own clocks (--result), and cross-checked from outside with
a guest that ends the machine almost at once in any monitor: a triple fault, behind one printed line
(two exits a character). The stock kernel boots with its messages on the serial console, finds an
initramfs that prints one line and powers off. A bzImage is started as it was unpacked before (bantam),
with an empty cache (cold), and without the host unpacking it (off).

The monitor's own share of a boot is user + system - guest time, the kernel's part of KVM included;
see measure.py for how well guest time is known.
"""

import json

import measure
from contenders import words
from rows import NATIVE, STOCK, Row, Series, needs_file

CMDLINE = 'console=ttyS0 do=poweroff'
REACHED = 'GUEST: user space reached'


def first_instruction(setup):
    """Two rows of bantam alone."""
    argv = setup.run_bantam(setup.guest('hello'), result=True)

    def bantam():
        sample = measure.run(argv, setup.work, setup.timeout_s).sample()
        with open(setup.result) as file:
            result = json.load(file)
        for key in 'first_instruction_ms', 'first_instruction_cpu_ms':
            if not isinstance(result.get(key), (int, float)):
                raise measure.Failed('--result says no %s' % key)
            sample[key] = result[key]
        return sample

    def needs():
        setup.needs_native()
        setup.needs_result()

    series = Series('hello.elf with --result', NATIVE, {'bantam': bantam},
                    {'bantam': words(argv)}, needs=needs)
    return [Row('exec to first instruction, CPU', series, 'first_instruction_cpu_ms', 'ms', goal=2,
                note="CLOCK_PROCESS_CPUTIME_ID at the first KVM_RUN, by bantam's own account"),
            Row('exec to first instruction, wall', series, 'first_instruction_ms', 'ms',
                note="by bantam's own account")]


def triple_fault(setup):
    """A whole life of a tiny guest, beside QEMU's."""
    kernel = setup.guest('triplefault')
    ours, theirs = setup.run_bantam(kernel), setup.run_qemu(kernel)

    def bantam():
        return measure.run(ours, setup.work, setup.timeout_s, status=255).sample()

    def qemu():
        setup.needs_qemu()
        return measure.run(theirs, setup.work, setup.timeout_s).sample()

    series = Series('triplefault.elf', NATIVE, {'bantam': bantam, 'qemu': qemu},
                    {'bantam': words(ours), 'qemu': words(theirs)}, needs=setup.needs_native)
    return [Row('exec to exit, tiny guest, CPU', series, 'cpu_ms', 'ms',
                goal_ratio=('qemu', 1 / 20),
                note='user + system of the whole process, the guest and its console included'),
            Row('exec to exit, tiny guest, wall', series, 'wall_ms', 'ms')]


def stock_boot(setup, kind, what):
    """A stock kernel from exec to exit, beside QEMU."""
    kernel = setup.kernel(kind)
    arguments = kernel, CMDLINE, setup.initrd
    ours, theirs = setup.run_bantam(*arguments), setup.run_qemu(*arguments)
    packed = kind == 'vmlinuz'
    commands = {'bantam': ours, 'qemu': theirs}
    commands.update({'cold': ours, 'off': ours[:-1] + ['--unpack', 'off', kernel]} if packed else {})

    def contender(name):
        def boot():
            if name == 'qemu':
                setup.needs_qemu()
            if name == 'cold':
                setup.empty_cache()
            return measure.run(commands[name], setup.work, setup.timeout_s, expect=REACHED).sample()
        return boot

    series = Series('boot, %s' % what, STOCK, {name: contender(name) for name in commands},
                    {name: words(argv) for name, argv in commands.items()},
                    needs=needs_stock(setup, kind))
    return [Row('exec to exit, stock %s, wall' % what, series, 'wall_ms', 's', scale=1e-3,
                goal_ratio=('qemu', 0.7)),
            Row("monitor's own share, stock %s" % what, series, 'own_ms', 's', scale=1e-3,
                goal_ratio=('qemu', 0.1),
                note='user + system - guest time; guest time is sampled, see measure.py')]


def needs_stock(setup, kind):
    """For Series.needs: the kernel and the initramfs are there."""
    return needs_file(setup.kernel(kind), setup.initrd, how='`make bench` gets it')


def rows(setup):
    return (first_instruction(setup) + triple_fault(setup) +
            stock_boot(setup, 'vmlinuz', 'bzImage') + stock_boot(setup, 'vmlinux', 'ELF (PVH)'))
