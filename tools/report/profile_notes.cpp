#include "tools/report/profile_notes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/run_files.h"
#include "io/disk_benchmark.h"
#include "io/elapsed.h"
#include "io/error.h"
#include "io/human.h"
#include "io/own_file.h"

namespace mneme::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kMark = R"({"mneme_profile":1,)";
constexpr std::size_t kCopyBytes = std::size_t{64} << 20;
constexpr std::uint64_t kDiskBytes = std::uint64_t{128} << 20;
constexpr double kDiskSeconds = 0.5;
constexpr std::size_t kMostBytes = 1 << 20;  // of the notes

double copy_rate(kernels::Backend& backend, kernels::Stream& stream, void* to, const void* from) {
  double fastest = 0;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    backend.copy(stream, to, from, kCopyBytes);
    stream.synchronize();
    fastest = std::max(fastest, static_cast<double>(kCopyBytes) / (1e-3 * io::elapsed_ms(start)));
  }
  return fastest;
}

void measure_host_link(kernels::Backend& backend, Ceilings& ceilings) {
  const kernels::Buffer host = backend.allocate(kCopyBytes, kernels::MemoryKind::kPinnedHost);
  const kernels::Buffer device = backend.allocate(kCopyBytes, kernels::MemoryKind::kDevice);
  const auto stream = backend.create_stream();
  ceilings.host_to_device = copy_rate(backend, *stream, device.as<void>(), host.as<const void>());
  ceilings.device_to_host = copy_rate(backend, *stream, host.as<void>(), device.as<const void>());
}

double disk_rate(io::Disk& disk, const engine::Config& config, const std::string& path,
                 std::uint32_t slot_bytes, double read_share, const std::function<void()>& check) {
  return io::run_disk_benchmark(disk, {.path = path,
                                       .file_bytes = kDiskBytes,
                                       .record_bytes = slot_bytes,
                                       .depth = config.tiers.store.io_depth,
                                       .read_share = read_share,
                                       .seconds = kDiskSeconds,
                                       .engine = config.tiers.store.io_engine,
                                       .interruption = check})
      .bytes_per_second;
}

void measure_disk(io::Disk& disk, const engine::Config& config, std::uint32_t slot_bytes,
                  const std::function<void()>& check, Ceilings& ceilings) {
  const std::string folder = config.tiers.disk_paths.empty()
                                 ? engine::rows_directory(config.run.directory)
                                 : config.tiers.disk_paths.front();
  const std::string path = folder + "/mneme-ceiling.tmp";
  const auto disks = static_cast<double>(std::max<std::size_t>(1, config.tiers.disk_paths.size()));
  const auto remove = [&] {
    if (disk.exists(path)) disk.remove(path);
  };
  try {
    ceilings.disk_read = disks * disk_rate(disk, config, path, slot_bytes, 1, check);
    ceilings.disk_write = disks * disk_rate(disk, config, path, slot_bytes, 0, check);
  } catch (...) {
    remove();
    throw;
  }
  remove();
}

std::string first_value(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    if (colon == line.npos) continue;
    return line.substr(std::min(line.size(), colon + 2));
  }
  return {};
}

}  // namespace

std::string profile_notes_path(const std::string& run_directory) {
  return run_directory + "/profile.json";
}

void write_profile_notes(io::Disk& disk, const std::string& run_directory,
                         const ProfileNotes& notes) {
  const Ceilings& ceilings = notes.ceilings;
  const Json json = {{"mneme_profile", 1},
                     {"first_step", notes.first_step},
                     {"date", notes.date},
                     {"version", notes.version},
                     {"machine", notes.machine},
                     {"device", notes.device},
                     {"ceilings",
                      {{"host_to_device", ceilings.host_to_device},
                       {"device_to_host", ceilings.device_to_host},
                       {"disk_read", ceilings.disk_read},
                       {"disk_write", ceilings.disk_write},
                       {"host_is_emulated", ceilings.host_is_emulated},
                       {"disk_is_emulated", ceilings.disk_is_emulated}}}};
  io::replace_own_file(disk, profile_notes_path(run_directory), kMark, json.dump() + "\n");
}

std::optional<ProfileNotes> read_profile_notes(io::Disk& disk, const std::string& run_directory) {
  const std::string path = profile_notes_path(run_directory);
  if (!disk.exists(path)) return {};
  try {
    const auto bytes = disk.read_file(path, kMostBytes);
    const Json json = Json::parse(reinterpret_cast<const char*>(bytes.data()),
                                  reinterpret_cast<const char*>(bytes.data() + bytes.size()));
    const Json& ceilings = json.at("ceilings");
    return ProfileNotes{.first_step = json.at("first_step"),
                        .date = json.at("date"),
                        .version = json.at("version"),
                        .machine = json.at("machine"),
                        .device = json.at("device"),
                        .ceilings = {.host_to_device = ceilings.at("host_to_device"),
                                     .device_to_host = ceilings.at("device_to_host"),
                                     .disk_read = ceilings.at("disk_read"),
                                     .disk_write = ceilings.at("disk_write"),
                                     .host_is_emulated = ceilings.at("host_is_emulated"),
                                     .disk_is_emulated = ceilings.at("disk_is_emulated")}};
  } catch (const Json::exception& error) {
    io::fail("{}: not what mneme profile writes: {}; profile the run again, or remove the file",
             path, error.what());
  }
}

std::string this_machine() {
  std::string name = first_value("/proc/cpuinfo", "model name");
  if (name.empty()) name = "unknown processor";
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return fmt::format("{}, {} cores, {}", name, ::sysconf(_SC_NPROCESSORS_ONLN),
                     io::human_bytes(static_cast<double>(pages) * static_cast<double>(page)));
}

Ceilings measure_ceilings(kernels::Backend& backend, io::Disk& disk, const engine::Config& config,
                          std::uint32_t slot_bytes, const std::function<void()>& check) {
  const offload::TierOptions& tiers = config.tiers.store;
  Ceilings ceilings{.host_to_device = tiers.host_link_bytes_per_second,
                    .device_to_host = tiers.host_link_bytes_per_second,
                    .disk_read = tiers.disk_link_bytes_per_second,
                    .disk_write = tiers.disk_link_bytes_per_second,
                    .host_is_emulated = tiers.host_link_bytes_per_second > 0,
                    .disk_is_emulated = tiers.disk_link_bytes_per_second > 0};
  if (!ceilings.host_is_emulated) measure_host_link(backend, ceilings);
  if (!ceilings.disk_is_emulated && slot_bytes > 0) {
    measure_disk(disk, config, slot_bytes, check, ceilings);
  }
  return ceilings;
}

}  // namespace mneme::report
