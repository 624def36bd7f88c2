"""Software that Maven Central, npm and PyPI have, for layers.

It is fetched on this machine by the registries' own clients, which know its mirrors, proxies and
certificates. What arrives must have the digest that the recipe names, and is kept under that digest.
"""
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile

# "CLIENT NAME sha256:HEX". A name with a version is one archive; "+" before it: with all that it needs,
# "++": as a repository of Maven's.
_WORDS = re.compile(r"(maven|npm|pypi) (\+{0,2})([^\s+]\S*) sha256:([0-9a-f]{64})")
_NAMES = {"maven": re.compile(r"[\w.-]+(:[\w.-]+){2,4}"), "npm": re.compile(r"(@[\w.-]+/)?[\w.-]+@[\w.-]+"),
          "pypi": re.compile(r"[\w.-]+==[\w.]+")}
_TIME_LIMIT_SECONDS = 1800
_MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:2.8"  # which files there are is its choice
_NPM_DAY = "2026-11-20"  # what a package of npm needs is taken as it was on this day


class Failed(Exception):
    """It cannot be had, or is something else than what the recipe means."""


def wrong(text):
    """What is wrong with the words, None if nothing is."""
    found = _WORDS.fullmatch(text) if isinstance(text, str) else None
    if not found or not _NAMES[found[1]].fullmatch(found[3]):
        return f"{text}: must be \"maven G:A:V[:TYPE[:CLASSIFIER]]\", \"npm NAME@VERSION\" or \"pypi NAME==VERSION\", and sha256:DIGEST"
    if len(found[2]) > {"maven": 2, "npm": 1, "pypi": 0}[found[1]]:
        return f"{text}: {found[1]} does not go with {found[2]}"
    return None


def fetch(text, cache):
    """A directory in `cache` that has the file, or the files, that `text` names."""
    client, more, name, digest = _WORDS.fullmatch(text).groups()
    place = f"{cache}/fetched-{digest}"
    if os.path.exists(place):
        return place
    with tempfile.TemporaryDirectory(dir=cache) as work:
        os.mkdir(f"{work}/files")
        found = _CLIENTS[client](name, more, f"{work}/files", work) or digest_of(f"{work}/files")
        if found != digest:
            raise Failed(f"{client} {name} has the digest sha256:{found} instead of sha256:{digest}")
        os.rename(f"{work}/files", place)
    return place


def unpack(directory, place):
    """Lays what was fetched at `place`: an archive without its one outer directory, else the files."""
    os.makedirs(place, exist_ok=True)
    names = os.listdir(directory)
    archive = f"{directory}/{names[0]}"
    if len(names) == 1 and archive.endswith((".tar.gz", ".tgz")):
        _untar(archive, place)
    elif len(names) == 1 and archive.endswith(".zip"):
        _unzip(archive, place)
    else:
        shutil.copytree(directory, place, symlinks=True, dirs_exist_ok=True)
        _touch(place)  # when it was fetched is not its own time


def _touch(place):
    os.utime(place)
    for directory, folders, names in os.walk(place):
        for name in [*folders, *names]:
            os.utime(os.path.join(directory, name), follow_symlinks=False)


def _untar(archive, place):
    _call("tar", "--extract", "--gzip", "--strip-components=1", "--no-same-owner", "--no-same-permissions", "--file", archive,
          "--directory", place)


def _unzip(archive, place):
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            name = entry.filename.partition("/")[2]
            if not name or ".." in name.split("/"):
                continue
            path = os.path.join(place, name)
            if entry.is_dir():
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with opened.open(entry) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target)
            os.chmod(path, 0o755 if entry.external_attr >> 16 & 0o100 else 0o644)


def digest_of(directory):
    """A single file's, or else that of what sha256sum writes of all files in the order of their names."""
    names = sorted(name for name in glob.glob("**", root_dir=directory, recursive=True, include_hidden=True)
                   if os.path.isfile(f"{directory}/{name}"))
    lines = [(_sha256(f"{directory}/{name}"), name) for name in names]
    return lines[0][0] if len(lines) == 1 else _digest_of_list(lines)


def _digest_of_list(lines):
    return hashlib.sha256("".join(f"{digest}  {name}\n" for digest, name in lines).encode()).hexdigest()


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _maven(name, more, files, work):
    group, artifact, version, *rest = name.split(":")
    rest = dict(zip(("type", "classifier"), rest))
    words = "".join(f"<{key}>{value}</{key}>" for key, value in
                    {"groupId": group, "artifactId": artifact, "version": version, **rest}.items())
    if not more:
        words += "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    with open(f"{work}/pom.xml", "w", encoding="utf-8") as file:
        file.write("<project><modelVersion>4.0.0</modelVersion><groupId>images</groupId><artifactId>image</artifactId>"
                   f"<version>1</version><dependencies><dependency>{words}</dependency></dependencies></project>")
    _call("mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", f"{work}/pom.xml", _MAVEN_PLUGIN + ":copy-dependencies",
          f"-DoutputDirectory={files}", "-DincludeScope=runtime", f"-Dmdep.useRepositoryLayout={str(more == '++').lower()}",
          f"-Dmdep.copyPom={str(more == '++').lower()}")
    for path in glob.glob(f"{files}/**/maven-metadata-local.xml", recursive=True):
        os.unlink(path)  # has the time


def _npm(name, more, files, work):
    _call("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", work if more else files, name, cwd=work)
    if not more:
        return None
    (archive,) = glob.glob(f"{work}/*.tgz")
    _untar(archive, files)
    # npm checks each package against the digest that the registry names for it.
    _call("npm", "install", "--silent", "--ignore-scripts", "--omit=dev", "--legacy-peer-deps", f"--before={_NPM_DAY}", cwd=files)
    os.unlink(f"{files}/package-lock.json")
    with open(f"{files}/node_modules/.package-lock.json", encoding="utf-8") as file:
        packages = json.load(file)["packages"]
    return _digest_of_list([(_sha256(archive), "package"),
                            *sorted((package["integrity"], place) for place, package in packages.items())])


def _pypi(name, _, files, work):
    _call("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", files, name, cwd=work)


_CLIENTS = {"maven": _maven, "npm": _npm, "pypi": _pypi}


def _call(*command, **options):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=_TIME_LIMIT_SECONDS, **options)
    except FileNotFoundError:
        raise Failed(f"{command[0]} is not installed, which fetches it") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: took more than {_TIME_LIMIT_SECONDS} s") from None
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-4000:]}")
