"""rows_disk.py - how fast a stock guest reads and writes a disk, and what each request costs.

tests/bench/disk_guest.c works the disk in six ways during one boot. The image lies in the host's
page cache, on an ext4 file system (in the emulated host: on a drive of its own; io_uring serves
ext4's pages without a thread, which Linux 6.1 doesn't do on tmpfs), is written once before, and so
small that nothing of it is read from the drive or, while the guest works, written to it. QEMU is
the one that most people run, q35 with an I/O thread: with aio=io_uring, and as information with
aio=threads. bantam over virtio-mmio is information too.

Times first, with nothing else going on. Then counts per thousand requests (loads.py), in a run of
their own that times nothing.

Limits: the guest's own ticks, and what the console needs, are in the counts; a vCPU, an I/O thread
and a worker share the emulated host's one processor.
"""

import os
import re
import subprocess

import loads
import measure
from contenders import QEMU, words
from loads import COUNTS
from measure import NotTaken
from rows import STOCK, Row, Series, needs_file

MIB = 1024 * 1024
IMAGE_MIB = 128
MILLISECONDS = {'kvm': 3000, 'kvmhost': 1500}
LOADS = (('randread-1', '4 KiB random reads, depth 1', 1.2),
         ('randread-32', '4 KiB random reads, depth 32', 1.2),
         ('randwrite-1', '4 KiB random writes, depth 1', 1.2),
         ('randwrite-32', '4 KiB random writes, depth 32', 1.2),
         ('seqread-4', '128 KiB reads in a row', 1.1),
         ('seqwrite-4', '128 KiB writes in a row', 1.1))
PAUSE_MS = 1000    # room for reading the counters before and after each load
CMDLINE = 'console=ttyS0 quiet milliseconds=%d'


class Image:
    """The disk image, made when it is first needed."""

    def __init__(self, setup):
        self.directory = os.path.join(setup.work, 'disk')
        self.path = os.path.join(self.directory, 'image')

    def make(self):
        if os.path.exists(self.path):
            return
        os.mkdir(self.directory)
        if os.environ.get('BANTAM_KVMHOST'):
            self.mount_drive()
        with open(self.path, 'wb') as file:
            for _ in range(IMAGE_MIB):
                file.write(bytes(MIB))
            os.fsync(file.fileno())

    def mount_drive(self):
        """The emulated host's drive, which is slow, gets a file system and is written to no more
        than it must be."""
        if not os.path.exists('/dev/vda'):
            raise NotTaken('the emulated host has no drive')
        subprocess.run(['mkfs.ext4', '-q', '-F', '/dev/vda'], check=True)
        subprocess.run(['mount', '/dev/vda', self.directory], check=True)
        with open('/proc/sys/vm/dirty_writeback_centisecs', 'w') as file:
            file.write('0')


def counted(argv, work, timeout_s):
    """Runs argv; of each load, and each kind of count, the number per thousand requests."""
    return loads.counted(argv, work, timeout_s,
                         lambda load, numbers: int(numbers['requests']) / 1000)


def timed(argv, work, timeout_s):
    """Runs argv; of each load, requests per second."""
    output = measure.run(argv, work, timeout_s, expect='DISK: done').output
    return {load: round(int(requests) * 1e9 / int(ns), 1) for load, requests, ns in
            re.findall(r'DISK: end (\S+) requests=(\d+) ns=(\d+)', output)}


def bantam_command(setup, image, transport, cmdline):
    argv = setup.run_bantam(setup.kernel('vmlinux'), cmdline, setup.disk_initrd)
    return argv[:-1] + ['--disk', image.path, '--transport', transport] + argv[-1:]


def qemu_command(setup, image, aio, cmdline):
    return [QEMU, '-M', 'q35', '-accel', 'kvm', '-cpu', 'host', '-smp', '1', '-m', '256',
            '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none',
            '-serial', 'stdio', '-object', 'iothread,id=io0',
            '-drive', 'if=none,id=d0,file=%s,format=raw,cache=writeback,aio=%s' % (image.path,
                                                                                   aio),
            '-device', 'virtio-blk-pci,drive=d0,iothread=io0',
            '-kernel', setup.kernel('vmlinux'), '-initrd', setup.disk_initrd, '-append', cmdline]


def contenders(setup, image, run, cmdline, which):
    """For Series: the contenders named in `which` and their command lines."""
    commands = {'bantam': bantam_command(setup, image, 'pci', cmdline),
                'qemu': qemu_command(setup, image, 'io_uring', cmdline),
                'mmio': bantam_command(setup, image, 'mmio', cmdline),
                'qemu-t': qemu_command(setup, image, 'threads', cmdline)}

    def contender(name):
        def taken():
            image.make()
            if name.startswith('qemu'):
                setup.needs_qemu()
            return run(commands[name], setup.work, setup.timeout_s)
        return taken

    return {'contenders': {name: contender(name) for name in which},
            'commands': {name: words(commands[name]) for name in which}}


def rows(setup):
    image = Image(setup)
    place = 'kvmhost' if os.environ.get('BANTAM_KVMHOST') else 'kvm'
    cmdline = CMDLINE % MILLISECONDS[place]
    needs = needs_file(setup.kernel('vmlinux'), setup.disk_initrd, how='`make bench` gets it')
    times = Series('disk', STOCK, needs=needs, drive=True,
                   **contenders(setup, image, timed, cmdline, ('bantam', 'qemu', 'mmio', 'qemu-t')))
    counts = Series('disk, counted', STOCK, needs=needs, drive=True, runs=1, warm_up=False,
                    **contenders(setup, image, counted, '%s pause=%d' % (cmdline, PAUSE_MS),
                                 ('bantam', 'qemu', 'mmio')))
    found = [Row(what, times, load, '/s', better='higher', goal_ratio=('qemu', goal))
             for load, what, goal in LOADS]
    found += [Row('%s/1000, %s' % (what, load), counts, '%s %s' % (load, kind), '',
                  note='bench.json has them by what they are')
              for load, _, _ in LOADS for kind, what in COUNTS]
    return found
