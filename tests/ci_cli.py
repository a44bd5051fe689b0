#!/usr/bin/env python3
"""ci_cli.py - reads action.yml and docs/ci.md as those who copy from them do, and tries the parts.

    tests/ci_cli.py [-v] [--build DIR] [BANTAM]

The arguments are those of all tests/*_cli.py and change nothing: no guest runs here. In the place
of bantam, docker and mmdebstrap stand scripts that note what they are given, or print a small archive.
The loop over kernels is run with real ones by tests/system/command.py.

One line a case: ok, FAIL with a reason, or skip with one. The last line counts them; the exit
status is 1 if any failed.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

from harness import Tally, Wrong, want

try:
    import yaml
except ImportError:
    yaml = None

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INPUTS = {'kernel', 'rootfs', 'command', 'memory', 'cpus', 'modules'}
UDEV_RULE = 'KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm"'


def read(name):
    with open('%s/%s' % (ROOT, name), encoding='utf-8') as f:
        return f.read()


def snippets(language):
    """The pieces of docs/ci.md in this language."""
    found = re.findall(r'^```%s\n(.*?)^```$' % language, read('docs/ci.md'), re.M | re.S)
    want(found, 'docs/ci.md has nothing in ' + language)
    return found


def snippet(words):
    """The one shell script of docs/ci.md with these words."""
    found = [text for text in snippets('sh') if words in text]
    want(len(found) == 1, '%d scripts have %s' % (len(found), words))
    return found[0]


def parse(shell, script):
    """The shell must understand the script; what GitHub puts in before is a word."""
    done = subprocess.run([shell, '-n'], input=re.sub(r'\$\{\{.*?\}\}', 'word', script), text=True,
                          stderr=subprocess.PIPE)
    want(done.returncode == 0, '%s; in %r' % (done.stderr, script))


def program(directory, name, script):
    path = '%s/%s' % (directory, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write('#!/bin/sh\n' + script)
    os.chmod(path, 0o755)


def run(shell, script, directory, **env):
    """Runs a script in the directory, with its programs first."""
    path = directory + ':' + os.environ['PATH']
    done = subprocess.run([shell, '-e', '-c', script], cwd=directory, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**os.environ, 'PATH': path, **env})
    want(done.returncode == 0, 'status %d: %s' % (done.returncode, done.stdout))
    return done.stdout


# ---- the action ----

def action_steps():
    return yaml.safe_load(read('action.yml'))['runs']['steps']


def action_inputs(_directory):
    action = yaml.safe_load(read('action.yml'))
    want(set(action['inputs']) == INPUTS, 'inputs %s' % set(action['inputs']))
    want(action['runs']['using'] == 'composite', 'not composite')
    for name, value in action['inputs'].items():
        want(value['description'], '%s has no description' % name)
        want(value.get('required') is True or isinstance(value.get('default'), str),
             '%s has no default' % name)
    used = set()
    for step in action_steps():
        want(step['shell'] == 'bash', 'a step has no shell')
        parse('bash', step['run'])
        # What is put into a script's text would be run.
        want('${{' not in step['run'], 'an expression in a script: %s' % step['run'])
        used.update(re.findall(r'\$\{\{ inputs\.(\w+) \}\}',
                               ' '.join(step.get('env', {}).values())))
    want(used == INPUTS, 'used are %s' % used)


def action_runs(directory):
    """Each input arrives in its place, whatever is in it."""
    program(directory, 'bantam', 'printf "%s\\n" "$@"\n')
    step = action_steps()[-1]
    given = {name: '%s of "$(x)" it' % name for name in INPUTS}
    env = {name: re.sub(r'\$\{\{ inputs\.(\w+) \}\}', lambda found: given[found.group(1)], value)
           for name, value in step['env'].items()}
    wanted = ['run', given['kernel'], '--initrd', given['rootfs'], '--memory', given['memory'],
              '--cpus', given['cpus'], '--modules', given['modules'],
              '--', '/bin/sh', '-c', given['command']]
    env['GITHUB_ACTION_PATH'] = directory
    said = run('bash', step['run'], directory, **env)
    want(said.splitlines() == wanted, 'bantam got %s' % said.splitlines())
    said = run('bash', step['run'], directory, **dict(env, MODULES='')).splitlines()
    want(said == wanted[:8] + wanted[10:], 'without modules bantam got %s' % said)


def udev_rule(_directory):
    for name in ('action.yml', 'docs/ci.md'):
        want("echo '%s'" % UDEV_RULE in read(name), '%s lacks the rule' % name)


# ---- the documentation ----

def scripts_parse(_directory):
    for script in snippets('sh'):
        parse('sh', script)


def workflows_parse(_directory):
    actions = 0
    for text in snippets('yaml'):
        workflow = yaml.safe_load(text)
        for job in workflow.get('jobs', workflow).values():
            for line in job.get('script', ()):
                parse('sh', line)
            for step in job.get('steps', ()):
                if 'run' in step:
                    parse('bash', step['run'])
                if 'bantam' in step.get('uses', ''):
                    actions += 1
                    want(set(step['with']) == INPUTS, 'the action is given %s' % set(step['with']))
    want(actions == 1, '%d uses of the action' % actions)


def archive_of(directory):
    """What is in the archive that a recipe has made: name to mode, owner and link."""
    listed = run('sh', 'gzip -dc rootfs.cpio.gz | cpio --quiet -itvn', directory)
    found = {}
    for line in listed.splitlines():
        mode, _links, user, group, *_rest, name = re.split(r'\s+', line.partition(' -> ')[0])
        found[name.removeprefix('./')] = mode, user + ':' + group, line.partition(' -> ')[2]
    return found


def busybox(directory):
    run('sh', snippet('busybox --list'), directory)
    found = archive_of(directory)
    want(found['bin/busybox'][:2] == ('-rwxr-xr-x', '0:0'), 'the archive has %s' % found)
    want(found['bin/sh'][2] == 'busybox' and len(found) > 100, 'links: %s' % found)


def from_tar(directory, words, name, script):
    """A recipe that gets an archive from elsewhere keeps owners, modes, links and devices."""
    with tarfile.open(directory + '/tree.tar', 'w') as tar:
        for path, kind, mode, owner in (('bin', tarfile.DIRTYPE, 0o755, 0),
                                        ('bin/su', tarfile.REGTYPE, 0o4755, 0),
                                        ('www', tarfile.DIRTYPE, 0o750, 33),
                                        ('null', tarfile.CHRTYPE, 0o666, 0),
                                        ('bin/sh', tarfile.SYMTYPE, 0o777, 0)):
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.uid, info.gid = kind, mode, owner, owner
            info.devmajor, info.devminor, info.linkname = 1, 3, 'su'
            info.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b'suid'))
    program(directory, name, script)
    run('sh', snippet(words), directory)
    found = archive_of(directory)
    found.pop('.', None)
    want(found == {'bin': ('drwxr-xr-x', '0:0', ''), 'bin/su': ('-rwsr-xr-x', '0:0', ''),
                   'www': ('drwxr-x---', '33:33', ''), 'null': ('crw-rw-rw-', '0:0', ''),
                   'bin/sh': ('lrwxrwxrwx', '0:0', 'su')}, 'the archive has %s' % found)


def docker(directory):
    from_tar(directory, 'docker export', 'docker', '[ "$1" != create ] || echo name\n'
             '[ "$*" != "export name" ] || cat "$(dirname "$0")/tree.tar"\n')


def mmdebstrap(directory):
    from_tar(directory, 'mmdebstrap', 'mmdebstrap', 'cat "$(dirname "$0")/tree.tar"\n')


CASES = [
    ('action.yml: its inputs are used', action_inputs, ['yaml']),
    ('action.yml: what bantam gets', action_runs, ['yaml']),
    ('the udev rule', udev_rule, []),
    ('docs/ci.md: scripts', scripts_parse, []),
    ('docs/ci.md: workflows', workflows_parse, ['yaml']),
    ('docs/ci.md: a root directory of busybox', busybox, ['busybox', 'cpio']),
    ('docs/ci.md: one of a container image', docker, ['fakeroot', 'cpio']),
    ('docs/ci.md: one of packages', mmdebstrap, ['fakeroot', 'cpio']),
]


def missing(needs):
    for name in needs:
        if name == 'yaml' and not yaml:
            return 'Python has no yaml'
        if name != 'yaml' and not shutil.which(name):
            return 'there is no ' + name
    return None


def main():
    tally = Tally()
    for name, function, needs in CASES:
        reason = missing(needs)
        if reason:
            tally.skip(1, reason, name)
            continue
        began, wrong = time.monotonic(), None
        with tempfile.TemporaryDirectory(prefix='bantam-ci-') as directory:
            try:
                function(directory)
            except Wrong as error:
                wrong = str(error)
            except Exception as error:    # pylint: disable=broad-except
                wrong = 'what was read is not what it should be: %r' % error
        tally.result(name, wrong, time.monotonic() - began)
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
