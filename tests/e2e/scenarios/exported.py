"""A published image comes back: as an archive that containerd imports, and from a registry that it was pushed to."""
import copy
import json
import os

from harness import process
from harness.process import check
from harness.registry import Registry
from harness.tree import assert_equal, dump


_OTHER_REGISTRY = ("127.0.0.1", 5001)


def _export(world, image, target):
    return json.loads(process.run(world.tools.ours("slackerctl"), "export", image.reference, target,
                                  "--json", "--store", world.store))


def _pull_what_was_pushed(world, image):
    """Pushed to an empty registry, twice, and pulled from there by a node of its own."""
    host = f"{_OTHER_REGISTRY[0]}:{_OTHER_REGISTRY[1]}"
    registry = Registry(f"{world.directory}/pushed", world.directory, _OTHER_REGISTRY)
    told = _export(world, image, f"docker://{host}/copies/app:v2")
    check(told["chain_id"] == image.chain_id, f"another chain: {told}")
    again = _export(world, image, f"docker://{host}/copies/app:v2")
    check(again == told, f"pushed again: {again}, before: {told}")

    node = world.node(snapshotter="overlayfs", direct=True)
    hosts = f"{node.directory}/certs.d/{host}"
    os.makedirs(hosts)
    with open(f"{hosts}/hosts.toml", "w") as file:
        file.write(f'server = "http://{host}"\n')
    pushed = copy.copy(image)
    pushed.reference = f"{host}/copies/app:v2"
    # containerd checks every digest and diff ID on its way.
    result = node.hello(pushed, "cat", "/hello")
    check(result["output"] == "hello from layer 2\n", f"the container: {result}")
    check(image.chain_id in node.snapshots(), "what was pulled has another chain")
    registry.stop()


def run(world):
    image = world.image("small")
    world.publish(image)
    archive = f"{world.directory}/image.tar"
    told = _export(world, image, f"oci-archive:{archive}")
    check(told["chain_id"] == image.chain_id, f"another chain: {told}")

    pulled = world.node(snapshotter="overlayfs")
    pulled.hello(image, "true")
    imported = world.node(snapshotter="overlayfs")
    # containerd checks every diff ID while it unpacks.
    imported.ctr("images", "import", "--snapshotter", "overlayfs", archive)
    check(image.chain_id in imported.snapshots(), "the import has not unpacked the image's chain")
    trees = {}
    for node in (pulled, imported):
        target = f"{node.directory}/view"
        node.mount_view(image, target)
        trees[node] = dump(target)
        node.unmount_view(target)
    assert_equal(trees[pulled], trees[imported], "the imported tree")
    _pull_what_was_pushed(world, image)
