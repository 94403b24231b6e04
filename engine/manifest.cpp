#include "engine/manifest.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/checksum.h"
#include "io/error.h"
#include "io/kill_point.h"

namespace mneme::engine {
namespace {

using Json = nlohmann::json;
constexpr std::uint64_t kMaximumBytes = std::uint64_t{16} << 20;
constexpr int kFormat = 1;

std::string checksum_of(const Json& body) {
  return fmt::format("{:016x}", io::checksum64(body.dump()));
}

// A name that stays inside the checkpoints directory.
bool plain_name(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name != "." && name != "..";
}

}  // namespace

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
  Manifest manifest;
  try {
    const Json root = Json::parse(text);
    const Json& body = root.at("body");
    if (root.at("checksum").get<std::string>() != checksum_of(body)) damaged("wrong checksum");
    if (body.at("format").get<int>() != kFormat) {
      damaged(
          fmt::format("format {}, this program knows {}", body.at("format").get<int>(), kFormat));
    }
    manifest.identity = body.at("identity").get<std::map<std::string, std::string>>();
    for (const Json& item : body.at("checkpoints")) {
      CheckpointEntry entry;
      entry.step = item.at("step").get<std::uint64_t>();
      entry.dense = item.at("dense").get<std::string>();
      entry.dense_checksum = item.at("dense_checksum").get<std::uint64_t>();
      entry.tables = item.at("tables").get<std::vector<std::vector<std::string>>>();
      entry.state = item.at("state").get<std::map<std::string, std::string>>();
      bool names_ok = plain_name(entry.dense);
      for (const auto& chain : entry.tables) {
        for (const std::string& name : chain) names_ok = names_ok && plain_name(name);
      }
      if (!names_ok) damaged("a file name leaves its directory");
      manifest.checkpoints.push_back(std::move(entry));
    }
  } catch (const Json::exception& error) {
    damaged(error.what());
  }
  if (manifest.checkpoints.empty()) damaged("it names no checkpoint");
  return manifest;
}

void write_manifest(io::Disk& disk, const std::string& directory, const Manifest& manifest) {
  Json body;
  body["format"] = kFormat;
  body["identity"] = manifest.identity;
  body["checkpoints"] = Json::array();
  for (const CheckpointEntry& entry : manifest.checkpoints) {
    body["checkpoints"].push_back({{"step", entry.step},
                                   {"dense", entry.dense},
                                   {"dense_checksum", entry.dense_checksum},
                                   {"tables", entry.tables},
                                   {"state", entry.state}});
  }
  const std::string text = Json{{"checksum", checksum_of(body)}, {"body", body}}.dump(1) + "\n";
  const std::string path = manifest_path(directory);
  disk.write_file(path + ".new", std::as_bytes(std::span(text)));
  io::kill_point("manifest-written");
  disk.rename(path + ".new", path);
  io::kill_point("manifest-renamed");
  disk.sync_directory(directory);
}

}  // namespace mneme::engine
