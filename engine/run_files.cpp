#include "engine/run_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <optional>
#include <vector>

#include "engine/manifest.h"
#include "engine/row_table_file.h"
#include "engine/run_config_file.h"
#include "engine/run_options.h"
#include "io/error.h"
#include "io/record_file.h"
#include "io/safetensors.h"
#include "offload/disk/rows_file.h"
#include "offload/trace/trace_file.h"

namespace mneme::engine {
namespace {

constexpr std::uint64_t kMaximumConfigBytes = std::uint64_t{1} << 20;
constexpr std::string_view kAside = io::kAsideSuffix;
const std::string kProbeName = std::string("probe") + io::kAsideSuffix;

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// At least `least` decimal digits.
bool take_digits(std::string_view& text, std::size_t least) {
  std::size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0) {
    ++digits;
  }
  text.remove_prefix(digits);
  return digits >= least;
}

bool is_aside(std::string_view name) {
  return name.ends_with(kAside);
}
std::string_view without_aside(std::string_view name) {
  if (is_aside(name)) name.remove_suffix(kAside.size());
  return name;
}

// dense-STEP.safetensors, once or more often "again-".
bool is_dense_name(std::string_view name) {
  while (take_prefix(name, "again-")) continue;
  return take_prefix(name, "dense-") && take_digits(name, 10) && name == ".safetensors";
}
// table-TABLE-STEP.rows-table or table-TABLE-STEP-base.rows-table.
bool is_table_name(std::string_view name) {
  while (take_prefix(name, "again-")) continue;
  if (!take_prefix(name, "table-") || !take_digits(name, 1)) return false;
  if (!take_prefix(name, "-") || !take_digits(name, 10)) return false;
  return name == ".rows-table" || name == "-base.rows-table";
}

std::string text_of(io::Disk& disk, const std::string& path) {
  const std::vector<std::byte> bytes = disk.read_file(path, kMaximumConfigBytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void refuse(const std::string& path) {
  io::fail(
      "{}: is there already, and mneme has not made it; choose another run.directory, or move it "
      "away",
      path);
}

// Refuses a directory that holds anything but LOCK and what `is_own` knows by name.
template <typename IsOwn>
void check_entries(io::Disk& disk, const std::string& directory, const IsOwn& is_own) {
  if (!disk.exists(directory)) return;
  if (!disk.is_directory(directory)) refuse(directory);
  for (const std::string& name : disk.list(directory)) {
    // Whoever locks it looks into LOCK; a start that was killed may have left what it tried to
    // write.
    const bool is_probe = name == kProbeName && !disk.is_directory(directory + "/" + name);
    if (name != "LOCK" && !is_probe && !is_own(name)) refuse(directory + "/" + name);
  }
}

// The run that config.toml is of, which never came to a checkpoint; nothing when there is no such
// file. Refuses another's.
std::optional<UnfinishedRun> run_of_config(io::Disk& disk, const std::string& run_directory) {
  const std::string path = config_path(run_directory);
  if (!disk.exists(path)) return {};
  if (disk.is_directory(path)) refuse(path);
  const std::string text = text_of(disk, path);
  const std::optional<std::uint64_t> id = run_of_config_text(text);
  if (!id) refuse(path);
  return UnfinishedRun{*id, parse_recorded_config(text, path)};
}

// Whether a file has records of the run, of the given one of its rows files.
bool has_rows_of(io::Disk& disk, const std::string& path, const UnfinishedRun& run,
                 std::size_t stripe, std::size_t stripes) {
  if (!run.config.has_memory()) return false;
  std::uint64_t identity = 0;
  return io::is_record_file(disk, path, &identity) &&
         identity ==
             offload::stripe_shape(rows_shape(run.config, run.id), stripe, stripes).table_id;
}

// What the run has left in tiers.disk_paths.
void remove_rows_on_disks(io::Disk& disk, const UnfinishedRun& run) {
  if (run.config.tiers.disk_paths.empty()) return;
  const std::vector<std::string> paths = rows_paths(run.config, run.id, 0);
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!disk.is_directory(io::directory_of(paths[i]))) continue;
    disk.remove(paths[i] + io::kAsideSuffix);
    if (disk.exists(paths[i]) && has_rows_of(disk, paths[i], run, i, paths.size())) {
      disk.remove(paths[i]);
    }
    disk.sync_directory(io::directory_of(paths[i]));
  }
}

}  // namespace

std::string config_path(const std::string& run_directory) {
  return run_directory + "/config.toml";
}
std::string metrics_path(const std::string& run_directory) {
  return run_directory + "/metrics.jsonl";
}
std::string checkpoints_directory(const std::string& run_directory) {
  return run_directory + "/checkpoints";
}
std::string rows_directory(const std::string& run_directory) {
  return run_directory + "/rows";
}
std::string rows_path(const std::string& run_directory, std::uint32_t table) {
  return fmt::format("{}/table-{}.rows", rows_directory(run_directory), table);
}

std::string trace_directory(const std::string& run_directory) {
  return run_directory + "/trace";
}
std::string trace_path(const std::string& run_directory, std::uint32_t table, std::uint64_t steps) {
  return fmt::format("{}/table-{}-{:010}.trace", trace_directory(run_directory), table, steps);
}

std::vector<std::string> trace_paths(const io::Disk& disk, const std::string& run_directory,
                                     std::uint32_t table) {
  std::vector<std::string> paths;
  const std::string directory = trace_directory(run_directory);
  if (!disk.is_directory(directory)) return paths;
  for (const std::string& name : disk.list(directory)) {
    if (is_trace_name(name) && name.starts_with(fmt::format("table-{}-", table))) {
      paths.push_back(directory + "/" + name);
    }
  }
  return paths;
}

std::vector<std::string> rows_paths(const Config& config, std::uint64_t run_id,
                                    std::uint32_t table) {
  std::vector<std::string> paths;
  for (const std::string& folder : config.tiers.disk_paths) {
    paths.push_back(fmt::format("{}/mneme-{}-table-{}.rows", folder, run_id_text(run_id), table));
  }
  if (paths.empty()) paths.push_back(rows_path(config.run.directory, table));
  return paths;
}

std::string probe_path(const std::string& directory) {
  return directory + "/" + kProbeName;
}

bool is_checkpoint_name(std::string_view name) {
  if (name == kProbeName) return true;
  const std::string_view whole = without_aside(name);
  return is_dense_name(whole) || is_table_name(whole) || whole == "manifest.json";
}

bool is_rows_name(std::string_view name) {
  if (name == kProbeName) return true;
  std::string_view whole = without_aside(name);
  return take_prefix(whole, "table-") && take_digits(whole, 1) && whole == ".rows";
}

// table-TABLE-STEP.trace
bool is_trace_name(std::string_view name) {
  return take_prefix(name, "table-") && take_digits(name, 1) && take_prefix(name, "-") &&
         take_digits(name, 10) && name == ".trace";
}

bool is_own_checkpoint_file(io::Disk& disk, const std::string& directory, const std::string& name,
                            std::uint64_t run_id) {
  if (!is_checkpoint_name(name)) return false;
  const std::string path = directory + "/" + name;
  if (disk.is_directory(path)) return false;
  if (is_aside(name)) return true;
  try {
    if (is_table_name(name)) return is_row_table_file(disk, path);
    const io::SafetensorsReader reader(disk, path);
    const auto run = reader.metadata().find("run");
    return run != reader.metadata().end() && run->second == run_id_text(run_id);
  } catch (const io::Error&) {
    return false;
  }
}

std::string run_id_text(std::uint64_t run_id) {
  return fmt::format("{:016x}", run_id);
}

void require_checkpoint(const io::Disk& disk, const std::string& run_directory) {
  if (manifest_exists(disk, checkpoints_directory(run_directory))) return;
  if (!disk.exists(run_directory)) {
    io::fail("{}: there is no such folder; `mneme train CONFIG` makes the folder of a run",
             run_directory);
  }
  if (!disk.is_directory(run_directory)) {
    io::fail("{}: is a file; name the folder of a run, which `mneme train CONFIG` makes",
             run_directory);
  }
  if (disk.exists(config_path(run_directory))) {
    io::fail(
        "{} has no checkpoint yet; wait for its first one, or where its training has ended, start "
        "it again: mneme train {} --set run.directory={}",
        run_directory, config_path(run_directory), run_directory);
  }
  io::fail(
      "{} is no run directory: it has neither checkpoints nor a config.toml; `mneme train CONFIG` "
      "makes one",
      run_directory);
}

std::optional<UnfinishedRun> unfinished_run(io::Disk& disk, const std::string& run_directory) {
  if (manifest_exists(disk, checkpoints_directory(run_directory))) return {};
  const std::string path = config_path(run_directory);
  if (!disk.exists(path) || disk.is_directory(path)) return {};
  const std::string text = text_of(disk, path);
  const std::optional<std::uint64_t> id = run_of_config_text(text);
  return id ? std::optional(UnfinishedRun{*id, parse_recorded_config(text, path)}) : std::nullopt;
}

void check_new_run_directory(io::Disk& disk, const std::string& run_directory) {
  if (!disk.exists(run_directory)) return;
  if (!disk.is_directory(run_directory)) refuse(run_directory);
  if (manifest_exists(disk, checkpoints_directory(run_directory))) {
    io::fail("{} already holds a run; resume it (mneme resume {}), or choose another run.directory",
             run_directory, run_directory);
  }
  const std::optional<UnfinishedRun> unfinished = run_of_config(disk, run_directory);
  const std::string metrics = metrics_path(run_directory);
  if (disk.exists(metrics) && (!unfinished || disk.is_directory(metrics))) refuse(metrics);
  const std::string checkpoints = checkpoints_directory(run_directory);
  check_entries(disk, checkpoints, [&](const std::string& name) {
    return unfinished && is_own_checkpoint_file(disk, checkpoints, name, unfinished->id);
  });
  const std::string rows = rows_directory(run_directory);
  check_entries(disk, rows, [&](const std::string& name) {
    const std::string path = rows + "/" + name;
    if (!unfinished || !is_rows_name(name) || disk.is_directory(path)) return false;
    return is_aside(name) || has_rows_of(disk, path, *unfinished, 0, 1);
  });
  const std::string traces = trace_directory(run_directory);
  check_entries(disk, traces, [&](const std::string& name) {
    const std::string path = traces + "/" + name;
    return unfinished && is_trace_name(name) && !disk.is_directory(path) &&
           offload::is_trace_of(disk, path, unfinished->id);
  });
}

void remove_unfinished_run(io::Disk& disk, const std::string& run_directory) {
  if (const auto run = unfinished_run(disk, run_directory)) remove_rows_on_disks(disk, *run);
  for (const std::string& directory :
       {checkpoints_directory(run_directory), rows_directory(run_directory),
        trace_directory(run_directory)}) {
    if (!disk.exists(directory)) continue;
    for (const std::string& name : disk.list(directory)) {
      if (name != "LOCK") disk.remove(directory + "/" + name);
    }
    disk.sync_directory(directory);
  }
  disk.remove(metrics_path(run_directory));
  disk.sync_directory(run_directory);
}

}  // namespace mneme::engine
