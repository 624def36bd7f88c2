// ls, cat and diff.
#include <gmock/gmock.h>

#include "tests/unit/cmd/slackerctl/slackerctl_fixture.h"

namespace slacker::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;
using testing::TarBuilder;

class FileVerbsTest : public testing::SlackerctlTest {
 protected:
  std::string Publish(const std::string& tar, const std::string& tag) {
    const std::string source = AddTar(tar, tag);
    EXPECT_EQ(Run({"publish", source, "--platform", "linux/amd64", "--store", url_}), kExitOk)
        << err_.str();
    return source;
  }
  std::string Output(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--store", url_});
    EXPECT_EQ(Run(std::move(arguments)), kExitOk) << err_.str();
    return out_.str();
  }
};

std::string SampleTar() {
  return TarBuilder()
      .File("etc/conf", "hello\n", 04755)
      .Symlink("link", "etc/conf")
      .File(std::string("odd\n\xff"), "x")
      .End();
}

TEST_F(FileVerbsTest, LsShowsWhatIsInADirectory) {
  const std::string image = Publish(SampleTar(), "v1");
  EXPECT_EQ(Output({"ls", image, "etc"}), "-rwsr-xr-x\t1\t0\t0\t6\t2020-09-13T12:26:40Z\tconf\n");
  const std::string all = Output({"ls", image});
  EXPECT_THAT(all, HasSubstr("\tlink\tetc/conf\n"));
  EXPECT_THAT(all, HasSubstr("\todd\\n\\377\n"));
  EXPECT_THAT(Output({"ls", image, "-R"}), HasSubstr("\tetc/conf\n"));
  terminal_ = true;
  EXPECT_THAT(Output({"ls", image}), HasSubstr("link -> etc/conf\n"));
}

TEST_F(FileVerbsTest, LsWritesJsonOfAnyBytes) {
  const std::string image = Publish(SampleTar(), "v1");
  const Json all = RunJson({"ls", image, "-R"});
  ASSERT_EQ(all.size(), 4u) << out_.str();
  EXPECT_EQ(all[1]["path"], "etc/conf");
  EXPECT_EQ(all[1]["mode"], "4755");
  EXPECT_EQ(all[1]["type"], "regular");
  EXPECT_EQ(all[2]["target"], "etc/conf");
  EXPECT_EQ(all[3]["path_hex"], "6f64640aff");
  EXPECT_EQ(RunJson({"ls", Publish(TarBuilder().End(), "empty")}), Json::array());
}

TEST_F(FileVerbsTest, CatWritesFilesAndFollowsSymlinks) {
  const std::string image = Publish(SampleTar(), "v1");
  EXPECT_EQ(Output({"cat", image, "/link", "etc/conf"}), "hello\nhello\n");
  EXPECT_EQ(Run({"cat", image, "/none", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("no such file"));
  EXPECT_EQ(Run({"cat", image, "/etc", "--store", url_}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("/etc: not a regular file"));
}

TEST_F(FileVerbsTest, DiffNamesWhatChanged) {
  const std::string before = Publish(SampleTar(), "v1");
  const std::string after = Publish(TarBuilder()
                                        .File("etc/conf", "changed\n", 0644)
                                        .File("etc/new", "")
                                        .Symlink("link", "x")
                                        .End(),
                                    "v2");
  EXPECT_EQ(Output({"diff", before, after}),
            "M\t/etc/conf\tmode 4755 -> 0644, size 6 -> 8, content\n"
            "A\t/etc/new\n"
            "M\t/link\ttarget etc/conf -> x\n"
            "D\t/odd\\n\\377\n");
  EXPECT_EQ(Output({"diff", before, after, "/link"}), "M\t/link\ttarget etc/conf -> x\n");
  EXPECT_EQ(Output({"diff", before, before}), "");
  const Json json = RunJson({"diff", before, after});
  ASSERT_EQ(json.size(), 4u);
  EXPECT_EQ(json[0]["change"], "changed");
  EXPECT_EQ(json[0]["what"], Json({"mode", "size", "content"}));
  EXPECT_EQ(json[0]["before"]["size"], 6);
  EXPECT_EQ(json[1]["change"], "added");
  EXPECT_EQ(json[3]["path_hex"], "2f6f64640aff");
}

TEST_F(FileVerbsTest, ExportSaysWhatIsNotTheOriginal) {
  const std::string tar = SampleTar();
  const testing::WrittenImage same = layout_.AddImage({testing::ZstdLayer(tar)}, "same");
  const testing::WrittenImage odd =
      layout_.AddImage({testing::GzipLayer(tar), testing::OddLayer(tar)}, "odd");
  for (const char* tag : {"same", "odd"}) {
    const std::string image = "oci:" + layout_.directory() + ":" + tag;
    ASSERT_EQ(Run({"publish", image, "--platform", "linux/amd64", "--store", url_}), kExitOk)
        << err_.str();
    ASSERT_EQ(Run({"export", image, "oci:" + dir_ / "exported:" + tag, "--store", url_}), kExitOk)
        << err_.str();
    const std::string note = "1 layer compressed anew, so the manifest has a new digest";
    if (tag == std::string("same")) {
      EXPECT_THAT(out_.str(), HasSubstr("\t" + same.manifest.ToString()));
      EXPECT_THAT(err_.str(), Not(HasSubstr(note)));
    } else {
      EXPECT_THAT(out_.str(), Not(HasSubstr(odd.manifest.ToString())));
      EXPECT_THAT(err_.str(), HasSubstr(note));
    }
  }
}

TEST_F(FileVerbsTest, TrustedKeysDecideWhatIsRead) {
  const std::string image = Publish(SampleTar(), "v1");
  const std::string key = dir_ / "key";
  ASSERT_EQ(Run({"keygen", key}), kExitOk);
  EXPECT_EQ(Run({"cat", image, "link", "--store", url_, "--trusted-key", key + ".pub"}),
            kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("not signed by a trusted key"));
}

}  // namespace
}  // namespace slacker::ctl
