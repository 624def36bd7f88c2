"""What a node's processes hold, by kind, in a form that can be compared with itself later."""
import collections
import os
import re

from harness.node import loop_devices, run_directories
from harness.process import processes, run

_OURS = ("slackerd", "slackerd-keeper", "slackerd-attach")
_NUMBER = re.compile(r"[0-9a-f]{16,}|\d+")
# What is kept in reserve, and how much of it at most: how much there is is a matter of the moment.
_RESERVES = {
    "slackerd: thread grpcpp_sync_ser": 4,  # gRPC's, waiting for calls
    "slackerd: thread event_engine": 8,  # gRPC's, more where its tasks have had to wait for a processor
    "slackerd: socket:[#]": 16,  # among them up to four to an NFS server for each of the two ways to the store
    "/slacker.db": 17, "/slacker.db-wal": 17,  # connections to the database: readers, and the one that writes
    "/.new-#": 80, "/.new-#/fs": 80, "/.new-#/work": 80,  # spare directories
}


class Figures:
    """Of one node. Loop devices and FUSE connections count as this node's from when they were first seen
    below its directories (look() at times) until the kernel has let go of them, whatever they are on by then:
    other tests on the machine have some too."""

    def __init__(self, node):
        self._node = node
        self._loops, self._connections = set(), set()
        self._control = f"{node.directory}/fusectl"  # the kernel's list of connections, mounted or not
        os.makedirs(self._control)
        run("mount", "-t", "fusectl", "fusectl", self._control)

    def close(self):
        run("umount", self._control)

    def seen(self):
        """How many loop devices and FUSE connections there have been."""
        return len(self._loops), len(self._connections)

    def look(self):
        directories = (self._node.directory, *run_directories())
        for device in loop_devices(*directories):
            number = _text(f"/sys/block/{device}/diskseq")
            if number:
                self._loops.add((device, number))
        for line in _text("/proc/self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            _, _, device, _, point = before.split()[:5]
            if after.split()[0] == "fuse" and point.startswith(directories):
                self._connections.add(device.partition(":")[2])

    def take(self):
        """{what: how many}."""
        self.look()
        found = collections.Counter()
        for pid, command in processes().items():
            name = os.path.basename(command.split(" ")[0])
            found["process " + name] += 1
            if name in _OURS:
                _add_descriptors(found, pid, name)
                _add_threads(found, pid, name)
        _add_mounts(found)
        found["loop devices"] = sum(_is_configured(*loop) for loop in self._loops)
        found["FUSE connections"] = len(self._connections.intersection(os.listdir(self._control)))
        for directory in (self._node.root, *run_directories()):
            _add_files(found, directory)
        return _without_reserves(found)

    def memory(self, program):
        """{what: KiB} of the one process of a program, from /proc/PID/status."""
        (pid,) = [pid for pid, command in processes().items()
                  if os.path.basename(command.split(" ")[0]) == program]
        fields = dict(line.split(":", 1) for line in _text(f"/proc/{pid}/status").splitlines())
        return {name: int(fields[name].split()[0])
                for name in ("VmRSS", "RssAnon", "RssFile", "RssShmem")}


def _without_reserves(found):
    """Those that are no larger than they may be are left out, the others are there to be seen."""
    return {what: number for what, number in found.items() if number and not any(
        what.endswith(reserve) and number <= most for reserve, most in _RESERVES.items())}


def difference(before, after):
    """{what: (before, after)} of what is not the same."""
    found = {what: (before.get(what, 0), after.get(what, 0)) for what in before.keys() | after.keys()}
    return {what: pair for what, pair in sorted(found.items()) if pair[0] != pair[1]}


def _text(path):
    try:
        with open(path, errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def _kind(target):
    return _NUMBER.sub("#", target)


def _add_descriptors(found, pid, name):
    directory = f"/proc/{pid}/fd"
    try:
        for fd in os.listdir(directory):
            try:
                found[f"{name}: {_kind(os.readlink(f'{directory}/{fd}'))}"] += 1
            except FileNotFoundError:
                continue
    except (FileNotFoundError, ProcessLookupError):
        pass


def _add_threads(found, pid, name):
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return
    for task in tasks:
        thread = _text(f"/proc/{pid}/task/{task}/comm")
        if thread:
            found[f"{name}: thread {_kind(thread)}"] += 1


def _add_mounts(found):
    """Of every mount namespace in which a process of ours is."""
    namespaces = {}
    for pid in processes():
        try:
            namespaces.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    for pid in namespaces.values():
        for line in _text(f"/proc/{pid}/mountinfo").splitlines():
            words = line.split()
            kind = line.partition(" - ")[2].split()[0]
            found[f"mount {kind} {_kind(words[4])}"] += 1


def _is_configured(device, number):
    return (bool(_text(f"/sys/block/{device}/loop/backing_file")) and
            _text(f"/sys/block/{device}/diskseq") == number)


def _add_files(found, directory):
    for place, directories, names in os.walk(directory):
        for name in (*directories, *names):
            found["file " + _kind(os.path.join(place, name))] += 1
