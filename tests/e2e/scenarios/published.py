"""A published image on a fresh node: nothing of its layers is fetched, and everything is there.

What its start touches comes with the boot pack: without one, the same start makes more requests. Once a
start was recorded, the page cache is filled along it.
"""
import contextlib
import glob
import os
import shutil
import threading

from harness.process import check, run as run_program, wait_for
from harness.tree import assert_equal, dump

_UNPACKED = 300_000_000
_SHARE = 0.25  # of the compressed layers: the most that a start may move
_HELLO = ("python3", "-c", "print('hello')")


def run(world):
    image = world.image("debian")
    world.publish(image)
    node = world.node()
    # The sandbox's own image is not what is measured.
    node.hello(world.image("small"), "true")
    registry, store = node.registry.bytes(), node.bytes_from_store()
    result = node.hello(image, *_HELLO)
    check(result["output"] == "hello\n" and result["exit_code"] == 0, f"the container: {result}")
    registry = node.registry.bytes() - registry
    store = node.bytes_from_store() - store
    print(f"compressed layers {image.compressed_bytes}, from the registry {registry}, "
          f"from the store {store}; pull {result['pull_ms']:.0f} ms, "
          f"ready {result['total_ms']:.0f} ms")
    fetched = [layer.digest for layer in image.layers if layer.digest in node.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")
    check(registry + store < _SHARE * image.compressed_bytes,
          f"{registry} + {store} bytes were moved for an image of {image.compressed_bytes}")

    counters = node.counters()
    check(counters["boot_packs"] > 0 and counters["boot_packs_ignored"] == 0 and
          counters["boot_chunks"] > 0, f"the boot pack was not read: {counters}")
    # An NFS server goes on serving what is removed behind its back.
    if world.store.startswith("nfs:"):
        print("not compared with a start without boot pack: the NFS server still serves it from its cache")
    else:
        _compare_without_boot_pack(world, image, counters)
        node = _start_along_a_trace(world, image)

    if node.version == "2":
        _start_in_a_user_namespace(node, image)
    else:
        print("no user namespaces: this containerd maps no mounts")
    expected = world.catalog.unpacked(image, world.containerd_version(), lambda: _unpacked(world, image))
    size = sum(entry.get("size", 0) for entry in expected.values())
    check(size >= _UNPACKED, f"an image of {size} bytes is too small to be a real one")
    assert_equal(expected, _tree(node, image), "the lazily read tree")


def _start_along_a_trace(world, image):
    run_program(world.tools.ours("slackerctl"), "trace", "record", image.reference, "--store", world.store,
                "--state-dir", f"{world.directory}/trace", *world.home.publish_options, "--", *_HELLO)
    node = world.node()
    with _memory_group(node) as charged:
        _warmed_start(node, image, charged)
    return node


def _warmed_start(node, image, charged):
    result = node.hello(image, *_HELLO)
    check(result["output"] == "hello\n" and result["exit_code"] == 0, f"with a trace: {result}")
    counters = node.counters()
    print(f"{counters['boot_pages']} pages came along a trace, {counters['warmed_bytes']} bytes were read in advance")
    check(counters["boot_pages"] > 0, f"the boot pack has no pages: {counters}")
    if counters["warmed_trees"] == 0:  # one in sixteen is watched instead
        trace = f"{node.root}/traces/{image.chain_id.removeprefix('sha256:')}"
        wait_for(lambda: os.path.exists(trace), "a trace of a start that was not warmed", 60)
    else:
        wait_for(lambda: node.counters()["warmed_bytes"] >= counters["boot_pages"] * 4096 // 2, "the page cache to be filled")
        # Whoever has a page read first is charged for it; what the container came to first is the container's.
        wait_for(lambda: charged() >= counters["boot_pages"] * 4096 // 4, "the helper to be charged for it",
                 seen=lambda: f"{charged()} bytes of page cache were")
        print(f"{charged()} bytes of page cache were charged to slackerd's helper")


def _start_in_a_user_namespace(node, image):
    """The files are the container's root's, and are not copied for it; what it writes is another user's on the node."""
    moved = node.bytes_from_store()
    ids = "0:100000:65536"
    script = "stat -c %u:%g /usr/bin/python3; echo new > /usr/new; stat -c %u:%g /usr/new; cat /proc/self/uid_map"
    node.ctr("run", "--snapshotter", node.snapshotter, "--remap-labels", "--uidmap", ids, "--gidmap", ids, "--detach",
             image.reference, "mapped", "sh", "-c", f"{{ {script}; }} > /output; exec sleep 1000")
    outputs = f"{node.root}/snapshots/*/fs/output"
    (path,) = wait_for(lambda: [path for path in glob.glob(outputs) if os.path.getsize(path) > 30], "the container's output",
                       seen=lambda: glob.glob(outputs))
    with open(path) as file:
        owner, written, uid_map = file.read().splitlines()
    check(owner == written == "0:0" and uid_map.split() == ["0", "100000", "65536"], f"inside: {owner}, {written}, {uid_map}")
    status = os.stat(f"{os.path.dirname(path)}/usr/new")
    check((status.st_uid, status.st_gid) == (100000, 100000), f"on the node: {status}")
    moved = node.bytes_from_store() - moved
    print(f"in a user namespace: {moved} more bytes from the store")
    check(moved < _SHARE * image.compressed_bytes, f"{moved} bytes were moved for a container in a user namespace")
    node.ctr("tasks", "kill", "--signal", "KILL", "mapped")
    wait_for(lambda: "RUNNING" not in node.ctr("tasks", "ls"), "the container to end")
    node.ctr("containers", "rm", "mapped")


@contextlib.contextmanager
def _memory_group(node):
    """The helper in a memory cgroup of its own, alone; a function that says how much page cache that was charged for."""
    legacy = os.path.exists("/sys/fs/cgroup/memory/memory.stat")
    base = "/sys/fs/cgroup/memory" if legacy else "/sys/fs/cgroup"
    group = f"{base}/slacker-helper-{node.slackerd.pid}"
    helpers = []
    for children in glob.glob(f"/proc/{node.slackerd.pid}/task/*/children"):
        with open(children) as file:
            helpers += [pid for pid in file.read().split() if _is_helper(pid)]
    check(len(helpers) == 1, f"slackerd has these helpers: {helpers}")

    def move(to):
        with open(f"{to}/cgroup.procs", "w") as file:
            file.write(helpers[0])

    def look():
        with open(f"{group}/memory.stat") as file:
            return int(dict(line.split() for line in file)["cache" if legacy else "file"])

    # The most there ever was: other tests of this machine may drop its page cache at any time.
    most, over = [0], threading.Event()

    def watch():
        while not over.wait(0.005):
            most[0] = max(most[0], look())
    os.mkdir(group)
    move(group)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: most[0]
    finally:
        over.set()
        watcher.join()
        move(base)
        wait_for(lambda: not open(f"{group}/cgroup.procs").read(), "the children of the helper to end")
        os.rmdir(group)


def _is_helper(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return "slackerd-attach" in file.read().split("\0")[0]


def _unpacked(world, image):
    plain = world.node(snapshotter="overlayfs")
    plain.hello(image, "true")
    return _tree(plain, image)


def _tree(node, image):
    target = f"{node.directory}/view"
    node.mount_view(image, target)
    entries = dump(target)
    node.unmount_view(target)
    return entries


def _compare_without_boot_pack(world, image, counters):
    shutil.rmtree(f"{world.store_directory}/boot")
    node = world.node()
    result = node.hello(image, *_HELLO)
    check(result["output"] == "hello\n" and result["exit_code"] == 0, f"without it: {result}")
    without = node.counters()
    check(without["boot_packs"] == 0, f"there was no boot pack: {without}")
    requests = [figures["fill_store_requests"] for figures in (counters, without)]
    print(f"requests for content on demand: {requests[0]} with the boot pack, {requests[1]} without; "
          f"{counters['boot_store_requests']} and {counters['boot_store_bytes']} bytes for it")
    check(requests[0] * 2 < requests[1], f"the boot pack saves too little: {requests}")
