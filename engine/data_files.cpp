#include "engine/data_files.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include "io/errno_text.h"
#include "io/error.h"
#include "io/retry.h"
#include "io/token_shards.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAsBytes = "set data.format = \"bytes\"";

// What lies in a folder, as far as it could be data.
struct Contents {
  std::vector<std::string> shards;     // *.bin files in it that are shards
  std::vector<std::string> strangers;  // *.bin entries in it that are none
  std::string shard_below;             // a shard in a folder below; one of them
  std::string shard_as_text;           // a shard whose name would be taken for text's; one of them
  std::string text;                    // a file that counts as text; one of them
  std::uint64_t text_files = 0;
  std::uint64_t files = 0;
};

bool is_named_shard(const fs::path& path) {
  return path.extension() == ".bin" && !path.filename().string().starts_with('.');
}

std::string folder_of(const std::string& path) {
  return fs::path(path).parent_path().string();
}

// Who reads a file says why it cannot be read.
bool looks_like_shard(const std::string& path) {
  try {
    return io::is_token_shard(path);
  } catch (const io::Error&) {
    return false;
  }
}

void look_for_shards(const std::string& folder, Contents& contents) {
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // a link to nothing is no folder
    if (!is_named_shard(entry->path()) || entry->is_directory(ignored)) continue;
    const std::string path = entry->path().string();
    (io::is_token_shard(path) ? contents.shards : contents.strangers).push_back(path);
  }
  if (error) {
    io::fail("data.path {}: cannot list the folder: {}", folder, io::errno_text(error.value()));
  }
  std::ranges::sort(contents.shards);
  std::ranges::sort(contents.strangers);
}

void look_for_text(const DataConfig& config, Contents& contents) {
  std::error_code error;
  fs::recursive_directory_iterator entry(config.path, fs::directory_options::skip_permission_denied,
                                         error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    ++contents.files;
    const std::string path = entry->path().string();
    if (is_named_shard(entry->path())) {
      if (entry.depth() == 0) continue;  // seen already
      if (contents.shard_below.empty() && looks_like_shard(path)) contents.shard_below = path;
    }
    const bool is_text = config.extensions.empty() ||
                         std::ranges::any_of(config.extensions, [&](const std::string& ending) {
                           return path.ends_with(ending);
                         });
    if (!is_text) continue;
    ++contents.text_files;
    if (contents.text.empty() || path < contents.text) contents.text = path;
    // Beside shards no text is read.
    if (contents.shards.empty() && contents.shard_as_text.empty() && looks_like_shard(path)) {
      contents.shard_as_text = path;
    }
  }
}

Contents look_into(const DataConfig& config) {
  Contents contents;
  look_for_shards(config.path, contents);
  look_for_text(config, contents);
  return contents;
}

DataFiles shards_of(const DataConfig& config, const Contents& contents) {
  if (!contents.strangers.empty()) {
    io::fail("data.path {}: {} is no token shard, though named *.bin; move it elsewhere{}",
             config.path, contents.strangers.front(),
             contents.text_files > 0 ? fmt::format(", or {} to train on text", kAsBytes) : "");
  }
  if (contents.shards.empty()) {
    std::string way_out = "name one that does";
    if (!contents.shard_below.empty()) {
      way_out =
          fmt::format("one below does: set data.path = \"{}\"", folder_of(contents.shard_below));
    } else if (contents.text_files > 0) {
      way_out = fmt::format("{} to train on its text", kAsBytes);
    }
    io::fail("data.path {}: the folder holds no token shards (*.bin); {}", config.path, way_out);
  }
  DataFiles files{DataFormat::kShards, contents.shards, {}};
  if (contents.text_files > 0) {
    files.ignored = contents.text;
    if (contents.text_files > 1) {
      files.ignored += fmt::format(" and {} more text files", contents.text_files - 1);
    }
  }
  return files;
}

DataFiles guess(const DataConfig& config, const Contents& contents) {
  if (!contents.shards.empty() || !contents.strangers.empty()) return shards_of(config, contents);
  if (!contents.shard_below.empty()) {
    io::fail("data.path {}: token shards are in a folder below; set data.path = \"{}\"{}",
             config.path, folder_of(contents.shard_below),
             contents.text_files > 0 ? fmt::format(", or {} to train on text", kAsBytes) : "");
  }
  if (!contents.shard_as_text.empty()) {
    io::fail(
        "data.path {}: {} is a token shard; give it the ending .bin, or {} to train on its "
        "bytes",
        config.path, contents.shard_as_text, kAsBytes);
  }
  if (contents.text_files == 0) {
    io::fail(
        "data.path {}: none of its {} files has an ending of data.extensions; set "
        "data.extensions, or [] for all files",
        config.path, contents.files);
  }
  return {};
}

DataFiles single_file(const DataConfig& config) {
  const DataFiles shard{DataFormat::kShards, {config.path}, {}};
  switch (config.format) {
    case DataFormat::kBytes:
      return {};
    case DataFormat::kShards:
      return shard;
    case DataFormat::kAuto:
      break;
  }
  if (io::is_token_shard(config.path)) return shard;
  if (fs::path(config.path).extension() == ".bin") {
    io::fail("data.path {}: not a token shard, though named *.bin; {} to train on its bytes",
             config.path, kAsBytes);
  }
  return {};
}

}  // namespace

DataFiles find_data_files(const DataConfig& config) {
  if (config.path.empty()) {
    io::fail("data.path is not set; name a text file, a folder of text or token shards");
  }
  std::error_code error;
  const fs::file_status status = io::retry_interrupted(
      error, [&](std::error_code& code) { return fs::status(config.path, code); });
  if (status.type() == fs::file_type::not_found) {
    io::fail(
        "data.path {}: there is no such file or folder; name the data with --set data.path=PATH",
        config.path);
  }
  if (status.type() == fs::file_type::none) {
    io::fail("data.path {}: cannot look at it: {}", config.path, io::errno_text(error.value()));
  }
  if (fs::is_regular_file(status)) return single_file(config);
  if (!fs::is_directory(status)) {
    io::fail(
        "data.path {}: neither a file nor a folder; data is read more than once, copy it to a "
        "file",
        config.path);
  }
  if (config.format == DataFormat::kBytes) return {};
  const Contents contents = look_into(config);
  return config.format == DataFormat::kShards ? shards_of(config, contents)
                                              : guess(config, contents);
}

}  // namespace mneme::engine
