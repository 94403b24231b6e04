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

void look_for_shards(const DataPlace& place, Contents& contents) {
  std::error_code error;
  fs::directory_iterator entry(place.path, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // a link to nothing is no folder
    if (!is_named_shard(entry->path()) || entry->is_directory(ignored)) continue;
    const std::string path = entry->path().string();
    (io::is_token_shard(path) ? contents.shards : contents.strangers).push_back(path);
  }
  if (error) {
    io::fail("{} {}: cannot list the folder: {}", place.key, place.path,
             io::errno_text(error.value()));
  }
  std::ranges::sort(contents.shards);
  std::ranges::sort(contents.strangers);
}

void look_for_text(const DataPlace& place, Contents& contents) {
  std::error_code error;
  fs::recursive_directory_iterator entry(place.path, fs::directory_options::skip_permission_denied,
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
    const bool is_text = place.extensions.empty() ||
                         std::ranges::any_of(place.extensions, [&](const std::string& ending) {
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

Contents look_into(const DataPlace& place) {
  Contents contents;
  look_for_shards(place, contents);
  look_for_text(place, contents);
  return contents;
}

DataFiles shards_of(const DataPlace& place, const Contents& contents) {
  if (!contents.strangers.empty()) {
    io::fail("{} {}: {} is no token shard, though named *.bin; move it elsewhere{}", place.key,
             place.path, contents.strangers.front(),
             contents.text_files > 0 ? fmt::format(", or {} to train on text", kAsBytes) : "");
  }
  if (contents.shards.empty()) {
    std::string way_out = "name one that does";
    if (!contents.shard_below.empty()) {
      way_out = fmt::format("one below does: set {} = \"{}\"", place.key,
                            folder_of(contents.shard_below));
    } else if (contents.text_files > 0) {
      way_out = fmt::format("{} to train on its text", kAsBytes);
    }
    io::fail("{} {}: the folder holds no token shards (*.bin); {}", place.key, place.path, way_out);
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

DataFiles guess(const DataPlace& place, const Contents& contents) {
  if (!contents.shards.empty() || !contents.strangers.empty()) return shards_of(place, contents);
  if (!contents.shard_below.empty()) {
    io::fail("{} {}: token shards are in a folder below; set {} = \"{}\"{}", place.key, place.path,
             place.key, folder_of(contents.shard_below),
             contents.text_files > 0 ? fmt::format(", or {} to train on text", kAsBytes) : "");
  }
  if (!contents.shard_as_text.empty()) {
    io::fail(
        "{} {}: {} is a token shard; give it the ending .bin, or {} to train on its "
        "bytes",
        place.key, place.path, contents.shard_as_text, kAsBytes);
  }
  if (contents.text_files == 0) {
    io::fail(
        "{} {}: none of its {} files has an ending of data.extensions; set "
        "data.extensions, or [] for all files",
        place.key, place.path, contents.files);
  }
  return {};
}

DataFiles single_file(const DataPlace& place) {
  const DataFiles shard{DataFormat::kShards, {place.path}, {}};
  switch (place.format) {
    case DataFormat::kBytes:
      return {};
    case DataFormat::kShards:
      return shard;
    case DataFormat::kAuto:
      break;
  }
  if (io::is_token_shard(place.path)) return shard;
  if (fs::path(place.path).extension() == ".bin") {
    io::fail("{} {}: not a token shard, though named *.bin; {} to train on its bytes", place.key,
             place.path, kAsBytes);
  }
  return {};
}

}  // namespace

DataPlace training_place(const DataConfig& config) {
  return {"data.path", config.path, config.extensions, config.format, config.vocabulary};
}

DataPlace validation_place(const DataConfig& config) {
  return {"data.validation_path", config.validation_path, config.extensions, config.format,
          config.vocabulary};
}

DataFiles find_data_files(const DataPlace& place) {
  if (place.path.empty()) {
    io::fail("{} is not set; name a text file, a folder of text or token shards", place.key);
  }
  std::error_code error;
  const fs::file_status status = io::retry_interrupted(
      error, [&](std::error_code& code) { return fs::status(place.path, code); });
  if (status.type() == fs::file_type::not_found) {
    io::fail("{} {}: there is no such file or folder; name the data with --set {}=PATH", place.key,
             place.path, place.key);
  }
  if (status.type() == fs::file_type::none) {
    io::fail("{} {}: cannot look at it: {}", place.key, place.path, io::errno_text(error.value()));
  }
  if (fs::is_regular_file(status)) return single_file(place);
  if (!fs::is_directory(status)) {
    io::fail(
        "{} {}: neither a file nor a folder; data is read more than once, copy it to a "
        "file",
        place.key, place.path);
  }
  if (place.format == DataFormat::kBytes) return {};
  const Contents contents = look_into(place);
  return place.format == DataFormat::kShards ? shards_of(place, contents) : guess(place, contents);
}

}  // namespace mneme::engine
