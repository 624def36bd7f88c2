"""One node pulls the ordinary way and asks; a service publishes; the next node pulls lazily, and leaves a trace of its
start, of which the service makes the boot pack anew: the third node starts along it."""
import json
import os

from harness.process import Daemon, check, run as run_command, wait_for

_HELLO = "hello from layer 2\n"

def _requests(world):
    return json.loads(run_command(world.tools.ours("slackerctl"), "requests", "--store",
                                  world.store, "--json"))

def _serve(world, key, log):
    return Daemon("publish --serve",
                  [world.tools.ours("slackerctl"), "publish", "--serve", "--store", world.store, "--key", key],
                  f"{world.directory}/{log}")


def _end(service):
    service.stop()
    check(service.process.returncode == 0, f"the service ended with {service.process.returncode}")


def _files(world, below):
    """Objects of the store, with what is in them."""
    found = {}
    for directory, _, names in os.walk(f"{world.store_directory}/{below}"):
        for name in names:
            with open(f"{directory}/{name}", "rb") as file:
                found[name] = file.read()
    return found


def run(world):
    image = world.image("small")
    os.makedirs(world.store_directory)  # an empty store answers, one that is missing does not
    key = f"{world.directory}/publisher.pem"
    run_command(world.tools.ours("slackerctl"), "keygen", key)
    settings = f'[store]\ntrusted_keys = ["{key}.pub"]\n[publish]\nrequest = true\n'

    first = world.node(settings=settings)
    check(first.hello(image, "cat", "/hello")["output"] == _HELLO, "the first container")
    check(all(layer.digest in first.registry.blobs for layer in image.layers),
          f"not pulled the ordinary way: {first.registry.blobs}")

    def requested():
        return [one for one in _requests(world) if one["chain_id"] == image.chain_id]
    asked = wait_for(requested, "a request")
    check(len(asked) == 1 and asked[0]["reference"] == image.reference and
          asked[0]["state"] == "waiting", f"requested: {asked}")

    service = _serve(world, key, "serve.log")
    wait_for(lambda: not requested(), "the request to be served", 60, service.log)
    check(service.running(), f"the service ended: {service.log()}")
    # It says so once the request is gone.
    wait_for(lambda: f"published {image.reference}" in service.log(), "the service's word", 60,
             service.log)
    _end(service)

    second = world.node(settings=settings)
    check(second.hello(image, "cat", "/hello")["output"] == _HELLO, "the second container")
    fetched = [layer.digest for layer in image.layers if layer.digest in second.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")

    guessed = _files(world, "boot")
    wait_for(lambda: _files(world, "traces"), "the trace of the second node's start", 90)
    service = _serve(world, key, "serve-traces.log")
    wait_for(lambda: _files(world, "boot") != guessed, "the boot pack to be made anew", 60, service.log)
    _end(service)
    third = world.node(settings=settings)
    check(third.hello(image, "cat", "/hello")["output"] == _HELLO, "the third container")
    wait_for(lambda: third.counters()["boot_pages"] > 0, "pages of the boot pack", 30, third.counters)
    third.remove_everything()

    # The look for what the first keeps sees the loop devices of all nodes.
    second.remove_everything()
