// The file that `mneme bench disk` writes, which it removes at the end unless it is to be kept. No
// other file is ever overwritten or removed: whatever has no mark of a benchmark
// (io/benchmark_file.h), folders, devices and links are refused and left alone.
#pragma once

#include <string>

#include "io/disk.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

class ScratchFile {
 public:
  // Throws Error when the path is taken: by a file of a benchmark that may not be reused, or by
  // anything else. `disk` must outlive the object.
  ScratchFile(io::Disk& disk, const BenchDiskOptions& options);
  // Removes the file, if a benchmark made it and it is not to be kept.
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  // Removes the reused file, to make room for another one.
  void remove();
  // Gives a complete file of a benchmark this one's path and a mark, when it is to be kept.
  void publish(const std::string& finished);

 private:
  io::Disk& disk_;
  std::string path_;
  bool keep_;
};

}  // namespace mneme::tools
