"""A published image on a fresh node: nothing of its layers is fetched, and everything is there."""
from harness.process import check, wait_for
from harness.tree import assert_equal, dump

_SHARE = 0.25  # of the compressed layers: the most that a start may move


def run(world):
    image = world.image("debian")
    world.publish(image)
    node = world.node()
    # The sandbox's own image is not what is measured.
    node.hello(world.image("small"), "true")
    registry, store = node.registry.bytes(), node.bytes_read_by_slackerd()
    result = node.hello(image, "python3", "-c", "print('hello')")
    check(result["output"] == "hello\n" and result["exit_code"] == 0, f"the container: {result}")
    registry = node.registry.bytes() - registry
    store = node.bytes_read_by_slackerd() - store
    print(f"compressed layers {image.compressed_bytes}, from the registry {registry}, "
          f"read by slackerd {store}; pull {result['pull_ms']:.0f} ms, "
          f"ready {result['ready_ms']:.0f} ms")
    fetched = [layer.digest for layer in image.layers if layer.digest in node.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")
    check(registry + store < _SHARE * image.compressed_bytes,
          f"{registry} + {store} bytes were moved for an image of {image.compressed_bytes}")

    plain = world.node(snapshotter="overlayfs")
    plain.hello(image, "true")
    trees = {}
    for which in (plain, node):
        target = f"{which.directory}/view"
        which.mount_view(image, target)
        trees[which] = dump(target)
        which.unmount_view(target)
    assert_equal(trees[plain], trees[node], "the lazily read tree")

    for name in ("debian", "small", "pause"):
        node.remove_image(world.image(name))
    wait_for(lambda: not node.snapshots(), "containerd to forget the snapshots")
