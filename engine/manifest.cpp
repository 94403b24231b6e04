#include "engine/manifest.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/checksum.h"
#include "io/error.h"

namespace mneme::engine {

using Json = nlohmann::json;

// Found by the JSON library: both directions of each part stand beside each other.
static void to_json(Json& json, const NamedFile& file) {
  json = {{"name", file.name}, {"checksum", file.checksum}};
}
static void from_json(const Json& json, NamedFile& file) {
  json.at("name").get_to(file.name);
  json.at("checksum").get_to(file.checksum);
}

static void to_json(Json& json, const MetricsMark& mark) {
  json = {{"bytes", mark.bytes}, {"checksum", mark.checksum}};
}
static void from_json(const Json& json, MetricsMark& mark) {
  json.at("bytes").get_to(mark.bytes);
  json.at("checksum").get_to(mark.checksum);
}

static void to_json(Json& json, const RowPlaces& rows) {
  json = {{"device", rows.device},
          {"host", rows.host},
          {"disk", rows.disk},
          {"untouched", rows.untouched}};
}
static void from_json(const Json& json, RowPlaces& rows) {
  json.at("device").get_to(rows.device);
  json.at("host").get_to(rows.host);
  json.at("disk").get_to(rows.disk);
  json.at("untouched").get_to(rows.untouched);
}

static void to_json(Json& json, const CheckpointEntry& entry) {
  json = {{"step", entry.step},
          {"dense", entry.dense},
          {"tables", entry.tables},
          {"metrics", entry.metrics}};
  if (!entry.rows.empty()) json["rows"] = entry.rows;
}
static void from_json(const Json& json, CheckpointEntry& entry) {
  json.at("step").get_to(entry.step);
  json.at("dense").get_to(entry.dense);
  json.at("tables").get_to(entry.tables);
  json.at("metrics").get_to(entry.metrics);
  if (const auto rows = json.find("rows"); rows != json.end()) rows->get_to(entry.rows);
}

static void to_json(Json& json, const DataFingerprint& data) {
  json = {{"bytes", data.bytes}, {"checksum", data.checksum}};
}
static void from_json(const Json& json, DataFingerprint& data) {
  json.at("bytes").get_to(data.bytes);
  json.at("checksum").get_to(data.checksum);
}

static void to_json(Json& json, const ScheduleSegment& segment) {
  json = {{"first_step", segment.first_step}, {"keys", segment.keys}};
}
static void from_json(const Json& json, ScheduleSegment& segment) {
  json.at("first_step").get_to(segment.first_step);
  json.at("keys").get_to(segment.keys);
}

static void to_json(Json& json, const TokenizerRecord& tokenizer) {
  json = {
      {"file", tokenizer.file}, {"encoding", tokenizer.encoding}, {"checksum", tokenizer.checksum}};
}
static void from_json(const Json& json, TokenizerRecord& tokenizer) {
  json.at("file").get_to(tokenizer.file);
  json.at("encoding").get_to(tokenizer.encoding);
  json.at("checksum").get_to(tokenizer.checksum);
}

static void to_json(Json& json, const RunRecord& run) {
  json = {{"id", run.id}, {"config", run.config}, {"data", run.data}, {"schedule", run.schedule}};
  if (run.validation_data) json["validation_data"] = *run.validation_data;
  if (run.tokenizer) json["tokenizer"] = *run.tokenizer;
}
static void from_json(const Json& json, RunRecord& run) {
  json.at("id").get_to(run.id);
  json.at("config").get_to(run.config);
  json.at("data").get_to(run.data);
  if (json.contains("validation_data")) {
    json.at("validation_data").get_to(run.validation_data.emplace());
  }
  if (json.contains("tokenizer")) json.at("tokenizer").get_to(run.tokenizer.emplace());
  json.at("schedule").get_to(run.schedule);
}

namespace {

constexpr std::uint64_t kMaximumBytes = std::uint64_t{16} << 20;
constexpr int kFormat = 2;

std::string checksum_of(const Json& body) {
  return fmt::format("{:016x}", io::checksum64(body.dump()));
}

// A name that stays inside the checkpoints directory.
bool plain_name(const std::string& name) {
  return !name.empty() && name.find_first_of(std::string("/\0", 2)) == std::string::npos &&
         name != "." && name != "..";
}

// What is wrong with a manifest that says what it was written to say; nothing for a good one.
std::string contradiction(const Manifest& manifest) {
  if (manifest.checkpoints.empty()) return "it names no checkpoint";
  if (manifest.run.schedule.empty() || manifest.run.schedule.front().first_step != 1) {
    return "its schedule does not start at step 1";
  }
  if (manifest.run.tokenizer && !plain_name(manifest.run.tokenizer->file)) {
    return "its tokenizer leaves its directory";
  }
  for (std::size_t i = 0; i < manifest.checkpoints.size(); ++i) {
    const CheckpointEntry& entry = manifest.checkpoints[i];
    if (i > 0 && entry.step <= manifest.checkpoints[i - 1].step) return "steps do not ascend";
    for (const std::string& name : entry.files()) {
      if (!plain_name(name)) return "a file name leaves its directory";
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> CheckpointEntry::files() const {
  std::vector<std::string> names = {dense.name};
  for (const auto& chain : tables) {
    for (const NamedFile& file : chain) names.push_back(file.name);
  }
  return names;
}

std::string manifest_path(const std::string& directory) {
  return directory + "/manifest.json";
}

bool manifest_exists(const io::Disk& disk, const std::string& directory) {
  return disk.exists(manifest_path(directory));
}

Manifest read_manifest(const io::Disk& disk, const std::string& directory) {
  const std::string path = manifest_path(directory);
  const std::vector<std::byte> bytes = disk.read_file(path, kMaximumBytes);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto damaged = [&](const std::string& why) {
    io::fail("{}: damaged manifest ({}); restore it from a backup, it is never edited by hand",
             path, why);
  };
  // The parser would take it for the end.
  if (text.find('\0') != std::string::npos) damaged("a zero byte");
  Manifest manifest;
  try {
    const Json root = Json::parse(text);
    const Json& body = root.at("body");
    if (root.at("checksum").get<std::string>() != checksum_of(body)) damaged("wrong checksum");
    const int format = body.at("format").get<int>();
    if (format != kFormat) {
      io::fail("{}: has format {}, this program reads {}; use the version that wrote it", path,
               format, kFormat);
    }
    body.at("run").get_to(manifest.run);
    body.at("checkpoints").get_to(manifest.checkpoints);
  } catch (const Json::exception& error) {
    damaged(error.what());
  }
  if (const std::string why = contradiction(manifest); !why.empty()) damaged(why);
  return manifest;
}

void write_manifest(io::Disk& disk, const std::string& directory, const Manifest& manifest) {
  const Json body = {
      {"format", kFormat}, {"run", manifest.run}, {"checkpoints", manifest.checkpoints}};
  const std::string text = Json{{"checksum", checksum_of(body)}, {"body", body}}.dump(1) + "\n";
  io::replace_file(disk, manifest_path(directory), std::as_bytes(std::span(text)));
}

}  // namespace mneme::engine
