"""A reboot: mounts and /run are gone; containers start again from local state, store or not.

And a containerd that has lost its root: what slackerd has for it is collected.
"""
import contextlib
import os
import shutil

from harness.process import check, wait_for


_OLD = "of-before"
_WAITER = "import time; open('/counted', 'a').write('x'); time.sleep(3600)"


def _has_counted(node):
    """How often the old container has begun, as its own writes say."""
    for line in node.ctr("tasks", "ls").splitlines()[1:]:
        name, pid, state = line.split()[:3]
        if name == _OLD and state == "RUNNING":
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/root/counted") as file:
                return len(file.read())
    return 0


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
    node.ctr("run", "-d", "--net-host", "--snapshotter", node.snapshotter, published.reference, _OLD, "python3", "-c", _WAITER)
    wait_for(lambda: _has_counted(node) == 1, "the container to count")
    node.power_off()
    shutil.rmtree(f"/run/containerd/runc/k8s.io/{_OLD}", ignore_errors=True)  # runc's, for all containerds of a machine
    # What the first start brought must do: the store is away while the node comes up.
    os.rename(world.store_directory, world.store_directory + ".away")
    node.start()
    # The container of before: not another one of its image, but it, with what it had written.
    node.ctr("tasks", "start", "-d", _OLD)
    wait_for(lambda: _has_counted(node) == 2, "the old container to run again")
    node.ctr("tasks", "rm", "--force", _OLD)
    result = node.hello(published, "python3", "-c", "print('hello')", if_missing=True)
    check(result["output"] == "hello\n", f"after the reboot: {result}")
    os.rename(world.store_directory + ".away", world.store_directory)
    result = node.hello(plain, "cat", "/hello", if_missing=True)
    check(result["output"] == "hello from layer 2\n", f"after the reboot: {result}")
    for line in node.ctr("containers", "ls", "--quiet").splitlines():
        node.ctr("containers", "rm", line)
    _lose_containerds_root(node, published)
