"""boot.py - stock kernels to user space and back, how they end, signals, the console: a table."""

import hashlib
import random
import re
import signal

from case import Case, GUEST_DIED, KERNELS, OK, PANICKED, POWERED_OFF, RESET, USER_SPACE


def boots(title, kernel, cpus, memory, *args):
    """A case that boots to user space and powers off."""
    kib = {'256M': (200 << 10, 256 << 10), '4G': (3700 << 10, 4096 << 10)}[memory]
    above = []
    if memory == '4G':
        above = [r'e820: \[mem 0x0000000100000000-0x000000013fffffff\] usable']

    def check(out):
        if '\nbantam: ' in out:
            return 'bantam\'s words are among the guest\'s'
        found = re.search(USER_SPACE + r', cpus=(\d+) mem_kib=(\d+) kernel=(\S+)', out, re.M)
        if int(found.group(1)) != cpus:
            return '%s CPUs instead of %d' % (found.group(1), cpus)
        if not kib[0] < int(found.group(2)) <= kib[1]:
            return '%s KiB of memory' % found.group(2)
        with open('%s/%s/version' % (KERNELS, kernel.split('/')[0])) as f:
            version = f.read().strip()
        if found.group(3) != version or 'Linux version %s ' % version not in out:
            return 'kernel %s instead of %s' % (found.group(3), version)
        return None
    return Case('%s, %d vCPU%s, %s' % (title, cpus, 's' * (cpus > 1), memory), kernel, cpus=cpus,
                memory=memory, args=args, check=check,
                expect=above + [USER_SPACE, r'reboot: Power down'])


def ends(name, append, status, err, expect=(), **more):
    """A case in which the guest's own end matters."""
    return Case(name, 'cloud/vmlinuz', append, status=status, err=[err],
                expect=[USER_SPACE] + list(expect), **more)


def random_bytes(count):
    return random.Random(count).randbytes(count)


def summed(name, count, **more):
    """The guest gets random bytes and says their sum."""
    data = random_bytes(count)
    return Case(name, 'cloud/vmlinuz', 'do=sum bytes=%d' % count, stdin=data,
                feed_when=r'GUEST: send \d+ bytes',
                expect=[r'^GUEST: md5 %s\r?$' % hashlib.md5(data).hexdigest()], **more)


def flooded(lines):
    """A user space that writes faster than it is read has lost nothing."""
    def check(out):
        numbers = [int(n) for n in re.findall(
            r'^FLOOD (\d{8}) abcdefghijklmnopqrstuvwxyz0123456789abcdefghijkl$', out, re.M)]
        if numbers == list(range(lines)):
            return None
        lost = sorted(set(range(lines)) - set(numbers))
        return '%d of %d lines are missing or torn, the first %s' % (len(lost), lines, lost[:1])
    return check


FLOOD_LINES = 4096
TICKS = 5
# A flood, and beside it a process that wakes up once a second and takes notes.
FLOOD_SCRIPT = (
    '(for i in %s; do sleep 1; echo "TICK $i"; done >/tmp/ticks) &\n'
    'stty -opost -echo; awk \'BEGIN { for (i = 0; i < %d; i++) printf "FLOOD %%08d '
    'abcdefghijklmnopqrstuvwxyz0123456789abcdefghijkl\\n", i }\'; stty opost; cat /tmp/ticks; '
    'echo "flood" ends; exit\n' % (' '.join(map(str, range(TICKS))), FLOOD_LINES)).encode()


def flooded_and_ticked(out):
    ticks = re.findall(r'^TICK \d+$', out, re.M)
    if len(ticks) != TICKS:
        return 'the guest\'s timer woke it %d times instead of %d' % (len(ticks), TICKS)
    return flooded(FLOOD_LINES)(out)


CASES = [
    # -- the longest first: what comes last should not be waited for alone
    Case('flood into a slow reader', 'cloud/vmlinuz', 'do=shell', stdin=FLOOD_SCRIPT,
         feed_when=USER_SPACE, pause=(r'FLOOD 000000', 10), check=flooded_and_ticked,
         expect=[r'^flood ends'], timeout=180),

    # -- to user space and back: each kernel, small and large
    boots('cloud bzImage', 'cloud/vmlinuz', 1, '256M'),
    boots('cloud bzImage', 'cloud/vmlinuz', 2, '4G'),
    boots('cloud bzImage, unpacked by the guest', 'cloud/vmlinuz', 2, '256M', '--unpack', 'off'),
    boots('cloud vmlinux by PVH', 'cloud/vmlinux', 1, '256M'),
    boots('cloud vmlinux by PVH', 'cloud/vmlinux', 2, '4G'),
    boots('cloud vmlinux by PVH', 'cloud/vmlinux', 1, '4G', '--boot-protocol', 'pvh'),
    boots('cloud vmlinux by Linux', 'cloud/vmlinux', 1, '256M', '--boot-protocol', 'linux'),
    boots('cloud vmlinux by Linux', 'cloud/vmlinux', 2, '4G', '--boot-protocol', 'linux'),
    boots('generic bzImage, unpacked by the guest', 'generic/vmlinuz', 1, '256M', '--unpack', 'off'),
    boots('generic bzImage', 'generic/vmlinuz', 2, '4G'),
    boots('generic vmlinux by PVH', 'generic/vmlinux', 2, '256M'),
    boots('generic vmlinux by PVH', 'generic/vmlinux', 1, '4G'),

    # -- how it ends
    ends('reboot', 'do=reboot', OK, RESET, [r'reboot: Restarting system']),
    ends('reboot, 2 vCPUs', 'do=reboot', OK, RESET, cpus=2),
    ends('reboot by triple fault', 'do=reboot reboot=t', OK, RESET),
    ends('reboot by the keyboard controller', 'do=reboot reboot=k', OK, RESET),
    ends('reboot by port 0xcf9', 'do=reboot reboot=p', OK, RESET),
    ends('panic', 'do=panic', GUEST_DIED, PANICKED + 'sysrq triggered crash', clean=False),
    ends('panic, 2 vCPUs', 'do=panic', GUEST_DIED, PANICKED, cpus=2, clean=False),
    ends('panic, restart at once', 'do=panic panic=-1', GUEST_DIED, PANICKED, clean=False),
    ends('panic, restart after a second', 'do=panic panic=1', GUEST_DIED, PANICKED, clean=False),
    ends('panic, quiet', 'quiet do=panic panic=-1', GUEST_DIED, PANICKED, clean=False),
    ends('init ends', 'do=exit', GUEST_DIED, PANICKED + 'Attempted to kill init'),
    ends('what looks like a panic', 'do=fakepanic', OK, POWERED_OFF),
    # It writes to its port before it would say its last line.
    ends('panic, told by the pvpanic driver', 'quiet load=pvpanic_mmio do=panic panic=50',
         GUEST_DIED, PANICKED + 'sysrq triggered crash', absent='Rebooting in', clean=False),
    Case('time-out', 'cloud/vmlinuz', 'do=idle', args=['--timeout', '12s'], status=124,
         err=[r'^bantam: the time was up']),
    Case('the power button', 'cloud/vmlinuz', 'quiet load=button,evdev do=button',
         args=['--stop-timeout', '50s'], when='waiting for the power button',
         expect=[r'the power button was pressed'],
         err=[r'^bantam: asked the guest to power off', POWERED_OFF]),
    Case('the power button, and nobody listens', 'cloud/vmlinuz', 'do=idle',
         args=['--stop-timeout', '2s'], when=USER_SPACE, status=128 + signal.SIGTERM,
         err=[r'^bantam: asked the guest to power off', r'did not power off in time']),
    Case('restart after a reset', 'cloud/vmlinuz', 'quiet do=reboot',
         args=['--on-reset', 'restart', '--timeout', '25s'], status=124,
         expect=[USER_SPACE, USER_SPACE], err=[r'^bantam: the time was up']),
    Case('quiet', 'cloud/vmlinuz', 'quiet', expect=[USER_SPACE], absent=r'Linux version'),
    # Without tables it looks for old hardware, and finds that there is none.
    Case('acpi=off', 'cloud/vmlinuz', 'acpi=off do=reboot', expect=[USER_SPACE], err=[RESET],
         clean=False),

    # -- signals
    Case('SIGTERM while booting', 'cloud/vmlinuz', when='Linux version', err=[],
         status=128 + signal.SIGTERM),
    Case('SIGTERM, 2 vCPUs, in user space', 'cloud/vmlinuz', 'do=idle', cpus=2, when=USER_SPACE,
         err=[], status=128 + signal.SIGTERM),
    Case('SIGTERM when /init starts', 'cloud/vmlinuz', when='Run /init', err=[],
         status=128 + signal.SIGTERM),
    Case('SIGINT twice', 'cloud/vmlinuz', when='Linux version',
         send=(signal.SIGINT, signal.SIGINT), err=[], status=128 + signal.SIGINT),

    # -- the console, in
    Case('echo, input from the start', 'cloud/vmlinuz', 'do=echo', stdin=b'hi\nquit\n',
         expect=[r'^GOT: hi$']),
    Case('echo, 3000 bytes from the start', 'cloud/vmlinuz', 'do=echo',
         stdin=b''.join(b'line %03d %s\n' % (i, b'x' * 51) for i in range(50)) + b'quit\n',
         expect=[r'^GOT: line %03d x{51}$' % i for i in range(50)]),
    summed('64 KiB in raw mode', 65536),

    # -- the console, out
    Case('the console\'s reader has left', 'cloud/vmlinuz', stdout='gone',
         err=[r"^bantam: the console's output can't be written", POWERED_OFF]),
    Case('console in a file', 'cloud/vmlinuz', args=['--console', '{dir}/console'],
         expect=[r'\A', USER_SPACE]),
    Case('console on stderr', 'cloud/vmlinuz', args=['--console', 'stderr'], expect=[r'\A\Z'],
         err=[USER_SPACE, POWERED_OFF]),
    Case('console off', 'cloud/vmlinuz', args=['--console', 'off'], expect=[r'\A\Z'],
         err=[r'\A' + POWERED_OFF]),
    Case('dry run', 'cloud/vmlinuz', args=['--dry-run'], absent='Linux version', err=[r'\A\Z']),
]
