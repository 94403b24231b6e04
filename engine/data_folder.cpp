#include "engine/data_folder.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "io/errno_text.h"
#include "io/error.h"
#include "io/llm_c_layout.h"
#include "io/megatron_layout.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

bool is_named_tokens(const fs::path& path) {
  return path.extension() == ".bin" && !path.filename().string().starts_with('.');
}

// Who reads a file says why it cannot be read.
template <typename Question>
bool is_certainly(const Question& question, const std::string& path) {
  try {
    return question(path);
  } catch (const io::Error&) {
    return false;
  }
}

void look_for_tokens(const DataPlace& place, DataFolder& folder) {
  std::error_code error;
  fs::directory_iterator entry(place.path, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // a link to nothing is no folder
    if (!is_named_tokens(entry->path()) || entry->is_directory(ignored)) continue;
    const std::string path = entry->path().string();
    if (io::has_megatron_index(path)) {
      folder.indexed.push_back(path);
    } else {
      (io::is_llm_c_shard(path) ? folder.shards : folder.strangers).push_back(path);
    }
  }
  if (error) {
    io::fail("{} {}: cannot list the folder: {}", place.key, place.path,
             io::errno_text(error.value()));
  }
  for (auto* files : {&folder.shards, &folder.indexed, &folder.strangers}) {
    std::ranges::sort(*files);
  }
}

void look_below(const std::string& path, DataFolder& folder) {
  if (folder.indexed_below.empty() && is_certainly(io::has_megatron_index, path)) {
    folder.indexed_below = path;
  } else if (folder.shard_below.empty() && is_certainly(io::is_llm_c_shard, path)) {
    folder.shard_below = path;
  }
}

// The index of tokens that are read is read with them.
bool is_index(const fs::path& path) {
  if (path.extension() != ".idx") return false;
  return is_certainly(io::has_megatron_index, fs::path(path).replace_extension(".bin").string());
}

void look_for_text(const DataPlace& place, DataFolder& folder) {
  std::error_code error;
  fs::recursive_directory_iterator entry(place.path, fs::directory_options::skip_permission_denied,
                                         error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    ++folder.files;
    const std::string path = entry->path().string();
    if (is_named_tokens(entry->path())) {
      if (entry.depth() == 0) continue;  // seen already
      look_below(path, folder);
    }
    const bool is_text = place.extensions.empty() ||
                         std::ranges::any_of(place.extensions, [&](const std::string& ending) {
                           return path.ends_with(ending);
                         });
    if (!is_text || is_index(entry->path())) continue;
    ++folder.text_files;
    if (folder.text.empty() || path < folder.text) folder.text = path;
    // Beside shards no text is read.
    if (folder.shards.empty() && folder.shard_as_text.empty() &&
        is_certainly(io::is_llm_c_shard, path)) {
      folder.shard_as_text = path;
    }
  }
}

}  // namespace

DataFolder look_into_folder(const DataPlace& place) {
  DataFolder folder;
  look_for_tokens(place, folder);
  look_for_text(place, folder);
  return folder;
}

}  // namespace mneme::engine
