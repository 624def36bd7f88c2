"""A published image comes back: exported as an archive, it is imported and unpacked by containerd."""
import json

from harness import process
from harness.process import check
from harness.tree import assert_equal, dump


def run(world):
    image = world.image("small")
    world.publish(image)
    archive = f"{world.directory}/image.tar"
    told = json.loads(process.run(
        world.tools.ours("slackerctl"), "export", image.reference, f"oci-archive:{archive}", "--json",
        "--store", world.store))
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

