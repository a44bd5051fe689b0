"""disk.py - stock kernels with virtual disks, on both transports: a table.

The guests' side of the cases is in tests/system/guest; what they say is checked here, and what they
have left in the image.
"""

import fcntl
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading

from case import both, script, Case, IMAGES, KERNEL, MODULES, POWERED_OFF, ROOT, USER_SPACE

MIB = 1 << 20
HERE = ROOT + '/tests/system'
REFUSE = HERE + '/refuse'

FIFREEZE, FITHAW = 0xc0045877, 0xc0045878     # linux/fs.h

# Where Debian has e2fsprogs, which isn't on everybody's path.
os.environ['PATH'] += ':/usr/sbin:/sbin'


def tool(*argv):
    """Runs a program; returns its status and what it said."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors='replace')
    return done.returncode, done.stdout


def sparse(path, size):
    with open(path, 'wb') as f:
        f.truncate(size)


def copy_of(image):
    """For files=: a copy of one of build/images, as DIR/IMAGE, with its holes."""
    def make(directory):
        subprocess.run(['cp', '--sparse=always', '%s/%s.img' % (IMAGES, image),
                        '%s/%s.img' % (directory, image)], check=True)
    return make


def allocated(path):
    return os.stat(path).st_blocks * 512


def sha256(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def noise(count, seed):
    """The bytes that the guests' `noise` makes."""
    lines = ''.join('%-15s %015d\n' % (seed, i) for i in range((count + 31) // 32))
    return lines.encode()[:count]


def file_system_fault(path):
    """Returns what e2fsck finds wrong with a file system, or None."""
    status, said = tool('e2fsck', '-f', '-n', path)
    return 'e2fsck on the host: status %d: %.300s' % (status, said) if status else None


# ---- a root file system ----

def root(transport):
    def check(out):
        numbers = re.findall(r'^GUEST: random ([0-9a-f]{128})$', out, re.M)
        if len(numbers) != 2 or numbers[0] == numbers[1] or min(len(set(n)) for n in numbers) < 8:
            return 'these are no random numbers: %s' % numbers
        return None

    def after(directory, _out):
        image = directory + '/root.img'
        fault = file_system_fault(image)
        if fault:
            return fault
        status, said = tool('debugfs', '-R', 'cat /root/written', image)
        if 'written by the guest\n' not in said:
            return 'the file that the guest wrote is not in the image: %d %.200s' % (status, said)
        return None
    return Case('root on a disk, ' + transport, KERNEL, MODULES + 'do=root root=/dev/vda',
                args=['--transport', transport, '--disk', '{dir}/root.img'],
                files=copy_of('root'), check=check, after=after, timeout=90,
                expect=[USER_SPACE, r'^GUEST: root is /dev/vda ext4 rw',
                        r'^GUEST: the file is as it should be$', r'^GUEST: hwrng virtio_rng',
                        r"^GUEST: root's init ends$"])


# Through a stock distribution's start to its login prompt, in, and down as its users do it: half a
# minute in the emulated host.
def debian(transport):
    def after(directory, out):
        failed = re.search(r'failed units: (?!\$)(.*)$', out, re.M).group(1)
        if failed:
            return 'systemd could not start: %s' % failed
        return file_system_fault(directory + '/debian.img')
    typed = (b'echo "state: $(systemctl is-system-running --wait)'
             b' root: $(findmnt -no SOURCE,FSTYPE /)"; '
             b'echo "failed units: $(systemctl --failed --plain --no-legend | xargs)"\n')
    return Case('Debian to its login prompt, ' + transport, KERNEL,
                MODULES + 'do=root root=/dev/vda systemd.show_status=1', memory='512M',
                args=['--transport', transport, '--disk', '{dir}/debian.img'],
                files=copy_of('debian'), after=after, timeout=300,
                talk=[(r'bantam-guest login: ', b'root\n'), (r'Password: ', b'bantam\n'),
                      (r'root@bantam-guest:~# ', typed),
                      (r'failed units: (?!\$)', b'systemctl poweroff\n')],
                expect=[USER_SPACE, r'Welcome to', r'bantam-guest login: ',
                        r'state: running root: /dev/vda +ext4', r'reboot: Power down'])


# ---- reading and writing ----

def holders(path):
    """The processes that have a file open whose path ends so, each with the descriptor's number."""
    found = []
    for process in filter(str.isdigit, os.listdir('/proc')):
        try:
            found += [(int(process), int(fd)) for fd in os.listdir('/proc/%s/fd' % process)
                      if os.readlink('/proc/%s/fd/%s' % (process, fd)).endswith(path)]
        except OSError:
            pass     # it ended, or is another user's
    return found


def fio(transport, title, options='', queues=1, args=(), **more):
    def opened(directory):
        """Notes with which flags the image is open, in whichever process."""
        flags = []
        for process, fd in holders(os.path.realpath(directory + '/work.img')):
            with open('/proc/%d/fdinfo/%d' % (process, fd)) as f:
                flags.append(re.search(r'flags:\s*([0-7]+)', f.read()).group(1))
        with open(directory + '/flags', 'w') as f:
            f.write(' '.join(flags))
        return b''

    def after(directory, out):
        with open(directory + '/flags') as f:
            flags = f.read().split()
        # It may be open a second time without, for what O_DIRECT can't do.
        if ('direct' in options) != any(int(f, 8) & os.O_DIRECT for f in flags) or not flags:
            return 'the image is open with the flags %s, O_DIRECT is %o' % (flags, os.O_DIRECT)
        wrote = int(re.search(r'KiB, wrote (\d+) KiB', out).group(1))
        # 16 MiB of one job, and about 70 % of 3 MiB of the other.
        return None if wrote > 17 << 10 else 'fio wrote %d KiB only' % wrote
    return script('fio-verify', 'fio, ' + title, transport,
                  ['--disk', IMAGES + '/tools.img,ro', '--disk', '{dir}/work.img' + options, *args],
                  files=lambda directory: sparse(directory + '/work.img', 48 * MIB), after=after,
                  talk=[(r'^GUEST: queues:', opened)], timeout=240, cpus=queues,
                  expect=[r'^GUEST: queues: %d$' % queues, r'^GUEST: fio error 0 read \d+ KiB'],
                  **more)


def why_no_direct(directory):
    """Returns why no file here can be opened with O_DIRECT, or None."""
    try:
        os.close(os.open(directory + '/probe', os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600))
    except OSError as error:
        return 'no O_DIRECT on the file system of %s: %s' % (directory, error.strerror)
    return None


def trim(transport, title='mkfs, fill, delete, fstrim', **more):
    sizes = {}

    def measure(directory):
        sizes[directory] = allocated(directory + '/work.img')
        return b'\n'

    def after(directory, _out):
        full, trimmed = sizes[directory], allocated(directory + '/work.img')
        # 40 MiB were written, 36 deleted.
        if full < 40 * MIB:
            return 'the image took %d KiB when it had to hold 40 MiB' % (full >> 10)
        if trimmed > full - 32 * MIB:
            return 'fstrim has freed too little: %d KiB before, %d after' % (
                full >> 10, trimmed >> 10)
        return file_system_fault(directory + '/work.img')
    disk = '{dir}/device' if 'wrap' in more else '{dir}/work.img'
    return script('trim', title, transport,
                  ['--disk', IMAGES + '/tools.img,ro', '--disk', disk],
                  files=lambda directory: sparse(directory + '/work.img', 256 * MIB),
                  talk=more.pop('talk', []) + [(r'^GUEST: the file system is full', measure)],
                  after=after, timeout=180, expect=[r'^GUEST: fstrim: .*: [1-9]'], **more)


def block_device(transport):
    """The same on a block device: a loop device of the image."""
    def detach(directory):
        # bantam has it open; it goes when bantam closes it, whatever the end.
        tool('losetup', '-d', os.path.realpath(directory + '/device'))
        return b''
    return trim(transport, 'a block device', needs=why_no_loop, talk=[(USER_SPACE, detach)],
                wrap=['sh', '-c', 'device=$(losetup -f --show "$0/work.img") && '
                      'ln -s "$device" "$0/device" && exec "$@"', '{dir}'])


def why_no_loop(_directory):
    """Returns why there can be no loop device, or None."""
    status, said = tool('losetup', '-f')
    return 'no loop device: %s' % said.strip() if status or os.geteuid() else None


def modes(transport):
    size = 8 * MIB
    last = size // 512 - 1
    data = random.Random(8).randbytes(size)
    written = bytearray(data)
    for sector, count in ((3, 1), (1000, 16), (2047, 2), (4096, 2048), (9000, 7), (last, 1)):
        written[sector * 512:(sector + count) * 512] = noise(count * 512, 'at-%d' % sector)

    def files(directory):
        copy_of('root')(directory)
        with open(directory + '/ephemeral.img', 'wb') as f:
            f.write(data)
        os.utime(directory + '/ephemeral.img', (0, 0))
        shutil.copy(directory + '/root.img', directory + '/before')

    def after(directory, _out):
        with open(directory + '/ephemeral.img', 'rb') as f:
            if hashlib.sha256(f.read()).digest() != hashlib.sha256(data).digest():
                return 'the ephemeral image was written to'
        if os.stat(directory + '/ephemeral.img').st_mtime:
            return 'the ephemeral image has a new time'
        if sha256(directory + '/root.img') != sha256(directory + '/before'):
            return 'the image that can only be read was written to'
        left = sorted(os.listdir(directory))
        if left != ['before', 'ephemeral.img', 'err', 'root.img']:
            return 'something is left beside the images: %s' % left
        return None
    return script('modes', 'ephemeral and ro', transport,
                  ['--disk', '{dir}/ephemeral.img,ephemeral', '--disk', '{dir}/root.img,ro'],
                  files=files, after=after,
                  expect=[r'^GUEST: ephemeral before: %s$' % hashlib.md5(data).hexdigest(),
                          r'^GUEST: ephemeral after: %s$' % hashlib.md5(written).hexdigest(),
                          r'^GUEST: vdb ro: 1$', r'^GUEST: the file is as it should be$'],
                  # ext4 complains of being mounted to write what can't be written.
                  known=r'EXT4-fs|write-protected|read-only')


def four(transport):
    # An odd number of sectors, more than 32 bits of bytes, and the longest serial number there is.
    disks = (('vda', 's', 3 * MIB + 3 * 512), ('vdb', 'DISK-b_2.0', 2 * MIB),
             ('vdc', 'abcdefghij0123456789', 5 << 30), ('vdd', '4', 20 * MIB))

    def files(directory):
        for name, _serial, size in disks:
            with open('%s/%s.img' % (directory, name), 'wb') as f:
                f.truncate(size)
                f.seek(size - 512)
                f.write(b'last-of-%s\n' % name.encode())

    def after(directory, _out):
        for name, _serial, size in disks:
            with open('%s/%s.img' % (directory, name), 'rb') as f:
                if f.read(3 * MIB // 2) != 3 * noise(MIB // 2, name):
                    return 'the image of %s does not begin with what the guest wrote' % name
                if f.seek(0, os.SEEK_END) != size:
                    return 'the image of %s has changed its size' % name
                f.seek(size - 512)
                if not f.read().startswith(b'last-of-%s\n' % name.encode()):
                    return 'the end of the image of %s has changed' % name
        return None
    args = [word for name, serial, _size in disks
            for word in ('--disk', '{dir}/%s.img,serial=%s' % (name, serial))]
    return script('four', 'four disks', transport, args, files=files, after=after,
                  expect=[r'^GUEST: %s serial=%s sectors=%d last=last-of-%s$'
                          % (name, re.escape(serial), size // 512, name)
                          for name, serial, size in disks] + ['all four hold what was written'])


# ---- what goes wrong ----

def errors(transport):
    def files(directory):
        with open(directory + '/cut.img', 'wb') as f:
            f.write(random.Random(9).randbytes(8 * MIB))
        os.mkdir(directory + '/full')

    def cut(directory):
        os.truncate(directory + '/cut.img', 4 * MIB)
        return b'\n'
    # A file system of our own, in a mount namespace of our own: nothing has to be put away.
    full = ['unshare', '-m' if os.geteuid() == 0 else '-Urm', 'sh', '-c',
            'mount -t tmpfs -o size=8m full "$0" && truncate -s 64M "$0/full.img" && exec "$@"',
            '{dir}/full']
    return script('errors', 'an image that is cut, and one on a full file system', transport,
                  ['--disk', '{dir}/cut.img', '--disk', '{dir}/full/full.img'],
                  files=files, wrap=full, talk=[(r'^GUEST: cut it now', cut)],
                  known=r'I/O error',
                  expect=[r'^GUEST: before:\s+/\s*$',
                          r'^GUEST: behind the end: .*Input/output error',
                          r'^GUEST: before the end:\s*$',
                          r'^GUEST: vdb took [1-8] MiB: .*(Input/output error|No space left)',
                          r'^GUEST: the guest runs on$'])


def later(seconds, function, *args):
    """A word for the guest now, and for the host after some time. Ends even if the guest doesn't."""
    threading.Timer(seconds, function, args).start()
    return b'\n'


def pauses(transport):
    """A disk that hangs, and a machine that is stopped: the guest waits, and nothing is lost."""
    def files(directory):
        os.mkdir(directory + '/slow')
        sparse(directory + '/fs', 64 * MIB)
        tool('mke2fs', '-q', '-F', '-t', 'ext4', directory + '/fs')
        sparse(directory + '/quick.img', 8 * MIB)

    def thaw(image):
        fcntl.ioctl(image, FITHAW, 0)
        image.close()

    # Paths end so; where they begin is another matter in bantam's mount namespace.
    def freeze(_directory):
        process, fd = holders('/slow.img')[0]
        image = open('/proc/%d/fd/%d' % (process, fd), 'rb')
        fcntl.ioctl(image, FIFREEZE, 0)
        return later(8, thaw, image)

    def stop(_directory):
        process = holders('/quick.img')[0][0]
        os.kill(process, signal.SIGSTOP)
        return later(60, os.kill, process, signal.SIGCONT)
    # The file system to freeze is mounted in a mount namespace of our own: nothing is to be put away.
    wrap = ['unshare', '-m', 'sh', '-c', 'mount -o loop "$0/fs" "$0/slow" && '
            'truncate -s 32M "$0/slow/slow.img" && exec "$@"', '{dir}']
    return script('pauses', 'a disk that hangs, and SIGSTOP for a minute', transport,
                  ['--disk', '{dir}/slow/slow.img', '--disk', '{dir}/quick.img'],
                  files=files, wrap=wrap, needs=why_no_loop, timeout=240,
                  talk=[(r'^GUEST: hang it now', freeze), (r'^GUEST: stop me now', stop)],
                  expect=[r'^GUEST: meanwhile vdb was read [1-9]\d* times$',
                          r'^GUEST: what was written is there$', r'^GUEST: the guest runs on$'])


def rebind(transport, title='', append='', interrupt=''):
    return script('rebind', 'unbind and bind under load' + title, transport,
                  ['--disk', '{dir}/work.img'], append=append,
                  files=lambda directory: sparse(directory + '/work.img', 16 * MIB),
                  known=r'I/O error',
                  expect=([r'^GUEST: interrupt .*%s.*virtio' % interrupt]
                          + [r'^GUEST: turn %d: vd[a-z] works' % turn for turn in (1, 2, 3)]))


def traced(transport):
    interrupt = {'pci': r'msix \d+', 'mmio': r'gsi \d+'}[transport]
    wanted = [r'out 16 \(read sector 2048\), in 4096, in 1 → ok, used 4097, irq ' + interrupt,
              r'out 16 \(write sector 32\), (out (\d+×)?\d+, )+in 1 → ok, used 1, irq ' + interrupt,
              r'out 16 \(flush[^)]*\), in 1 → ok, used 1, irq ' + interrupt,
              r'out 16 \(get[- ]id[^)]*\), in 20, in 1 → ok, used 21, irq ' + interrupt]

    def after(directory, _out):
        try:
            with open(directory + '/trace', encoding='utf-8', errors='replace') as f:
                trace = f.read()
        except FileNotFoundError:
            return 'there is no trace'
        for line in wanted:
            if not re.search(r'virtio\d+/q0 chain \d+: ' + line, trace):
                return 'the trace lacks %s; it has %.400s' % (line, trace[-400:])
        return None
    return script('pieces', 'trace of requests', transport,
                  ['--disk', '{dir}/work.img,serial=traced', '--trace', 'virtio={dir}/trace'],
                  files=lambda directory: sparse(directory + '/work.img', 8 * MIB), after=after,
                  expect=[r'^GUEST: serial traced$'])


CASES = (
    both(debian)
    + both(fio, 'one queue')
    + both(fio, '2 queues', ',queues=2', queues=2)
    + both(fio, 'direct', ',direct', needs=why_no_direct)
    + [fio('pci', 'io_uring is forbidden', wrap=[REFUSE, 'io_uring_setup=EPERM', '--'],
           args=['--verbose'], err=[r'^bantam: .*io_uring', POWERED_OFF])]
    + both(trim) + [block_device('pci')] + both(root) + both(modes) + both(four) + both(errors)
    + [pauses('pci')]
    + both(rebind)
    + [rebind('pci', ', INTx', 'pci=nomsi', 'IO-APIC')]
    + both(traced)
)
