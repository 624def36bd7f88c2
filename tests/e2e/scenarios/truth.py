"""The torture image: what overlayfs shows after containerd unpacked it is what we show lazily."""
import time

from harness.process import check
from harness.tree import assert_equal, dump


def run(world):
    image = world.image("torture")
    world.publish(image)
    plain = world.node(snapshotter="overlayfs")
    unpacked_ns = time.time_ns() - 10**9  # a file system's clock may be behind by a tick
    plain.hello(image, "ls", "/swap")
    target = f"{plain.directory}/view"
    plain.mount_view(image, target)
    expected = dump(target)
    plain.unmount_view(target)
    check(len(expected) > 50_000, "the torture image is too small to be it")

    node = world.node()
    result = node.hello(image, "ls", "/swap")
    check(result["exit_code"] == 0, f"the container: {result}")
    fetched = [layer.digest for layer in image.layers if layer.digest in node.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")
    target = f"{node.directory}/view"
    node.mount_view(image, target)
    actual = dump(target)
    node.unmount_view(target)
    assert_equal(expected, actual, "the torture image", unpacked_ns)
