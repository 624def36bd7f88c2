// ls and cat.
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/status.h"
#include "backend/view/tree_walk.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/verbs/inode_text.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct LsArguments {
  ImageArguments image;
  std::string path = "/";
  bool recursive = false;
};

// Writes what it is shown; JSON and plain lines at once, a table when it is complete.
class Listing {
 public:
  Listing(const ImageView* view, bool json, const Console* console)
      : view_(*view), json_(json), console_(*console), list_(&console->out) {}

  absl::Status Add(std::string_view name, uint32_t index) {
    const erofs::TreeInode& inode = view_.inode(index);
    if (json_) {
      nlohmann::json object = InodeJson(view_, inode);
      SetBytes(&object, "path", name);
      list_.Add(object);
    } else {
      rows_.push_back(Row(name, inode));
      if (!console_.terminal) Flush();
    }
    return console_.out.good() ? absl::OkStatus() : Internal("cannot write the output");
  }

  // `status`: whether that was all.
  absl::Status End(absl::Status status) {
    if (json_) list_.End(status);
    Flush();
    return status;
  }

 private:
  std::vector<Cell> Row(std::string_view name, const erofs::TreeInode& inode) const {
    const Node& node = *inode.node;
    Cell size = SizeCell(view_.SizeOf(inode));
    if (node.type == NodeType::kCharDevice || node.type == NodeType::kBlockDevice) {
      size = TextCell(std::to_string(node.rdev_major) + "," + std::to_string(node.rdev_minor));
    } else if (inode.is_directory) {
      size = TextCell("-");
    }
    std::vector<Cell> row = {TextCell(ModeText(node)),
                             CountCell(inode.nlink),
                             CountCell(node.uid),
                             CountCell(node.gid),
                             std::move(size),
                             TextCell(FormatTime(node.mtime_seconds)),
                             TextCell(name)};
    if (node.type != NodeType::kSymlink) return row;
    if (console_.terminal) {
      row.back().text += " -> " + std::string(node.target);
    } else {
      row.push_back(TextCell(node.target));
    }
    return row;
  }

  void Flush() {
    if (!rows_.empty()) {
      PrintRows(console_, {"MODE", "LINKS", "UID", "GID", "SIZE", "MODIFIED", "NAME"}, rows_);
    }
    rows_.clear();
  }

  const ImageView& view_;
  const bool json_;
  const Console& console_;
  JsonList list_;
  std::vector<std::vector<Cell>> rows_;
};

absl::Status AddAll(const ImageView& view, uint32_t top, const LsArguments& arguments,
                    Listing* listing) {
  const erofs::TreeInode& inode = view.inode(top);
  if (!inode.is_directory) return listing->Add(arguments.path, top);
  if (arguments.recursive) {
    return WalkTree(view.tree(), top, [listing](std::string_view path, uint32_t index) {
      return listing->Add(path, index);
    });
  }
  for (const erofs::TreeEntry& entry : view.tree().Children(inode)) {
    RETURN_IF_ERROR(listing->Add(entry.name, entry.inode));
  }
  return absl::OkStatus();
}

absl::Status List(const LsArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const ReadableImage opened, OpenForReading(arguments.image));
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageView> view,
                   ImageView::Open(opened.reader.get(), opened.found.chain_id));
  ASSIGN_OR_RETURN(const uint32_t top, view->Resolve(arguments.path, /*follow=*/false));
  Listing listing(view.get(), arguments.image.common.json, &console);
  return listing.End(AddAll(*view, top, arguments, &listing));
}

struct CatArguments {
  ImageArguments image;
  std::vector<std::string> paths;
};

absl::Status Concatenate(const CatArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const ReadableImage opened, OpenForReading(arguments.image));
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageView> view,
                   ImageView::Open(opened.reader.get(), opened.found.chain_id));
  for (const std::string& path : arguments.paths) {
    ASSIGN_OR_RETURN(const uint32_t inode, view->Resolve(path, /*follow=*/true));
    RETURN_IF_ERROR(Annotate(
        view->Read(inode,
                   [&console](std::string_view bytes) {
                     console.out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
                     return console.out.good() ? absl::OkStatus()
                                               : Internal("cannot write the output");
                   }),
        path));
  }
  console.out.flush();
  return console.out.good() ? absl::OkStatus() : Internal("cannot write the output");
}

int ExitCode(const absl::Status& status, const Console& console) {
  if (status.ok()) return kExitOk;
  PrintError(console.err, status);
  return kExitFailed;
}

Action DeclareLs(Command* command) {
  auto arguments = std::make_shared<LsArguments>();
  AddImageOptions(command, &arguments->image);
  command->Add("PATH", &arguments->path, "In the image").ShowDefault();
  command->Flag("-R,--recursive", &arguments->recursive, "Also what is in directories");
  return
      [arguments](const Console& console) { return ExitCode(List(*arguments, console), console); };
}

Action DeclareCat(Command* command) {
  auto arguments = std::make_shared<CatArguments>();
  AddImageOptions(command, &arguments->image);
  // The content is bytes: there is no JSON of it.
  command->Drop("--json");
  command->Add("PATH", &arguments->paths, "In the image; symlinks are followed").Required();
  return [arguments](const Console& console) {
    return ExitCode(Concatenate(*arguments, console), console);
  };
}

}  // namespace

const Verb kLsVerb = {"ls", "List files of an image without mounting it", DeclareLs};
const Verb kCatVerb = {"cat", "Write the content of files of an image", DeclareCat};

}  // namespace slacker::ctl
