#include "backend/view/image_view.h"

#include "backend/base/status.h"
#include "tests/support/faulty_backend.h"
#include "tests/unit/backend/view/view_fixture.h"

namespace slacker {
namespace {

using testing::StatusIs;
using testing::TarBuilder;

class ImageViewTest : public testing::ViewTest {
 protected:
  // The content of a file, symlinks followed.
  absl::StatusOr<std::string> Cat(const ImageView& view, std::string_view path) {
    ASSIGN_OR_RETURN(const uint32_t inode, view.Resolve(path, true));
    std::string content;
    RETURN_IF_ERROR(view.Read(inode, [&content](std::string_view bytes) {
      content += bytes;
      return absl::OkStatus();
    }));
    return content;
  }
};

TEST_F(ImageViewTest, LayersAreMerged) {
  const auto view = Open(AddImage({TarBuilder().File("etc/a", "old").File("etc/b", "b").End(),
                                   TarBuilder().File("etc/a", "new").File("etc/.wh.b", "").End()}));
  EXPECT_EQ(Cat(*view, "/etc/a").value(), "new");
  EXPECT_THAT(view->Resolve("/etc/b", true), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ImageViewTest, FilesOfManyChunksAndHolesReadAsTheyWere) {
  std::string content = testing::RandomBytes(9'000'000, 1);
  content.replace(1'000'000, 500'000, 500'000, '\0');
  content += std::string(100'000, '\0');  // ends in a hole
  const auto view = Open(AddImage({TarBuilder()
                                       .File("before", testing::RandomBytes(100'000, 2))
                                       .File("big", content)
                                       .File("empty", "")
                                       .File("zeros", std::string(300'000, '\0'))
                                       .End()}));
  EXPECT_TRUE(Cat(*view, "big").value() == content);
  EXPECT_EQ(Cat(*view, "empty").value(), "");
  EXPECT_TRUE(Cat(*view, "zeros").value() == std::string(300'000, '\0'));
  EXPECT_EQ(view->SizeOf(view->inode(view->Resolve("big", true).value())), content.size());
}

TEST_F(ImageViewTest, SymlinksStayWithinTheImage) {
  const auto view = Open(AddImage({TarBuilder()
                                       .File("usr/lib/x", "x")
                                       .Symlink("lib", "usr/lib")
                                       .Symlink("usr/abs", "/lib/x")
                                       .Symlink("usr/up", "../../../../usr/lib/x")
                                       .Symlink("loop", "loop")
                                       .End()}));
  for (const char* path : {"/lib/x", "lib//x", "/usr/abs", "/usr/up", "/../../usr/./lib/../up"}) {
    EXPECT_EQ(Cat(*view, path).value(), "x") << path;
  }
  EXPECT_THAT(view->Resolve("/loop", true), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(view->inode(view->Resolve("/lib", false).value()).node->type, NodeType::kSymlink);
  EXPECT_TRUE(view->inode(view->Resolve("/lib/", false).value()).is_directory);
}

TEST_F(ImageViewTest, WhatIsNoDirectoryLeadsNowhere) {
  const auto view = Open(AddImage({TarBuilder().File("file", "x").Directory("dir").End()}));
  EXPECT_THAT(view->Resolve("file/x", true), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(view->Resolve("file/", true), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Cat(*view, "dir"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(view->Resolve("", true).value(), 0u);
  EXPECT_EQ(view->Resolve("/dir/..", true).value(), 0u);
  EXPECT_THAT(view->Resolve(std::string(kMaxPathBytes + 1, 'x'), true),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(ImageViewTest, DamageIsAnErrorAndNeverContent) {
  const Digest chain = AddImage({TarBuilder().File("f", testing::RandomBytes(50'000, 3)).End()});
  const auto view = Open(chain);
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, store_->List("packs/"));
  for (const std::string& name : names) {
    if (name.ends_with(".idx")) continue;
    std::string pack = store_->ReadWhole(name, 1 << 20).value();
    pack[pack.size() / 2] ^= 1;
    ASSERT_OK(store_->Replace(name, pack));
  }
  EXPECT_THAT(Cat(*view, "f"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ImageViewTest, ChunksThatWereMovedAreFoundAgain) {
  const std::string content = testing::RandomBytes(50'000, 4);
  const Digest chain = AddImage({TarBuilder().File("f", content).End()});
  const auto view = Open(chain);
  // The first look finds the pack gone, as during compaction.
  const auto faulty = std::make_shared<testing::FaultyBackend>(store_);
  const StoreReader reader(faulty);
  ASSERT_OK_AND_ASSIGN(const auto other, ImageView::Open(&reader, chain));
  faulty->FailCall(2, NotFound("moved"));  // 1 asks for the locations
  EXPECT_EQ(Cat(*other, "f").value(), content);
}

TEST_F(ImageViewTest, AnUnknownChainIsNotFound) {
  EXPECT_THAT(ImageView::Open(&reader_, Sha256::Of("x")), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace slacker
