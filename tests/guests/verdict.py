#!/usr/bin/env python3
"""verdict.py - how runs end, and what bantam says of them: verdicts, results, traces, statistics.

    tests/guests/verdict.py [-v] [-k WORD] [--build DIR] [BANTAM]

Each case is a function that boots tiny guests and looks at the exit status, the words on stderr and
the JSON of --result, which must agree with each other; those in verdict_inside.py look at death
reports, at the lines of --trace and at the counts of --stats. BANTAM is the program (default:
$BANTAM, or ./bantam); the guests are taken from DIR/guests (default: $BUILD, or build).

One line a case: ok or FAIL with a reason, or why it is skipped. The last line counts them. The exit
status is 1 if any failed. Where /dev/kvm can't be used at all, everything is skipped.
"""

import argparse
import contextlib
import errno
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import USAGE, Tally, why_no_kvm  # noqa: E402
from verdict_lib import (CASES, DIED, OK, PATIENCE, SOON, TIMEOUT, Process, Skip,  # noqa: E402
                         World, Wrong, boot, case, check, packed, speak, want)
import verdict_inside  # noqa: E402,F401  (its cases join the list)

PANIC = '[    0.1] Kernel panic - not syncing: '
RESTARTING = '[    0.2] reboot: Restarting system'


# ---- the guest's own ends ----

@case
def guests_that_end():
    check(boot('poweroff'), OK, 'poweroff', '^bantam: the guest powered off$')
    for guest in ('reset', 'reset-cf9', 'reset-kbd'):
        check(boot(guest), OK, 'reset', '^bantam: the guest reset the machine$')
    run = check(boot('hello', '--cmdline', 'a "b" \\ gr\u00fc\u00df\n\x7f'), OK, 'poweroff')
    want(list(run.result['exits']) == ['IO'], 'exits: %s' % run.result['exits'])
    check(boot('smp', '-c', '4'), OK, 'poweroff', out='^4 cpus up$')


@case
def guests_that_die():
    check(boot('triplefault'), DIED, 'triple-fault', '^bantam: triple fault: ')
    check(boot('triplefault', '-c', '4'), DIED, 'triple-fault')
    check(boot('badio'), DIED, 'internal-error', "^bantam: KVM could not run the guest's code")
    check(boot('panic'), DIED, 'panic',
          "^bantam: the guest's kernel panicked: Kernel panic - not syncing: test$")
    check(boot('panic', '-a', 'end', seconds=SOON), DIED, 'panic', 'not syncing: test$')


@case
def panics_by_their_words():
    says = "^bantam: the guest's kernel panicked: Kernel panic - not syncing: why$"
    check(speak('reset', PANIC + 'why'), DIED, 'panic', says)
    check(speak('fault', PANIC + 'why'), DIED, 'panic', says)
    check(speak('reset', PANIC + 'why', PANIC + 'again'), DIED, 'panic', says)
    check(speak('halt', PANIC + 'why', '[    0.3] ---[ end Kernel panic - not syncing: why ]---'),
          DIED, 'panic', says)
    check(speak('reset', '[    0.1][    T1] Kernel panic - not syncing: why\r'), DIED, 'panic',
          says)
    # A guest that goes on after its panic line, and powers off: that is no panic.
    check(speak('off', PANIC + 'why'), OK, 'poweroff')


@case
def words_that_are_no_panic():
    for line in ('user: Kernel panic - not syncing: no', ' Kernel panic - not syncing: no',
                 '[pid 7] Kernel panic - not syncing: no', 'kernel panic - not syncing: no',
                 'Kernel panic - not', '---[ end Kernel panic - not syncing: no ]---'):
        check(speak('reset', line), OK, 'reset', 'reset the machine$')
        check(speak('fault', line), DIED, 'triple-fault', '^bantam: triple fault')


@case
def orderly_restarts():
    check(boot('panic', '-a', 'orderly'), OK, 'reset')
    check(speak('reset', PANIC + 'why', RESTARTING), OK, 'reset')
    check(speak('fault', RESTARTING), OK, 'reset', 'reset the machine$')
    check(speak('fault', RESTARTING + " with command 'x'"), OK, 'reset')
    check(speak('fault', 'someone says reboot: Restarting system'), DIED, 'triple-fault')


@case
def pvpanic():
    check(speak('panicked'), DIED, 'panic', 'told by its pvpanic driver$', '^events 03$')
    check(speak('panicked', PANIC + 'why'), DIED, 'panic', 'not syncing: why$')
    check(speak('crash'), OK, 'poweroff')


@case
def a_guest_that_wants_many_words():
    """What it can bring about again and again is told once."""
    disk = World.path('disk')
    with open(disk, 'wb') as file:
        file.truncate(1 << 20)
    loud = Process('loud', '--verbose', '--on-reset', 'restart', '--disk', disk)
    loud.wait_for(r'(?s)(broken 20 times.*){5}')
    loud.send(signal.SIGTERM)
    run = loud.end()
    want(run.result['restarts'] >= 4, '%d restarts' % run.result['restarts'])
    for words in ('booting', 'broke its device'):
        want(run.err.count(words) == 1, 'stderr has %d times %r' % (run.err.count(words), words))
    want(run.err.count('\n') < 10, 'stderr has %d lines' % run.err.count('\n'))


@case
def core_scheduling():
    """Asked for, it is there or the run is refused; check knows which."""
    done = subprocess.run([World.bantam, 'check', '--json'], stdout=subprocess.PIPE, check=False)
    layer = json.loads(done.stdout)['sandbox']['core_scheduling']
    run = boot('poweroff', '--core-scheduling')
    if layer['offered'] or layer['detail'] == os.strerror(errno.ENODEV):
        check(run, OK, 'poweroff')
    else:
        check(run, USAGE, 'vmm-error', r"^bantam: --core-scheduling: this host's kernel can't .*$")
        want(run.err.count('\n') == 1, 'more than a line')


@case
def a_guests_words_stay_harmless():
    ugly = 'a\x1b[2Jb\x1b]0;t\x07c\td\xe4%s%n"\\'
    run = speak('reset', PANIC + ugly)
    check(run, DIED, 'panic')
    want(ugly.encode().decode('latin-1') in run.out, 'the console is not as the guest wrote it')
    want(run.result['message'].endswith('not syncing: a?[2Jb?]0;t?c?d??%s%n"\\'),
         'message %r' % run.result['message'])
    run = speak('reset', PANIC + 'x' * 1500)
    check(run, DIED, 'panic')
    want(len(run.result['message']) < 300, 'the message has no end')


# ---- time-outs and signals ----

@case
def timeouts():
    for guest, args in (('spin', ()), ('idle', ()), ('spin', ('-c', '4')), ('hlt', ())):
        run = boot(guest, *args, '--timeout', '1ms' if guest == 'hlt' else '300ms', seconds=SOON)
        check(run, TIMEOUT, 'timeout', '^bantam: the time was up$')
        want(guest == 'hlt' or run.result['duration_ms'] >= 300, 'it came early')
    check(boot('hello', '--timeout', '0'), OK, 'poweroff')      # 0: none
    check(boot('hello', '--timeout', '2562047h'), OK, 'poweroff')   # just below 2^63 ns


@case
def times_that_are_none():
    for text in ('', '-1', '1.5s', '5x', '1 s', '10M', '0x10', 'ms', '1d', '+1', '1s1s', 'inf',
                 '99999999999999999999', '9999999999999h', '2562048h'):
        for option in ('--timeout', '--stop-timeout'):
            run = boot('hello', option, text)
            check(run, USAGE, err='^bantam: %s .* is not a time' % option, out=r'\A\Z')
            want(not os.path.exists(run.result_path), 'a result of wrong usage')


@case
def signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        for guest, word, args in (('spin', 'spinning', ()), ('idle', 'idle', ('-c', '4'))):
            run = Process(guest, *args)
            run.wait_for(word)
            run.send(number)
            check(run.end(SOON), 128 + number, 'signal', '^bantam: ended by signal %d$' % number)
            want(run.result['signal'] == number, 'signal %s' % run.result['signal'])


@case
def sigterm_at_any_time():
    seed = random.randrange(1 << 32)
    source = random.Random(seed)
    for i in range(20):
        delay = source.uniform(0, 0.03)
        run = Process('spin')
        time.sleep(delay)
        run.send(signal.SIGTERM)
        run.end(SOON)
        # Before it takes its signals, the process just dies of them.
        want(run.status in (-signal.SIGTERM, 128 + signal.SIGTERM), 'status %s after %.1f ms' %
             (run.status, delay * 1000))
        if run.status > 0:
            check(run, 128 + signal.SIGTERM, 'signal')


@case
def sigterm_while_loading():
    path = World.path('big')
    with open(path, 'wb') as f:
        f.truncate(256 << 20)
    for delay in (0.02, 0.05, 0.1):
        run = Process('spin', '-m', '512M', '--initrd', path)
        time.sleep(delay)
        run.send(signal.SIGTERM)
        check(run.end(SOON), 128 + signal.SIGTERM, 'signal')
    os.unlink(path)


def not_read(*args):
    """A guest that has ended, with the rest of its output waiting for a reader: (run, the pipe)."""
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4096)
    run = Process('overrun', '-a', 'kib=16', *args, stdout=into)
    os.close(into)
    tasks = '/proc/%d/task' % run.process.pid
    end = time.monotonic() + PATIENCE
    seen = running = False
    while running or not seen:      # the threads of vCPUs come, and are gone when it has ended
        want(time.monotonic() < end, 'the guest has not ended')
        names = []
        for task in os.listdir(tasks):
            with contextlib.suppress(OSError), open('%s/%s/comm' % (tasks, task)) as f:
                names.append(f.read())
        running = 'cpu0\n' in names
        seen = seen or running
    time.sleep(0.1)
    return run, out


@case
def ends_while_nobody_reads():
    # A pipe takes a page, or less: what doesn't fit whole behind a first small piece stays out.
    lost = r'^bantam: 1[2-6]\d{3} of 16389 bytes of the guest.* dropped'
    for number in (signal.SIGTERM, signal.SIGINT):
        run, out = not_read()
        want(run.process.poll() is None, 'the console was not waited for')
        run.send(number)
        check(run.end(SOON), 128 + number, 'signal', [lost, 'ended by signal %d$' % number])
        os.close(out)
    run, out = not_read('--timeout', '6s')
    check(run.end(6 + SOON), OK, 'poweroff', [lost, 'powered off$'])
    os.close(out)
    run, out = not_read()
    os.close(out)        # the reader goes: there is nobody to wait for
    check(run.end(SOON), OK, 'poweroff', 'powered off$')


@case
def a_stopped_process_goes_on_waiting_for_its_reader():
    run, out = not_read()
    for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGWINCH):
        run.send(number)
        time.sleep(0.2)
    want(run.process.poll() is None, 'a signal that is no end ended it')
    want(len(os.read(out, 65536)) + len(os.read(out, 65536)) > 4096, 'no output came')
    while os.read(out, 65536):
        pass
    os.close(out)
    check(run.end(SOON), OK, 'poweroff')


@case
def signals_that_are_ignored():
    run = Process('idle', preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    run.wait_for('idle')
    run.send(signal.SIGHUP)
    time.sleep(0.3)
    want(run.process.poll() is None, 'nohup does not help')
    run.send(signal.SIGTERM)
    check(run.end(SOON), 128 + signal.SIGTERM, 'signal')


@case
def the_power_button():
    run = Process('idle', '--stop-timeout', '700ms')
    run.wait_for('idle')
    run.send(signal.SIGTERM)
    check(run.end(), 128 + signal.SIGTERM, 'signal',
          ['^bantam: asked the guest to power off$', 'did not power off in time$'])
    want(0.7 <= time.monotonic() - run.sent < 0.7 + SOON, 'it did not wait 700 ms')
    for second in (signal.SIGTERM, signal.SIGINT):
        run = Process('idle', '--stop-timeout', '1h')
        run.wait_for('idle')
        run.send(signal.SIGTERM)
        run.wait_for('asked the guest', run.err_file)
        run.send(second)
        check(run.end(SOON), 128 + second, 'signal', ['asked', 'ended by signal %d$' % second])
    run = Process('idle', '--stop-timeout', '1h')    # SIGINT asks nobody
    run.wait_for('idle')
    run.send(signal.SIGINT)
    check(run.end(SOON), 130, 'signal')
    want('asked' not in run.err, 'SIGINT pressed the button')


# ---- what fails before the guest runs ----

@case
def failures_of_ours():
    run = check(boot('/nowhere/kernel'), USAGE, 'vmm-error', "^bantam: .*'?/nowhere/kernel")
    want(run.result['exits'] == {} and run.result['first_instruction_ms'] == 0, 'it ran')
    check(boot(World.scratch), USAGE, 'vmm-error', '^bantam: ')
    check(boot('hello', '--initrd', '/nowhere/initrd'), USAGE, 'vmm-error', '/nowhere/initrd',
          r'\A\Z')
    check(boot('hello', '--console', '/nowhere/console'), USAGE, 'vmm-error', '/nowhere/console')
    check(boot('hello', '--frobnicate'), USAGE, err='^bantam: .*frobnicate')
    check(boot(None), USAGE, err='^bantam: no kernel is given')


@case
def no_kvm():
    if os.getuid() != 0 or os.stat('/dev/kvm').st_mode & 0o006 == 0o006:
        raise Skip('/dev/kvm is open to everybody here, or this is not root')
    with tempfile.TemporaryDirectory(prefix='bantam-nobody-', dir='/tmp') as place:
        os.chmod(place, 0o777)
        for path in (World.bantam, World.guests + '/hello.elf'):
            shutil.copy(path, place)
        result = place + '/result'
        done = subprocess.run([place + '/bantam', 'run', '--result', result, place + '/hello.elf'],
                              user='nobody', extra_groups=[], capture_output=True, text=True)
        want(done.returncode == USAGE, 'status %s' % done.returncode)
        want('/dev/kvm' in done.stderr and done.stdout == '', 'stderr: %s' % done.stderr)
        with open(result) as f:
            told = json.load(f)
        want(told['reason'] == 'vmm-error' and told['message'] in done.stderr, str(told))


@case
def results_that_cannot_be_written():
    for path in ('/nowhere/result', World.scratch, ''):
        check(boot('hello', '--result', path, result=False), USAGE, out=r'\A\Z',
              err=r"\Abantam: cannot write the result to '%s': .+\n\Z" % path)
    check(boot('hello', '--result', '/dev/full', result=False), USAGE, out='hello',
          err=r'^bantam: the result could not be written: No space')
    # More than fits into the file's buffer at once: many words that all mean the same.
    check(boot('hello', '--result', '/dev/full', *['--stats'] * 1000, result=False), USAGE,
          out='hello', err='^bantam: the result could not be written: No space')


@case
def a_fifo_without_a_reader():
    """Opening it may wait; a signal must end that."""
    fifo = World.path('fifo')
    os.mkfifo(fifo)
    for args in (('--result', fifo), ('--trace', 'all=' + fifo)):
        run = Process('hello', *args, result=False)
        time.sleep(0.3)
        run.send(signal.SIGTERM)
        run.end(SOON)


@case
def a_dry_run_has_no_result():
    path = World.path('none.json')
    done = subprocess.run([World.bantam, 'run', World.guests + '/hello.elf', '--dry-run',
                           '--result', path], stdout=subprocess.DEVNULL, timeout=PATIENCE)
    want(done.returncode == OK, 'status %s' % done.returncode)
    want(not os.path.exists(path), 'there is a result of what was never run')


@case
def an_output_is_no_input():
    kernel = World.path('kernel')
    shutil.copyfile(World.guests + '/hello.elf', kernel)
    before = open(kernel, 'rb').read()
    for option in ('--result', '--console', '--trace=all='):
        argv = [World.bantam, 'run', kernel]
        argv += [option + kernel] if option.endswith('=') else [option, kernel]
        done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=PATIENCE)
        want(done.returncode == USAGE, '%s: status %s' % (option, done.returncode))
        want(b'is given twice, and would be written to' in done.stderr, repr(done.stderr))
        want(open(kernel, 'rb').read() == before, '%s has changed the kernel' % option)


# ---- restarts ----

def rounds(run, most=1):
    """All rounds' output is there; only the last may be cut short."""
    whole = len(re.findall(r'^round: memory zero, scratch 00 ier 00 lcr 00$', run.out, re.M))
    want('WRONG' not in run.out, 'something is left of a round')
    want(0 <= run.result['restarts'] + 1 - whole <= most, '%d rounds, %d restarts' %
         (whole, run.result['restarts']))
    return whole


@case
def restarts_until_the_time_is_up():
    run = boot('restart', '--on-reset', 'restart', '--timeout', '1s')
    check(run, TIMEOUT, 'timeout', '^bantam: the time was up$')
    want(rounds(run) > 2, 'hardly a restart')
    want(run.seconds < 1 + SOON, 'the time-out started anew')
    check(boot('restart', '--on-reset', 'exit'), OK, 'reset')
    check(boot('restart', '--on-reset', 'never'), USAGE, err='exit or restart')


@case
def restarts_of_an_unpacked_kernel():
    """Each time the table is read again, in the sandbox: from the cache, and from memory."""
    for cache in World.scratch, '/nonexistent':
        options = ('--unpack', 'on', '-a', 'mem=256M')    # mem=: these guests can't be moved
        here = {'env': dict(os.environ, XDG_CACHE_HOME=cache)}
        check(boot(packed('hello64'), *options, **here), OK, 'poweroff',
              out='^hello from a 64-bit Linux guest$')
        run = boot(packed('restart'), '--on-reset', 'restart', '--timeout', '1s', *options, **here)
        check(run, TIMEOUT, 'timeout', '^bantam: the time was up$')
        want(rounds(run) > 2, 'hardly a restart')
    want(len(os.listdir(World.path('bantam'))) == 2, 'the cache has not two files')


@case
def restarts_until_a_signal():
    for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        run = Process('restart', '--on-reset', 'restart')
        run.wait_for('^round')
        time.sleep(delay)
        run.send(signal.SIGTERM)
        check(run.end(SOON), 128 + signal.SIGTERM, 'signal')
        rounds(run)


@case
def restarts_with_an_initrd_and_vcpus():
    data = bytes(range(256)) * 100 + b'end'
    with open(World.path('initrd'), 'wb') as f:
        f.write(data)
    run = Process('restart', '--on-reset', 'restart', '-c', '4', '-a', 'cpus=4', '--initrd',
                  World.path('initrd'))
    run.wait_for('(?s)(4 cpus up.*){3}')
    run.send(signal.SIGTERM)
    check(run.end(SOON), 128 + signal.SIGTERM, 'signal')
    whole = rounds(run)
    seen = run.out.count('initrd %d bytes sum %d\n4 cpus up\n' % (len(data), sum(data)))
    want(whole - seen <= 1, '%d of %d rounds are right' % (seen, whole))


@case
def all_vcpus_reset_at_once():
    for _ in range(4):
        run = boot('restart', '--on-reset', 'restart', '--timeout', '2s', '-c', '4', '-a',
                   'cpus=4 together', seconds=2 + SOON)
        check(run, TIMEOUT, 'timeout')
        # An early reset takes the others' last words away.
        want(run.result['restarts'] > 1, 'hardly a restart')


@case
def restarts_without_files():
    for name in ('restart.elf', 'gone'):
        shutil.copy(World.guests + '/restart.elf', World.path(name))
    run = Process(World.path('gone'), '--on-reset', 'restart', '--initrd',
                  World.path('restart.elf'))
    run.wait_for('^round')
    os.unlink(World.path('gone'))
    os.unlink(World.path('restart.elf'))
    run.wait_for('(?s)(round.*){%d}' % (run.text(run.out_file).count('round') + 3))
    run.send(signal.SIGTERM)
    check(run.end(SOON), 128 + signal.SIGTERM, 'signal')
    rounds(run)


@case
def ends_that_are_no_reset_end_a_restarter():
    again = ('--on-reset', 'restart')
    check(speak('off', args=again), OK, 'poweroff')
    check(speak('fault', args=again), DIED, 'triple-fault', ['triple fault', '^vCPU 0: SHUTDOWN'])
    check(speak('reset', PANIC + 'why', args=again), DIED, 'panic')
    run = check(speak('fault', RESTARTING, args=again + ('--timeout', '300ms')), TIMEOUT)
    want(run.result['restarts'] > 1 and 'SHUTDOWN' not in run.err, 'a restart by triple fault')


def main():
    parser = argparse.ArgumentParser(description='How runs end, and what bantam says of them.')
    parser.add_argument('bantam', nargs='?', default=os.environ.get('BANTAM', './bantam'))
    parser.add_argument('-k', metavar='WORD', default='', help='only cases with WORD in their name')
    parser.add_argument('-v', action='store_true', help='show what a failed case has printed')
    parser.add_argument('--build', metavar='DIR', default=os.environ.get('BUILD', 'build'))
    options = parser.parse_args()
    World.bantam = os.path.abspath(options.bantam)
    World.guests = os.path.abspath(options.build) + '/guests'
    for path in (World.bantam, World.guests + '/speak.elf'):
        if not os.path.exists(path):
            sys.exit('verdict.py: %s is not there: build it first' % path)
    cases = [c for c in CASES if options.k in c.__name__.replace('_', ' ')]
    tally = Tally()
    reason = why_no_kvm(World.bantam, World.guests + '/hello.elf')
    if reason:
        tally.skip(len(cases), reason)
        return tally.close()
    World.version = subprocess.run([World.bantam, 'version'], capture_output=True,
                                   text=True).stdout.split()[1]
    # Whoever started this in the background had it ignore some signals; bantam would, too.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for function in cases:
        name, reason, began = function.__name__.replace('_', ' '), None, time.monotonic()
        with tempfile.TemporaryDirectory(prefix='bantam-verdict-') as World.scratch:
            try:
                function()
            except Wrong as wrong:
                reason = str(wrong)
            except Skip as skip:
                tally.skip(1, '%s: %s' % (name, skip))
                continue
        output = (('out', World.out[-2000:]), ('err', World.err[-3000:]))
        tally.result(name, reason, time.monotonic() - began, output if options.v else ())
    return tally.close()


if __name__ == '__main__':
    sys.exit(main())
