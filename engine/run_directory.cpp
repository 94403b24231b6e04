#include "engine/run_directory.h"

#include <fmt/format.h>

#include <utility>

#include "engine/checkpoint.h"
#include "engine/metrics.h"
#include "engine/run_config_file.h"
#include "engine/run_files.h"
#include "engine/run_options.h"
#include "engine/run_tokenizer.h"
#include "io/error.h"
#include "offload/disk/rows_file.h"

namespace mneme::engine {
namespace {

// So often a training may save while its checkpoints are read.
constexpr int kMostAttempts = 20;

VerifiedRun verify_once(const RunDirectory& run,
                        const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const Config config = run.config();
  const auto parameters = declare_parameters(model_options(config));
  const std::string checkpoints = checkpoints_directory(run.path());
  std::vector<offload::CheckpointTable> tables;
  for (const CheckpointEntry& entry : run.manifest().checkpoints) {
    read_dense(run.disk(), checkpoints, entry, parameters);
    if (entry.tables.size() != (config.has_memory() ? 1 : 0)) {
      io::fail("{}: the checkpoint of step {} has {} value tables, the configuration {}",
               run.manifest_file(), entry.step, entry.tables.size(), config.has_memory() ? 1 : 0);
    }
    if (config.has_memory()) tables.push_back(run.row_table(entry));
  }
  VerifiedRun verified;
  verified.checkpoints = run.manifest().checkpoints.size();
  if (config.has_memory()) {
    const offload::StoreOptions store =
        memory::store_options(value_table_options(config, run.manifest().run.id));
    io::OpenOptions open = offload::rows_file_options(store);
    open.read_only = true;
    const offload::VerifiedRows rows = offload::verify_rows_files(
        run.disk(), {store.paths, offload::rows_file_shape(store), open}, tables, progress);
    verified.records = rows.records;
    verified.bytes = rows.bytes;
  }
  const std::string metrics = metrics_path(run.path());
  if (check_metrics(run.disk(), metrics, run.manifest().checkpoints.back().metrics) ==
      MetricsState::kChanged) {
    io::fail(
        "{}: lines up to the checkpoint of step {} are missing or changed; restore it from a "
        "backup, or resume the run without them",
        metrics, run.manifest().checkpoints.back().step);
  }
  if (const std::string problem = run.config_file_problem(); !problem.empty()) {
    io::fail("{}", problem);
  }
  run.check_tokenizer();
  return verified;
}

}  // namespace

RunDirectory::RunDirectory(io::Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) {
  require_checkpoint(disk, path_);
  manifest_ = read_manifest(disk, checkpoints_directory(path_));
}

std::string RunDirectory::manifest_file() const {
  return manifest_path(checkpoints_directory(path_));
}

Config RunDirectory::config(std::span<const std::string> overrides) const {
  Config config = parse_recorded_config(manifest_.run.config, manifest_file(), overrides);
  config.run.directory = path_;
  // Its own copy goes where the run goes.
  if (manifest_.run.tokenizer) {
    const Config recorded = parse_recorded_config(manifest_.run.config, manifest_file(), {});
    config.data = with_kept_tokenizer(disk_, path_, *manifest_.run.tokenizer, recorded.data,
                                      std::move(config.data));
  }
  return config;
}

const CheckpointEntry& RunDirectory::checkpoint(std::optional<std::uint64_t> step) const {
  if (!step) return manifest_.checkpoints.back();
  std::string steps;
  for (const CheckpointEntry& entry : manifest_.checkpoints) {
    if (entry.step == *step) return entry;
    steps += fmt::format("{}{}", steps.empty() ? "" : ", ", entry.step);
  }
  io::fail("{} keeps no checkpoint of step {}; kept are {}", manifest_file(), *step, steps);
}

offload::CheckpointTable RunDirectory::row_table(const CheckpointEntry& entry) const {
  if (entry.tables.empty()) return {};
  return read_row_table(disk_, checkpoints_directory(path_), 0, entry);
}

void RunDirectory::check_tokenizer() const {
  if (manifest_.run.tokenizer) check_kept_tokenizer(disk_, path_, *manifest_.run.tokenizer);
}

std::string RunDirectory::config_file_problem() const {
  const std::string path = config_path(path_);
  std::string text;
  try {
    const auto bytes = disk_.read_file(path, std::uint64_t{1} << 20);
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  } catch (const io::Error& error) {
    return error.what();
  }
  const auto run = run_of_config_text(text);
  if (run == manifest_.run.id) return {};
  return fmt::format(
      "{}: {}; what counts is the copy in {}, and --set changes keys (`mneme resume` writes the "
      "file anew once it is gone)",
      path, run ? "belongs to another run" : "is not as mneme wrote it", manifest_file());
}

void read_settled(io::Disk& disk, const std::string& path,
                  const std::function<void(const RunDirectory&)>& use) {
  for (int attempt = 1;; ++attempt) {
    const RunDirectory run(disk, path);
    try {
      return use(run);
    } catch (const io::Error&) {
      // A training that saves meanwhile removes what it no longer keeps, and uses its slots again.
      const Manifest now = read_manifest(disk, checkpoints_directory(path));
      if (now.checkpoints == run.manifest().checkpoints) throw;
      if (attempt == kMostAttempts) {
        io::fail(
            "{}: the run saves faster than its checkpoints can be read; try again once it has "
            "stopped",
            path);
      }
    }
  }
}

VerifiedRun verify_run(io::Disk& disk, const std::string& path,
                       const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  VerifiedRun verified;
  read_settled(disk, path, [&](const RunDirectory& run) { verified = verify_once(run, progress); });
  return verified;
}

}  // namespace mneme::engine
