"""case.py - one run of the monitor, as the tables boot.py, disk.py and net.py list them."""

import os
import signal

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('BUILD', ROOT + '/build')
KERNELS = BUILD + '/kernels'
IMAGES = BUILD + '/images'

KERNEL = 'cloud/vmlinuz'
# Only what the kernel warns of: each line on a serial port costs an emulated processor a lot.
MODULES = ('loglevel=5 load=virtio_pci,virtio_mmio,virtio_rng,virtio_blk,virtio_net,'
           'crc32c_generic,ext4 ')

OK = 0
GUEST_DIED = 255

POWERED_OFF = r'^bantam: the guest powered off$'
RESET = r'^bantam: the guest reset the machine$'
PANICKED = r"^bantam: the guest's kernel panicked: Kernel panic - not syncing: "
USER_SPACE = r'^GUEST: user space reached'


class Case:
    """One run. Only name and kernel must be given.

    kernel     cloud or generic, and the file: 'cloud/vmlinuz'
    append     added to the kernel command line
    cpus, memory
    args       more options; in them, {dir} is a directory of the case's own
    wrap       a program and its arguments that starts bantam
    files      a function of that directory, called before: puts there what the run needs
    needs      a function of that directory that returns None or why the case can't be here
    stdin      bytes for a pipe that then stays open; None: /dev/null
    feed_when  send them only when the output matches this
    talk       a list of (pattern, answer): once the output matches the pattern, behind the match of
               the one before, the answer is typed. It is bytes, or a function of the directory
               that returns them
    stdout     'pipe', or 'gone' (a pipe whose reader has left)
    pause      (pattern, seconds): read nothing for so long once the output matches
    expect     regular expressions for the standard output, found in this order
    absent     one that must not be found there
    err        as expect, for standard error
    status     the exit status
    when, send the signals to send as soon as the output matches `when`
    check      a function of the output that returns None or what is wrong
    after      the same, of the directory and the output
    clean      the kernel must not complain about the machine
    known      complaints that are expected all the same: a regular expression
    play       a function of the program, the initramfs and the directory that does and looks at
               all of it by itself, and returns None or what is wrong
    timeout    seconds until it is killed and has failed
    """

    def __init__(self, name, kernel, append='', cpus=1, memory='256M', args=(), wrap=(), files=None,
                 needs=None, stdin=None, feed_when=None, talk=(), stdout='pipe', pause=None,
                 expect=(), absent=None, err=(POWERED_OFF,), status=OK, when=None,
                 send=(signal.SIGTERM,), check=None, after=None, clean=True, known=None,
                 play=None, timeout=60):
        self.name, self.kernel, self.append = name, kernel, append
        self.cpus, self.memory, self.args, self.wrap = cpus, memory, list(args), list(wrap)
        self.files, self.needs = files, needs
        self.stdin, self.feed_when, self.talk = stdin, feed_when, list(talk)
        self.stdout, self.pause = stdout, pause
        self.expect, self.absent, self.err = expect, absent, err
        self.status, self.when, self.send = status, when, send
        self.check, self.after = check, after
        self.clean, self.known, self.play, self.timeout = clean, known, play, timeout


def script(name, title, transport, args=(), append='', expect=(), **more):
    """A case whose guest runs a script of tests/system/guest."""
    more.setdefault('timeout', 120)
    return Case('%s, %s' % (title, transport), KERNEL,
                '%sdo=run script=%s %s' % (MODULES, name, append),
                args=['--transport', transport] + list(args),
                expect=[USER_SPACE, *expect, r'^GUEST: the script %s ended with 0$' % name], **more)


def both(make, *args, **more):
    return [make(transport, *args, **more) for transport in ('pci', 'mmio')]
