"""Directory trees of image layers, made from Debian packages. Needs root and network."""
import os
import shutil
import subprocess
import sys

_APT = ["-qq", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]


def _quiet(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")


def debootstrap(tree):
    """Debian's minimal base."""
    _quiet("debootstrap", "--variant=minbase", "bookworm", tree)
    shutil.rmtree(f"{tree}/var/cache/apt/archives")


def install(work, tree, lowers, packages):
    """One `apt-get install` in a container of its own, on the trees `lowers`, bottom first: what it
    changes is `tree`. `work` is a directory on the same file system."""
    name = os.path.basename(tree)
    scratch, merged = f"{work}/w-{name}", f"{work}/m-{name}"
    for directory in (tree, scratch, merged):
        os.mkdir(directory)
    script = (f"mount -t overlay overlay -o lowerdir={':'.join(reversed(lowers))},upperdir={tree},"
              f"workdir={scratch} {merged} && mount -t proc proc {merged}/proc && "
              f"exec chroot {merged} sh -c '"
              f"apt-get -qq update && apt-get install {' '.join(_APT)} {' '.join(packages)} && "
              f"rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives'")
    environment = {"PATH": os.environ["PATH"], "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    _quiet("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script,
           env=environment)
