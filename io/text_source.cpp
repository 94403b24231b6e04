#include "io/text_source.h"

#include <algorithm>
#include <filesystem>
#include <new>

#include "io/disk.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/retry.h"
#include "io/utf8.h"

namespace mneme::io {
namespace {

namespace fs = std::filesystem;

bool has_extension(const std::string& path, const std::vector<std::string>& extensions) {
  return extensions.empty() || std::ranges::any_of(extensions, [&](const std::string& extension) {
           return path.ends_with(extension);
         });
}

bool is_folder(const std::string& path) {
  std::error_code error;
  const bool is_directory =
      retry_interrupted(error, [&](std::error_code& code) { return fs::is_directory(path, code); });
  if (error) fail("{}: cannot read: {}", path, errno_text(error.value()));
  return is_directory;
}

std::vector<std::string> files_below(const std::string& folder, const TextSourceOptions& options,
                                     std::error_code& error) {
  std::vector<std::string> paths;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // a link to nothing is no regular file
    const std::string path = entry->path().string();
    if (entry->is_regular_file(ignored) && has_extension(path, options.extensions)) {
      paths.push_back(path);
    }
  }
  std::ranges::sort(paths);
  return paths;
}

}  // namespace

std::vector<std::string> list_text_files(const std::string& path,
                                         const TextSourceOptions& options) {
  std::error_code error;
  if (!is_folder(path)) return {path};
  std::vector<std::string> paths = retry_interrupted(
      error, [&](std::error_code& code) { return files_below(path, options, code); });
  if (error) fail("{}: cannot list: {}", path, errno_text(error.value()));
  return paths;
}

TextSource read_text_source(const std::string& path, const TextSourceOptions& options) {
  std::error_code error;
  const std::vector<std::string> paths = list_text_files(path, options);

  std::uint64_t total = 0;
  std::vector<std::uint64_t> sizes;
  for (const std::string& file : paths) {
    sizes.push_back(
        retry_interrupted(error, [&](std::error_code& code) { return fs::file_size(file, code); }));
    if (error) fail("{}: cannot read: {}", file, errno_text(error.value()));
    total += sizes.back();
  }
  if (total == 0) {
    fail("{}: {}", path,
         is_folder(path) ? "no text in any of its files; check the folder and the extensions"
                         : "the file is empty; training needs text");
  }
  if (total > options.max_bytes) {
    fail("{}: {} bytes of text, at most {} are allowed", path, total, options.max_bytes);
  }

  TextSource source;
  try {
    source.bytes.reserve(total);
  } catch (const std::bad_alloc&) {
    fail("{}: no memory for {} bytes of text; convert it to token shards", path, total);
  }
  const auto disk = make_posix_disk();
  Phase phase("reading the text of " + printable(path), total);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (sizes[i] == 0) continue;
    const std::vector<std::byte> content = disk->read_file(paths[i], sizes[i]);
    if (content.size() != sizes[i]) {
      fail("{}: has become shorter while the text was read; try again when it is complete",
           paths[i]);
    }
    const std::uint64_t begin = source.bytes.size();
    source.bytes.insert(source.bytes.end(), content.begin(), content.end());
    source.files.push_back({paths[i], begin, source.bytes.size()});
    phase.add(sizes[i]);
  }
  return source;
}

}  // namespace mneme::io
