#!/usr/bin/env python3
"""dry_run_cli.py - `bantam run --dry-run` on real images: bare-metal guests and Debian's kernel.

    tests/dry_run_cli.py [--build DIR] BANTAM

Each image is shown as text and as JSON. The JSON must be valid and have the keys that scripts rely
on; the text must say the same; both must agree with the image's own headers, which are read here
independently. Nothing may need /dev/kvm: one case runs where /dev is empty. What isn't built is
skipped. Ends with `N passed, N failed, N skipped`.
"""

import argparse
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Tally, USAGE  # noqa: E402

COLUMNS = 100
# The sections; what is not of every start is named after its start.
SECTIONS = ['machine', 'kernel', 'memory_map', 'e820', 'registers', 'devices', 'cpuid',
            'cpuid_leaves']
LINUX = ['boot_params', 'setup_header']
PVH = ['hvm_start_info']
INITRD = ['hvm_modlist_entry']
TABLES = ['RSDP', 'XSDT', 'FACP', 'APIC', 'DSDT']
# The MADT without its processors: the header, an I/O APIC, an override.
MADT_REST, MADT_PROCESSOR = 44 + 12 + 10, 8
HOLE, HOLE_END = 0xc0000000, 1 << 32


class Failed(Exception):
    pass


def check(condition, words, *args):
    if not condition:
        raise Failed(words % args)


def number(text):
    """An address or a pattern in JSON: a string."""
    check(isinstance(text, str) and re.fullmatch('0x[0-9a-f]+', text), '%r is no address', text)
    return int(text, 16)


class Runner:
    def __init__(self, bantam):
        self.bantam = bantam

    def run(self, *args, wrapper=()):
        return subprocess.run([*wrapper, self.bantam, 'run', '--unpack', 'off', *args],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)

    def show(self, *args, wrapper=()):
        """Returns what it prints; stderr must be empty."""
        done = self.run(*args, wrapper=wrapper)
        check(done.returncode == 0, 'status %d: %s', done.returncode, done.stderr[-300:])
        check(done.stderr == b'', 'it says %s', done.stderr[-300:])
        return done.stdout.decode()

    def both(self, *args, wrapper=()):
        text = self.show('--dry-run', *args, wrapper=wrapper)
        try:
            data = json.loads(self.show('--dry-run=json', *args, wrapper=wrapper))
        except ValueError as error:
            raise Failed('the JSON is not valid: %s' % error) from error
        return text, data


# ---- both forms say the same

def in_words(text):
    """The text without its line ends: what was wrapped is in one piece again."""
    return re.sub(r'\s+', ' ', text)


def check_words(text, words):
    """Control characters are shown as '?'."""
    words = re.sub('[\0-\x1f\x7f]', '?', words)
    check(re.sub(' +', ' ', words).strip() in in_words(text), 'the text lacks "%s"', words)


def shown(value):
    """A value as people see it. Sizes are told in the largest unit that tells them exactly; which
    numbers are sizes isn't said in JSON, so either will do."""
    if value is None:
        return '-'
    if not isinstance(value, int):
        return re.escape(re.sub('[\0-\x1f\x7f]', '?', value))
    size, units = value, ['bytes', 'KiB', 'MiB', 'GiB']
    while size and size % 1024 == 0 and len(units) > 1:
        size //= 1024
        units.pop(0)
    return '(%d|%d %s)' % (value, size, units[0])


def check_fact(text, key, value):
    if isinstance(value, str):
        check_words(text, '%s %s' % (key, value))
    else:
        check(re.search('^  %s +%s$' % (key, shown(value)), text, re.M), 'the text lacks %s', key)


def check_row(text, cells):
    """A table's row: its cells follow each other on a line; the last may be wrapped."""
    cells = [cell for cell in cells if cell != '']
    last = cells[-1]
    if isinstance(last, str):
        cells = cells[:-1] + last.split()[:1]
    check(re.search('^  ' + ' +'.join(map(shown, cells)) + r'( |$)', text, re.M),
          'the text lacks the row %s', cells)
    if isinstance(last, str):
        check_words(text, last)


def check_agreement(text, data):
    sections = re.split(r'^(\w+): .*\n', text, flags=re.M)[1:]
    check(sections[::2] == list(data), 'the text has %s', sections[::2])
    for key, words in zip(sections[::2], sections[1::2]):
        section = data[key]
        if isinstance(section, list):
            for row in section:
                check_row(words, list(row.values()))
            continue
        for name, value in section.items():
            if isinstance(value, dict):
                check_row(words, [name] + list(value.values()))
            else:
                check_fact(words, name, value)


# ---- what is said is right

def check_form(text, data):
    own = PVH if data['kernel']['boot_protocol'].startswith('PVH') else LINUX
    for key in SECTIONS + own:
        check(key in data or (key == 'cpuid_leaves' and 'unknown' in data['cpuid']),
              'the section %s is missing', key)
    for key in data:
        check(key in SECTIONS + own + INITRD, 'there is a section %s', key)
    for line in text.split('\n'):
        # A list of bits is one word; only between words a line is broken.
        check(len(line) <= COLUMNS or ',' in line.split()[-1] or ' ' not in line.strip(),
              'a line is too long: %s', line)
        check(line == line.rstrip(), 'a line ends with a space: %r', line)


def check_map(data, memory_bytes):
    """Every address once; as much RAM as was asked for; e820 all inside of RAM."""
    expected = 0
    ram = 0
    for row in data['memory_map']:
        check(number(row['first']) == expected, 'the map leaps to %s', row['first'])
        expected = number(row['last']) + 1
        check(row['bytes'] == expected - number(row['first']), 'the map\'s row at %s: %d bytes',
              row['first'], row['bytes'])
        check(row['kind'] in ('ram', 'placed', 'device', 'hole'), 'a kind is %s', row['kind'])
        check(row['kind'] != 'placed' or row['why'], 'no reason for the %s', row['what'])
        if row['kind'] in ('ram', 'placed'):
            ram += row['bytes']
    check(ram == memory_bytes, '%d bytes of RAM in the map', ram)
    end = memory_bytes if memory_bytes <= HOLE else HOLE_END + memory_bytes - HOLE
    check(expected == max(end, HOLE_END), 'the map ends at %x', expected)
    check(data['e820'][0]['first'] == '0x0', 'the e820 map begins at %s', data['e820'][0]['first'])
    check(number(data['e820'][-1]['last']) == end - 1, 'e820 ends at %s',
          data['e820'][-1]['last'])


def acpi_tables(data):
    """Their lengths, by signature."""
    return {row['what'][5:]: row['bytes'] for row in data['memory_map']
            if (row['what'] or '').startswith('ACPI ')}


def check_acpi(data, cpus):
    tables = acpi_tables(data)
    check(set(TABLES) <= set(tables), 'tables are missing')
    check(tables['APIC'] == MADT_REST + MADT_PROCESSOR * cpus, 'the MADT has %d bytes',
          tables['APIC'])


def check_pvh(data):
    info = data['hvm_start_info']
    check(number(info['magic']['value']) == 0x336ec578, 'the magic is wrong')
    check(data['kernel']['hvm_start_info'] == data['registers']['rbx']['value'],
          'rbx leads elsewhere')
    check(info['memmap_entries']['value'] == len(data['e820']), 'e820 entries are lost')
    check('PG' not in data['registers']['cr0']['meaning'].split(','), 'paging is on')


def check_linux(data):
    check(data['kernel']['boot_params'] == data['registers']['rsi']['value'],
          'rsi leads elsewhere')
    check(data['boot_params']['e820_entries']['value'] == len(data['e820']),
          'e820 entries are lost')
    check(number(data['setup_header']['header']['value']) == 0x53726448,
          'the header isn\'t "HdrS"')
    check('PG' in data['registers']['cr0']['meaning'].split(','), 'paging is off')
    places = {row['what']: row['first'] for row in data['memory_map']}
    check(data['registers']['cr3']['value'] == places['page tables'], 'cr3 leads elsewhere')
    check(data['registers']['gdt.base']['value'] == places['GDT'], 'the GDT lies elsewhere')


def check_bzimage(data, path):
    """Fields that bantam leaves as they are in the file."""
    with open(path, 'rb') as f:
        head = f.read(0x280)
    fields = data['setup_header']
    for name, size in ('setup_sects', 'B'), ('syssize', 'I'), ('version', 'H'), \
            ('xloadflags', 'H'), ('pref_address', 'Q'), ('init_size', 'I'), \
            ('kernel_alignment', 'I'):
        offset = number(fields[name]['offset'])
        value = fields[name]['value']
        check((value if isinstance(value, int) else number(value)) ==
              struct.unpack_from('<' + size, head, offset)[0],
              '%s isn\'t what the file has', name)
    check('Linux' in data['kernel']['boot_protocol'], 'another boot protocol')


def check_elf(data, path):
    """A place for each loadable segment."""
    with open(path, 'rb') as f:
        head = f.read(4096)
    wide = head[4] == 2
    table, = struct.unpack_from('<Q', head, 32) if wide else struct.unpack_from('<I', head, 28)
    entry_bytes, count = struct.unpack_from('<HH', head, 54 if wide else 42)
    placed = {number(row['first']): row for row in data['memory_map'] if row['kind'] == 'placed'}
    for i in range(count):
        at = table + i * entry_bytes
        if wide:
            kind, = struct.unpack_from('<I', head, at)
            address, _, size = struct.unpack_from('<QQQ', head, at + 24)
        else:
            kind, _, _, address, _, size = struct.unpack_from('<IIIIII', head, at)
        if kind == 1 and size:
            check(address in placed and placed[address]['bytes'] == size,
                  'the segment at %x isn\'t in the map', address)


def show_image(runner, path, memory_mib, cpus, *args):
    """Shows an image in both forms and checks all of it; returns both forms."""
    text, data = runner.both('-m', '%dM' % memory_mib, '-c', str(cpus), *args, path)
    check_form(text, data)
    check_agreement(text, data)
    check_map(data, memory_mib << 20)
    check_acpi(data, cpus)
    check(data['registers']['rip']['value'] == data['kernel']['entry'], 'rip isn\'t the entry')
    if data['kernel']['boot_protocol'].startswith('PVH'):
        check_pvh(data)
    else:
        check_linux(data)
    if data['kernel']['format'] == 'bzImage':
        check_bzimage(data, path)
    else:
        check_elf(data, path)
    return text, data


# ---- cases

def case_initrd(runner, path, scratch):
    initrd = scratch + '/initrd'
    with open(initrd, 'wb') as f:
        f.write(b'initrd' * 1000)
    _, data = show_image(runner, path, 256, 1, '--initrd', initrd)
    place, = [row for row in data['memory_map'] if row['what'] == 'initrd']
    check(place['bytes'] == 6000, 'the initrd has %d bytes', place['bytes'])
    if 'hvm_start_info' in data:
        module = data['hvm_modlist_entry']
        check(module['paddr']['value'] == place['first'] and module['size']['value'] == 6000,
              'the module is %s', module)
    else:
        fields = data['setup_header']
        check(fields['ramdisk_image']['value'] == place['first'], 'ramdisk_image differs')
        check(fields['ramdisk_size']['value'] == 6000, 'ramdisk_size differs')


def command_line(data):
    """The text that the handover structure points to."""
    if 'hvm_start_info' in data:
        return data['hvm_start_info']['cmdline_paddr']['meaning']
    return data['setup_header']['cmd_line_ptr']['meaning']


def case_command_line(runner, path):
    words = 'one "two\\three" \u00e4\t' + 'long ' * 100
    text, data = runner.both('--cmdline', words, path)
    check(command_line(data) == words, 'it is %r', command_line(data))
    check('\t' not in text, 'a control character came through')
    check_words(text, words)
    text, data = runner.both('--cmdline', '', path)
    check(command_line(data) == '', 'it is %r', command_line(data))


def case_without_kvm(runner, path):
    """With nothing in /dev but random numbers, CPUID is unknown and says why; the rest is there."""
    wrapper = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c',
               'mount -t tmpfs none /mnt && : >/mnt/urandom && mount --bind /dev/urandom /mnt/urandom && '
               'mount --rbind /mnt /dev && : >/dev/null && exec "$@"', 'sh']
    text, data = runner.both(path, wrapper=wrapper)
    check_form(text, data)
    check_agreement(text, data)
    check(list(data['cpuid']) == ['unknown'], 'CPUID has %s', list(data['cpuid']))
    check('/dev/kvm' in data['cpuid']['unknown'], 'the reason is %s', data['cpuid']['unknown'])
    check(re.search('^  unknown  .*/dev/kvm', text, re.M), 'the text lacks the reason')


def case_dump(runner, path, scratch):
    directory = scratch + '/acpi'
    data = json.loads(runner.show('--dry-run=json', '--dump-acpi', directory, path))
    lengths = {name.lower() + '.dat': size for name, size in acpi_tables(data).items()}
    check(sorted(os.listdir(directory)) == sorted(lengths), 'the files are %s',
          sorted(os.listdir(directory)))
    for name, length in lengths.items():
        with open(directory + '/' + name, 'rb') as f:
            table = f.read()
        check(len(table) == length, '%s has %d bytes', name, len(table))
        check(sum(table) % 256 == 0, '%s doesn\'t add up to 0', name)


def case_iasl(runner, path, scratch):
    """The reference disassembler has nothing to say. (It takes no RSDP, not even its own.)"""
    directory = scratch + '/iasl'
    runner.show('--dry-run', '--dump-acpi', directory, path)
    for name in sorted(os.listdir(directory)):
        if name == 'rsdp.dat':
            continue
        done = subprocess.run(['iasl', '-d', name], cwd=directory, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, '%s: %s', name, done.stdout[-300:])
        with open('%s/%s.dsl' % (directory, name[:-4])) as f:
            said = done.stdout + f.read()
        check(not re.search('warning|error|incorrect|invalid|unknown', said, re.I), '%s: %s', name,
              said[-500:])


def case_dump_refused(runner, path):
    done = runner.run('--dry-run', '--dump-acpi', '/nowhere/at/all', path)
    check(done.returncode == USAGE, 'status %d', done.returncode)
    check(re.fullmatch(rb'bantam: .*/nowhere/at/all.*\n', done.stderr), 'it says %s', done.stderr)
    check(done.stdout == b'', 'it prints something')


def case_full_disk(runner, path):
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([runner.bantam, 'run', '--dry-run', path], stdout=full,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)
    check(done.returncode == USAGE, 'status %d', done.returncode)
    check(re.fullmatch(rb'bantam: .*No space left.*\n', done.stderr), 'it says %s', done.stderr)


def case_closed_pipe(runner, path):
    """A reader that leaves, as head does, ends it like any other program: no word on stderr."""
    show = subprocess.Popen([runner.bantam, 'run', '--dry-run', path], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    show.stdout.close()
    said = show.stderr.read()
    check(show.wait(timeout=60) == -signal.SIGPIPE, 'status %d', show.returncode)
    check(said == b'', 'it says %s', said)


def case_few_descriptors(runner, path):
    """Shared directories want more than a process may be left with; the soft limit is raised."""
    shares = ['--dry-run', '-v', '/tmp:/a', '-v', '/tmp:/b', '--initrd', path, path, '--', 'true']
    for limit, status in (('191', USAGE), ('64:192', 0)):
        done = runner.run(*shares, wrapper=['prlimit', '--nofile=' + limit])
        check(done.returncode == status, 'limit %s, status %d: %s', limit, done.returncode,
              done.stderr)
        said = rb'bantam: .* 192 .* may have 191: .*ulimit -Hn 192.*\n' if status else b''
        check(re.fullmatch(said, done.stderr), 'it says %s', done.stderr)


def case_unpacked(runner, path):
    """What the host has unpacked lies at other addresses each time, unless the kernel is told."""
    entries, slides = set(), set()
    for _ in range(8):
        data = json.loads(runner.show('--dry-run=json', '--unpack', 'on', path))
        kernel, fields = data['kernel'], data['setup_header']
        check(kernel['unpacked_by'] == 'host', 'the %s has unpacked it', kernel['unpacked_by'])
        entries.add(number(kernel['entry']))
        slides.add(number(kernel['virtual_slide']))
        check(int(number(fields['loadflags']['value'])) & 2, 'the kernel is not told of it')
    check(len(entries) > 1 and len(slides) > 1, 'the entries are %s, the slides %s', entries, slides)
    check(not any(at % (2 << 20) for at in entries | slides), 'one of %s is not aligned', slides)
    text, data = runner.both('--unpack', 'on', '-a', 'nokaslr', path)
    check_form(text, data)
    check(data['kernel']['virtual_slide'] is None, 'nokaslr, and it has moved')
    check(number(data['kernel']['entry']) == number(data['setup_header']['pref_address']['value']),
          'nokaslr, and the entry is %s', data['kernel']['entry'])


def cannot_unshare():
    done = subprocess.run(['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c',
                           'mount -t tmpfs none /dev'], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) if shutil.which('unshare') else None
    if done is None:
        return 'unshare is not installed'
    return done.stderr.decode().strip() if done.returncode else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', default='build')
    parser.add_argument('bantam')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='bantam-dry-run-') as scratch:
        os.environ['XDG_CACHE_HOME'] = scratch
        return run_cases(options, scratch)


def run_cases(options, scratch):
    runner = Runner(os.path.abspath(options.bantam))
    tally = Tally()

    def case(name, function, *args):
        began = time.monotonic()
        try:
            function(runner, *args)
            reason = None
        except Failed as failed:
            reason = str(failed)
        except Exception as error:      # pylint: disable=broad-except
            reason = '%s: %s' % (type(error).__name__, error)
        tally.result(name, reason, time.monotonic() - began)

    guests = sorted(glob.glob(options.build + '/guests/*.elf'))
    kernels = [options.build + '/kernels/cloud/' + name for name in ('vmlinuz', 'vmlinux')]
    for path in guests:
        case(os.path.basename(path), show_image, path, 64, 1)
    if not guests:
        tally.skip(1, 'no guests in %s/guests; `make guests` builds them' % options.build)
    for path in kernels:
        if not os.path.exists(path):
            tally.skip(1, '%s is not there; tools/kernels gets it' % path)
            continue
        case(os.path.basename(path), show_image, path, 256, 1)
        case(os.path.basename(path) + ', 5000M, 16 CPUs', show_image, path, 5000, 16)
        if path.endswith('vmlinuz'):
            case('vmlinuz, unpacked', case_unpacked, path)
        else:
            case('vmlinux by Linux', show_image, path, 256, 2, '--boot-protocol', 'linux')
    images = [path for path in kernels + guests if os.path.exists(path)]
    if not images:
        tally.skip(9, 'no image to show')
        return tally.close()
    for path in images[:2]:
        case('initrd, ' + os.path.basename(path), case_initrd, path, scratch)
    case('command line', case_command_line, images[0])
    case('dump', case_dump, images[0], scratch)
    case('dump, refused', case_dump_refused, images[0])
    case('full disk', case_full_disk, images[0])
    case('closed pipe', case_closed_pipe, images[0])
    case('few descriptors', case_few_descriptors, images[0])
    if shutil.which('iasl'):
        case('dump, iasl', case_iasl, images[0], scratch)
    else:
        tally.skip(1, 'iasl is not installed')
    reason = cannot_unshare()
    if reason:
        tally.skip(1, 'no empty /dev: ' + reason)
    else:
        case('no /dev/kvm', case_without_kvm, images[0])
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
