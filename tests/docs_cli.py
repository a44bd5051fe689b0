#!/usr/bin/env python3
"""docs_cli.py - the manual page and the completions know what --help knows; and what is installed.

    tests/docs_cli.py [--build DIR] BANTAM

What needs a program that isn't there (man, zsh, lintian) is skipped, by name. Ends with `N passed, N
failed, N skipped`.
"""

import argparse
import gzip
import hashlib
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Tally, Wrong, want  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE, BASH, ZSH = (ROOT + '/docs/' + name for name in ('bantam.1', 'completion/bantam.bash',
                                                      'completion/_bantam'))
PATIENCE = 20
# An address like people's: what a host without a domain would give is no good.
MAKER = dict(os.environ, DEBFULLNAME='the bantam authors', DEBEMAIL='authors@bantam-vmm.org')


class Missing(Exception):
    """A program isn't there."""


def need(program):
    if not shutil.which(program):
        raise Missing(program + ' is not installed')


def said(*argv, **more):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT, timeout=120,
                          stderr=subprocess.STDOUT, text=True, **more)
    want(done.returncode == 0, '%s: status %d: %.500s' % (' '.join(argv), done.returncode, done.stdout))
    return done.stdout


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def differ(what, one, other):
    want(one == other, '%s: only one has %s' % (what, sorted(set(one) ^ set(other), key=str)))


# ---- what they know ----

def options_of_help(bantam):
    """{option: (its letter or '', the first word of its value or '')}"""
    lines = re.findall(r'^  (?:-(\w), |    )(--[a-z-]+)(?:\[?[= ]?([a-zA-Z=:]*))?', said(bantam, 'run', '--help'),
                       re.M)
    return {name: (letter, re.match('[A-Z]*', value)[0]) for letter, name, value in lines}


def options_of_page():
    page = read(PAGE)
    section = page[page.index('.SH OPTIONS'):page.index('.SH', page.index('.SH OPTIONS') + 4)]
    found = {}
    for line in re.findall(r'^\.TP\n(\.[BIR]+ .*\\-.*)$', section, re.M):
        text = re.sub(r'\\f.|"', '', line.replace('\\-', '-'))
        name = re.search(r'--[a-z-]+', text)
        letter = re.match(r'\.\w+ -(\w)\b', text)
        value = re.match(r' *([A-Z]*)', text[name.end():])
        found[name[0]] = (letter[1] if letter else '', value[1])
    return found


def manual_page(bantam):
    known, told = options_of_help(bantam), options_of_page()
    want(len(known) > 40, '--help has %d options' % len(known))
    differ('--help and bantam.1', known.items(), told.items())


def version_and_date(bantam):
    head = re.match(r'\.TH BANTAM 1 (\d{4}-\d\d-\d\d) "bantam ([\d.]+)"', read(PAGE))
    want(head and head[2] == said(bantam, 'version').split()[1], 'the page is of another version')


def exit_statuses(bantam):
    """Those of --help and of README.md are explained in the page."""
    page = read(PAGE)
    page = page[page.index('.SH EXIT STATUS'):page.index('.SH ENVIRONMENT')].replace('\\', '')
    help_text = said(bantam, 'run', '--help')
    told = help_text[help_text.index('Exit status:'):]
    numbers = set(re.findall(r'\b(\d+)\b(?!\+)', told)) | {'128+'}
    for number in sorted(numbers):
        want(re.search(r'^\.BI? (.*\b)?%s' % re.escape(number), page, re.M), 'bantam.1 lacks %s' % number)
    readme = read(ROOT + '/README.md')
    for status, reasons in re.findall(r'^\| ([\d+n–, ]+) \|.*\| (.*) \|$', readme, re.M):
        for reason in re.findall('`([a-z-]+)`', reasons):
            want(re.search(r'\(?%s\b' % reason, page.replace('fR', '')), 'bantam.1 lacks %s' % reason)
        for number in re.findall(r'\b\d{3}\b', status):
            want(number in told, '--help lacks %s' % number)


def environment(_bantam):
    """Each variable that the program asks for."""
    names = set(re.findall(r'getenv\("(\w+)"\)', ''.join(
        read(os.path.join(directory, name)) for top in ('vmm', 'devices', 'boot')
        for directory, _, names in os.walk(ROOT + '/' + top) for name in names if name.endswith('.c'))))
    page = read(PAGE)
    page = page[page.index('.SH ENVIRONMENT'):page.index('.SH FILES')]
    want(names, 'no getenv() is found')
    lacks = [name for name in names if not re.search(r'^\.B %s$' % name, page, re.M)]
    want(not lacks, 'bantam.1 lacks %s' % lacks)


def form_of_the_page(_bantam):
    need('man')
    warnings = said('sh', '-c', 'man --warnings -E UTF-8 -l -Tutf8 -Z "$0" 2>&1 >/dev/null', PAGE,
                    env=dict(os.environ, MANWIDTH='80'))
    want(not warnings, warnings)


def completions_know_all(bantam):
    known = options_of_help(bantam)
    bash, zsh = read(BASH), read(ZSH)
    listed = re.search(r"options='(.*?)'", bash, re.S)[1].split()
    differ('--help and bash', sorted(listed), sorted(known))
    valued = set(re.findall(r'--?[a-z-]+', re.search(r'_takes_value\(\).*?return 0', bash, re.S)[0])) - {'-'}
    wanted = {word for name, (letter, value) in known.items() if value and name != '--dry-run'
              for word in (name, letter and '-' + letter) if word}
    differ('options with a value, of --help and bash', valued, wanted)
    run = zsh[zsh.index('_arguments -S'):]
    named = set(re.findall(r"[',{*](--?[a-z-]+)(?=[\[},=])", run))
    wanted = {word for name, (letter, _) in known.items() for word in (name, letter and '-' + letter) if word}
    differ('--help and zsh', named, wanted)
    for name in re.findall(r"'[*]?(--[a-z-]+)\[[^\]]*\]:", run):
        want(known[name][1], 'zsh gives a value to ' + name)


# ---- completing ----

COMPLETED = [
    (['r'], ['run']), (['run', '--console'], ['--console', '--console-device']),
    (['run', '--transport', ''], ['pci', 'mmio']), (['run', '--sandbox', '=', 'a'], ['audit']),
    (['run', '--trace', 'boot,m'], ['boot,mmio', 'boot,msr']),
    (['run', '--disk', 'a.img,e'], ['a.img,ephemeral']), (['run', '--net', 'u'], ['user']),
    (['run', '--unpack', 'o'], ['on', 'off']), (['run', 'vmlinuz', '--', '--con'], []),
    (['check', '--j'], ['--json']), (['help', ''], ['run']),
    (['run', '--on-reset', '='], ['exit', 'restart']),
]


def completion_in_bash(_bantam):
    for words, expected in COMPLETED:
        got = said('bash', '-c', 'source "$0"; COMP_WORDS=(bantam "$@"); COMP_CWORD=$#; _bantam; '
                   'printf "%s\\n" "${COMPREPLY[@]}"', BASH, *words).split()
        want(got == expected, '%s gives %s' % (' '.join(words), got))


def completion_in_zsh(_bantam):
    """In a terminal, with the keys that people press."""
    need('zsh')
    said('zsh', '-n', ZSH)
    for typed, expected in (('bantam run --conso\t\t', b'--console-device'),
                            ('bantam run --transport \t\t', b'mmio'), ('bantam ch\t', b'eck '),
                            ('bantam run --trace boot,\t\t', b'msr')):
        pid, master = pty.fork()
        if pid == 0:
            os.chdir('/')
            os.execvpe('zsh', ['zsh', '-f', '-i'], dict(os.environ, TERM='dumb'))
        try:
            os.write(master, ('fpath=(%s $fpath); autoload -U compinit; compinit -u -D; PROMPT=; echo rea""dy\n'
                              % os.path.dirname(ZSH)).encode())
            read_until(master, b'ready')
            os.write(master, typed.encode())
            read_until(master, expected)
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(master)


def read_until(fd, words):
    seen, end = b'', time.monotonic() + PATIENCE
    while words not in seen:
        left = end - time.monotonic()
        want(left > 0 and select.select([fd], [], [], left)[0], 'it shows no %r: %r' % (words, seen[-300:]))
        seen += os.read(fd, 65536)


# ---- installing ----

INSTALLED = {'bin/bantam', 'share/man/man1/bantam.1', 'share/bash-completion/completions/bantam',
             'share/zsh/site-functions/_bantam'}


def files_below(top):
    return {os.path.relpath(os.path.join(directory, name), top)
            for directory, _, names in os.walk(top) for name in names}


def make(*words):
    environment = {name: value for name, value in MAKER.items() if not name.startswith('MAKE')}
    return said('make', '-s', *words, env=environment)


def installing(_bantam):
    with tempfile.TemporaryDirectory(prefix='bantam-install-') as top:
        make('install', 'DESTDIR=' + top, 'PREFIX=/opt')
        found = files_below(top + '/opt')
        documents = {name for name in found if name.startswith('share/doc/bantam/')}
        differ('what is installed', found - documents, INSTALLED)
        want({'share/doc/bantam/README.md', 'share/doc/bantam/docs/lessons/08-linux.md'} <= documents,
             'documents are missing')
        said(top + '/opt/bin/bantam', 'version')
        make('uninstall', 'DESTDIR=' + top, 'PREFIX=/opt')
        want(not files_below(top), 'left are %s' % files_below(top))


def debian_package(bantam):
    need('dpkg-deb')
    version, sums = said(bantam, 'version').split()[1], set()
    package = '%s/build/bantam_%s_amd64.deb' % (ROOT, version)
    for _ in range(2):
        make('deb')
        with open(package, 'rb') as f:
            sums.add(hashlib.sha256(f.read()).hexdigest())
    want(len(sums) == 1, 'twice made, it has other bytes')
    with tempfile.TemporaryDirectory(prefix='bantam-deb-') as top:
        said('dpkg-deb', '-x', package, top)
        want(said(top + '/usr/bin/bantam', 'version').split()[1] == version, 'another version')
        with gzip.open(top + '/usr/share/man/man1/bantam.1.gz') as page:
            want(page.read(3) == b'.TH', 'no manual page')


def package_by_lintian(bantam):
    need('lintian')
    make('deb')
    complaints = said('lintian', '--fail-on', 'error,warning', '--allow-root',
                      '%s/build/bantam_%s_amd64.deb' % (ROOT, said(bantam, 'version').split()[1]))
    want(not re.search('^[EW]:', complaints, re.M), complaints)


def main():
    parser = argparse.ArgumentParser(description='Compares the documentation with --help.')
    parser.add_argument('bantam')
    parser.add_argument('--build', default='build')
    options = parser.parse_args()
    bantam = os.path.abspath(options.bantam)
    tally = Tally()
    for case in (manual_page, version_and_date, exit_statuses, environment, form_of_the_page,
                 completions_know_all, completion_in_bash, completion_in_zsh, installing,
                 debian_package, package_by_lintian):
        name, reason, began = case.__name__.replace('_', ' '), None, time.monotonic()
        try:
            case(bantam)
        except Wrong as wrong:
            reason = str(wrong)
        except Missing as missing:
            tally.skip(1, str(missing), name)
            continue
        tally.result(name, reason, time.monotonic() - began)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
