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

struct DiffArguments {
  ImageArguments before;  // with everything but the second image's name
  std::string after;
  std::string path = "/";
};

struct Side {
  ReadableImage opened;
  std::unique_ptr<ImageView> view;
};

absl::StatusOr<Side> OpenSide(const ImageArguments& arguments) {
  Side side;
  ASSIGN_OR_RETURN(side.opened, OpenForReading(arguments));
  ASSIGN_OR_RETURN(side.view,
                   ImageView::Open(side.opened.reader.get(), side.opened.found.chain_id));
  return side;
}

std::string Arrow(const std::string& before, const std::string& after) {
  return " " + before + " -> " + after;
}

std::string Owner(const Node& node) {
  return std::to_string(node.uid) + ":" + std::to_string(node.gid);
}

class Report {
 public:
  Report(const Side& before, const Side& after, std::string top, bool json, const Console& console)
      : before_(*before.view),
        after_(*after.view),
        top_(std::move(top)),
        json_(json),
        console_(console),
        list_(&console.out) {}

  absl::Status Add(const TreeChange& change) {
    const std::string path = PathOf(change);
    if (json_) {
      list_.Add(ToJson(change, path));
    } else {
      const std::string_view gap = console_.terminal ? "  " : "\t";
      console_.out << "ADM"[static_cast<size_t>(change.kind)] << gap << Escape(path);
      if (change.kind == TreeChange::Kind::kChanged) console_.out << gap << Escape(What(change));
      console_.out << '\n';
    }
    return console_.out.good() ? absl::OkStatus() : Internal("cannot write the output");
  }

  // `status`: whether that was all.
  absl::Status End(absl::Status status) {
    if (json_) list_.End(status);
    return status;
  }

 private:
  std::string PathOf(const TreeChange& change) const {
    if (change.path.empty()) return top_;
    return top_ + (top_.ends_with('/') ? "" : "/") + std::string(change.path);
  }

  // The names of what changed, with the values before and after where they are short.
  std::vector<std::pair<std::string, std::string>> Parts(const TreeChange& change) const {
    const erofs::TreeInode& a = before_.inode(change.before);
    const erofs::TreeInode& b = after_.inode(change.after);
    std::vector<std::pair<std::string, std::string>> parts;
    if (change.type) parts.emplace_back("type", Arrow(TypeText(*a.node), TypeText(*b.node)));
    if (change.mode) parts.emplace_back("mode", Arrow(OctalMode(*a.node), OctalMode(*b.node)));
    if (change.owner) parts.emplace_back("owner", Arrow(Owner(*a.node), Owner(*b.node)));
    if (change.size) {
      parts.emplace_back(
          "size", Arrow(std::to_string(before_.SizeOf(a)), std::to_string(after_.SizeOf(b))));
    }
    if (change.content) parts.emplace_back("content", "");
    if (change.content_unknown) parts.emplace_back("content?", "");
    if (change.target)
      parts.emplace_back("target", Arrow(std::string(a.node->target), std::string(b.node->target)));
    if (change.device) parts.emplace_back("device", "");
    if (change.xattrs) parts.emplace_back("xattrs", "");
    return parts;
  }

  std::string What(const TreeChange& change) const {
    std::string text;
    for (const auto& [name, values] : Parts(change)) {
      text += (text.empty() ? "" : ", ") + name + values;
    }
    return text;
  }

  nlohmann::json ToJson(const TreeChange& change, const std::string& path) const {
    static constexpr const char* kKinds[] = {"added", "removed", "changed"};
    nlohmann::json json = {{"change", kKinds[static_cast<size_t>(change.kind)]}};
    SetBytes(&json, "path", path);
    if (change.before != kNone) json["before"] = InodeJson(before_, before_.inode(change.before));
    if (change.after != kNone) json["after"] = InodeJson(after_, after_.inode(change.after));
    if (change.kind == TreeChange::Kind::kChanged) {
      for (const auto& [name, values] : Parts(change)) json["what"].push_back(name);
    }
    return json;
  }

  const ImageView& before_;
  const ImageView& after_;
  const std::string top_;
  const bool json_;
  const Console& console_;
  JsonList list_;
};

absl::Status Compare(const DiffArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const Side before, OpenSide(arguments.before));
  ImageArguments second = arguments.before;
  second.image = arguments.after;
  ASSIGN_OR_RETURN(const Side after, OpenSide(second));
  ASSIGN_OR_RETURN(const uint32_t left, before.view->Resolve(arguments.path, /*follow=*/false));
  ASSIGN_OR_RETURN(const uint32_t right, after.view->Resolve(arguments.path, /*follow=*/false));
  const std::string top = (arguments.path.starts_with('/') ? "" : "/") + arguments.path;
  Report report(before, after, top, arguments.before.common.json, console);
  return report.End(CompareTrees(*before.view, left, *after.view, right,
                                 [&](const TreeChange& change) { return report.Add(change); }));
}

Action DeclareDiff(Command* command) {
  auto arguments = std::make_shared<DiffArguments>();
  command->Add("IMAGE1", &arguments->before.image, "Image name or chain ID").Required();
  command->Add("IMAGE2", &arguments->after, "Image name or chain ID").Required();
  command->Add("PATH", &arguments->path, "Only this, and what is below").ShowDefault();
  AddImageOptions(command, &arguments->before, /*positional=*/false);
  return [arguments](const Console& console) {
    const absl::Status status = Compare(*arguments, console);
    if (!status.ok()) PrintError(console.err, status);
    return status.ok() ? kExitOk : kExitFailed;
  };
}

}  // namespace

const Verb kDiffVerb = {"diff", "Show how two images differ, without reading their files",
                        DeclareDiff};

}  // namespace slacker::ctl
