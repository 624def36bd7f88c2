"""What older_kernel runs in its machine, with a store and expectations that others have made."""
import os
import pickle
import re

from harness.process import check, run as output_of
from scenarios import killed, truth

_KERNELS_OWN_FAULTS = re.compile("BUG:|WARNING:|Oops|blocked for more than")


def run(world):
    with open(os.environ["SLACKER_E2E_EXPECTED"], "rb") as file:
        expected = pickle.load(file)
    node = world.node(settings=world.home.settings + killed.SETTINGS)
    truth.check_node(node, world.image("small-torture"), *expected["truth"], with_holes=False)
    print("the torture image is as overlayfs shows it", flush=True)
    if killed.KILLS:
        killed.check_node(node, world.image("debian"), expected["killed"], with_slots=True)
    faults = [line for line in output_of("dmesg").splitlines() if _KERNELS_OWN_FAULTS.search(line)]
    check(not faults, f"the kernel: {faults}")
