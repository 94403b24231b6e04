#include "text/corpus/source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "io/errno_text.h"
#include "io/error.h"
#include "io/retry.h"

namespace mneme::text {
namespace {

namespace fs = std::filesystem;

struct Kind {
  SourceKind kind = SourceKind::kText;
  Compression compression = Compression::kNone;
};

// Nothing where the ending says nothing about the content.
std::optional<Kind> kind_of(std::string_view path) {
  Kind kind;
  if (path.ends_with(".gz")) {
    kind.compression = Compression::kGzip;
    path.remove_suffix(3);
  } else if (path.ends_with(".zst")) {
    kind.compression = Compression::kZstd;
    path.remove_suffix(4);
  }
  if (path.ends_with(".jsonl")) {
    kind.kind = SourceKind::kJsonLines;
    return kind;
  }
  if (path.ends_with(".txt") || path.ends_with(".md")) return kind;
  return std::nullopt;
}

// A file that is named: compressed text may have no other ending (dump.gz).
Kind kind_of_named(std::string_view path) {
  if (const auto kind = kind_of(path)) return *kind;
  if (path.ends_with(".gz")) return {SourceKind::kText, Compression::kGzip};
  if (path.ends_with(".zst")) return {SourceKind::kText, Compression::kZstd};
  return {};
}

Source source_of(const std::string& path, const Kind& kind) {
  struct stat status = {};
  if (io::retry_interrupted([&] { return ::stat(path.c_str(), &status); }) != 0) {
    io::fail("{}: cannot read: {}", path, io::errno_text(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    io::fail(
        "{}: not a regular file, which a work that goes on after a stop needs; write it to one",
        path);
  }
  Source source;
  source.path = path;
  source.kind = kind.kind;
  source.compression = kind.compression;
  source.bytes = static_cast<std::uint64_t>(status.st_size);
  source.modified_ns = std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  return source;
}

std::vector<std::string> files_below(const std::string& folder, std::error_code& error) {
  std::vector<std::string> paths;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // a link to nothing is no regular file
    if (entry->is_regular_file(ignored)) paths.push_back(entry->path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

void add_folder(const std::string& folder, SourceList& list) {
  std::error_code error;
  const std::vector<std::string> paths = io::retry_interrupted(
      error, [&](std::error_code& code) { return files_below(folder, code); });
  if (error) io::fail("{}: cannot list: {}", folder, io::errno_text(error.value()));
  const std::size_t before = list.sources.size();
  for (const std::string& path : paths) {
    if (const auto kind = kind_of(path)) {
      list.sources.push_back(source_of(path, *kind));
    } else if (list.left_out++ == 0) {
      list.first_left_out = path;
    }
  }
  if (list.sources.size() == before) {
    io::fail(
        "{}: none of its {} files ends in .txt, .md or .jsonl, or these with .gz or .zst; name the "
        "files themselves",
        folder, paths.size());
  }
}

}  // namespace

std::uint64_t SourceList::bytes() const {
  std::uint64_t all = 0;
  for (const Source& source : sources) all += source.bytes;
  return all;
}

SourceList find_sources(std::span<const std::string> inputs) {
  SourceList list;
  for (const std::string& input : inputs) {
    std::error_code error;
    const bool is_folder = io::retry_interrupted(
        error, [&](std::error_code& code) { return fs::is_directory(input, code); });
    if (error) io::fail("{}: cannot read: {}", input, io::errno_text(error.value()));
    if (is_folder) {
      add_folder(input, list);
    } else {
      list.sources.push_back(source_of(input, kind_of_named(input)));
    }
  }
  return list;
}

}  // namespace mneme::text
