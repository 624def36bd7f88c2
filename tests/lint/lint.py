#!/usr/bin/env python3
"""Checks the rules of the source tree that a compiler does not: layering, homes of third-party
headers, file sizes, the top level. Prints "path:line: rule: message" for each violation; the exit
status is 1 when there is one.

    lint.py ROOT
"""
import fnmatch
import os
import re
import sys

SOURCE_MAX_LINES = 600
HEADER_MAX_LINES = 300

TOP_LEVEL = {
    "CMakeLists.txt", "proto", "snapshotter", "backend", "cmd", "tests", "deploy", "docs",
    "README.md", "LICENSE", "CHANGELOG.md", "CMakePresets.json", ".clang-format", ".clang-tidy",
    ".ci", ".gitignore",
}

# Where a third-party or generated header may be included; tests may include anything.
HEADER_HOMES = [
    (r"sqlite3\.h", ["snapshotter/metastore"]),
    (r"archive(_entry)?\.h", ["backend/layer", "backend/export"]),
    (r"curl/.*", ["backend/registry", "backend/https"]),
    (r"zlib\.h", ["backend/export"]),
    (r"isa-l/igzip_lib\.h", ["backend/source"]),
    (r"isa-l/crc\.h", ["backend/base"]),
    (r"zstd(_errors)?\.h", ["backend/record", "backend/source", "backend/export"]),
    (r"nfsc/.*", ["backend/nfs"]),
    (r"openssl/.*", ["backend/base"]),
    (r"spdlog/.*", ["backend/base"]),
    (r"(linux/loop|linux/mount|sys/mount)\.h", ["backend/os"]),
    (r"linux/fuse\.h", ["snapshotter/fuse"]),
    (r"re2/.*", ["snapshotter/filter"]),
    (r"(grpc|grpcpp)/.*|.*\.grpc\.pb\.h|(snapshots|cri|content|images|leases|node)\.pb\.h", ["snapshotter/service", "cmd"]),
    (r"store\.pb\.h", ["backend/store"]),
    (r"toml\+\+/.*", ["cmd", "backend/registry"]),
    (r"CLI/.*|systemd/.*", ["cmd"]),
    (r"nlohmann/.*", ["backend/base", "backend/source", "backend/registry", "backend/export", "cmd"]),
]

# What the files of a layer may include of ours.
LAYERS = {
    "proto": [],
    "backend": ["backend", "proto"],
    "snapshotter": ["snapshotter", "backend", "proto"],
    "cmd": ["cmd", "snapshotter", "backend", "proto"],
    "tests": ["tests", "cmd", "snapshotter", "backend", "proto"],
}
# What the files of a room may include of ours beside its own; what tests are for may include anything.
_STORE = ["backend", "backend/base", "backend/record", "backend/store"]
ROOMS = {
    "backend": ["backend/base"],
    "backend/base": [],
    "backend/os": ["backend/base"],
    "backend/memory": ["backend", "backend/base"],
    "backend/loopback": ["backend", "backend/base"],
    "backend/nfs": ["backend", "backend/base"],
    "backend/https": ["backend", "backend/base"],
    "backend/record": ["backend/base"],
    "backend/layer": ["backend/base", "backend/record"],
    "backend/erofs": ["backend/base", "backend/record"],
    "backend/source": ["backend/base", "backend/layer"],
    "backend/registry": ["backend/base", "backend/layer", "backend/source"],
    "backend/store": ["backend", "backend/base", "backend/record"],
    "backend/startup": [*_STORE, "backend/erofs", "backend/source"],
    "backend/publish": [*_STORE, "backend/erofs", "backend/layer", "backend/source",
                        "backend/startup"],
    "backend/view": [*_STORE, "backend/erofs"],
    "backend/export": [*_STORE, "backend/layer", "backend/registry", "backend/source"],
    "backend/upkeep": [*_STORE, "backend/publish", "backend/view"],
    "snapshotter": ["backend/base"],
    "snapshotter/service": ["backend/base", "snapshotter", "snapshotter/core"],
    "snapshotter/filter": ["backend/base", "snapshotter", "snapshotter/metastore"],
    "snapshotter/metastore": ["backend/base", "snapshotter"],
    "snapshotter/core": ["backend/base", "backend/os", "snapshotter", "snapshotter/filter",
                         "snapshotter/images", "snapshotter/metastore"],
    "snapshotter/keeper": ["backend/base"],
    "snapshotter/fuse": ["backend/base"],
    "snapshotter/attach": ["backend/base", "backend/os", "snapshotter", "snapshotter/fuse",
                           "snapshotter/keeper"],
    "snapshotter/files": [*_STORE],
    "snapshotter/faults": ["backend/base"],
    "snapshotter/fill": [*_STORE, "snapshotter/faults", "snapshotter/files", "snapshotter/fuse",
                         "snapshotter/metastore"],
    "snapshotter/boot": [*_STORE, "snapshotter/files", "snapshotter/fill",
                         "snapshotter/metastore"],
    "snapshotter/care": [*_STORE, "backend/layer", "snapshotter/attach", "snapshotter/files",
                         "snapshotter/fill", "snapshotter/metastore"],
    "snapshotter/gateway": [*_STORE, "snapshotter", "snapshotter/files", "snapshotter/metastore"],
    "snapshotter/warm": [*_STORE, "backend/os", "backend/startup", "snapshotter/attach"],
    "snapshotter/images": [*_STORE, "backend/erofs", "backend/os", "snapshotter",
                           "snapshotter/attach", "snapshotter/boot", "snapshotter/files",
                           "snapshotter/fill", "snapshotter/gateway", "snapshotter/metastore",
                           "snapshotter/warm"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
IMPORT = re.compile(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"')
UNFINISHED = re.compile(r"\b(" + "TO" + "DO|FIX" + r"ME)\b")
SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\b")
GLOB = re.compile(r"\bfile\s*\(\s*GLOB", re.IGNORECASE)


def is_within(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def ignored_patterns(root):
    patterns = [".git"]
    path = os.path.join(root, ".gitignore")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            patterns += [line.strip().strip("/") for line in lines if line.strip()]
    return patterns


def source_files(root):
    """Paths relative to the root, sorted; without what git ignores."""
    patterns = ignored_patterns(root)

    def kept(name):
        return not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    for folder, folders, names in os.walk(root):
        folders[:] = sorted(filter(kept, folders))
        for name in sorted(filter(kept, names)):
            yield os.path.relpath(os.path.join(folder, name), root)


def check_top_level(root):
    patterns = ignored_patterns(root)
    found = {name for name in os.listdir(root)
             if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    for name in sorted(found - TOP_LEVEL):
        yield name, 0, "top-level", "does not belong at the top level"
    for name in sorted(TOP_LEVEL - found):
        yield name, 0, "top-level", "is missing at the top level"


def room_of(path):
    """The folder in a layer that a file stands in, or the layer itself."""
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def check_layering(path, line, included):
    layer = path.split("/")[0]
    target = included.split("/")[0]
    if layer not in LAYERS or target not in LAYERS or "/" not in included:
        return
    if target not in LAYERS[layer]:
        yield path, line, "layering", f"{layer} must not include {included}"
        return
    own_room, room = room_of(path), room_of(included)
    if layer in ("backend", "snapshotter") and room not in [own_room, *ROOMS.get(own_room, [])]:
        yield path, line, "layering", f"{own_room} must not include {included}"


def check_home(path, line, included):
    if path.startswith("tests/"):
        return
    for pattern, homes in HEADER_HOMES:
        if re.fullmatch(pattern, included) and not is_within(path, homes):
            yield path, line, "header-home", f"{included} belongs in {', '.join(homes)}"


def check_text(path, lines):
    is_code = path.endswith((".cc", ".h"))
    is_cmake = path.endswith((".cmake", "CMakeLists.txt"))
    for number, text in enumerate(lines, 1):
        include = INCLUDE.match(text) if is_code else None
        if path.endswith(".proto"):
            include = IMPORT.match(text)
        if include:
            yield from check_layering(path, number, include.group(1))
            yield from check_home(path, number, include.group(1))
        if UNFINISHED.search(text):
            yield path, number, "unfinished", "finish it or leave it out"
        if is_code and is_within(path, ["backend", "snapshotter", "cmd"]) and SLEEP.search(text):
            yield path, number, "sleep", "wait for a condition"
        if is_cmake and GLOB.search(text):
            yield path, number, "glob", "list the sources"


def check_shape(path, lines):
    if path.endswith(".cc") and len(lines) > SOURCE_MAX_LINES:
        yield path, len(lines), "size", f"more than {SOURCE_MAX_LINES} lines"
    if path.endswith(".h"):
        if len(lines) > HEADER_MAX_LINES:
            yield path, len(lines), "size", f"more than {HEADER_MAX_LINES} lines"
        if "#pragma once" not in lines:
            yield path, 1, "pragma-once", "has no #pragma once"


def lint(root):
    """All violations as (path, line, rule, message)."""
    violations = list(check_top_level(root))
    for path in source_files(root):
        with open(os.path.join(root, path), "rb") as file:
            content = file.read()
        if b"\0" in content:
            continue
        lines = content.decode("utf-8", "replace").splitlines()
        violations += check_text(path, lines)
        violations += check_shape(path, lines)
    return violations


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    violations = lint(sys.argv[1])
    for path, line, rule, message in violations:
        print(f"{path}:{line}: {rule}: {message}")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
