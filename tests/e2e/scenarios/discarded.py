"""A node whose containerd discards layers once they are unpacked: it has nothing to publish from."""
import json
import os
import subprocess

from harness.process import check, processes, run as run_command, wait_for

_HELLO = "hello from layer 2\n"
_REASON = "discard_unpacked_layers"


def _settings(key, containerd):
    return (f'[store]\ntrusted_keys = ["{key}.pub"]\n'
            f'[publish]\nauto = true\nrequest = true\nkey = "{key}"\n'
            f'containerd = "{containerd}"\n')


def run(world):
    image = world.image("small")
    ctl = world.tools.ours("slackerctl")
    key = f"{world.directory}/publisher.pem"
    run_command(ctl, "keygen", key)
    os.makedirs(world.store_directory)  # an empty store answers, one that is missing does not

    # Its publisher finds no containerd before the layers are gone: whether it would be faster than
    # containerd's collector is not to be tested.
    node = world.node(discards=True, settings=_settings(key, "/nowhere/c.sock"))
    check(node.hello(image, "cat", "/hello")["output"] == _HELLO, "the container")
    check(all(layer.digest in node.registry.blobs for layer in image.layers),
          f"not pulled the ordinary way: {node.registry.blobs}")

    def kept():
        blobs = f"{node.directory}/root/io.containerd.content.v1.content/blobs/sha256"
        return [layer.digest for layer in image.layers
                if os.path.exists(f"{blobs}/{layer.digest.removeprefix('sha256:')}")]
    wait_for(lambda: not kept(), "containerd to discard the layers", 60)

    def check_nothing_of_it():
        told = json.loads(run_command(ctl, "images", "--store", world.store, "--json"))
        check(image.chain_id not in [one["chain_id"] for one in told], f"published: {told}")
        manifest = f"{world.store_directory}/manifests/{image.chain_id.removeprefix('sha256:')}"
        check(not os.path.exists(manifest), "it has a manifest")
        intents = f"{world.store_directory}/intents"
        check(not os.path.exists(intents) or not os.listdir(intents), "an intent was left")
        run_command(ctl, "fsck", "--store", world.store)

    # By itself: it says why not, gives up, and leaves it to who has the layers.
    node.kill_slackerd()
    with open(f"{node.directory}/slackerd.toml", "w") as file:
        file.write(_settings(key, node.socket))
    node.start_slackerd()
    wait_for(lambda: _REASON in node.slackerd.log(), "a reason in the log", 90, node.slackerd.log)
    check("an image cannot be published by itself, ignoring" in node.slackerd.log(), "its words")
    wait_for(lambda: not [command for command in processes().values()
                          if "publish --serve" in command], "the publisher to end", 30)
    check_nothing_of_it()
    requests = json.loads(run_command(ctl, "requests", "--store", world.store, "--json"))
    check([one for one in requests if one["chain_id"] == image.chain_id and
           one["state"] == "waiting"], f"no request for a service: {requests}")

    # By hand.
    done = subprocess.run([ctl, "publish", f"containerd:{image.reference}", "--containerd-address",
                           node.socket, "--containerd-namespace", "k8s.io", "--store", world.store,
                           "--key", key], capture_output=True, text=True)
    check(done.returncode == 1 and _REASON in done.stderr, f"publishing what is not there: {done}")
    check_nothing_of_it()
    check(node.hello(image, "cat", "/hello")["output"] == _HELLO, "the container, again")

    # Who publishes it from its registry makes it lazy for all.
    world.publish(image, "--key", key)
    second = world.node(settings=f'[store]\ntrusted_keys = ["{key}.pub"]\n')
    check(second.hello(image, "cat", "/hello")["output"] == _HELLO, "the second container")
    fetched = [layer.digest for layer in image.layers if layer.digest in second.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")
    second.remove_everything()
