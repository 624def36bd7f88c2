"""A reboot: mounts and /run are gone; containers start again from local state, store or not.

And a containerd that has lost its root: what slackerd has for it is collected.
"""
import os
import shutil

from harness.process import check, wait_for


def _lose_containerds_root(node, image):
    node.containerd.stop()
    shutil.rmtree(f"{node.directory}/root")
    check(node.kept(), "slackerd has nothing that could be collected")
    node.start_containerd()
    node.collect_garbage()
    wait_for(lambda: not node.kept(), "slackerd to remove what nobody knows", 30, node.kept)
    result = node.hello(image, "python3", "-c", "print('hello')")
    check(result["output"] == "hello\n", f"with a containerd that knows nothing: {result}")


def run(world):
    published, plain = world.image("debian"), world.image("small")
    world.publish(published)
    node = world.node()
    node.hello(plain, "true")
    node.hello(published, "python3", "-c", "print('hello')", keep=True)
    node.power_off()
    # What the first start brought must do: the store is away while the node comes up.
    os.rename(world.store_directory, world.store_directory + ".away")
    node.start()
    result = node.hello(published, "python3", "-c", "print('hello')", if_missing=True)
    check(result["output"] == "hello\n", f"after the reboot: {result}")
    os.rename(world.store_directory + ".away", world.store_directory)
    result = node.hello(plain, "cat", "/hello", if_missing=True)
    check(result["output"] == "hello from layer 2\n", f"after the reboot: {result}")
    for line in node.ctr("containers", "ls", "--quiet").splitlines():
        node.ctr("containers", "rm", line)
    _lose_containerds_root(node, published)
