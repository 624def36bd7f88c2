"""Every kind of task of hellobench, once as it should go and once for each way in which it fails: the
reason is said, the exit code is not 0, and nothing is left.
"""
import glob
import json
import os
import signal
import subprocess
import tempfile

from harness.images import PAUSE
from harness.process import check, wait_for
from harness.process import run as run_command
from harness.registry import ADDRESS

# name: (keys beside name, category and image; the image; what the failure says, or None)
_TASKS = {
    "echo": ("kind = 'E'", "small", None),
    "arguments": ("kind = 'A'\narguments = ['cat', '/hello']", "small", None),
    "script": ("kind = 'S'\nmounts = { '/src' = 'src' }\nenvironment = { WORD = 'made' }\n"
               "script = 'cd /src && cat input > output && echo $WORD >> output && cat output'", "small", None),
    "line": ("kind = 'W'\nready_line = 'ready to serve'\n"
             "arguments = ['sh', '-c', 'echo starting; echo now ready to serve >&2; exec sleep 1000']", "small", None),
    "port": ("kind = 'P'\nready_port = 8080\narguments = ['httpd', '-f', '-p', '8080']", "small", None),
    "entrypoint": ("kind = 'A'\ncommand = ['/bin/busybox', 'echo']\narguments = ['hello']", "pause", None),
    "command-missing": ("kind = 'A'\ncommand = ['none']", "small", "none"),
    "arguments-fail": ("kind = 'A'\narguments = ['cat', '/none']", "small", "ended with code 1"),
    "script-fails": ("kind = 'S'\nscript = 'echo before; exit 3'", "small", "ended with code 3"),
    "script-hangs": ("kind = 'S'\nscript = 'sleep 1000'\ntime_limit = '1s'", "small", "not ready within 1 s"),
    "line-never-comes": ("kind = 'W'\nready_line = 'ready'\ntime_limit = '1s'\n"
                         "arguments = ['sh', '-c', 'echo nearly; exec sleep 1000']", "small", "not ready within 1 s"),
    "line-crashes": ("kind = 'W'\nready_line = 'ready'\narguments = ['sh', '-c', 'echo gone; exit 2']", "small",
                     "ended with code 2"),
    "port-never-opens": ("kind = 'P'\nready_port = 8080\ntime_limit = '1s'\narguments = ['sleep', '1000']", "small",
                         "not ready within 1 s"),
    "port-crashes": ("kind = 'P'\nready_port = 8080\narguments = ['sh', '-c', 'exit 4']", "small", "ended with code 4"),
    "image-missing": ("kind = 'E'", "none", "PullImage"),
}
_OUTPUT = {"echo": "hello\n", "arguments": "hello from layer 2\n", "script": "given\nmade\n", "entrypoint": "hello\n"}


def run(world):
    node = world.node(snapshotter="overlayfs")
    catalogue = _write_catalogue(world)
    passing = [name for name, task in _TASKS.items() if task[2] is None]
    failing = [name for name in _TASKS if name not in passing]
    for results, code in ((_run(world, node, catalogue, passing), 0), (_run(world, node, catalogue, failing), 1)):
        check(results.returncode == code, f"exit code {results.returncode}: {results.stdout}{results.stderr}")
        for line in results.stdout.splitlines():
            _check_result(json.loads(line))
        names = [json.loads(line)["name"] for line in results.stdout.splitlines()]
        check(names == (failing if code else passing), f"these ran: {names}")
        _check_nothing_left(node)
    _interrupt(world, node, catalogue)
    _run_what_was_built(world, node)


def _write_catalogue(world):
    os.mkdir(f"{world.directory}/src")
    with open(f"{world.directory}/src/input", "w") as file:
        file.write("given\n")
    images = {name: world.image("small").reference.replace("/small:", f"/{name}:") for name in ("small", "none")}
    images["pause"] = PAUSE
    path = f"{world.directory}/catalogue.toml"
    with open(path, "w") as file:
        for name, (keys, image, _) in _TASKS.items():
            file.write(f"[[image]]\nname = '{name}'\ncategory = 'other'\nimage = '{images[image]}'\n{keys}\n")
    return path


def _command(world, node, catalogue, names):
    return node.enter(world.tools.ours("hellobench"), "run", "--cri", node.socket, "--catalogue", catalogue, "--json",
                      "--timeout", "60", *names)


def _run(world, node, catalogue, names):
    return subprocess.run(_command(world, node, catalogue, names), capture_output=True, text=True, timeout=300)


def _check_result(result):
    name = result["name"]
    reason = _TASKS[name][2]
    if reason is not None:
        check(reason in result.get("error", ""), f"{name}: not the reason that was expected: {result}")
        return
    check("error" not in result, f"{name}: {result}")
    check(result["output"] == _OUTPUT.get(name, result["output"]), f"{name} wrote {result['output']!r}")
    phases = [result[key] for key in ("pull_ms", "create_ms", "ready_ms")]
    check(min(phases) > 0 and result["total_ms"] >= sum(phases), f"{name}: phases {result}")
    print(f"{name}: pull, create, ready {phases}, in all {result['total_ms']} ms")


def _interrupt(world, node, catalogue):
    """Ctrl-C while a container is waited for."""
    with open(catalogue, "a") as file:
        file.write(f"[[image]]\nname = 'waits'\ncategory = 'other'\nimage = '{world.image('small').reference}'\n"
                   "kind = 'W'\nready_line = 'never'\narguments = ['sleep', '1000']\n")
    process = subprocess.Popen(_command(world, node, catalogue, ["waits", "echo"]), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: "RUNNING" in node.ctr("tasks", "ls"), "the container to run")
    process.send_signal(signal.SIGINT)  # nsenter became hellobench
    output, _ = process.communicate(timeout=60)
    check(process.returncode == 128 + signal.SIGINT, f"exit code {process.returncode} of an interrupted run: {output}")
    results = [json.loads(line) for line in output.splitlines()]
    check([result["error"] for result in results] == ["interrupted"], f"an interrupted run: {results}")
    _check_nothing_left(node)


def _run_what_was_built(world, node):
    """From the catalogue's recipes to containers, over a registry that has nothing else: every kind of task."""
    world.empty_registry()
    bench, registry = world.tools.ours("hellobench"), "%s:%d" % ADDRESS
    layout = f"{os.path.dirname(world.catalog.storage)}/built/layout"  # made before, where there is a network
    run_command(bench, "images", "push", "--from", layout, "--registry", registry)
    for name, output in (("hello-world", "Hello from a container"), ("busybox", "hello")):
        result = json.loads(run_command(*node.enter(bench, "run", "--cri", node.socket, "--registry", registry, "--json", name)))
        check(result["image"] == f"{registry}/hellobench/{name}:latest" and "error" not in result and
              result["output"].startswith(output), f"{name}: {result}")
    catalogue = _write_tasks_of_busybox(world, f"{registry}/hellobench/busybox:latest")
    names = ["built-script", "built-line", "built-port"]
    _check_all_ran(_run(world, node, catalogue, names), names)
    _check_nothing_left(node)
    _run_what_was_pulled(world, node, catalogue, layout)


def _write_tasks_of_busybox(world, image):
    path = f"{world.directory}/built.toml"
    with open(path, "w") as file:
        for name, task in (("script", "script"), ("line", "line"), ("port", "port")):
            keys = _TASKS[task][0].replace("'src'", f"'{world.directory}/src'")
            file.write(f"[[image]]\nname = 'built-{name}'\ncategory = 'other'\nimage = '{image}'\n{keys}\n")
    return path


def _check_all_ran(done, names):
    check(done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    check([result["name"] for result in results] == names, f"these ran: {results}")


def _run_what_was_pulled(world, node, catalogue, built):
    """From the registry into a layout, the same bytes, and from there once more."""
    bench, registry, layout = world.tools.ours("hellobench"), "%s:%d" % ADDRESS, f"{world.directory}/pulled"
    pull = [bench, "images", "pull", "--catalogue", catalogue, "--out", layout]
    told = run_command(*pull, "built-line")
    with open(f"{built}/index.json") as file:
        entries = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry for entry in json.load(file)["manifests"]}
    check(told.startswith(f"built-line: {entries['busybox']['digest']}, 1 layers"), f"not what was pushed: {told}")
    told = run_command(*pull, "built-line", "built-script")
    check(told.count(" 0.0 MB of it fetched") == 2, f"fetched again: {told}")
    world.empty_registry()
    check(subprocess.run([*pull, "built-port"], capture_output=True).returncode == 1, "pulled from an empty registry")
    run_command(bench, "images", "push", "built-line", "--from", layout, "--registry", registry)
    done = subprocess.run(node.enter(bench, "run", "--cri", node.socket, "--catalogue", catalogue, "--registry", registry, "--json",
                                     "built-line"), capture_output=True, text=True, timeout=300)
    _check_all_ran(done, ["built-line"])
    _check_nothing_left(node)


def _check_nothing_left(node):
    check(not node.ctr("containers", "ls", "--quiet").split(), "containers were left")
    check(not node.ctr("tasks", "ls", "--quiet").split(), "tasks were left")
    left = glob.glob(f"{tempfile.gettempdir()}/hellobench-*")
    check(not left, f"directories were left: {left}")
