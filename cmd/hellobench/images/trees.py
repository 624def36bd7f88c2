"""The trees of layers. Needs root, and network for packages.

Two builds from the same packages give the same bytes: what a build writes has one time, and what is
different every time (logs, caches, the day of a password) goes.
"""
import glob
import os
import shutil
import stat
import subprocess
import tempfile
import time

import debian_layers
import fetch
import keystore
from recipes import HERE, Wrong

_TIME_NS = 1_700_000_000 * 10**9  # of everything that a build writes
_APT = "-qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=3"
_FETCHED = "/dev/fetched"
_PIP = "--quiet --no-deps --no-build-isolation --no-cache-dir --break-system-packages --root-user-action=ignore"
_CLEAN = ("rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives /var/cache/fontconfig/* /var/cache/man/* "
          "/var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/ldconfig/aux-cache /root/.cache /tmp/* /var/tmp/* "
          "/etc/*- /var/log/apt /var/log/alternatives.log /var/log/bootstrap.log /var/log/dpkg.log /var/log/faillog "
          "/var/log/lastlog /var/log/fontconfig.log && "
          # The day on which an account was made.
          "if [ -f /etc/shadow ]; then sed -i -E 's/^([^:]*:[^:]*):[0-9]+:/\\1:19675:/' /etc/shadow; fi; "
          # Where a file of configuration lay while it was installed.
          "if grep -qs '= /tmp/' /var/cache/debconf/config.dat; then sed -i 's#= /tmp/.*#= /tmp#' /var/cache/debconf/config.dat; fi")


def _run(*command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **options)
    if done.returncode != 0:
        raise Wrong(f"{' '.join(command)[:200]}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def make(layer, tree, lowers, cache):
    """Makes the tree of a layer on the trees `lowers`, bottom first. On overlayfs, so `tree` has its
    whiteouts and marks. What is fetched for it is kept in `cache`."""
    began = time.time_ns()
    os.umask(0o022)
    if "debootstrap" in layer:
        debian_layers.debootstrap(tree)
        _forget_this_machine(tree)
    else:
        os.makedirs(tree)
    for place, what in layer.get("artifacts", {}).items():
        fetch.unpack(fetch.fetch(what, cache), os.path.join(tree, place))
    if "folder" in layer:
        _lay_over(os.path.join(HERE, layer["folder"]), tree)
    _take_modes(tree, lowers)
    if layer.get("unpack"):
        _unpack(layer["unpack"], tree)
    if "applets" in layer:
        _link_applets(os.path.join(tree, layer["applets"]))
    for place, source in layer.get("compile", {}).items():
        _compile(os.path.join(HERE, source), os.path.join(tree, place))
    for place, mode in layer.get("directories", {}).items():
        os.makedirs(os.path.join(tree, place), exist_ok=True)
        os.chmod(os.path.join(tree, place), int(mode, 8))
    for place, target in layer.get("links", {}).items():
        os.makedirs(os.path.dirname(os.path.join(tree, place)), exist_ok=True)
        os.symlink(target, os.path.join(tree, place))
    if _script(layer) or "debootstrap" in layer:
        _run_inside(_script(layer), tree, lowers, [fetch.fetch(what, cache) for what in layer.get("pip", [])])
    _settle_keystore(f"{tree}/etc/ssl/certs/java/cacerts")
    _settle(tree, began)


def _forget_this_machine(tree):
    """debootstrap copies how this machine is called and whom it asks for names; containers get theirs."""
    os.unlink(f"{tree}/etc/hostname")
    with open(f"{tree}/etc/resolv.conf", "w"):
        pass
    os.chmod(f"{tree}/etc/resolv.conf", 0o644)


def _lay_over(folder, tree):
    """Copies files, whose modes and times are not those that they happen to have here."""
    for directory, _, names in os.walk(folder):
        place = os.path.normpath(os.path.join(tree, os.path.relpath(directory, folder)))
        os.makedirs(place, exist_ok=True)
        for name in names:
            program = os.access(os.path.join(directory, name), os.X_OK)
            shutil.copyfile(os.path.join(directory, name), os.path.join(place, name))
            os.chmod(os.path.join(place, name), 0o755 if program else 0o644)


def _take_modes(tree, lowers):
    """Directories that are there already stay as they are: on overlayfs the uppermost one counts."""
    for directory, folders, _ in os.walk(tree):
        for folder in folders:
            place = os.path.join(directory, folder)
            below = [path for path in (os.path.join(lower, os.path.relpath(place, tree)) for lower in reversed(lowers))
                     if os.path.isdir(path) and not os.path.islink(path)]
            if below:
                found = os.stat(below[0])
                os.chown(place, found.st_uid, found.st_gid)
                os.chmod(place, stat.S_IMODE(found.st_mode))


def _script(layer):
    steps = [layer["before"]] if "before" in layer else []
    if layer.get("packages"):
        steps.append(f"apt-get -qq update && apt-get install {_APT} {' '.join(layer['packages'])}")
    if layer.get("pip"):
        steps.append(f"for package in {_FETCHED}/*/*; do PYTHONHASHSEED=0 PIP_NO_INDEX=1 pip3 install {_PIP} $package; done")
    return steps + ([layer["after"]] if "after" in layer else [])


def _run_inside(steps, tree, lowers, fetched):
    """Shell scripts in a container of their own: what they change is `tree`. The directories `fetched`
    are below _FETCHED, which is in no image."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(tree)) as work:
        for name in ("work", "merged"):
            os.mkdir(f"{work}/{name}")
        with open(f"{work}/script", "w") as file:
            file.write("set -e\n" + "\n".join(f"({step}\n)" for step in [*steps, _CLEAN]))
        lower = ":".join(reversed(lowers)) if lowers else f"{work}/work"
        mount = (f"mount -t overlay overlay -o lowerdir={lower},upperdir={tree},workdir={work}/work {work}/merged"
                 if lowers else f"mount --bind {tree} {work}/merged")
        script = (f"{mount} && mount -t proc proc {work}/merged/proc && mount -t tmpfs tmpfs {work}/merged/dev && "
                  "for node in null zero full random urandom tty; do "
                  f"touch {work}/merged/dev/$node && mount --bind /dev/$node {work}/merged/dev/$node; done && "
                  f"ln -s /proc/self/fd {work}/merged/dev/fd && mount --bind /etc/resolv.conf {work}/merged/etc/resolv.conf && "
                  f"{_mount_fetched(fetched, f'{work}/merged{_FETCHED}')}"
                  f"exec chroot {work}/merged sh -s < {work}/script")
        # None of the caller's settings is in an image.
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                       "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "HOME": "/root",
                       "SOURCE_DATE_EPOCH": str(_TIME_NS // 10**9)}
        _run("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, env=environment)


def _mount_fetched(directories, place):
    places = [f"{place}/{number:03}" for number in range(len(directories))]
    return "".join(f"mkdir -p {target} && mount --bind {source} {target} && " for source, target in zip(directories, places))


def _unpack(packages, tree):
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)  # apt downloads as a user of its own
        _run("apt-get", "-qq", "download", "-o", "APT::Sandbox::User=root", *packages, cwd=work)
        for package in sorted(glob.glob(f"{work}/*.deb")):
            _run("dpkg-deb", "--extract", package, tree)
    shutil.rmtree(f"{tree}/usr", ignore_errors=True)  # manuals and licences


def _link_applets(busybox):
    for applet in _run(busybox, "--list").split():
        place = os.path.join(os.path.dirname(busybox), applet)
        if not os.path.lexists(place):
            os.link(busybox, place)


def _compile(source, program):
    os.makedirs(os.path.dirname(program), exist_ok=True)
    _run("cc", "-static", "-nostdlib", "-ffreestanding", "-fno-asynchronous-unwind-tables", "-fno-stack-protector", "-fcf-protection=none",
         "-Os", "-s", "-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-o", program, source)


def _settle_keystore(path):
    if os.path.isfile(path):
        try:
            with open(path, "rb") as file:
                data = keystore.settle(file.read(), _TIME_NS // 10**6)
        except ValueError as error:
            raise Wrong(f"{path}: {error}") from None
        with open(path, "wb") as file:
            file.write(data)


def _settle(tree, began):
    """What was written since `began` gets one time."""
    os.utime(tree, ns=(_TIME_NS, _TIME_NS))
    for directory, folders, names in os.walk(tree):
        for name in [*folders, *names]:
            path = os.path.join(directory, name)
            if os.lstat(path).st_mtime_ns >= began:
                os.utime(path, ns=(_TIME_NS, _TIME_NS), follow_symlinks=False)
