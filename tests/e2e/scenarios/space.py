"""A node's disk is filled by others while a container runs on a complete image, whose caches stay. When container and
image are removed, their space is free again.
"""
import os

from harness.disk import Disk
from harness.process import check, wait_for

_DISK_MIB, _MIN_FREE_MIB = 1024, 200
_UNPACKED = 300_000_000
_REST = 16 << 20  # what databases and logs may have grown by


def _fill(disk, path, left):
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.free() - left)


def run(world):
    image = world.image("debian")
    world.publish(image)
    disk = Disk(f"{world.directory}/disk", _DISK_MIB)
    node = world.node(disk=disk, settings=world.home.settings +
                      f'[cache]\ncomplete_rate = 1073741824\nmin_free = "{_MIN_FREE_MIB * 100 // _DISK_MIB}%"\n')
    node.hello(world.image("small"), "true")  # and the sandboxes' image
    before = disk.free()
    started = node.hello(image, "sh", "-c", "echo ready; exec sleep 100000", wait_output="ready", keep=True)
    node.await_complete(image)
    check(before - disk.free() > _UNPACKED, f"the caches take {before - disk.free()} bytes")
    _fill(disk, f"{node.directory}/filling", (_MIN_FREE_MIB << 20) // 2)
    before -= os.path.getsize(f"{node.directory}/filling")
    wait_for(lambda: "stay over a limit" in node.slackerd.log(), "slackerd to be under pressure")
    node.await_complete(image)
    node.remove_sandbox(started["sandbox_id"])
    node.remove_image(image)
    wait_for(lambda: disk.free() > before - _REST, "the image's space", 60,
             lambda: f"{before - disk.free()} bytes are missing")
    print(f"{before - disk.free()} bytes more are taken than before")
