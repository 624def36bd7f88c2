"""Objects of the store, and records on the node, are damaged: never a wrong byte.

What is damaged before a pull sends it the ordinary way. What is damaged under a running container
is EIO for the bytes that it held and nothing else, until it is whole again.
"""
import contextlib
import hashlib
import json
import os
import shutil
import struct
import threading

from harness.process import Failure, check, run as run_command, wait_for

_HELLO = b"hello from layer 2\n"
_SHOW = ("sh", "-c", "cat /hello /old/new; sha256sum /bin/busybox")
_READ_BASE = "cat /bin/busybox > /dev/null; echo ready; exec sleep 1000"
_INDEX_ROW = struct.Struct("<32sIQII")  # docs/formats.md, "Packs"


def _flipped(at):
    def damage(content):
        content = bytearray(content)
        content[at] ^= 0x40
        return bytes(content)
    return damage


def _cut(content):
    return content[:len(content) // 2]


def _removed(_):
    return None


@contextlib.contextmanager
def _damaged(path, damage):
    """A new file in the object's place, as a faulty store would answer; the old one afterwards."""
    with open(path, "rb") as file:
        content = damage(file.read())
    os.rename(path, path + ".away")
    if content is not None:
        with open(path, "wb") as file:
            file.write(content)
    try:
        yield
    finally:
        os.rename(path + ".away", path)


class _Store:
    """The paths of what belongs to a published image."""

    def __init__(self, world, image):
        self.directory = world.store_directory
        self.manifest = f"{self.directory}/manifests/{image.chain_id.removeprefix('sha256:')}/unsigned"
        inspected = json.loads(run_command(
            world.tools.ours("slackerctl"), "inspect", f"docker://{image.reference}", "--store",
            world.store, "--json"))
        self.records = [layer["record"].removeprefix("sha256:") for layer in inspected["layers"]]
        self.pack, self.offset = self._find(_HELLO)

    def record(self, layer):
        return f"{self.directory}/records/{self.records[layer]}"

    def locations(self, layer):
        return f"{self.directory}/locations/{self.records[layer]}"

    def _find(self, content):
        """The pack with a chunk, and where in it that begins."""
        digest = hashlib.sha256(content).digest()
        for name in os.listdir(f"{self.directory}/packs"):
            if not name.endswith(".idx"):
                continue
            with open(f"{self.directory}/packs/{name}", "rb") as file:
                index = file.read()
            row = index.find(digest)
            if row >= 0:
                _, _, offset, _, _ = _INDEX_ROW.unpack_from(index, row)
                return f"{self.directory}/packs/{name.removesuffix('.idx')}", offset
        raise Failure("the chunk of /hello is in no pack")


class _Scenario:
    def __init__(self, world):
        self.told = 0  # lines of the log about damage
        self.world, self.image = world, world.image("small")
        os.makedirs(world.store_directory)  # an empty store answers, one that is missing does not
        self.node = world.node()
        self.expected = self.node.hello(self.image, *_SHOW)["output"]
        self._forget()
        world.publish(self.image)
        # It would bring records and chunks whose own objects are damaged here.
        shutil.rmtree(f"{world.store_directory}/boot")
        self.store = _Store(world, self.image)

    def _forget(self):
        """The image goes from the node; what the sandbox needs stays."""
        self.node.remove_image(self.image)
        wait_for(lambda: len(self.node.snapshots()) == 1, "containerd to forget the snapshots")
        wait_for(lambda: not os.listdir(f"{self.node.root}/records"), "slackerd to collect")
        self.node.registry.blobs.clear()

    def pull(self, what, path, damage, fetched, reason):
        """Right in spite of the damage; `fetched`: the layers that came from the registry."""
        before = self.node.slackerd.log().count(reason)
        with _damaged(path, damage):
            result = self.node.hello(self.image, *_SHOW)
        check(result["output"] == self.expected, f"{what}: the container wrote {result}")
        for number, layer in enumerate(self.image.layers):
            check((layer.digest in self.node.registry.blobs) == (number in fetched),
                  f"{what}: layers {fetched} were to be fetched: {self.node.registry.blobs}")
        logged = self.node.slackerd.log().count(reason) - before
        check(logged == len(fetched), f"{what}: {reason!r} was logged {logged} times")
        self._forget()

    @contextlib.contextmanager
    def container(self):
        """A function that runs a command in a container that has read all of the lower layer."""
        started = self.node.hello(self.image, "sh", "-c", _READ_BASE, wait_output="ready", keep=True)
        fetched = self.node.registry.blobs
        check(not any(layer.digest in fetched for layer in self.image.layers),
              f"layers were fetched: {fetched}")
        pid = self.node.pid_of(started["container_id"])
        numbers = iter(range(1000))

        def execute(*command):
            """What it writes, by way of a file: ctr 1.6 may end before it has passed everything on."""
            try:
                self.node.ctr("tasks", "exec", "--exec-id", f"e{next(numbers)}",
                              started["container_id"], "sh", "-c", '"$@" > /output 2>&1', "sh", *command)
            except Failure as failure:
                raise Failure(f"{failure}{_read_text(pid)}") from None
            return _read_text(pid)
        yield execute
        self.node.remove_sandbox(started["sandbox_id"])
        self._forget()

    def read_fails(self, what, execute):
        """EIO, and one line that says where."""
        try:
            output = execute("cat", "/hello")
        except Failure as failure:
            check("Input/output error" in str(failure), f"{what}: {failure}")
        else:
            raise Failure(f"{what}: /hello could be read: {output!r}")
        lines = [json.loads(line) for line in self.node.slackerd.log().splitlines()
                 if '"chunks of a layer are missing or damaged in the store' in line]
        check(len(lines) == self.told + 1, f"{what}: {len(lines) - self.told} lines")  # of an image that is new here
        self.told, last = len(lines), lines[-1]
        check(last["layer"] == self.image.layers[1].diff_id and
              last["chunk"] == "sha256:" + hashlib.sha256(_HELLO).hexdigest() and
              self.image.reference in last["images"].split(), f"{what}: {last}")

    def read(self, what, path, damage, rest=False):
        """The chunk of /hello cannot be had: that is an error, and it heals. `rest`: others can."""
        with self.container() as execute:
            pid = self.node.slackerd.pid
            with _damaged(path, damage):
                self.read_fails(what, execute)
                if rest:
                    output = execute("cat", "/old/new")
                    check(output == "new\n", f"{what}: the rest reads {output!r}")
            check(execute(*_SHOW) == self.expected, f"{what}: not right after the damage")
            check(self.node.slackerd.running() and self.node.slackerd.pid == pid, f"{what}: ended")

    def read_without_locations(self):
        """The pull brings them, so they are damaged before it."""
        what = "locations flipped"
        with contextlib.ExitStack() as damage:
            damage.enter_context(_damaged(self.store.locations(1), _flipped(-1)))
            with self.container() as execute:
                self.read_fails(what, execute)
                damage.close()
                check(execute(*_SHOW) == self.expected, f"{what}: not right after the damage")


def _read_text(pid):
    with open(f"/proc/{pid}/root/output") as file:
        return file.read()


def _node_record(scenario):
    """A record that is damaged on the node is fetched again, as soon as the store answers."""
    node, store = scenario.node, scenario.store
    with scenario.container() as execute:
        node.kill_slackerd()
        path = f"{node.root}/records/{store.records[1]}"
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(_flipped(20)(content))
        os.rename(store.directory, store.directory + ".away")
        node.start_slackerd()
        wait_for(node.is_connected, "containerd to be connected again")
        outputs = []
        reader = threading.Thread(target=lambda: outputs.append(execute(*_SHOW)))
        reader.start()
        wait_for(lambda: node.counters()["fill_retries"] > 0, "a read that waits for the store")
        os.rename(store.directory + ".away", store.directory)
        reader.join()
        check(outputs == [scenario.expected], f"after the record was lost: {outputs}")
        check("was fetched again" in node.slackerd.log(), "not logged")
        with open(path, "rb") as file:
            check(file.read() == content, "the record on the node is not the right one")


def _unmounted(scenario):
    """Somebody unmounts the tree: the next container has it again."""
    node = scenario.node
    with scenario.container():
        trees = [name for name in os.listdir(f"{node.root}/snapshots") if name.startswith("i")]
        check(len(trees) == 1, f"trees: {trees}")
        run_command("umount", "--lazy", f"{node.root}/snapshots/{trees[0]}/fs")
        result = node.hello(scenario.image, *_SHOW, if_missing=True)
        check(result["output"] == scenario.expected, f"after the unmount: {result}")


def run(world):
    scenario = _Scenario(world)
    store = scenario.store
    damaged = "ordinary: damaged in the store"
    scenario.pull("manifest flipped", store.manifest, _flipped(60), [1], damaged)
    scenario.pull("manifest cut", store.manifest, _cut, [1], damaged)
    scenario.pull("manifest removed", store.manifest, _removed, [1], "ordinary: not published")
    scenario.pull("record flipped", store.record(0), _flipped(20), [0, 1], damaged)
    scenario.pull("record's end flipped", store.record(1), _flipped(-1), [1], damaged)
    scenario.pull("record cut", store.record(1), _cut, [1], damaged)
    scenario.pull("record removed", store.record(0), _removed, [0, 1], damaged)
    scenario.pull("pack index cut", store.pack + ".idx", _cut, [], damaged)
    scenario.read("pack flipped", store.pack, _flipped(store.offset), rest=True)
    scenario.read("pack cut", store.pack, lambda content: content[:store.offset])
    scenario.read("pack removed", store.pack, _removed)
    scenario.read_without_locations()
    _node_record(scenario)
    _unmounted(scenario)
