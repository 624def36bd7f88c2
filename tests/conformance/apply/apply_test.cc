// ReadLayerTar against containerd's own apply: the same tars must be accepted, and give the same
// trees.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "tests/conformance/apply/layer_manifest.h"
#include "tests/support/odd_tars.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The time of an implicit directory is when it was made: not compared.
std::string WithoutTimesOf(const std::string& manifest, const std::string& ours) {
  std::istringstream lines(manifest);
  std::istringstream our_lines(ours);
  std::string out;
  for (std::string line, our_line; std::getline(lines, line);) {
    const bool implicit =
        std::getline(our_lines, our_line) && our_line.find(" mtime=* ") != std::string::npos;
    const size_t begin = line.find(" mtime=");
    if (implicit && begin != std::string::npos) {
      line.replace(begin, line.find(' ', begin + 1) - begin, " mtime=*");
    }
    out += line + "\n";
  }
  return out;
}

class ApplyTest : public ::testing::Test {
 protected:
  void Add(const std::string& name, std::string bytes) {
    WriteFile(dir_ / (name + ".tar"), bytes);
    tars_[name] = std::move(bytes);
  }

  // Makes containerd's manifests of everything added.
  void Apply() {
    const std::string command =
        std::string(SLACKER_APPLY_PROGRAM) + " " + dir_.path() + " 2>" + dir_.path() + "/log";
    ASSERT_EQ(std::system(command.c_str()), 0) << ReadFile(dir_ / "log");
  }

  std::string Theirs(const std::string& name) { return ReadFile(dir_ / (name + ".manifest")); }

  void ExpectEqual(const std::string& name) {
    const std::string theirs = Theirs(name);
    const absl::StatusOr<ReadLayer> read = Read(tars_[name], 64 * 1024);
    if (theirs.starts_with("error: ")) {
      EXPECT_THAT(read, StatusIs(absl::StatusCode::kInvalidArgument)) << name << ": " << theirs;
      return;
    }
    ASSERT_FALSE(theirs.empty()) << name;
    ASSERT_TRUE(read.ok()) << name << ": " << read.status().ToString();
    const std::string ours = LayerManifest(*read);
    EXPECT_EQ(ours, WithoutTimesOf(theirs, ours)) << name;
  }

  TempDir dir_;
  std::map<std::string, std::string> tars_;
};

TEST_F(ApplyTest, OddTarsMeanTheSameAsToContainerd) {
  const std::vector<OddTar> tars = OddTars();
  for (const OddTar& tar : tars) Add(tar.name, tar.bytes);
  Apply();
  for (const OddTar& tar : tars) {
    if (tar.verdict == Verdict::kAmbiguous) {
      EXPECT_FALSE(Theirs(tar.name).starts_with("error: ")) << tar.name << " is not ambiguous";
      EXPECT_THAT(Read(tar.bytes), StatusIs(absl::StatusCode::kInvalidArgument)) << tar.name;
      continue;
    }
    EXPECT_EQ(tar.verdict == Verdict::kRefused, Theirs(tar.name).starts_with("error: "))
        << tar.name << ": " << Theirs(tar.name);
    ExpectEqual(tar.name);
  }
}

TEST_F(ApplyTest, TarsWrittenByTarMeanTheSameAsToContainerd) {
  for (const std::string format : {"v7", "oldgnu", "gnu", "ustar", "posix"}) {
    const std::string file = dir_ / (format + ".tar");
    const std::string command = "tar --format=" + format + " -C / -cf " + file +
                                (format == "posix" ? " --xattrs" : "") +
                                " etc usr/share/perl5 bin/busybox 2>/dev/null";
    // tar's exit status also tells of sockets and of names that v7 cannot hold.
    (void)std::system(command.c_str());
    tars_[format] = ReadFile(file);
    ASSERT_GT(tars_[format].size(), 100'000U);
  }
  Apply();
  for (const auto& [name, bytes] : tars_) ExpectEqual(name);
}

TEST_F(ApplyTest, TruncatedTarsAreAcceptedWhereContainerdAcceptsThemOrRefused) {
  const std::string tar = TarBuilder()
                              .Directory("d")
                              .Pax({{"path", "d/long"}})
                              .File("f", Noise(700))
                              .GnuLong('L', "d/" + std::string(120, 'n'))
                              .File("g", "abc")
                              .End();
  for (size_t size = 0; size < tar.size(); size += 64) {
    Add("cut" + std::to_string(size), tar.substr(0, size));
  }
  Apply();
  for (const auto& [name, bytes] : tars_) {
    // Refusing more than containerd does is safe: padding may be missing for its reader.
    if (!Read(bytes).ok()) continue;
    ExpectEqual(name);
  }
}

}  // namespace
}  // namespace slacker::testing
