"""The torture image, and kills, on Debian 12's own kernel, in a virtual machine (tests/vm).

It does not send requests again: they go on from the slots that the keeper has. What is right is found out here, with
overlayfs, and the images are published here: the machine is emulated, and has only what it is there for. SLACKER_KILLS
may be 0.
"""
import os
import pickle
import subprocess
import sys

from harness import images
from harness.process import check
from scenarios import killed, truth

_HERE = os.path.dirname(os.path.abspath(__file__))
_RUN_IN_MACHINE = os.path.join(_HERE, "..", "..", "vm", "run")
_RUN = os.path.join(_HERE, "..", "run")


def run(world):
    image = world.image("small-torture")
    world.publish(image)
    expected = {"truth": truth.unpacked(world, image, images.SMALL_TORTURE)}
    if killed.KILLS:
        image = world.image("debian")
        world.publish(image)
        expected["killed"] = killed.read_once(world, image)
    given = {"SLACKER_E2E_EXPECTED": f"{world.directory}/expected", "SLACKER_E2E_PATIENCE": 10,
             "SLACKER_KILLS": killed.KILLS, "SLACKER_EVERY": killed.EVERY}
    with open(given["SLACKER_E2E_EXPECTED"], "wb") as file:
        pickle.dump(expected, file)
    done = subprocess.run(
        [_RUN_IN_MACHINE, os.environ["SLACKER_VM_CACHE"], "env", *(f"{name}={value}" for name, value in given.items()),
         _RUN, "older_kernel_inside", *sys.argv[2:], f"loopback:{world.store_directory}"])
    check(done.returncode == 0, f"in the machine: exit code {done.returncode}")
