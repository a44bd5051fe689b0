"""share.py - directories of the host's in guests (--rootfs, --volume), with stock kernels.

A case is a function that gets a Share, as those of command.py get a Bench. Programs for the guest
are in tests/system/guest; with `--rootfs /` the host's interpreters and compilers run them there.

Host directories are made in the case's own directory, which is on an ext4 file system; what has to
be owned by root, or mounted, needs root: the cases that do so say it when they are skipped.
"""

import os
import shutil
import subprocess

from case import BUILD, ROOT
from command_run import shell
from harness import want
from share_run import (GUEST_PROGRAMS, below, changed, owner_of_runs, picture, share_case,
                       unprivileged, why_not_root)

SOURCE = BUILD + '/sources/bzip2'


# ---- a project's own tests, in the host's own environment ----

def builds_and_tests(bench):
    """The host's compiler builds a program in the guest, for a user without rights."""
    source, owner = bench.directory + '/src', owner_of_runs()
    shutil.copytree(SOURCE, source)
    for name in below(source):
        os.chown(name, *owner)
    # Without optimization: it is the compiler that takes the time.
    command = ['make', 'check', 'CFLAGS=-w -D_FILE_OFFSET_BITS=64']
    options = ['--rootfs', '/', '-v', source + ':/src', '-w', '/src']
    end = bench.run(command, options, **unprivileged())
    end.must(0, 'exit', True, None, [r'\A'])
    want(b'cmp sample3.tst sample3.ref\n' in end.out, 'make said %.500r' % end.out)
    strangers = [name for name in below(source) if os.lstat(name)[4:6] != owner]
    want(not strangers, 'not its user\'s: %s' % strangers[:5])
    packed = subprocess.run([source + '/bzip2'], input=b'x' * 9999, stdout=subprocess.PIPE,
                            check=True).stdout
    want(packed.startswith(b'BZh'), 'what was built works not on the host: %r' % packed)

    with open(source + '/sample2.ref', 'ab') as file:
        file.write(b'!')
    end = bench.run(shell('ls -A /home /root; exec "$@"', *command), options, **unprivileged())
    end.must(2, 'exit', True, None, [r'^make: \*\*\* .*test'])
    want(end.out.startswith(b'/home:\n\n/root:\n\nDoing'), 'the homes have %.300r' % end.out)


def builds_in_parallel(bench):
    """A larger program is built by two at a time, and works on both sides."""
    source = bench.directory + '/lua'
    shutil.copytree(BUILD + '/sources/lua5.4', source)
    script = ('make -s -j2 -C src posix MYCFLAGS=-O0 >&2 && cd src && '
              './luac -o words.luac /programs/words.lua && ./lua words.luac *.c')
    end = bench.run(shell(script), ['--rootfs', '/', '-c', '2', '-v', source + ':/lua', '-w',
                                    '/lua', *GUEST_PROGRAMS])
    # ar has a word to say about its own options.
    end.must(0, 'exit', True, None, [r'\A'])
    with open(source + '/src/words', encoding='ascii') as file:
        counted = file.read()
    on_host = subprocess.run(['./lua words.luac *.c'], cwd=source + '/src', shell=True, check=True,
                             stdout=subprocess.PIPE).stdout
    with open(source + '/src/words', encoding='ascii') as file:
        want(file.read() == counted and '\nState ' in counted,
             'counted in the guest: %.300r' % counted)
    want(end.out == on_host == b'%d\n' % counted.count('\n'), 'the guest counted %r' % end.out)


def homes(bench):
    end = bench.run(['ls', '-A', '/root'], ['--rootfs', '/', '--expose-home'])
    end.must(0, 'exit', True, None)
    want(sorted(end.out.decode().split('\n')[:-1]) == sorted(os.listdir('/root')),
         '/root has %r' % end.out)


# ---- a root directory that stays as it was ----

def make_root(path):
    """A small root directory with something of everything that the guest will change."""
    busybox = shutil.which('busybox')
    for name in ('bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'data/dir/deep', 'data/tree/a/b',
                 'data/odd \n\\ name'):
        os.makedirs('%s/%s' % (path, name))
    shutil.copy(busybox, path + '/bin')
    for applet in subprocess.run([busybox, '--list'], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout.split():
        if applet != 'busybox':
            os.symlink('busybox', '%s/bin/%s' % (path, applet))
    data = path + '/data/'
    for name in ('gone', 'changed', 'appended', 'emptied', 'moved', 'mode', 'time', 'hard',
                 'dir/deep/f', 'tree/a/b/f', 'odd \n\\ name/f'):
        with open(data + name, 'w', encoding='utf-8') as file:
            file.write('%s as it was\n' % name)
    os.link(data + 'hard', data + 'hard2')
    os.symlink('gone', data + 'link')
    os.mkfifo(data + 'fifo')
    os.chmod(data + 'mode', 0o4751)
    os.chown(data + 'mode', 7, 8)
    for name in below(path):
        os.utime(name, (10 ** 9, 10 ** 9), follow_symlinks=False)
    return path


HAVOC = """
set -e
cd /data
rm gone link fifo
echo new >changed
echo more >>appended
: >emptied
mv moved elsewhere
mv dir dir2
echo x >dir2/deep/g
chmod 600 mode
chown 5:6 mode
touch -d 2020-01-01 time
echo both >hard
rm -r tree /bin/vi /etc
mkdir tree /etc
echo x >/etc/new
rm -r odd*
sync
cat changed appended hard dir2/deep/f elsewhere
ls -A tree
"""
HAVOC_SEEN = (b'new\nappended as it was\nmore\nboth\ndir/deep/f as it was\nmoved as it was\n')
# Whatever is tried with the device itself, what is shared read-only can't be written.
REFUSED = """
for i in "echo x >/data/changed" "rm /data/gone" "mkdir /data/x" "mv /data/moved /x" \
	"chmod 600 /data/time" "touch /data/time" "ln /data/hard /x"; do
	sh -c "$i" 2>&1 && echo "$i worked"
done | sed 's/.*: //' | sort | uniq -c
"""


def wrote_through(path):
    data = path + '/data/'
    with open(data + 'changed', encoding='utf-8') as changed_file, \
            open(data + 'elsewhere', encoding='utf-8') as moved:
        want(changed_file.read() == 'new\n' and moved.read() == 'moved as it was\n', 'contents')
    status = os.stat(data + 'mode')
    want((status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o600, 5, 6), 'owner and mode')
    want(not os.path.lexists(data + 'gone') and os.listdir(path + '/etc') == ['new']
         and os.listdir(data + 'tree') == [] and os.path.exists(data + 'dir2/deep/g'), 'names')
    want(os.stat(data + 'hard').st_ino == os.stat(data + 'hard2').st_ino, 'a hard link')


def copy_on_write(bench):
    root = make_root(bench.directory + '/root')
    before = picture(root)
    bench.run(shell(HAVOC), ['--rootfs', root]).must(0, 'exit', True, HAVOC_SEEN)
    want(picture(root) == before, 'the host\'s tree changed: %s' % changed(before, picture(root)))
    end = bench.run(shell(REFUSED), ['--rootfs', root + ',ro'])
    end.must(0, 'exit', True, b'      7 Read-only file system\n')
    want(picture(root) == before, 'with ro: %s' % changed(before, picture(root)))
    bench.run(shell(HAVOC), ['--rootfs', root + ',rw']).must(0, 'exit', True, HAVOC_SEEN)
    wrote_through(root)


def image(bench):
    """The same of a disk image."""
    root, path = make_root(bench.directory + '/root'), bench.directory + '/root.ext4'
    subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-d', root, path, '32M'], check=True,
                   env=dict(os.environ, PATH=os.environ['PATH'] + ':/usr/sbin:/sbin'))
    shutil.rmtree(root)
    before = picture(path)
    # Where what the guest writes goes.
    keeps = dict(env=dict(os.environ, TMPDIR=bench.directory))
    bench.run(shell(HAVOC), ['--rootfs', path], **keeps).must(0, 'exit', True, HAVOC_SEEN)
    want(picture(path) == before, 'the image changed')
    bench.run(shell(REFUSED), ['--rootfs', path + ',ro']).must(
        0, 'exit', True, b'      7 Read-only file system\n')
    want(picture(path) == before, 'with ro, the image changed')
    bench.run(shell(HAVOC), ['--rootfs', path + ',rw']).must(0, 'exit', True, HAVOC_SEEN)
    end = bench.run(shell('cat /data/changed; ls /data/gone /data/dir2/deep'), ['--rootfs', path],
                    **keeps)
    end.must(1, 'exit', True, b'new\n/data/dir2/deep:\nf\ng\n', [r'gone: No such file'])


# ---- calls, one by one ----

NO_RIGHTS = """a program that runs with its owner's rights would do so on the host, too"""
NO_DEVICE = """a device's node would be one on the host, too"""
NO_FUSE = """Linux's FUSE client doesn't have it"""
NOT_USERS = """these attributes mean something to the host's kernel"""
# Where a volume doesn't do what the same file system does on the host: (result, why).
DIFFERENT = {
    'rename: whiteout': ('EINVAL', NO_DEVICE),
    **{'modes: %s %s' % (how, mode): ('EPERM', NO_RIGHTS)
       for how in ('file', 'made') for mode in ('4755', '2755', '6755')},
    **{'modes: is %s' % mode: ("'100644 0:0 links 1 size 1'", NO_RIGHTS)
       for mode in ('4755', '2755', '6755')},
    'others: own, setuid': ("'EPERM'", NO_RIGHTS),
    'room: collapse': ('ENOTSUP', NO_FUSE),
    'room: insert': ('ENOTSUP', NO_FUSE),
    'room: sum': ('[53248, 77824]', 'nothing was collapsed or inserted before'),
    'room: the hole': ('[4096, 12288]', 'the same'),
    'attributes: trusted': ('ENOTSUP', NOT_USERS),
    'attributes: capability': ('ENOTSUP', NOT_USERS),
    'attributes: list': ("['user.empty', 'user.long', 'user.%s']" % ('n' * 250), NOT_USERS),
    'specials: null': ('EPERM', NO_DEVICE),
    'specials: is null': ('ENOENT', NO_DEVICE),
    'specials: disk': ('EPERM', NO_DEVICE),
    'specials: is disk': ('ENOENT', NO_DEVICE),
    'specials: suid fifo': ('EPERM', NO_RIGHTS),
    'specials: is suid fifo': ('ENOENT', NO_RIGHTS),
}
# Without a cache there are no shared mappings, and the rest is what it is with one: these suffice.
WITHOUT_CACHE = ('append', 'unlink', 'sizes', 'times', 'programs', 'listing')


def results(text):
    """What share-calls printed: {probe: [(name, result)]}."""
    found, lines = {}, None
    for line in text.splitlines():
        name, colon, result = line.partition(': ')
        if line.startswith('-- '):
            lines = found[line[3:]] = []
        elif colon:
            lines.append((name, result))
    return found


def compare(probe, on_host, in_guest):
    """Yields what is wrong with the lines of a probe."""
    for (name, wanted), (guest_name, result) in zip(on_host, in_guest):
        key = '%s: %s' % (probe, name)
        wanted = DIFFERENT.get(key, (wanted, ''))[0]
        if name != guest_name or result != wanted:
            yield '%s %s, not %s' % (key, result, wanted)
    if len(on_host) != len(in_guest):
        yield '%s: %d lines, not %d' % (probe, len(in_guest), len(on_host))


def calls(bench, cache, probes=()):
    """Each call gives on a volume what it gives on the host, in the same file system."""
    chosen = ':' + ','.join(probes) if probes else ''
    program = ROOT + '/tests/system/guest/share-calls'
    on_host = results(subprocess.run([program, bench.make('host') + chosen], check=True,
                                     stdout=subprocess.PIPE, text=True).stdout)
    end = bench.run(['/programs/share-calls', '/volume' + chosen],
                    ['--rootfs', '/', *GUEST_PROGRAMS, '-v',
                     '%s:/volume:cache=%s' % (bench.make('volume'), cache)])
    end.must(0, 'exit', True, None)
    in_guest = results(end.out.decode())
    want(list(in_guest) == list(on_host), 'probes: %s' % list(in_guest))
    wrong = [line for probe in on_host for line in compare(probe, on_host[probe], in_guest[probe])]
    want(not wrong, '%d calls: %s' % (len(wrong), '; '.join(wrong)))
    if not probes:
        known = {'%s: %s' % (probe, name) for probe in on_host for name, _result in on_host[probe]}
        want(set(DIFFERENT) <= known, 'no such calls: %s' % (set(DIFFERENT) - known))


CASES = [
    share_case("a project's own tests under --rootfs /", builds_and_tests),
    share_case('a build by two at a time', builds_in_parallel),
    share_case('--expose-home', homes, needs=why_not_root),
    share_case('a root directory is copied on write', copy_on_write, needs=why_not_root),
    share_case('an image is the root directory', image, needs=why_not_root),
    share_case('calls, one by one', calls, 'auto', needs=why_not_root),
    share_case('calls, one by one, cache=always', calls, 'always', needs=why_not_root),
    share_case('calls, one by one, cache=none', calls, 'none', WITHOUT_CACHE, needs=why_not_root),
]
