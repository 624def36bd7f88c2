"""Everything that a node does, at random and for long: in the end it holds what it held at first.

SLACKER_SOAK_SECONDS says how long (60), SLACKER_SOAK_SEED which steps: the sequence is the same for the
same seed, what they meet in each other's midst is not.

One half of the time slackerd, its keeper or both in turn are killed now and then; afterwards descriptors,
threads, mounts, loop devices, FUSE connections, processes and files must be those of before. In the other
half slackerd lives, and its memory, as it is after a warm-up with everything removed, must not have grown
at the end, again with everything removed.
"""
import collections
import os
import random
import subprocess
import threading
import time

from harness import soak_images
from harness.figures import Figures, difference
from harness.own_images import OwnImages
from harness.process import check, run as run_command, wait_for
from harness.soak_load import Load, kill_keeper

_SECONDS = int(os.environ.get("SLACKER_SOAK_SECONDS", "60"))
_SEED = int(os.environ.get("SLACKER_SOAK_SEED") or int.from_bytes(os.urandom(4), "little"))
_MOST_RUNNING = 6
_ORDINARY = 2  # of the images: never published
_WARM_UP = 1 / 2  # of the half in which slackerd lives
_LEAST_STEPS = 10
# What the allocator comes to hold in the first minutes is no leak; the long run tells.
_GROWTH, _SETTLING_KIB = 0.05, 0 if _SECONDS >= 600 else 6 << 10
# All images together have some 40 MiB: eviction and completion are at work all the time.
_SETTINGS = "[cache]\nmax_bytes = 25165824\n"


class _Soak:
    def __init__(self, world):
        self.world, self.choice = world, random.Random(_SEED)
        world.empty_registry()
        self.images = soak_images.push(OwnImages(f"{world.directory}/images"))
        self.published = self.images[_ORDINARY:]
        for image in self.published:
            world.publish(image)
        self.node = world.node(settings=world.home.settings + _SETTINGS)
        self.figures = Figures(self.node)
        self.load = Load(self.node, self.choice)
        self.done = collections.Counter()
        self.met = self.resent = 0  # starts that failed as slackerd died in their midst; reads that did not

    # The steps. Each leaves the node in a state in which all others can be made.

    def start(self):
        images = self.choice.choices(self.images, k=self.choice.choice((1, 1, 1, 3)))
        self._make_room(len(images))
        self._start(images)

    def _start(self, images):
        errors = self.load.start(images)
        check(not errors, "\n".join(errors))

    def _make_room(self, wanted):
        excess = len(self.load.running) + wanted - _MOST_RUNNING
        if excess > 0:
            self._remove(excess)

    def _remove(self, number):
        chosen = self.choice.sample(self.load.running, min(number, len(self.load.running)))
        self.load.remove(chosen, kill=self.choice.random() < 0.5)

    def remove(self):
        self._remove(self.choice.choice((1, 1, 2, 4)))

    def remove_image(self):
        used = {running.image.number for running in self.load.running}
        image = self.choice.choice(self.images)
        if image.number not in used:
            self.node.remove_image(image)

    def view(self):
        """Without a container: a snapshot of what an image is, read as root, gone."""
        image = self.choice.choice(self.images)
        if image.chain_id not in self.node.snapshots():
            return
        target = f"{self.node.directory}/view"
        self.node.mount_view(image, target)
        wrong = [path for path in self.choice.sample(sorted(image.sums), min(5, len(image.sums)))
                 if run_command("sha256sum", f"{target}/{path}").split()[0] != image.sums[path]]
        self.node.unmount_view(target)
        check(not wrong, f"wrong in the view of {image.reference}: {wrong}")

    def kill_reader(self):
        """In the middle of a cold read, in a container that goes on."""
        if not self.load.running:
            return
        running = self.choice.choice(self.load.running)
        path = self.choice.choice(sorted(running.image.sums))
        reader = subprocess.Popen(["dd", f"if=/proc/{running.pid}/root/{path}", "of=/dev/null",
                                   "bs=4096", "status=none"], stderr=subprocess.DEVNULL)
        time.sleep(self.choice.uniform(0, 0.003))  # anywhere in its life, the seed says where
        reader.kill()
        reader.wait()

    def collect(self):
        self.node.ctr("content", "prune", "references")

    def upkeep(self):
        """Of the store, under the node: packs move, an image goes out of it and comes back."""
        ctl, store = self.world.tools.ours("slackerctl"), ("--store", self.world.store)
        what = self.choice.choice(("gc", "compact", "again"))
        if what == "again":
            image = self.choice.choice(self.published)
            run_command(ctl, "rm", image.reference, *store)
            self.world.publish(image)
        else:
            run_command(ctl, what, *store)

    def scrub(self):
        run_command(self.world.tools.ours("slackerctl"), "scrub", "--address",
                    self.node.slackerd_socket)

    # And those that end a life.

    def die(self):
        self._come_back(self.node.kill_slackerd)

    def die_in_the_midst(self):
        """While containers are started and removed."""
        images = self.choice.choices(self.images, k=2)
        self._make_room(2)
        errors = []
        starts = threading.Thread(target=lambda: errors.extend(self.load.start(images)))
        starts.start()
        time.sleep(self.choice.uniform(0, 1.0))  # anywhere in their lives, the seed says where
        self._come_back(self.node.kill_slackerd)
        starts.join()
        # They say so, and may be asked for again; but none that came to run was wrong, or hung.
        check(not [error for error in errors if "it wrote:" in error], "\n".join(errors))
        self.met += len(errors)

    def upgrade(self):
        self._come_back(self.node.slackerd.stop)

    def kill_keeper(self):
        kill_keeper()

    def _come_back(self, end):
        end()
        self.node.start_slackerd()
        wait_for(self.node.is_connected, "containerd to be connected again")
        self.resent += self.node.counters()["fuse_resent"]

    # And their sequence.

    def steps(self, until, deadly):
        calm = {self.start: 6, self.remove: 3, self.remove_image: 2, self.view: 2, self.kill_reader: 3,
                self.collect: 1, self.upkeep: 1, self.scrub: 1}
        deaths = {self.die: 1, self.die_in_the_midst: 2, self.upgrade: 1, self.kill_keeper: 1}
        weights = {**calm, **deaths} if deadly else calm
        # Each death once, whatever chance has in mind.
        first = self.choice.sample(list(deaths), len(deaths)) if deadly else []
        made = 0
        while first or time.monotonic() < until or made < _LEAST_STEPS:
            made += 1
            if first and made % 3 == 0:
                step = first.pop()
            else:
                (step,) = self.choice.choices(list(weights), list(weights.values()))
            self.done[step.__name__] += 1
            try:
                step()
            except Exception:
                print(f"in step {sum(self.done.values())}, {step.__name__}")
                raise
            self.load.check()
            self.figures.look()

    def every_image_once(self):
        for image in self.images:
            self._start([image])
            self.figures.look()

    def every_image_at_once(self):
        """The most that the steps ask for, and more: what the allocator keeps of it is no growth later."""
        self.remove_all()
        self._start(self.images)
        self.remove_all()

    def remove_all(self):
        self.load.remove(list(self.load.running), kill=False)
        self.node.remove_everything()

    def settled_figures(self):
        """Twice the same, without what slackerd has for a while only: files of sysfs, the thread that looks
        through its caches after a start."""
        taken = [self.figures.take()]

        def settled():
            taken.append(self.figures.take())
            return taken[-1] == taken[-2] and not any("slk-record" in what for what in taken[-1])
        wait_for(settled, "figures that stay")
        return taken[-1]

    def check_figures(self, before, what):
        wait_for(lambda: not difference(before, self.figures.take()), f"{what}: what was held before",
                 60, lambda: difference(before, self.figures.take()))
        loops, connections = self.figures.seen()
        print(f"{what}: as before; {loops} loop devices and {connections} FUSE connections have come and gone")


def _run(soak):
    soak.every_image_once()
    # slackerd opens the store once more, for good, when it first has a lease to write.
    leases = f"{soak.world.store_directory}/leases"
    wait_for(lambda: os.path.isdir(leases) and os.listdir(leases), "the node's lease")
    soak.remove_all()
    before = soak.settled_figures()
    check(before["FUSE connections"] == 1 and soak.figures.seen()[0] > len(soak.images),
          f"what is counted is not what is there: {before}, {soak.figures.seen()}")
    print(f"held after every image once: {sum(before.values())} things of {len(before)} kinds")
    soak.steps(time.monotonic() + _SECONDS / 2, deadly=True)
    soak.remove_all()
    soak.check_figures(before, "after deaths")

    half = time.monotonic()
    soak.every_image_at_once()
    soak.steps(half + _SECONDS / 2 * _WARM_UP, deadly=False)
    soak.remove_all()
    warm = {program: soak.figures.memory(program) for program in ("slackerd", "slackerd-keeper")}
    soak.steps(half + _SECONDS / 2, deadly=False)
    soak.remove_all()
    soak.check_figures(before, "in the end")
    for program, memory in warm.items():
        now = soak.figures.memory(program)
        print(f"{program}: KiB after the warm-up {memory}, in the end {now}")
        check(now["VmRSS"] - memory["VmRSS"] <= max(_GROWTH * memory["VmRSS"], _SETTLING_KIB),
              f"{program} has grown: {memory}, {now}")
    check(soak.load.reads > 100, f"only {soak.load.reads} files were read beside the containers")


def run(world):
    print(f"SLACKER_SOAK_SEED={_SEED} SLACKER_SOAK_SECONDS={_SECONDS}", flush=True)
    soak = _Soak(world)
    try:
        _run(soak)
        soak.load.end()
        soak.figures.close()
    finally:
        print(f"steps {dict(soak.done)}; {soak.load.reads} files read by readers beside them; "
              f"{soak.resent} reads met a death and were sent again, {soak.met} starts met one and failed")
