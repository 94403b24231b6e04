#include "engine/dataset_folder.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "io/checksum.h"
#include "io/disk.h"
#include "io/error.h"
#include "io/token_layout.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{256} << 20;  // a line for each source
constexpr int kVersion = 1;

// What dataset.json says, as far as training needs it.
struct Dataset {
  io::TokenLayout layout = io::TokenLayout::kLlmC;
  std::int64_t vocabulary = 0;
  std::string tokenizer_file, tokenizer_checksum, tokenizer_encoding = "auto";
  std::int64_t separator = -1;
  std::uint64_t train_tokens = 0, validation_tokens = 0;
};

Dataset read_dataset(const io::Disk& disk, const std::string& path) {
  const std::vector<std::byte> bytes = disk.read_file(path, kMostBytes);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  Dataset dataset;
  try {
    const auto json = nlohmann::json::parse(text, text + bytes.size());
    if (json.at("format") != "mneme dataset" || json.at("version") != kVersion) {
      io::fail("{}: is of a version of datasets that this program does not read", path);
    }
    const auto layout = io::value_named<io::TokenLayout>(json.at("layout").get<std::string>());
    if (!layout) io::fail("{}: its layout is not known", path);
    dataset.layout = *layout;
    json.at("vocabulary").get_to(dataset.vocabulary);
    const auto& tokenizer = json.at("tokenizer");
    if (tokenizer.contains("file")) {
      tokenizer.at("file").get_to(dataset.tokenizer_file);
      tokenizer.at("checksum").get_to(dataset.tokenizer_checksum);
      tokenizer.at("encoding").get_to(dataset.tokenizer_encoding);
    }
    if (!json.at("separator").is_null()) json.at("separator").get_to(dataset.separator);
    json.at("train").at("tokens").get_to(dataset.train_tokens);
    json.at("validation").at("tokens").get_to(dataset.validation_tokens);
  } catch (const nlohmann::json::exception& error) {
    io::fail("{}: is damaged: {}; make the folder anew with mneme prepare", path, error.what());
  }
  if (dataset.tokenizer_file.find_first_of(std::string("/\0", 2)) != std::string::npos) {
    io::fail("{}: is damaged: its tokenizer is not in the folder", path);
  }
  return dataset;
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

// The file that makes a folder a dataset; empty for any other path.
std::string dataset_file(const io::Disk& disk, const std::string& path) {
  if (path.empty() || !disk.is_directory(path)) return {};
  std::string file = path + "/dataset.json";
  return disk.exists(file) ? file : std::string();
}

void check_tokenizer(const io::Disk& disk, const DataConfig& data, const Dataset& dataset) {
  if (checksum_of(disk, data.tokenizer) == dataset.tokenizer_checksum) return;
  io::fail(
      "data.tokenizer {}: the tokens of {} were made with another tokenizer; leave the key away to "
      "use that one, or run mneme prepare with this one",
      data.tokenizer, data.path);
}

}  // namespace

DataConfig resolve_dataset(DataConfig data) {
  const auto disk = io::make_posix_disk();
  const std::string file = dataset_file(*disk, data.path);
  if (file.empty()) return data;
  const Dataset dataset = read_dataset(*disk, file);
  const std::string folder = data.path;
  if (dataset.vocabulary > data.vocabulary) {
    io::fail("data.vocabulary is {}, and the tokens of {} are of a vocabulary of {}; set it to {}",
             data.vocabulary, folder, dataset.vocabulary, dataset.vocabulary);
  }
  if (!data.tokenizer.empty()) {
    check_tokenizer(*disk, data, dataset);
  } else if (!dataset.tokenizer_file.empty()) {
    data.tokenizer = folder + "/" + dataset.tokenizer_file;
    data.tokenizer_encoding = dataset.tokenizer_encoding;
  }
  data.path = folder + "/train";
  data.format = format_of(dataset.layout);
  if (data.separator < 0) data.separator = dataset.separator;
  if (data.validation_path.empty() && dataset.validation_tokens > 0) {
    data.validation_path = folder + "/validation";
  }
  return data;
}

}  // namespace mneme::engine
