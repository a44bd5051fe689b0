#!/usr/bin/env python3
"""net.py - boots the guests with a network driver, and is the peer at the network's other end.

    tests/guests/net.py [-v] [-k WORD] [--seed N] [--seconds N] [--build DIR] [BANTAM]

echo-net sends everything back; hostile-net and hostile-control break the rules for drivers and then
want good service (what they ask of their peer is in lib/peer.h). The peers here are a stream
socket's, in passt's framing, which break rules as well; and, where this may make a network namespace
of its own (root), a tap's. Looked at are the output, the exit status, the verdict, and what --stats
has counted.

BANTAM is the program (default: $BANTAM, or ./bantam); the guests are taken from DIR/guests (default:
$BUILD, or build). One line a case: ok, FAIL or skip with a reason. The exit status is 1 if any failed.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Tally, find_in_order, guest_options, why_no_kvm  # noqa: E402
from virtio import MMIO, Disk  # noqa: E402

LIMIT_S = 120                 # nothing is timed: who waits longer than that waits for ever
TYPE = b'\x88\xb5'            # of our frames, as in lib/net.h
PEER = b'\x02\0\0\0\0\x01'
EVERYBODY = b'\xff' * 6
LENGTHS = [14, 15, 60, 1514, 4083, 4084, 4085, 9014, 65534, 65535]


class Failure(Exception):
    pass


class Stream:
    """A stream socket's peer."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(LIMIT_S)

    def send_raw(self, data):
        self.sock.sendall(data)

    def send(self, frame):
        self.send_raw(struct.pack('>I', len(frame)) + frame)

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                return None
            data += more
        return bytes(data)

    def receive(self):
        """Returns a frame, or None when the other end is gone."""
        try:
            prefix = self.exactly(4)
            length = struct.unpack('>I', prefix)[0] if prefix else 0
            if prefix and not 14 <= length <= 65535:
                raise Failure('bantam sent a frame of %d bytes' % length)
            return self.exactly(length) if prefix else None
        except ConnectionResetError:
            return None
        except TimeoutError:
            raise Failure('nothing came') from None

    def expect_hang_up(self):
        while self.receive() is not None:
            pass
        self.close()

    def close(self):
        self.sock.close()


class Tap:
    """The host's side of a tap: a packet socket on its interface."""

    TUNSETIFF, TUNSETPERSIST, SIOCSIFFLAGS = 0x400454ca, 0x400454cb, 0x8914
    TAP, NO_PI, VNET_HDR, MULTI_QUEUE, UP = 2, 0x1000, 0x4000, 0x100, 1

    def __init__(self, name, multi):
        self.process = None
        self.fd = os.open('/dev/net/tun', os.O_RDWR)
        flags = self.TAP | self.NO_PI | self.VNET_HDR | (self.MULTI_QUEUE if multi else 0)
        request = struct.pack('16sH22x', name.encode(), flags)
        fcntl.ioctl(self.fd, self.TUNSETIFF, request)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300)
        fcntl.ioctl(self.sock, self.SIOCSIFFLAGS, struct.pack('16sH22x', name.encode(), self.UP))
        self.sock.bind((name, 3))

    def release(self):
        """Leaves the tap to bantam, which opens it by its name."""
        fcntl.ioctl(self.fd, self.TUNSETPERSIST, 1)
        os.close(self.fd)
        self.fd = None

    def send(self, frame):
        with contextlib.suppress(OSError):   # a frame longer than the MTU
            self.sock.send(frame)

    def receive(self):
        while True:
            ready, _, _ = select.select([self.sock], [], [], 0.2)
            if ready:
                frame, address = self.sock.recvfrom(70000)
                if address[2] != socket.PACKET_OUTGOING:
                    return frame
            elif self.process.poll() is not None:
                return None

    def answered(self, frame):
        """Whether it comes back within a moment."""
        while select.select([self.sock], [], [], 0.1)[0]:
            back, address = self.sock.recvfrom(70000)
            if address[2] != socket.PACKET_OUTGOING and back[12:] == frame[12:]:
                return True
        return False

    def close(self):
        self.sock.close()
        if self.fd is not None:
            os.close(self.fd)


class World:
    """A run of the monitor, in a directory of its own."""

    def __init__(self, bantam, guests):
        self.bantam, self.guests = bantam, guests
        self.directory = tempfile.TemporaryDirectory(prefix='bantam-net-')
        self.path = self.directory.name + '/socket'
        self.process = self.killer = self.listener = None
        self.disks = []
        self.out = self.err = ''

    def start(self, guest, append, net, args=(), fds=()):
        argv = [self.bantam, 'run', '--stats', '--result', self.directory.name + '/result',
                '--net', net, *args, '-a', append]
        for disk in self.disks:
            disk.make(self.directory.name + '/disk')
            argv += ['--disk', disk.path + disk.options]
        self.files = [open(self.directory.name + '/' + name, 'w+b') for name in ('out', 'err')]
        self.process = subprocess.Popen(
            argv + ['%s/%s.elf' % (self.guests, guest)], stdin=subprocess.DEVNULL,
            stdout=self.files[0], stderr=self.files[1], pass_fds=fds)
        self.killer = threading.Timer(LIMIT_S, self.process.kill)
        self.killer.start()

    def connected(self, guest, append, args=()):
        """Starts the monitor with one end of a socket pair, and returns the other one's peer."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self.start(guest, append, 'fd=%d' % theirs.fileno(), args, [theirs.fileno()])
        return Stream(ours)

    def listening(self, guest, append=''):
        """The same by a path, at which the monitor finds the next peer when one is gone."""
        self.listen()
        self.start(guest, append, 'socket=' + self.path)
        return self.accept()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.settimeout(LIMIT_S)
        self.listener.bind(self.path)
        self.listener.listen()

    def unlisten(self):
        self.listener.close()
        os.unlink(self.path)

    def accept(self):
        try:
            return Stream(self.listener.accept()[0])
        except TimeoutError:
            raise Failure('bantam does not connect') from None

    def drops(self):
        """How many frames were lost: to the guest, from the guest."""
        return [int(n) for n in re.findall(r'frames (?:to|from) the guest, .* (\d+) dropped',
                                           self.err)]

    def wait(self):
        self.process.wait()
        self.killer.cancel()
        for file, name in zip(self.files, ('out', 'err')):
            file.seek(0)
            setattr(self, name, file.read().decode('latin-1'))
            file.close()

    def finish(self, expect, status=0, reason='poweroff'):
        """Waits for the end, and looks at it."""
        self.wait()
        if 'WRONG' in self.out or 'TRAP' in self.out:
            raise Failure(re.search(r'.*(WRONG|TRAP).*', self.out).group()[:200])
        if self.process.returncode != status:
            raise Failure('status %s; last: %.100s' % (self.process.returncode,
                                                       self.out.split('\n')[-1]))
        with open(self.directory.name + '/result') as file:
            result = json.load(file)
        if (result['reason'], result['exit_code']) != (reason, status):
            raise Failure('the verdict is %s, %s' % (result['reason'], result['exit_code']))
        missing = find_in_order(expect, self.out)
        if missing:
            raise Failure('stdout lacks %.80s' % missing)
        wrong = [disk.wrong() for disk in self.disks if disk.wrong()]
        if wrong:
            raise Failure(wrong[0])
        if len(self.drops()) != 2:
            raise Failure('--stats says nothing of the network')

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.wait()
        if self.killer:
            self.killer.cancel()
        if self.listener:
            self.listener.close()
        self.directory.cleanup()


# ---- what peers do ----

def frame_of(length, mark=b''):
    head = EVERYBODY + PEER + TYPE + mark
    return (head + random.randbytes(max(0, length - len(head))))[:max(length, 14)]


def expect_echo(peer, frame):
    """What comes back has the guest's address and is ours again."""
    back = peer.receive()
    if back is None:
        raise Failure('bantam hung up')
    if back[:6] != PEER or back[12:] != frame[12:]:
        raise Failure('a frame of %d bytes came back as one of %d' % (len(frame), len(back)))


def echo(peer, length=100):
    frame = frame_of(length)
    peer.send(frame)
    expect_echo(peer, frame)


def say_bye(peer):
    frame = frame_of(60, b'bye')
    peer.send(frame)
    expect_echo(peer, frame)


def serve_hostile(peer):
    """Does what hostile-net asks for, to its end."""
    while True:
        frame = peer.receive()
        if frame is None:
            return
        guest = frame[6:12]
        if frame[12:15] == TYPE + b'e':
            peer.send(guest + PEER + frame[12:])
        elif frame[12:15] == TYPE + b's':
            count, length = struct.unpack('<HH', frame[15:19])
            for i in range(count):
                mark = guest + PEER + TYPE + b'd' + struct.pack('<H', i)
                peer.send(mark.ljust(length, b'.'))


# ---- cases ----

def echoes(append, args=()):
    def case(world):
        peer = world.connected('echo-net', append, args)
        for length in LENGTHS:
            echo(peer, length)
        for _ in range(8):
            frames = [frame_of(random.randint(14, 3000)) for _ in range(30)]
            for frame in frames:
                peer.send(frame)
            for frame in frames:
                expect_echo(peer, frame)
        say_bye(peer)
        world.finish([r'^address 02', r'^%d frames sent back$' % (len(LENGTHS) + 240)])
        if world.drops() != [0, 0]:
            raise Failure('frames were lost: %s' % world.drops())
    return case


def hostile_stream(append, args=()):
    def case(world):
        world.disks = [Disk()]
        serve_hostile(world.connected('hostile-net', append, args))
        world.finish([r'^hostile-net: \d+ cases done$'])
        refused = int(re.search(r'^refused: (\d+)$', world.out, re.M).group(1))
        if world.drops()[0] == 0 or world.drops()[1] != refused:
            raise Failure('%d frames were to be lost, and %s were' % (refused, world.drops()))
    return case


def lying_length(length):
    """A length that no frame has: bantam can't follow any more, hangs up and comes again."""
    def case(world):
        peer = world.listening('echo-net')
        echo(peer)
        peer.send_raw(struct.pack('>I', length))
        with contextlib.suppress(OSError):   # it may be gone already
            peer.send_raw(random.randbytes(5000))
        peer.expect_hang_up()
        peer = world.accept()
        echo(peer)
        say_bye(peer)
        world.finish([r'^2 frames sent back$'])
    return case


def half_a_frame(world):
    """Silence in the middle of everything that can be cut; then it goes on."""
    peer = world.listening('echo-net')
    frame = frame_of(600)
    data = struct.pack('>I', len(frame)) + frame
    for cut in (1, 3, 4, 5, 17, 18, 300, 603):
        peer.send_raw(data[:cut])
        time.sleep(0.02)
        peer.send_raw(data[cut:])
        expect_echo(peer, frame)
    for byte in data:
        peer.send_raw(bytes([byte]))
    expect_echo(peer, frame)
    say_bye(peer)
    world.finish([r'^9 frames sent back$'])


def end_in_a_frame(world):
    """It goes in the middle of a frame, of which nothing is left for the next peer."""
    peer = world.listening('echo-net')
    for cut in (1, 4, 500):
        echo(peer)
        peer.send_raw((struct.pack('>I', 1000) + frame_of(1000))[:cut])
        peer.close()
        peer = world.accept()
        echo(peer)
    say_bye(peer)
    world.finish([r'^6 frames sent back$'])
    if world.drops()[0] == 0:
        raise Failure('half a frame was lost, and is not counted')


def stops_reading(length, count):
    """It sends and takes nothing: what comes back is lost, and nothing stalls or is torn."""
    def case(world):
        peer = world.listening('echo-net', 'msix')
        frame = frame_of(length, b'unread')
        for _ in range(count):
            peer.send(frame)
        # As long as there is no room, this is lost like the others.
        bye = frame_of(60, b'bye')
        threading.Thread(target=peer.send, args=(bye,)).start()
        came = 0
        while True:
            back = peer.receive()
            if back is None or back[12:] == bye[12:]:
                break
            if back[12:] != frame[12:]:
                raise Failure('a frame was torn')
            came += 1
        world.finish([r'^%d frames sent back$' % count])
        if world.drops()[1] == 0 or came + world.drops()[1] < count:
            raise Failure('%d of %d came back, %d were lost' % (came, count, world.drops()[1]))
    return case


def comes_and_goes(world):
    peer = world.listening('echo-net', 'msix')
    for _ in range(2):
        peer.close()                        # at once
        peer = world.accept()
        peer.sock.shutdown(socket.SHUT_WR)  # half of it
        peer.expect_hang_up()
        world.unlisten()                    # and there is nobody for a while
        time.sleep(0.1)
        world.listen()
        peer = world.accept()
        echo(peer)
    say_bye(peer)
    world.finish([r'^2 frames sent back$'])


def gone_for_good(world):
    """A descriptor that was handed over can't be connected again: the machine runs on."""
    peer = world.connected('echo-net', '')
    echo(peer)
    peer.send_raw(b'\xff' * 4)
    peer.expect_hang_up()
    world.process.send_signal(signal.SIGTERM)
    world.finish([r'^address'], 128 + signal.SIGTERM, 'signal')


def on_tap(world, guest, append, multi=False, by_fd=False, args=()):
    """A hostile guest with a tap, to its end."""
    name = 'several' if multi else 'single'
    tap = Tap(name, multi)
    with contextlib.closing(tap):
        if by_fd:
            world.start(guest, append, 'fd=%d' % tap.fd, args, [tap.fd])
        else:
            tap.release()
            world.start(guest, append, 'tap=' + name + (',queues=2' if multi else ''), args)
        tap.process = world.process
        serve_hostile(tap)


def hostile_control(append, multi=False, args=()):
    def case(world):
        on_tap(world, 'hostile-control', append, multi, args=args)
        world.finish([r'^case 5 .*:%s served$' % ('' if multi else ' not here'),
                      r'^hostile-control: 6 cases done$'])
    return case


def hostile_tap(append, **more):
    def case(world):
        world.disks = [Disk()]
        on_tap(world, 'hostile-net', append, **more)
        world.finish([r'^case \d+ headers that lie: served$', r'^hostile-net: \d+ cases done$'])
        refused = int(re.search(r'^refused: (\d+)$', world.out, re.M).group(1))
        if world.drops()[1] <= refused:
            raise Failure('lies were believed: %s lost, %d for their length' % (world.drops(),
                                                                               refused))
    return case


def tap_comes_and_goes(world):
    """A tap is deleted and made anew, twice: frames cross again each time."""
    tap = Tap('passing', False)
    tap.release()
    world.start('echo-net', '', 'tap=passing')
    for left in (2, 1, 0):
        tap.process = world.process
        frame = frame_of(100)
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            tap.send(frame)
            if tap.answered(frame):
                break
        else:
            raise Failure('nothing comes back, with %d taps to go' % left)
        if left:
            tap.close()
            subprocess.run(['ip', 'link', 'delete', 'passing'], check=True)
            time.sleep(0.2)
            tap = Tap('passing', False)
            tap.release()
    tap.close()
    world.process.send_signal(signal.SIGTERM)
    world.finish([r'^address'], 128 + signal.SIGTERM, 'signal')


def garbage(options):
    """Garbage for every device, a network among them, which nobody starts."""
    def case(world):
        world.disks = [Disk()]
        world.connected('hostile-any', 'case=7 seed=%d seconds=%d' % (options.seed,
                                                                      options.seconds))
        world.finish([r'^\d+ accesses at random, seed \d+ served$'])
    return case


STREAM_CASES = {
    'echo': echoes(''),
    'echo, event indices': echoes('event-index'),
    'echo, MSI-X': echoes('msix'),
    'echo, MSI-X, event indices': echoes('msix event-index'),
    'echo, INTx': echoes('line'),
    'echo, buffers that stay alone': echoes('single'),
    'echo by mmio': echoes('mmio', MMIO),
    'echo by mmio, interrupts, event indices': echoes('mmio line event-index', MMIO),
    'echo, traced': echoes('msix', ['--trace', 'virtio=/dev/null']),
    'hostile-net': hostile_stream(''),
    'hostile-net, event indices': hostile_stream('event-index'),
    'hostile-net by mmio': hostile_stream('mmio', MMIO),
    **{'a peer that sends the length %d' % length: lying_length(length)
       for length in (0, 1, 13, 65536, 0x7fffffff, 0xffffffff)},
    'a peer that stops in a frame': half_a_frame,
    'a peer that ends in a frame': end_in_a_frame,
    'a peer that stops reading': stops_reading(1514, 1000),
    'a peer that stops reading long frames': stops_reading(65535, 60),
    'a peer that comes and goes': comes_and_goes,
    'a peer that is gone for good': gone_for_good,
}

TAP_CASES = {
    'hostile-net on a tap': hostile_tap(''),
    'hostile-net on a tap, event indices': hostile_tap('event-index'),
    'hostile-net on a tap, 2 queues': hostile_tap('', multi=True),
    'hostile-net on a tap by mmio': hostile_tap('mmio', args=MMIO),
    'hostile-net on a tap of ours': hostile_tap('', by_fd=True),
    'hostile-control on a tap': hostile_control(''),
    'hostile-control on a tap, event indices': hostile_control('event-index'),
    'hostile-control on a tap, 2 queues': hostile_control('', multi=True),
    'hostile-control on a tap by mmio': hostile_control('mmio', args=MMIO),
    'a tap that comes and goes': tap_comes_and_goes,
}


def why_no_taps():
    """Makes a namespace of our own for taps; returns why that can't be done, or None."""
    if not os.access('/dev/net/tun', os.R_OK | os.W_OK):
        return '/dev/net/tun is not there'
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):   # CLONE_NEWNET
        return 'no network namespace: %s' % os.strerror(ctypes.get_errno())
    with contextlib.suppress(OSError), open('/proc/sys/net/ipv6/conf/default/disable_ipv6',
                                            'w') as file:
        file.write('1')   # the only frames there are ours
    return None


def run_case(case, name, tally, bantam, guests, verbose):
    world = World(bantam, guests)
    began = time.monotonic()
    reason = None
    try:
        case(world)
    except (Failure, OSError) as failure:
        reason = str(failure) or repr(failure)
    finally:
        world.close()
    output = (('out', world.out[-4000:]), ('err', world.err[-2000:])) if verbose else ()
    tally.result(name, reason, time.monotonic() - began, output)


def main():
    options, bantam, guests = guest_options('Boots the guests with network drivers.', 'echo-net')
    random.seed(1)
    STREAM_CASES['hostile-any, seed %d' % options.seed] = garbage(options)
    streams = [name for name in STREAM_CASES if options.k in name]
    taps = [name for name in TAP_CASES if options.k in name]
    tally = Tally()
    reason = why_no_kvm(bantam, guests + '/hello.elf')
    if reason:
        tally.skip(len(streams) + len(taps), reason)
        return tally.close()
    for name in streams:
        run_case(STREAM_CASES[name], name, tally, bantam, guests, options.v)
    reason = why_no_taps() if taps else None
    if reason:
        tally.skip(len(taps), reason)
        return tally.close()
    for name in taps:
        run_case(TAP_CASES[name], name, tally, bantam, guests, options.v)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
