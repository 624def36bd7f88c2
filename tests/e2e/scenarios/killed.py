"""slackerd is killed while a container reads, and comes back: the container notices nothing."""
import re
import time

from harness.process import check, wait_for

# Reads every file of the image, says so once in the middle and once at the end.
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

# slackerd's count of requests that the kernel sent again after a take-over.
_RESENT = re.compile(r'"resent":"?[1-9]')


def run(world):
    image = world.image("debian")
    plain = world.node(snapshotter="overlayfs")
    expected = plain.hello(image, "python3", "-c", _READER)["output"]

    world.publish(image)
    node = world.node()
    started = node.hello(image, "python3", "-c", _READER, wait_output="reading", keep=True)
    resent = None
    for _ in range(20):
        # At some of these moments a read is in flight.
        time.sleep(0.05)
        node.kill_slackerd()
        node.start_slackerd()
        resent = _RESENT.search(node.slackerd.log())
        if resent:
            break
    check(resent, "no request was sent again: no kill met a read in flight")
    wait_for(lambda: "digest" in node.container_log(started), "the container to end", 300)
    check(node.container_log(started) == expected, "the container read something else")
    node.remove_sandbox(started["sandbox_id"])
