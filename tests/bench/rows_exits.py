"""rows_exits.py - how often a guest leaves to its monitor, and why.

Two sources. --result has bantam's own count, by the reason KVM_RUN gave. The kernel's trace points
count for any monitor: kvm:kvm_userspace_exit the returns to the monitor, which are the same thing,
and kvm:kvm_exit all that the guest left for, most of which KVM settles by itself. A boot is counted
once: it hardly varies.
"""

import json

import measure
from contenders import words
from rows import NATIVE, STOCK, Row, Series
from rows_boot import CMDLINE, REACHED, needs_stock


def own_exits(setup):
    """--result's `exits`: reason to count."""
    with open(setup.result) as file:
        exits = json.load(file).get('exits')
    if not isinstance(exits, dict):
        raise measure.Failed('--result says no exits')
    return exits


def tiny(setup):
    argv = setup.run_bantam(setup.guest('hello'), result=True)

    def bantam():
        measure.run(argv, setup.work, setup.timeout_s)
        return {'exits': own_exits(setup)}

    def needs():
        setup.needs_native()
        setup.needs_result()

    series = Series('exits of hello.elf', NATIVE, {'bantam': bantam}, {'bantam': words(argv)},
                    runs=1, warm_up=False, needs=needs)
    return [Row('exits to bantam, hello.elf', series, 'exits', '',
                note="by bantam's own account")]


def stock(setup):
    arguments = setup.kernel('vmlinux'), CMDLINE, setup.initrd
    told = setup.has_option('--result')
    ours, theirs = setup.run_bantam(*arguments, result=told), setup.run_qemu(*arguments)

    def counted(argv):
        with measure.ExitTrace() as trace:
            measure.run(argv, setup.work, setup.timeout_s, expect=REACHED,
                        while_running=trace.watch)
            return trace.sample()

    def bantam():
        sample = counted(ours)
        if told:
            sample['exits'] = own_exits(setup)
        return sample

    def qemu():
        setup.needs_qemu()
        return counted(theirs)

    series = Series('exits of a stock boot', STOCK, {'bantam': bantam, 'qemu': qemu},
                    {'bantam': words(ours), 'qemu': words(theirs)}, runs=1, warm_up=False,
                    needs=needs_stock(setup, 'vmlinux'))
    return [Row('exits to the monitor, stock ELF', series, 'user_exits', '',
                goal_ratio=('qemu', 1 / 3), note='kvm:kvm_userspace_exit'),
            Row("the same, by bantam's own account", series, 'exits', '',
                needs=setup.needs_result, note='--result'),
            Row('exits to KVM, stock ELF', series, 'kernel_exits', '', note='kvm:kvm_exit')]


def rows(setup):
    return tiny(setup) + stock(setup)
