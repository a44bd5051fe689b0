"""rows_share.py - how fast a stock guest works a directory of the host's, and what that costs.

tests/bench/share_guest works it in six ways during one boot: names and attributes (find, git status,
unpacking and removing a tar file), and a large file in a row. The directory lies in the host's page
cache, on an ext4 file system (in the emulated host: on a drive of its own). bantam shares it with
-v; beside it are QEMU, q35, with the virtiofsd that comes with QEMU and, as information, with 9p.
All as they ship, so names and attributes are good for a second with both virtio-fs servers; 9p keeps
nothing. The kernel is the one that has all of their drivers.

Times first, with nothing else going on. Then counts (loads.py), in a run of their own that times
nothing: per thousand files or megabyte, virtiofsd's system calls and switches with QEMU's.

Limits: the guest's own ticks, and what the console needs, are in the counts; vCPU and server share
the emulated host's one processor, where times are seconds and there are fewer files. The guest's
clock tells hundredths of a second.
"""

import io
import os
import re
import shutil
import subprocess
import tarfile

import loads
import measure
from contenders import QEMU, words
from loads import COUNTS
from measure import Failed, NotTaken
from rows import STOCK, Row, Series, needs_file
from rows_disk import Image

HERE = os.path.dirname(os.path.abspath(__file__))
VIRTIOFSD = '/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'
MEMORY_MIB = 512
FILES = {'kvm': 10000, 'kvmhost': 500}
MEGABYTES = {'kvm': 256, 'kvmhost': 32}
LOADS = (('find', 'find', 1.2), ('git', 'git status', 1.2), ('untar', 'tar -x', 1.2),
         ('rm', 'rm -r', 1.2), ('write', 'a file written in a row', 1.0),
         ('read', 'a file read in a row', 1.0))
STREAMS = 'read', 'write'
PAUSE_S = 1    # room for reading the counters before and after each load
CMDLINE = 'console=ttyS0 quiet do=run script=share_guest load=%s kind=%s'


class Directory:
    """What is shared, made when it is first needed."""

    def __init__(self, setup, files):
        self.image = Image(setup)
        self.files = files

    @property
    def path(self):
        return os.path.join(self.image.directory, 'share')

    def make(self):
        if os.path.exists(self.path):
            return
        self.image.make()
        os.mkdir(self.path)
        with tarfile.open(self.path + '/files.tar', 'w') as tar:
            for number in range(self.files):
                member = tarfile.TarInfo('d%02d/f%05d' % (number // 100, number))
                member.size = 1000
                tar.addfile(member, io.BytesIO(b'%05d\n' % number + bytes(994)))
        tree = self.path + '/tree'
        os.mkdir(tree)
        git = ['git', '-c', 'user.name=bench', '-c', 'user.email=bench@localhost',
               '-c', 'gc.auto=0', '-C', tree]
        subprocess.run(['tar', '-x', '-C', tree, '-f', self.path + '/files.tar'], check=True)
        for argv in ['init', '-q'], ['add', '.'], ['commit', '-q', '-m', 'all']:
            subprocess.run(git + argv, check=True)


def timed(argv, work, timeout_s, amount):
    """Runs argv; of each load, thousand files or megabytes per second."""
    output = measure.run(argv, work, timeout_s, expect='SHARE: done').output
    sample = {load: round(amount(load) * 1000 / max(int(ms), 10), 3)
              for load, ms in re.findall(r'SHARE: end (\S+) ms=(\d+)', output)}
    if len(sample) < len(LOADS):
        raise Failed('%s: %s' % (argv[0], measure.last_line(output)))
    return sample


def commands(setup, directory, megabytes, pause_s):
    kernel = setup.kernel('vmlinux', 'generic')
    script = 'megabytes=%d pause=%d' % (megabytes, pause_s)
    socket = os.path.join(setup.work, 'virtiofsd')

    def qemu(kind, load, device):
        return [QEMU, '-M', 'q35', '-accel', 'kvm', '-cpu', 'host', '-smp', '1',
                '-m', str(MEMORY_MIB), '-nodefaults', '-no-user-config', '-no-reboot',
                '-display', 'none', '-serial', 'stdio', *device, '-kernel', kernel,
                '-initrd', setup.share_initrd,
                '-append', CMDLINE % (load, kind) + ' ' + script]

    shared = ['-object', 'memory-backend-memfd,id=ram,size=%dM,share=on' % MEMORY_MIB,
              '-numa', 'node,memdev=ram', '-chardev', 'socket,id=fs,path=' + socket,
              '-device', 'vhost-user-fs-pci,chardev=fs,tag=share']
    local = ['-virtfs', 'local,mount_tag=share,security_model=none,path=' + directory.path]
    daemon = next((path for path in VIRTIOFSD if os.path.exists(path)), VIRTIOFSD[0])
    return {'bantam': [setup.bantam, 'run', '--memory', '%dM' % MEMORY_MIB, '--modules',
                       setup.share_modules, '--initrd', setup.share_initrd,
                       '-v', directory.path + ':/share', kernel, '--', '/bin/busybox', 'env',
                       *script.split(), '/bin/busybox', 'sh', '-c',
                       '/bin/busybox --install -s /bin; . /scripts/share_guest'],
            'virtiofsd': [os.path.join(HERE, 'share_host'), daemon, socket, directory.path] +
            qemu('virtiofs', 'virtio_pci,virtiofs', shared),
            '9p': qemu('9p', 'virtio_pci,9p,9pnet_virtio', local)}


def contenders(setup, directory, run, megabytes, pause_s):
    argv = commands(setup, directory, megabytes, pause_s)

    def contender(name):
        def taken():
            if name != 'bantam':
                setup.needs_qemu()
            if name == 'virtiofsd':
                needs_virtiofsd()
            directory.make()
            return run(argv[name], setup.work, setup.timeout_s)
        return taken

    return {'contenders': {name: contender(name) for name in argv},
            'commands': {name: words(argv[name]) for name in argv}}


def needs_virtiofsd():
    if not any(os.path.exists(path) for path in VIRTIOFSD):
        raise NotTaken('there is no virtiofsd (package qemu-system-common, or virtiofsd)')
    if os.geteuid() != 0:
        raise NotTaken('virtiofsd needs root')


def needs(setup):
    def check():
        needs_file(setup.kernel('vmlinux', 'generic'), setup.share_initrd,
                   how='`make bench` gets it')()
        if not shutil.which('git'):
            raise NotTaken('there is no git (package git)')
    return check


def rows(setup):
    place = 'kvmhost' if os.environ.get('BANTAM_KVMHOST') else 'kvm'
    files, megabytes = FILES[place], MEGABYTES[place]
    directory = Directory(setup, files)

    def amount(load, _=None):
        return megabytes * 1.048576 if load in STREAMS else files / 1000

    def take(argv, work, timeout_s):
        return timed(argv, work, timeout_s, amount)

    def count(argv, work, timeout_s):
        return loads.counted(argv, work, timeout_s, amount)

    times = Series('shared directory', STOCK, needs=needs(setup), drive=True, warm_up=False,
                   **contenders(setup, directory, take, megabytes, 0))
    counts = Series('shared directory, counted', STOCK, needs=needs(setup), drive=True, runs=1,
                    warm_up=False, **contenders(setup, directory, count, megabytes, PAUSE_S))
    found = [Row(what, times, load, 'MB/s' if load in STREAMS else '1000/s', better='higher',
                 goal_ratio=('virtiofsd', goal)) for load, what, goal in LOADS]
    found += [Row('%s/%s, %s' % (what, 'MB' if load in STREAMS else '1000', load), counts,
                  '%s %s' % (load, kind), '', note='bench.json has them by what they are')
              for load, _, _ in LOADS for kind, what in COUNTS]
    return found
