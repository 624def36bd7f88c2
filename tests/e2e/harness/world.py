"""A test's whole world: a directory, a registry, a store, nodes; and the look for what they leave."""
import os
import shutil
import tempfile

from harness.images import Catalog
from harness.node import Node, loop_devices, mounts, run_directories
from harness.process import Failure, check, processes, run, wait_for
from harness.registry import Registry
from harness.store import open_store


class World:
    """Use as a context manager, inside isolation.isolate(). Leaving it fails on any leak.

    `store` as harness.store.open_store's.
    """

    def __init__(self, tools, cache, containerd_version, store="loopback"):
        self.tools, self.version = tools, containerd_version
        self.catalog = Catalog(cache)
        self.directory = tempfile.gettempdir()
        self._nodes, self._disks = [], []
        self._before_mounts, self._before_processes = set(mounts()), set(processes())
        self.home = open_store(store, tools, self.directory)
        self.store, self.store_directory = self.home.url, self.home.directory
        self.registry = Registry(self.catalog.storage, self.directory)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:  # the namespaces' end takes the rest away
            for node in self._nodes:
                _print_tail(node.directory)
            return
        for node in self._nodes:
            node.destroy()
        for disk in self._disks:
            disk.unmount()
        self.registry.stop()
        self.home.stop()
        self._check_leaks()

    def node(self, disk=None, **options):
        """A fresh node, started, with all that it has on a disk of its own if there is one; options as Node's."""
        options = {"settings": self.home.settings, **options}
        directory = f"{self.directory}/{len(self._nodes)}"
        if disk:
            disk.mount(directory)
            self._disks.append(disk)
        node = Node(self.tools, directory, self.version, self.home.node_url, **options)
        self._nodes.append(node)
        if node.network and "link" not in options:
            self.home.join(node.network)
        node.start()
        return node

    def empty_registry(self):
        """In the place of the one with the catalog, for images of the test's own."""
        self.registry.stop()
        shutil.rmtree(f"{self.directory}/registry", ignore_errors=True)
        self.registry = Registry(f"{self.directory}/registry", self.directory)

    def image(self, name):
        return self.catalog.image(name)

    def containerd_version(self):
        """As it says itself."""
        return run(f"{self.tools.containerd(self.version)}/containerd", "--version").strip()

    def publish(self, image, *options):
        return run(self.tools.ours("slackerctl"), "publish", f"docker://{image.reference}",
                   "--store", self.store, *self.home.publish_options, *options)

    def _check_leaks(self):
        def left():
            return {pid: command for pid, command in processes().items()
                    if pid not in self._before_processes}
        try:
            wait_for(lambda: not left(), "", 15)
        except Failure:
            raise Failure(f"processes left: {left()}") from None
        left_mounts = [point for mount, point in mounts().items() if mount not in self._before_mounts]
        check(not left_mounts, f"mounts left: {left_mounts}")
        left = loop_devices(self.directory, *run_directories())
        check(not left, f"loop devices left: {left}")
        # Locks are never unlinked: who does that races with who takes them. They go with a reboot.
        files = [os.path.join(directory, name) for directory, _, names in os.walk("/run/slacker")
                 for name in names if not name.endswith(".lock")]
        check(not files, f"files left: {files}")


def _print_tail(directory):
    for name in ("slackerd.log", "containerd.log"):
        try:
            with open(f"{directory}/{name}", errors="replace") as file:
                print(f"--- the end of {directory}/{name}\n{file.read()[-3000:]}")
        except FileNotFoundError:
            continue
