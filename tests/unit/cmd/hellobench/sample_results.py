"""Results as a large measurement leaves them: 57 images, four snapshotters, three repetitions, failures, names that are long or
hostile. The same every time.
"""
import json
import random
import tomllib

SYSTEMS = [("overlayfs", ""), ("slacker", "nfs"), ("slacker", "https"), ("stargz", "")]
HOSTILE = '</script><script>document.title="owned"</script><img src=https://example.invalid/x onerror="document.title=1">'
LONG = "an-image-with-a-name-that-no-screen-is-wide-enough-for-" + "x" * 60

_MACHINE = {"cpu": "Invented sample", "cpus": 2, "memory_bytes": 8329605120, "kernel": "6.18.2",
            "os": "Debian GNU/Linux 12 (bookworm)"}


def catalogue(path):
    with open(path, "rb") as file:
        return [(image["name"], image["category"], image["kind"]) for image in tomllib.load(file)["image"]]


def _phases(random_, image_bytes, system):
    """What the snapshotters are like, roughly: all of it is pulled, or what is read while it runs."""
    noise = random_.lognormvariate(0, 0.08)
    megabytes = image_bytes / 1e6
    run = 300 + 9 * megabytes ** 0.8
    by_system = {"overlayfs": (900 * megabytes ** 0.3, 90 * megabytes, run), "slacker/nfs": (150, 180, run * 1.3),
                 "slacker/https": (160, 190, run * 1.5), "stargz": (3000 + 250 * megabytes, 700 + 4 * megabytes, run * 2)}
    prepare, pull, ready = (value * noise for value in by_system[system])
    create = 60 * random_.lognormvariate(0, 0.1)
    factor = {"overlayfs": 1, "slacker/nfs": 1.05, "slacker/https": 0.98, "stargz": 1.4}[system]
    return {"prepare_ms": prepare, "pull_ms": pull, "create_ms": create, "ready_ms": ready, "total_ms": pull + create + ready,
            "second_ms": (create + run * 0.5) * factor * random_.lognormvariate(0, 0.06)}


def _session(link, seed):
    command = ["hellobench", "measure", "--snapshotter", "overlayfs,slacker,stargz", "--link", link, "it's"]
    return {"id": f"{link}-{seed}", "command": command, "seed": seed, "machine": _MACHINE,
            "versions": {"containerd": "2.1.4", "slackerd": "0.1.0", "stargz": "0.16.3"}}


def _preparation(link, seed, image, system, random_, image_bytes):
    """A push and what follows it, once for an image, before all runs."""
    (name, category, kind), (snapshotter, store) = image, system
    label = f"{snapshotter}/{store}" if store else snapshotter
    prepare = _phases(random_, image_bytes, label)["prepare_ms"]
    return {
        "schema": 2, "session": _session(link, seed),
        "setup": {"scenario": "prepare", "image": name, "category": category, "kind": kind, "snapshotter": snapshotter, "store": store,
                  "link": link, "server_cache": "dropped", "nodes": 1, "at_once": 1},
        "time": "2026-11-26T10:00:00Z", "position": 0, "repetition": 0, "node": 0, "container": 0, "image_bytes": image_bytes,
        "image_layers": 6, "error": "no space left" if (name, label) == ("cassandra", "stargz") else "",
        "phases": {} if (name, label) == ("cassandra", "stargz") else {"prepare_ms": prepare}, "traffic": {}, "daemons": [],
        "figures": [{"name": "prepare.bytes", "value": image_bytes, "unit": "bytes"}],
    }


def results(images, link="1gbit", repetitions=3, seed=7, slow=1.0):
    """A list of objects, one a run, in the order in which they ran."""
    random_ = random.Random(seed)
    sizes = {name: int(random_.lognormvariate(18.2, 0.9)) for name, _, _ in images}
    plan = [(image, system, repetition) for repetition in range(repetitions) for image in images for system in SYSTEMS]
    random_.shuffle(plan)
    runs = [_preparation(link, seed, image, system, random_, sizes[image[0]]) for image in images for system in SYSTEMS]
    for position, ((name, category, kind), (snapshotter, store), repetition) in enumerate(plan):
        system = f"{snapshotter}/{store}" if store else snapshotter
        phases = _phases(random_, sizes[name], system)
        del phases["prepare_ms"]
        if name == "hello-world" and store:
            phases["ready_ms"] += 900
            phases["total_ms"] += 900
        phases = {key: value * slow for key, value in phases.items()}
        whole = sizes[name] if system == "overlayfs" else int(sizes[name] * random_.uniform(0.03, 0.12))
        run = {
            "schema": 2,
            "session": _session(link, seed),
            "setup": {"scenario": "start", "image": name, "category": category, "kind": kind, "snapshotter": snapshotter,
                      "store": store, "link": link, "server_cache": "dropped", "nodes": 1, "at_once": 1},
            "time": f"2026-11-26T{10 + position // 360:02}:{position // 6 % 60:02}:{position % 6 * 10:02}Z",
            "position": position, "repetition": repetition, "node": 0, "container": 0, "image_bytes": sizes[name],
            "image_layers": 6, "error": "", "phases": phases,
            "traffic": {"received_bytes": int(whole * 1.04), "sent_bytes": whole // 40, "registry_bytes": whole,
                        "registry_requests": 9, **({"store_requests": 40 + whole // 500000} if store else {})},
            "disk_bytes": int(whole * 2.7),
            "daemons": [{"name": "containerd", "cpu_seconds": 0.2 + whole / 3e8, "peak_rss_bytes": 61_000_000},
                        {"name": snapshotter, "cpu_seconds": 0.1, "peak_rss_bytes": 30_000_000}],
            "figures": [],
        }
        if name == "redis":
            run["figures"] = [{"name": "GET", "value": 41000 / slow * random_.uniform(0.97, 1.03), "unit": "requests/s"}]
        if name in ("cassandra", "ghost") and snapshotter == "stargz" or name == "crux" and repetition == 1:
            run["error"] = "not ready within 300 s" if name != "ghost" else HOSTILE
            run["phases"] = {"pull_ms": phases["pull_ms"]}
        runs.append(run)
    return runs


def crowd(images, nodes, link="1gbit", seed=8):
    """Each of these images on several nodes at once."""
    runs = []
    for number, run in enumerate(results(images, link, 2, seed)):
        if run["setup"]["scenario"] == "prepare":
            continue
        for node in range(nodes):
            one = json.loads(json.dumps(run))
            one["setup"]["nodes"], one["node"], one["position"] = nodes, node, number
            one["session"]["id"] = f"crowd-{nodes}"
            factor = 1 + (nodes - 1) * (0.3 if run["setup"]["snapshotter"] == "overlayfs" else 0.02) + node / 50
            one["phases"] = {key: value * factor for key, value in one["phases"].items()}
            runs.append(one)
    return runs


def write(path, runs):
    with open(path, "w", encoding="utf-8") as file:
        for run in runs:
            file.write(json.dumps(run) + "\n")
