"""How much images have in common, beside what gzip saves: the third finding of the Slacker paper (FAST'16, §4.3).

Counted is the content of regular files, layer by layer, as a registry has it: what a higher layer hides counts too. Ratios
are of what all images have, one by one, to what is left of it.
"""
import hashlib
import json
import subprocess
import tarfile

BLOCK = 4096
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Of the paper's 57 images.
PAPER = {"gzip": "2.3 - 2.7 (each image)", "files": "2.6", "blocks": "2.8"}


class _Once:
    """The bytes of things that were not seen before, known by 8 bytes of their digests."""

    def __init__(self):
        self._seen, self.bytes = set(), 0

    def add(self, data_digest, size):
        key = int.from_bytes(data_digest[:8], "little")
        if key not in self._seen:
            self._seen.add(key)
            self.bytes += size


class Layer:
    """content: bytes of files; stored: compressed bytes."""

    def __init__(self, path, files, blocks, stored):
        self.content, self.stored = 0, stored
        with _open(path) as tar:
            for member in tar:
                if member.isreg() and member.size > 0:
                    self.content += member.size
                    _count(tar.extractfile(member), files, blocks)


def _open(path):
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic.startswith(_GZIP):
        return tarfile.open(path, "r|gz")
    if magic == _ZSTD:
        process = subprocess.Popen(["zstd", "--decompress", "--stdout", path], stdout=subprocess.PIPE)
        return tarfile.open(fileobj=process.stdout, mode="r|")
    return tarfile.open(path, "r|")


def _count(file, files, blocks):
    whole, size = hashlib.sha256(), 0
    while part := file.read(BLOCK * 256):
        whole.update(part)
        size += len(part)
        for at in range(0, len(part), BLOCK):
            block = part[at:at + BLOCK]
            blocks.add(hashlib.blake2b(block, digest_size=8).digest(), len(block))
    files.add(whole.digest(), size)


def measure(layout, names):
    """A map of the sums over the images, and the ratios."""
    files, blocks, layers, images = _Once(), _Once(), {}, []
    for name in names:
        manifest = json.loads(layout.manifest(name))
        for entry in manifest["layers"]:
            if entry["digest"] not in layers:
                layers[entry["digest"]] = Layer(layout.blob(entry["digest"]), files, blocks, entry["size"])
        of_it = [layers[entry["digest"]] for entry in manifest["layers"]]
        images.append((sum(layer.content for layer in of_it), sum(layer.stored for layer in of_it)))
    content = sum(size for size, _ in images)
    unique = {"layers": sum(layer.content for layer in layers.values()), "files": files.bytes, "blocks": blocks.bytes}
    gzip = sorted(size / stored for size, stored in images)
    return {
        "images": len(images), "content_bytes": content, "compressed_bytes": sum(stored for _, stored in images),
        "compressed_layer_bytes": sum(layer.stored for layer in layers.values()),
        **{f"unique_{what}_bytes": size for what, size in unique.items()},
        "gzip_ratio_least": gzip[0], "gzip_ratio_median": gzip[len(gzip) // 2], "gzip_ratio_greatest": gzip[-1],
        **{f"{what}_ratio": content / size for what, size in unique.items() if size > 0}}


def show(found):
    def line(what, size, ratio, paper=""):
        print(f"{what:<28}{size / 1e6:>12.1f} MB{ratio:>8.2f}  {paper}".rstrip())
    content = found["content_bytes"]
    print(f"{found['images']} images{'':<33}ratio  in the paper, of 57")
    line("all files", content, 1)
    line("images compressed", found["compressed_bytes"], content / found["compressed_bytes"], PAPER["gzip"])
    line("each layer once", found["unique_layers_bytes"], found["layers_ratio"])
    line("each file once", found["unique_files_bytes"], found["files_ratio"], PAPER["files"])
    line("each block of 4 KiB once", found["unique_blocks_bytes"], found["blocks_ratio"], PAPER["blocks"])
    line("each layer once, compressed", found["compressed_layer_bytes"], content / found["compressed_layer_bytes"])
    print(f"compression of an image: {found['gzip_ratio_least']:.2f} to {found['gzip_ratio_greatest']:.2f}, "
          f"median {found['gzip_ratio_median']:.2f}")
