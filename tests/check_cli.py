#!/usr/bin/env python3
"""check_cli.py - runs `bantam check` on this host, and on hosts made worse, and reads what it says.

    tests/check_cli.py [-v] [--no-kvmhost] [--build DIR] [BANTAM]

BANTAM is the program (default: $BANTAM, or ./bantam). What this host can run isn't known before, so
most cases compare the parts of the report with each other, with the exit status, and with what can
be seen from here: the modules, the permissions of /dev/kvm. Root also gets a private /dev, without
KVM's node, with one that nobody else may open, and with things of that name that are not KVM. One
case runs it inside tests/kvmhost, whose KVM runs stock kernels (10 seconds; not with --no-kvmhost,
nor when this is the inside).

One line a case: ok, FAIL with a reason, or skip with one. The last line counts them; the exit
status is 1 if any failed.
"""

import argparse
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NOTHING = 125
VERDICTS = {0: 'stock', 1: 'tiny', NOTHING: 'nothing'}
CLOSING = {0: 'Stock kernels run here.', 1: 'Only tiny guests run here, no stock kernels.',
           NOTHING: 'No guest runs here.'}
NOBODY = pwd.getpwnam('nobody').pw_uid
LIMIT_S = 28         # no host may take longer: each guest is bounded
NEEDED = ('long_mode', 'system_registers', 'cmpxchg16b', 'xrstor', 'int3')
# Those of a debugger, which have no say in the verdict.
DEBUGGER = ('single_step', 'hardware_breakpoint', 'software_breakpoint')
LAYERS = ('seccomp', 'landlock', 'namespaces', 'user_namespaces', 'io_uring', 'core_scheduling')

HERE = os.path.dirname(os.path.abspath(__file__))


class Failed(Exception):
    """A case that went wrong; the text says how."""


class Skipped(Exception):
    """A case that can't run here."""


def want(condition, reason):
    if not condition:
        raise Failed(reason)


def run(argv, **more):
    """One run: (exit status, standard output, standard error)."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT_S, check=False, **more)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def check(bantam, *args, **more):
    return run([bantam, 'check', *args], **more)


def column(text, name):
    """What stands beside a name, or None without such a line."""
    found = re.search(r'^  %s {2,}(\S.*?)(  |$)' % re.escape(name), text, re.M)
    return found.group(1) if found else None


def shown(value):
    """A value of the JSON as the text has it."""
    return {True: 'yes', False: 'no', None: '-'}[value] \
        if value is None or isinstance(value, bool) else str(value)


def why(text):
    """The text's reason and remedy."""
    found = re.search(r'^Why: (.+)\nWhat to do: (.+)\n\Z', text, re.M)
    want(found, 'no reason and remedy at the end')
    return found.group(1), found.group(2)


# ---- this host as it is ----

def text(bantam):
    began = time.monotonic()
    status, out, err = check(bantam)
    want(status in VERDICTS, 'exit status %d' % status)
    want(not err, 'something on stderr: %s' % err)
    want('\n%s\n' % CLOSING[status] in out, 'status %d, but not "%s"' % (status, CLOSING[status]))
    want(column(out, 'kvm_usable') in ('yes', 'no'), 'no judgement on KVM')
    want(all(len(line) <= 100 or re.match('Why: |What to do: ', line) for line in out.split('\n')),
         'a line is too long')
    want(not re.search(r'[ \t]$|[^\x20-\x7e\n]', out, re.M), 'blanks at a line\'s end, or controls')
    if status:
        why(out)
    want(time.monotonic() - began < LIMIT_S, 'it took too long')


def as_json(bantam):
    status, out, err = check(bantam, '--json')
    want(not err, 'something on stderr: %s' % err)
    report = json.loads(out)
    result = report['result']
    want(result['exit_status'] == status, 'exit_status is not %d' % status)
    want(result['verdict'] == VERDICTS.get(status), 'verdict %s' % result['verdict'])
    want((result['what'] is None) == (status == 0), 'a reason without need, or none')
    want((result['remedy'] is None) == (status == 0), 'a remedy without need, or none')
    want(tuple(report['guests']) == NEEDED + DEBUGGER, 'guests: %s' % list(report['guests']))
    for name, probe in report['guests'].items():
        want(probe['ok'] == {'ok': True, 'not tried': None}.get(probe['end'], False),
             '%s: ok doesn\'t fit its end' % name)
    want(tuple(report['sandbox']) == LAYERS, 'layers: %s' % list(report['sandbox']))
    for name, layer in report['sandbox'].items():
        want(isinstance(layer['offered'], bool), 'sandbox: %s' % name)
    if report['host']['kvm_usable']:
        want(report['host']['vcpus_max'] >= report['host']['vcpus_recommended'] > 0, 'vCPUs')
    bad = [name for name in NEEDED if report['guests'][name]['ok'] is False]
    mips = report['speed']['mips']
    if report['guests']['long_mode']['ok']:
        want((status == 1) == (bool(bad) or mips < 25), 'status %d with %s, %s MIPS'
             % (status, bad, mips))
    else:
        want(status == NOTHING and mips is None, 'no long mode, but more than that')


def agree(bantam):
    """Text and JSON have the same facts."""
    status, out, _ = check(bantam)
    report = json.loads(check(bantam, '--json')[1])
    want(report['result']['exit_status'] == status, 'two runs, two verdicts')
    if status and 'million' not in out.split('\nWhy: ')[1]:
        want(why(out) == (report['result']['what'], report['result']['remedy']), 'two reasons')
    for name, value in report['host'].items():
        want(column(out, name) == shown(value), name)
    for section, key in ('guests', 'ok'), ('sandbox', 'offered'):
        for name, row in report[section].items():
            want(column(out, name) == shown(row[key]), name)


def right_here(bantam):
    """What is known of this host: kvm_pvm runs tiny guests only, the emulated host everything."""
    status, out, _ = check(bantam)
    if os.environ.get('BANTAM_KVMHOST'):
        want(status == 0, 'exit status %d inside the emulated host' % status)
    elif not os.access('/dev/kvm', os.R_OK | os.W_OK):
        want(status == NOTHING, 'exit status %d without /dev/kvm' % status)
    elif os.path.isdir('/sys/module/kvm_pvm'):
        want(status == 1, 'exit status %d on kvm_pvm' % status)
        want('kvm_pvm' in why(out)[0] and 'paravirtual' in why(out)[0], 'the reason is not kvm_pvm')
        want(column(out, 'cmpxchg16b') == 'no' and column(out, 'int3') == 'no', 'probes')
    else:
        raise Skipped('nothing is known of this host\'s KVM')


def signals(bantam):
    """A time limit works whatever was done to SIGALRM before; a pending alarm does no harm."""
    expected = check(bantam)[0]

    def block():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        signal.signal(signal.SIGALRM, signal.SIG_IGN)

    want(check(bantam, preexec_fn=block)[0] == expected, 'another verdict with SIGALRM blocked')


def no_descriptors(bantam):
    """Nothing is left open for children, and closed standard streams do no harm."""
    status = subprocess.run(['sh', '-c', 'exec "$0" check >&- 2>&- <&-', bantam], check=False,
                            timeout=LIMIT_S).returncode
    want(status == check(bantam)[0], 'exit status %d with closed streams' % status)


def disk_full(bantam):
    with open('/dev/full', 'w', encoding='ascii') as full:
        done = subprocess.run([bantam, 'check'], stdout=full, stderr=subprocess.PIPE, check=False,
                              timeout=LIMIT_S)
    want(done.returncode == NOTHING, 'exit status %d' % done.returncode)
    want(b'cannot write to stdout' in done.stderr, 'no word about it')


def options(bantam):
    for args in ('--help',), ('-h',), ('--json', '--help'):
        status, out, err = check(bantam, *args)
        want(status == 0 and not err, '%s: exit status %d' % (args, status))
        want('Usage: bantam check' in out and '125 nothing' in out, 'help says nothing')
    for args in ('--jsn',), ('kernel',), ('--json', '-x'), ('',), ('--json=1',):
        status, out, err = check(bantam, *args)
        want(status == NOTHING and not out, '%s: exit status %d' % (args, status))
        want(err.count('\n') == 1 and err.startswith('bantam: unknown option'), err)
    want(re.search(r'^  check ', run([bantam, 'help'])[1], re.M), 'help doesn\'t name it')


# ---- this host made worse ----

def with_dev(bantam, setup, user=None, *args):
    """Runs it where /dev is empty but for what the shell commands make there."""
    if os.geteuid() != 0:
        raise Skipped('needs root')
    command = 'mount -t tmpfs -o mode=755 none /dev && { %s; } || exit 99; exec ' % setup
    if user:
        command += 'setpriv --reuid %d --regid %d --clear-groups -- ' % (user, user)
    environment = {name: value for name, value in os.environ.items() if name != 'CI'}
    status, out, err = run(['unshare', '-m', 'sh', '-c', command + '"$@"', 'sh', bantam, 'check',
                            *args], env=environment)
    if status in (1, 99) and not out:
        raise Skipped('no private /dev: %s' % err.strip())
    return status, out, err


def hidden(bantam):
    status, out, _ = with_dev(bantam, ':')
    want(status == NOTHING, 'exit status %d' % status)
    what, remedy = why(out)
    if os.path.isdir('/sys/class/misc/kvm') and os.path.exists('/.dockerenv'):
        want('--device /dev/kvm' in remedy, remedy)
    want('/dev/kvm' in what or 'module' in what or 'flags' in what, what)
    report = json.loads(with_dev(bantam, ':', None, '--json')[1])
    want(report['host']['device_mode'] is None, 'there is a device')
    want(all(probe['end'] == 'not tried' for probe in report['guests'].values()), 'guests ran')


def forbidden(bantam):
    if not os.path.exists('/dev/kvm'):
        raise Skipped('no /dev/kvm')
    with tempfile.TemporaryDirectory() as scratch:
        # Where this tree lies, another user may have no business.
        os.chmod(scratch, 0o755)
        program = shutil.copy(bantam, scratch + '/bantam')
        for mode, owner in ('600', 'root, group root'), ('660', 'root, group daemon'):
            group = owner.split()[-1]
            status, out, _ = with_dev(program, 'mknod -m %s /dev/kvm c 10 232 && chgrp %s /dev/kvm'
                                      % (mode, group), NOBODY)
            want(status == NOTHING, 'exit status %d' % status)
            what, remedy = why(out)
            want('owner %s, mode 0%s; you are nobody' % (owner, mode) in what, what)
            want('usermod -aG' in remedy or '--group-add' in remedy, remedy)


def impostors(bantam):
    for setup in 'mknod -m 666 /dev/kvm c 1 3', 'mkdir /dev/kvm':
        status, out, _ = with_dev(bantam, setup)
        want(status == NOTHING, '%s: exit status %d' % (setup, status))
        want('is not KVM\'s device' in why(out)[0], why(out)[0])


def kvmhost(bantam):
    if os.environ.get('BANTAM_KVMHOST'):
        raise Skipped('this is the emulated host')
    done = subprocess.run([HERE + '/kvmhost/run', '--timeout', '120', '--', bantam, 'check',
                           '--json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          timeout=400)
    if done.returncode not in VERDICTS or b'kvmhost: ' in done.stderr:
        raise Skipped('no emulated host: %s' % done.stderr.decode().strip().split('\n')[-1])
    want(done.returncode == 0, 'exit status %d' % done.returncode)
    report = json.loads(done.stdout)
    want(report['result']['verdict'] == 'stock' and report['host']['kvm_amd'], 'verdict')
    want(all(report['guests'][name]['ok'] for name in NEEDED), 'a probe failed')


CASES = (text, as_json, agree, right_here, signals, no_descriptors, disk_full, options, hidden,
         forbidden, impostors, kvmhost)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('-v', action='store_true', help='print a report first')
    parser.add_argument('--no-kvmhost', action='store_true', help='leave the emulated host out')
    parser.add_argument('--build', help='as in all tests/*_cli.py; nothing of it is needed here')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', './bantam'))
    arguments = parser.parse_args()
    bantam = os.path.abspath(arguments.bantam)

    if arguments.v:
        print(check(bantam)[1])
    passed = failed = skipped = 0
    for case in CASES:
        if case is kvmhost and arguments.no_kvmhost:
            continue
        name = case.__name__.replace('_', ' ')
        try:
            case(bantam)
        except Skipped as reason:
            skipped += 1
            print('skip %s: %s' % (name, reason))
        except (Failed, ValueError, KeyError, subprocess.TimeoutExpired) as reason:
            failed += 1
            print('FAIL %s: %s' % (name, reason))
        else:
            passed += 1
            print('ok %s' % name)
        sys.stdout.flush()
    print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
