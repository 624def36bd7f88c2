"""Work that a signal ends at once, with everything that it has started, and of which nothing is left then."""
import ctypes
import os
import signal
import sys

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def fork(remove):
    """Goes on in a process of its own, whose session is its own, too: Ctrl-C on a terminal is the calling
    process's alone to act on. That one waits for the end or for a signal, kills whatever runs of the work
    by then, calls remove(), and exits: with the other's code, or with 128 and the signal's number."""
    awaited = {number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited | {signal.SIGCHLD})
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans come to us, whatever became of their parents
    worker = os.fork()
    if worker == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    code = _wait(worker, awaited)
    _kill_children()
    remove()
    sys.exit(code)


def _prctl(option, value):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _wait(worker, awaited):
    while True:
        number = signal.sigwait(awaited | {signal.SIGCHLD})
        if number != signal.SIGCHLD:
            print("hellobench images: interrupted", file=sys.stderr)
            return 128 + number
        ended, status = os.waitpid(worker, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _kill_children():
    """All: the children of one that is killed are ours then, and are killed in the next round."""
    while True:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)  # ours, so nobody else has its number
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                parent = file.read().rpartition(b")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if int(parent) == os.getpid():
            found.append(int(pid))
    return found
