"""The test images: built once into a registry's storage directory, and described in images.json."""
import hashlib
import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import types

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "deploy"))

from harness import torture, tree  # noqa: E402
from harness.process import run  # noqa: E402
from harness.registry import ADDRESS, Registry  # noqa: E402
from oci_image import Layer, Pusher, chain_id  # noqa: E402

_BUSYBOX = "/bin/busybox"
_DESCRIBED = ("digest", "diff_id", "size")
_ENV = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
_REGISTRY = f"{ADDRESS[0]}:{ADDRESS[1]}"
PAUSE = f"{_REGISTRY}/e2e/pause:v1"
SMALL_TORTURE = 1000  # files in its largest directory
_DEPLOY = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "..", "deploy"))

_DEBIAN_IMAGE = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "debian-image"))


def _small_base(layer):
    for name in ("bin", "etc", "tmp", "old", "var"):
        layer.add(name, "dir")
    layer.add("bin/busybox", data=(_BUSYBOX, os.path.getsize(_BUSYBOX)), mode=0o755)
    for applet in subprocess.check_output([_BUSYBOX, "--list"], text=True).split():
        if applet != "busybox":
            layer.add(f"bin/{applet}", "link", link="bin/busybox", mode=0o755)
    layer.add("old/gone", data=b"gone\n")
    layer.add("deleted", data=b"x")


def _small_top(layer):
    layer.add("hello", data=b"hello from layer 2\n")
    layer.add(".wh.deleted")
    layer.add("old", "dir")
    layer.add("old/.wh..wh..opq")
    layer.add("old/new", data=b"new\n", uid=1000, gid=50000)


def _pause(layer):
    layer.add("bin", "dir")
    layer.add("bin/busybox", data=(_BUSYBOX, os.path.getsize(_BUSYBOX)), mode=0o755)


def _write(directory, *steps):
    layers = []
    for step in steps:
        layer = Layer(f"{directory}/{step.__name__}.tar.gz")
        step(layer)
        layers.append(layer.close())
    return layers


def _sources_digest():
    here = os.path.dirname(__file__)
    digest = hashlib.sha256()
    for path in (f"{here}/images.py", f"{here}/torture.py", f"{_DEPLOY}/oci_image.py",
                 f"{_DEPLOY}/debian_layers.py", _DEBIAN_IMAGE):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


class Catalog:
    """What is in `cache`: storage() for a Registry, and each image by its short name."""

    def __init__(self, cache):
        self.storage = f"{cache}/registry"
        self._unpacked = f"{cache}/unpacked"
        with open(f"{cache}/images.json") as file:
            self._described = json.load(file)

    def image(self, name):
        """reference, chain_id, layers (digest, diff_id, size: compressed), compressed_bytes."""
        layers = [types.SimpleNamespace(**layer) for layer in self._described["images"][name]]
        return types.SimpleNamespace(
            reference=f"{_REGISTRY}/e2e/{name}:v1", layers=layers,
            chain_id=chain_id([layer.diff_id for layer in layers]),
            compressed_bytes=sum(layer.size for layer in layers))


    def unpacked(self, image, by, find_out):
        """What find_out() says of an image as `by` unpacks it: a version, and what else it depends on. What was found out
        before is not again: it takes a whole pull."""
        with open(tree.__file__, "rb") as file:
            what = hashlib.sha256(file.read() + by.encode() + image.chain_id.encode()).hexdigest()
        path = f"{self._unpacked}/{what}"
        try:
            with open(path, "rb") as file:
                return pickle.load(file)
        except FileNotFoundError:
            pass
        found = find_out()
        os.makedirs(self._unpacked, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._unpacked, delete=False) as file:  # others may be at it, too
            pickle.dump(found, file)
        os.rename(file.name, path)
        return found


def build_debian(cache):
    """The layers of the large image; the only step that needs the machine's own network."""
    run(_DEBIAN_IMAGE, f"{cache}/debian")


def build(cache):
    """Builds what is missing or stale. Runs in namespaces of its own, for the registry's address."""
    digest = _sources_digest()
    try:
        with open(f"{cache}/images.json") as file:
            if json.load(file)["sources"] == digest:
                return
    except FileNotFoundError:
        pass
    shutil.rmtree(f"{cache}/registry", ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        registry = Registry(f"{cache}/registry", work)
        described = _push_all(cache, work)
        registry.stop()
    with open(f"{cache}/images.json.new", "w") as file:
        json.dump({"sources": digest, "images": described}, file)
    os.rename(f"{cache}/images.json.new", f"{cache}/images.json")


def _push_all(cache, work):
    numbers = itertools.count()

    def new_layer():
        return Layer(f"{work}/torture{next(numbers)}.tar.gz", level=3)
    images = {
        "pause": (_write(work, _pause),
                  {"Entrypoint": ["/bin/busybox", "sleep", "2147483647"], **_ENV}),
        "small": (_write(work, _small_base, _small_top), {"Cmd": ["sh"], **_ENV}),
        "torture": (torture.write_layers(new_layer, _BUSYBOX), {"Cmd": ["sh"], **_ENV}),
        # For machines that take a millisecond for a file.
        "small-torture": (torture.write_layers(new_layer, _BUSYBOX, SMALL_TORTURE), {"Cmd": ["sh"], **_ENV}),
    }
    described = {}
    for name, (layers, config) in images.items():
        Pusher(_REGISTRY).push(f"e2e/{name}", "v1", layers, config)
        described[name] = [{key: getattr(layer, key) for key in _DESCRIBED} for layer in layers]
    run(_DEBIAN_IMAGE, f"{cache}/debian", _REGISTRY, "e2e/debian", "v1")
    with open(f"{cache}/debian/layers.json") as file:
        described["debian"] = [{key: layer[key] for key in _DESCRIBED}
                               for layer in json.load(file)["layers"]]
    return described
