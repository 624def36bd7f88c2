"""The images of the soak: small ones of every shape, whose content the test itself knows."""
import hashlib
import random

_CHUNK = 256 << 10
# Layers above the common base, and files in each.
_SHAPES = [(1, 30), (1, 200), (3, 12), (4, 25), (8, 8), (59, 1), (2, 60), (1, 1)]
_SIZES = [1, 100, 4095, 4096, 4097, 20_000, 70_000, _CHUNK - 1, _CHUNK, _CHUNK + 1, 900_000]


def _layers(own, number, count, files):
    """The layers, and {path: SHA-256} of what they hold; every third file replaces one of a layer below."""
    choice, sums, layers = random.Random(number), {}, []
    for index in range(count):
        layer = own.layer(f"{number}-{index}")
        for file in range(files):
            below = index - 1 if index and file % 3 == 2 else index
            path = f"data/{below}-{file}"
            content = choice.randbytes(choice.choice(_SIZES))
            layer.add(path, data=content)
            sums[path] = hashlib.sha256(content).hexdigest()
        if index == count - 1:
            lines = "".join(f"{digest}  /{path}\n" for path, digest in sums.items())
            layer.add("sums", data=lines.encode())
        layers.append(layer.close())
    return layers, sums


def push(own):
    """Pushes them; each has a number and sums, too."""
    pushed = []
    for number, (count, files) in enumerate(_SHAPES):
        layers, sums = _layers(own, number, count, files)
        image = own.push(f"soak{number}", layers)
        image.number, image.sums = number, sums
        pushed.append(image)
    return pushed
