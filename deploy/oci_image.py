"""Writes layer tars and pushes OCI images to a plain-HTTP registry. Standard library only."""
import gzip
import hashlib
import http.client
import io
import json
import os
import stat
import tarfile
import urllib.parse

_OCI = "application/vnd.oci.image."
_BLOCK = 1 << 20


class _HashingWriter(io.RawIOBase):
    """Passes bytes on and knows their digest and number."""

    def __init__(self, target):
        self._target, self._hash, self.size = target, hashlib.sha256(), 0

    def write(self, data):
        self._hash.update(data)
        self.size += len(data)
        return self._target.write(data)

    def writable(self):
        return True

    def digest(self):
        return "sha256:" + self._hash.hexdigest()


class Layer:
    """One layer, written entry by entry into a gzip file at `path`.

    After close(): diff_id (of the tar), digest and size (of the gzip file).
    """

    def __init__(self, path, level=6):
        self.path = path
        self._file = open(path, "wb")
        self._outer = _HashingWriter(self._file)
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=self._outer,
                                   mtime=0)
        self._inner = _HashingWriter(self._gzip)

    def add(self, name, kind="file", data=b"", mode=None, uid=0, gid=0, mtime_ns=1_700_000_000 * 10**9,
            link="", device=(0, 0), xattrs=None, pax=None):
        """Adds one entry. kind: file, dir, symlink, link, char, block, fifo.

        Names may be bytes; what is not UTF-8 is written in GNU form, which takes any bytes. data is
        bytes, or a path and a size. xattrs and further PAX records are maps.
        """
        name, link = os.fsdecode(name), os.fsdecode(link)
        info = tarfile.TarInfo(name)
        info.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE,
                     "link": tarfile.LNKTYPE, "char": tarfile.CHRTYPE, "block": tarfile.BLKTYPE,
                     "fifo": tarfile.FIFOTYPE}[kind]
        info.mode = (0o755 if kind == "dir" else 0o644) if mode is None else mode
        info.uid, info.gid, info.linkname = uid, gid, link
        info.devmajor, info.devminor = device
        info.mtime = mtime_ns // 10**9
        info.size = 0 if kind != "file" else len(data) if isinstance(data, bytes) else data[1]
        form, headers = tarfile.PAX_FORMAT, dict(pax or {})
        if mtime_ns % 10**9:
            headers["mtime"] = f"{mtime_ns // 10**9}.{mtime_ns % 10**9:09d}"
        for key, value in (xattrs or {}).items():
            headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        try:
            (name + link).encode()
        except UnicodeEncodeError:
            form = tarfile.GNU_FORMAT
        if form == tarfile.PAX_FORMAT and headers:
            self._inner.write(_pax_header(headers))
        self._inner.write(info.tobuf(form, "utf-8", "surrogateescape"))
        if kind == "file":
            self._write_data(data)

    def add_tree(self, root):
        """Adds what lies below `root`; overlayfs' whiteouts and opaque marks become the image's."""
        links = {}
        for directory, names in _walk(os.fsencode(root)):
            for name in names:
                self._add_path(os.path.join(directory, name), os.fsencode(root), links)

    def _add_path(self, path, root, links):
        name, status = os.path.relpath(path, root), os.lstat(path)
        common = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
                  "mtime_ns": status.st_mtime_ns, "xattrs": _xattrs(path)}
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFCHR and status.st_rdev == 0:
            directory, base = os.path.split(name)
            self.add(os.path.join(directory, b".wh." + base))
        elif kind == stat.S_IFDIR:
            self.add(name, "dir", **common)
            if _is_opaque(path):
                self.add(os.path.join(name, b".wh..wh..opq"))
        elif kind == stat.S_IFLNK:
            self.add(name, "symlink", link=os.readlink(path), **common)
        elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in links:
            self.add(name, "link", link=links[status.st_dev, status.st_ino], **common)
        elif kind == stat.S_IFREG:
            links[status.st_dev, status.st_ino] = name
            self.add(name, data=(path, status.st_size), **common)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            self.add(name, "char" if kind == stat.S_IFCHR else "block", device=device, **common)
        elif kind == stat.S_IFIFO:
            self.add(name, "fifo", **common)

    def _write_data(self, data):
        if isinstance(data, bytes):
            self._inner.write(data)
            size = len(data)
        else:
            size = data[1]
            with open(data[0], "rb") as file:
                while block := file.read(_BLOCK):
                    self._inner.write(block)
        self._inner.write(b"\0" * (-size % 512))

    def close(self):
        self._inner.write(b"\0" * 1024)
        self._gzip.close()
        self._file.close()
        self.diff_id, self.digest, self.size = (
            self._inner.digest(), self._outer.digest(), self._outer.size)
        return self


def _pax_header(records):
    """An extended header with these records; the library's own cannot hold every byte."""
    body = b""
    for key, value in records.items():
        rest = b" " + key.encode() + b"=" + value.encode("utf-8", "surrogateescape") + b"\n"
        size = len(rest) + 1
        while len(str(size)) + len(rest) != size:
            size = len(str(size)) + len(rest)
        body += str(size).encode() + rest
    info = tarfile.TarInfo("PaxHeaders/entry")
    info.type, info.size = tarfile.XHDTYPE, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + b"\0" * (-len(body) % 512)


def _walk(root):
    """Directories with their sorted names, parents first."""
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        yield directory, [entry.name for entry in entries]
        waiting += [entry.path for entry in reversed(entries)
                    if entry.is_dir(follow_symlinks=False)]


def _xattrs(path):
    return {key: os.getxattr(path, key, follow_symlinks=False)
            for key in os.listxattr(path, follow_symlinks=False)
            if not key.startswith("trusted.overlay.")}


def _is_opaque(path):
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def chain_id(diff_ids):
    """The identity of a stack of layers, bottom first."""
    chain = ""
    for diff_id in diff_ids:
        chain = diff_id if not chain else (
            "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest())
    return chain


class Pusher:
    """Pushes to the registry at `address` ("127.0.0.1:5000")."""

    def __init__(self, address):
        self._connection = http.client.HTTPConnection(address)

    def push(self, repository, tag, layers, config):
        """Pushes closed layers, bottom first, with the image configuration's "config" object."""
        for layer in layers:
            with open(layer.path, "rb") as file:
                self._blob(repository, layer.digest, file, layer.size)
        image = json.dumps({
            "architecture": "amd64", "os": "linux", "config": config,
            "created": "2024-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }).encode()
        image_digest = "sha256:" + hashlib.sha256(image).hexdigest()
        self._blob(repository, image_digest, image, len(image))
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": _OCI + "manifest.v1+json",
            "config": {"mediaType": _OCI + "config.v1+json", "digest": image_digest,
                       "size": len(image)},
            "layers": [{"mediaType": _OCI + "layer.v1.tar+gzip", "digest": layer.digest,
                        "size": layer.size} for layer in layers],
        }).encode()
        self._call("PUT", f"/v2/{repository}/manifests/{tag}", 201, manifest,
                   {"Content-Type": _OCI + "manifest.v1+json"})

    def _blob(self, repository, digest, body, size):
        if self._call("HEAD", f"/v2/{repository}/blobs/{digest}", None).status == 200:
            return
        upload = self._call("POST", f"/v2/{repository}/blobs/uploads/", 202)
        place = urllib.parse.urlsplit(upload.getheader("Location"))
        query = (place.query + "&" if place.query else "") + "digest=" + digest
        self._call("PUT", f"{place.path}?{query}", 201, body,
                   {"Content-Type": "application/octet-stream", "Content-Length": str(size)})

    def _call(self, method, path, expected, body=None, headers=None):
        self._connection.request(method, path, body, headers or {})
        answer = self._connection.getresponse()
        answer.read()
        if expected is not None and answer.status != expected:
            raise RuntimeError(f"{method} {path}: the registry answered {answer.status}")
        return answer
