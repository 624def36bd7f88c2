"""An OCI image layout that grows: images that share layers share their files."""
import hashlib
import json
import os
import shutil

from oci_image import Pusher

_OCI = "application/vnd.oci.image."
_NAME = "org.opencontainers.image.ref.name"


def _write(path, data):
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


class Layout:
    """At `directory`, which is made. An image that is put again is replaced."""

    def __init__(self, directory):
        self._directory = directory
        os.makedirs(f"{directory}/blobs/sha256", exist_ok=True)
        _write(f"{directory}/oci-layout", b'{"imageLayoutVersion":"1.0.0"}')

    def put(self, name, layers, config, labels):
        """`layers`, bottom first, are maps with path, diff_id, digest, size. Returns the manifest's digest."""
        for layer in layers:
            self._copy(layer)
        image = self._document({
            "architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
            "config": {**config, "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [layer["diff_id"] for layer in layers]},
        }, "config.v1+json")
        manifest = self._document({
            "schemaVersion": 2, "mediaType": _OCI + "manifest.v1+json", "config": image,
            "layers": [{"mediaType": _OCI + "layer.v1.tar+gzip", "digest": layer["digest"],
                        "size": layer["size"]} for layer in layers],
        }, "manifest.v1+json")
        others = [entry for entry in self.index() if entry["annotations"][_NAME] != name]
        entries = sorted([*others, {**manifest, "annotations": {_NAME: name}}],
                         key=lambda entry: entry["annotations"][_NAME])
        index = {"schemaVersion": 2, "mediaType": _OCI + "index.v1+json", "manifests": entries}
        _write(f"{self._directory}/index.json", json.dumps(index, indent=1).encode())
        return manifest["digest"]

    def index(self):
        try:
            with open(f"{self._directory}/index.json", encoding="utf-8") as file:
                return json.load(file)["manifests"]
        except FileNotFoundError:
            return []

    def names(self):
        return [entry["annotations"][_NAME] for entry in self.index()]

    def read(self, digest):
        with open(self.blob(digest), "rb") as file:
            return file.read()

    def entry(self, name):
        """An image's manifest as the index describes it, None if it is not there."""
        return next((entry for entry in self.index() if entry["annotations"][_NAME] == name), None)

    def manifest(self, name):
        """The bytes of an image's manifest, None if it is not there."""
        entry = self.entry(name)
        return None if entry is None else self.read(entry["digest"])

    def blob(self, digest):
        return f"{self._directory}/blobs/{digest.replace(':', '/')}"

    def _document(self, document, kind):
        data = json.dumps(document, sort_keys=True).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        _write(self.blob(digest), data)
        return {"mediaType": _OCI + kind, "digest": digest, "size": len(data)}

    def _copy(self, layer):
        place = self.blob(layer["digest"])
        if os.path.exists(place):
            return
        try:
            os.link(layer["path"], place)
        except OSError:  # another file system
            shutil.copyfile(layer["path"], place + ".new")
            os.rename(place + ".new", place)


class LayoutPusher(Pusher):
    """Pushes images of a layout, byte for byte, under the tag "latest"."""

    def push_image(self, layout, name, repository):
        text = layout.manifest(name)
        manifest = json.loads(text)
        for blob in [manifest["config"], *manifest["layers"]]:
            with open(layout.blob(blob["digest"]), "rb") as file:
                self._blob(repository, blob["digest"], file, blob["size"])
        self._call("PUT", f"/v2/{repository}/manifests/latest", 201, text,
                   {"Content-Type": layout.entry(name)["mediaType"]})
