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


CASES = [
    share_case("a project's own tests under --rootfs /", builds_and_tests),
]
