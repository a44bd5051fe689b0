"""rows_size.py - how small the monitor is: its file, and its memory beside the guest's.

Memory is read while the guest rests, in HLT for good (idle.elf) or asleep behind a stock kernel's
boot: Rss and Private_Dirty of all mappings but guest RAM. Pages of the program's file that the
page cache has not written yet would count as dirty, so they are flushed first.
"""

import os
import shutil
import subprocess

import measure
from contenders import MEMORY_MIB, QEMU, words
from rows import NATIVE, STOCK, Row, Series, needs_file
from rows_boot import REACHED, needs_stock

IDLE_CMDLINE = 'console=ttyS0 do=idle'


def stripped(setup):
    """The program's file without symbols."""
    copy = os.path.join(setup.work, 'stripped')
    argv = ['strip', '-o', copy, setup.bantam]

    def bantam():
        if not shutil.which('strip'):
            raise measure.NotTaken('there is no strip (package binutils)')
        subprocess.run(argv, check=True)
        return {'bytes': os.stat(copy).st_size}

    series = Series('strip', NATIVE, {'bantam': bantam}, {'bantam': words(argv)}, runs=1,
                    warm_up=False, needs=needs_file(setup.bantam))
    return [Row('stripped binary', series, 'bytes', 'KiB', scale=1 / 1024, goal=300)]


def memory(setup, series_of, ours, theirs, word, goals):
    """Two rows of a guest at rest. series_of: the Series' name, place and options."""
    def look(pid):
        return measure.own_memory(pid, MEMORY_MIB * measure.MIB)

    def bantam():
        measure.flush(setup.bantam)
        return measure.at_rest(ours, setup.work, word, look, setup.timeout_s)

    def qemu():
        setup.needs_qemu()
        measure.flush(shutil.which(QEMU))
        return measure.at_rest(theirs, setup.work, word, look, setup.timeout_s)

    series = Series(contenders={'bantam': bantam, 'qemu': qemu},
                    commands={'bantam': words(ours), 'qemu': words(theirs)}, **series_of)
    who = series_of['name'].replace(' at rest', '')
    note = 'of the process, guest RAM left out; what the kernel holds for it is not in it'
    return [Row('own memory, %s, resident' % who, series, 'rss_kib', 'KiB', goal=goals[0],
                note=note),
            Row('own memory, %s, private dirty' % who, series, 'private_dirty_kib', 'KiB',
                goal=goals[1], note=note)]


def rows(setup):
    idle = setup.guest('idle')
    stock = setup.kernel('vmlinux'), IDLE_CMDLINE, setup.initrd
    return (stripped(setup) +
            memory(setup, {'name': 'tiny guest at rest', 'place': NATIVE, 'runs': 5,
                           'needs': setup.needs_native},
                   setup.run_bantam(idle), setup.run_qemu(idle), 'idle', (600, 140)) +
            memory(setup, {'name': 'stock guest at rest', 'place': STOCK, 'runs': 1,
                           'warm_up': False, 'needs': needs_stock(setup, 'vmlinux')},
                   setup.run_bantam(*stock), setup.run_qemu(*stock), REACHED, (600, 140)))
