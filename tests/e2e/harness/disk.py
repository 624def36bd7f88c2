"""A small disk of a node's own."""
import contextlib
import os
import subprocess

from harness.process import check, run, wait_for


class Disk:
    """ext4 in a file of `mib` MiB."""

    def __init__(self, path, mib):
        self._file, self._point = path, None
        with open(path, "wb") as file:
            file.truncate(mib << 20)
        # The kernel would go on making it for minutes.
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", path)

    def mount(self, point):
        self._point = point
        os.makedirs(point, exist_ok=True)
        run("mount", "-o", "loop", self._file, point)

    def unmount(self):
        """Once what the daemons have started to clean up has ended."""
        wait_for(lambda: subprocess.run(["umount", self._point], capture_output=True).returncode == 0,
                 f"{self._point} to be used by nobody", 15)

    def free(self):
        """Bytes that can be written."""
        status = os.statvfs(self._point)
        return status.f_bavail * status.f_frsize

    def remember(self):
        """What has been written to it; of files, the kernel has more in its memory: that there is a loss is looked at."""
        copy = ("cp", "--sparse=always", self._file, f"{self._file}.remembered")
        # What is written in the midst of the copy might be in it without what was written before.
        wait_for(lambda: self._is_quiet_during(copy), "a moment without a write")

    def go_back(self):
        """To what was remembered, and nothing else."""
        run("umount", "--lazy", self._point)
        os.rename(f"{self._file}.remembered", self._file)
        self.mount(self._point)
        with open(self._marker()) as file:
            check(file.read() == "", "the file system had written everything: nothing was lost")

    def _marker(self):
        return f"{self._point}/only-in-memory"

    def _is_quiet_during(self, command):
        # The name reaches the disk, the content only when the kernel writes what is half a minute old.
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._marker())  # ext4 writes soon what takes the place of something
        with open(self._marker(), "w") as file:
            os.fsync(file.fileno())
            file.write("lost")
        before = self._written()
        run(*command)
        return self._written() == before

    def _written(self):
        """How many writes have ended; while others have not, something that is equal to nothing."""
        number = os.stat(self._point).st_dev
        with open(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat") as file:
            fields = file.read().split()
        return object() if fields[8] != "0" else fields[4]
