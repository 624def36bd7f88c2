"""The torture image: what is rare, odd or large in layers, in sixty of them."""
import os

LAYERS = 60
MANY = 50_000  # files in one directory
_NS = 10**9
_SPARSE_SIZE = 5 << 30
_NAMES = [b"latin1-\xe9\xe8", b"raw-\xff\xfe\x80", "utf8-\u00fc\u6f22\U0001f40b".encode(),
          b"space and\ttab", b"new\nline", b"back\\slash", b"n" * 255, b"-dash", b".hidden", b"*?[a]"]


def _pattern(seed, size):
    """Bytes that do not compress to nothing and that every chunk boundary shifts."""
    line = b"".join(b"%d:%d\n" % (seed, number) for number in range(4000))
    return (line * (size // len(line) + 1))[:size]


def _base(layer, busybox):
    for name in ("bin", "etc", "tmp", "a", "b", "b/deep", "b/deep/er", "c", "attrs", "dev-like",
                 "links", "names", "sizes", "many", "times", "swap"):
        layer.add(name, "dir", mode=0o1777 if name == "tmp" else 0o755)
    layer.add("bin/busybox", data=(busybox, os.path.getsize(busybox)), mode=0o755)
    for applet in ("sh", "cat", "echo", "ls", "sleep"):
        layer.add(f"bin/{applet}", "link", link="bin/busybox", mode=0o755)
    for number in range(8):
        layer.add(f"a/gone{number}", data=b"gone\n")
        layer.add(f"b/deep/er/{number}", data=_pattern(number, 1000 * number))


def _attributes(layer):
    layer.add("attrs", "dir", mode=0o2775, uid=12, gid=34, xattrs={"user.directory": b"yes"})
    layer.add("attrs/unnamed/below/file", data=b"f")  # two directories that no tar names, below setgid
    layer.add("attrs/setuid", data=b"u", mode=0o4755)
    layer.add("attrs/setgid", data=b"g", mode=0o2755, gid=50)
    layer.add("attrs/sticky", "dir", mode=0o1700, uid=3_000_000, gid=4_000_000)
    layer.add("attrs/none", data=b"n", mode=0)
    layer.add("attrs/capability", data=b"c", mode=0o755, xattrs={
        "security.capability": bytes.fromhex("0100000200200000000000000000000000000000")})
    acl = bytes.fromhex("02000000" "01000600ffffffff" "02000400e8030000" "04000400ffffffff"
                        "10000600ffffffff" "20000400ffffffff")
    layer.add("attrs/acl", data=b"a", mode=0o664, xattrs={"system.posix_acl_access": acl})
    layer.add("attrs/binary", data=b"b", xattrs={"user.binary": bytes(range(256)), "user.empty": b""})
    layer.add("attrs/long", data=b"l", xattrs={"user.long": b"v" * 2000})
    for number in range(3):  # equal long ones, which file systems share
        layer.add(f"attrs/shared{number}", data=b"s", xattrs={"user.shared": b"w" * 500})
    layer.add("attrs/trusted", data=b"t", xattrs={"trusted.ours": b"1"})


def _special(layer):
    layer.add("dev-like/null", "char", device=(1, 3), mode=0o666)
    layer.add("dev-like/large", "char", device=(511, 1_000_000), mode=0o600)
    layer.add("dev-like/loop", "block", device=(7, 99), mode=0o660, gid=6)
    layer.add("dev-like/fifo", "fifo", mode=0o644)
    layer.add("links/self", "symlink", link="self", mode=0o777)
    layer.add("links/there", "symlink", link="back", mode=0o777)
    layer.add("links/back", "symlink", link="there", mode=0o777)
    layer.add("links/dangling", "symlink", link="/nowhere/" + "x" * 200, mode=0o777)
    layer.add("links/longest", "symlink", link="d/" * 1900 + "end", mode=0o777)
    layer.add("links/one", data=b"linked\n" * 2000)
    layer.add("links/two", "link", link="links/one")
    layer.add("links/three", "link", link="links/one")
    layer.add("links/kept", data=b"kept\n")
    layer.add("links/kept2", "link", link="links/kept")
    for number, name in enumerate(_NAMES):
        layer.add(b"names/" + name, data=b"%d\n" % number)
    layer.add(b"names/dir-\xff", "dir")
    layer.add(b"names/dir-\xff/in\xfe", data=b"inside\n")
    layer.add("/".join(["names/long"] + ["p" * 100] * 8), data=b"long path\n")


def _sizes(layer):
    for size in (0, 1, 511, 512, 513, 4095, 4096, 4097, 65535, 65536, 131072, 262143, 262144, 262145,
                 1048577, 5_000_000):
        layer.add(f"sizes/{size}", data=_pattern(size, size))
    layer.add("sizes/zeros", data=bytes(64 << 20))
    layer.add("sizes/tail-of-zeros", data=_pattern(7, 10_000) + bytes(1 << 20))
    layer.add("sizes/head-of-zeros", data=bytes(1 << 20) + _pattern(8, 10_000))
    # A sparse file of 5 GiB in the form that GNU tar writes: three islands in holes.
    islands = [(0, b"first" * 1000), (3 << 30, b"middle" * 1000), (_SPARSE_SIZE - 4096, b"z" * 4096)]
    table = b"%d\n" % len(islands) + b"".join(b"%d\n%d\n" % (at, len(d)) for at, d in islands)
    body = table + bytes(-len(table) % 512) + b"".join(data for _, data in islands)
    layer.add("sizes/GNUSparseFile.0/sparse", data=body, pax={
        "GNU.sparse.major": b"1".decode(), "GNU.sparse.minor": "0",
        "GNU.sparse.name": "sizes/sparse", "GNU.sparse.realsize": str(_SPARSE_SIZE)})


def _many(layer, files):
    for number in range(files):
        layer.add(f"many/file-{number:06d}", data=b"%d" % number if number % 5 else b"",
                  mtime_ns=number * _NS + number)


def _times(layer):
    for name, mtime in (("epoch", 0), ("nanosecond", 1_700_000_000 * _NS + 1),
                        ("almost", 1_700_000_000 * _NS + 999_999_999), ("after2038", 2**32 * _NS + 7),
                        ("before2038", (2**31 - 1) * _NS)):
        layer.add(f"times/{name}", data=b"t", mtime_ns=mtime)
    layer.add("times/link", "symlink", link="epoch", mode=0o777, mtime_ns=1_600_000_000 * _NS + 123)
    layer.add("times/dir", "dir", mtime_ns=1_500_000_000 * _NS + 456)


def _swap_start(layer):
    layer.add("swap/to-file", "dir")
    layer.add("swap/to-file/inside", data=b"inside\n")
    layer.add("swap/to-dir", data=b"file\n")
    layer.add("swap/to-link", "dir")
    layer.add("swap/to-link/inside", data=b"inside\n")
    layer.add("swap/there-and-back", "dir")
    layer.add("swap/there-and-back/old", data=b"old\n")
    layer.add("swap/opaque", "dir")
    layer.add("swap/opaque/old", data=b"old\n")
    layer.add("swap/opaque/sub", "dir")
    layer.add("swap/opaque/sub/old", data=b"old\n")
    layer.add("swap/again", data=b"first\n")


def _swap_middle(layer):
    layer.add(".wh..wh..opq")  # on the root: overlayfs does not look at it there
    layer.add("swap", "dir", mtime_ns=1_700_000_001 * _NS)
    layer.add("swap/to-file", data=b"now a file\n")
    layer.add("swap/.wh.to-dir")
    layer.add("swap/to-dir", "dir")
    layer.add("swap/to-dir/inside", data=b"now a directory\n")
    layer.add("swap/to-link", "symlink", link="to-dir", mode=0o777)
    layer.add("swap/there-and-back", data=b"file for one layer\n")
    layer.add("swap/opaque", "dir", mode=0o711)
    layer.add("swap/opaque/.wh..wh..opq")
    layer.add("swap/opaque/new", data=b"new\n")
    layer.add("swap/.wh.again")


def _swap_end(layer):
    layer.add("swap", "dir", mtime_ns=1_700_000_002 * _NS)
    layer.add("swap/there-and-back", "dir", mode=0o700)
    layer.add("swap/there-and-back/new", data=b"new\n")
    layer.add("swap/again", data=b"second\n")
    layer.add("swap/opaque", "dir", mode=0o711)
    layer.add("swap/opaque/sub", "dir")


def _deletions(layer):
    """A layer that only deletes; one whiteout names what never was."""
    layer.add("a", "dir", mtime_ns=1_700_000_003 * _NS)
    for number in range(8):
        layer.add(f"a/.wh.gone{number}")
    layer.add("a/.wh.never-was")
    layer.add("b", "dir", mtime_ns=1_700_000_003 * _NS)
    layer.add("b/.wh.deep")


def _links_again(layer, files):
    """A link group partly replaced, as a build step that touches one name of it writes it."""
    layer.add("links", "dir", mtime_ns=1_700_000_004 * _NS)
    layer.add("links/two", data=b"replaced\n")
    layer.add("links/new", "link", link="links/two")
    layer.add("links/.wh.kept")
    layer.add("many", "dir", mtime_ns=1_700_000_004 * _NS)
    layer.add(f"many/.wh.file-{files // 2:06d}")
    layer.add("many/file-000001", data=b"replaced\n")


def _metadata_only(layer):
    layer.add("c", "dir", mode=0o555, uid=7, mtime_ns=1_700_000_005 * _NS + 5)


def write_layers(new_layer, busybox, many=MANY):
    """Returns the closed layers; new_layer() opens the next."""
    steps = [lambda layer: _base(layer, busybox), _attributes, _special, _sizes,
             lambda layer: _many(layer, many), _times, _swap_start, _swap_middle, lambda layer: None,
             _swap_end, _deletions, lambda layer: _links_again(layer, many), _metadata_only]
    for number in range(len(steps), LAYERS):
        def small(layer, number=number):
            layer.add("c", "dir", mode=0o755, mtime_ns=(1_700_000_000 + number) * _NS)
            layer.add(f"c/layer{number}", data=_pattern(number, 300))
            if number % 3 == 0:
                layer.add(f"c/.wh.layer{number - 1}")
        steps.append(small)
    layers = []
    for step in steps:
        layer = new_layer()
        step(layer)
        layers.append(layer.close())
    return layers
