"""One node: a network namespace with a containerd and a snapshotter on roots of their own."""
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess

from harness.images import PAUSE
from harness.process import PATIENCE, Daemon, Failure, check, processes, run, wait_for
from harness.registry import ADDRESS, CountingProxy

_TEMPLATES = os.path.join(os.path.dirname(__file__), "..", "containerd")
_COLLECTED = ("snapshots", "images", "blobs", "records")  # below slackerd's root
_COUNTERS = '"msg":"counters"'
PLUGIN = "slacker"


class Tools:
    """Where the programs are. `build` is a CMake build directory, `containerd2` holds version 2."""

    def __init__(self, build, containerd2):
        self.build = build
        self.containerd2 = containerd2

    def ours(self, name):
        return f"{self.build}/bin/{name}"

    def containerd(self, version):
        """The directory of a containerd's binaries."""
        return "/usr/bin" if version == "1" else self.containerd2


class Node:
    """`snapshotter` is "slacker" or one of containerd's own; `store` is slackerd's store URL, and
    `settings` are further ones of its configuration, as TOML.

    A direct node is for measurements: it shares the test's own network, and nothing stands between it
    and the registry (`registry` and `network`, a namespace's path, are None). With a `link` the node
    reaches registry and store over that alone, and nothing is counted but by the link.
    """

    def __init__(self, tools, directory, containerd_version, store, snapshotter=PLUGIN,
                 direct=False, settings="", discards=False, link=None):
        self.tools, self.directory, self.version = tools, directory, containerd_version
        self.store, self.snapshotter = store, snapshotter
        self.root = f"{directory}/s"  # slackerd's
        self.socket = f"{directory}/c.sock"
        self.slackerd_socket = f"{directory}/s.sock"
        self.slackerd = self.containerd = None
        os.makedirs(self.root)
        self._network = self.network = self.registry = None
        self._link = link
        if not direct:
            self._separate_network()
        self._discards = discards
        self._write_configuration(settings, discards)

    def _separate_network(self):
        # Holds the network namespace while the node is "off".
        self._network = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{self._network.pid}/ns/net") != own, "a namespace")
        self._inside("ip", "link", "set", "lo", "up")
        self.network = f"/proc/{self._network.pid}/ns/net"
        if self._link:
            self._link.attach(self._network.pid, self.network)
        else:
            self.registry = CountingProxy(self.network)

    def enter(self, *command):
        """The command that runs `command` on the node's network."""
        if self._network is None:
            return list(command)
        return ["nsenter", f"--net=/proc/{self._network.pid}/ns/net", "--", *command]

    def _inside(self, *command):
        return run(*self.enter(*command))

    def _write_configuration(self, settings, discards):
        with open(f"{self.directory}/slackerd.toml", "w") as file:
            file.write(settings)
        hosts = f"{self.directory}/certs.d/_default"
        os.makedirs(hosts)
        server = f"http://{self._link.server if self._link else ADDRESS[0]}:{ADDRESS[1]}"
        with open(f"{hosts}/hosts.toml", "w") as file:
            file.write(f'server = "{server}"\n[host."{server}"]\n'
                       f'  capabilities = ["pull", "resolve"]\n')
        with open(f"{_TEMPLATES}/config-{self.version}.toml") as file:
            text = file.read()
        for word, value in (("@DIR@", self.directory), ("@SNAPSHOTTER@", self.snapshotter),
                            ("@SLACKERD@", self.slackerd_socket), ("@PAUSE@", PAUSE),
                            ("@DISCARDS@", str(discards).lower()),
                            ("@TRANSFERS@", str(not discards).lower())):
            text = text.replace(word, value)
        with open(f"{self.directory}/containerd.toml", "w") as file:
            file.write(text)

    def start(self):
        if self.snapshotter == PLUGIN:
            self.start_slackerd()
        self.start_containerd()

    def start_slackerd(self):
        self.slackerd = Daemon(
            "slackerd",
            self.enter(self.tools.ours("slackerd"), "--root", self.root, "--address",
                        self.slackerd_socket, "--config", f"{self.directory}/slackerd.toml",
                        "--store", self.store, "--log-level", "debug"),
            f"{self.directory}/slackerd.log")
        self.slackerd.await_ready(lambda: _accepts(self.slackerd_socket), "listens")

    def start_containerd(self):
        binaries = self.tools.containerd(self.version)
        # A shim is looked for in PATH before it is looked for beside containerd.
        path = f"{binaries}:/usr/sbin:/usr/bin:/sbin:/bin"
        self.containerd = Daemon(
            "containerd", self.enter(f"{binaries}/containerd", "-c",
                                      f"{self.directory}/containerd.toml"),
            f"{self.directory}/containerd.log", {"PATH": path})
        self.containerd.await_ready(self._containerd_answers, "answers")
        with open(f"{self.directory}/containerd.log") as log:
            itself = "Falling back to local image pull" in log.read()
        check(itself == (self._discards and self.version == "2"),
              "the transfer service pulls, unless layers are discarded")

    def _containerd_answers(self):
        """Also over CRI, which refuses every call until it has recovered what was there before."""
        return all(subprocess.run(command, capture_output=True).returncode == 0 for command in (
            [f"{self.tools.containerd(self.version)}/ctr", "-a", self.socket, "version"],
            [self.tools.ours("hellobench"), "remove", "--cri", self.socket, "--image", "none"]))

    def stop(self):
        """Containers first (they outlive containerd), then the daemons; the directories stay."""
        if self.containerd:
            self.remove_containers()
            self.containerd.stop()
            self.containerd = None
        if self.slackerd:
            self.slackerd.stop()
            self.slackerd = None

    def destroy(self):
        """The node and its namespace go; whoever looks for leaks looks after this."""
        self.remove_everything()
        self.stop()
        if self._network is None:
            return
        if self._link:
            self._link.detach()
        else:
            self.registry.stop()
        self._network.kill()
        self._network.wait()

    def power_off(self):
        """What a reboot does: every process ends at once, mounts and /run are gone."""
        self._end_at_once()
        self._forget_run()

    def cut_power(self, disk):
        """The same, and what was not written to its disk is lost."""
        for daemon in (self.containerd, self.slackerd):  # nothing more is made durable
            daemon.pause()
        disk.remember()
        self._end_at_once()
        disk.go_back()
        self._forget_run()

    def _end_at_once(self):
        shims = [pid for pid, command in processes().items() if self.socket in command]
        containers = [pid for pid in self._descendants(shims) if pid not in shims]
        for pid in [*shims, *containers]:
            _kill(pid)
        self.containerd.kill()
        self.containerd = None
        self.kill_slackerd_and_keeper()
        self._unmount_all()

    def _forget_run(self):
        for name in ("run", "c.sock", "c.sock.ttrpc", "s.sock"):
            path = f"{self.directory}/{name}"
            shutil.rmtree(path) if os.path.isdir(path) else _unlink(path)
        shutil.rmtree("/run/slacker", ignore_errors=True)

    @staticmethod
    def _descendants(pids):
        found, waiting = set(), list(pids)
        while waiting:
            pid = waiting.pop()
            found.add(pid)
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as file:
                    waiting += [int(child) for child in file.read().split()]
            except FileNotFoundError:
                continue
        return found

    def _unmount_all(self):
        while True:
            mine = [point for point in mount_points()
                    if point.startswith((self.directory + "/", "/run/slacker/"))]
            if not mine:
                return
            for point in reversed(mine):
                # Not canonicalised: that would ask a FUSE connection that is dead. What containerd started to
                # clean up after its shims may be faster.
                done = subprocess.run(["umount", "--lazy", "--no-canonicalize", point], capture_output=True, text=True)
                check(done.returncode == 0 or point not in mount_points(), f"{point} stays mounted: {done.stderr}")

    # What a client does.

    def hello(self, image, *command, **options):
        """hellobench's result of one run, as a map. Options: wait_output, if_missing, keep."""
        words = ["run", "--cri", self.socket, "--image", image.reference, "--json", "--timeout",
                 str(120 * PATIENCE)]
        if options.get("wait_output"):
            words += ["--wait-output", options["wait_output"]]
        words += [f"--{name.replace('_', '-')}" for name in ("if_missing", "keep")
                  if options.get(name)]
        return json.loads(run(self.tools.ours("hellobench"), *words, "--", *command))

    def remove_image(self, image):
        run(self.tools.ours("hellobench"), "remove", "--cri", self.socket, "--image",
            image.reference)

    def remove_sandbox(self, sandbox_id):
        """As the kubelet does, which asks again: where a container ends by itself at this very
        moment, containerd finds its shim gone, or has not heard of the end yet, and fails."""
        command = [self.tools.ours("hellobench"), "remove", "--cri", self.socket, "--sandbox",
                   sandbox_id]

        def removed():
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            check(done.returncode == 0 or
                  any(race in done.stderr for race in ("ttrpc: closed", "is still running, to stop first")),
                  f"sandbox {sandbox_id} cannot be removed: {done.stderr}")
            return done.returncode == 0
        wait_for(removed, f"the end of sandbox {sandbox_id}", 30)

    @staticmethod
    def container_log(result):
        """What a container that was kept has written until now."""
        with open(result["log_path"]) as file:
            return "".join(line.split(" ", 3)[3] for line in file if line.count(" ") >= 3)

    def pid_of(self, container):
        """Its first process, as the host sees it."""
        (task,) = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:] if container in line]
        return int(task[1])

    def remove_containers(self):
        """Ends what runs in containers, by force; containerd forgets them with its root."""
        for line in self.ctr("tasks", "ls").splitlines()[1:]:
            self.ctr("tasks", "rm", "--force", line.split()[0])
        for line in self.ctr("containers", "ls", "--quiet").splitlines():
            self.ctr("containers", "rm", line)

    def ctr(self, *words, namespace="k8s.io"):
        return run(f"{self.tools.containerd(self.version)}/ctr", "-a", self.socket, "-n", namespace,
                   *words)

    def forget_image(self, image):
        """Removes an image that another namespace of containerd holds from now on (until drop_image): what the
        snapshotter has of it stays, and the next pull is a whole one, manifest and all."""
        run(*self.enter(f"{self.tools.containerd(self.version)}/ctr", "-a", self.socket, "-n", "held",
                        "images", "pull", "--hosts-dir", f"{self.directory}/certs.d",
                        "--snapshotter", self.snapshotter, image.reference))
        self.remove_image(image)
        wait_for(lambda: image.chain_id not in self.snapshots(), "containerd to forget the image")

    def drop_image(self, image):
        self.ctr("images", "rm", "--sync", image.reference, namespace="held")

    def mount_view(self, image, target):
        """Mounts a read-only view of an image's tree; unmount_view undoes it."""
        wait_for(lambda: self._kept_view(_view_key(target), image.chain_id), "a view that stays")
        command = self._snapshots("mounts", target, _view_key(target)).split()
        os.makedirs(target, exist_ok=True)
        # mount(2) takes one page of options: long lists of directories are named from where they lie.
        options, directory = command[-1].split(","), "/"
        for number, option in enumerate(options):
            if option.startswith("lowerdir="):
                lowers = option.removeprefix("lowerdir=").split(":")
                directory = os.path.dirname(os.path.commonpath(lowers))
                options[number] = "lowerdir=" + ":".join(
                    os.path.relpath(lower, directory) for lower in lowers)
        run(*command[:-1], ",".join(options), cwd=directory)

    def _kept_view(self, key, chain_id):
        """Nothing refers to a view: until it has its label, containerd's collector may take it."""
        self._snapshots("view", key, chain_id)
        try:
            self._snapshots("label", key, "containerd.io/gc.root=test")
        except Failure:
            check(key not in self.snapshots(), f"{key} cannot be labelled")
            return False
        return True

    def unmount_view(self, target):
        run("umount", target)
        self._snapshots("rm", _view_key(target))

    def snapshots(self):
        """Keys and names that containerd knows."""
        return [line.split()[0] for line in self._snapshots("ls").splitlines()[1:]]

    def _snapshots(self, *words):
        return self.ctr("snapshots", "--snapshotter", self.snapshotter, *words)

    def counters(self):
        """What the living slackerd has counted since its start, by name."""
        before = len(self._counter_lines())
        self.slackerd.process.send_signal(signal.SIGUSR1)  # nsenter became it
        wait_for(lambda: len(self._counter_lines()) > before, "slackerd's counters")
        line = self._counter_lines()[-1]
        return {name: int(value) for name, value in json.loads(line).items() if value.isdigit()}

    def _counter_lines(self):
        """The last line of the log may still be on its way."""
        whole = self.slackerd.log().rpartition("\n")[0]
        return [line for line in whole.splitlines() if _COUNTERS in line]

    def bytes_from_store(self):
        """What slackerd read from the store, for pulls and for reads, as stored."""
        counters = self.counters()
        return sum(counters[f"{what}_store_bytes"] for what in ("pull", "boot", "fill"))

    def is_connected(self):
        """Whether containerd has found slackerd, which was started again."""
        try:
            self.snapshots()
        except Failure:
            return False
        return True

    def kill_slackerd(self):
        self.slackerd.kill()

    def kill_slackerd_and_keeper(self):
        """In this order: it would start another keeper."""
        self.slackerd.kill()
        self.slackerd = None
        for pid, command in processes().items():
            if "slackerd-keeper" in command:
                _kill(pid)
        wait_for(lambda: not any("slackerd" in command for command in processes().values()), "processes to end")

    def await_complete(self, image):
        """Until the loop devices of all layers of an image, the only one that was published, are on their cache files."""
        def loops():
            return loop_devices(f"{self.root}/blobs", _run_directory(self.root)).values()
        wait_for(lambda: [os.path.dirname(file) for file in loops()] == [f"{self.root}/blobs"] * len(image.layers),
                 "a complete image", 300, loops)
        sealed = self.counters()["blobs_sealed"]
        check(sealed == len(image.layers), f"{sealed} blobs are sealed")

    def remove_everything(self):
        """Containers and images; fails when slackerd keeps anything of them."""
        self.remove_containers()
        for name in self.ctr("images", "ls", "--quiet").split():
            self.ctr("images", "rm", "--sync", name)
        wait_for(lambda: not self.snapshots(), "containerd to forget the snapshots")
        if self.snapshotter == PLUGIN:
            wait_for(lambda: not self.kept(), "slackerd to remove what nobody needs", 30, self.kept)

    def collect_garbage(self):
        """Has containerd look at its snapshotter, which it does when something of it was removed."""
        self._snapshots("prepare", "collected")
        self._snapshots("rm", "collected")

    def kept(self):
        """What slackerd has of images and snapshots: files, directories, mounts, descriptors, loops."""
        kept = [f"{self.root}/{name}/{child}" for name in _COLLECTED
                for child in os.listdir(f"{self.root}/{name}") if not child.startswith(".new-")]  # spares
        kept += [point for point in mount_points() if point.startswith(self.root + "/")]
        kept += loop_devices(self.root, _run_directory(self.root)).items()
        for fd in os.listdir(f"/proc/{self.slackerd.pid}/fd"):
            target = _link(f"/proc/{self.slackerd.pid}/fd/{fd}")
            if target.startswith(tuple(f"{self.root}/{name}/" for name in _COLLECTED)):
                kept.append(target)
        return kept


def _view_key(target):
    return "view" + target.replace("/", "-")


def _link(path):
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def mounts():
    """Mount points by the number that a mount keeps, also where a directory above it gets another name."""
    with open("/proc/self/mountinfo", "rb") as file:
        return {int(line.split()[0]): line.split()[4].decode("unicode_escape") for line in file}


def mount_points():
    return list(mounts().values())


def _run_directory(root):
    """Where the slackerd of `root` has its FUSE mounts."""
    name = hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:16]
    return f"/run/slacker/{name}"


def run_directories():
    """Those of all nodes: other tests that run have a /run of their own."""
    names = os.listdir("/run/slacker") if os.path.isdir("/run/slacker") else []
    return [f"/run/slacker/{name}" for name in names]


def loop_devices(*directories):
    """{device: file} of the loop devices whose file lies below one of the directories."""
    ours = tuple(directory + "/" for directory in directories)
    found = {}
    for device in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{device}/loop/backing_file", errors="replace") as file:
                backing = file.read().strip()
        except OSError:
            continue
        if backing.startswith(ours):
            found[device] = backing
    return found


def _accepts(path):
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            return True
        except OSError:
            return False


def _kill(pid):
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass


def _unlink(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
