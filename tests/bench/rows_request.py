"""rows_request.py - how long one request takes, from the driver's doorbell to its interrupt handler.

A tiny guest (tests/guests/latency.c) reads 4 KiB from a disk in the host's page cache, sleeps until the
interrupt, and reads again. The time is that of a run with many requests less that of a run with few, so
that nothing else is in it. QEMU is microvm with the same device in memory and an I/O thread, which is the
shortest way it has; its only devices on PCI come with a machine whose firmware this guest doesn't need.

Limits: the disk's own part, a read from the page cache, is in it; and what it costs to wake a thread on
another processor, which in a virtual machine may be most of it.
"""

import os

import measure
from contenders import MICROVM, QEMU, QEMU_QUIET, words
from rows import NATIVE, Row, Series, needs_file

FEW, MANY = 100, 2100
# Where microvm's last slot for a device is, and its line: eight slots, lines 16 to 23, when it has one
# I/O APIC. The first device gets the last slot.
SLOT, LINE = 0xfeb00000 + 7 * 512, 23


def rows(setup):
    path = os.path.join(setup.work, 'request.img')
    guest = setup.guest('latency')
    words_of = {'bantam': 'mmio fault', 'pci': 'fault', 'qemu': 'mmio fault at=%d line=%d' % (SLOT, LINE)}

    def command(name, requests):
        cmdline = '%s requests=%s' % (words_of[name], requests)
        if name == 'qemu':
            return [QEMU, '-M', MICROVM + ',ioapic2=off', *QEMU_QUIET,
                    '-global', 'virtio-mmio.force-legacy=false', '-object', 'iothread,id=io0',
                    '-drive', 'if=none,id=d0,file=%s,format=raw,cache=writeback,aio=io_uring' % path,
                    '-device', 'virtio-blk-device,drive=d0,iothread=io0',
                    '-kernel', guest, '-append', cmdline]
        argv = setup.run_bantam(guest, cmdline)
        return argv[:-1] + ['--disk', path, '--transport', 'pci' if name == 'pci' else 'mmio'] + argv[-1:]

    def contender(name):
        def taken():
            if name == 'qemu':
                setup.needs_qemu()
            if not os.path.exists(path):
                with open(path, 'wb') as file:
                    file.write(os.urandom(measure.MIB))
            runs = [measure.run(command(name, requests), setup.work, setup.timeout_s,
                                status=0 if name == 'qemu' else 255, expect='requests %d' % requests)
                    for requests in (FEW, MANY)]
            per_us = 1000 / (MANY - FEW)
            return {'wall_us': (runs[1].wall_ms - runs[0].wall_ms) * per_us,
                    'cpu_us': (runs[1].cpu_ms - runs[0].cpu_ms) * per_us}
        return taken

    series = Series('one request', NATIVE, {name: contender(name) for name in ('bantam', 'qemu', 'pci')},
                    {name: words(command(name, 'N')) for name in words_of},
                    needs=lambda: (setup.needs_native(), needs_file(guest, how='make guests')()))
    return [Row('one request, doorbell to interrupt', series, 'wall_us', 'us', goal_ratio=('qemu', 1.0)),
            Row('one request, CPU', series, 'cpu_us', 'us', note='of the whole process, its guest included')]
