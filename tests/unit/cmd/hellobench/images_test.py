#!/usr/bin/env python3
"""How hellobench builds images: the recipes agree with the catalogue, wrong ones are refused, and what is
built is an OCI layout with the same bytes every time.   images_test.py SHARE HELLOBENCH
"""
import collections
import fcntl
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import unittest
import zipfile

SHARE, HELLOBENCH = sys.argv.pop(1), sys.argv.pop(1)
sys.path[:0] = [f"{SHARE}/images", SHARE]

import dedup  # noqa: E402
import fetch  # noqa: E402
import keystore  # noqa: E402
import layout  # noqa: E402
import oci_image  # noqa: E402
import recipes  # noqa: E402
import trees  # noqa: E402

def hellobench(*words):
    """What the program itself prints of images."""
    return subprocess.run([HELLOBENCH, "images", *words], check=True, capture_output=True, text=True).stdout


_MINIMAL = '[image.a]\n[[image.a.layer]]\nunpack = ["x"]\n'


class RecipesTest(unittest.TestCase):
    def setUp(self):
        self.recipes = recipes.load()
        with open(f"{SHARE}/catalogue.toml", "rb") as file:
            self.catalogue = {image["name"]: image for image in tomllib.load(file)["image"]}

    def test_every_image_of_the_catalogue_can_be_built_or_has_a_reason(self):
        self.assertEqual(sorted([*self.recipes.images, *self.recipes.unavailable]), sorted(self.catalogue))

    def test_what_can_be_built_covers_every_category_and_every_kind(self):
        self.assertGreaterEqual(len(self.recipes.images), 20)
        for key, all_of_them in (("category", 6), ("kind", 5)):
            found = collections.Counter(self.catalogue[name][key] for name in self.recipes.images)
            self.assertEqual(len(found), all_of_them, found)

    def test_images_share_their_lower_layers(self):
        gcc, python, nginx = (recipes.keys(self.recipes.layers(name)) for name in ("gcc", "python", "nginx"))
        self.assertEqual(gcc[:4], python[:4])
        self.assertEqual(gcc[0], nginx[0])
        self.assertNotEqual(gcc[1], nginx[1])

    def test_a_list_says_of_every_image_what_builds_it_or_why_nothing_does(self):
        listed = {line.split()[0]: line[20:] for line in hellobench("list").splitlines()}
        self.assertEqual(sorted(listed), sorted(self.catalogue))
        refused = {name for name, text in listed.items() if text.startswith("cannot be built: ")}
        self.assertEqual((len(listed), len(refused)), (57, 57 - 37))
        for name in listed.keys() - refused:
            self.assertRegex(listed[name], r"^\d+ layers, \w")
        self.assertRegex(listed["busybox"], "^1 layers, Debian$")

    def test_as_json_the_list_has_an_object_for_every_image(self):
        listed = json.loads(hellobench("list", "--json"))
        self.assertEqual(len({image["name"] for image in listed}), 57)
        buildable = [image for image in listed if "reason" not in image]
        self.assertEqual((len(listed), len(buildable)), (57, 37))
        for image in listed:
            with self.subTest(image["name"]):
                if image in buildable:
                    self.assertEqual(image["layers"], len(self.recipes.layers(image["name"])))
                    self.assertEqual(image["from"], self.recipes.origins(image["name"]))
                else:
                    self.assertEqual(image, {"name": image["name"], "reason": self.recipes.unavailable[image["name"]]})

    def test_an_image_says_whose_packages_it_has(self):
        self.assertEqual(self.recipes.origins("hello-world"), [])
        self.assertEqual(self.recipes.origins("busybox"), ["Debian"])
        self.assertEqual(self.recipes.origins("ghost"), ["Debian", "npm"])
        found = {origin for name in self.recipes.images for origin in self.recipes.origins(name)}
        self.assertEqual(found, {"Debian", "Maven Central", "npm", "PyPI"})


class WrongRecipesTest(unittest.TestCase):
    def check(self, text, message):
        with self.assertRaises(recipes.Wrong) as caught:
            recipes.Recipes(text)
        self.assertIn(message, str(caught.exception))

    def test_a_minimal_one_is_right(self):
        self.assertEqual(recipes.Recipes(_MINIMAL).images, ["a"])

    def test_wrong_ones_are_refused(self):
        self.check(_MINIMAL + "[other]\n", "other: unknown table")
        self.check(_MINIMAL.replace("[[", 'form = "b"\n[[', 1), "a.form: unknown key")
        self.check(_MINIMAL.replace("unpack", "unpacked"), "a.layer[0].unpacked: unknown key")
        self.check(_MINIMAL.replace('["x"]', '"x"'), "a.layer[0].unpack: must be a list")
        self.check(_MINIMAL.replace('"x"', '"x; rm"'), "x; rm is no package")
        self.check(_MINIMAL.replace("[[", 'from = "b"\n[[', 1), "there is no b")
        self.check(_MINIMAL.replace("[[", 'from = "a"\n[[', 1), "a stands on itself")
        self.check(_MINIMAL + 'folder = "none"\n', "there is no none")
        self.check(_MINIMAL + 'links = { "../x" = "y" }\n', "leaves the tree")
        self.check(_MINIMAL + '[unavailable]\na = "gone"\n', "unavailable.a: is an image, too")
        self.check(_MINIMAL + '[unavailable]\nb = ""\n', "unavailable.b: must be a reason")
        self.check("[image.a]\n", "an image without layers")
        self.check(_MINIMAL + 'pip = ["hy"]\n', "hy: must be")
        self.check(_MINIMAL + 'pip = ["pypi +hy==1 sha256:%s"]\n' % ("0" * 64), "pypi does not go with +")
        self.check(_MINIMAL + 'artifacts = { "x" = "npm node sha256:%s" }\n' % ("0" * 64), "must be")
        self.check(_MINIMAL + 'artifacts = { "/x" = "npm node@1 sha256:%s" }\n' % ("0" * 64), "leaves the tree")


class DedupTest(unittest.TestCase):
    """Two images with a layer in common, and files and blocks in common beside it."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.place = f"{directory.name}/layout"
        self.layout = layout.Layout(self.place)
        blocks = [hashlib.sha256(bytes([number])).digest() * 128 for number in range(5)]  # 4 KiB each
        base = self.layer(f"{directory.name}/base", {"a": blocks[0] + blocks[1], "empty": b""})
        first = self.layer(f"{directory.name}/first", {"b": blocks[2], "copy": blocks[0] + blocks[1]})
        second = self.layer(f"{directory.name}/second", {"c": blocks[1] + blocks[3], "d": blocks[4][:100]})
        self.layout.put("one", [base, first], {}, {})
        self.layout.put("two", [base, second], {}, {})

    @staticmethod
    def layer(path, files):
        written = oci_image.Layer(path)
        for name, data in files.items():
            with open(f"{path}.{name}", "wb") as file:
                file.write(data)
            written.add(name, data=(f"{path}.{name}", len(data)), mode=0o644)
        written.close()
        return {"path": path, "diff_id": written.diff_id, "digest": written.digest, "size": written.size}

    def test_layers_files_and_blocks_count_once(self):
        found = dedup.measure(self.layout, ["one", "two"])
        base, first, second = 8192, 4096 + 8192, 8192 + 100
        self.assertEqual(found["content_bytes"], 2 * base + first + second)
        self.assertEqual(found["unique_layers_bytes"], base + first + second)
        self.assertEqual(found["unique_files_bytes"], base + 4096 + second)
        self.assertEqual(found["unique_blocks_bytes"], 4 * 4096 + 100)
        self.assertEqual(found["files_ratio"], found["content_bytes"] / found["unique_files_bytes"])
        self.assertGreater(found["compressed_bytes"], found["compressed_layer_bytes"])
        self.assertEqual(found["images"], 2)

    def test_an_image_by_itself(self):
        found = dedup.measure(self.layout, ["two"])
        self.assertEqual(found["content_bytes"], 8192 + 8192 + 100)
        self.assertEqual(found["unique_blocks_bytes"], 3 * 4096 + 100)

    def test_what_the_paper_found_stands_beside_it(self):
        told, found = hellobench("dedup", "--from", self.place), dedup.measure(self.layout, ["one", "two"])
        self.assertIn("2 images", told)
        compressed = found["content_bytes"] / found["compressed_bytes"]
        for what, ratio, paper in (("images compressed", compressed, r"2\.3 - 2\.7 \(each image\)"),
                                   ("each layer once", found["layers_ratio"], ""), ("each file once", found["files_ratio"], r"2\.6"),
                                   ("each block of 4 KiB once", found["blocks_ratio"], r"2\.8")):
            self.assertRegex(told, f"(?m)^{what} +[0-9.]+ MB +{ratio:.2f}{paper and '  ' + paper}$")

    def test_as_json_it_is_an_object_of_the_images_that_were_named(self):
        self.assertEqual(json.loads(hellobench("dedup", "two", "--from", self.place, "--json")), dedup.measure(self.layout, ["two"]))


class BuildTest(unittest.TestCase):
    """With the one image that needs neither root nor network."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def images(self, *words, **options):
        return subprocess.run([f"{SHARE}/images/images", *words], capture_output=True, text=True, **options)

    def build(self, out, cache):
        done = self.images("build", "hello-world", "--out", f"{self.directory}/{out}", "--cache", f"{self.directory}/{cache}")
        self.assertEqual(done.returncode, 0, done.stderr)
        return layout.Layout(f"{self.directory}/{out}")

    def test_what_is_built_runs_and_has_the_same_bytes_every_time(self):
        first, second = self.build("1", "cache1"), self.build("2", "cache2")
        self.assertEqual(first.manifest("hello-world"), second.manifest("hello-world"))
        manifest = json.loads(first.manifest("hello-world"))
        for blob in [manifest["config"], *manifest["layers"]]:
            data = first.read(blob["digest"])
            self.assertEqual((len(data), "sha256:" + hashlib.sha256(data).hexdigest()), (blob["size"], blob["digest"]))
        with tarfile.open(first.blob(manifest["layers"][0]["digest"])) as tar:
            tar.extractall(self.directory)
        greeting = subprocess.run([f"{self.directory}/hello"], capture_output=True, text=True, check=True).stdout
        self.assertIn("Hello from a container", greeting)

    def test_a_layer_in_the_cache_is_not_made_again(self):
        self.build("1", "cache")
        (place,) = os.listdir(f"{self.directory}/cache")
        before = os.stat(f"{self.directory}/cache/{place}/layer.tar.gz").st_ino
        self.build("2", "cache")
        self.assertEqual(os.stat(f"{self.directory}/cache/{place}/layer.tar.gz").st_ino, before)

    def test_what_cannot_be_built_is_said_with_its_reason(self):
        done = self.images("build", "percona", "--out", self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("percona cannot be built: in none of the package registries", done.stderr)
        done = self.images("build", "nonsense", "--out", self.directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no nonsense", done.stderr)

    def test_a_layer_that_fails_leaves_nothing_in_the_cache_that_counts(self):
        with self.assertRaises(recipes.Wrong):
            trees.make({"compile": {"x": "recipes.toml"}}, f"{self.directory}/tree", [], self.directory)

    def with_apt_get(self, script):
        """An environment with one of the test's own."""
        os.mkdir(f"{self.directory}/bin")
        with open(f"{self.directory}/bin/apt-get", "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write("#!/bin/sh\n" + script)
        return {**os.environ, "PATH": f"{self.directory}/bin:{os.environ['PATH']}"}

    def test_an_image_that_fails_holds_up_no_other(self):
        done = self.images("build", "busybox", "hello-world", "--out", f"{self.directory}/out", "--cache", f"{self.directory}/cache",
                           env=self.with_apt_get("echo no mirror answers\nexit 100\n"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("busybox: apt-get", done.stderr)
        self.assertIn("no mirror answers", done.stderr)
        self.assertIn("not built: busybox", done.stderr)
        self.assertEqual(layout.Layout(f"{self.directory}/out").names(), ["hello-world"])

    def test_a_signal_ends_a_build_with_all_that_it_has_started_and_leaves_nothing(self):
        started = f"{self.directory}/started"
        environment = self.with_apt_get("touch $TMPDIR/file\nsetsid sh -c 'echo $$ > $STARTED.orphan; exec sleep 1000' &\n"
                                        "echo $$ > $STARTED.client\nexec sleep 1000\n")
        environment.update(STARTED=started, TMPDIR=f"{self.directory}/tmp")
        os.mkdir(environment["TMPDIR"])
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_DFL))  # it may have been ignored
            with self.subTest(number), subprocess.Popen(
                    [f"{SHARE}/images/images", "build", "hello-world", "busybox", "--out", f"{self.directory}/out", "--cache",
                     f"{self.directory}/cache"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                pids = [self.await_number(f"{started}.{name}", process) for name in ("client", "orphan")]
                process.send_signal(number)
                self.assertIn(b"interrupted", process.communicate()[1])
                self.assertEqual(process.returncode, 128 + number)
                self.assertEqual([pid for pid in pids if os.path.exists(f"/proc/{pid}")], [])
                (kept,) = os.listdir(f"{self.directory}/cache")
                self.assertEqual(sorted(os.listdir(f"{self.directory}/cache/{kept}")), ["layer.json", "layer.tar.gz", "tree"])
                self.assertEqual(os.listdir(environment["TMPDIR"]), [])
                self.assertEqual(layout.Layout(f"{self.directory}/out").names(), ["hello-world"])
                for name in ("client", "orphan"):
                    os.unlink(f"{started}.{name}")

    def await_number(self, path, process):
        """Once a line of that file has it."""
        while True:
            try:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
            except FileNotFoundError:
                text = ""
            if text.endswith("\n"):
                return int(text)
            self.assertIsNone(process.poll(), "it ended by itself")
            time.sleep(0.01)

    def test_builds_with_one_cache_wait_for_each_other(self):
        os.mkdir(f"{self.directory}/cache")
        other = os.open(f"{self.directory}/cache", os.O_RDONLY)
        fcntl.flock(other, fcntl.LOCK_EX)
        with subprocess.Popen([f"{SHARE}/images/images", "build", "hello-world", "--out", f"{self.directory}/out", "--cache",
                               f"{self.directory}/cache"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            self.assertIn(b"waiting for another build", process.stderr.readline())
            self.assertFalse(os.path.exists(f"{self.directory}/out"))
            os.close(other)
            process.communicate()
        self.assertEqual(process.returncode, 0)

    def test_what_a_killed_build_has_left_goes_with_the_next_one(self):
        for place in ("cache/new-1/tree", "cache/tmp1", "1/blobs/sha256"):
            os.makedirs(f"{self.directory}/{place}")
        with open(f"{self.directory}/1/blobs/sha256/0.new", "w", encoding="utf-8"):
            pass
        self.build("1", "cache")
        self.assertEqual(len(os.listdir(f"{self.directory}/cache")), 1)
        self.assertFalse(os.path.exists(f"{self.directory}/1/blobs/sha256/0.new"))

    def test_an_image_that_is_put_again_is_replaced_and_others_stay(self):
        built = self.build("1", "cache")
        manifest = json.loads(built.manifest("hello-world"))
        layer = {**manifest["layers"][0], "diff_id": "sha256:" + "0" * 64, "path": "/nonexistent"}
        built.put("other", [layer], {}, {})
        before = built.manifest("other")
        built.put("other", [layer], {"Cmd": ["x"]}, {})
        self.assertNotEqual(built.manifest("other"), before)
        self.assertEqual(built.names(), ["hello-world", "other"])


class FetchTest(unittest.TestCase):
    """With a client of the test's own, which writes what $PACKAGE is a path of, or fails without it."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        for name in ("bin", "cache", "app"):
            os.mkdir(f"{self.directory}/{name}")
        with open(f"{self.directory}/bin/npm", "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write("#!/bin/sh\n[ \"$1 $4\" = 'pack --pack-destination' ] || exit 2\n"
                       "[ -n \"$PACKAGE\" ] || { echo there is no $6; exit 1; }\ncp \"$PACKAGE\" \"$5\"\n")
        with open(f"{self.directory}/app/program", "w") as file:
            file.write("#!/bin/sh\n")
        os.chmod(f"{self.directory}/app/program", 0o755)
        self.package = f"{self.directory}/app-1.tgz"
        with tarfile.open(self.package, "w:gz") as tar:
            tar.add(f"{self.directory}/app", "package")
        with open(self.package, "rb") as file:
            self.digest = hashlib.sha256(file.read()).hexdigest()
        path = os.environ["PATH"]
        self.addCleanup(os.environ.update, PATH=path)
        os.environ.update(PATH=f"{self.directory}/bin:{path}", PACKAGE=self.package)
        self.addCleanup(os.environ.pop, "PACKAGE", None)

    def fetch(self, digest=None):
        return fetch.fetch(f"npm app@1 sha256:{digest or self.digest}", f"{self.directory}/cache")

    def check_failure(self, message, digest=None):
        with self.assertRaises(fetch.Failed) as caught:
            self.fetch(digest)
        self.assertIn(message, str(caught.exception))
        self.assertEqual(os.listdir(f"{self.directory}/cache"), [])

    def test_what_was_fetched_is_laid_out_and_not_fetched_again(self):
        fetch.unpack(self.fetch(), f"{self.directory}/tree/opt/app")
        self.assertEqual(os.listdir(f"{self.directory}/tree/opt/app"), ["program"])
        self.assertTrue(os.access(f"{self.directory}/tree/opt/app/program", os.X_OK))
        os.environ["PACKAGE"] = ""  # the client would fail
        self.fetch()

    def test_something_else_than_what_was_meant_is_refused(self):
        self.check_failure(f"has the digest sha256:{self.digest} instead of sha256:{'0' * 64}", "0" * 64)

    def test_what_a_client_says_when_it_fails_is_said(self):
        os.environ["PACKAGE"] = ""
        self.check_failure("there is no app@1")

    def test_a_client_that_is_not_there_is_named(self):
        os.environ["PATH"] = f"{self.directory}/app"
        self.check_failure("npm is not installed")

    def test_a_zip_keeps_what_can_be_run_and_nothing_leaves_its_place(self):
        os.mkdir(f"{self.directory}/zip")
        with zipfile.ZipFile(f"{self.directory}/zip/app.zip", "w") as archive:
            archive.write(f"{self.directory}/app/program", "app-1/bin/program")
            archive.writestr("app-1/data", "text")
            archive.writestr("app-1/../../outside", "text")
        fetch.unpack(f"{self.directory}/zip", f"{self.directory}/tree/app")
        self.assertTrue(os.access(f"{self.directory}/tree/app/bin/program", os.X_OK))
        self.assertFalse(os.access(f"{self.directory}/tree/app/data", os.X_OK))
        self.assertFalse(os.path.exists(f"{self.directory}/outside"))
        self.assertFalse(os.path.exists(f"{self.directory}/tree/outside"))

    def test_several_files_have_the_digest_of_their_list(self):
        for name, text in (("b.jar", "2"), ("a.jar", "1")):
            with open(f"{self.directory}/app/{name}", "w") as file:
                file.write(text)
        os.unlink(f"{self.directory}/app/program")
        expected = subprocess.run("sha256sum a.jar b.jar | sha256sum", shell=True, cwd=f"{self.directory}/app", check=True,
                                  capture_output=True, text=True).stdout.split()[0]
        self.assertEqual(fetch.digest_of(f"{self.directory}/app"), expected)

    def test_when_something_was_fetched_is_not_in_the_layer(self):
        place = f"{self.directory}/cache/fetched-{self.digest}"
        os.makedirs(f"{place}/more")
        for name in ("a.jar", "more/b.jar"):
            with open(f"{place}/{name}", "w"):
                pass
        os.symlink("a.jar", f"{place}/link")
        for name in ("a.jar", "more/b.jar", "link", "more", ""):
            os.utime(f"{place}/{name}", (10**9, 10**9), follow_symlinks=False)
        trees.make({"artifacts": {"app": f"maven +g:a:1 sha256:{self.digest}"}}, f"{self.directory}/tree", [], f"{self.directory}/cache")
        found = {name: os.lstat(f"{self.directory}/tree/{name}").st_mtime for name in ("app", "app/a.jar", "app/link", "app/more",
                                                                                        "app/more/b.jar")}
        self.assertEqual(set(found.values()), {1_700_000_000}, found)

    def test_directories_that_are_there_keep_their_modes(self):
        os.makedirs(f"{self.directory}/lower/root", mode=0o700)
        layer = {"artifacts": {"root/app": f"npm app@1 sha256:{self.digest}"}}
        trees.make(layer, f"{self.directory}/tree", [f"{self.directory}/lower"], f"{self.directory}/cache")
        self.assertEqual(os.stat(f"{self.directory}/tree/root").st_mode & 0o7777, 0o700)
        self.assertEqual(os.stat(f"{self.directory}/tree/root/app").st_mode & 0o7777, 0o755)


def _store(entries, password="changeit"):
    content = struct.pack(">4sII", b"\xfe\xed\xfe\xed", 2, len(entries))
    for kind, alias, time_ms, certificate in entries:
        content += struct.pack(">IH", kind, len(alias)) + alias + struct.pack(">QH", time_ms, 5) + b"X.509"
        content += struct.pack(">I", len(certificate)) + certificate
    return content + hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + content).digest()


class KeystoreTest(unittest.TestCase):
    def test_stores_of_the_same_certificates_become_the_same(self):
        one = _store([(2, b"b", 5, b"second"), (2, b"a", 6, b"first")])
        other = _store([(2, b"a", 70, b"first"), (2, b"b", 80, b"second")])
        self.assertEqual(keystore.settle(one, 9), keystore.settle(other, 9))
        self.assertEqual(keystore.settle(one, 9), _store([(2, b"a", 9, b"first"), (2, b"b", 9, b"second")]))

    def test_what_is_no_such_store_is_refused(self):
        whole = _store([(2, b"a", 5, b"first")])
        for data in (b"", whole[:-1], b"?" + whole[1:], _store([], "other"), _store([(1, b"a", 5, b"key")])):
            with self.assertRaises(ValueError):
                keystore.settle(data, 9)


if __name__ == "__main__":
    unittest.main()
