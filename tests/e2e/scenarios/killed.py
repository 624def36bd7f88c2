"""slackerd is killed over and over while a container reads, and comes back: the container notices nothing.

32 readers, whose every read is cold: what they have read is dropped from the page cache at once.
SLACKER_KILLS says how often.
"""
import os

from harness.link import Link
from harness.process import check, wait_for
from harness.registry import ADDRESS

_KILLS = int(os.environ.get("SLACKER_KILLS", "20"))
_IN_FLIGHT = 0.9  # so many kills must have met requests in flight, which the kernel sent again
_BETWEEN = 1 << 20  # bytes served from a start to the next kill
_ROUND_TRIP_MS = 10  # to the store: most reads wait for it

_READER = """
import hashlib, os, random, sys, threading
files, known, bad = [], {}, []
for directory, _, names in os.walk("/usr"):
    paths = (os.path.join(directory, name) for name in names)
    files += (path for path in paths if os.path.isfile(path) and not os.path.islink(path))
files = sorted(files)[::4]

def read(path):
    with open(path, "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if known.setdefault(path, found) != found:
        bad.append(path + ": has changed")

def wander(seed):
    choice = random.Random(seed)
    while not os.path.exists("/stop"):
        path = choice.choice(files)
        try:
            read(path)
        except OSError as error:
            bad.append(path + ": " + str(error))

if sys.argv[1] == "wander":
    readers = [threading.Thread(target=wander, args=(seed,)) for seed in range(32)]
    for reader in readers:
        reader.start()
    print("reading", flush=True)
    for reader in readers:
        reader.join()
for path in files:
    read(path)
print("digest", hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest(), bad[:10], flush=True)
"""


def run(world):
    image = world.image("debian")
    plain = world.node(snapshotter="overlayfs")
    expected = plain.hello(image, "python3", "-c", _READER, "once")["output"]

    world.publish(image)
    # Complete caches are read without slackerd: nothing would be in flight.
    node = world.node(settings=world.home.settings + "[cache]\ncomplete = \"off\"\n",
                      link=Link(delay_ms=_ROUND_TRIP_MS, ports=(ADDRESS[1], *world.home.ports)))
    started = node.hello(image, "python3", "-c", _READER, "wander", wait_output="reading", keep=True)
    met = resent = 0
    for _ in range(_KILLS):
        wait_for(lambda: node.counters()["served_bytes"] > _BETWEEN, "reads")
        node.kill_slackerd()
        node.start_slackerd()
        again = node.counters()["fuse_resent"]
        resent += again
        met += again > 0
    print(f"{_KILLS} kills, {met} while requests were in flight; {resent} were sent again")
    by_chance = 1 if _KILLS < 20 else 0  # of few one says little
    check(met + by_chance >= _IN_FLIGHT * _KILLS, "too few kills met a read in flight")
    (task,) = [line.split() for line in node.ctr("tasks", "ls").splitlines()[1:]
               if started["container_id"] in line]
    with open(f"/proc/{task[1]}/root/stop", "w"):
        pass
    wait_for(lambda: "digest" in node.container_log(started), "the container to end", 300)
    end = node.container_log(started).partition("digest")
    check("".join(end[1:]) == expected, f"the container read something else: {end[2]}, not {expected}")
    check(node.counters()["fuse_errors"] == 0, f"reads failed: {node.counters()}")
    node.remove_sandbox(started["sandbox_id"])
