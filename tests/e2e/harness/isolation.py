"""Runs a test in mount, network and process namespaces of its own.

Whatever way the test ends, killed or not, its daemons end with it and its mounts go: nothing can
reach the machine's own network, /run or mount table, and nothing is left behind.
"""
import ctypes
import ctypes.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile

_LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
_CLONE_NEWNET = 0x40000000
_DIRECTORY = "SLACKER_E2E_DIRECTORY"


def isolated():
    """Whether this is the program's second start, in namespaces of its own."""
    return _DIRECTORY in os.environ


def isolate():
    """Starts this program again, in namespaces of its own, and never returns in the outer one.

    The inner one gets a new temporary directory as TMPDIR, which goes with the namespaces.
    """
    if isolated():
        _become_child_of_init(os.environ[_DIRECTORY])
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        _unmount_below("/run/slacker/")  # the machine's own, which the next mount would only hide
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"], check=True)
        return
    # A short name: unix sockets are made below it.
    os.environ[_DIRECTORY] = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="e2e")
    os.chmod(os.environ[_DIRECTORY], 0o711)  # the users of containers' namespaces pass through it
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
               sys.executable, *sys.argv]
    os.execvp(command[0], command)


def _become_child_of_init(directory):
    """Leaves this process, the first of its namespace, as an init that reaps orphans.

    It outlives all others, and removes what they leave.
    """
    child = os.fork()
    if child == 0:
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    code = os.waitstatus_to_exitcode(status) & 0xFF
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        pass
    _unmount_below(directory + "/")
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(code)


def _unmount_below(prefix):
    with open("/proc/self/mounts") as file:
        points = [line.split()[1] for line in file]
    for point in reversed(points):
        if point.startswith(prefix):
            # Not canonicalised: that would ask a FUSE connection that is dead.
            subprocess.run(["umount", "--lazy", "--no-canonicalize", point], check=False)


def run_in_network(path, function):
    """Runs function() with this thread in the network namespace `path`; sockets stay in theirs."""
    with open("/proc/thread-self/ns/net") as old, open(path) as new:
        _setns(new.fileno())
        try:
            return function()
        finally:
            _setns(old.fileno())


def _setns(fd):
    if _LIBC.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
