#include "engine/data_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "engine/data_folder.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/llm_c_layout.h"
#include "io/megatron_layout.h"
#include "io/retry.h"

namespace mneme::engine {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAsBytes = "set data.format = \"bytes\"";

std::string folder_of(const std::string& path) {
  return fs::path(path).parent_path().string();
}

// Files of tokens of a folder, and what lies beside them.
DataFiles tokens_of(DataFormat format, std::vector<std::string> tokens, const DataFolder& folder) {
  DataFiles files{format, std::move(tokens), {}};
  if (folder.text_files > 0) {
    files.ignored = folder.text;
    if (folder.text_files > 1) {
      files.ignored += fmt::format(" and {} more text files", folder.text_files - 1);
    }
  }
  return files;
}

[[noreturn]] void refuse_stranger(const DataPlace& place, const DataFolder& folder) {
  io::fail(
      "{} {}: {} is no token shard, though named *.bin; move it elsewhere, or set data.format = "
      "\"nanogpt\" if all are uint16 tokens without a header{}",
      place.key, place.path, folder.strangers.front(),
      folder.text_files > 0 ? fmt::format(", or {} to train on text", kAsBytes) : "");
}

// What to do about a folder without the tokens that are asked for; `below`: some in one below.
std::string way_out(const DataPlace& place, const DataFolder& folder, const std::string& below) {
  if (!below.empty()) {
    return fmt::format("one below does: set {} = \"{}\"", place.key, folder_of(below));
  }
  if (folder.text_files > 0) return fmt::format("{} to train on its text", kAsBytes);
  return "name one that does";
}

DataFiles shards_of(const DataPlace& place, const DataFolder& folder) {
  if (!folder.strangers.empty()) refuse_stranger(place, folder);
  if (!folder.indexed.empty()) {
    io::fail(
        "{} {}: {} has an index of Megatron-LM beside it; set data.format = \"megatron\", or move "
        "both elsewhere",
        place.key, place.path, folder.indexed.front());
  }
  if (folder.shards.empty()) {
    io::fail("{} {}: the folder holds no token shards (*.bin); {}", place.key, place.path,
             way_out(place, folder, folder.shard_below));
  }
  return tokens_of(DataFormat::kShards, folder.shards, folder);
}

DataFiles indexed_of(const DataPlace& place, const DataFolder& folder) {
  for (const auto* others : {&folder.strangers, &folder.shards}) {
    if (others->empty()) continue;
    io::fail("{} {}: {} has no index of Megatron-LM beside it ({}); move it elsewhere", place.key,
             place.path, others->front(), io::megatron_index_path(others->front()));
  }
  if (folder.indexed.empty()) {
    io::fail("{} {}: the folder holds no tokens of Megatron-LM (*.bin with *.idx); {}", place.key,
             place.path, way_out(place, folder, folder.indexed_below));
  }
  return tokens_of(DataFormat::kMegatron, folder.indexed, folder);
}

// Who reads the files says which of them are of another layout.
DataFiles headerless_of(const DataPlace& place, const DataFolder& folder) {
  std::vector<std::string> all = folder.strangers;
  for (const auto* others : {&folder.shards, &folder.indexed}) {
    all.insert(all.end(), others->begin(), others->end());
  }
  if (all.empty()) {
    io::fail("{} {}: the folder holds no tokens of nanoGPT (*.bin); {}", place.key, place.path,
             way_out(place, folder, {}));
  }
  std::ranges::sort(all);
  return tokens_of(DataFormat::kNanogpt, std::move(all), folder);
}

DataFiles guess(const DataPlace& place, const DataFolder& folder) {
  if (!folder.strangers.empty()) refuse_stranger(place, folder);
  if (!folder.shards.empty() && !folder.indexed.empty()) {
    io::fail(
        "{} {}: {} is a token shard of llm.c, but {} has an index of Megatron-LM; move one kind "
        "elsewhere",
        place.key, place.path, folder.shards.front(), folder.indexed.front());
  }
  if (!folder.shards.empty()) return shards_of(place, folder);
  if (!folder.indexed.empty()) return indexed_of(place, folder);
  const std::string& below = folder.shard_below.empty() ? folder.indexed_below : folder.shard_below;
  if (!below.empty()) {
    io::fail("{} {}: token shards are in a folder below; set {} = \"{}\"{}", place.key, place.path,
             place.key, folder_of(below),
             folder.text_files > 0 ? fmt::format(", or {} to train on text", kAsBytes) : "");
  }
  if (!folder.shard_as_text.empty()) {
    io::fail(
        "{} {}: {} is a token shard; give it the ending .bin, or {} to train on its "
        "bytes",
        place.key, place.path, folder.shard_as_text, kAsBytes);
  }
  if (folder.text_files == 0) {
    io::fail(
        "{} {}: none of its {} files has an ending of data.extensions; set "
        "data.extensions, or [] for all files",
        place.key, place.path, folder.files);
  }
  return {};
}

DataFiles files_of_folder(const DataPlace& place) {
  if (place.format == DataFormat::kBytes) return {};
  const DataFolder folder = look_into_folder(place);
  switch (place.format) {
    case DataFormat::kShards:
      return shards_of(place, folder);
    case DataFormat::kNanogpt:
      return headerless_of(place, folder);
    case DataFormat::kMegatron:
      return indexed_of(place, folder);
    default:
      return guess(place, folder);
  }
}

DataFiles single_file(const DataPlace& place) {
  DataFormat format = place.format;
  if (format == DataFormat::kAuto && io::has_megatron_index(place.path)) {
    format = DataFormat::kMegatron;
  }
  if (format == DataFormat::kAuto && io::is_llm_c_shard(place.path)) format = DataFormat::kShards;
  if (format == DataFormat::kAuto && fs::path(place.path).extension() == ".bin") {
    io::fail(
        "{} {}: not a token shard, though named *.bin; set data.format = \"nanogpt\" if it is "
        "uint16 tokens without a header, or {} to train on its bytes",
        place.key, place.path, kAsBytes);
  }
  if (format == DataFormat::kMegatron && !io::has_megatron_index(place.path)) {
    io::fail("{} {}: has no index of Megatron-LM beside it ({})", place.key, place.path,
             io::megatron_index_path(place.path));
  }
  if (format == DataFormat::kAuto || format == DataFormat::kBytes) return {};
  return {format, {place.path}, {}};
}

// The path of NAME.bin where NAME, which is no file, or NAME.idx of Megatron-LM is given.
std::string path_of_tokens(const DataPlace& place) {
  const bool may_be = place.format == DataFormat::kAuto || place.format == DataFormat::kMegatron;
  std::error_code ignored;  // what is said of a path is said of the one that was given
  std::string tokens = place.path + ".bin";
  if (fs::path(place.path).extension() == ".idx") {
    tokens = fs::path(place.path).replace_extension(".bin").string();
  }
  const bool is = may_be && fs::is_regular_file(tokens, ignored) && io::has_megatron_index(tokens);
  return is ? tokens : place.path;
}

DataPlace place_of(const char* key, const std::string& path, const DataConfig& config) {
  DataPlace place;
  place.key = key;
  place.path = path;
  place.extensions = config.extensions;
  place.format = config.format;
  place.vocabulary = config.vocabulary;
  place.tokenizer = config.tokenizer;
  place.tokenizer_encoding = config.tokenizer_encoding;
  return place;
}

}  // namespace

DataPlace training_place(const DataConfig& config) {
  return place_of("data.path", config.path, config);
}

DataPlace validation_place(const DataConfig& config) {
  return place_of("data.validation_path", config.validation_path, config);
}

DataFiles find_data_files(const DataPlace& given) {
  if (given.path.empty()) {
    io::fail("{} is not set; name a text file, a folder of text or token shards", given.key);
  }
  DataPlace place = given;
  std::error_code error;
  const auto look = [&] {
    return io::retry_interrupted(
        error, [&](std::error_code& code) { return fs::status(place.path, code); });
  };
  fs::file_status status = look();
  if (status.type() == fs::file_type::not_found || fs::path(place.path).extension() == ".idx") {
    place.path = path_of_tokens(given);
    status = look();
  }
  if (status.type() == fs::file_type::not_found) {
    io::fail(
        "{} {}: there is no such file or folder; name the data with --set {}=PATH, or make it with "
        "mneme prepare (docs/text.md)",
        place.key, place.path, place.key);
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
  return files_of_folder(place);
}

}  // namespace mneme::engine
