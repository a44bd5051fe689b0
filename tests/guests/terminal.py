#!/usr/bin/env python3
"""terminal.py - runs bantam on a terminal, as a shell with job control does.

    tests/guests/terminal.py [-v] [-k WORD] [--build DIR] [BANTAM]

Each case is a function, run in a process of its own that is what a shell is: leader of a session
with a pseudo-terminal as its controlling terminal, which starts bantam as a job, in the foreground
or not, and waits for it to stop or end. It also holds the terminal's other end, so it types and
sees what is on the screen. BANTAM is the program (default: $BANTAM, or ./bantam); the guests are
taken from DIR/guests (default: $BUILD, or build).

After each case the terminal's modes must be what they were before, unless the case says otherwise.

One line a case: ok or FAIL with a reason. The last line counts them. The exit status is 1 if any
failed. Where /dev/kvm can't be used at all, everything is skipped, and that is no failure.

Limits: Linux. A case has 30 seconds; waits inside it have ten.
"""

import argparse
import ctypes
import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import USAGE, Tally, Wrong, want, why_no_kvm  # noqa: E402

PATIENCE = 10        # seconds for anything that should happen at once
CASE_SECONDS = 30
OVERRUN_KIB = 256    # much more than the terminal and bantam hold together
CTRL_A, CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = b'\x01', b'\x03', b'\x04', b'\x1a', b'\x1c'
STOPPED = 'stopped'
GUEST_DIED = 255
QUIT_KEY = 130
PR_SET_CHILD_SUBREAPER = 36

LFLAG = 3            # indexes into what tcgetattr returns
CC = 6


def until(condition, reason, seconds=PATIENCE):
    """Waits for condition() to be true."""
    end = time.monotonic() + seconds
    while not condition():
        want(time.monotonic() < end, reason)
        time.sleep(0.01)


def state_of(pid):
    """The state letter of a process: R, S, T, Z and so on; None if there is none such."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rpartition(')')[2].split()[0]
    except OSError:
        return None


def status_of(wait_status):
    """What a shell would show as $?; STOPPED for a job that has only stopped."""
    if os.WIFSTOPPED(wait_status):
        return STOPPED
    if os.WIFSIGNALED(wait_status):
        return 128 + os.WTERMSIG(wait_status)
    return os.WEXITSTATUS(wait_status)


class Shell:
    """The session leader, its terminal, and its one job."""

    def __init__(self, bantam, guests):
        self.bantam, self.guests = bantam, guests
        self.screen = b''
        self.pid = None
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)    # it changes the foreground at any time
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.setsid()
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack('HHHH', 25, 80, 0, 0))
        # Not the default, so that restoring a default is noticed.
        modes = termios.tcgetattr(self.slave)
        modes[CC][termios.VERASE] = b'\x08'
        modes[LFLAG] &= ~termios.ECHOKE
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)
        self.before = self.modes()

    # ---- the terminal ----

    def modes(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.modes()[LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def is_as_before(self):
        return self.modes() == self.before

    def type(self, keys):
        os.write(self.master, keys)

    def look(self, seconds=0.0):
        """Takes what is on the screen; False when nothing new came within the seconds."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            self.screen += os.read(self.master, 65536)
        except OSError:
            return False
        return True

    def see(self, pattern, seconds=PATIENCE):
        """Waits for the pattern to appear on the screen."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.screen, re.M):
            self.look(0.05)
            want(time.monotonic() < end, 'the screen lacks %r' % pattern.decode('latin-1'))

    # ---- the job ----

    def start(self, guest, args=(), foreground=True, stdin=None, stdout=None, stderr=None):
        """Starts bantam with the guest; what isn't given is the terminal."""
        argv = [self.bantam, 'run'] + list(args) + ['%s/%s.elf' % (self.guests, guest)]
        fds = [self.slave if fd is None else fd for fd in (stdin, stdout, stderr)]
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                if foreground:
                    os.tcsetpgrp(self.slave, os.getpid())
                for number in (signal.SIGTTOU, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in fds]
                for number, fd in enumerate(fds):
                    os.dup2(fd, number)
                os.closerange(3, 64)
                os.execv(argv[0], argv)
            finally:
                os._exit(126)
        try:
            os.setpgid(self.pid, self.pid)
        except OSError:
            pass         # it was faster and is another program now
        if foreground:
            os.tcsetpgrp(self.slave, self.pid)

    def kill(self, number):
        os.kill(self.pid, number)

    def foreground(self):
        """What `fg` does."""
        os.tcsetpgrp(self.slave, self.pid)
        os.killpg(self.pid, signal.SIGCONT)

    def wait(self, seconds=PATIENCE, read=True):
        """Waits until the job has stopped or ended; the shell has the terminal again then."""
        end = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            if pid:
                break
            want(time.monotonic() < end, 'bantam has not ended after %d s' % seconds)
            if not read or not self.look(0.01):
                time.sleep(0.01)
        status = status_of(status)
        if status != STOPPED:
            self.pid = None
        while read and self.look():
            pass
        os.tcsetpgrp(self.slave, os.getpgrp())
        return status

    def wait_for(self, wanted, **args):
        status = self.wait(**args)
        want(status == wanted, 'status %s instead of %s' % (status, wanted))

    def wait_raw(self):
        until(self.is_raw, 'the terminal is not raw')

    def start_raw(self, guest, says, args=()):
        """A guest in the foreground that has said something; the terminal is raw."""
        self.start(guest, args)
        self.see(says)
        self.wait_raw()


CASES = []


def case(name, restored=True):
    """Makes the function a case. restored: the terminal must be as before at its end."""
    def add(function):
        CASES.append((name, function, restored))
        return function
    return add


# ---- the terminal comes back, whatever ends the guest ----

def ended_by(number, guest, says, status):
    def run(sh):
        sh.start_raw(guest, says)
        sh.kill(number)
        sh.wait_for(status)
    return run


@case('power-off')
def _(sh):
    sh.start('hello')
    sh.wait_for(0)
    want(b'hello from a 32-bit PVH guest' in sh.screen, 'no greeting')


@case('triple fault')
def _(sh):
    sh.start('triplefault')
    sh.wait_for(GUEST_DIED)


@case('reset')
def _(sh):
    sh.start('reset')
    sh.wait_for(0)


@case('panic')
def _(sh):
    sh.start('panic')
    sh.wait_for(GUEST_DIED)


for _number in signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT:
    case(_number.name)(ended_by(_number, 'idle', rb'^idle', 128 + _number))
    case('%s, guest that never listens' % _number.name)(
        ended_by(_number, 'spin', rb'^spinning', 128 + _number))
# Crashes: bantam dies of the signal, but gives the terminal back first.
for _number in signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS:
    case('crash by %s' % _number.name)(ended_by(_number, 'spin', rb'^spinning', 128 + _number))


@case('Ctrl-A x')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    sh.type(CTRL_A + b'x')
    sh.wait_for(QUIT_KEY)


@case('Ctrl-A x, guest that never listens')
def _(sh):
    sh.start_raw('spin', rb'^spinning')
    sh.type(b'abc' + CTRL_A)
    time.sleep(0.1)
    sh.type(b'x')
    sh.wait_for(QUIT_KEY)


@case('Ctrl-A x after more input than can be held')
def _(sh):
    sh.start_raw('spin', rb'^spinning')
    for _ in range(20):
        sh.type(b'y' * 200)
        time.sleep(0.02)
    sh.type(CTRL_A + b'x')
    sh.wait_for(QUIT_KEY)


@case('no kernel: an error at the start')
def _(sh):
    sh.start('missing')
    sh.wait_for(USAGE)
    want(re.search(rb'^bantam: .*missing.*\r\n', sh.screen, re.M), 'no message, or no \\r\\n')


@case('console off: the terminal is not touched')
def _(sh):
    sh.start('spin', ['--console', 'off'])
    time.sleep(0.5)
    want(sh.is_as_before(), 'the terminal was touched')
    sh.type(CTRL_C)
    sh.wait_for(128 + signal.SIGINT)


@case('console in a file: the terminal is not touched')
def _(sh):
    sh.start('spin', ['--console', '/dev/null'])
    time.sleep(0.5)
    want(sh.is_as_before(), 'the terminal was touched')
    sh.type(CTRL_BACKSLASH)
    sh.wait_for(128 + signal.SIGQUIT)


# ---- keys ----

@case('every other key goes to the guest: Ctrl-C, Ctrl-Z, Ctrl-D, Ctrl-\\')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    keys = CTRL_C + CTRL_Z + CTRL_D + CTRL_BACKSLASH + b'\x11\x13\x7f\x08\x15\x16\x17'
    sh.type(keys + b'\r')
    sh.see(rb'^line: ' + re.escape(keys) + rb'\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('every byte but Ctrl-A and line ends')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    keys = bytes(b for b in range(2, 256) if b not in b'\r\n')
    sh.type(keys + b'\r')
    sh.see(rb'^line: ' + re.escape(keys) + rb'\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('Ctrl-A a sends one Ctrl-A')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    sh.type(b'<' + CTRL_A + b'a>\r')
    sh.see(rb'^line: <\x01>\s')
    sh.type(b'[' + CTRL_A)
    time.sleep(0.2)
    sh.type(b'a]\r')
    sh.see(rb'^line: \[\x01\]\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('Ctrl-A and an unknown key send nothing, and end nothing')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    sh.type(b'<' + CTRL_A + b'k>\r')
    sh.see(rb'^line: <>\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('Ctrl-A from a pipe is a byte like any other')
def _(sh):
    read_end, write_end = os.pipe()
    os.write(write_end, b'<' + CTRL_A + b'x>\nquit\n')
    os.close(write_end)
    sh.start('echo', stdin=read_end)
    sh.wait_for(0)
    want(re.search(rb'^line: <\x01x>', sh.screen, re.M), 'the bytes did not arrive')


@case('type-ahead before bantam starts')
def _(sh):
    sh.type(b'early\n')
    sh.start('echo')
    sh.see(rb'^line: early\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('type-ahead before the guest listens')
def _(sh):
    sh.start('echo')
    sh.wait_raw()
    sh.type(b'ahead\r')
    sh.see(rb'^line: ahead\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('a paste of 300 lines arrives')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    text = [b'line %04d %s' % (i, b'x' * 40) for i in range(300)]
    for line in text:
        sh.type(line + b'\r')
        sh.look()
    sh.type(b'quit\r')
    sh.wait_for(0)
    missing = [line for line in text if b'line: ' + line not in sh.screen]
    want(not missing, '%d of 300 lines are missing or torn' % len(missing))


# ---- job control ----

@case('SIGTSTP: the terminal is the shell\'s until SIGCONT')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    sh.kill(signal.SIGTSTP)
    sh.wait_for(STOPPED)
    want(sh.is_as_before(), 'the terminal was not restored')
    want(state_of(sh.pid) == 'T', 'the process is in state %s' % state_of(sh.pid))
    sh.foreground()
    sh.wait_raw()
    sh.type(b'back\r')
    sh.see(rb'^line: back\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('SIGTSTP ten times')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    for turn in range(10):
        sh.kill(signal.SIGTSTP)
        sh.wait_for(STOPPED)
        want(sh.is_as_before(), 'the terminal was not restored')
        sh.foreground()
        sh.wait_raw()
        sh.type(b'turn %d\r' % turn)
        sh.see(b'^line: turn %d\\s' % turn)
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('SIGSTOP, a shell with modes of its own, SIGCONT')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    sh.kill(signal.SIGSTOP)
    sh.wait_for(STOPPED)
    want(sh.is_raw(), 'nobody can have restored it')
    # What bash does for its line editor.
    modes = [*sh.before]
    modes[LFLAG] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(sh.slave, termios.TCSANOW, modes)
    sh.foreground()
    sh.wait_raw()
    sh.type(b'back\r')
    sh.see(rb'^line: back\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('SIGTSTP, the user changes modes, SIGCONT: the change stays', restored=False)
def _(sh):
    sh.start_raw('echo', rb'^ready')
    sh.kill(signal.SIGTSTP)
    sh.wait_for(STOPPED)
    modes = sh.modes()
    modes[CC][termios.VERASE] = b'\x7f'
    termios.tcsetattr(sh.slave, termios.TCSANOW, modes)
    changed = sh.modes()
    sh.foreground()
    sh.wait_raw()
    sh.type(CTRL_A + b'x')
    sh.wait_for(QUIT_KEY)
    want(sh.modes() == changed, 'the modes are not the changed ones')


@case('SIGTSTP, then SIGTERM while it is stopped')
def _(sh):
    sh.start_raw('spin', rb'^spinning')
    sh.kill(signal.SIGTSTP)
    sh.wait_for(STOPPED)
    sh.kill(signal.SIGTERM)
    sh.kill(signal.SIGCONT)
    sh.wait_for(128 + signal.SIGTERM)


@case('SIGTSTP, continued in the background: the terminal is not touched')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    sh.kill(signal.SIGTSTP)
    sh.wait_for(STOPPED)
    sh.kill(signal.SIGCONT)
    time.sleep(0.3)
    want(sh.is_as_before(), 'the terminal was touched')
    want(state_of(sh.pid) in 'SR', 'the process is in state %s' % state_of(sh.pid))
    sh.foreground()
    sh.wait_raw()
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('in the background from the start: it runs and ends')
def _(sh):
    sh.start('hello', foreground=False)
    sh.wait_for(0)
    want(b'hello from a 32-bit PVH guest' in sh.screen, 'no greeting')


@case('in the background: the terminal is not touched nor read')
def _(sh):
    sh.start('echo', foreground=False)
    sh.see(rb'^ready')
    time.sleep(0.3)
    want(sh.is_as_before(), 'the terminal was touched')
    sh.type(b'for the shell\n')
    time.sleep(0.3)
    want(state_of(sh.pid) == 'S', 'the process is in state %s' % state_of(sh.pid))
    want(os.read(sh.slave, 100) == b'for the shell\n', 'the shell\'s input was taken')
    sh.kill(signal.SIGTERM)
    sh.wait_for(128 + signal.SIGTERM)


@case('in the background, then brought to the foreground')
def _(sh):
    sh.start('echo', foreground=False)
    sh.see(rb'^ready')
    sh.foreground()
    sh.wait_raw()
    sh.type(b'here\r')
    sh.see(rb'^line: here\s')
    sh.type(b'quit\r')
    sh.wait_for(0)


@case('in the background, SIGTSTP and SIGTERM')
def _(sh):
    sh.start('spin', foreground=False)
    sh.see(rb'^spinning')
    sh.kill(signal.SIGTSTP)
    sh.wait_for(STOPPED)
    sh.kill(signal.SIGCONT)
    sh.kill(signal.SIGTERM)
    sh.wait_for(128 + signal.SIGTERM)


# ---- hang-up ----

@case('hang-up with bantam as the session\'s leader', restored=False)
def _(sh):
    master, slave = os.openpty()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for fd in range(3):
            os.dup2(slave, fd)
        os.closerange(3, 64)
        os.execv(sh.bantam, [sh.bantam, 'run', sh.guests + '/spin.elf'])
    os.close(slave)
    sh.pid = pid
    sh.master, held = master, sh.master
    sh.see(rb'^spinning')
    sh.master = held
    os.close(master)
    sh.wait_for(128 + signal.SIGHUP)


@case('hang-up, with a shell that dies of it', restored=False)
def _(sh):
    # Whoever loses its parent becomes ours, so that its status is seen.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    read_end, write_end = os.pipe()
    master, slave = os.openpty()
    other = os.fork()
    if other == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        os.close(master)
        os.close(sh.master)
        os.close(sh.slave)
        sh.slave = slave
        sh.start('spin')
        os.write(write_end, b'%d' % sh.pid)
        while True:
            signal.pause()
    os.close(slave)
    sh.pid = int(os.read(read_end, 20))
    sh.master, held = master, sh.master
    sh.see(rb'^spinning')
    sh.master = held
    os.close(master)
    want(os.waitpid(other, 0)[1] == signal.SIGHUP, 'the shell did not die of SIGHUP')
    sh.wait_for(128 + signal.SIGHUP)


# ---- only some descriptors are the terminal ----

@case('stdin is no terminal, stdout is: not raw, Ctrl-C ends it')
def _(sh):
    sh.start('spin', stdin=os.open('/dev/null', os.O_RDONLY))
    sh.see(rb'^spinning')
    time.sleep(0.2)
    want(sh.is_as_before(), 'the terminal was touched')
    sh.type(CTRL_C)
    sh.wait_for(128 + signal.SIGINT)


@case('stdin is the terminal, stdout is none: raw, and keys arrive')
def _(sh):
    read_end, write_end = os.pipe()
    sh.start('echo', stdout=write_end)
    os.close(write_end)
    sh.wait_raw()
    sh.type(b'quit\r')
    sh.wait_for(0)
    out = os.read(read_end, 4096)
    want(b'line: quit' in out, 'stdout was %r' % out)


@case('the terminal\'s descriptor stays blocking')
def _(sh):
    sh.start_raw('echo', rb'^ready')
    want(not fcntl.fcntl(sh.slave, fcntl.F_GETFL) & os.O_NONBLOCK, 'O_NONBLOCK is set')
    sh.type(b'quit\r')
    sh.wait_for(0)
    want(not fcntl.fcntl(sh.slave, fcntl.F_GETFL) & os.O_NONBLOCK, 'O_NONBLOCK is left')


# ---- bantam's own words ----

@case('the last words end in CR LF')
def _(sh):
    sh.start('poweroff')
    sh.wait_for(0)
    want(re.search(rb'^bantam: the guest powered off\r+\n\Z', sh.screen, re.M),
         'the screen ends in %r' % sh.screen[-60:])


@case('words while the terminal is raw end in CR LF')
def _(sh):
    # Output to a pipe that nobody reads any more is what bantam has to say something about.
    read_end, write_end = os.pipe()
    os.close(read_end)
    sh.start('echo', stdout=write_end)
    os.close(write_end)
    sh.wait_raw()
    sh.see(rb'^bantam: .*\n')
    sh.type(b'quit\r')
    sh.wait_for(0)
    lines = re.findall(rb'[^\n]*\n', sh.screen)
    want(lines and all(line.endswith(b'\r\n') for line in lines), 'the screen is %r' % sh.screen)


# ---- nobody reads the terminal ----

def unread(sh):
    """A guest that writes much more than the terminal takes, while nobody looks."""
    sh.start('overrun', ['-a', 'kib=%d' % OVERRUN_KIB])
    sh.wait_raw()
    time.sleep(1)
    want(state_of(sh.pid) in ('S', 'R'), 'the process is in state %s' % state_of(sh.pid))


@case('screen not read: SIGTERM ends it')
def _(sh):
    unread(sh)
    sh.kill(signal.SIGTERM)
    sh.wait_for(128 + signal.SIGTERM, read=False)


@case('screen not read: Ctrl-A x ends it')
def _(sh):
    unread(sh)
    sh.type(CTRL_A + b'x')
    sh.wait_for(QUIT_KEY, read=False)


@case('screen not read for a second, then read: nothing is lost')
def _(sh):
    unread(sh)
    sh.wait_for(0, seconds=20)
    numbers = [int(n) for n in re.findall(rb'^(\d{7}) ', sh.screen, re.M)]
    lines = OVERRUN_KIB * 16
    want(numbers == list(range(lines)), '%d of %d lines' % (len(numbers), lines))


# ---- running them ----

def child(function, restored, bantam, guests, report):
    """The case's own process. Writes `pid N` for each bantam, `wrong REASON`, the screen."""
    sh = None
    try:
        sh = Shell(bantam, guests)
        function(sh)
        if restored:
            want(sh.is_as_before(), 'the terminal is not as it was before')
        want(sh.pid is None, 'bantam still runs')
        reason = ''
    except Wrong as wrong:
        reason = str(wrong)
    except Exception as error:      # any failure of the case is one to report
        reason = '%s: %s' % (type(error).__name__, error)
    if sh is not None and sh.pid is not None:
        try:
            os.kill(sh.pid, signal.SIGKILL)
        except OSError:
            pass
    os.write(report, reason.encode() + b'\0' + (sh.screen[-2000:] if sh else b''))
    os._exit(0)


def run(function, restored, bantam, guests):
    """Runs one case; returns the reason of its failure ('' if none) and the screen's end."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        child(function, restored, bantam, guests, write_end)
    os.close(write_end)
    if select.select([read_end], [], [], CASE_SECONDS)[0]:
        reason, _, screen = os.read(read_end, 65536).partition(b'\0')
    else:
        reason, screen = b'no end within %d s' % CASE_SECONDS, b''
        os.kill(pid, signal.SIGKILL)     # its terminal goes with it, and bantam with that
    os.waitpid(pid, 0)
    os.close(read_end)
    return reason.decode('latin-1'), screen.decode('latin-1')


def main():
    parser = argparse.ArgumentParser(description='Runs bantam on a terminal.')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', './bantam'))
    parser.add_argument('-k', metavar='WORD', default='', help='only cases with WORD in their name')
    parser.add_argument('-v', action='store_true', help='show the screen of a failed case')
    parser.add_argument('--build', metavar='DIR', default=os.environ.get('BUILD', 'build'))
    options = parser.parse_args()
    bantam, guests = os.path.abspath(options.bantam), os.path.abspath(options.build) + '/guests'

    for path in (bantam, guests + '/hello.elf'):
        if not os.path.exists(path):
            sys.exit('terminal.py: %s is not there: build it first' % path)
    cases = [case for case in CASES if options.k in case[0]]
    tally = Tally()
    reason = why_no_kvm(bantam, guests + '/hello.elf')
    if reason:
        tally.skip(len(cases), reason)
        return tally.close()
    for name, function, restored in cases:
        began = time.monotonic()
        reason, screen = run(function, restored, bantam, guests)
        tally.result(name, reason, time.monotonic() - began,
                     [('screen', screen)] if options.v else ())
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
