"""An image published from a node's containerd, which had pulled it the ordinary way."""
import subprocess

from harness import process
from harness.process import check


def _words(world, node, image, store):
    return [world.tools.ours("slackerctl"), "publish", f"containerd:{image.reference}",
            "--containerd-address", node.socket, "--containerd-namespace", "k8s.io",
            "--store", store]


def run(world):
    image = world.image("debian")
    plain = world.node(snapshotter="overlayfs")
    plain.hello(image, "true")
    said = process.run(*_words(world, plain, image, world.store), "--public")
    print(said)
    check("alone" not in said, "it is not for everybody")

    node = world.node()
    node.hello(world.image("small"), "true")
    result = node.hello(image, "python3", "-c", "print('hello')")
    check(result["output"] == "hello\n" and result["exit_code"] == 0, f"the container: {result}")
    fetched = [layer.digest for layer in image.layers if layer.digest in node.registry.blobs]
    check(not fetched, f"layers were fetched: {fetched}")

    # That node's containerd never had the layers.
    done = subprocess.run(_words(world, node, image, f"loopback:{world.directory}/other"),
                          capture_output=True, text=True)
    check(done.returncode == 1 and "does not have the blob" in done.stderr,
          f"publishing what is not there: {done}")

