#include "tools/mneme/scratch_file.h"

#include <sys/stat.h>

#include <cerrno>

#include "io/benchmark_file.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/log.h"

namespace mneme::tools {
namespace {

// Whether something is there; throws Error when it is not a plain file of a benchmark.
bool is_there(io::Disk& disk, const std::string& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return false;
    io::fail("{}: cannot look at it: {}", path, io::errno_text(errno));
  }
  const char* const kind = S_ISDIR(status.st_mode)   ? "a folder"
                           : S_ISLNK(status.st_mode) ? "a link"
                           : S_ISREG(status.st_mode) ? nullptr
                                                     : "a device or a pipe";
  if (kind != nullptr) {
    io::fail("{}: is {}; --path names the file that the benchmark makes", path, kind);
  }
  if (!io::is_benchmark_file(disk, path)) {
    io::fail("{}: is there already and no file of this benchmark; --path names another", path);
  }
  return true;
}

}  // namespace

ScratchFile::ScratchFile(io::Disk& disk, const BenchDiskOptions& options)
    : disk_(disk), path_(options.path), keep_(options.keep) {
  if (is_there(disk_, path_) && !options.reuse) {
    io::fail("{}: is there already, from an earlier benchmark; --reuse takes or overwrites it",
             path_);
  }
}

ScratchFile::~ScratchFile() {
  if (keep_) return;
  try {
    remove();
  } catch (const io::Error& error) {
    // The result matters more than a file that stayed.
    io::warn("{}", error.what());
  }
}

void ScratchFile::remove() {
  if (is_there(disk_, path_)) disk_.remove(path_);
}

void ScratchFile::publish(const std::string& finished) {
  if (!keep_) return;
  {
    io::OpenOptions open;
    open.depth = 1;
    const auto file = disk_.open(finished, open);
    const std::uint64_t blocks =
        (file->size_bytes() + io::kBenchmarkMarkBytes - 1) / io::kBenchmarkMarkBytes;
    io::write_benchmark_mark(*file, {blocks * io::kBenchmarkMarkBytes, false});
  }
  remove();
  disk_.rename(finished, path_);
}

}  // namespace mneme::tools
