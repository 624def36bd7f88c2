"""slackerd is killed while a container reads, and comes back: the container notices nothing."""
from harness.process import check, wait_for

# Reads every file of the image, says so once at the beginning and once at the end.
_READER = """
import hashlib, os, sys
print("reading", flush=True)
total = hashlib.sha256()
for directory, names, files in os.walk("/usr"):
    names.sort()
    for name in sorted(files):
        path = os.path.join(directory, name)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                total.update(file.read())
print("digest", total.hexdigest(), flush=True)
"""
_BETWEEN = 8 << 20  # bytes served from one kill to the next: some 40 kills while the image is read
_KILLS, _RESENT = 10, 3  # no fewer; requests that the kernel has sent again tell that it mattered


def run(world):
    image = world.image("debian")
    plain = world.node(snapshotter="overlayfs")
    expected = plain.hello(image, "python3", "-c", _READER)["output"]

    world.publish(image)
    node = world.node()
    started = node.hello(image, "python3", "-c", _READER, wait_output="reading", keep=True)
    kills = resent = 0

    def ended():
        return "digest" in node.container_log(started)

    while not ended() and (kills < _KILLS or resent < _RESENT):
        wait_for(lambda: ended() or node.counters()["served_bytes"] > _BETWEEN, "reads")
        node.kill_slackerd()
        node.start_slackerd()
        kills += 1
        resent += node.counters()["fuse_resent"]
    print(f"{kills} kills, {resent} requests were sent again")
    check(kills >= _KILLS, f"the container ended after {kills} kills")
    check(resent >= 1, "no request was sent again: no kill met a read in flight")
    wait_for(ended, "the container to end", 300)
    check(node.container_log(started) == expected, "the container read something else")
    check(node.counters()["fuse_errors"] == 0, f"reads failed: {node.counters()}")
    node.remove_sandbox(started["sandbox_id"])
