"""Java's store of trusted certificates, which has the time at which each was put into it, in any order.

The format JKS: a magic, the version, the number of entries; for each its kind, alias, time in
milliseconds, the certificate's type and bytes; at the end a SHA-1 over the password, a constant and all
of this. Texts have two bytes of length, certificates four.
"""
import hashlib
import struct

_MAGIC = b"\xfe\xed\xfe\xed"
_TRUSTED = 2
_PASSWORD = "changeit"


def settle(data, time_ms):
    """The same store with one time, in the order of the aliases. ValueError: no JKS of certificates only."""
    if data[:4] != _MAGIC or data[-20:] != _digest(data[:-20]):
        raise ValueError("not a JKS store with the usual password")
    version, count = struct.unpack_from(">II", data, 4)
    entries, place = [], 12
    for _ in range(count):
        (kind,) = struct.unpack_from(">I", data, place)
        if kind != _TRUSTED:
            raise ValueError("has other entries than certificates")
        alias, place = _take(data, place + 4, ">H")
        certificate = place + 8  # behind the time
        _, place = _take(data, certificate, ">H")
        _, place = _take(data, place, ">I")
        entries.append((alias, data[certificate:place]))
    content = _MAGIC + struct.pack(">II", version, count)
    for alias, certificate in sorted(entries):
        content += struct.pack(">IH", _TRUSTED, len(alias)) + alias + struct.pack(">Q", time_ms) + certificate
    return content + _digest(content)


def _take(data, place, length):
    size = struct.calcsize(length)
    end = place + size + struct.unpack_from(length, data, place)[0]
    return data[place + size:end], end


def _digest(content):
    return hashlib.sha1(_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + content).digest()
