"""rsp.py - a client of gdb's remote serial protocol, which can also say what gdb never would."""

import select
import socket
import struct
import time

from harness import Wrong, want

PATIENCE = 20
RIP, CR3 = 16, 61          # gdb's numbers of registers, as the target's description has them


class Client:
    """Connects to a UNIX socket, by its path, or a TCP port, a number, as soon as it is there."""

    def __init__(self, where, acks=False):
        family = socket.AF_INET if isinstance(where, int) else socket.AF_UNIX
        end = time.monotonic() + PATIENCE
        while True:
            self.socket = socket.socket(family)
            self.socket.settimeout(PATIENCE)
            try:
                self.socket.connect(('127.0.0.1', where) if isinstance(where, int) else where)
                break
            except OSError:
                self.socket.close()
                want(time.monotonic() < end, 'nobody listens at %s' % where)
                time.sleep(0.01)
        self.held = b''
        self.acks = True
        if not acks:
            want(self.ask('QStartNoAckMode') == 'OK', 'acknowledgements stay')
            self.send(b'+')
            self.acks = False

    def send(self, raw):
        self.socket.sendall(raw)

    def byte(self):
        if not self.held:
            self.held = self.socket.recv(65536)
            if not self.held:
                raise EOFError
        first, self.held = self.held[:1], self.held[1:]
        return first

    def reply(self):
        """The next packet's data."""
        while self.byte() != b'$':
            pass
        data = b''
        while True:
            byte = self.byte()
            if byte == b'#':
                break
            data += byte
        want(int(self.byte() + self.byte(), 16) == sum(data) % 256, 'a wrong checksum')
        if self.acks and data[:1] not in (b'W', b'X'):
            self.send(b'+')
        return data.decode('latin-1')

    def put(self, data):
        raw = data.encode('latin-1') if isinstance(data, str) else data
        self.send(b'$%s#%02x' % (raw, sum(raw) % 256))

    def ask(self, data):
        self.put(data)
        return self.reply()

    def quiet(self, seconds):
        """Whether nothing comes for so long."""
        return not self.held and not select.select([self.socket], [], [], seconds)[0]

    def memory(self, address, count):
        data = self.ask('m%x,%x' % (address, count))
        want(not data.startswith('E'), 'memory at %#x: %s' % (address, data))
        return bytes.fromhex(data)

    def number(self, address):
        return struct.unpack('<Q', self.memory(address, 8))[0]

    def store(self, address, value):
        want(self.ask('M%x,8:%s' % (address, struct.pack('<Q', value).hex())) == 'OK', 'no store')

    def register(self, number):
        data = self.ask('p%x' % number)
        want(len(data) == 16, 'register %d: %s' % (number, data))
        return struct.unpack('<Q', bytes.fromhex(data))[0]

    def monitor(self, command):
        return bytes.fromhex(self.ask('qRcmd,' + command.encode().hex())).decode()

    def stop(self):
        self.send(b'\x03')
        return self.reply()

    def ends(self):
        """Whether the other side has closed; what was said before is passed over."""
        try:
            while True:
                self.byte()
        except (EOFError, ConnectionError):
            return True
        except socket.timeout as late:
            raise Wrong('the connection stays') from late

    def close(self):
        self.socket.close()
