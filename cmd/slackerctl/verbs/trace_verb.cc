// trace record, show and rm: what the starts of an image read.
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/status.h"
#include "backend/publish/boot_publisher.h"
#include "backend/publish/trace_publisher.h"
#include "backend/store/names.h"
#include "backend/view/image_view.h"
#include "cmd/common/key_files.h"
#include "cmd/common/sibling_program.h"
#include "cmd/slackerctl/mount/image_process.h"
#include "cmd/slackerctl/verbs/trace_record.h"
#include "cmd/slackerctl/verbs/trace_text.h"
#include "cmd/slackerctl/verbs/verbs.h"
#include "snapshotter/boot/start_traces.h"

namespace slacker::ctl {
namespace {

struct TraceArguments {
  std::string action;
  ImageArguments image;
  RecordOptions record;
  std::string key;   // "" = none
  std::string root;  // of a node
};

// The image in a store that can be written.
struct WritableImage {
  std::shared_ptr<Backend> store;
  ReadableImage readable;
};

absl::StatusOr<WritableImage> OpenForWriting(const ImageArguments& arguments) {
  WritableImage image;
  ASSIGN_OR_RETURN(image.store, OpenExistingBackend(arguments.common.store));
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  ASSIGN_OR_RETURN(image.readable.found,
                   FindImage(*image.store, arguments.image, arguments.platform));
  image.readable.store = image.store;
  image.readable.reader = std::make_unique<StoreReader>(image.store, std::move(trust));
  return image;
}

absl::Status Record(TraceArguments& arguments, const Console& console) {
  // First of all: there are no threads yet.
  ASSIGN_OR_RETURN(ImageProcess process, ImageProcess::Fork());
  ASSIGN_OR_RETURN(const UniqueFd interrupts, BlockInterrupts());
  ASSIGN_OR_RETURN(arguments.record.mount.programs, ProgramDirectory());
  arguments.record.mount.stall_timeout = std::chrono::seconds(arguments.record.seconds);
  ASSIGN_OR_RETURN(const WritableImage image, OpenForWriting(arguments.image));
  ASSIGN_OR_RETURN(const StartTrace trace,
                   RecordStart(arguments.record, image.readable, process, interrupts, console));
  if (trace.ranges.empty()) return FailedPrecondition("the command read nothing of the image");
  std::optional<SigningKey> key;
  if (!arguments.key.empty()) {
    ASSIGN_OR_RETURN(key, ReadSigningKey(arguments.key));
  }
  ASSIGN_OR_RETURN(const Manifest manifest, image.readable.reader->ReadManifest(trace.chain_id));
  ASSIGN_OR_RETURN(const MergedTraces merged, PublishTraces(image.store, manifest, {trace},
                                                            key.has_value() ? &*key : nullptr));
  const uint64_t bytes = PagesOf(trace) * kTracePageBytes;
  if (arguments.image.common.json) {
    PrintJson(console.out, {{"chain_id", trace.chain_id.ToString()},
                            {"read_bytes", bytes},
                            {"starts", merged.merged.starts},
                            {"merged_bytes", PagesOf(merged.merged) * kTracePageBytes}});
  } else {
    console.out << "recorded " << trace.chain_id.ToString() << ": " << HumanSize(bytes)
                << " read; the boot pack is made of " << merged.merged.starts
                << (merged.merged.starts == 1 ? " start" : " starts") << std::endl;
  }
  return absl::OkStatus();
}

// The trace that is shown: a node's, or what is merged in the store with what waits there.
absl::StatusOr<StartTrace> ReadTrace(const TraceArguments& arguments, const Digest& chain_id,
                                     ReadBackend& store) {
  absl::StatusOr<StartTrace> trace = arguments.root.empty()
                                         ? ReadMergedTrace(store, chain_id)
                                         : ReadNodeTrace(arguments.root, chain_id);
  if (absl::IsNotFound(trace.status())) {
    return NotFound("no start of " + chain_id.ToString() + " was traced");
  }
  return trace;
}

absl::Status Show(const TraceArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const ReadableImage image, OpenForReading(arguments.image));
  ASSIGN_OR_RETURN(const StartTrace trace,
                   ReadTrace(arguments, image.found.chain_id, *image.store));
  ASSIGN_OR_RETURN(const std::unique_ptr<ImageView> view,
                   ImageView::Open(image.reader.get(), image.found.chain_id));
  ASSIGN_OR_RETURN(const std::vector<TracedPart> parts, PartsOf(trace, *view));
  if (arguments.image.common.json) {
    PrintJson(console.out, TraceJson(trace, parts));
  } else {
    PrintParts(console, trace, parts);
  }
  return absl::OkStatus();
}

// Without traces the boot pack is made of a guess again.
absl::Status Remove(const TraceArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const WritableImage image, OpenForWriting(arguments.image));
  const FoundImage& found = image.readable.found;
  if (!found.entry.has_value()) {
    return NotFound("no image with the chain " + found.chain_id.ToString() + " is published");
  }
  ASSIGN_OR_RETURN(const Manifest manifest, image.readable.reader->ReadManifest(found.chain_id));
  std::vector<Digest> records;
  for (const ManifestLayer& layer : manifest.layers) records.push_back(layer.record);
  RETURN_IF_ERROR(RemoveTraces(*image.store, found.chain_id));
  RETURN_IF_ERROR(image.store->Remove(BootPackName(found.chain_id)));
  RETURN_IF_ERROR(
      PublishBootPack(image.store, found.chain_id, records, found.entry->config_json, nullptr, {}));
  if (!arguments.image.common.json) {
    console.out << "removed the traces of " << found.chain_id.ToString() << std::endl;
  }
  return absl::OkStatus();
}

absl::Status RunTrace(TraceArguments& arguments, const Console& console) {
  if (arguments.action == "record") return Record(arguments, console);
  if (arguments.action == "show") return Show(arguments, console);
  return Remove(arguments, console);
}

Action DeclareTrace(Command* command) {
  auto arguments = std::make_shared<TraceArguments>();
  command->Add("ACTION", &arguments->action, "record, show or rm")
      .Required()
      .OneOf({"record", "show", "rm"});
  AddImageOptions(command, &arguments->image);
  command->Add("COMMAND", &arguments->record.command,
               "record: what runs, behind -- (default: what the image runs)");
  command
      ->Add("--seconds", &arguments->record.seconds,
            "record: so long at most; a command that still runs is ended")
      .Between(1, 3600)
      .ShowDefault();
  command->Add("--root", &arguments->root,
               "show: of the node with this root directory, not of the store");
  command
      ->Add("--state-dir", &arguments->record.mount.state_dir,
            "record: where what was read is kept meanwhile")
      .ShowDefault();
  command
      ->Add("--run-dir", &arguments->record.mount.run_dir, "record: where the keeper's socket is")
      .ShowDefault();
  AddSigningKey(command, &arguments->key);
  command->SetFooter(
      "record mounts the image and runs COMMAND in it, as root, in namespaces of its own on a "
      "writable copy in memory, with this machine's network; what it reads is merged with what is "
      "known of earlier starts, and the image's boot pack is made of that, signed with --key: "
      "without it the "
      "pack of a signed image has whole chunks. show lists what is "
      "usual "
      "at a start, in its order. rm forgets it: the boot pack is made of a guess again.");
  command->Demand("COMMAND", "is for record alone", [arguments] {
    return arguments->action == "record" || arguments->record.command.empty();
  });
  return [arguments](const Console& console) {
    const absl::Status status = RunTrace(*arguments, console);
    if (!status.ok()) PrintError(console.err, status);
    return status.ok() ? kExitOk : kExitFailed;
  };
}

}  // namespace

const Verb kTraceVerb = {"trace", "Record, show or forget what the start of an image reads",
                         DeclareTrace};

}  // namespace slacker::ctl
