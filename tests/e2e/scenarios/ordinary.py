"""Images of which nothing, or not every layer, is published: ordinary layers, also below and above
remote ones, with the tree that overlayfs shows."""
import json
import os
import types

from harness.process import check
from harness.tree import assert_equal, dump

_WANTED = "hello from layer 2\nnew\nwritten\n"


def _trees(node, image):
    """Of the lower layer alone, and of both."""
    trees = {}
    for chain_id in (image.layers[0].diff_id, image.chain_id):
        target = f"{node.directory}/view"
        node.mount_view(types.SimpleNamespace(chain_id=chain_id), target)
        trees[chain_id] = dump(target)
        node.unmount_view(target)
    return trees


def _compare(expected, actual, what):
    for chain_id, tree in expected.items():
        assert_equal(tree, actual[chain_id], f"{what}, {chain_id}")


def _mixed(world, image, expected, without):
    """One layer's chain has no manifest: that one is ordinary, the other remote."""
    chains = [image.layers[0].diff_id, image.chain_id]
    manifest = f"{world.store_directory}/manifests/{chains[without].removeprefix('sha256:')}"
    os.rename(manifest, f"{world.directory}/manifest")
    node = world.node()
    result = node.hello(image, "sh", "-c", "cat /hello; ls /old; echo written > /w; cat /w")
    check(result["output"] == _WANTED, f"the container wrote {result['output']!r}")
    logged = [json.loads(line) for line in node.slackerd.log().splitlines()
              if '"remote-snapshot-prepared"' in line]
    remote = {line["ref"]: line["remote-snapshot-prepared"] for line in logged}
    check([remote[chain] for chain in chains] == [str(number != without).lower() for number in (0, 1)],
          f"not layer {without} alone is ordinary: {remote}")
    _compare(expected, _trees(node, image), f"layer {without} is ordinary")
    os.rename(f"{world.directory}/manifest", manifest)


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
    expected = _trees(plain, image)
    _compare(expected, _trees(node, image), "the unpacked tree")

    world.publish(image)
    for without in (0, 1):
        _mixed(world, image, expected, without)
