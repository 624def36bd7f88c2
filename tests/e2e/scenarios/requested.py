"""One node pulls the ordinary way and asks; a service publishes; the next node pulls lazily."""
import json
import os

from harness.process import Daemon, check, run as run_command, wait_for

_HELLO = "hello from layer 2\n"

def _requests(world):
    return json.loads(run_command(world.tools.ours("slackerctl"), "requests", "--store",
                                  world.store, "--json"))

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

    service = Daemon("publish --serve",
                     [world.tools.ours("slackerctl"), "publish", "--serve", "--store", world.store,
                      "--key", key], f"{world.directory}/serve.log")
    wait_for(lambda: not requested(), "the request to be served", 60, service.log)
    check(service.running(), f"the service ended: {service.log()}")
    # It says so once the request is gone.
    wait_for(lambda: f"published {image.reference}" in service.log(), "the service's word", 60,
             service.log)
    service.stop()
    check(service.process.returncode == 0, f"the service ended with {service.process.returncode}")

    second = world.node(settings=settings)
    check(second.hello(image, "cat", "/hello")["output"] == _HELLO, "the second container")
    fetched = [layer.digest for layer in image.layers if layer.digest in second.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")

    # The look for what the first keeps sees the loop devices of all nodes.
    second.remove_everything()
