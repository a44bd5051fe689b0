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
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Tally, USAGE  # noqa: E402

COLUMNS = 100
SECTIONS = ['machine', 'kernel', 'memory_map', 'boot_params', 'setup_header', 'hvm_start_info',
            'e820', 'registers', 'segments', 'gdt', 'page_tables', 'acpi', 'devices', 'cpuid']
TABLES = ['RSDP', 'XSDT', 'FACP', 'APIC', 'DSDT']
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
        return subprocess.run([*wrapper, self.bantam, 'run', *args], stdin=subprocess.DEVNULL,
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


def check_fact(text, key, value):
    shown = '(empty)' if value == '' else str(value)
    if isinstance(value, bool):
        shown = 'yes' if value else 'no'
    check_words(text, '%s %s' % (key.replace('_', ' '), shown))


def check_value(text, name, value):
    """A register or a field: {offset, bytes, value, bits, meaning}."""
    if 'zero' in value:
        shown = 'zero' if value['zero'] else 'not zero'
    else:
        shown = str(value['value'])
    line = '%s +%s' % (name, re.escape(shown))
    if 'offset' in value:
        line = value['offset'] + ' +' + line
    found = re.search(r'^  %s(\s.*)?$' % line, text, re.M)
    check(found, 'the text lacks %s', line)
    rest = in_words(text[found.start():])
    for words in [' '.join(value.get('bits', [])), value['meaning']]:
        check(re.sub(' +', ' ', words) in rest[:600], 'the text lacks %s: %s', name, words)


def check_row(text, row, sizes=()):
    """A table's row: its cells follow each other on a line. sizes: keys of what people see as
    "4 KiB". The last cell may be wrapped."""
    keys = [key for key in row if key not in sizes and row[key] != '']
    cells = ['-' if row[key] is None else str(row[key]) for key in keys]
    last = cells[-1].split()[0]
    pattern = r'(?<!\S)' + r'(?!\S).*(?<!\S)'.join(map(re.escape, cells[:-1] + [last]))
    check(re.search('^  .*' + pattern, text, re.M), 'the text lacks the row %s', cells)
    check_words(text, cells[-1])


def check_agreement(text, data):
    for key, value in data['kernel'].items():
        check_fact(text, key, value)
    check_fact(text, 'cpus', data['machine']['cpus'])
    for section in data['boot_params'], data['setup_header'], data['hvm_start_info']:
        for name, value in (section or {'fields': {}})['fields'].items():
            check_value(text, name, value)
    for name, value in data['registers'].items():
        check_value(text, name, value)
    for name, value in data['acpi']['fadt']['fields'].items():
        check_value(text, name, value)
    for section in data['gdt'], data['page_tables'], data['acpi']['madt'], data['cpuid']:
        for key, value in (section or {}).items():
            if isinstance(value, list) and value and isinstance(value[0], str):
                check_fact(text, key, ' '.join(value))
            elif not isinstance(value, list):
                check_fact(text, key, value)
    tables = (data['memory_map'], data['e820'], data['segments'], data['acpi']['tables'],
              data['acpi']['madt']['entries'], data['devices'], data['cpuid'].get('leaves'),
              data['gdt'] and data['gdt']['descriptors'],
              data['page_tables'] and data['page_tables']['tables'],
              data['page_tables'] and data['page_tables']['mappings'],
              data['hvm_start_info'] and data['hvm_start_info']['modules'])
    for table in tables:
        for row in table or []:
            check_row(text, row, sizes=('bytes', 'page_bytes'))


# ---- what is said is right

def check_form(text, data):
    check(list(data) == SECTIONS, 'the keys are %s', list(data))
    for line in text.split('\n'):
        check(len(line) <= COLUMNS or ' ' not in line.strip(), 'a line is too long: %s', line)
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


def check_acpi(data, cpus):
    tables = data['acpi']['tables']
    check(set(TABLES) <= {row['signature'] for row in tables}, 'tables are missing')
    check(all(row['checksum'] == 'ok' for row in tables), 'a checksum is wrong')
    entries = data['acpi']['madt']['entries']
    processors = sum(row['entries'] for row in entries if row['type'] in (0, 9))
    check(processors == cpus, '%d processors in the MADT', processors)


def check_pvh(data):
    check(data['boot_params'] is None and data['setup_header'] is None, 'boot_params is there')
    check(data['gdt'] is None and data['page_tables'] is None, 'tables are there')
    info = data['hvm_start_info']
    check(number(info['fields']['magic']['value']) == 0x336ec578, 'the magic is wrong')
    check(info['address'] == data['registers']['rbx']['value'], 'rbx leads elsewhere')
    check(info['fields']['memmap_entries']['value'] == len(data['e820']), 'e820 entries are lost')
    check('PG' not in data['registers']['cr0']['bits'], 'paging is on')


def check_linux(data):
    check(data['hvm_start_info'] is None, 'hvm_start_info is there')
    check(data['boot_params']['address'] == data['registers']['rsi']['value'],
          'rsi leads elsewhere')
    check(data['boot_params']['fields']['e820_entries']['value'] == len(data['e820']),
          'e820 entries are lost')
    check(number(data['setup_header']['fields']['header']['value']) == 0x53726448,
          'the header isn\'t "HdrS"')
    mappings = data['page_tables']['mappings']
    check(len(mappings) == 1 and mappings[0]['first'] == mappings[0]['physical'] == '0x0' and
          mappings[0]['last'] == '0xffffffff', 'the mappings are %s', mappings)
    check(data['page_tables']['complete'] is True, 'the page tables weren\'t read to the end')
    selectors = {row['selector']: row for row in data['gdt']['descriptors']}
    for row in data['segments']:
        if row['name'] in ('cs', 'ds', 'ss'):
            descriptor = selectors[row['selector']]
            for key in 'base', 'limit', 'dpl', 'flags', 'type':
                check(row[key] == descriptor[key], '%s has another %s than the GDT', row['name'],
                      key)


def check_bzimage(data, path):
    """Fields that bantam leaves as they are in the file."""
    with open(path, 'rb') as f:
        head = f.read(0x280)
    fields = data['setup_header']['fields']
    for name, size in ('setup_sects', 'B'), ('syssize', 'I'), ('version', 'H'), \
            ('xloadflags', 'H'), ('pref_address', 'Q'), ('init_size', 'I'), \
            ('kernel_alignment', 'I'):
        offset = number(fields[name]['offset'])
        check(number(fields[name]['value']) == struct.unpack_from('<' + size, head, offset)[0],
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
    if data['kernel']['boot_protocol'] == 'PVH':
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
    if data['hvm_start_info']:
        module, = data['hvm_start_info']['modules']
        check(module['address'] == place['first'] and module['bytes'] == 6000,
              'the module is %s', module)
    else:
        fields = data['setup_header']['fields']
        check(fields['ramdisk_image']['value'] == place['first'], 'ramdisk_image differs')
        check(number(fields['ramdisk_size']['value']) == 6000, 'ramdisk_size differs')


def case_command_line(runner, path):
    words = 'one "two\\three" \u00e4\t' + 'long ' * 100
    text, data = runner.both('--cmdline', words, path)
    check(data['kernel']['command_line'] == words, 'it is %r', data['kernel']['command_line'])
    check('\t' not in text, 'a control character came through')
    text, data = runner.both('--cmdline', '', path)
    check(data['kernel']['command_line'] == '', 'it is %r', data['kernel']['command_line'])


def case_without_kvm(runner, path):
    """With an empty /dev, CPUID is unknown and says why; the rest is there."""
    wrapper = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c',
               'mount -t tmpfs none /dev && : >/dev/null && exec "$@"', 'sh']
    text, data = runner.both(path, wrapper=wrapper)
    check_form(text, data)
    check_agreement(text, data)
    check(list(data['cpuid']) == ['unknown'], 'CPUID has %s', list(data['cpuid']))
    check('/dev/kvm' in data['cpuid']['unknown'], 'the reason is %s', data['cpuid']['unknown'])
    check(re.search('^  unknown  .*/dev/kvm', text, re.M), 'the text lacks the reason')


def case_dump(runner, path, scratch):
    directory = scratch + '/acpi'
    data = json.loads(runner.show('--dry-run=json', '--dump-acpi', directory, path))
    lengths = {row['signature'].lower() + '.dat': row['length']
               for row in data['acpi']['tables']}
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
        if path.endswith('vmlinux'):
            case('vmlinux by Linux', show_image, path, 256, 2, '--boot-protocol', 'linux')
    images = [path for path in kernels + guests if os.path.exists(path)]
    if not images:
        tally.skip(7, 'no image to show')
        return tally.close()
    with tempfile.TemporaryDirectory(prefix='bantam-dry-run-') as scratch:
        for path in images[:2]:
            case('initrd, ' + os.path.basename(path), case_initrd, path, scratch)
        case('command line', case_command_line, images[0])
        case('dump', case_dump, images[0], scratch)
        case('dump, refused', case_dump_refused, images[0])
        case('full disk', case_full_disk, images[0])
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
