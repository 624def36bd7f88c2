"""The way back: images that were pulled lazily are given to containerd whole, and run without us."""
import json
import os

from harness import process
from harness.process import check, wait_for


def _release(world, node, *words):
    return json.loads(process.run(
        world.tools.ours("slackerctl"), "node", "release", *words, "--json",
        "--store", world.store, "--containerd-address", node.socket,
        "--containerd-namespace", "k8s.io"))


def run(world):
    image = world.image("small")
    world.publish(image)
    node = world.node()
    node.hello(image, "true")
    missing = [layer for layer in image.layers if layer.digest not in node.registry.blobs]
    check(len(missing) == len(image.layers), f"it was not pulled lazily: {node.registry.blobs}")

    told = _release(world, node, image.reference)
    print(told)
    check(told[0]["missing"] == len(image.layers) and "error" not in told[0], f"released: {told}")
    again = _release(world, node, "--all")
    check(all(one["missing"] == 0 for one in again), f"something is still missing: {again}")

    # What is kept is kept by the image, not by a lease; and neither we nor the store are needed.
    node.kill_slackerd()
    os.rename(world.store_directory, world.store_directory + ".away")
    # Unpacks it first: containerd checks every digest and diff ID on its way.
    output = node.ctr("run", "--rm", "--snapshotter", "overlayfs", image.reference, "released",
                      "cat", "/hello")
    check(output == "hello from layer 2\n", f"the container: {output!r}")
    os.rename(world.store_directory + ".away", world.store_directory)
    node.start_slackerd()
    wait_for(node.is_connected, "containerd to be connected again")
