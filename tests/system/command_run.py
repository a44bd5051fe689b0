"""command_run.py - what the cases of command.py and share.py run bantam with, on pipes and on a terminal."""

import fcntl
import json
import os
import re
import select
import struct
import subprocess
import termios
import threading
import time

from case import Case, KERNELS
from harness import Wrong, find_in_order, want

CLOUD = 'cloud/vmlinuz'
THE_HOSTS = 'the modules are the host\'s'    # among options: no --modules
PATIENCE = 100       # seconds for what a guest does; a failure, never a measure


class End:
    """How a run ended: status, out and err, and what --result says."""

    def __init__(self, process, out, err, result_path):
        self.status, self.out, self.err = process.returncode, out or b'', err
        self.text = err.decode('latin-1')
        self.result = None
        if os.path.exists(result_path) and os.path.getsize(result_path):
            with open(result_path, encoding='utf-8') as f:
                self.result = json.load(f)

    def must(self, status, reason, by_command=None, out=b'', err=b''):
        """err: bytes, or a list of regular expressions that are found in this order."""
        said = '; stdout %r stderr %r' % (self.out[-200:], self.err[-600:])
        want(self.status == status, 'status %s instead of %s%s' % (self.status, status, said))
        want(self.result, 'there is no result%s' % said)
        want(self.result['reason'] == reason and self.result['exit_code'] == status
             and self.result['by_command'] is bool(by_command),
             'the result says %s, %s, by_command %s' % tuple(
                 self.result[key] for key in ('reason', 'exit_code', 'by_command')))
        if by_command and reason == 'signal':
            want(self.result['signal'] == status - 128, 'signal %s' % self.result['signal'])
        want(out is None or self.out == out, 'stdout is %.300r' % self.out)
        if isinstance(err, bytes):
            want(self.err == err, 'stderr is %.600r' % self.err)
        else:
            missing = find_in_order(err, self.text)
            want(not missing, 'stderr lacks %s, it is %.1500r' % (missing, self.text))


class Bench:
    """Where a case runs bantam: the program, the guests' root, a directory of the case's own."""

    title = 'command: '
    patience = PATIENCE

    def __init__(self, bantam, initrd, directory):
        self.bantam, self.initrd, self.directory = bantam, initrd, directory
        self.root = ['--initrd', initrd]
        self.processes, self.runs = [], 0

    def argv(self, command, options=(), kernel=CLOUD):
        """bantam's words, and where the result will be."""
        self.runs += 1
        result = '%s/result-%d' % (self.directory, self.runs)
        modules = '%s/%s/root' % (KERNELS, kernel.split('/')[0])
        argv = [self.bantam, 'run', '%s/%s' % (KERNELS, kernel), *self.root,
                '--result', result, '--modules', modules, *options, '--', *command]
        if THE_HOSTS in options:
            argv = [word for word in argv if word not in ('--modules', modules, THE_HOSTS)]
        return argv, result

    def start(self, command, options=(), kernel=CLOUD, stdin=subprocess.DEVNULL, wrap=(), **more):
        """wrap: a program and its arguments that starts bantam."""
        argv, result = self.argv(command, options, kernel)
        process = subprocess.Popen([*wrap, *argv], stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **more)
        process.result = result
        self.processes.append(process)
        return process

    def finish(self, process, data=None, seconds=None):
        """Feeds it, reads all that it says, and waits for its end."""
        out, err = process.communicate(data, timeout=seconds or self.patience)
        return End(process, out, err, process.result)

    def run(self, command, options=(), kernel=CLOUD, data=None, **more):
        if data is not None:
            more['stdin'] = subprocess.PIPE
        return self.finish(self.start(command, options, kernel, **more), data)

    def start_other(self, argv):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        self.processes.append(process)
        return process

    def kill(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()

    def close(self):
        self.kill()
        for process in self.processes:
            process.communicate()


def case(name, function, *args, kind=Bench, **more):
    """A case of run.py's: the function is called with a Bench (of that kind) and args."""
    def play(bantam, initrd, directory):
        bench = kind(bantam, initrd, directory)
        # Not every read has a limit of its own.
        watchdog = threading.Timer(2 * kind.patience, bench.kill)
        watchdog.start()
        try:
            function(bench, *args)
        except Wrong as wrong:
            return str(wrong)
        except subprocess.TimeoutExpired:
            return 'no end within %d s' % kind.patience
        except Exception as error:    # pylint: disable=broad-except
            return 'the case itself failed: %r' % error
        finally:
            watchdog.cancel()
            bench.close()
        return None
    more.setdefault('timeout', 3 * kind.patience)
    return Case(kind.title + name, CLOUD, play=play, **more)


def shell(script, *words):
    return ['sh', '-c', script, 'sh', *words]


def read_until(stream, pattern):
    """Reads a pipe until what came matches; returns it."""
    data, end = b'', time.monotonic() + PATIENCE
    while not re.search(pattern, data, re.M):
        want(select.select([stream], [], [], max(0, end - time.monotonic()))[0],
             'no %r within %d s, but %.300r' % (pattern, PATIENCE, data))
        chunk = os.read(stream.fileno(), 65536)
        want(chunk, 'the end instead of %r; before it %.300r' % (pattern, data))
        data += chunk
    return data


class Terminal:
    """bantam on a terminal of its own, as a shell's job in the foreground."""

    def __init__(self, argv, rows, columns):
        self.screen, self.seen = b'', 0
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.before = self.settings()
        self.process = subprocess.Popen(
            argv, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def settings(self):
        return termios.tcgetattr(self.slave)

    def see(self, pattern):
        """Waits for something to appear, behind what was seen before."""
        end = time.monotonic() + PATIENCE
        while not re.compile(pattern).search(self.screen, self.seen):
            want(time.monotonic() < end and self.process.poll() is None,
                 'the screen lacks %r; it ends in %r' % (pattern, self.screen[-300:]))
            if select.select([self.master], [], [], 1)[0]:
                self.screen += os.read(self.master, 65536)
        self.seen = re.compile(pattern).search(self.screen, self.seen).end()

    def type(self, keys):
        os.write(self.master, keys)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
