"""Five images whose starts are compared: servers, language runtimes, a compiler. Like the official ones
they share Debian's base, have their packages in a few layers, and 130 to 255 MB compressed.

The layers are built once below the test images' cache, and pushed into its registry.
"""
import hashlib
import json
import os
import shutil
import struct
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy"))

import debian_layers  # noqa: E402
from harness.process import run  # noqa: E402
from harness.registry import ADDRESS  # noqa: E402
from oci_image import Layer, Pusher, chain_id  # noqa: E402

_PATH = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin"]
_TOOLS = ["ca-certificates", "curl", "gnupg", "netbase", "tzdata", "procps"]
_BUILD = ["git", "make", "patch", "xz-utils", "gcc", "g++", "libc6-dev"]
# Image: its layers on the base, each a list of packages or a program of ours.
IMAGES = {
    "nginx": [_TOOLS, ["nginx-extras", "gettext-base", "libgeoip1", "libxslt1.1", "libgd3"]],
    "jre": [_TOOLS, ["fontconfig", "locales", "p11-kit"], ["openjdk-17-jre-headless"], "hello_class"],
    "python": [_TOOLS, _BUILD, ["python3", "python3-dev", "python3-pip", "python3-venv"], "hello_py"],
    "postgres": [_TOOLS, ["locales", "libnss-wrapper", "xz-utils", "zstd"], ["postgresql-15"]],
    "gcc": [_TOOLS, _BUILD, ["gfortran", "gdb", "autoconf", "automake", "libtool", "pkg-config"],
            "hello_c"],
}
_NGINX = ("nginx; exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; head -n 1 <&3")
_POSTGRES = ("initdb -D /tmp/pg > /tmp/log && exec postgres -D /tmp/pg -c listen_addresses= "
             "-c unix_socket_directories=/tmp")
# What is started, and the output that means "ready".
TASKS = {
    "nginx": (("bash", "-c", _NGINX), "200 OK"),
    "jre": (("java", "-cp", "/app", "Hello"), "hello"),
    "python": (("python3", "/app/hello.py"), "hello"),
    "postgres": (("su", "postgres", "-s", "/bin/bash", "-c", "PATH=$PATH:/usr/lib/postgresql/15/bin; "
                  + _POSTGRES), "ready to accept connections"),
    "gcc": (("sh", "-c", "gcc -o /tmp/h /app/hello.c && /tmp/h"), "hello"),
}


def _constant(tag, data):
    return bytes([tag]) + data


def _utf8(text):
    return _constant(1, struct.pack(">H", len(text)) + text.encode())


def _hello_class():
    """class Hello { public static void main(String[] a) { System.out.println("hello"); } }, Java 17."""
    pairs = lambda tag, a, b: _constant(tag, struct.pack(">HH", a, b))  # noqa: E731
    one = lambda tag, a: _constant(tag, struct.pack(">H", a))  # noqa: E731
    pool = [
        one(7, 2), _utf8("Hello"), one(7, 4), _utf8("java/lang/Object"),            # 1-4
        pairs(9, 6, 8), one(7, 7), _utf8("java/lang/System"), pairs(12, 9, 10),     # 5-8
        _utf8("out"), _utf8("Ljava/io/PrintStream;"),                               # 9-10
        one(8, 12), _utf8("hello"),                                                 # 11-12
        pairs(10, 14, 16), one(7, 15), _utf8("java/io/PrintStream"),                # 13-15
        pairs(12, 17, 18), _utf8("println"), _utf8("(Ljava/lang/String;)V"),        # 16-18
        _utf8("main"), _utf8("([Ljava/lang/String;)V"), _utf8("Code"),              # 19-21
    ]
    code = b"\xb2\x00\x05\x12\x0b\xb6\x00\x0d\xb1"  # getstatic 5, ldc 11, invokevirtual 13, return
    attribute = struct.pack(">HHI", 2, 1, len(code)) + code + struct.pack(">HH", 0, 0)
    method = struct.pack(">HHHH", 9, 19, 20, 1) + struct.pack(">HI", 21, len(attribute)) + attribute
    return (b"\xca\xfe\xba\xbe" + struct.pack(">HHH", 0, 61, len(pool) + 1) + b"".join(pool)
            + struct.pack(">HHHHH", 0x21, 1, 3, 0, 0) + struct.pack(">H", 1) + method
            + struct.pack(">H", 0))


_PROGRAMS = {
    "hello_class": ("Hello.class", _hello_class()),
    "hello_py": ("hello.py", b'print("hello")\n'),
    "hello_c": ("hello.c", b'#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'),
}


def _version():
    digest = hashlib.sha256()
    deploy = os.path.dirname(debian_layers.__file__)
    for path in (__file__, f"{deploy}/debian_layers.py", f"{deploy}/oci_image.py"):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


class _Trees:
    """Trees of layers, each made once: named by what they stand on."""

    def __init__(self, work):
        self._work = work

    def stack(self, steps):
        base = f"{self._work}/base"
        if not os.path.exists(base):
            debian_layers.debootstrap(base)
        trees = [base]
        for step in steps:
            name = hashlib.sha256(repr((trees, step)).encode()).hexdigest()[:16]
            tree = f"{self._work}/{name}"
            if not os.path.exists(tree):
                self._make(tree, trees, step)
            trees.append(tree)
        return trees

    def _make(self, tree, lowers, step):
        if isinstance(step, list):
            debian_layers.install(self._work, tree, lowers, step)
            return
        name, content = _PROGRAMS[step]
        os.makedirs(f"{tree}/app")
        with open(f"{tree}/app/{name}", "wb") as file:
            file.write(content)


def build_layers(cache):
    """The layers' files, if they are not there or not current. Needs the machine's own network."""
    place = f"{cache}/starts"
    if _read(f"{place}/layers.json").get("version") == _version():
        return
    shutil.rmtree(place, ignore_errors=True)
    work = f"{place}/work"
    os.makedirs(work)
    trees, written, described = _Trees(work), {}, {}
    for image, steps in IMAGES.items():
        described[image] = []
        for tree in trees.stack(steps):
            if tree not in written:
                layer = Layer(f"{place}/{os.path.basename(tree)}.tar.gz")
                layer.add_tree(tree)
                layer.close()
                written[tree] = {name: getattr(layer, name)
                                 for name in ("path", "diff_id", "digest", "size")}
            described[image].append(written[tree])
    shutil.rmtree(work)
    _write(f"{place}/layers.json", {"version": _version(), "images": described})


def push(cache):
    """Into the running registry of the test images, unless its storage has them. {name: image}, as the
    catalogue of the test images has them."""
    described = _read(f"{cache}/starts/layers.json")
    images = {name: [types.SimpleNamespace(**layer) for layer in layers]
              for name, layers in described["images"].items()}
    mark = f"{cache}/registry/starts.json"
    if _read(mark) != described:
        for name, layers in images.items():
            push_image(name, layers, TASKS[name][0])
        _write(mark, described)
    return {name: types.SimpleNamespace(
        name=name, reference=reference(name), layers=layers,
        chain_id=chain_id([layer.diff_id for layer in layers]),
        compressed_bytes=sum(layer.size for layer in layers)) for name, layers in images.items()}


def push_image(name, layers, command):
    Pusher("%s:%d" % ADDRESS).push(f"e2e/{name}", "v1", layers, {"Env": _PATH, "Cmd": list(command)})


def reference(name):
    return "%s:%d/e2e/%s:v1" % (*ADDRESS, name)


def task_of(name):
    """TASKS' name of an image, or of a variant ("python-2") of it."""
    return name.split("-")[0]


def publish(bench, image):
    """With a boot pack of a traced start."""
    bench.publish(image)
    run(bench.tools.ours("slackerctl"), "trace", "record", image.reference, "--store", bench.store,
        "--state-dir", f"{bench.directory}/trace", *bench.home.publish_options, "--seconds", "20", "--",
        *TASKS[task_of(image.name)][0])


def _read(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def _write(path, value):
    with open(path + ".new", "w") as file:
        json.dump(value, file)
    os.rename(path + ".new", path)
