// A disk as slow as an emulated link: reads and writes of all its files share the link, and a
// completion is handed out when the link is through with it, or when it comes, if that is later.
#pragma once

#include <memory>
#include <string>

#include "io/emulated_link.h"
#include "io/forwarding_disk.h"

namespace mneme::io {

class PacedDisk final : public ForwardingDisk {
 public:
  // Both must outlive the disk, and the disk its files.
  PacedDisk(Disk& inner, EmulatedLink& link) : ForwardingDisk(inner), link_(link) {}

  std::unique_ptr<BlockFile> open(const std::string& path, const OpenOptions& options) override;

 private:
  EmulatedLink& link_;
};

}  // namespace mneme::io
