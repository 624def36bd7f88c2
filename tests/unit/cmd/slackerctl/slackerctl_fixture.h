// slackerctl as its callers see it, on a store and a layout of its own.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cmd/slackerctl/command_line.h"
#include "tests/support/oci_image.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

class SlackerctlTest : public ::testing::Test {
 protected:
  int Run(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    return ctl::RunSlackerctl(std::move(arguments), ctl::Console{out_, err_, interactive_, terminal_});
  }
  // With --store and --json.
  nlohmann::json RunJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--store", url_, "--json"});
    EXPECT_EQ(Run(std::move(arguments)), ctl::kExitOk) << err_.str();
    return nlohmann::json::parse(out_.str(), nullptr, false);
  }
  std::string AddImage(const std::string& tag, const Platform& platform = {"linux", "amd64", ""}) {
    return AddTar(TarBuilder().File("file-" + tag, RandomBytes(200'000, 7)).End(), tag, platform);
  }
  std::string AddTar(const std::string& tar, const std::string& tag,
                     const Platform& platform = {"linux", "amd64", ""}) {
    chain_ = layout_.AddImage({GzipLayer(tar)}, tag, platform).chain_id.ToString();
    return "oci:" + layout_.directory() + ":" + tag;
  }

  const TempDir dir_;
  OciLayout layout_{dir_ / "layout"};
  const std::string url_ = "loopback:" + dir_ / "store";
  bool terminal_ = false;
  bool interactive_ = false;
  std::string chain_;
  std::ostringstream out_;
  std::ostringstream err_;
};

}  // namespace slacker::testing
