"""Daemons, and waiting for conditions."""
import os
import signal
import subprocess
import time

# How many times longer than usual everything may take: in a machine that is emulated.
PATIENCE = int(os.environ.get("SLACKER_E2E_PATIENCE", "1"))


class Failure(Exception):
    """A test's own verdict; its text is all that is printed."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def wait_for(condition, what, seconds=60, seen=lambda: ""):
    """Returns condition()'s first true value; fails after so many seconds without one.

    seen() is added to the failure's text.
    """
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Failure(f"timed out waiting for {what} {seen()}")
        time.sleep(0.01)


def run(*command, **options):
    """Runs a command and returns its output; a failure shows everything that it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          errors="replace", **options)
    check(done.returncode == 0,
          f"{' '.join(str(word) for word in command)}: exit code {done.returncode}\n"
          f"{done.stdout}{done.stderr}")
    return done.stdout


def drop_caches():
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


class Daemon:
    """One process of ours, with its output in a file."""

    def __init__(self, name, command, log, environment=None):
        self.name, self.log_path = name, log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True, env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def await_ready(self, condition, what, seconds=60):
        def ready():
            check(self.running(), f"{self.name} ended at its start: {self.log()[-3000:]}")
            return condition()
        wait_for(ready, f"{self.name}: {what}", seconds)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM; fails when the process does not end."""
        if not self.running():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not end on SIGTERM: {self.log()[-3000:]}") from None

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()


def processes():
    """{pid: command line} of every process of this namespace that has not ended."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", errors="replace") as file:
                state = file.read().rpartition(") ")[2][0]
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            found[int(entry)] = command
    return found
