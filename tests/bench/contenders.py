"""contenders.py - the monitors under test, and how each is told the same.

Setup holds what all rows share: where things are, how long a run may take. bantam() and qemu()
make the command lines: same kernel, same initramfs, same kernel command line, same memory, one
processor, console on standard output, no devices but the serial port.

QEMU is `-M microvm` without the PC's timer and interrupt controller chips, the barest it has. It
powers off as bantam does: the kernel writes the sleep register that the ACPI tables name (with
microvm through its generic event device), and the process ends. After a triple fault it ends
because of -no-reboot. On a paravirtual KVM it ends at once over an MSR that it can't set, unless told
to leave out the feature that goes with it.

bantam's cache of unpacked kernels is the bench's own.
"""

import os
import shlex
import shutil
import subprocess
import tempfile

from measure import NotTaken

MEMORY_MIB = 256
QEMU = 'qemu-system-x86_64'
QEMU_CPU = 'host,-arch-capabilities' if os.path.isdir('/sys/module/kvm_pvm') else 'host'
QEMU_QUIET = ['-accel', 'kvm', '-cpu', QEMU_CPU, '-smp', '1', '-m', str(MEMORY_MIB), '-nodefaults',
              '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio']
MICROVM = 'microvm,rtc=on,pit=off,pic=off'
QEMU_OPTIONS = ['-M', MICROVM] + QEMU_QUIET


class Setup:
    """bantam       the program
    build        the build directory: guests, kernels, bench/*.img
    work         a directory for what a run leaves
    timeout_s    what one run may take
    """

    def __init__(self, bantam, build, timeout_s):
        self.bantam, self.build, self.timeout_s = bantam, build, timeout_s
        self.work = tempfile.mkdtemp(prefix='bantam-bench-')
        self.result = os.path.join(self.work, 'result.json')
        self.initrd = os.path.join(build, 'bench', 'initrd.img')
        self.disk_initrd = os.path.join(build, 'bench', 'disk.img')
        self.net_initrd = os.path.join(build, 'bench', 'net.img')
        self.stream_initrd = os.path.join(build, 'bench', 'stream.img')
        self.share_initrd = os.path.join(build, 'bench', 'share.img')
        self.modules = os.path.join(build, 'bench', 'modules')
        self.share_modules = os.path.join(build, 'bench', 'share-modules')
        os.environ['XDG_CACHE_HOME'] = os.path.join(self.work, 'cache')
        self._help = None

    def empty_cache(self):
        shutil.rmtree(os.environ['XDG_CACHE_HOME'], ignore_errors=True)

    def clean_up(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def guest(self, name):
        return os.path.join(self.build, 'guests', name + '.elf')

    def kernel(self, kind, which='cloud'):
        return os.path.join(self.build, 'kernels', which, kind)

    def has_option(self, option):
        if self._help is None:
            self._help = subprocess.run([self.bantam, 'run', '--help'], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True).stdout.split()
        return option in self._help

    def needs_result(self):
        """For Series.needs: this bantam writes --result."""
        if not self.has_option('--result'):
            raise NotTaken('this bantam has no --result')

    def needs_native(self):
        """For Series.needs: a KVM to run tiny guests, and the guests. A KVM that can't run them is
        a failure of the rows, lest a broken bantam be taken for one."""
        if not os.path.exists(self.guest('hello')):
            raise NotTaken('there is no %s: `make guests` builds it' % self.guest('hello'))
        try:
            os.close(os.open('/dev/kvm', os.O_RDWR))
        except OSError as error:
            raise NotTaken('/dev/kvm: %s' % error.strerror) from None

    def run_bantam(self, kernel, cmdline=None, initrd=None, result=False):
        """bantam's command line; result: with --result, to self.result."""
        argv = [self.bantam, 'run', '--memory', '%dM' % MEMORY_MIB]
        argv += ['--initrd', initrd] if initrd else []
        argv += ['--cmdline', cmdline] if cmdline is not None else []
        argv += ['--result', self.result] if result else []
        return argv + [kernel]

    def run_qemu(self, kernel, cmdline=None, initrd=None):
        """QEMU's; NotTaken when there is none."""
        argv = [QEMU] + QEMU_OPTIONS + ['-kernel', kernel]
        argv += ['-initrd', initrd] if initrd else []
        argv += ['-append', cmdline] if cmdline is not None else []
        return argv

    @staticmethod
    def needs_qemu():
        if not shutil.which(QEMU):
            raise NotTaken('%s is not installed' % QEMU)


def words(argv):
    """A command line for people, and for a shell."""
    return shlex.join(argv)
