"""What a node does not believe, and what its user may not have, is pulled the ordinary way."""
import os

from harness.process import check, run as run_command, wait_for

_UNTRUSTED = "ordinary: not signed by a trusted key"
_PRIVATE = "ordinary: private"
_DIGEST_FIELD = 34  # the last one of an envelope (proto/store.proto)
_HELLO = "hello from layer 2\nnew\n"


def _settings(**settings):
    return "[store]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


class _Scenario:
    def __init__(self, world):
        self.world, self.image = world, world.image("small")
        self.keys = {}
        for name in ("ours", "theirs"):
            self.keys[name] = f"{world.directory}/{name}.pem"
            run_command(world.tools.ours("slackerctl"), "keygen", self.keys[name])
        self.repository = self.image.reference.rsplit(":", 1)[0]
        world.publish(self.image, "--private", self.repository)
        trusted = f'["{self.keys["ours"]}.pub"]'
        self.node = world.node(settings=_settings(trusted_keys=trusted))
        self.by_annotations = world.node(
            settings=_settings(trusted_keys=trusted, private='"cri-annotations"'))

    def _run(self, node):
        output = node.hello(self.image, "cat", "/hello", "/old/new")["output"]
        node.remove_image(self.image)
        wait_for(lambda: len(node.snapshots()) == 1, "containerd to forget the snapshots")
        wait_for(lambda: not os.listdir(f"{node.root}/records"), "slackerd to collect")
        return output

    def ordinary(self, what, reason, node=None):
        node = node or self.node
        node.registry.blobs.clear()
        before = node.slackerd.log().count(reason)
        check(self._run(node) == _HELLO, f"{what}: the container wrote something else")
        check(all(layer.digest in node.registry.blobs for layer in self.image.layers),
              f"{what}: not pulled the ordinary way: {node.registry.blobs}")
        logged = node.slackerd.log().count(reason) - before
        check(logged == len(self.image.layers), f"{what}: {reason!r} was logged {logged} times")

    def lazy(self, what, node=None):
        node = node or self.node
        node.registry.blobs.clear()
        check(self._run(node) == _HELLO, f"{what}: the container wrote something else")
        fetched = [layer.digest for layer in self.image.layers if layer.digest in node.registry.blobs]
        check(not fetched, f"{what}: layers were fetched: {fetched}")

    def damage_signature(self):
        """Of every manifest that we have signed."""
        for directory, _, names in os.walk(f"{self.world.store_directory}/manifests"):
            for name in names:
                if name == "unsigned":
                    continue
                path = os.path.join(directory, name)
                with open(path, "rb") as file:
                    content = bytearray(file.read())
                content[-_DIGEST_FIELD - 1] ^= 1  # the signature comes before it
                os.unlink(path)
                with open(path, "wb") as file:
                    file.write(content)


def run(world):
    scenario = _Scenario(world)
    image, keys = scenario.image, scenario.keys
    scenario.ordinary("not signed", _UNTRUSTED)
    world.publish(image, "--private", scenario.repository, "--key", keys["theirs"])
    scenario.ordinary("signed by somebody else", _UNTRUSTED)
    world.publish(image, "--private", scenario.repository, "--key", keys["ours"])
    scenario.ordinary("private", _PRIVATE)
    scenario.lazy("private, and pulled from its repository", scenario.by_annotations)
    world.publish(image, "--key", keys["ours"])
    scenario.lazy("public")
    scenario.damage_signature()
    scenario.ordinary("a wrong signature", _UNTRUSTED)
    world.publish(image, "--key", keys["ours"])
    scenario.lazy("signed again")
