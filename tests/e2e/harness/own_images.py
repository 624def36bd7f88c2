"""Images of a test's own, for a registry of its own (World.empty_registry)."""
import os
import types

from harness.images import PAUSE
from harness.registry import ADDRESS
from oci_image import Layer, Pusher, chain_id

_BUSYBOX = "/bin/busybox"
_REGISTRY = f"{ADDRESS[0]}:{ADDRESS[1]}"
_ENV = {"Env": ["PATH=/bin"]}


class OwnImages:
    """Pushes to the registry at ADDRESS; with the first one, the sandboxes' image."""

    def __init__(self, directory):
        os.makedirs(directory)
        self._directory = directory
        self._pusher = Pusher(_REGISTRY)
        self.base = self._write_base()
        repository, tag = PAUSE.partition("/")[2].split(":")
        self._pusher.push(repository, tag, [self.base],
                          {"Entrypoint": ["/bin/busybox", "sleep", "2147483647"], **_ENV})

    def _write_base(self):
        """A shell, and the directories tmp and data."""
        layer = self.layer("base")
        for name in ("bin", "tmp", "data"):
            layer.add(name, "dir")
        layer.add("bin/busybox", data=(_BUSYBOX, os.path.getsize(_BUSYBOX)), mode=0o755)
        for applet in ("sh", "cat", "sleep", "usleep", "sha256sum"):
            layer.add(f"bin/{applet}", "link", link="bin/busybox", mode=0o755)
        return layer.close()

    def layer(self, name):
        return Layer(f"{self._directory}/{name}.tar.gz", level=1)

    def push(self, name, layers):
        """On the base; the closed layers, bottom first. Has reference and chain_id."""
        layers = [self.base, *layers]
        self._pusher.push(f"own/{name}", "v1", layers, {"Cmd": ["sh"], **_ENV})
        return types.SimpleNamespace(reference=f"{_REGISTRY}/own/{name}:v1",
                                     chain_id=chain_id([layer.diff_id for layer in layers]))
