"""The torture image: what overlayfs shows after containerd unpacked it is what we show lazily.

It has no unix socket: a tar has no type for one.
"""
import time

from harness import torture
from harness.process import check
from harness.tree import assert_equal, data_ranges, dump

_CHUNK = 64 << 10
_SPARSE_SIZE = 5 << 30
# Where the files of harness/torture.py that have holes have data: in every chunk that is not all zeros.
# containerd writes the holes of a tar as zeros, so this is not compared with what it unpacks.
_DATA = {
    "sizes/sparse": [(0, _CHUNK), (3 << 30, (3 << 30) + _CHUNK), (_SPARSE_SIZE - _CHUNK, _SPARSE_SIZE)],
    "sizes/zeros": [],
    "sizes/tail-of-zeros": [(0, _CHUNK)],
    "sizes/head-of-zeros": [(1 << 20, (1 << 20) + 10_000)],
    "sizes/262145": [(0, 262_145)],
}


def run(world):
    image = world.image("torture")
    world.publish(image)
    expected = unpacked(world, image, torture.MANY)
    check_node(world.node(), image, *expected)


def unpacked(world, image, at_least):
    """What overlayfs shows, and since when the directories that no layer names are new."""
    plain = world.node(snapshotter="overlayfs")
    since_ns = time.time_ns() - 10**9  # a file system's clock may be behind by a tick
    plain.hello(image, "ls", "/swap")
    expected, _ = _dump_view(plain, image)
    check(len(expected) > at_least, "the torture image is too small to be it")
    return expected, since_ns


def check_node(node, image, expected, since_ns, with_holes=True):
    """That the node shows the same, lazily, of the image that was published.

    Without with_holes, for kernels that tell nobody where EROFS has them, they are not looked for, and only their
    edges read.
    """
    result = node.hello(image, "ls", "/swap")
    check(result["exit_code"] == 0, f"the container: {result}")
    fetched = [layer.digest for layer in image.layers if layer.digest in node.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")
    actual, data = _dump_view(node, image, None if with_holes else _DATA)
    check(not with_holes or data == _DATA, f"holes are not where they were: {data}")
    assert_equal(expected, actual, "the torture image", since_ns)


def _dump_view(node, image, known=None):
    """Its entries, and where the files that have holes have data."""
    target = f"{node.directory}/view"
    node.mount_view(image, target)
    entries = dump(target, known)
    data = {name: data_ranges(f"{target}/{name}") for name in _DATA}
    node.unmount_view(target)
    return entries, data
