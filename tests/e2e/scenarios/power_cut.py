"""The power goes while a container reads for the first time: what has not reached the disk is lost, and the container
starts again and reads everything right.
"""
import contextlib
import shutil

from harness.disk import Disk
from harness.process import check, wait_for
from scenarios import killed

_DISK_MIB = 2048
_READ_BEFORE = 32 << 20  # bytes, of some 300 MB
_OLD = "of-before"


def _digest(node):
    """What the readers of the container have said since its start."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{node.pid_of(_OLD)}/root/dev/shm/digest") as file:
        return killed.said(file.read())
    return ""


def run(world):
    image, plain = world.image("debian"), world.image("small")
    expected = killed.read_once(world, image)
    world.publish(image)
    disk = Disk(f"{world.directory}/disk", _DISK_MIB)
    node = world.node(disk=disk)
    node.hello(image, "true")
    node.hello(plain, "true")  # its layers are synced, and so is everything else: the container comes afterwards
    node.ctr("run", "-d", "--net-host", "--snapshotter", node.snapshotter, image.reference, _OLD,
             "sh", "-c", '"$@" > /dev/shm/digest; exec sleep 100000', "sh", *killed.READ_ONCE)
    wait_for(lambda: node.counters()["served_bytes"] > _READ_BEFORE, "reads")
    node.cut_power(disk)
    shutil.rmtree(f"/run/containerd/runc/k8s.io/{_OLD}", ignore_errors=True)  # runc's, for all containerds of a machine
    node.start()
    node.ctr("tasks", "start", "-d", _OLD)
    wait_for(lambda: _digest(node), "the container to read", 300)
    print(f"{node.counters()['chunks_recovered']} chunks were found on the disk again")
    check(_digest(node) == expected, f"the container read {_digest(node)}, not {expected}")
    result = node.hello(plain, "cat", "/hello", if_missing=True)
    check(result["output"] == "hello from layer 2\n", f"what was unpacked reads {result}")
