#!/usr/bin/env python3
"""command.py - COMMAND's streams and status, with a bare-metal guest in the place of init.

    tests/guests/command.py [-v] [-k WORD] [--build DIR] [BANTAM]

play-init says on the ports of the virtio console what a case tells it to, the truth or not. Looked at
are exit status, verdict, stdout and stderr; and that the machine ends, which a case that doesn't is
given LIMIT_S seconds for. BANTAM is the program (default: $BANTAM, or ./bantam); the guest is taken from
DIR/guests (default: $BUILD, or build). -k runs some cases only, -v shows what a failed one has printed.
One line a case; the last line counts them.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Tally, guest_options, why_no_kvm  # noqa: E402

LIMIT_S = 30
ENDS = 'cend_stdout_0;cend_stderr_0;'
LIE = (255, 'bad-report')


class Case:
    def __init__(self, play, status, reason, out='', err='', given=b'', args=(), do=None):
        self.play, self.status, self.reason, self.out, self.err = play, status, reason, out, err
        self.given, self.args, self.do = given, args, do


def press(*signals):
    """Sends signals, each when the guest has said `ready` once more; returns what was read."""
    def do(process):
        seen = b''
        for number in signals:
            seen += process.stdout.read(len('ready'))
            process.send_signal(number)
        return seen
    return do


def close_stdout(process):
    seen = process.stdout.read(1)
    process.stdout.close()
    return seen


def stop_and_continue(process):
    seen = process.stdout.read(len('ready'))
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    process.send_signal(signal.SIGCONT)
    return seen


CASES = {
    'a status': Case('cstart;' + ENDS + 'cexit_0', 0, 'exit'),
    'another status': Case('cstart;' + ENDS + 'cexit_255', 255, 'exit'),
    'a signal': Case('cstart;' + ENDS + 'csignal_9', 137, 'signal'),
    'output': Case('cstart;oone;etwo;othree;cend_stdout_8;cend_stderr_3;cexit_7', 7, 'exit',
                   'onethree', 'two'),
    'output behind the status': Case('cend_stdout_5;cend_stderr_0;cexit_3;ohello', 3, 'exit', 'hello'),
    'much output': Case('cstart;x2000;o' + 'x' * 100 + ';cend_stdout_200000;cend_stderr_0;cexit_0', 0,
                        'exit', 'x' * 200000),
    'input': Case('cstart;i;cend_stdout_5;cend_stderr_0;cexit_0', 0, 'exit', 'hello', given=b'hello'),
    'by mmio': Case('cstart;ohi;cend_stdout_2;cend_stderr_0;cexit_1', 1, 'exit', 'hi',
                    args=['--transport', 'mmio', '-a', 'mmio']),
    'traced': Case('cstart;ohi;cend_stdout_2;cend_stderr_0;cexit_1', 1, 'exit', 'hi',
                   args=['--trace', 'virtio=/dev/null']),
    'not found': Case('cfailed_127_nosuch', 127, 'not-found', err='nosuch'),
    'not executable': Case('cfailed_126_x:_denied', 126, 'cannot-execute', err='denied'),
    'init fails': Case('cerror_no_such_user', 125, 'vmm-error', err='no such user'),
    'powered off before the status': Case('cstart;oout;p', 255, 'no-status', 'out', 'powered off'),
    'reset before the status': Case('cstart;r', 255, 'no-status', err='reset'),
    'SIGTERM is passed on': Case('cstart;oready;C;cend_stdout_5;cend_stderr_0;csignal_15', 143, 'signal',
                                 'ready', do=press(signal.SIGTERM)),
    'a second SIGINT ends the machine': Case('cstart;oready;C;oready', 130, 'signal', 'readyready',
                                             do=press(signal.SIGINT, signal.SIGINT)),
    'SIGTERM, and it stays': Case('cstart;oready;C', 143, 'signal', 'ready', 'COMMAND did not end in time',
                                  args=['--stop-timeout', '1s'], do=press(signal.SIGTERM)),
    'SIGTERM before the start': Case('oready', 143, 'signal', 'ready', do=press(signal.SIGTERM)),
    'stopped and continued': Case('cstart;oready;cend_stdout_5;cend_stderr_0;cexit_0', 0, 'exit',
                                  'ready', do=stop_and_continue),
    'a reader that goes away': Case('cstart;oab;x50;ocd;C;cend_stdout_102;cend_stderr_0;csignal_13', 141,
                                    'signal', 'a', do=close_stdout),
    'a time-out': Case('cstart', 124, 'timeout', args=['--timeout', '1s']),
    'a status before the ends': Case('cexit_0', *LIE),
    'a status of ten digits': Case(ENDS + 'cexit_1234567890', *LIE),
    'a status that is none': Case(ENDS + 'cexit_256', *LIE),
    'a status twice': Case('cend_stdout_1;cend_stderr_0;cexit_0;cexit_0', *LIE),
    'bytes behind the end': Case('cend_stdout_2;oabc', *LIE),
    'an end that is past': Case('oabc;cend_stdout_2', *LIE, out='abc'),
    'an end twice': Case('cend_stdout_2;cend_stdout_2', *LIE),
    'an unknown word': Case('cnonsense', *LIE),
    'a line without an end': Case('n;c%s;n;c%s' % ('x' * 200, 'x' * 200), *LIE),
}


def wrong(case, process, out, err, result):
    """What isn't as it should be, or None."""
    if process.returncode != case.status:
        return 'status %s' % process.returncode
    if case.out != out:
        return 'stdout has %r' % out[:80]
    if case.err not in err:
        return 'stderr lacks %r' % case.err
    if (result['reason'], result['exit_code']) != (case.reason, case.status):
        return 'the verdict is %s, %s' % (result['reason'], result['exit_code'])
    return None


def run(case, bantam, guest, directory):
    """Returns (what is wrong or None, stderr)."""
    initrd, result = directory + '/initrd', directory + '/result'
    with open(initrd, 'wb') as file:
        file.write(b'none')
    process = subprocess.Popen(
        [bantam, 'run', guest, '--initrd', initrd, '--result', result, *case.args, '-a',
         'play=' + case.play, '--', 'x'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out = case.do(process) if case.do else b''
        if process.stdout.closed:
            err = process.stderr.read()
            process.wait(LIMIT_S)
        else:
            rest, err = process.communicate(case.given, LIMIT_S)
            out += rest
    except subprocess.TimeoutExpired:
        process.kill()
        return 'no end within %d s' % LIMIT_S, ''
    finally:
        process.stdin.close()
    out, err = out.decode('latin-1'), err.decode('latin-1')
    with open(result) as file:
        return wrong(case, process, out, err, json.load(file)), err


def main():
    options, bantam, guests = guest_options('Runs a guest that takes the part of init.', 'play-init')
    names = [name for name in CASES if options.k in name]
    tally = Tally()
    reason = why_no_kvm(bantam, guests + '/hello.elf')
    if reason:
        tally.skip(len(names), reason)
        return tally.close()
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix='bantam-command-') as directory:
            failure, err = run(CASES[name], bantam, guests + '/play-init.elf', directory)
        tally.result(name, failure, time.monotonic() - began, [('err', err)] if options.v else ())
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
