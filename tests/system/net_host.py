#!/usr/bin/env python3
"""net_host.py - the host's side of a guest with networks: a network of its own, peers, errands.

    tests/system/net_host.py [--peer] [--ssh IMAGE] DIR COMMAND [ARG...]

net.py starts it in new network, mount and process namespaces, so that all that is made here ends
with it. It makes

    up0     192.0.2.1/24 and 2001:db8::1/64, with default routes through 192.0.2.254 and fe80::fe,
            where nobody is: passt wants them, and leads guests that go there to the host itself
    tap0    10.9.0.1/24, MTU 9000, with several queues, for --net tap=tap0
    tap1    10.9.1.1/24, open as descriptor 9, for --net fd=9

and takes the DNS servers away. Then it runs COMMAND, bantam, and ends with its exit status. In the
meantime guests find on the host

    port 5001   the first line says how many bytes follow; the answer is `got them` if they are
                those that port 5002 gives, and begins at once
    port 5002   so many bytes as the first line says
    port 5201   iperf3

and whoever connects to the unix socket DIR/host can have an errand run, one a connection: its name
and arguments are a line, the answer is another. Errands are the methods of the class of that name.
When one fails, that is said on stderr, and COMMAND is ended.

--peer offers a passt for --net socket=DIR/peer. --ssh makes a key with which the guest of
IMAGE, of tools/images, lets root in, and runs COMMAND, and ssh, as the user `nobody` with access to
/dev/kvm and no other right; who has no rights to begin with stays who he is.

Limits: needs the rights to make network interfaces in its namespace.
"""

import argparse
import fcntl
import functools
import hashlib
import os
import random
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time

MIB = 1 << 20
PATIENCE_S = 120
NOBODY = 65534
SSH_PORT = 2222
TAP_FD = 9
SO_FORCE = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 0x2, 0x1000, 0x4000

NETWORK = """
link set lo up
link add up0 type dummy
address add 192.0.2.1/24 dev up0
address add 2001:db8::1/64 dev up0 nodad
link set up0 up
route add default via 192.0.2.254
route add default via fe80::fe dev up0
tuntap add dev tap0 mode tap multi_queue
address add 10.9.0.1/24 dev tap0
link set tap0 mtu 9000 up
address add 10.9.1.1/24 dev tap1
link set tap1 up
"""


@functools.cache
def data(count):
    """So many bytes: random ones, the same each time, with a number at the start of each MiB."""
    block = random.Random(1).randbytes(MIB - 8)
    return b''.join(struct.pack('<Q', i) + block for i in range((count >> 20) + 1))[:count]


def until(true, what):
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError('%s: not within %d s' % (what, PATIENCE_S))
        time.sleep(0.1)


def enlarge(end, buffer, size):
    """Gives a socket so large a buffer, or one as large as the host allows who has no rights."""
    end.setsockopt(socket.SOL_SOCKET, buffer, size)
    try:
        end.setsockopt(socket.SOL_SOCKET, SO_FORCE[buffer], size)
    except PermissionError:
        pass


# ---- peers ----

class Source(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(data(int(self.rfile.readline())))


class Sink(socketserver.StreamRequestHandler):
    """Compares, for it is faster than the guest.

    It speaks at once: a passt of 2023 resets a guest's connection after 24 s if nothing came from
    the host in that time, however much the guest sends. It takes the handshake's ACK for no news
    (tcp.c has seq_ack_from_tap = seq_to_tap + 1), and so waits for it: 10 s and 7 times 2 s. So it
    does to QEMU's guests, and to a tap in a namespace.
    """

    def handle(self):
        count = int(self.rfile.readline())
        self.wfile.write(b'got ')
        got = self.rfile.read(count)
        self.wfile.write(b'them\n' if got == data(count) else b'%d bytes, or others\n' % len(got))


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6    # and IPv4
    allow_reuse_address = daemon_threads = True

    def server_bind(self):
        # All that a guest sends has room: passt drops what a slow reader doesn't take at once.
        enlarge(self.socket, socket.SO_RCVBUF, 256 * MIB)
        super().server_bind()


def serve(directory):
    for port, handler in ((5001, Sink), (5002, Source)):
        threading.Thread(target=Server(('::', port), handler).serve_forever, daemon=True).start()
    with open(directory + '/iperf3', 'wb') as said:
        subprocess.Popen(['iperf3', '-s'], stdin=subprocess.DEVNULL, stdout=said, stderr=said)


# ---- errands ----

class Errands:
    def __init__(self, directory, as_user):
        self._directory, self._as_user, self._passt = directory, as_user, None

    def peer(self):
        """A passt for who connects. What has no room in its socket it drops: it gets some room."""
        path = self._directory + '/peer'
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def serve_one():
            end = listener.accept()[0]
            listener.close()
            enlarge(end, socket.SO_SNDBUF, 8 * MIB)
            with end, open(self._directory + '/passt', 'ab') as said:
                self._passt = subprocess.Popen(
                    ['passt', '--foreground', '--fd', str(end.fileno())],
                    pass_fds=[end.fileno()], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        threading.Thread(target=serve_one, daemon=True).start()

    def kill_peer(self):
        self._passt.kill()
        self._passt.wait()

    def delete(self, name):
        subprocess.run(['ip', 'link', 'delete', name], check=True)

    def echo(self):
        """What is sent to the ports that are published comes back."""
        for address, port in (('127.0.0.1', 2007), ('127.0.0.1', 2008), ('::1', 2008)):
            echo_tcp(address, port)
        for address in ('127.0.0.1', '::1'):
            echo_udp(address, 2007)
        try:
            socket.create_connection(('::1', 2007)).close()
        except OSError:
            return
        raise OSError('a port of 127.0.0.1 alone is on ::1 too')

    def ssh(self):
        """Logs in, has a command run, looks what comes of it, and switches the guest off."""
        command = self._as_user + [
            'ssh', '-F', 'none', '-p', str(SSH_PORT), '-i', self._directory + '/key',
            '-o', 'BatchMode=yes', '-o', 'UserKnownHostsFile=%s/known' % self._directory,
            '-o', 'GlobalKnownHostsFile=none', '-o', 'UpdateHostKeys=no', 'root@127.0.0.1']
        sent = data(MIB)
        wanted = b'bantam-guest\n%s  -\n' % hashlib.md5(sent).hexdigest().encode()
        until(ssh_answers, 'a word from the guest on port %d' % SSH_PORT)
        done = subprocess.run(command + ['uname -n; md5sum; echo wrong >&2; exit 7'], input=sent,
                              capture_output=True, timeout=PATIENCE_S)
        if (done.returncode, done.stdout, done.stderr) != (7, wanted, b'wrong\n'):
            raise OSError('status %d, %r, %r' % (done.returncode, done.stdout, done.stderr))
        # It may be cut off before it has said how it ended.
        subprocess.run(command + ['systemctl poweroff'], capture_output=True, timeout=PATIENCE_S)


def echo_tcp(address, port):
    sent, got = data(MIB), b''
    with socket.create_connection((address, port), PATIENCE_S) as peer:
        threading.Thread(target=peer.sendall, args=(sent,), daemon=True).start()
        while len(got) < len(sent) and (chunk := peer.recv(MIB)):
            got += chunk
    if got != sent:
        raise OSError('TCP %s %d: of %d bytes %d came back, or others'
                      % (address, port, len(sent), len(got)))


def echo_udp(address, port):
    """Datagrams of several sizes; some may get lost, not all of a size."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.settimeout(2)
        peer.connect((address, port))
        for size in (1, 512, 1400):
            for _ in range(10):
                try:
                    peer.send(data(size))
                    got = peer.recv(MIB)
                    break
                except OSError as error:
                    got = error
            if got != data(size):
                raise OSError('UDP %s %d: %d bytes: %.60r' % (address, port, size, got))


def ssh_answers():
    try:
        with socket.create_connection(('127.0.0.1', SSH_PORT), PATIENCE_S) as peer:
            # As ssh does it. Where the client waits for the server's first word, a passt of 2023
            # doesn't answer the guest's SYN,ACK (tcp_conn_from_sock_finish()), whoever the monitor.
            peer.sendall(b'SSH-2.0-net_host\r\n')
            return peer.recv(4) == b'SSH-'
    except OSError:
        return False


def ssh_keys(directory, image):
    """Makes a key and notes the guest's; returns the option that has the guest take the key."""
    key = directory + '/key'
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key], check=True)
    if not in_user_namespace():
        os.chown(key, NOBODY, NOBODY)
    host_key = subprocess.run(['debugfs', '-R', 'cat /etc/ssh/ssh_host_ed25519_key.pub', image],
                              capture_output=True, check=True, text=True).stdout
    with open(directory + '/known', 'w') as f:
        f.write('[127.0.0.1]:%d %s' % (SSH_PORT, host_key))
    with open(key + '.pub') as f:
        kind, public = f.read().split()[:2]
    return ['-a', 'systemd.set_credential="ssh.authorized_keys.root:%s %s"' % (kind, public)]


# ---- the network, and COMMAND ----

def in_user_namespace():
    with open('/proc/self/uid_map') as f:
        return f.read().split() != ['0', '0', str(0xffffffff)]


def make_network():
    tap = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF,
                struct.pack('16sH22x', b'tap1', IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    os.dup2(tap, TAP_FD)
    subprocess.run(['ip', '-batch', '-'], input=NETWORK, text=True, check=True)
    if os.path.exists('/etc/resolv.conf'):
        subprocess.run(['mount', '--bind', '/dev/null', '/etc/resolv.conf'], check=True)


def nobody():
    """Returns the command that takes all rights away, but access to /dev/kvm."""
    if os.geteuid() or in_user_namespace():
        return []
    return ['setpriv', '--reuid', str(NOBODY), '--regid', str(NOBODY), '--groups',
            str(os.stat('/dev/kvm').st_gid), '--inh-caps', '-all', '--']


def attend(process, errands, listener):
    """Runs errands until COMMAND has ended; returns its exit status."""
    listener.settimeout(0.2)
    while process.poll() is None:
        try:
            visitor = listener.accept()[0]
        except TimeoutError:
            continue
        with visitor, visitor.makefile('rw') as stream:
            line = stream.readline()
            word, *arguments = line.split()
            try:
                told = getattr(errands, word.replace('-', '_'))(*arguments)
                stream.write('%s\n' % (told or ''))
            except (OSError, subprocess.SubprocessError) as error:
                print('net_host: %s: %s' % (line.strip(), error), file=sys.stderr, flush=True)
                process.terminate()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--peer', action='store_true')
    parser.add_argument('--ssh', metavar='IMAGE')
    parser.add_argument('directory', metavar='DIR')
    parser.add_argument('command', nargs=argparse.REMAINDER)
    options = parser.parse_args()
    as_user = nobody() if options.ssh else []
    errands = Errands(options.directory, as_user)
    os.chmod(options.directory, 0o711)
    make_network()
    serve(options.directory)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(options.directory + '/host')
    listener.listen()
    if options.peer:
        errands.peer()
    command = as_user + options.command
    if options.ssh:
        command += ssh_keys(options.directory, options.ssh)
    return attend(subprocess.Popen(command, pass_fds=[TAP_FD]), errands, listener)


if __name__ == '__main__':
    sys.exit(main())
