"""rows_net.py - how fast a stock guest sends and receives, and what a frame costs.

tests/bench/net_guest works the network in four ways during one boot, with iperf3: a TCP connection
from the guest and one to it, and datagrams of 64 bytes, as many as the sender is able to. The other
iperf3 is on the host, behind a tap (tests/bench/net_host). QEMU is the one that most people run,
q35 with virtio-net-pci, which takes its tap's frames itself; and, as information, with vhost, where
the kernel does.

Of datagrams both are told: those that crossed the guest's interface, which is what the monitor is
there for, and those that the receiving iperf3 got. The two differ where the receiver doesn't keep
up: a guest that is handed more than it can work off drops them, and what it spends on that it
hasn't got for the others.

Times first, with nothing else going on. Then counts (loads.py), in a run of their own that times
nothing: per megabyte of TCP, and per thousand datagrams.

Limits: sender, receiver, vCPU, worker and the host's part of the network share the emulated host's
one processor. vhost's thread is the kernel's: its work is in no count.
"""

import os
import re
import shutil

import loads
import measure
from contenders import QEMU, words
from loads import COUNTS
from measure import Failed, NotTaken
from rows import STOCK, Row, Series, needs_file

HERE = os.path.dirname(os.path.abspath(__file__))
LOADS = (('tcp-out', 'TCP from the guest', 'MB'), ('tcp-in', 'TCP to the guest', 'MB'),
         ('udp-out', '64-byte UDP from the guest', 'thousand'),
         ('udp-in', '64-byte UDP to the guest', 'thousand'))
SECONDS = 4
PAUSE_S = 1    # room for reading the counters before and after each load
GOAL = 1.2
CMDLINE = ('console=ttyS0 quiet do=run script=net_guest load=virtio_pci,virtio_net '
           'time=%d pause=%d')


def units(load, numbers):
    """Megabytes of TCP, thousands of datagrams: what a count is told per."""
    return (int(numbers['bytes']) / 1e6 if load.startswith('tcp') else
            int(numbers['frames']) / 1e3)


def timed(argv, work, timeout_s):
    """Runs argv; of each TCP load, megabytes per second at the receiver; of each UDP load,
    datagrams per second through the interface, and those that the receiver got."""
    output = measure.run(argv, work, timeout_s, expect='NET: done').output
    sample = {}
    for load, text in re.findall(r'NET: end (\S+) (.*)', output):
        numbers = dict(re.findall(r'(\w+)=(\S+)', text))
        seconds = float(numbers['seconds'])
        if load.startswith('tcp'):
            sample[load] = round(int(numbers['kbits']) / 8e3, 1)
        else:
            missed, packets = map(int, numbers['packets'].split('/'))
            sample[load] = round(int(numbers['frames']) / seconds)
            sample[load + ' received'] = round((packets - missed) / seconds)
    if len(sample) < 6:
        raise Failed('%s: iperf3 failed: %s' % (argv[0], measure.last_line(output)))
    return sample


def counted(argv, work, timeout_s):
    return loads.counted(argv, work, timeout_s, units)


def commands(setup, pause_s):
    cmdline = CMDLINE % (SECONDS, pause_s)
    host = [os.path.join(HERE, 'net_host')]
    ours = setup.run_bantam(setup.kernel('vmlinux'), cmdline, setup.net_initrd)

    def qemu(vhost):
        return host + [QEMU, '-M', 'q35', '-accel', 'kvm', '-cpu', 'host', '-smp', '1', '-m', '256',
                       '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none',
                       '-serial', 'stdio',
                       '-netdev', 'tap,id=n0,ifname=tap0,script=no,downscript=no,vhost=' + vhost,
                       '-device', 'virtio-net-pci,netdev=n0,romfile=',
                       '-kernel', setup.kernel('vmlinux'), '-initrd', setup.net_initrd,
                       '-append', cmdline]

    return {'bantam': host + ours[:-1] + ['--net', 'tap=tap0'] + ours[-1:],
            'qemu': qemu('off'), 'vhost': qemu('on')}


def contenders(setup, run, pause_s):
    """For Series: the contenders and their command lines."""
    argv = commands(setup, pause_s)

    def contender(name):
        def taken():
            needs_tap()
            if name != 'bantam':
                setup.needs_qemu()
            if name == 'vhost' and not os.path.exists('/dev/vhost-net'):
                raise NotTaken('there is no /dev/vhost-net')
            return run(argv[name], setup.work, setup.timeout_s)
        return taken

    return {'contenders': {name: contender(name) for name in argv},
            'commands': {name: words(argv[name]) for name in argv}}


def needs(setup):
    """For Series.needs; whether there may be a tap is asked where it is made."""
    def check():
        needs_file(setup.kernel('vmlinux'), setup.net_initrd, how='`make bench` gets it')()
        if not shutil.which('iperf3'):
            raise NotTaken('there is no iperf3 (package iperf3)')
    return check


def needs_tap():
    """A tap may be made, in a network namespace of its own."""
    if os.geteuid() != 0:
        raise NotTaken('making a tap needs root')
    if not os.path.exists('/dev/net/tun'):
        raise NotTaken('there is no /dev/net/tun')


def rows(setup):
    times = Series('network', STOCK, needs=needs(setup), **contenders(setup, timed, 0))
    counts = Series('network, counted', STOCK, needs=needs(setup), runs=1, warm_up=False,
                    **contenders(setup, counted, PAUSE_S))
    found = []
    for load, what, unit in LOADS:
        found.append(Row(what, times, load, 'MB/s' if unit == 'MB' else '/s', better='higher',
                         goal_ratio=('qemu', GOAL)))
        if unit != 'MB':
            found.append(Row(what + ', received', times, load + ' received', '/s', better='higher'))
    found += [Row('%s/%s, %s' % (what, 'MB' if unit == 'MB' else '1000', load), counts,
                  '%s %s' % (load, kind), '', note='bench.json has them by what they are')
              for load, _, unit in LOADS for kind, what in COUNTS]
    return found
