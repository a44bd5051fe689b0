"""command.py - commands in guests (`bantam run KERNEL -- COMMAND`): how each ends, and what goes
through.

A case here is a function that gets a Bench, runs bantam as often as it needs, and raises Wrong when
something is not as it should be. The guests' root directory is the initramfs of the other system
tests; its own init is not run.
"""

import glob
import hashlib
import json
import os
import pwd
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from case import GUEST_DIED, KERNELS, ROOT
from command_run import CLOUD, PATIENCE, THE_HOSTS, Terminal, case, read_until, shell
from harness import USAGE, find_in_order, want

GENERIC = 'generic/vmlinuz'
CANNOT_EXECUTE, NOT_FOUND, TIMEOUT = 126, 127, 124
TAIL_LINES = 50
MIB = 1 << 20
KERNEL_MAP = 0xffffffff80000000


# ---- how it ends ----

# Bytes that a terminal or a text mode anywhere would change.
SAYS = r"printf 'out\0\r\n\377'; printf 'err\n' >&2; "
OUT, ERR = b'out\0\r\n\xff', b'err\n'
NOTHING = dict(out=b'', err=b'')
# What a guest says in the moment of its death may be lost with it: it waits until all was read.
ASKS = 'read x; '
DIED = r'\Abantam: the guest'


def tail_is_whole(end):
    """Behind bantam's words there are the last lines of the console, and nothing else."""
    lines = end.text.split('\n')
    said = next(i for i, line in enumerate(lines) if line.startswith('bantam: '))
    tail = lines[said + 1:-1]
    want(len(tail) == TAIL_LINES, '%d lines of the console: %s' % (len(tail), tail))
    numbers = [int(n) for line in tail for n in re.findall(r'line (\d+)\.$', line)]
    want(numbers == list(range(numbers[0], 61)), 'the lines of the console are %s' % tail)


MANY_LINES = ('echo on >/proc/sys/kernel/printk_devkmsg; '
              'for i in $(seq 60); do echo "<3>line $i." >/dev/kmsg; done; ')

# name, COMMAND, status, reason, by_command, what else is true of it
ROWS = [
    ('exit 0, stdin never read', shell(SAYS), 0, 'exit', True, dict(stdin='/dev/zero')),
    ('exit 1', ['false'], 1, 'exit', True, NOTHING),
    ('exit 7', shell(SAYS + 'exit 7'), 7, 'exit', True, {}),
    ('exit 255', shell(SAYS + 'exit 255'), 255, 'exit', True, {}),
    ('a file that is not executable', ['/etc/passwd'], CANNOT_EXECUTE, 'cannot-execute', False,
     dict(out=b'', err=[r'\Abantam: .*/etc/passwd: permission denied\n\Z'])),
    ('a directory', ['/etc'], CANNOT_EXECUTE, 'cannot-execute', False,
     dict(out=b'', err=[r'\Abantam: .*/etc: .*\n\Z'])),
    ("another processor's program", ['other-processor'], CANNOT_EXECUTE, 'cannot-execute', False,
     dict(out=b'', err=[r'\Abantam: .*other-processor: .*\n\Z'])),
    ('not found', ['no-such-program'], NOT_FOUND, 'not-found', False,
     dict(out=b'', err=[r'\Abantam: .*no-such-program: no such command\n\Z'])),
    ('SIGKILL', shell(SAYS + 'kill -9 $$'), 128 + 9, 'signal', True, {}),
    ('SIGSEGV', shell(SAYS + 'kill -11 $$'), 128 + 11, 'signal', True, {}),
    ('SIGTERM', shell(SAYS + 'kill -15 $$'), 128 + 15, 'signal', True, {}),
    ('no memory is left', shell(SAYS + 'exec tail /dev/zero'), 128 + 9, 'signal', True, {}),
    ('panic', shell(SAYS + ASKS + 'echo c >/proc/sysrq-trigger'), GUEST_DIED, 'panic', False,
     dict(err=[DIED + "'s kernel panicked: .*sysrq triggered crash", r'RIP: '])),
    ('poweroff', shell(SAYS + ASKS + MANY_LINES + 'poweroff -f'), GUEST_DIED, 'no-status',
     False, dict(err=[DIED + ' ended before', r'Power down\n\Z'], also=tail_is_whole)),
    ('reboot', shell(SAYS + ASKS + 'reboot -f'), GUEST_DIED, 'no-status', False,
     dict(err=[DIED + ' ended before'])),
]


def ends(bench, kernel, row):
    _name, command, status, reason, by_command, more = row
    out = more.get('out', OUT)
    if any(ASKS in word for word in command):
        process = bench.start(command, kernel=kernel, stdin=subprocess.PIPE)
        read_until(process.stderr, rb'\Aerr\n\Z')
        want(read_until(process.stdout, rb'\377') == out, 'stdout is not as COMMAND wrote it')
        end, out = bench.finish(process, b'\n'), b''
    else:
        with open(more.get('stdin', '/dev/null'), 'rb') as stdin:
            end = bench.run(command, kernel=kernel, stdin=stdin)
    end.must(status, reason, by_command, out, more.get('err', ERR))
    if 'also' in more:
        more['also'](end)


def rows(kernel):
    return [case('%s, %s' % (row[0], kernel.split('/')[0]), ends, kernel, row) for row in ROWS]


def time_is_up(bench):
    bench.run(['sleep', '1000'], ['--timeout', '2s']).must(
        TIMEOUT, 'timeout', err=[r'\Abantam: the time was up'])


def never_boots(bench):
    """The last lines of a kernel that never comes to COMMAND."""
    end = bench.run(['true'], ['-a', 'rdinit=/bin/sh -- -c "seq 60; read x"', '--timeout', '30s'])
    end.must(TIMEOUT, 'timeout', err=[r'\Abantam: the time was up\n'])
    want([int(line) for line in end.text.split()[5:]] == list(range(61 - TAIL_LINES, 61)),
         'the lines of the console are %r' % end.text)


def wrong_use(bench):
    for options, command, words in (
            (['--no-such-option'], ['true'], '--no-such-option'),
            ([], [], 'no COMMAND'),
            (['--console', 'stdio'], ['true'], '--console stdio'),
            (['--on-reset', 'restart'], ['true'], 'runs once'),
            (['--env', '=x'], ['true'], '--env'),
            (['-d'], ['true'], "put '&' behind it")):
        end = bench.run(command, options)
        want(end.status == USAGE and words in end.text and not end.out and not end.result,
             '%s: status %d, %s' % (options, end.status, end.text))


def no_such_user(bench):
    bench.run(['true'], ['-u', 'nobody-here']).must(
        USAGE, 'vmm-error', err=[r'\Abantam: in the guest: user nobody-here: '])


def modules_missing(bench):
    empty = bench.directory + '/empty'
    os.mkdir(empty)
    with open(KERNELS + '/cloud/version') as f:
        release = f.read().strip()
    bench.run(['true'], ['--modules', empty]).must(
        USAGE, 'vmm-error', err=[r'\Abantam: .*no kernel modules in .*lib/modules/%s' % release])
    os.mkdir(empty + '/kernel')
    bench.run(['true'], ['--modules', empty]).must(
        USAGE, 'vmm-error', err=[r"\Abantam: .*'virtio_pci', which the guest needs, is neither"])


def why_no_unknown_kernel(_directory):
    with open(KERNELS + '/cloud/version') as f:
        path = '/lib/modules/' + f.read().strip()
    return 'this host has %s' % path if os.path.exists(path) else None


def no_modules_for_it(bench):
    bench.run(['true'], [THE_HOSTS]).must(
        GUEST_DIED, 'no-status', err=[DIED, 'this is missing', r'^bantam: no kernel modules in '])


def eight_at_once(bench):
    script = 'cat; echo "$HOSTNAME" >&2; exit $1'
    running = [bench.start(shell(script, str(n)), ['--name', 'guest-%d' % n, '-m', '128M'],
                           stdin=subprocess.PIPE) for n in range(1, 9)]
    ended = [None] * len(running)

    def finish(n):
        ended[n] = bench.finish(running[n], b'to %d\n' % n * 1000, 2 * PATIENCE)
    threads = [threading.Thread(target=finish, args=(n,)) for n in range(len(running))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, end in enumerate(ended):
        want(end, 'guest %d has not ended' % n)
        end.must(n + 1, 'exit', True, b'to %d\n' % n * 1000, b'guest-%d\n' % (n + 1))


# ---- what goes through ----

def words(bench):
    """Arguments, environment, directory, user and names arrive as they were given."""
    every = bytes(range(1, 256))
    given = [every, b'', b' a  b ', b'line\nline\n', b'', b'$HOME `id` "\'\\']
    env = [b'ALL=' + every, b'EMPTY=', b'NL=a\nb', b'INHERITED=here', b'PATH=/bin']
    script = ('printf "%s\\0" "$@"; cat /dev/stdin; cat /proc/$$/environ; '
              'echo "$(pwd) $(id -un):$(id -gn) $(id -G) $(hostname)"; echo x >/dev/stderr')
    options = ['-w', '/new/dir', '-u', 'guest:crew', '--hostname', 'a-host', '-e', 'INHERITED']
    for word in env[:3] + env[4:]:
        options += ['-e', word]
    end = bench.run(shell(script, *given), options, data=b'in\0put',
                    env=dict(os.environ, INHERITED='here', NOT_INHERITED='x'))
    end.must(0, 'exit', True, None, b'x\n')
    arguments, rest = b''.join(word + b'\0' for word in given) + b'in\0put', end.out
    want(rest.startswith(arguments), 'the arguments came as %r' % rest)
    *environ, last = rest[len(arguments):].split(b'\0')
    want(set(environ) == set(env) | {b'HOME=/home/guest', b'HOSTNAME=a-host'},
         'the environment came as %r' % environ)
    want(last == b'/new/dir guest:crew 2000 a-host\n', 'directory, user, name: %r' % last)


def stream(bench, count):
    data = random.Random(count).randbytes(count)
    lines = b''.join(b'stderr %d\n' % i for i in range(1, 2001))
    end = bench.run(shell("awk 'BEGIN { for (i = 1; i <= 2000; i++) print \"stderr\", i }' >&2 & "
                          'cat; wait'), data=data)
    end.must(0, 'exit', True, None, lines)
    want(len(end.out) == count and hashlib.sha256(end.out).digest()
         == hashlib.sha256(data).digest(), '%d of %d bytes came back' % (len(end.out), count))


def slow_reader(bench):
    """COMMAND is held while nobody reads, and nothing is lost."""
    pieces = 64
    process = bench.start(shell(
        'i=0; while [ $i -lt %d ]; do i=$((i + 1)); head -c 131072 /dev/zero | tr "\\0" x; '
        'echo $i >&2; done' % pieces))
    said = read_until(process.stderr, rb'^1$')
    while select.select([process.stderr], [], [], 5)[0]:
        said += os.read(process.stderr.fileno(), 4096)
    want(b'%d\n' % pieces not in said, 'COMMAND wrote 8 MiB that nobody read')
    want(process.poll() is None, 'it has ended')
    end = bench.finish(process)
    end.err = said + end.err
    end.must(0, 'exit', True, b'x' * (pieces << 17),
             b''.join(b'%d\n' % i for i in range(1, pieces + 1)))


def dialogue(bench):
    """Each line is answered before the next one is said; then stdin ends."""
    process = bench.start(shell('while read x; do echo "got $x"; done; echo end'),
                          stdin=subprocess.PIPE)
    for line in (b'one', b'two', b'three'):
        process.stdin.write(line + b'\n')
        process.stdin.flush()
        want(read_until(process.stdout, b'\n') == b'got %s\n' % line, 'no answer to %r' % line)
    bench.finish(process).must(0, 'exit', True, b'end\n')


def ends_of_pipes(bench):
    # stdin's writer never ends.
    yes = bench.start_other(['yes'])
    bench.run(['head', '-n', '2'], stdin=yes.stdout).must(0, 'exit', True, b'y\ny\n')
    # stdout's reader has seen enough.
    process = bench.start(['yes'])
    want(process.stdout.read(2) == b'y\n', 'no y')
    process.stdout.close()
    process.stdout = None
    bench.finish(process).must(128 + signal.SIGPIPE, 'signal', True, None)


def closes_stdout(bench):
    """stdout ends when COMMAND closes it, while COMMAND runs on."""
    process = bench.start(shell('echo first; exec >&-; read x; echo "$x" >&2; exit 3'),
                          stdin=subprocess.PIPE)
    want(process.stdout.read() == b'first\n', 'stdout is not as COMMAND wrote it')
    want(process.poll() is None, 'it has ended')
    process.stdout = None
    bench.finish(process, b'go on\n').must(3, 'exit', True, None, b'go on\n')


# ---- signals ----

def signal_once(bench):
    process = bench.start(shell(
        'trap "echo term" TERM; echo ready; while :; do sleep 1000 & wait; done'))
    want(read_until(process.stdout, b'ready\n') == b'ready\n', 'something else than ready')
    process.send_signal(signal.SIGTERM)
    want(read_until(process.stdout, b'term\n') == b'term\n', 'something else than term')
    process.send_signal(signal.SIGTERM)
    bench.finish(process).must(128 + 15, 'signal', False, b'', [r'\Abantam: .*signal 15\n\Z'])


def signal_ends(bench):
    process = bench.start(shell('echo ready; exec sleep 1000'))
    read_until(process.stdout, b'ready\n')
    process.send_signal(signal.SIGINT)
    bench.finish(process).must(128 + 2, 'signal', True)


def signal_while_booting(bench):
    console = bench.directory + '/console'
    process = bench.start(['true'], ['-a', 'loglevel=7', '--console', console])
    end, said = time.monotonic() + PATIENCE, b''
    while not re.search(rb'Linux version .*\n', said):
        want(time.monotonic() < end, 'the kernel says nothing')
        time.sleep(0.05)
        if os.path.exists(console):
            with open(console, 'rb') as f:
                said = f.read()
    process.send_signal(signal.SIGINT)
    bench.finish(process).must(128 + 2, 'signal', False,
                               err=[r'\Abantam: .*signal 2\n', r'Linux version'])


# ---- terminals ----

def session(bench, kernel):
    """A shell in the guest, used as on any terminal."""
    argv, result = bench.argv(['sh'], ['-it'], kernel)
    terminal = Terminal(argv, 30, 100)
    prompt = rb'/ # '
    try:
        terminal.see(prompt)
        terminal.type(b'stty size; tty; echo "$TERM" | wc -l\n')
        terminal.see(rb'\r\n30 100\r\n/dev/pts/0\r\n1\r\n')
        terminal.see(prompt)
        # Typed without its own words in it, so that what is seen isn't the echo.
        terminal.type(b"sh -c 'trap \"stty size; exit\" WINCH; echo wa''iting; "
                      b"while :; do sleep 1; done'\n")
        terminal.see(rb'waiting\r\n')
        terminal.resize(40, 120)
        terminal.see(rb'40 120\r\n')
        terminal.see(prompt)
        # Said by what the shell has made its foreground: from then on ^C is for that.
        terminal.type(b"sh -c 'echo be\"\"gun; exec sleep 1000'\n")
        terminal.see(rb'begun\r\n')
        terminal.type(b'\x03')
        terminal.see(prompt)
        terminal.type(b'echo "status $?"\n')
        terminal.see(rb'status 130\r\n')
        terminal.see(prompt)
        want(terminal.settings() != terminal.before, 'the terminal is not in raw mode')
        terminal.type(b'exit 5\n')
        status = terminal.process.wait(PATIENCE)
        want(status == 5, 'status %d instead of 5' % status)
        want(terminal.settings() == terminal.before, "the terminal's settings have changed")
        with open(result, encoding='utf-8') as f:
            end = json.load(f)
        want((end['reason'], end['exit_code']) == ('exit', 5), 'the result says %s' % end)
    finally:
        terminal.close()


# ---- devices, and what a run leaves ----

def other_devices(bench):
    """virtio-mmio, the kernel's console on hvc0 and in a file, a disk."""
    console, disk = bench.directory + '/console', bench.directory + '/disk'
    with open(disk, 'wb') as f:
        f.write(b'on the disk'.ljust(MIB, b'\0'))
    bench.run(shell('echo hello >/dev/hvc0; head -c 11 /dev/vda; '
                    'ls /sys/bus/pci/devices | wc -l >&2'),
              ['--transport', 'mmio', '--console-device', 'virtio', '--console', console,
               '--disk', disk + ',ro']).must(0, 'exit', True, b'on the disk', b'0\n')
    with open(console, 'rb') as f:
        said = f.read()
    want(b'hello\r\n' in said, 'the console has %.300r' % said)


def console_on_stderr(bench):
    bench.run(shell(SAYS), ['--console', 'stderr', '-a', 'loglevel=7']).must(
        0, 'exit', True, OUT, [r'Linux version', r'^err$'])


def why_not_unpacked(_directory):
    missing = [tool for tool in ('lz4', 'xz') if not shutil.which(tool)]
    return '%s is not installed' % missing[0] if missing else None


def unpacked(bench, kernel):
    """A bzImage unpacked on the host: where the guest's kernel lies by its own word."""
    script = shell('grep " _text$" /proc/kallsyms; nproc; grep MemTotal /proc/meminfo')

    def run(*options):
        end = bench.run(script, ['--unpack', 'on', *options], kernel)
        end.must(0, 'exit', True, None)
        found = re.fullmatch(r'(\w+) T _text\n(\d+)\nMemTotal: +(\d+) kB\n', end.out.decode())
        want(found, 'stdout is %r' % end.out)
        return [int(found[1], 16), int(found[2]), int(found[3]) >> 10]
    texts = {run()[0] for _ in range(2)}
    text, cpus, mib = run('-c', '2', '-m', '4G')
    want(cpus == 2 and 3700 < mib <= 4096, '%d CPUs, %d MiB' % (cpus, mib))
    texts.add(text)
    text, _cpus, mib = run('-m', '160M')
    want(90 < mib < 160, '%d MiB' % mib)
    texts.add(text)
    want(len(texts) > 1, 'the kernel always lies at %x' % text)
    want(not any(text % (2 * MIB) for text in texts), '_text is at %s' % texts)
    want(all(KERNEL_MAP < text < KERNEL_MAP + (1 << 30) for text in texts), '_text is at %s' % texts)
    for options in ('-a', 'nokaslr'), ('-a', 'nokaslr', '-a', 'mem=200M'):
        want(run(*options)[0] == KERNEL_MAP + 16 * MIB, 'nokaslr, and it has moved')
    run('-a', 'mem=200M')


CRASH = shell('echo c >/proc/sysrq-trigger')
NAME = r'([\w.]+)\+0x(\w+)/0x\w+'


def symbols(bench):
    """/proc/kallsyms of one boot gives the names of others, which lie elsewhere; of another kernel none."""
    def dump(kernel):
        end = bench.run(['cat', '/proc/kallsyms'], ['-a', 'nokaslr'], kernel)
        end.must(0, 'exit', True, None)
        path = '%s/%s' % (bench.directory, os.path.dirname(kernel))
        with open(path, 'wb') as f:
            f.write(end.out)
        return path, {name: int(address, 16) for address, _kind, name, *_module in
                      (line.split() for line in end.out.decode().splitlines())}

    path, linked = dump(CLOUD)
    slides = set()
    for unpack in 'off', 'auto':
        trace = bench.directory + '/trace'
        end = bench.run(CRASH, ['--symbols', path, '--unpack', unpack, '--trace', 'exits=' + trace])
        end.must(GUEST_DIED, 'panic', False, None, [
            DIED + "'s kernel panicked: ", r'^vCPU 0:$', r'^  RIP \w{16} io_serial_out\+0x', r'return addresses',
            r'^    \w{16} panic\+0x', r'^    \w{16} sysrq_handle_crash\+0x', r'^    \w{16} vfs_write\+0x'])
        found = re.findall(r'^    (\w{16}) %s$' % NAME, end.text, re.M)
        moved = {int(address, 16) - int(offset, 16) - linked[name] for address, name, offset in found}
        want(len(moved) == 1 and min(moved) % (2 * MIB) == 0, 'slides %s: %.900r' % (moved, end.text))
        slides |= moved
        with open(trace, encoding='utf-8') as f:
            places = re.findall(r' exits IO at (?:%s)?' % NAME, f.read())
        named = [name for name, _offset in places if name]
        want(len(named) > len(places) / 2 and set(named) <= linked.keys() and 'io_serial_out' in named,
             '%d of %d are named' % (len(named), len(places)))
    want(slides != {0}, 'the kernel lay where it was linked each time')
    end = bench.run(CRASH, ['--symbols', dump(GENERIC)[0], '--trace', 'exits=/dev/null'])
    end.must(GUEST_DIED, 'panic', False, None, [
        r"^bantam: the symbols are another kernel's: the trace goes on without names$",
        r"^  no names: the symbols are another kernel's$"])
    want(not re.search(r'^    \w{16} ', end.text, re.M), 'there are names: %.900r' % end.text)


def why_no_passt(_directory):
    found = any(os.access(path + '/passt', os.X_OK) for path in os.environ['PATH'].split(':'))
    return None if found else 'passt is not installed'


def network(bench):
    """eth0 is up when COMMAND starts, and leads to the host; names make addresses."""
    script = ('hostname; cat /sys/class/net/eth0/address; ip -4 -o addr show eth0; '
              'ip route; cat /etc/resolv.conf; wget -q -O - http://$1:$2/; '
              '(timeout 3 wget -q -O - http://10.0.2.2:$2/ && echo the loopback answers) 2>&1; true')
    macs = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        any_socket.connect(('192.0.2.254', 9))   # sends nothing: which address would be used?
        host = any_socket.getsockname()[0]
    with socket.create_server(('', 0)) as server:
        def serve():
            peer, _address = server.accept()
            peer.recv(4096)
            peer.sendall(b'HTTP/1.0 200 OK\r\n\r\nhello from the host\n')
            peer.close()
        for _ in range(2):
            threading.Thread(target=serve, daemon=True).start()
            end = bench.run(shell(script, host, str(server.getsockname()[1])),
                            ['--net', 'user', '--name', 'web'])
            end.must(0, 'exit', True, None)
            said = end.out.decode()
            missing = find_in_order([r'\Aweb\n02:ba:', r'inet 10\.0\.2\.15/24', r'^default via '
                                     r'10\.0\.2\.2 ', r'^nameserver ', r'^hello from the host$'],
                                    said)
            want('the loopback answers' not in said, 'the gateway leads to the host\'s loopback')
            want(not missing, 'stdout lacks %s, it is %r' % (missing, said))
            macs.add(said.split('\n')[1])
    want(len(macs) == 1, 'the same name has made the addresses %s' % macs)


NAME_SERVER = '127.0.0.99', 53


def why_no_name_server(directory):
    if os.geteuid():
        return 'not root: there can be no name server'
    try:
        socket.create_server(NAME_SERVER, family=socket.AF_INET).close()
    except OSError as error:
        return 'no name server on %s: %s' % (NAME_SERVER[0], error.strerror)
    return why_no_passt(directory)


def names(bench):
    """The guest's questions for names come to the host's name server."""
    resolv = bench.directory + '/resolv.conf'
    with open(resolv, 'w', encoding='ascii') as f:
        f.write('nameserver %s\n' % NAME_SERVER[0])

    def serve(server):
        while True:
            query, peer = server.recvfrom(512)
            is_ipv4 = query[-4:] == b'\0\1\0\1'
            answer = b'\xc0\x0c\0\1\0\1\0\0\0\1\0\4' + socket.inet_aton('192.0.2.77')
            server.sendto(query[:2] + b'\x81\x80\0\1' + (b'\0\1' if is_ipv4 else b'\0\0')
                          + bytes(4) + query[12:] + (answer if is_ipv4 else b''), peer)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(NAME_SERVER)
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        end = bench.run(['nslookup', 'host.test'], ['--net', 'user'], wrap=[
            'unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolv])
    end.must(0, 'exit', True, None)
    want(b'Address: 192.0.2.77\n' in end.out, 'the guest has got %r' % end.out)


def descendants(pid):
    """pid and the processes below it."""
    found = [pid]
    for children in glob.glob('/proc/%d/task/*/children' % pid):
        with open(children) as f:
            for child in f.read().split():
                found += descendants(int(child))
    return found


def why_no_root(directory):
    return why_no_passt(directory) or ('not root: no group of its own' if os.geteuid() else None)


def is_of(path, group):
    try:
        found = os.lstat(path)
    except OSError:
        return False     # a neighbour's, and gone
    return found.st_gid == group or found.st_uid == pwd.getpwnam('nobody').pw_uid


def traces(group):
    """What the group (or nobody, who passt is) can leave: files, mounts, names of sockets."""
    left = {path for directory in ('/tmp', '/var/tmp', '/dev/shm')
            for path in glob.glob(directory + '/*') + glob.glob(directory + '/.*')
            if is_of(path, group)}
    for table in ('/proc/self/mounts', '/proc/net/unix'):
        with open(table) as f:
            left.update(line for line in map(lambda line: line.split()[-1], f) if '/' in line)
    return left


def killed(bench):
    """bantam is killed without a chance to clean up, and nothing is left."""
    disk = bench.directory + '/disk'
    with open(disk, 'wb') as f:
        f.truncate(MIB)
    group = 54321
    before = traces(group)
    process = bench.start(shell('echo x >/dev/vda; echo ready; exec sleep 1000'),
                          ['--net', 'user', '--disk', disk + ',ephemeral'], group=group)
    read_until(process.stdout, b'ready\n')
    family = descendants(process.pid)
    want(len(family) > 1, 'passt is no child of bantam')
    process.kill()
    bench.finish(process)
    end = time.monotonic() + PATIENCE
    while any(os.path.exists('/proc/%d' % pid) for pid in family):
        want(time.monotonic() < end, 'processes are left: %s' % family)
        time.sleep(0.05)
    left = traces(group) - before
    want(not left, 'this is left: %s' % sorted(left))


def loop_over_kernels(bench):
    """The loop of docs/ci.md, with a test that fails on one of two kernels."""
    with open(ROOT + '/docs/ci.md', encoding='utf-8') as f:
        script, = (text for text in re.findall(r'^```sh\n(.*?)^```', f.read(), re.M | re.S)
                   if 'for kernel in' in text)
    for kind in ('cloud', 'generic'):
        os.makedirs('%s/kernels/%s' % (bench.directory, kind))
        for name, target in (('vmlinuz', 'vmlinuz'), ('lib', 'root/lib')):
            os.symlink('%s/%s/%s' % (KERNELS, kind, target),
                       '%s/kernels/%s/%s' % (bench.directory, kind, name))
    with open(bench.directory + '/run-tests', 'w', encoding='utf-8') as f:
        f.write('uname -r; case $(uname -r) in *cloud*) ;; *) exit 3 ;; esac\n')
    setup = ('{ cat "$1"; echo run-tests | cpio --quiet -o -H newc | gzip; } >rootfs.cpio.gz; '
             'ln -s "$2" bantam; PATH=$PWD:$PATH; ')
    process = subprocess.Popen(shell(setup + script, bench.initrd, bench.bantam), text=True,
                               cwd=bench.directory, stdout=subprocess.PIPE)
    bench.processes.append(process)
    out, _err = process.communicate(timeout=PATIENCE)
    want((process.returncode, out) == (1, 'ok cloud\nFAIL generic: status 3\n'),
         'status %d: %s' % (process.returncode, out))
    for kind in ('cloud', 'generic'):
        with open('%s/%s.log' % (bench.directory, kind), encoding='utf-8') as log, \
                open('%s/%s/version' % (KERNELS, kind), encoding='utf-8') as version:
            want(log.read() == version.read(), "%s's log has something else" % kind)


CASES = (
    [case('64 MiB through it', stream, 64 * MIB),
     case('8 at once', eight_at_once)]
    + rows(CLOUD) + rows(GENERIC)
    + [case('unpacked on the host, ' + kernel.split('/')[0], unpacked, kernel, needs=why_not_unpacked)
       for kernel in (CLOUD, GENERIC)]
    + [case("a shell on a terminal, " + kernel.split('/')[0], session, kernel)
       for kernel in (CLOUD, GENERIC)]
    + [case('time-out', time_is_up),
       case('no start in time', never_boots),
       case('wrong use', wrong_use),
       case('no such user', no_such_user),
       case('symbols', symbols),
       case('modules are missing', modules_missing),
       case("the documentation's loop over kernels", loop_over_kernels),
       case('no modules for this kernel', no_modules_for_it, needs=why_no_unknown_kernel),
       case('words', words),
       case('a slow reader', slow_reader),
       case('a dialogue', dialogue),
       case('ends of pipes', ends_of_pipes),
       case('it closes stdout', closes_stdout),
       case('SIGTERM, then another', signal_once),
       case('SIGINT to COMMAND', signal_ends),
       case('SIGINT while booting', signal_while_booting),
       case('mmio, hvc0, a disk', other_devices),
       case('the console on stderr', console_on_stderr),
       case('a network', network, needs=why_no_passt),
       case('names', names, needs=why_no_name_server),
       case('killed', killed, needs=why_no_root)]
)
