"""Runs a test in mount, network and process namespaces of its own.

Whatever way the test ends, killed or not, its daemons end with it and its mounts go: nothing can
reach the machine's own network, /run or mount table, and nothing is left behind.
"""
import ctypes
import ctypes.util
import os
import subprocess
import sys

_LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
_CLONE_NEWNET = 0x40000000
_MARK = "SLACKER_E2E_ISOLATED"


def isolated():
    """Whether this is the program's second start, in namespaces of its own."""
    return _MARK in os.environ


def isolate():
    """Starts this program again, in namespaces of its own, and never returns in the outer one."""
    if isolated():
        _become_child_of_init()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"], check=True)
        return
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
               sys.executable, *sys.argv]
    os.environ[_MARK] = "1"
    os.execvp(command[0], command)


def _become_child_of_init():
    """Leaves this process, the first of its namespace, as an init that reaps orphans."""
    child = os.fork()
    if child == 0:
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


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
