"""What the measuring scripts share: nodes without anything in between, cold caches, figures."""
import argparse
import contextlib
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from harness import isolation  # noqa: E402
from harness.node import Node, Tools  # noqa: E402
from harness.process import run as run_program  # noqa: E402
from harness.world import World, loop_devices, run_directories  # noqa: E402

SECTOR = 512
HELLO = ("python3", "-c", 'print("hello")')
COMPILE = ("sh", "-c", "printf '#include <stdio.h>\\nint main(void){puts(\"hello\");}' > /tmp/h.c"
           " && gcc -o /tmp/h /tmp/h.c && /tmp/h")
TASKS = {"python": HELLO, "gcc": COMPILE}


def arguments(description, stores=(), **defaults):
    """The command line of every script; `defaults` adds whole-number options, `stores` those that it
    can have, the first by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("build", help="CMake build directory, of the release preset")
    parser.add_argument("containerd2", help="directory of containerd 2's binaries")
    parser.add_argument("cache", help="what tests/e2e/make-images has built")
    parser.add_argument("--containerd", default="2", choices=("1", "2"), help="which version")
    parser.add_argument("--json", help="write every single figure to this file")
    parser.add_argument("--realtime", action="store_true",
                        help="run before everything else: for a machine that others use too")
    if stores:
        parser.add_argument("--store", default=stores[0], choices=stores)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


class Bench(World):
    """A world whose nodes are direct, made and destroyed one after the other."""

    def __init__(self, options, store="loopback"):
        super().__init__(Tools(os.path.abspath(options.build), os.path.abspath(options.containerd2)),
                         os.path.abspath(options.cache), options.containerd, store)
        self.cache = os.path.abspath(options.cache)
        self._count = 0

    def __exit__(self, kind, *_):
        # Leaks are for the tests to find; the namespaces' end removes everything.
        if kind is None:
            self.registry.stop()
            self.home.stop()

    def linked(self, link, snapshotter="slacker", settings=""):
        """An empty node behind a link, started; the caller destroys it. `settings`: further ones, as TOML."""
        self._count += 1
        node = Node(self.tools, f"{self.directory}/n{self._count}", self.version,
                    self.home.node_url.replace("127.0.0.1", link.server), snapshotter, link=link,
                    settings=self.home.settings + settings)
        node.start()
        return node

    def fresh(self, snapshotter="slacker", store=None, version=None):
        """An empty node, started; the caller destroys it."""
        self._count += 1
        node = Node(self.tools, f"{self.directory}/n{self._count}", version or self.version,
                    f"loopback:{store or self.store_directory}", snapshotter, direct=True)
        node.start()
        return node


def run(body, options, store="loopback"):
    """Runs body(bench) in namespaces of its own and writes what it returns to --json."""
    isolation.isolate()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with Bench(options, store) as bench:
        result = body(bench)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def hello(node, image, task, **options):
    """Milliseconds of one run's steps; its container has said hello."""
    return node.hello(image, *TASKS[task], wait_output="hello\n", **options)


def boot_pack(bench):
    """The file of the only boot pack in the store."""
    directory = f"{bench.store_directory}/boot"
    (name,) = os.listdir(directory)
    return f"{directory}/{name}"


def trace(bench, action, image, *command):
    """slackerctl trace."""
    return run_program(bench.tools.ours("slackerctl"), "trace", action, image.reference, "--store",
                       bench.store, "--state-dir", f"{bench.directory}/trace", *command)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def cpu_seconds(process):
    """Of a Daemon and of its children that have ended."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def sectors_read(node, of_blobs):
    """Bytes that have been read from the node's loop devices: those of blobs, or of metadata."""
    total = 0
    for device, file in loop_devices(node.directory, *run_directories()).items():
        if file.endswith(".erofs") != of_blobs:
            with open(f"/sys/block/{device}/stat") as stat:
                total += int(stat.read().split()[2]) * SECTOR
    return total


def set_read_ahead(node, kib):
    """Of the node's attached trees."""
    for device, file in loop_devices(node.directory, *run_directories()).items():
        if file.endswith(".erofs"):
            with open(f"/sys/block/{device}/queue/read_ahead_kb", "w") as knob:
                knob.write(str(kib))


@contextlib.contextmanager
def attached(node, image):
    """The image's tree stays attached without a container that would hold pages of it."""
    target = f"{node.directory}/view"
    node.mount_view(image, target)
    yield
    node.unmount_view(target)


def touched(bench, image, task, store=None):
    """Bytes of distinct pages, of blobs and of metadata, that a start reads: without read-ahead."""
    node = bench.fresh(store=store)
    node.hello(image, "true")
    with attached(node, image):
        set_read_ahead(node, 0)
        drop_caches()
        before = [sectors_read(node, of_blobs) for of_blobs in (True, False)]
        hello(node, image, task, if_missing=True)
        after = [sectors_read(node, of_blobs) for of_blobs in (True, False)]
    node.destroy()
    return [late - early for late, early in zip(after, before)]


def median(values):
    return statistics.median(values)


def spread(values, unit=1, digits=0):
    """Median (least-greatest), divided by unit."""
    least, middle, greatest = (f"{value / unit:.{digits}f}"
                               for value in (min(values), median(values), max(values)))
    return f"{middle} ({least}-{greatest})"


def print_table(header, rows):
    """In the form that docs/benchmarks/ has."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
