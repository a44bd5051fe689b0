"""share.py - directories of the host's in guests (--rootfs, --volume), with stock kernels.

A case is a function that gets a Share, as those of command.py get a Bench. Programs for the guest
are in tests/system/guest; with `--rootfs /` the host's interpreters and compilers run them there.

Host directories are made in the case's own directory, which is on an ext4 file system; what has to
be owned by root, or mounted, needs root: the cases that do so say it when they are skipped.
"""

import hashlib
import os
import re
import shutil
import stat
import subprocess

from case import BUILD, ROOT
from command_run import Bench, PATIENCE, case, shell
from harness import USAGE, want

SOURCE = BUILD + '/sources/bzip2'
USER, GROUP = 4242, 4343         # nobody's
GUEST_PROGRAMS = ROOT + '/tests/system/guest'


class Share(Bench):
    """A Bench whose guests have what --rootfs and --volume give them, and nothing else."""

    title = 'share: '

    def __init__(self, bantam, initrd, directory):
        super().__init__(bantam, initrd, directory)
        self.root = []
        # Others than root run bantam here, too.
        os.chmod(directory, 0o777)

    def make(self, name, owner=None):
        """A new directory's path."""
        path = '%s/%s' % (self.directory, name)
        os.mkdir(path)
        if owner:
            os.chown(path, *owner)
        return path


def share_case(name, function, *args, **more):
    return case(name, function, *args, kind=Share, **more)


def why_not_root(_directory):
    return None if os.geteuid() == 0 else 'it takes root'


def unprivileged():
    """How Popen runs bantam as somebody without rights: the tester, or if that is root, USER."""
    if os.geteuid():
        return {}
    return dict(user=USER, group=GROUP, extra_groups=[], env=dict(os.environ, HOME='/nonexistent'))


def owner_of_runs():
    return (USER, GROUP) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def below(path):
    """Yields the directory and all that is in it, as bytes."""
    yield os.fsencode(path)
    for directory, names, files in os.walk(os.fsencode(path)):
        for name in names + files:
            yield directory + b'/' + name


def picture(path):
    """All that can be seen of a tree, but for the times of reading: a list of tuples."""
    seen = []
    for name in sorted(below(path)):
        status = os.lstat(name)
        content = b''
        if stat.S_ISREG(status.st_mode):
            with open(name, 'rb') as file:
                content = hashlib.sha256(file.read()).digest()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(name)
        seen.append((name, status.st_mode, status.st_uid, status.st_gid, status.st_nlink,
                     status.st_size, status.st_mtime_ns, status.st_ctime_ns, content))
    return seen


def changed(before, after):
    """The names of what differs between two pictures."""
    return sorted({entry[0] for entry in set(before) ^ set(after)})[:5]


# ---- a project's own tests, in the host's own environment ----

def builds_and_tests(bench):
    """A program is built and tested in the guest by the host's compiler, for a user without rights."""
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
    end = bench.run(command, options, **unprivileged())
    end.must(2, 'exit', True, None, [r'^make: \*\*\* .*test'])


# ---- a root directory that stays as it was ----

def make_root(path):
    """A small root directory with something of everything: busybox, and what the guest will change."""
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
    bench.run(shell(HAVOC), ['--rootfs', path]).must(0, 'exit', True, HAVOC_SEEN)
    want(picture(path) == before, 'the image changed')
    bench.run(shell(REFUSED), ['--rootfs', path + ',ro']).must(
        0, 'exit', True, b'      7 Read-only file system\n')
    want(picture(path) == before, 'with ro, the image changed')
    bench.run(shell(HAVOC), ['--rootfs', path + ',rw']).must(0, 'exit', True, HAVOC_SEEN)
    end = bench.run(shell('cat /data/changed; ls /data/gone /data/dir2/deep'), ['--rootfs', path])
    end.must(1, 'exit', True, b'new\n/data/dir2/deep:\nf\ng\n', [r'gone: No such file'])


# ---- calls, one by one ----

# probe, name: what a volume gives, where that isn't what the same file system gives on the host
DIFFERENT = {
}


def results(text):
    """The lines of share-calls: a list of (probe, name, result), and of the directories."""
    found, where = [], None
    for line in text.splitlines():
        name, colon, result = line.partition(': ')
        if line.startswith('-- '):
            where = line[3:]
        elif colon:
            found.append((where, name, result))
    return found


def calls(bench):
    """Each call gives on a volume what it gives on the host, in the same file system."""
    on_host = subprocess.run([GUEST_PROGRAMS + '/share-calls', bench.make('host')], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    options = ['--rootfs', '/', '-v', GUEST_PROGRAMS + ':/programs:ro']
    caches = 'auto', 'none', 'always'
    for cache in caches:
        options += ['-v', '%s:/%s:cache=%s' % (bench.make(cache), cache, cache)]
    end = bench.run(['/programs/share-calls'] + ['/' + cache for cache in caches], options)
    end.must(0, 'exit', True, None)
    by_cache = re.split(r'^/(?:auto|none|always)\n', end.out.decode(), flags=re.M)[1:]
    want(len(by_cache) == len(caches), 'the guest said %.300r' % end.out)
    expected, wrong = results(on_host), []
    for cache, text in zip(caches, by_cache):
        found = results(text)
        want([line[:2] for line in found] == [line[:2] for line in expected],
             'other lines: %s' % sorted(set(line[:2] for line in found)
                                        ^ set(line[:2] for line in expected)))
        for (where, name, wanted), (_where, _name, result) in zip(expected, found):
            different = DIFFERENT.get('%s: %s' % (where, name), {})
            wanted = different.get(cache, different.get('all', wanted))
            if result != wanted:
                wrong.append('cache=%s, %s, %s: %s, not %s' % (cache, where, name, result, wanted))
    want(not wrong, '%d calls: %s' % (len(wrong), '; '.join(wrong)))


CASES = [
    share_case("a project's own tests under --rootfs /", builds_and_tests),
    share_case('a root directory is copied on write', copy_on_write, needs=why_not_root),
    share_case('an image is the root directory', image, needs=why_not_root),
    share_case('calls, one by one', calls, needs=why_not_root),
]
