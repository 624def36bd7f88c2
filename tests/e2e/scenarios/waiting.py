"""A pod whose reads wait for a store that does not answer can be removed, long before they would be given up.

A store behind a server hangs, a directory is away.
"""
import os
import time

from harness.process import check, wait_for
from scenarios import killed

_STALL_TIMEOUT_S = 300  # store.stall_timeout's default


def run(world):
    image = world.image("debian")
    expected = killed.read_once(world, image)
    world.publish(image)
    node = world.node(settings=world.home.settings + killed.SETTINGS)
    started = killed.start_waiting(node, image)
    pid = node.pid_of(started["container_id"])
    world.home.go_away()
    killed.let_read(node, started)
    wait_for(lambda: node.counters()["fill_outages"] > 0, "reads that wait for the store")
    began = time.monotonic()
    node.remove_sandbox(started["sandbox_id"])
    took = time.monotonic() - began
    print(f"the pod was removed in {took:.2f} s")
    check(took < _STALL_TIMEOUT_S / 5, "that took as long as its reads")
    check(not os.path.exists(f"/proc/{pid}"), "its process is still there")
    counters = node.counters()
    check(counters["fill_stalled"] == counters["fuse_errors"] == 0, f"its reads were given up: {counters}")
    world.home.come_back()
    end = killed.said(node.hello(image, *killed.READ_ONCE, if_missing=True)["output"])
    check(end == expected, f"the next container read something else: {end}, not {expected}")
