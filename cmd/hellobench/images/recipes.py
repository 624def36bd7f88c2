"""The recipes: what images there are, and what each layer of them is made of."""
import hashlib
import json
import os
import re
import tomllib

import fetch

HERE = os.path.dirname(os.path.abspath(__file__))
_TABLES = {"stack", "image", "synthetic", "unavailable"}
_RECIPE_KEYS = {"from": str, "config": dict, "unlike": str, "layer": list}
_LAYER_KEYS = {"debootstrap": str, "before": str, "packages": list, "after": str, "unpack": list, "applets": str, "compile": dict,
               "folder": str, "artifacts": dict, "pip": list, "directories": dict, "links": dict}
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_ORIGINS = {"maven": "Maven Central", "npm": "npm", "pypi": "PyPI"}
_CODE = ("fetch.py", "keystore.py", "trees.py", "../oci_image.py", "../debian_layers.py")


class Wrong(Exception):
    """The recipes are wrong, or ask for what there is not."""


def _require(condition, message):
    if not condition:
        raise Wrong(f"recipes.toml: {message}")


def _check_keys(where, table, known):
    _require(isinstance(table, dict), f"{where}: must be a table")
    for key, value in table.items():
        _require(key in known, f"{where}.{key}: unknown key")
        _require(isinstance(value, known[key]), f"{where}.{key}: must be a {known[key].__name__}")


def _check_layer(where, layer):
    _check_keys(where, layer, _LAYER_KEYS)
    _require(layer, f"{where}: is empty")
    for package in [*layer.get("packages", []), *layer.get("unpack", [])]:
        _require(isinstance(package, str) and _PACKAGE.fullmatch(package), f"{where}: {package} is no package")
    for key in ("artifacts", "compile", "directories", "links"):
        for place in layer.get(key, {}):
            _require(not place.startswith("/") and ".." not in place.split("/"), f"{where}.{key}: {place} leaves the tree")
    for what in [*layer.get("artifacts", {}).values(), *layer.get("pip", [])]:
        _require(not fetch.wrong(what), f"{where}: {fetch.wrong(what)}")
    for source in [layer[key] for key in ("folder",) if key in layer] + list(layer.get("compile", {}).values()):
        _require(os.path.exists(os.path.join(HERE, source)), f"{where}: there is no {source}")


def _digest_folder(digest, path):
    if os.path.isfile(path):
        with open(path, "rb") as file:
            digest.update(file.read())
        return
    for directory, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = os.path.join(directory, name)
            digest.update(f"{os.path.relpath(file, path)} {os.access(file, os.X_OK)}\n".encode())
            _digest_folder(digest, file)


class Recipes:
    """images, synthetic: the names that can be built, in the file's order; the latter are of no catalogue.
    unavailable: {name: reason}."""

    def __init__(self, text):
        parsed = tomllib.loads(text)
        for table in parsed:
            _require(table in _TABLES, f"{table}: unknown table")
        tables = [parsed.get("stack", {}), parsed["image"], parsed.get("synthetic", {})]
        self._recipes = {name: recipe for table in tables for name, recipe in table.items()}
        self.images, self.synthetic = list(tables[1]), list(tables[2])
        self.unavailable = parsed.get("unavailable", {})
        _require(len(self._recipes) == sum(map(len, tables)), "two of stacks and images have one name")
        for name, reason in self.unavailable.items():
            _require(isinstance(reason, str) and reason, f"unavailable.{name}: must be a reason")
            _require(name not in self.images, f"unavailable.{name}: is an image, too")
        for name, recipe in self._recipes.items():
            _check_keys(name, recipe, _RECIPE_KEYS)
            for number, layer in enumerate(recipe.get("layer", [])):
                _check_layer(f"{name}.layer[{number}]", layer)
        for name in self._recipes:
            self.layers(name)

    def layers(self, name):
        """All layers of an image, bottom first."""
        layers, seen = [], set()
        while name is not None:
            _require(name in self._recipes, f"there is no {name}")
            _require(name not in seen, f"{name} stands on itself")
            seen.add(name)
            layers = self._recipes[name].get("layer", []) + layers
            name = self._recipes[name].get("from")
        _require(layers, "an image without layers")
        return layers

    def config(self, name):
        return {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                **self._recipes[name].get("config", {})}

    def origins(self, name):
        """Whose packages are in an image, in the order of their layers; none in one that is compiled here."""
        found = []
        for layer in self.layers(name):
            fetched = [what.split()[0] for what in [*layer.get("artifacts", {}).values(), *layer.get("pip", [])]]
            debian = any(layer.get(key) for key in ("debootstrap", "packages", "unpack"))
            found += [_ORIGINS[client] for client in fetched] + (["Debian"] if debian else [])
        return list(dict.fromkeys(found))

    def unlike(self, name):
        return self._recipes[name].get("unlike")


def keys(layers):
    """A name for each layer, which changes with whatever it is made of and made by."""
    digest = hashlib.sha256()
    for name in _CODE:
        _digest_folder(digest, os.path.join(HERE, name))
    found = []
    for layer in layers:
        digest.update(json.dumps(layer, sort_keys=True).encode())
        for source in [layer.get("folder"), *layer.get("compile", {}).values()]:
            if source:
                _digest_folder(digest, os.path.join(HERE, source))
        found.append(digest.hexdigest()[:32])
    return found


def load():
    with open(os.path.join(HERE, "recipes.toml"), encoding="utf-8") as file:
        return Recipes(file.read())
