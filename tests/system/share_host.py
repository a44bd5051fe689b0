"""share_host.py - shared directories under load, and what a guest must not do to the host by them.

Cases like those of share.py.
"""

import ctypes
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading

from case import KERNELS
from command_run import read_until, shell
from harness import USAGE, want
from share_run import (GROUP, GUEST_PROGRAMS, USER, below, changed, owner_of_runs, picture,
                       share_case, unprivileged, why_not_root)


def sums(directory):
    """What sha256sum says of the files there."""
    lines = []
    for name in sorted(os.listdir(directory)):
        with open('%s/%s' % (directory, name), 'rb') as file:
            lines.append('%s  %s\n' % (hashlib.sha256(file.read()).hexdigest(), name))
    return ''.join(lines)


# ---- load ----

FIO = ('fio --directory=/v --size=1m --bsrange=4k-64k --rw=randrw --verify=crc32c --verify_fatal=1 '
       '--fsync=16 --loops=2 --thread '
       '--verify_state_save=0 ')
LOAD = """
set -e
cd /v/by-host
sha256sum *
for engine in psync mmap; do
	%s --name=$engine --ioengine=$engine >/tmp/fio 2>&1 || { head -20 /tmp/fio >&2; exit 1; }
done
for seed in 1 2 3; do
	/programs/share-stress /v/by-guest/$seed $seed 400 &
done
wait -n; wait -n; wait -n
""" % FIO


def load(bench, cache):
    """Both sides see what the other one wrote; fio and a random walk over a file find no fault."""
    chance, volume = random.Random(1), bench.make('v')
    for name in ('by-host', 'by-guest'):
        os.mkdir('%s/%s' % (volume, name))
    for number in range(20):
        with open('%s/by-host/%02d' % (volume, number), 'wb') as file:
            file.write(chance.randbytes(chance.randrange(1 << chance.randrange(20))))
    end = bench.run(['bash', '-c', LOAD], ['--rootfs', '/', *GUEST_PROGRAMS, '-v',
                                           '%s:/v:cache=%s' % (volume, cache)])
    end.must(0, 'exit', True, None)
    lines = end.out.decode().splitlines(keepends=True)
    want(''.join(lines[:20]) == sums(volume + '/by-host'), 'the guest read something else')
    wrote = ''.join(sorted((line.replace(' ', '  ') for line in lines[20:]),
                           key=lambda line: line[-2]))
    want(wrote == sums(volume + '/by-guest'), 'the host reads something else: %r' % lines[20:])


GIT = """
set -e
export HOME=/tmp GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@x GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@x
cd /v
git init -q repo
cp -r /programs repo
cd repo
git add .
git commit -q -m all
cd ..
git clone -q --no-hardlinks repo clone
git -C clone status --porcelain
git -C clone fsck --strict 2>&1
mkdir copy
tar -C clone -c . | tar -C copy -x
diff -r --no-dereference clone copy
git -C copy status --porcelain
"""


def git_and_tar(bench):
    volume = bench.make('v')
    bench.run(shell(GIT), ['--rootfs', '/', '-v', volume + ':/v', *GUEST_PROGRAMS]).must(
        0, 'exit', True, b'')
    for name in ('clone', 'copy'):
        on_host = subprocess.run(['git', 'status', '--porcelain'], cwd='%s/%s' % (volume, name),
                                 stdout=subprocess.PIPE, check=True, text=True).stdout
        want(on_host == '', 'for the host there is %.200r' % on_host)


FILES, MIB = 20000, 1 << 20


def make_files(directory, count, content=lambda number: b''):
    """So many files, a hundred in a directory."""
    for number in range(count):
        place = '%s/%d' % (directory, number // 100)
        if number % 100 == 0:
            os.makedirs(place)
        name = '%s/%d' % (place, number)
        os.mknod(name, stat.S_IFREG | 0o644)
        if content(number):
            with open(name, 'wb') as file:
                file.write(content(number))


def many_files(bench):
    """More files than bantam may have open, walked through twice."""
    volume = bench.make('v')
    make_files(volume, FILES)
    script = ('exec 3</v/7/777; find /v -type f | wc -l; ls -lR /v | grep -c "^-.* [0-9]*$"; '
              'echo x >/v/199/19999; cat /v/199/19999; '
              'cat /sys/class/bdi/$(grep " /v " /proc/self/mountinfo | cut -d " " -f 3)/read_ahead_kb')
    end = bench.run(shell(script), ['--initrd', bench.initrd, '-v', volume + ':/v'],
                    wrap=['prlimit', '--nofile=256'])
    end.must(0, 'exit', True, None)
    counts = end.out.decode().split()
    want(counts == [str(FILES), str(FILES), 'x', '1024'], 'counted %s' % counts)


# Two trees of so many files; of twenty, one has something in it.
TREE, LIMIT, SAMPLE = 100000, 20000, 20
WALKS = """
set -e
walk() {
	find /v/$1 -type f >/tmp/names
	wc -l </tmp/names
	grep '[02468]0$\|/0$' /tmp/names | sort | xargs cat | sha256sum
	echo stop
	read answer
}
echo stop
read answer
walk one
echo 2 >/proc/sys/vm/drop_caches
sleep 5
walk two
"""


def bytes_of_its_own(pid):
    """What a process has in memory, but for a guest's RAM of 1 GiB, of which a piece may lie apart."""
    with open('/proc/%d/smaps' % pid, encoding='ascii') as file:
        found = re.findall(r'^Size: +(\d+) kB$.*?^Rss: +(\d+) kB$', file.read(), re.M | re.S)
    return sum(int(used) << 10 for size, used in found if int(size) < 900 << 10)


def huge_trees(bench):
    """Many times more files than bantam may have open. It remembers no more than the guest does."""
    volume, wanted = bench.make('v'), b'stop\n'
    for tree in ('one', 'two'):
        def content(number, tree=tree):
            return b'' if number % SAMPLE else b'%d in %s\n' % (number, tree.encode())
        make_files('%s/%s' % (volume, tree), TREE, content)
        names = sorted('%d/%d' % (number // 100, number) for number in range(0, TREE, SAMPLE))
        sample = b''.join(content(int(name.split('/')[1])) for name in names)
        wanted += b'%d\n%s  -\nstop\n' % (TREE, hashlib.sha256(sample).hexdigest().encode())
    process = bench.start(shell(WALKS), ['--initrd', bench.initrd, '-m', '1G', '-v', volume + ':/v'],
                          wrap=['prlimit', '--nofile=%d' % LIMIT], stdin=subprocess.PIPE)
    out, memory, descriptors = b'', [], []
    for _ in range(3):
        out += read_until(process.stdout, rb'^stop\n')
        memory.append(bytes_of_its_own(process.pid))
        descriptors.append(len(os.listdir('/proc/%d/fd' % process.pid)))
        process.stdin.write(b'\n')
        process.stdin.flush()
    bench.finish(process).must(0, 'exit', True)
    want(out == wanted, 'the guest found %r, not %r' % (out, wanted))
    want(LIMIT // 5 < descriptors[2] < LIMIT // 3, 'descriptors: %s' % descriptors)
    first, second = (after - memory[0] for after in memory[1:])
    want(100 * TREE < first < 300 * TREE, '%d bytes for %d files' % (first, TREE))
    want(second < first * 5 // 4, '%d bytes for a tree, then %d' % (first, second))


# ---- nothing else than what is shared ----

CANARY = 'this is the secret of the host'
ATTACK_ROUNDS = 60
EXCHANGE = 2
# What has to be among what the guest found: that it looked, and where.
ESCAPES = (r'list the hidden: \[\]', r"the host's /proc, bound: \[\]", r'under /proc: \[\]',
           r'under /sys: \[\]', r'under /dev/pts: \[\]', r"race: \d+ times read b'inside'",
           r'race: \d+ times read ENOENT', r'write: .EROFS.', r'root again: 0, 0',
           r'overwrite: .EROFS.', r'make a device: .EPERM.', r'set-uid: .EPERM.',
           r'connect: .ECONNREFUSED.')


def special_files(volume, outside):
    """What the host has put there that leads elsewhere, or is no file."""
    for name, target in (('absolute', outside + '/secret'), ('relative', '../outside/secret'),
                         ('to-directory', outside), ('root', '/'), ('proc-root', '/proc/self/root'),
                         ('swap-link', outside)):
        os.symlink(target, '%s/%s' % (volume, name))
    for name in ('sub', 'swap', 'swap/x', 'proc'):
        os.mkdir('%s/%s' % (volume, name))
    for name in ('plain', 'swap/secret', 'swap/x/y'):
        with open('%s/%s' % (volume, name), 'w', encoding='utf-8') as file:
            file.write('inside')
    os.mkfifo(volume + '/fifo')
    socket.socket(socket.AF_UNIX).bind(volume + '/socket')
    for name, kind, device in (('null', stat.S_IFCHR, (1, 3)), ('kvm', stat.S_IFCHR, (10, 232)),
                               ('disk', stat.S_IFBLK, (254, 0))):
        os.mknod('%s/%s' % (volume, name), kind | 0o666, os.makedev(*device))


def exchange_until(event, one, two):
    """Exchanges two names until the event."""
    libc = ctypes.CDLL(None)
    while not event.wait(0.001):
        libc.renameat2(-100, one.encode(), -100, two.encode(), EXCHANGE)


def escapes(bench):
    """Nothing outside can be read or changed by a guest whose root tries all ways."""
    home = bench.make('home')
    outside = bench.make('home/outside')
    volume, read_only = bench.make('home/volume'), bench.make('home/read-only')
    with open(outside + '/secret', 'w', encoding='utf-8') as file:
        file.write(CANARY)
    special_files(volume, outside)
    with open(read_only + '/plain', 'w', encoding='utf-8') as file:
        file.write('plain')
    before, before_read_only = picture(outside), picture(read_only)
    etc = sorted(os.listdir('/etc'))
    subprocess.run(['mount', '--bind', '/proc', volume + '/proc'], check=True)
    ended = threading.Event()
    attacker = threading.Thread(target=exchange_until,
                                args=(ended, volume + '/swap', volume + '/swap-link'))
    attacker.start()
    try:
        end = bench.run(['/programs/share-escape', outside, str(ATTACK_ROUNDS)],
                        ['--rootfs', '/', '-v', volume + ':/volume:cache=none',
                         '-v', read_only + ':/read-only:ro', *GUEST_PROGRAMS],
                        env=dict(os.environ, HOME=home))
    finally:
        ended.set()
        attacker.join()
        subprocess.run(['umount', volume + '/proc'], check=True)
    said = end.out.decode()
    end.must(0, 'exit', True, None)
    want('that is all\n' in said, 'it broke off: %.300r' % said[-300:])
    want(CANARY not in said, 'the guest has read it: %s' % [line for line in said.splitlines()
                                                             if CANARY in line])
    want(picture(outside) == before, 'outside changed: %s' % changed(before, picture(outside)))
    want(picture(read_only) == before_read_only, 'what is read-only changed')
    want(sorted(os.listdir('/etc')) == etc, 'the host\'s /etc changed')
    devices = [name for name in below(volume) if os.path.basename(name) in (b'device', b'suid')
               or os.lstat(name).st_mode & (stat.S_ISUID | stat.S_ISGID)]
    want(not devices, 'these were made: %s' % devices)
    want('ETIMEDOUT' not in said, 'something hangs: %s' % said)
    for pattern in ESCAPES:
        want(re.search('^%s$' % pattern, said, re.M), 'no line %r in %.3000s' % (pattern, said))


# ---- who owns what ----

MAKES = """
cd /v; touch file; mkdir directory; ln -s x link; mkfifo fifo; ln file hard
for i in file directory link fifo; do stat -c "%u:%g" $i; done | uniq
chown 77:78 file 2>/dev/null && stat -c "given to %u:%g" file
chmod 640 directory && stat -c "%a" directory
"""


def owners(bench, as_root, user, on_host, in_guest, given):
    """What COMMAND makes belongs to it in the guest, and on the host to whom it has to."""
    volume = bench.make('v', None if as_root else owner_of_runs())
    os.chmod(volume, 0o777 if as_root else 0o755)
    who = {} if as_root else unprivileged()
    end = bench.run(shell(MAKES), ['--initrd', bench.initrd, '-v', volume + ':/v'] + user, **who)
    end.must(0, 'exit', True, ('%s\n%s640\n' % (in_guest, given and 'given to 77:78\n')).encode())
    for name in ('file', 'directory', 'link', 'fifo'):
        wanted = (77, 78) if name == 'file' and given else on_host
        found = os.lstat('%s/%s' % (volume, name))[4:6]
        want(found == wanted, '%s belongs to %s, not %s' % (name, found, wanted))


# ---- what can be wrong ----

def wrong_use(bench):
    """One line, and no guest."""
    here, missing = bench.make('here'), bench.directory + '/missing'
    closed = bench.make('closed')
    os.mkdir(closed + '/inside')
    os.chmod(closed, 0o700)
    with open(bench.directory + '/file', 'w', encoding='utf-8') as file:
        file.write('x')
    initrd = ['--initrd', bench.initrd]
    for options, words, who in (
            ([*initrd, '-v', missing + ':/v'], missing + "' can't be shared: No such file", {}),
            ([*initrd, '-v', bench.directory + '/file:/v'], "can't be shared: Not a directory", {}),
            ([*initrd, '-v', closed + '/inside:/v'], "can't be shared: Permission", unprivileged()),
            ([*initrd, '-v', closed + ':/v'], "can't be shared: Permission", unprivileged()),
            ([*initrd, '-v', here + ':v'], 'GUEST an absolute path', {}),
            ([*initrd, '-v', here], 'GUEST an absolute path', {}),
            ([*initrd, '-v', here + ':/v:rx'], 'behind GUEST', {}),
            ([*initrd, '-v', here + ':/v', '-v', here + ':/./v/'], "two of them are for '/v'", {}),
            (['--rootfs', missing], missing, {}),
            (['--rootfs', here + ',rx'], "--rootfs '%s,rx'" % here, {})):
        end = bench.run(['true'], options, **who)
        want(end.status == USAGE and words in end.text and end.text.count('\n') == 1
             and end.text.startswith('bantam: ') and not end.out,
             '%s: status %d, %s' % (options[-1], end.status, end.text))


def no_module(bench):
    """A kernel whose modules lack virtiofs."""
    with open(KERNELS + '/cloud/version', encoding='utf-8') as file:
        release = file.read().strip()
    source = '%s/cloud/root/lib/modules/%s/kernel' % (KERNELS, release)
    tree = '%s/modules/lib/modules/%s/kernel' % (bench.directory, release)
    shutil.copytree(source, tree, ignore=lambda directory, names: [
        name for name in names if name.startswith(('virtiofs', 'net', 'sound', 'gpu'))])
    end = bench.run(['true'], ['--initrd', bench.initrd, '-v', bench.make('v') + ':/v',
                               '--modules', bench.directory + '/modules'])
    end.must(USAGE, 'vmm-error',
             err=[r"\Abantam: .*'virtiofs', which the guest needs, is neither.*\n\Z"])


# Many writes, and one that the host takes a part of; told by the write, by fsync or by close.
FULL = """
for i in /full /full-cached; do
	for how in "bs=64k count=64" "bs=900000 count=1" "bs=900000 count=1 conv=fsync"; do
		dd if=/dev/zero of=$i/f $how 2>&1 | grep -o 'No space.*'
		rm $i/f
	done
	echo again >$i/f && cat $i/f
done
"""


def full(bench):
    """A full disk of the host's is a full disk for COMMAND."""
    options = ['--initrd', bench.initrd]
    for name in ('full', 'full-cached'):
        path = bench.make(name)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], check=True)
        with open(path + '/filler', 'wb') as file:
            file.write(bytes(400000))
        cache = 'always' if 'cached' in name else 'auto'
        options += ['-v', '%s:/%s:cache=%s' % (path, name, cache)]
    try:
        bench.run(shell(FULL), options).must(
            0, 'exit', True, (b'No space left on device\n' * 3 + b'again\n') * 2)
    finally:
        for name in ('full', 'full-cached'):
            subprocess.run(['umount', '%s/%s' % (bench.directory, name)], check=True)


UNDERNEATH = """
import mmap, os, time
os.chdir('/v')
short, gone, moved = (os.open(name, os.O_RDWR) for name in ('short', 'gone', 'sub/moved'))
mapping = mmap.mmap(short, 0)
os.chdir('sub')
print('ready', flush=True)
input()
time.sleep(1.5)    # so long names and sizes are good
print(len(os.pread(short, 1 << 20, 0)), os.fstat(short).st_size)
print(os.pread(gone, 9, 0), os.fstat(gone).st_nlink)
print(os.pread(moved, 9, 0))
for name in ('/v/gone', '/v/sub/moved', 'x'):
    try:
        print(open(name).read())
    except OSError as error:
        print(error.strerror)
if os.fork() == 0:
    print(len(mapping[(1 << 20) - 1:]))
print(os.wait()[1], flush=True)
"""


def underneath(bench):
    """Files that the host makes shorter, removes and moves while the guest has them open."""
    volume = bench.make('v')
    os.mkdir(volume + '/sub')
    for name in ('short', 'gone', 'sub/moved'):
        with open('%s/%s' % (volume, name), 'wb') as file:
            file.write(name.encode() if name != 'short' else bytes(MIB))
    process = bench.start(['python3', '-c', UNDERNEATH],
                          ['--rootfs', '/', '-v', volume + ':/v'],
                          stdin=subprocess.PIPE)
    read_until(process.stdout, rb'ready\n')
    os.truncate(volume + '/short', 10)
    os.unlink(volume + '/gone')
    os.rename(volume + '/sub', volume + '/elsewhere')
    end = bench.finish(process, b'\n')
    end.must(0, 'exit', True, b"10 10\nb'gone' 0\nb'sub/moved'\n"
             + b'No such file or directory\n' * 3 + b'%d\n' % signal.SIGBUS)


CASES = [
    share_case('load', load, 'auto'),
    share_case('load, cache=always', load, 'always'),
    share_case('git and tar', git_and_tar),
    share_case('many files, few descriptors', many_files),
    share_case('huge trees', huge_trees),
    share_case('escapes', escapes, needs=why_not_root),
    share_case('wrong use', wrong_use, needs=why_not_root),
    share_case('a module is missing', no_module),
    share_case('the disk is full', full, needs=why_not_root),
    share_case('changed underneath', underneath),
] + [
    share_case('owners: bantam run by %s, COMMAND by %s' % ('root' if as_root else 'a user',
                                                            user[1] if user else 'root'),
               owners, as_root, user, on_host, in_guest, given, needs=why_not_root)
    for as_root, user, on_host, in_guest, given in (
        (True, [], (0, 0), '0:0', 'given'),
        (True, ['-u', '1000:1001'], (1000, 1001), '1000:1001', ''),
        (False, [], (USER, GROUP), '0:0', ''),
        (False, ['-u', '1000:1001'], (USER, GROUP), '1000:1001', ''))
]
