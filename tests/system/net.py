"""net.py - stock kernels with networks, on both transports: a table.

Each guest runs in a network of its own, which net_host.py makes in new namespaces: nothing of the
machine's own network is seen or changed. The guests' side is in tests/system/guest/net*.

With PCI 100 MB go each way over a tap, over passt and over a socket. With virtio-mmio they are 5:
the data path is the same, and an emulated host takes half a minute for the difference.
"""

import os
import socket
import subprocess
import sys

from case import both, script, Case, IMAGES, KERNEL, MODULES, ROOT, USER_SPACE

NET_HOST = ROOT + '/tests/system/net_host.py'
UNSHARE = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc',
           *([] if os.geteuid() == 0 else ['--map-root-user']), '--']
TOOLS = ['--disk', IMAGES + '/tools.img,ro']
MB = 1000000
BYTES = {'pci': 100 * MB, 'mmio': 5 * MB}


def in_a_network(*options):
    return [*UNSHARE, sys.executable, NET_HOST, *options, '{dir}']


def why_no_network(_directory):
    """Returns why no network can be made here, or None."""
    done = subprocess.run([*UNSHARE, 'ip', 'link', 'add', 'up0', 'type', 'dummy'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    return 'no network namespace: %s' % done.stderr.strip() if done.returncode else None


def why_no_nobody(directory):
    """Returns why `nobody` could not run bantam here, or None."""
    if os.geteuid() == 0 and subprocess.run(
            ['setpriv', '--reuid', '65534', '--clear-groups', 'test', '-r', IMAGES]).returncode:
        return "the user nobody can't reach %s" % IMAGES
    return why_no_network(directory)


def errand(line):
    """For talk=: the guest asks for an errand, net_host.py runs it, the guest gets the answer."""
    def run(directory):
        with socket.socket(socket.AF_UNIX) as host:
            host.connect(directory + '/host')
            host.sendall(line.encode() + b'\n')
            return host.makefile('rb').readline()
    return (r'^GUEST: host: %s\r?$' % line, run)


def network(name, title, transport, args, talk, expect, options=(), **more):
    return script(name, title, transport, TOOLS + args, wrap=in_a_network(*options),
                  needs=why_no_network, memory='512M', timeout=600,
                  talk=[errand(line) for line in talk], expect=expect, **more)


def there_and_back(host, count):
    return r'^GUEST: %s: %d bytes there and back$' % (host, count)


def taps(transport):
    size = BYTES[transport]
    iperf = [r'^GUEST: iperf3 %s: .* (?!0\.00)[\d.]+ [KMG]Bytes .*receiver' % way
             for way in ('', '-R', '-u -b 20M -l 1400 -R', '-u -b 20M -l 1400')]
    # Dozens of frames at least: what iperf3 was told to send through this queue. TCP's are large.
    queues = [r'^GUEST: %s_queue_%d_packets \d{2}' % queue
              for queue in (('rx', 0), ('rx', 1), ('tx', 0), ('tx', 1))]
    return network('net-taps', 'net: taps', transport,
                   ['--net', 'tap=tap0,queues=2', '--net', 'user', '--net', 'fd=9'],
                   ['delete tap0'],
                   [r'^GUEST: MTU 9000 \d+ 1500$', there_and_back('10.9.0.1', size),
                    there_and_back('10.9.1.1', MB), there_and_back('192.0.2.254', MB), *iperf,
                    *queues, r'^GUEST: eth0: carrier 0', there_and_back('192.0.2.254', MB)],
                   cpus=2, append='bytes=%d' % size)


def user(transport):
    size = BYTES[transport]
    return network('net-user', 'net: passt', transport,
                   ['--net', 'user', '-p', '127.0.0.1:2007:7', '-p', '2008:8',
                    '-p', '2007:7/udp'],
                   ['echo'],
                   [r'^GUEST: eth0: ip=192.0.2.1/24 router=192.0.2.254 dns=$',
                    r'^GUEST: eth0: 2001:db8:.*, default via fe80:',
                    there_and_back('192.0.2.254', size), there_and_back('fe80::fe%eth0', MB),
                    r'^GUEST: published ports answer$'],
                   append='bytes=%d' % size)


def peers(transport):
    size = BYTES[transport]
    return network('net-socket', 'net: a socket', transport,
                   ['--net', 'socket={dir}/peer'],
                   ['kill-peer', 'peer'],
                   [there_and_back('192.0.2.254', size), r'^GUEST: eth0: carrier 0',
                    r'^GUEST: eth0: carrier 1', there_and_back('192.0.2.254', MB)],
                   options=['--peer'], append='bytes=%d' % size)


def ssh(transport):
    image = IMAGES + '/ssh.img'
    return Case('net: ssh to Debian, without rights, ' + transport, KERNEL,
                MODULES + 'do=root root=/dev/vda systemd.show_status=error', memory='512M',
                args=['--transport', transport, '--disk', image + ',ephemeral', '--net', 'user',
                      '-p', '127.0.0.1:2222:22'],
                wrap=in_a_network('--ssh', image), needs=why_no_nobody, timeout=600,
                talk=[(r'bantam-guest login: ', errand('ssh')[1])],
                expect=[USER_SPACE, r'bantam-guest login: ', r'reboot: Power down'])


CASES = both(taps) + both(user) + [peers('pci')] + both(ssh)
