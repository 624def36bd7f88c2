"""A node publishes by itself what it had to pull the ordinary way; from then on it is pulled lazily."""
import json
import os

from harness.process import check, processes, run as run_command, wait_for

_HELLO = "hello from layer 2\n"


def _settings(key, containerd):
    return (f'[store]\ntrusted_keys = ["{key}.pub"]\n'
            f'[publish]\nauto = true\nkey = "{key}"\ncontainerd = "{containerd}"\n')


def _publishers():
    return [command for command in processes().values() if "publish --serve" in command]


def _say_hello(node, image):
    result = node.hello(image, "cat", "/hello")
    check(result["output"] == _HELLO, f"the container: {result}")


def _fetched(node, image):
    return [layer.digest for layer in image.layers if layer.digest in node.registry.blobs]


def run(world):
    image = world.image("small")
    key = f"{world.directory}/publisher.pem"
    ctl = world.tools.ours("slackerctl")
    run_command(ctl, "keygen", key)

    # There is no store yet: slackerd makes it. Its publisher finds no containerd at first.
    first = world.node(settings=_settings(key, "/nowhere/c.sock"))
    _say_hello(first, image)
    check(len(_fetched(first, image)) == len(image.layers), "not pulled the ordinary way")
    requests = f"loopback:{first.root}/publish"

    def failed():
        listed = json.loads(run_command(ctl, "requests", "--store", requests, "--json"))
        return [one for one in listed
                if one["chain_id"] == image.chain_id and one.get("attempts", 0) > 0]
    wait_for(failed, "a publisher that finds no containerd", seen=first.slackerd.log)
    check(len(_publishers()) == 1, f"publishers: {_publishers()}")

    # Its end, at whatever point, ends the publisher and forgets nothing.
    first.kill_slackerd()
    wait_for(lambda: not _publishers(), "the publisher to end with its slackerd")
    with open(f"{first.directory}/slackerd.toml", "w") as file:
        file.write(_settings(key, first.socket))
    first.start_slackerd()

    def done():
        return not os.listdir(f"{first.root}/publish/requests")
    wait_for(done, "the images to be published", 90, first.slackerd.log)
    wait_for(lambda: not _publishers(), "a publisher with nothing to do to end")
    told = json.loads(run_command(ctl, "images", "--store", world.store, "--json"))
    check(f"docker://{image.reference}" in [one["name"] for one in told], f"published: {told}")
    run_command(ctl, "verify", "--store", world.store, "--trusted-key", f"{key}.pub")

    # Another node on this store, and this one once it has forgotten the image.
    second = world.node(settings=f'[store]\ntrusted_keys = ["{key}.pub"]\n')
    _say_hello(second, image)
    check(not _fetched(second, image), f"layers were fetched: {second.registry.blobs}")
    second.remove_everything()
    first.remove_everything()
    first.registry.blobs.clear()
    _say_hello(first, image)
    check(not _fetched(first, image), f"layers were fetched again: {first.registry.blobs}")
    check(not os.listdir(f"{first.root}/publish/requests"), "what is published was asked for")
