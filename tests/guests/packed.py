"""packed.py - a bzImage whose kernel is a bare-metal guest."""

import gzip
import struct


def pack(elf_path, path):
    """Makes a bzImage of a guest, with a table of relocations that all name its last word."""
    with open(elf_path, 'rb') as f:
        elf = f.read()
    table, segments = struct.unpack_from('<Q', elf, 32)[0], struct.unpack_from('<H', elf, 56)[0]
    loads = [load for load in (struct.unpack_from('<IIQQQQQQ', elf, table + 56 * i)
                               for i in range(segments)) if load[0] == 1]
    end = max(load[4] + load[6] for load in loads)
    image = elf + bytes(-len(elf) % 4) + bytes(12) + struct.pack('<I', (1 << 31) + end - 4) * 100000
    payload = gzip.compress(image)
    header = bytearray(1024)
    for at, form, *values in (
            (0x1f1, 'B', 1), (0x1f4, 'I', (len(payload) + 0x400) // 16), (0x1fe, 'H', 0xaa55),
            (0x200, 'H', 0x6aeb), (0x202, '4s', b'HdrS'), (0x206, 'H', 0x20f), (0x211, 'B', 1),
            (0x22c, 'I', 0x7fffffff), (0x230, 'I', 2 << 20), (0x236, 'H', 1), (0x238, 'I', 2047),
            (0x248, 'II', 0x400, len(payload)), (0x258, 'Q', min(load[4] for load in loads)),
            (0x260, 'I', len(image))):
        struct.pack_into('<' + form, header, at, *values)
    with open(path, 'wb') as f:
        f.write(header + bytes(0x400) + payload + bytes(16))
    return path
