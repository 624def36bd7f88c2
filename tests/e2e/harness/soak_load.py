"""What a soak does to a node: containers of its images, readers that know every digest, and deaths."""
import concurrent.futures
import hashlib
import os
import random
import threading

from harness.process import check, processes, wait_for

_HOST_READERS = 4
_PAUSE_SECONDS = 0.02  # between two reads of one reader: two cores have more to do than to hash

# Reads everything at its start, and again and again: a wrong byte is a line that says so.
CONTAINER = """
sha256sum -c /sums > /dev/null 2>/tmp/wrong && echo whole
while sha256sum -c /sums > /dev/null 2>/tmp/wrong; do usleep 300000; done
echo WRONG; cat /tmp/wrong; exec sleep 100000
"""


class Running:
    """One container, as the host sees it. Readers enter it; closing it waits for them."""

    def __init__(self, image, started, pid):
        self.image, self.started, self.pid, self.killed = image, started, pid, False
        self._changed, self._readers, self._closed = threading.Condition(), 0, False

    def read(self, path):
        """The file's digest, read through the container's own tree and then dropped from the page cache;
        None: the container is closed."""
        with self._changed:
            if self._closed:
                return None
            self._readers += 1
        try:
            try:
                file = open(f"/proc/{self.pid}/root/{path}", "rb")
            except (FileNotFoundError, ProcessLookupError):
                if self.killed:
                    return None
                raise
            with file:
                found = hashlib.sha256(file.read()).hexdigest()
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                return found
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._readers)


class Load:
    """The containers that run on a node, and the readers beside them. One thread changes them."""

    def __init__(self, node, choice):
        self._node = node
        self.running = []
        self.reads, self._wrong = 0, []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._readers = [threading.Thread(target=self._wander, args=(choice.random(),), daemon=True)
                         for _ in range(_HOST_READERS)]
        for reader in self._readers:
            reader.start()

    def _wander(self, seed):
        choice = random.Random(seed)
        while not self._stop.wait(_PAUSE_SECONDS):
            with self._lock:
                running = choice.choice(self.running) if self.running else None
            if running is None:
                continue
            path = choice.choice(sorted(running.image.sums))
            try:
                found = running.read(path)
            except OSError as error:
                found = str(error)
            if found is None:
                continue
            with self._lock:
                self.reads += 1
                if found != running.image.sums[path]:
                    self._wrong.append(f"{running.image.reference} {path}: {found}")

    def check(self):
        with self._lock:
            wrong = self._wrong[:5]
        check(not wrong, f"wrong reads: {wrong}")
        for running in self.running:
            log = self._node.container_log(running.started)
            check("WRONG" not in log, f"{running.image.reference}: {log}")

    def start(self, images):
        """A container of each, all at once; those that could not be started are returned as errors."""
        with concurrent.futures.ThreadPoolExecutor(max(1, len(images))) as pool:
            asked = [(image, pool.submit(self._start, image)) for image in images]
        return [str(future.exception()) for _, future in asked if future.exception()]

    def _start(self, image):
        started = self._node.hello(image, "sh", "-c", CONTAINER, wait_output="whole", keep=True,
                                   if_missing=True)
        check("whole" in started["output"], f"{image.reference}: {started}")
        running = Running(image, started, self._node.pid_of(started["container_id"]))
        with self._lock:
            self.running.append(running)

    def remove(self, chosen, kill):
        """All at once; `kill`: their processes end while they read."""
        with self._lock:
            self.running = [running for running in self.running if running not in chosen]
        for running in chosen:
            if kill:
                running.killed = True
                os.kill(running.pid, 9)
            running.close()
        with concurrent.futures.ThreadPoolExecutor(max(1, len(chosen))) as pool:
            list(pool.map(lambda one: self._node.remove_sandbox(one.started["sandbox_id"]), chosen))

    def end(self):
        self.remove(list(self.running), kill=False)
        self._stop.set()
        for reader in self._readers:
            reader.join()


def kill_keeper():
    """The only one there is. slackerd, which lives, must have another one before anything else dies."""
    old = keepers()
    for pid in old:
        os.kill(pid, 9)
    wait_for(lambda: keepers() and not keepers() & old, "another keeper")
    wait_for(_has_fuse, "the keeper to be given what it is to keep")


def keepers():
    return {pid for pid, command in processes().items()
            if os.path.basename(command.split(" ")[0]) == "slackerd-keeper"}


def _has_fuse():
    for pid in keepers():
        try:
            links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except FileNotFoundError:
            continue
        if "/dev/fuse" in links:
            return True
    return False
