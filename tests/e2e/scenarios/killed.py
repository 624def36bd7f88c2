"""slackerd is killed over and over while a container reads, and comes back: the container notices nothing.

32 readers, whose every read is cold: what they have read is dropped from the page cache at once. At the end, caches
dropped, every file is compared. SLACKER_KILLS says how often, SLACKER_EVERY that readers take one file of so many
(4, and at the end all).
"""
import os
import re
import signal
import struct
import time

from harness.link import Link
from harness.process import check, drop_caches, wait_for
from harness.registry import ADDRESS

KILLS = int(os.environ.get("SLACKER_KILLS", "20"))
EVERY = os.environ.get("SLACKER_EVERY", "4")
_EVERY_AT_THE_END = os.environ.get("SLACKER_EVERY", "1")
# Complete caches are read without slackerd: nothing would be in flight.
SETTINGS = '[cache]\ncomplete = "off"\n'
_IN_FLIGHT = 0.9  # so many kills must have met requests in flight, which the kernel sent again
_BETWEEN = 1 << 20  # bytes served from a start to the next kill
_SLOTS, _SLOT_BYTES = 2048, 256  # fuse::RequestSlots
_ROUND_TRIP_MS = 10  # to the store: most reads wait for it
# A read may take as long as the longest restart, and this on a machine that does much else: beyond it somebody hung.
_BEYOND_RESTART_S = 20

_READER = """
import hashlib, os, queue, random, sys, threading, time
files, known, bad, longest = [], {}, [], [0]
for directory, _, names in os.walk("/usr"):
    paths = (os.path.join(directory, name) for name in names)
    files += (path for path in paths if os.path.isfile(path) and not os.path.islink(path))
files.sort()

def read(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while True:
            began = time.monotonic()
            part = file.read(1 << 16)
            longest[0] = max(longest[0], time.monotonic() - began)
            if not part:
                break
            digest.update(part)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if known.setdefault(path, digest.hexdigest()) != digest.hexdigest():
        bad.append(path + ": has changed")

def wander(seed):
    choice, some = random.Random(seed), files[::int(sys.argv[2])]
    while not os.path.exists("/stop"):
        attempt(choice.choice(some))

def sweep(left):
    while True:
        try:
            attempt(left.get_nowait())
        except queue.Empty:
            return

def attempt(path):
    try:
        read(path)
    except OSError as error:
        bad.append(path + ": " + str(error))

def all_at_once(work, *arguments):
    readers = [threading.Thread(target=work, args=[argument]) for argument in arguments]
    for reader in readers:
        reader.start()
    print("reading", flush=True)
    for reader in readers:
        reader.join()

if sys.argv[1] == "wander":
    all_at_once(wander, *range(32))
    print("longest", longest[0], flush=True)
if sys.argv[1] == "wait":
    print("waiting", flush=True)
    while not os.path.exists("/stop"):
        time.sleep(0.1)
left = queue.SimpleQueue()
for path in files[::int(sys.argv[3])]:
    left.put(path)
all_at_once(sweep, *[left] * 32)
print("digest", hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest(), bad[:10], flush=True)
"""


def _reader(how):
    return "python3", "-c", _READER, how, EVERY, _EVERY_AT_THE_END


READ_ONCE = _reader("once")


def run(world):
    image = world.image("debian")
    expected = read_once(world, image)
    world.publish(image)
    node = world.node(settings=world.home.settings + SETTINGS,
                      link=Link(delay_ms=_ROUND_TRIP_MS, ports=(ADDRESS[1], *world.home.ports)))
    check_node(node, image, expected)


def read_once(world, image):
    """What the readers say of the image on overlayfs."""
    def find_out():
        return said(world.node(snapshotter="overlayfs").hello(image, *READ_ONCE)["output"])
    return world.catalog.unpacked(image, " ".join((world.containerd_version(), *READ_ONCE)), find_out)


def said(output):
    return "".join(output.partition("digest")[1:])


def start_waiting(node, image):
    """A container, read into memory, whose readers wait for let_read()."""
    return node.hello(image, *_reader("wait"), wait_output="waiting", keep=True)


def let_read(node, started):
    with open(f"/proc/{node.pid_of(started['container_id'])}/root/stop", "w"):
        pass


def check_end(node, started, expected):
    wait_for(lambda: "digest" in node.container_log(started), "the container to end", 300)
    end = said(node.container_log(started))
    check(end == expected, f"the container read something else: {end}, not {expected}")


def check_node(node, image, expected, with_slots=False):
    """That they say the same of the image, which was published, on a node with SETTINGS whose slackerd is killed.

    with_slots, for kernels that do not send requests again: only when it has some.
    """
    started = node.hello(image, *_reader("wander"), wait_output="reading", keep=True)
    met = resent = longest_restart = 0
    for _ in range(KILLS):
        wait_for(lambda: node.counters()["served_bytes"] > _BETWEEN, "reads")
        if with_slots:
            wait_for(lambda: _stop_with_requests(node.slackerd.pid), "slackerd to have requests")
        began = time.monotonic()
        node.kill_slackerd()
        node.start_slackerd()
        longest_restart = max(longest_restart, time.monotonic() - began)
        again = node.counters()["fuse_resent"]
        resent += again
        met += again > 0
    print(f"{KILLS} kills, {met} while requests were in flight; {resent} were sent again")
    by_chance = 1 if KILLS < 20 else 0  # of few one says little
    check(met + by_chance >= _IN_FLIGHT * KILLS, "too few kills met a read in flight")
    drop_caches()
    let_read(node, started)
    check_end(node, started, expected)
    longest = float(re.search(r"longest ([\d.e-]+)", node.container_log(started)).group(1))
    print(f"the longest read took {longest:.2f} s, the longest restart {longest_restart:.2f} s")
    check(longest < longest_restart + _BEYOND_RESTART_S, "a read hung")
    check(node.counters()["fuse_errors"] == 0, f"reads failed: {node.counters()}")
    node.remove_sandbox(started["sandbox_id"])


def _stop_with_requests(pid):
    """Stops the process. Unless it has requests then, it goes on, and this is False."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: _has_stopped(pid), "slackerd to stop")
    if _requests_in_slots(pid) > 0:
        return True
    os.kill(pid, signal.SIGCONT)
    return False


def _has_stopped(pid):
    states = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/stat", errors="replace") as file:
                states.add(file.read().rpartition(") ")[2][0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it was about to end
    return states == {"T"}


def _requests_in_slots(pid):
    """How many requests a slackerd has read and not answered: slots that begin with a length (ADR 0028)."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if not os.readlink(path).startswith("/memfd:slacker-requests"):
            continue
        with open(path, "rb") as file:
            memory = file.read()
        if struct.unpack_from("=q", memory, _SLOTS * _SLOT_BYTES + 8)[0] == pid:  # not a predecessor's
            slots = range(0, _SLOTS * _SLOT_BYTES, _SLOT_BYTES)
            return sum(struct.unpack_from("=I", memory, slot)[0] != 0 for slot in slots)
    return 0
