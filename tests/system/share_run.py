"""share_run.py - what the cases of share.py and share_host.py run and compare with."""

import hashlib
import os
import stat

from case import ROOT
from command_run import PATIENCE, Bench, case

USER, GROUP = 4242, 4343         # nobody's
GUEST_PROGRAMS = ['-v', ROOT + '/tests/system/guest:/programs:ro']


class Share(Bench):
    """A Bench whose guests have what --rootfs and --volume give them, and nothing else."""

    title = 'share: '
    # The host's programs are more than busybox.
    patience = 3 * PATIENCE

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
