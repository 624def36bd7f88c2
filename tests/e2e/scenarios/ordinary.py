"""An image that nobody published: pulled layer by layer and run, as with overlayfs."""
from harness.process import check
from harness.tree import assert_equal, dump

_WANTED = "hello from layer 2\nnew\nwritten\n"


def run(world):
    image = world.image("small")
    node = world.node()
    result = node.hello(image, "sh", "-c", "cat /hello; ls /old; echo written > /w; cat /w")
    check(result["output"] == _WANTED, f"the container wrote {result['output']!r}")
    for layer in image.layers:
        check(node.registry.blobs.get(layer.digest) == layer.size,
              f"layer {layer.digest} was not fetched whole, once: {node.registry.blobs}")

    plain = world.node(snapshotter="overlayfs")
    plain.hello(image, "true")
    trees = {}
    for name, which in (("ours", node), ("overlayfs", plain)):
        target = f"{which.directory}/view"
        which.mount_view(image, target)
        trees[name] = dump(target)
        which.unmount_view(target)
    assert_equal(trees["overlayfs"], trees["ours"], "the unpacked tree")
