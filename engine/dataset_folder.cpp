#include "engine/dataset_folder.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/checksum.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/token_layout.h"
#include "io/utf8.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;  // a line for each source
constexpr int kVersion = 1;
constexpr const char* kFormat = "mneme dataset";
constexpr std::int64_t kMostVocabulary = std::int64_t{1} << 31;

// What dataset.json says, as far as training needs it.
struct Dataset {
  io::TokenLayout layout = io::TokenLayout::kLlmC;
  std::int64_t vocabulary = 0;
  std::string tokenizer_file, tokenizer_checksum, tokenizer_encoding = "auto";
  std::int64_t separator = -1;
  std::uint64_t validation_tokens = 0;
  std::vector<std::string> files;  // of tokens, from the folder on
};

// Of a damaged file.
struct Contradiction {
  std::string what;
};

// An integer from `least` to `most`.
std::int64_t integer_of(const nlohmann::json& json, std::int64_t least, std::int64_t most) {
  const bool is_in = json.is_number_integer() && json >= least && json <= most;
  if (!is_in)
    throw Contradiction{fmt::format("{} is no number from {} to {}", json.dump(), least, most)};
  return json.get<std::int64_t>();
}

// A path that stays in the folder.
std::string inner_path(const nlohmann::json& json, bool may_have_folders) {
  std::string path = json.get<std::string>();
  const bool stays = !path.empty() && path.front() != '/' && path != "." && path != ".." &&
                     path.find('\0') == path.npos && ("/" + path + "/").find("/../") == path.npos;
  if (stays && (may_have_folders || path.find('/') == path.npos)) return path;
  throw Contradiction{"\"" + io::printable(path) + "\" is not in the folder"};
}

void read_tokenizer(const nlohmann::json& json, Dataset& dataset) {
  if (!json.contains("file")) return;
  dataset.tokenizer_file = inner_path(json.at("file"), false);
  json.at("checksum").get_to(dataset.tokenizer_checksum);
  json.at("encoding").get_to(dataset.tokenizer_encoding);
}

Dataset dataset_of(const nlohmann::json& json, const std::string& path) {
  if (json.at("version") != kVersion) {
    io::fail(
        "{}: is of version {} of datasets, this program reads {}; make the folder anew with "
        "mneme prepare",
        path, json.at("version").dump(), kVersion);
  }
  Dataset dataset;
  const auto layout = io::value_named<io::TokenLayout>(json.at("layout").get<std::string>());
  if (!layout) throw Contradiction{"its layout is not known"};
  dataset.layout = *layout;
  dataset.vocabulary = integer_of(json.at("vocabulary"), 1, kMostVocabulary);
  read_tokenizer(json.at("tokenizer"), dataset);
  if (!json.at("separator").is_null()) {
    dataset.separator = integer_of(json.at("separator"), 0, dataset.vocabulary - 1);
  }
  for (const char* part : {"train", "validation"}) {
    for (const auto& file : json.at(part).at("files")) {
      dataset.files.push_back(inner_path(file.at("name"), true));
    }
  }
  dataset.validation_tokens =
      static_cast<std::uint64_t>(integer_of(json.at("validation").at("tokens"), 0, INT64_MAX));
  return dataset;
}

// Nothing for a file of that name that no mneme prepare has written.
std::optional<Dataset> read_dataset(const io::Disk& disk, const std::string& folder) {
  const std::string path = folder + "/dataset.json";
  const std::vector<std::byte> bytes = disk.read_file(path, kMostBytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::string problem;
  try {
    const auto json = nlohmann::json::parse(text);
    if (!json.is_object() || json.value("format", nlohmann::json()) != kFormat) return {};
    return dataset_of(json, path);
  } catch (const nlohmann::json::exception& error) {
    // Damage, or text of somebody's that begins as JSON does.
    if (text.find(kFormat) == text.npos && !disk.is_directory(folder + "/train")) return {};
    problem = error.what();
  } catch (const Contradiction& contradiction) {
    problem = contradiction.what;
  }
  io::fail("{}: is damaged: {}; make the folder anew with mneme prepare", path,
           io::printable(problem));
}

DataFormat format_of(io::TokenLayout layout) {
  switch (layout) {
    case io::TokenLayout::kLlmC:
      return DataFormat::kShards;
    case io::TokenLayout::kNanogpt:
      return DataFormat::kNanogpt;
    case io::TokenLayout::kMegatron:
      return DataFormat::kMegatron;
  }
  return DataFormat::kAuto;
}

// The checksum of a file, as dataset.json writes it.
std::string checksum_of(const io::Disk& disk, const std::string& path) {
  const std::vector<std::byte> bytes = disk.read_file(path, kMostBytes);
  return fmt::format("{:016x}", io::checksum64(std::span<const std::byte>(bytes)));
}

void check_files(const io::Disk& disk, const std::string& folder, const Dataset& dataset) {
  for (const std::string& file : dataset.files) {
    const std::string path = folder + "/" + file;
    if (!disk.exists(path)) {
      io::fail(
          "{}: the dataset's file is missing; put it back, or make the folder anew with mneme "
          "prepare",
          path);
    }
  }
}

void check_tokenizer(const io::Disk& disk, const DataConfig& data, const Dataset& dataset) {
  if (dataset.tokenizer_file.empty()) {
    io::fail(
        "data.tokenizer {}: the tokens of {} are bytes; leave the key away, or run mneme prepare "
        "with this tokenizer",
        data.tokenizer, data.path);
  }
  if (checksum_of(disk, data.tokenizer) == dataset.tokenizer_checksum) return;
  io::fail(
      "data.tokenizer {}: the tokens of {} were made with another tokenizer; leave the key away to "
      "use that one, or run mneme prepare with this one",
      data.tokenizer, data.path);
}

// The dataset's own, as long as it is what the tokens were made with.
void take_tokenizer(const io::Disk& disk, const Dataset& dataset, DataConfig& data) {
  if (!data.tokenizer.empty()) return check_tokenizer(disk, data, dataset);
  if (dataset.tokenizer_file.empty()) return;
  const std::string path = data.path + "/" + dataset.tokenizer_file;
  if (checksum_of(disk, path) != dataset.tokenizer_checksum) {
    io::fail("{}: is not the tokenizer that the tokens beside it were made with; put that one back",
             path);
  }
  data.tokenizer = path;
  data.tokenizer_encoding = dataset.tokenizer_encoding;
}

}  // namespace

DataConfig resolve_dataset(DataConfig data) {
  if (data.path.empty() || data.format == DataFormat::kBytes) return data;
  const auto disk = io::make_posix_disk();
  const std::string folder = data.path;
  if (!disk->exists(folder + "/dataset.json")) return data;
  const std::optional<Dataset> dataset = read_dataset(*disk, folder);
  if (!dataset) return data;
  if (dataset->vocabulary > data.vocabulary) {
    io::fail("data.vocabulary is {}, and the tokens of {} are of a vocabulary of {}; set it to {}",
             data.vocabulary, folder, dataset->vocabulary, dataset->vocabulary);
  }
  take_tokenizer(*disk, *dataset, data);
  check_files(*disk, folder, *dataset);
  data.path = folder + "/train";
  data.format = format_of(dataset->layout);
  if (data.separator < 0) data.separator = dataset->separator;
  if (data.validation_path.empty() && dataset->validation_tokens > 0) {
    data.validation_path = folder + "/validation";
  }
  return data;
}

}  // namespace mneme::engine
