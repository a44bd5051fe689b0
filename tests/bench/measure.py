"""measure.py - the measuring tools of the benchmarks: run a program, read its memory, count exits.

run() starts a program with posix_spawn and waits until it has ended, without reaping it: of such a
zombie the kernel still tells the time that it spent in guests (/proc/PID/stat, field 43), which
wait4() doesn't. Wall time is from just before posix_spawn to the end of the process as a pidfd
reports it; user and system time are wait4's. at_rest() starts a program, waits for a word in its
output, and looks at it while it runs. own_memory() adds up what a monitor's process has in memory,
guest RAM left out. ExitTrace counts, in the kernel, what made KVM_RUN return.

Limits: Linux 5.3 or newer. Processor times include what posix_spawn and exec do on the process's
behalf, tenths of a millisecond. Where the kernel accounts time by its timer's ticks (most do), user
+ system is exact, the scheduler's sum, but guest time is a sample: a tick (1 to 10 ms) for each
that found the processor in the guest, cut to 10 ms by /proc. Over a boot of seconds that is a few
percent off, over milliseconds it says nothing. smaps doesn't show what the kernel holds for a
process: page tables, KVM's own.
"""

import os
import re
import select
import signal
import statistics
import time

KIB = 1024
MIB = 1024 * 1024
CLOCK_TICKS = os.sysconf('SC_CLK_TCK')


class NotTaken(Exception):
    """This machine can't give this measurement; the text says why. No failure."""


class Failed(Exception):
    """A program did not do what the measurement asks of it."""


# ---- running programs ----

class Run:
    """How a program ran: wall_ms, user_ms, system_ms, guest_ms, status (128+n for a signal),
    output (text), cpu_ms = user + system, own_ms = what of that was not spent in the guest."""

    def __init__(self, wall_ms, usage, guest_ms, status, output):
        self.wall_ms = wall_ms
        self.user_ms = usage.ru_utime * 1000
        self.system_ms = usage.ru_stime * 1000
        self.cpu_ms = self.user_ms + self.system_ms
        self.guest_ms = guest_ms
        self.own_ms = max(self.cpu_ms - guest_ms, 0)
        self.status = status
        self.output = output

    def sample(self):
        """The times, as a sample of a series."""
        return {name: round(getattr(self, name), 3) for name in
                ('wall_ms', 'user_ms', 'system_ms', 'cpu_ms', 'guest_ms', 'own_ms')}


class Process:
    """A program on its way, its output and errors going to files in `work`. As a context manager
    it is killed, if need be, and reaped at the end."""

    def __init__(self, argv, work):
        self.argv = argv
        self.out = os.path.join(work, 'stdout')
        self.err = os.path.join(work, 'stderr')
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [(os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_OPEN, 1, self.out, flags, 0o600),
                   (os.POSIX_SPAWN_OPEN, 2, self.err, flags, 0o600)]
        self.start = time.monotonic_ns()
        self.pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
        self.pidfd = os.pidfd_open(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.wait4(self.pid, 0)
            self.pid = 0
        os.close(self.pidfd)

    def ended(self, timeout_s):
        """Waits for the end; False when it didn't come in time."""
        return bool(select.select([self.pidfd], [], [], timeout_s)[0])

    def reap(self):
        """Of a process that has ended: a Run."""
        wall_ms = (time.monotonic_ns() - self.start) / 1e6
        guest_ms = guest_time_ms(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        self.pid = 0
        status = os.waitstatus_to_exitcode(status)
        return Run(wall_ms, usage, guest_ms, status if status >= 0 else 128 - status,
                   self.output())

    def output(self):
        with open(self.out, errors='replace') as file:
            return file.read()

    def complaint(self):
        """The last line of its standard error, or its output's: for messages."""
        for name in self.err, self.out:
            with open(name, errors='replace') as file:
                line = last_line(file.read())
            if line:
                return line
        return 'it said nothing'


def last_line(text):
    """The last line of some output that isn't empty, or ''; for messages."""
    lines = [line.strip() for line in text.split('\n') if line.strip()]
    return lines[-1][:200] if lines else ''


def guest_time_ms(pid):
    """Time that a process, all its threads together, has spent in guests; also of a zombie."""
    with open('/proc/%d/stat' % pid) as file:
        fields = file.read().rpartition(')')[2].split()    # from field 3 on
    return int(fields[43 - 3]) * 1000 / CLOCK_TICKS


def run(argv, work, timeout_s=60, status=0, expect=None, while_running=None):
    """Runs argv to its end and returns a Run; raises Failed when it takes longer than timeout_s,
    ends with another status, or its output doesn't contain `expect`. while_running(pid), if given,
    is called every 50 ms."""
    with Process(argv, work) as process:
        end = time.monotonic() + timeout_s
        step = 0.05 if while_running else timeout_s
        while not process.ended(step):
            if time.monotonic() >= end:
                raise Failed('%s: no end after %d s: %s' % (argv[0], timeout_s,
                                                            process.complaint()))
            if while_running:
                while_running(process.pid)
        result = process.reap()
        if result.status != status:
            raise Failed('%s: status %d instead of %d: %s' % (argv[0], result.status, status,
                                                              process.complaint()))
    if expect and expect not in result.output:
        raise Failed('%s: no "%s" in what its guest printed' % (argv[0], expect))
    return result


def at_rest(argv, work, word, look, timeout_s=60, settle_s=0.5):
    """Starts argv, waits until its output contains `word` and then settle_s longer, and returns
    look(pid); the program is killed afterwards."""
    with Process(argv, work) as process:
        end = time.monotonic() + timeout_s
        while word not in process.output():
            if process.ended(0.05):
                raise Failed('%s ended early: %s' % (argv[0], process.complaint()))
            if time.monotonic() >= end:
                raise Failed('%s: no "%s" after %d s' % (argv[0], word, timeout_s))
        if process.ended(settle_s):
            raise Failed('%s did not stay: %s' % (argv[0], process.complaint()))
        return look(process.pid)


# ---- memory ----

MAPPING = re.compile(r'([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)\s*(.*)')
ANY_MEMORY = re.compile(r'$|\[anon:|/memfd:|/dev/zero')


def mappings(pid):
    """The mappings of a process: dicts with start, end, name, rw, and smaps' fields in KiB."""
    found = []
    with open('/proc/%d/smaps' % pid) as file:
        for line in file:
            match = MAPPING.match(line)
            if match:
                start, end, mode, _, name = match.groups()
                found.append({'start': int(start, 16), 'end': int(end, 16), 'name': name,
                              'rw': mode.startswith('rw')})
            elif line.endswith(' kB\n'):
                key, value = line.split(':')
                found[-1][key] = int(value.split()[0])
    return found


def guest_ram(maps, ram_bytes):
    """The mappings that are guest RAM: anonymous or memfd memory, one mapping or several in a row,
    of just that size."""
    for first, mapping in enumerate(maps):
        size, end, row = 0, mapping['start'], []
        for part in maps[first:]:
            if part['start'] != end or not part['rw'] or not ANY_MEMORY.match(part['name']):
                break
            size, end = size + part['end'] - part['start'], part['end']
            row.append(part)
            if size == ram_bytes:
                return row
            if size > ram_bytes:
                break
    raise Failed('no mapping of %d MiB to take for guest RAM' % (ram_bytes // MIB))


def own_memory(pid, ram_bytes):
    """What the process has in memory beside guest RAM, as a sample: rss_kib, private_dirty_kib;
    and of guest RAM itself guest_rss_kib."""
    maps = mappings(pid)
    ram = guest_ram(maps, ram_bytes)
    rest = [mapping for mapping in maps if mapping not in ram]
    return {'rss_kib': sum(m.get('Rss', 0) for m in rest),
            'private_dirty_kib': sum(m.get('Private_Dirty', 0) for m in rest),
            'guest_rss_kib': sum(m.get('Rss', 0) for m in ram)}


def flush(path):
    """Writes a file's pages to the disk: as long as they wait for that, a mapping of a new binary
    counts as dirty memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# ---- exits, as the kernel counts them ----

class ExitTrace:
    """Counts a monitor's exits with the kernel's trace points: of kvm:kvm_exit, the guest's exits
    to KVM, and of kvm:kvm_userspace_exit, KVM's returns to the monitor, each by reason. A histogram
    in the kernel counts them by thread; only threads of the monitor that was watched are added up.
    Needs root, tracefs and a kernel with histogram triggers; slows exits down, so that a counted
    run must not be a timed one."""

    EVENTS = ('kvm_exit', 'exit_reason'), ('kvm_userspace_exit', 'reason')
    TRACEFS = '/sys/kernel/tracing'

    def __init__(self):
        if os.geteuid() != 0:
            raise NotTaken('counting exits in the kernel needs root')
        if not os.path.isdir(self.TRACEFS + '/events') and os.environ.get('BANTAM_KVMHOST'):
            os.system('mount -t tracefs tracefs ' + self.TRACEFS)
        if not os.path.exists(self.TRACEFS + '/events/kvm/kvm_exit/hist'):
            raise NotTaken('no histogram of kvm:kvm_exit in ' + self.TRACEFS)
        self.instance = '%s/instances/bantam-bench-%d' % (self.TRACEFS, os.getpid())
        self.threads = set()

    def __enter__(self):
        os.mkdir(self.instance)
        for event, key in self.EVENTS:
            self.write(event, 'hist:keys=common_pid,%s' % key)
        return self

    def __exit__(self, *unused):
        for event, key in self.EVENTS:
            self.write(event, '!hist:keys=common_pid,%s' % key)
        os.rmdir(self.instance)

    def write(self, event, text):
        with open('%s/events/kvm/%s/trigger' % (self.instance, event), 'w') as file:
            file.write(text)

    def watch(self, pid):
        """To be called while the monitor runs, again and again: notes its threads."""
        try:
            self.threads.update(int(thread) for thread in os.listdir('/proc/%d/task' % pid))
        except OSError:
            pass

    def read(self, event):
        with open('%s/events/kvm/%s/hist' % (self.instance, event)) as file:
            histogram = file.read()
        with open('%s/events/kvm/%s/format' % (self.instance, event)) as file:
            names = self.names(file.read())
        counts = {}
        for thread, reason, hits in re.findall(
                r'common_pid:\s*(\d+), \w*reason:\s*(\d+) } hitcount:\s*(\d+)', histogram):
            if int(thread) in self.threads:
                name = names.get(int(reason), reason)
                counts[name] = counts.get(name, 0) + int(hits)
        return counts

    @staticmethod
    def names(text):
        """Number to name, out of an event's print format. kvm_exit has Intel's reasons first, then
        AMD's; the low 16 bits are the reason."""
        tables = text.split('__print_symbolic(')[1:] or ['']
        amd = os.path.isdir('/sys/module/kvm_amd')
        table = tables[1 if amd and len(tables) > 1 and 'isa' in text else 0]
        return {int(number, 0): name.replace('" "', '').replace('KVM_EXIT_', '').lower()
                for number, name in re.findall(r'{ (\w+), "([^}]*)" }', table)}

    def sample(self):
        return {'kernel_exits': self.read('kvm_exit'),
                'user_exits': self.read('kvm_userspace_exit')}


# ---- what the numbers say ----

def median(values):
    return statistics.median(values)


def quartiles(values):
    """The middle half of some values, as [low, high]; of fewer than four, the extremes."""
    if len(values) < 4:
        return [min(values), max(values)]
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return [low, high]


def ratio(ours, theirs):
    """Of two interleaved lists of samples: the ratio of the medians, and the middle half of the
    ratios of neighbours. None when the other's median is 0."""
    if not ours or not theirs or not median(theirs):
        return None
    pairs = [a / b for a, b in zip(ours, theirs) if b]
    return {'ratio': median(ours) / median(theirs), 'spread': quartiles(pairs)}


# ---- the host ----

def first_match(path, pattern):
    try:
        with open(path) as file:
            match = re.search(pattern, file.read(), re.M)
    except OSError:
        return None
    return match.group(1).strip() if match else None


def host():
    """What the numbers were taken on."""
    modules = [m for m in ('kvm_amd', 'kvm_intel', 'kvm_pvm') if os.path.isdir('/sys/module/' + m)]
    return {'cpu': first_match('/proc/cpuinfo', r'^model name\s*:(.*)'),
            'cpus': os.cpu_count(),
            'memory_kib': int(first_match('/proc/meminfo', r'^MemTotal:\s*(\d+)') or 0),
            'kernel': os.uname().release,
            'kvm': modules or ('built in' if os.path.exists('/dev/kvm') else None),
            'load': os.getloadavg()[0]}
