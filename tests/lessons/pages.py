"""pages.py - what the pages of docs/ claim, taken from their text: commands with their output, and
references into the code.

Rules of a page:

- A block marked ```console is a session in the tree's root: lines that begin with `$ ` are commands
  for bash (one that ends with a backslash goes on in the next line), and the lines up to the next
  command are what it prints, on both streams. Behind `console` may stand what it takes:
  `anywhere` (nothing), `kernel` (a stock kernel in build/kernels/generic), `linux` (that, and a KVM
  that runs it). Without a word it takes a /dev/kvm.
- `…` stands for anything within a line; a line that is `…` alone for any number of lines.
- Times are as good as any other: `+12.482ms`, `12.482 ms` and `8.4 us`. Blanks at a line's end don't count.
- [`name()`](FILE) says that FILE, a C source, defines the function; [`name`](FILE) that FILE, in
  assembly, has the label, or, in C, the word. Any other link leads to a file that is there, and #heading to a heading.
"""

import os
import re

COMMAND = '$ '


class Block:
    """One console block: its page and line, what it takes, and [command, expected lines] pairs."""

    def __init__(self, page, line, needs):
        self.page, self.line, self.needs, self.steps = page, line, needs, []

    def add(self, line):
        if self.steps and self.steps[-1][0].endswith('\\') and not self.steps[-1][1]:
            self.steps[-1][0] = self.steps[-1][0][:-1] + line.lstrip()
        elif line.startswith(COMMAND):
            self.steps.append([line[len(COMMAND):], []])
        elif not self.steps:
            raise ValueError('%s:%d: a console block begins with a command' % (self.page, self.line))
        else:
            self.steps[-1][1].append(line)


def blocks(page):
    """The console blocks of a page, in order."""
    found, inside = [], None
    with open(page, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if inside is None and line.startswith('```console'):
                inside = Block(page, number, line[len('```console'):].strip() or 'kvm')
            elif inside is not None and line.startswith('```'):
                found.append(inside)
                inside = None
            elif inside is not None:
                inside.add(line)
    return found


# What stands for something else in a line of a page, and what it stands for.
LOOSE = [(r'…', r'.*'), (r'\+\d+\.\d{3}ms', r'\+\d+\.\d{3}ms'), (r' *\d+\.\d{3} ms', r' *\d+\.\d{3} ms'),
         (r'\d+\.\d us', r'\d+\.\d us')]


def pattern_of(line):
    """The regular expression for a line of a page."""
    pattern = ''
    for part in re.split('(%s)' % '|'.join(loose for loose, _ in LOOSE), line.rstrip()):
        pattern += next((means for loose, means in LOOSE if re.fullmatch(loose, part)),
                        re.escape(part))
    return re.compile(pattern)


def difference(expected, got):
    """Where the output differs from the page's lines, as text, or None."""
    at = 0
    skipping = False
    for want in expected:
        if want.strip() == '…':
            skipping = True
            continue
        pattern = pattern_of(want)
        while skipping and at < len(got) and not pattern.fullmatch(got[at].rstrip()):
            at += 1
        if at == len(got):
            return 'the page goes on with %r, the output ends' % want
        if not pattern.fullmatch(got[at].rstrip()):
            return 'the page has %r, the output %r' % (want, got[at])
        at += 1
        skipping = False
    if at < len(got) and not skipping:
        return 'the page ends, the output goes on with %r' % got[at]
    return None


def heading_slug(heading):
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


def defines(path, name):
    """Whether a source file defines the function (a body follows) or the label."""
    with open(path, encoding='utf-8') as f:
        text = f.read()
    if path.endswith('.S'):
        return re.search(r'^%s:' % re.escape(name), text, re.M) is not None
    return re.search(r'^[A-Za-z][^\n;{}()]*?\b%s\([^;{}]*\)\n?\s*\{' % re.escape(name), text,
                     re.M) is not None


def wrong_reference(path, name):
    """What is wrong with a name that a page says is in a source file, or None."""
    if name.endswith('()') or path.endswith('.S'):
        return None if defines(path, name.replace('()', '')) else 'defines no ' + name
    with open(path, encoding='utf-8') as f:
        found = re.search(r'\b%s\b' % re.escape(name), f.read())
    return None if found else 'has no ' + name


def has_heading(path, anchor):
    with open(path, encoding='utf-8') as f:
        return anchor in map(heading_slug, re.findall(r'^#+ (.*)', f.read(), re.M))


def broken_links(page):
    """What is wrong with a page's links: lines of text. Code blocks have none."""
    with open(page, encoding='utf-8') as f:
        text = re.sub(r'^```.*?^```', '', f.read(), flags=re.M | re.S)
    wrong = []
    for label, target in re.findall(r'\[([^\]]+)\]\(([^)\s]+)\)', text):
        if re.match(r'\w+://', target):
            continue
        target, _, anchor = target.partition('#')
        path = os.path.normpath(os.path.join(os.path.dirname(page), target)) if target else page
        name = re.fullmatch(r'`(\w+(\(\))?)`', label)
        if not os.path.exists(path):
            wrong.append('%s: there is no %s' % (page, path))
        elif anchor and not has_heading(path, anchor):
            wrong.append('%s: %s has no heading #%s' % (page, path, anchor))
        elif name and path.endswith(('.c', '.h', '.S')):
            reason = wrong_reference(path, name.group(1))
            wrong += ['%s: %s %s' % (page, path, reason)] if reason else []
    return wrong
