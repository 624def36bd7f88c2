"""One image at the limits: 500 layers, a sparse file of a TiB, and ten thousand chunks that 64 threads read at
random, each for the first time."""
import concurrent.futures
import hashlib
import os
import random
import time

from harness.own_images import OwnImages
from harness.process import check

_LAYERS = 500  # the base is one of them
_SPARSE = 1 << 40
_CHUNKS, _CHUNK, _THREADS = 10_000, 64 << 10, 64


def _chunk(number):
    """Unlike any other, and compressed to little."""
    return random.Random(number).randbytes(1 << 10) * (_CHUNK >> 10)


def _islands():
    return [(0, b"first" * 1000), (_SPARSE // 3 & ~4095, b"middle" * 1000), (_SPARSE - 4096, b"z" * 4096)]


def _sparse_layer(own):
    """In the form that GNU tar writes: a table of islands, then what is on them."""
    layer, islands = own.layer("sparse"), _islands()
    table = b"%d\n" % len(islands) + b"".join(b"%d\n%d\n" % (at, len(data)) for at, data in islands)
    layer.add("data/GNUSparseFile.0/sparse",
              data=table + bytes(-len(table) % 512) + b"".join(data for _, data in islands),
              pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                   "GNU.sparse.name": "data/sparse", "GNU.sparse.realsize": str(_SPARSE)})
    return layer.close()


def _chunks_layer(own, directory):
    """And the digests of its chunks."""
    path, digests = f"{directory}/chunks", []
    with open(path, "wb") as file:
        for number in range(_CHUNKS):
            chunk = _chunk(number)
            digests.append(hashlib.sha256(chunk).digest())
            file.write(chunk)
    layer = own.layer("chunks")
    layer.add("data/chunks", data=(path, os.path.getsize(path)))
    os.unlink(path)
    return layer.close(), digests


def _small_layer(own, number):
    layer = own.layer(f"small{number}")
    layer.add(f"data/layer{number}", data=b"%d\n" % number)
    layer.add("data/last", data=b"%d\n" % number)
    return layer.close()


def _check_sparse(path):
    check(os.stat(path).st_size == _SPARSE, f"the sparse file has {os.stat(path).st_size} bytes")
    with open(path, "rb") as file:
        for at, data in _islands():
            found = os.pread(file.fileno(), len(data), at)
            check(found == data, f"the sparse file reads {found[:20]!r} at {at}")
        for at in (1 << 20, _SPARSE // 2, _SPARSE - 8192):
            check(not any(os.pread(file.fileno(), 4096, at)), f"no zeros in the hole at {at}")


def _check_chunks(path, digests):
    order = list(range(_CHUNKS))
    random.Random(1).shuffle(order)
    fd = os.open(path, os.O_RDONLY)

    def wrong(number):
        return hashlib.sha256(os.pread(fd, _CHUNK, number * _CHUNK)).digest() != digests[number]
    try:
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            bad = [number for number, is_wrong in zip(order, pool.map(wrong, order)) if is_wrong]
    finally:
        os.close(fd)
    check(not bad, f"{len(bad)} chunks are wrong, as {bad[:5]}")


def run(world):
    world.empty_registry()
    own = OwnImages(f"{world.directory}/images")
    chunks, digests = _chunks_layer(own, world.directory)
    layers = [_sparse_layer(own), chunks]
    layers += [_small_layer(own, number) for number in range(_LAYERS - 1 - len(layers))]
    image = own.push("limits", layers)
    began = time.monotonic()
    world.publish(image)
    print(f"{_LAYERS} layers published in {time.monotonic() - began:.1f} s")

    # What is read is to be fetched because it is read.
    node = world.node(settings=world.home.settings + "[cache]\ncomplete = \"off\"\n")
    result = node.hello(image, "sh", "-c", "cat /data/layer* /data/last; echo read; exec sleep 100000",
                        wait_output="read\n", keep=True)
    small = [str(number) for number in range(len(layers) - 2)]
    lines = node.container_log(result).split()
    check(lines == [*sorted(small), small[-1], "read"], f"the small layers read {lines}")
    print(f"pulled in {result['pull_ms']:.0f} ms, everything small read in {result['total_ms']:.0f} ms")
    data = f"/proc/{node.pid_of(result['container_id'])}/root/data"
    _check_sparse(f"{data}/sparse")
    began = time.monotonic()
    _check_chunks(f"{data}/chunks", digests)
    print(f"{_CHUNKS} chunks read at random by {_THREADS} threads in {time.monotonic() - began:.1f} s")
    counters = node.counters()
    check(counters["fuse_errors"] == 0, f"reads failed: {counters}")
    check(counters["served_bytes"] >= _CHUNKS * _CHUNK, f"they were not read through slackerd: {counters}")
    node.remove_sandbox(result["sandbox_id"])
