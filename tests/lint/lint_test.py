#!/usr/bin/env python3
"""Each rule of lint.py lets a proper tree pass and fails for one that breaks it."""
import os
import tempfile
import unittest

import lint

HEADER = "#pragma once\n"


class LintTest(unittest.TestCase):
    def setUp(self):
        self.tree = tempfile.TemporaryDirectory()
        self.addCleanup(self.tree.cleanup)
        for name in sorted(lint.TOP_LEVEL):
            if "." in name[1:] or name in ("LICENSE", ".gitignore", ".clang-format", ".clang-tidy"):
                self.write(name, "")
            else:
                os.mkdir(os.path.join(self.tree.name, name))
        self.write(".gitignore", "/build/\n*.pyc\n")

    def write(self, path, content):
        full = os.path.join(self.tree.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)

    def rules(self):
        return [(path, rule) for path, _, rule, _ in lint.lint(self.tree.name)]

    def assert_breaks(self, rule, path, content):
        self.write(path, content)
        self.assertEqual(self.rules(), [(path, rule)])

    def assert_passes(self, path, content):
        self.write(path, content)
        self.assertEqual(self.rules(), [])

    def test_proper_tree_passes(self):
        self.assert_passes("backend/base/a.h", HEADER)
        self.assert_passes("backend/memory/a.cc", '#include "backend/memory/a.h"\n')
        self.assert_passes("backend/os/a.cc", "#include <sys/mount.h>\n")
        self.assert_passes("snapshotter/boot/a.cc", '#include "backend/store/store.h"\n')
        self.assert_passes("cmd/slackerd/a.cc", '#include "backend/memory/a.h"\n')
        self.assert_passes("tests/unit/a.cc", '#include "backend/memory/a.h"\n#include <archive.h>')
        self.assert_passes("build/x/CMakeLists.txt", "file(GLOB x *.cc)\n")
        self.assert_passes("docs/a.bin", "\0 FIX" + "ME")

    def test_header_away_from_home(self):
        for header in ("sqlite3.h", "archive.h", "curl/curl.h", "linux/loop.h", "sys/mount.h",
                       "linux/fuse.h", "grpcpp/grpcpp.h", "openssl/evp.h", "zstd.h", "re2/re2.h"):
            self.assert_breaks("header-home", "snapshotter/core/a.cc", f"#include <{header}>\n")

    def test_generated_header_away_from_home(self):
        self.assert_breaks("header-home", "snapshotter/core/a.cc",
                           '#include "snapshots.grpc.pb.h"\n')

    def test_backend_includes_snapshotter(self):
        self.assert_breaks("layering", "backend/a.cc", '#include "snapshotter/snapshotter.h"\n')

    def test_snapshotter_includes_cmd(self):
        self.assert_breaks("layering", "snapshotter/a.cc", '#include "cmd/slackerd/config.h"\n')

    def test_anybody_includes_tests(self):
        self.assert_breaks("layering", "cmd/a/a.cc", '#include "tests/support/temp_dir.h"\n')

    def test_proto_imports_ours(self):
        self.assert_breaks("layering", "proto/a.proto", 'import "backend/record/record.proto";\n')

    def test_room_includes_one_above_it(self):
        self.assert_breaks("layering", "backend/source/a.h",
                           HEADER + '#include "backend/store/store.h"\n')

    def test_room_that_nobody_described(self):
        self.assert_breaks("layering", "backend/attic/a.h",
                           HEADER + '#include "backend/base/digest.h"\n')

    def test_snapshotter_includes_concrete_backend(self):
        self.assert_breaks("layering", "snapshotter/a.cc",
                           '#include "backend/loopback/loopback.h"\n')

    def test_backend_includes_another_backend(self):
        self.assert_breaks("layering", "backend/memory/a.cc",
                           '#include "backend/loopback/loopback.h"\n')

    def test_store_includes_concrete_backend(self):
        self.assert_breaks("layering", "backend/store/a.cc",
                           '#include "backend/memory/memory.h"\n')

    def test_json_away_from_home(self):
        self.assert_passes("backend/source/a.cc", "#include <nlohmann/json.hpp>\n")
        self.write("backend/source/a.cc", "")
        self.assert_breaks("header-home", "snapshotter/core/a.cc", "#include <nlohmann/json.hpp>\n")

    def test_source_too_long(self):
        self.assert_passes("backend/a.cc", "\n" * lint.SOURCE_MAX_LINES)
        self.assert_breaks("size", "backend/a.cc", "\n" * (lint.SOURCE_MAX_LINES + 1))

    def test_header_too_long(self):
        self.assert_passes("backend/a.h", HEADER + "\n" * (lint.HEADER_MAX_LINES - 1))
        self.assert_breaks("size", "backend/a.h", HEADER + "\n" * lint.HEADER_MAX_LINES)

    def test_header_without_pragma_once(self):
        self.assert_breaks("pragma-once", "tests/support/a.h", "int a;\n")

    def test_stranger_at_the_top_level(self):
        self.assert_breaks("top-level", "notes.txt", "")

    def test_top_level_entry_missing(self):
        os.remove(os.path.join(self.tree.name, "LICENSE"))
        self.assertEqual(self.rules(), [("LICENSE", "top-level")])

    def test_glob_in_cmake(self):
        self.assert_breaks("glob", "backend/CMakeLists.txt", "file( glob x *.cc)\n")

    def test_unfinished_work(self):
        for word in ("TO" + "DO", "FIX" + "ME"):
            self.assert_breaks("unfinished", "docs/a.md", f"{word}: more\n")

    def test_sleep_in_the_product(self):
        for call in ("std::this_thread::sleep_for(x);", "usleep(1);", "nanosleep(&t, nullptr);"):
            self.assert_breaks("sleep", "cmd/a/a.cc", call + "\n")
        self.write("cmd/a/a.cc", "")
        self.assert_passes("tests/e2e/a.cc", "usleep(1);\n")


if __name__ == "__main__":
    unittest.main()
