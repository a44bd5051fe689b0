#!/usr/bin/env python3
"""run.py - boots stock distribution kernels in bantam and looks at what comes out.

    tests/system/run.py [-v] [-k WORD]... [--table NAME]... [-j N] [--logs DIR] [BANTAM]
    tests/system/run.py --prepare

Each case of the tables in boot.py, disk.py and net.py is one run of the monitor: a kernel, its
command line, what is typed on its console and when, what must appear (regular expressions, in this
order), and the exit status. The guests' first program is tests/system/initrd/init; `do=` on the
command line says what it does. Cases of command.py, gdb.py, share.py and share_host.py are functions
that run the monitor themselves.

BANTAM is the program (default: $BANTAM, or ./bantam). The kernels are those of tools/kernels, the
images those of tools/images; the initramfs is build/system/initrd.img. --prepare makes what is
missing of them and runs nothing: inside tests/kvmhost, what is written is lost.

One line a case: ok or FAIL with a reason. With build/asan/sanitized or tsan's for BANTAM (see there)
a case fails when a sanitizer has reported anything; one guest runs at a time then. Lines that begin with `info` tell of long silences
between two messages of a kernel; they are no failures. The last line counts. The exit status is 1
if any failed.

How: N guests run at the same time (default: 2), each watched by a thread. What a case has printed
is left in DIR/NAME.log. Inside tests/kvmhost there is one guest at a time: the emulated host was
seen to break down (a lost processor, a fault in its own kernel) with two. The images of disks
are made in build/system or, inside tests/kvmhost, on a drive whose file system has the label
`scratch` (in_kvmhost.py sees to it): the file system that is always there can't open files with
O_DIRECT. Without the drive, the cases that do so are skipped, with a word.

Limits: a /dev/kvm that runs unmodified kernels; tests/kvmhost is one. No time is asserted but the
generous time-outs, for a software-emulated processor takes fifty times as long.
"""

import argparse
import concurrent.futures
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + '/tests')
import boot  # noqa: E402
import command  # noqa: E402
import disk  # noqa: E402
import gdb  # noqa: E402
import net  # noqa: E402
import share  # noqa: E402
import share_host  # noqa: E402
from case import BUILD, KERNELS  # noqa: E402
from harness import Tally, find_in_order, reports, why_no_kvm  # noqa: E402

LONG_SILENCE_S = 3

INITRD = BUILD + '/system/initrd.img'
TABLES = {'boot': boot.CASES, 'command': command.CASES, 'disk': disk.CASES, 'gdb': gdb.CASES,
          'net': net.CASES, 'share': share.CASES + share_host.CASES}

# What a kernel says when the machine is not as it was told, or does not work.
COMPLAINTS = (
    r'Firmware Bug', r'\bBUG:', r'ACPI (BIOS )?(Error|Warning)', r'nobody cared',
    r'i8042: (Probing|Can|No controller)', r'rtc\S*: .*(fail|unable|timed? ?out)',
    r'WARNING: CPU', r'unchecked MSR access', r'No irq handler', r'Oops', r'do_IRQ',
    r'fail(ed|ure) to (bring up|wake|start) ', r'CPU\d+ failed to', r'APIC.*(error|bogus)',
    r'Dazed and confused', r'ttyS0: (too much work|LSR)', r'I/O error',
    r'EXT4-fs (error|warning)', r'virtio\S*: .*(fail|error)', r'blocked for more than \d+ seconds',
)
# The emulated host's processor has this, not ours.
KNOWN_IN_KVMHOST = re.compile(
    r'^.*\n.*XSAVE consistency problem.*\n.*WARNING: CPU.*$', re.M)


class Result:
    def __init__(self):
        self.out, self.err, self.status, self.seconds = '', '', None, 0.0
        self.timed_out = False
        self.skipped = self.wrong = None


def feed(fd, data):
    """Writes to a pipe that nobody may read."""
    try:
        while data:
            data = data[os.write(fd, data):]
    except OSError:
        pass


class Running:
    """A run: the process, and what is done to it as its output comes."""

    def __init__(self, case, argv, err_file, directory):
        self.case, self.data, self.directory = case, b'', directory
        self.out = self.into = None
        self.talk, self.talked = case.talk[:], 0
        stdin = subprocess.DEVNULL
        if case.stdin is not None or case.talk:
            stdin, self.into = os.pipe()
        self.out, stdout = os.pipe()
        if case.stdout == 'gone':
            os.close(self.out)
            self.out = None
        self.process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=err_file)
        os.close(stdout)
        if self.into is not None:
            os.close(stdin)
        self.todo = [(case.when, self.send)] if case.when else []
        if case.stdin is not None:
            self.todo.append((case.feed_when or '', self.feed))
        if case.pause:
            self.todo.append((case.pause[0], lambda: time.sleep(case.pause[1])))

    def feed(self):
        self.type(self.case.stdin)

    def type(self, data):
        threading.Thread(target=feed, args=(self.into, data), daemon=True).start()

    def send(self):
        for number in self.case.send:
            self.process.send_signal(number)
        self.sent_at = time.monotonic()

    def act(self):
        """Does what waits for output that has come."""
        for item in self.todo[:]:
            if re.search(item[0].encode(), self.data, re.M):
                self.todo.remove(item)
                item[1]()
        while self.talk:
            found = re.compile(self.talk[0][0].encode(), re.M).search(self.data, self.talked)
            if not found:
                break
            self.talked = found.end()
            answer = self.talk.pop(0)[1]
            self.type(answer(self.directory) if callable(answer) else answer)

    def read_all(self, end):
        """Reads until the output ends; False when time is up before."""
        self.act()
        while self.out is not None:
            if not select.select([self.out], [], [], max(0, end - time.monotonic()))[0]:
                return False
            chunk = os.read(self.out, 65536)
            if not chunk:
                break
            self.data += chunk
            self.act()
        return True

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.into, self.out):
            if fd is not None:
                os.close(fd)


def run(bantam, case, scratch):
    """Runs one case to its end and returns what happened."""
    with tempfile.TemporaryDirectory(prefix='case-', dir=scratch) as directory, \
            open(directory + '/err', 'w+b') as err_file:
        result = Result()
        result.skipped = case.needs(directory) if case.needs else None
        if result.skipped:
            return result
        if case.files:
            case.files(directory)
        began = time.monotonic()
        if case.play:
            result.wrong = case.play(bantam, INITRD, directory)
            result.seconds = time.monotonic() - began
            return result
        end = began + case.timeout
        argv = [bantam, 'run', '-c', str(case.cpus), '-m', case.memory, '--initrd', INITRD]
        argv += ['-a', case.append] if case.append else []
        argv = case.wrap + argv + case.args + ['%s/%s' % (KERNELS, case.kernel)]
        running = Running(case, [arg.replace('{dir}', directory) for arg in argv], err_file,
                          directory)
        try:
            result.timed_out = not running.read_all(end)
            if not result.timed_out:
                running.process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            result.timed_out = True
        finally:
            running.close()
        result.status = running.process.returncode
        result.seconds = time.monotonic() - began
        err_file.seek(0)
        result.err = err_file.read().decode('latin-1')
        if os.path.exists(directory + '/console'):
            with open(directory + '/console', 'rb') as f:
                running.data += f.read()
        result.out = running.data.decode('latin-1').replace('\r\n', '\n')
        if case.after and judge(case, result) is None:
            result.wrong = case.after(directory, result.out)
    return result


def complaint(log, known):
    """Returns a line in which the kernel says that something is wrong with the machine, or None."""
    if os.environ.get('BANTAM_KVMHOST'):
        log = KNOWN_IN_KVMHOST.sub('', log)
    for line in log.split('\n'):
        for pattern in COMPLAINTS:
            if re.search(pattern, line) and not (known and re.search(known, line)):
                return line
    return None


def judge(case, result):
    """Returns None if the run was as the case wants it, or the reason why not."""
    if result.wrong or case.play:
        return result.wrong
    if result.timed_out:
        missing = find_in_order(case.expect, result.out)
        return 'no end within %d s%s' % (case.timeout, missing and ', nor %.80s' % missing or '')
    said = re.search(r'^GUEST: FAILED (.*)$', result.out, re.M)
    if said:
        return 'the guest says: %s' % said.group(1)
    if result.status != case.status:
        return 'status %s instead of %s' % (result.status, case.status)
    missing = find_in_order(case.expect, result.out)
    if missing:
        return 'stdout lacks %.80s' % missing
    if case.absent and re.search(case.absent, result.out, re.M):
        return 'stdout has %.80s' % case.absent
    missing = find_in_order(case.err, result.err.replace('\r\n', '\n'))
    if missing:
        return 'stderr lacks %.80s' % missing
    reason = case.check(result.out) if case.check else None
    if not reason and case.clean:
        reason = complaint(result.out, case.known)
        reason = reason and 'the kernel complains: %s' % reason
    return reason


def silences(log):
    """Yields the long gaps between the stamps of two messages."""
    last = None
    for stamp, text in re.findall(r'^\[ *(\d+\.\d+)\] (.*)$', log, re.M):
        now = float(stamp)
        if last is not None and now - last > LONG_SILENCE_S:
            yield '%.1f s before "%.60s"' % (now - last, text)
        last = now


def why_no_stock_kernels():
    """Returns why the local KVM is not one for these kernels, or None."""
    if os.environ.get('BANTAM_KVMHOST'):
        return None
    needed = subprocess.run([ROOT + '/tests/kvmhost/needed'], stdout=subprocess.PIPE,
                            universal_newlines=True)
    if needed.returncode:
        return None
    return '%s; say tests/kvmhost/run -- tests/system/run.py' % needed.stdout.strip()


def prepare():
    """Makes what the runs need and isn't there."""
    subprocess.run([ROOT + '/tools/kernels', 'cloud', 'generic'], check=True)
    # Only some cases need them, and will say that they are missing.
    subprocess.run([ROOT + '/tools/images', 'root', 'tools', 'debian', 'ssh'])
    subprocess.run([ROOT + '/tools/sources', 'bzip2', 'lua5.4'])
    inputs = [os.path.getmtime(entry) for directory in ('initrd', 'guest')
              for entry in os.scandir(ROOT + '/tests/system/' + directory)]
    if not os.path.exists(INITRD) or os.path.getmtime(INITRD) < max(inputs):
        subprocess.run([ROOT + '/tests/system/initrd/build', INITRD, KERNELS + '/cloud/modules'],
                       check=True)


def scratch_directory():
    """Returns a directory for large files, on a file system that is like other hosts'."""
    directory = BUILD + '/system'
    if os.environ.get('BANTAM_KVMHOST'):
        found = subprocess.run(['blkid', '-L', 'scratch'], stdout=subprocess.PIPE, text=True)
        if found.returncode == 0:
            directory = '/run/scratch'
            os.makedirs(directory, exist_ok=True)
            if not os.path.ismount(directory):
                subprocess.run(['mount', '-t', 'ext4', found.stdout.strip(), directory], check=True)
    os.makedirs(directory, exist_ok=True)
    return directory


def main():
    parser = argparse.ArgumentParser(description='Boots stock kernels in bantam.')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', ROOT + '/bantam'))
    parser.add_argument('-j', metavar='N', type=int,
                        default=1 if os.environ.get('BANTAM_KVMHOST') else 2,
                        help='guests at the same time')
    parser.add_argument('-k', metavar='WORD', action='append',
                        help='only cases with WORD in their name; may be given again')
    parser.add_argument('--case', metavar='NAME', action='append',
                        help='only the case of this name; may be given again')
    parser.add_argument('--without', metavar='WORD', action='append', default=[],
                        help='no cases with WORD in their name; may be given again')
    parser.add_argument('--table', metavar='NAME', action='append', choices=TABLES,
                        help='only the cases of %s; may be given again' % ', '.join(TABLES))
    parser.add_argument('--list', action='store_true', help='print the names of the cases, and end')
    parser.add_argument('--announce', action='store_true',
                        help='say before a case how long it may take')
    parser.add_argument('-v', action='store_true', help='show what a failed case has printed')
    parser.add_argument('--logs', metavar='DIR', help='keep what each case printed there')
    parser.add_argument('--prepare', action='store_true', help='get kernels, images and initramfs, and end')
    options = parser.parse_args()
    cases = [case for table in options.table or TABLES for case in TABLES[table]
             if any(word in case.name for word in options.k or [''])
             and not any(word in case.name for word in options.without)
             and (not options.case or case.name in options.case)]
    if options.list:
        print('\n'.join(case.name for case in cases))
        return 0
    prepare()
    if options.prepare:
        return 0
    bantam = os.path.abspath(options.bantam)
    if not os.path.exists(bantam):
        sys.exit('run.py: %s is not there: build it first' % bantam)

    tally = Tally()
    reason = why_no_stock_kernels() or why_no_kvm(bantam, BUILD + '/guests/hello.elf')
    if reason:
        tally.skip(len(cases), reason)
        return tally.close()
    if options.logs:
        os.makedirs(options.logs, exist_ok=True)
    scratch = scratch_directory()
    # Unpacked kernels are kept for the next case, and not where the user has his own.
    os.environ['XDG_CACHE_HOME'] = scratch + '/cache'

    def announce_and_run(case):
        if options.announce:
            print('start %s (%d s)' % (case.name, case.timeout), flush=True)
        try:
            result = run(bantam, case, scratch)
        except (OSError, subprocess.CalledProcessError) as error:
            result = Result()
            result.wrong = 'could not be tried: %s' % error
        report = reports(bantam)
        if report:
            result.wrong, result.err = 'a sanitizer has reported something', report
        return result
    jobs = 1 if os.path.basename(bantam) == 'sanitized' else options.j
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(announce_and_run, case): case for case in cases}
        for future in concurrent.futures.as_completed(futures):
            case, result = futures[future], future.result()
            if result.skipped:
                tally.skip(1, result.skipped, case.name)
                continue
            output = (('out', result.out[-3000:]), ('err', result.err[-6000:]))
            tally.result(case.name, judge(case, result), result.seconds,
                         output if options.v else ())
            # A kernel that says little is silent without a reason.
            for gap in silences(result.out) if 'loglevel=' not in case.append else ():
                print('info %s: silence of %s' % (case.name, gap))
            sys.stdout.flush()
            if options.logs:
                name = re.sub(r'\W+', '-', case.name)
                with open('%s/%s.log' % (options.logs, name), 'w', encoding='latin-1') as f:
                    f.write(result.out + result.err)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
