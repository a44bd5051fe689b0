#!/usr/bin/env python3
"""net_cli.py - what `bantam run --net` and `--publish` say of a network that can't be had.

    tests/net_cli.py [--build DIR] BANTAM

Each mistake must end with status 125 and one line that names what is wrong and what to do, before
the guest's first instruction. Cases with passt need a /dev/kvm that runs bare-metal guests; those
with a tap need root and a network namespace. Ends with `N passed, N failed, N skipped`.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Tally, why_no_kvm  # noqa: E402


def run(bantam, kernel, args, path=None, wrapper=()):
    environment = dict(os.environ, PATH=path or os.environ['PATH'])
    return subprocess.run([*wrapper, bantam, 'run', *args, kernel], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env=environment, universal_newlines=True)


def judge(done, words):
    """Returns None when it failed with one line that has these words in it, or what is wrong."""
    if done.returncode != 125:
        return 'status %d: %s' % (done.returncode, done.stderr[-200:])
    if done.stdout:
        return 'the guest ran: %.60r' % done.stdout
    if len(done.stderr.splitlines()) != 1 or not re.search(words, done.stderr):
        return 'it says %r' % done.stderr
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', default='build')
    parser.add_argument('bantam')
    options = parser.parse_args()
    bantam = os.path.abspath(options.bantam)
    kernel = os.path.abspath(options.build + '/guests/hello.elf')
    tally = Tally()

    def case(name, args, words, **more):
        began = time.monotonic()
        tally.result(name, judge(run(bantam, kernel, args, **more), words),
                     time.monotonic() - began)

    case('no such kind', ['--net', 'nic'], "it is user, tap=NAME, fd=N or socket=PATH")
    case('a multicast address', ['--net', 'user,mac=01:00:5e:00:00:01'], 'multicast')
    case('no address', ['--net', 'user,mac=1:2:3:4:5:6'], 'is no address')
    case('ports without passt', ['-p', '80:80'], '--publish needs --net user')
    case('no ports', ['--net', 'user', '-p', '80'], r'\[ADDR:\]HOST:GUEST\[/udp\]')
    case('no such socket', ['--net', 'socket=/nowhere/socket'], 'cannot connect: No such file')
    with tempfile.TemporaryDirectory(prefix='bantam-net-') as directory:
        with socket.socket(socket.AF_UNIX) as nobody:
            nobody.bind(directory + '/socket')
            case('a refused socket', ['--net', 'socket=%s/socket' % directory], 'refused')
    case('no such descriptor', ['--net', 'fd=77'], 'fd=77: Bad file descriptor')
    case('a descriptor of a file', ['--net', 'fd=7'], 'neither a tap nor a stream socket',
         wrapper=['sh', '-c', 'exec 7</dev/null; exec "$@"', 'sh'])
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        case('a port in use', ['--net', 'user', '-p', '127.0.0.1:%d:80' % port],
             'port 127.0.0.1 %d/tcp of the host .* in use' % port)

    if os.geteuid() or subprocess.run(['unshare', '-n', 'true'], stderr=subprocess.DEVNULL).returncode:
        tally.skip(3, 'taps: no root, or no network namespace')
    else:
        case('no tap', ['--net', 'tap=lo'], "'lo' is no tap", wrapper=['unshare', '-n'])
        case('a tap with one queue', ['--net', 'tap=t,queues=2'], 'mode tap multi_queue user',
             wrapper=['unshare', '-n', 'sh', '-c', 'ip tuntap add dev t mode tap; exec "$@"', 'sh'])
        case('a long name', ['--net', 'tap=a-name-that-is-too-long'], 'at most',
             wrapper=['unshare', '-n'])
    reason = why_no_kvm(bantam, kernel)
    if reason:
        tally.skip(2, reason)
        return tally.close()
    case('no passt', ['--net', 'user'], "not installed; its package is 'passt'", path='/nowhere')
    if not shutil.which('passt') or os.geteuid():
        tally.skip(1, 'passt without an interface: no passt, or no root')
    else:
        case('no interface', ['--net', 'user'], "passt.*: .*[Ii]nterface",
             wrapper=['unshare', '-n'])
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
