#include "backend/erofs/image_builder.h"

#include <utility>

#include "backend/base/status.h"
#include "backend/erofs/image_tree.h"
#include "backend/erofs/image_writer.h"
#include "backend/erofs/xattr_table.h"

namespace slacker {

absl::StatusOr<ErofsImage> BuildErofsImage(const std::vector<const Layer*>& layers,
                                           const ImageSink& sink) {
  const erofs::ImageTree tree = erofs::MergeLayers(layers);
  ASSIGN_OR_RETURN(erofs::DeviceTable devices, erofs::AssignDevices(layers, tree));
  ASSIGN_OR_RETURN(const erofs::XattrTable xattrs, erofs::XattrTable::Build(tree));
  erofs::ImageWriter writer(layers, tree, devices, xattrs);
  RETURN_IF_ERROR(writer.LayOut());
  RETURN_IF_ERROR(writer.Write(sink));
  return ErofsImage{.size_bytes = writer.size_bytes(),
                    .devices = std::move(devices.layers),
                    .inodes = tree.inodes.size()};
}

absl::StatusOr<uint64_t> CheckErofsImage(const std::vector<const Layer*>& layers) {
  const erofs::ImageTree tree = erofs::MergeLayers(layers);
  ASSIGN_OR_RETURN(const erofs::DeviceTable devices, erofs::AssignDevices(layers, tree));
  ASSIGN_OR_RETURN(const erofs::XattrTable xattrs, erofs::XattrTable::Build(tree));
  erofs::ImageWriter writer(layers, tree, devices, xattrs);
  RETURN_IF_ERROR(writer.LayOut());
  return writer.size_bytes();
}

}  // namespace slacker
