"""A reboot: mounts and /run are gone; containers start again from local state, store or not."""
import os

from harness.process import check


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
