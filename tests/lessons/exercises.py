"""exercises.py - the lessons' exercises: what each starts from, how it is run, what it must show.

A reader copies `start` to build/lessons and changes it. tests/lessons/solutions has one solution
each, by which the test proves that the checks here can be passed; the start itself must fail.
"""

OUT, TRACE, ERR = 'output', 'trace', 'report'


class Exercise:
    """One exercise.

    file     its name in build/lessons and in tests/lessons/solutions; .c or .S
    start    the file to copy
    args     bantam's options; {scratch} is a directory that holds `files`; None: the exercise is a
             program of the host's, run without arguments
    stdin    what is typed
    status   the exit status
    wants    (where, regular expression, what is missing otherwise): each found behind the one
             before it in the same place
    forbids  (where, regular expression, what is wrong with it)
    """

    def __init__(self, file, start, args=(), stdin=b'', status=0, files=None, wants=(), forbids=()):
        self.file, self.start, self.args, self.stdin = file, start, args, stdin
        self.status, self.files = status, files or {}
        self.wants, self.forbids = wants, forbids


DISK = b''.join((b'this is sector %d\n' % n).ljust(512, b'.') for n in range(8))

EXERCISES = {
    1: Exercise('count.c', 'tests/lessons/first.c', args=None,
                wants=[(OUT, r"^out: port 0x10, '%d'$" % n,
                        'the guest has not sent %d behind the digits before it' % n)
                       for n in range(10)] + [(OUT, r'^hlt$', 'the guest does not halt at the end')],
                forbids=[(OUT, r"'!'", 'it still sends a !')]),
    2: Exercise('serial.S', 'tests/guests/hello.S', stdin=b'Quiet, please.\n',
                wants=[(OUT, r'QUIET, PLEASE\.\n',
                        'the line that was typed does not come back in capitals'),
                       (TRACE, r"in serial0.LSR = 0x61.*\n.*in serial0.RBR = 0x51 \('Q'\)",
                        'RBR is to be read when LSR has said (bit 0) that a byte is there')],
                forbids=[(TRACE, r'in serial0.LSR = 0x60.*\n.*in serial0.RBR',
                          'RBR was read though LSR said that there is nothing')]),
    3: Exercise('longmode.c', 'tests/guests/longmode.c', status=255,
                wants=[(OUT, r'^running at 80002\w{5}$',
                        'no code says "running at" an address 512 GiB above its own'),
                       (ERR, r'RIP 00000080d0000000 .*64-bit mode',
                        'the last jump does not go to 512 GiB + 0xd0000000'),
                       (ERR, r'RIP 80d0000000 is guest physical address d0000000\n.*PML4\[1\]',
                        'that address is not mapped by way of PML4[1]')]),
    4: Exercise('interrupts.c', 'tests/guests/interrupts.c', stdin=b'abq',
                wants=[(OUT, r'^got a$', 'it does not say "got a"'),
                       (OUT, r'^got b$', 'it does not say "got b"'),
                       (OUT, r'^got q$', 'it does not say "got q" before it ends'),
                       (TRACE, r'gsi 4 high', 'no interrupt was raised: is IER.RX set?'),
                       (TRACE, r"serial0.IIR = 0x.4 \(rx.*\n(.*\n)*?.*serial0.RBR = 0x61 \('a'\)",
                        'the handler is to ask IIR before it takes the byte from RBR')],
                forbids=[(OUT, r'asked for by an interrupt', 'it still sends its text')]),
    5: Exercise('smp.c', 'tests/guests/smp.c', args=['-c', '3'],
                wants=[(OUT, r'^3 cpus up$', 'not all CPUs come up'),
                       (OUT, r'^counted 300000$',
                        'each of 3 CPUs is to count 100000 times, and "counted 300000" to be said')]),
    6: Exercise('ports.c', 'tests/guests/ports.c',
                args=['--transport', 'mmio', '--disk', '{scratch}/disk'], files={'disk': DISK},
                wants=[(OUT, r'^e1000000: device \d+$', 'the first device is not named'),
                       (OUT, r'^e1001000: device \d+$', 'the second device is not named'),
                       (OUT, r'^2 devices$', 'it does not end with "2 devices"'),
                       (TRACE, r'in virtio0.MagicValue = 0x74726976',
                        'virtio0\'s magic value was not read as 32 bits'),
                       (TRACE, r'in virtio1.MagicValue = 0x74726976',
                        'virtio1\'s magic value was not read as 32 bits'),
                       (TRACE, r'in 0xe1002000 \(nothing\) = 0xffffffff',
                        'the search does not stop where nothing answers')]),
    7: Exercise('virtqueue.c', 'tests/guests/virtqueue.c',
                args=['--transport', 'mmio', '--disk', '{scratch}/disk,ro'], files={'disk': DISK},
                wants=[(TRACE, r'chain \d+: out 16 \(read sector 3\)',
                        'the device has seen no chain that begins with a header of 16 bytes: '
                        'type 0 (read), sector 3'),
                       (TRACE, r'in 512, in 1 → ok, used 513',
                        'behind the header belong 512 bytes and 1 byte that the device writes'),
                       (OUT, r'^this is sector 3$', 'it does not print what stands in the sector')]),
    8: Exercise('initrd.c', 'tests/guests/hello64.c',
                args=['--boot-protocol', 'linux', '--initrd', '{scratch}/initrd'],
                files={'initrd': b'all that init needs\n'},
                wants=[(OUT, r'64-bit Linux guest$', 'it was not started as Linux is'),
                       (OUT, r'^20 bytes: all that init needs$',
                        'it does not print "N bytes: TEXT" of the initrd')]),
}
