"""Compares two directory trees entry by entry, in everything that a container can see."""
import errno
import hashlib
import itertools
import os
import stat
import time

from harness.process import Failure

_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)
_SHOWN = 20


def dump(root, data=None):
    """{path: entry} of everything below `root` and of root itself ("."), names as bytes.

    `data`: {name: ranges, as data_ranges'} of files of which what lies well outside is taken for zeros, unread.
    The root's own time is left out: it is that of the unpacking where no layer names the root.
    """
    root = os.fsencode(root)
    ranges = {os.fsencode(name): value for name, value in (data or {}).items()}
    found, groups = {}, {}
    waiting = [b"."]
    while waiting:
        name = waiting.pop()
        path = os.path.join(root, name)
        status = os.lstat(path)
        entry = {"mode": oct(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
                 "mtime_ns": status.st_mtime_ns, "xattrs": _xattrs(path)}
        found[name] = entry
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            # A directory's own size and link count are its file system's affair.
            waiting += [os.path.normpath(os.path.join(name, child)) for child in os.listdir(path)]
            continue
        groups.setdefault((status.st_dev, status.st_ino), []).append(name)
        if kind == stat.S_IFREG:
            entry["size"], entry["content"] = status.st_size, _digest(path, ranges.get(name))
        elif kind == stat.S_IFLNK:
            entry["target"] = os.readlink(path)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            entry["device"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    for names in groups.values():
        for name in names:
            found[name]["links"] = sorted(names)
    del found[b"."]["mtime_ns"]
    return found


def _xattrs(path):
    return {key: os.getxattr(path, key, follow_symlinks=False)
            for key in os.listxattr(path, follow_symlinks=False)}


def _digest(path, ranges):
    """Of the content in blocks, each with what it is: blocks of zeros are read, but not hashed."""
    digest = hashlib.sha256()
    unread = () if ranges is None else _blocks_in_holes(ranges, os.path.getsize(path))
    with open(path, "rb") as file:
        for number in itertools.count():
            if number in unread:
                digest.update(b"zeros")
                continue
            file.seek(number * _BLOCK)
            block = file.read(_BLOCK)
            if not block:
                return digest.hexdigest()
            digest.update(b"zeros" if block == _ZEROS else b"bytes" + block)


def _blocks_in_holes(ranges, size):
    """Numbers of blocks that have holes of a block at least on both sides."""
    numbers, hole = set(), 0
    for begin, end in [*ranges, (size, size)]:
        numbers.update(range(-(-hole // _BLOCK) + 1, begin // _BLOCK - 1))
        hole = end
    return numbers


def data_ranges(path):
    """[(begin, end)] of what is no hole of a file."""
    ranges, end = [], 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while end < size:
            try:
                begin = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # only a hole follows
                    raise
                break
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            ranges.append((begin, end))
    return ranges


def _unpack_time(entry, unpacked_ns):
    kind = stat.S_IFMT(int(entry["mode"], 8))
    return kind == stat.S_IFDIR and unpacked_ns <= entry.get("mtime_ns", 0) <= time.time_ns()


def assert_equal(expected, actual, what, unpacked_ns=None):
    """Fails with the first differences between two dumps.

    Who unpacks a layer that has entries below a directory, but not the directory, gives that the
    time of unpacking. So where `expected` was unpacked after unpacked_ns, the times of directories
    that are as new are not compared.
    """
    differences = []
    if unpacked_ns is not None:
        for name in (name for name in expected if _unpack_time(expected[name], unpacked_ns)):
            expected[name].pop("mtime_ns")
            actual.get(name, {}).pop("mtime_ns", None)
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            differences.append(f"{name!r} is missing")
        elif name not in expected:
            differences.append(f"{name!r} is too much")
        elif expected[name] != actual[name]:
            differences += [f"{name!r} {field}: {expected[name].get(field)!r} expected, "
                            f"{actual[name].get(field)!r} found"
                            for field in expected[name].keys() | actual[name].keys()
                            if expected[name].get(field) != actual[name].get(field)]
    if differences:
        raise Failure(f"{what}: {len(differences)} differences\n" +
                      "\n".join(difference[:500] for difference in differences[:_SHOWN]))
