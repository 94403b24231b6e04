// The names of the files in a run directory, and which of those there are a run's own. Nothing else
// is ever replaced or removed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config.h"
#include "io/disk.h"

namespace mneme::engine {

std::string config_path(const std::string& run_directory);
std::string metrics_path(const std::string& run_directory);
std::string checkpoints_directory(const std::string& run_directory);
std::string rows_directory(const std::string& run_directory);
std::string rows_path(const std::string& run_directory, std::uint32_t table);
std::string trace_directory(const std::string& run_directory);
// Of a trace that begins after `steps` steps.
std::string trace_path(const std::string& run_directory, std::uint32_t table, std::uint64_t steps);
// All traces of a table in a run directory, by the steps that they begin after.
std::vector<std::string> trace_paths(const io::Disk& disk, const std::string& run_directory,
                                     std::uint32_t table);
// All rows files of a table: in tiers.disk_paths, where they have the run's id in their names, or
// else in the run directory.
std::vector<std::string> rows_paths(const Config& config, std::uint64_t run_id,
                                    std::uint32_t table);

// What is written and removed to see whether a folder can be written to.
std::string probe_path(const std::string& directory);

// Whether a name in checkpoints_directory is one that a checkpoint gives to its files, whole or
// aside; likewise in rows_directory and trace_directory.
bool is_checkpoint_name(std::string_view name);
bool is_rows_name(std::string_view name);
bool is_trace_name(std::string_view name);

// Whether a file of such a name in checkpoints_directory has what a checkpoint of run `run_id`
// writes; files aside, which may be torn, are known by their names alone.
bool is_own_checkpoint_file(io::Disk& disk, const std::string& directory, const std::string& name,
                            std::uint64_t run_id);

// The run's id as dense files carry it in their metadata under "run".
std::string run_id_text(std::uint64_t run_id);

// Throws Error saying what to do where there is no run with a checkpoint: no such folder, a file,
// no run, or one that has not come to its first checkpoint.
void require_checkpoint(const io::Disk& disk, const std::string& run_directory);

// A run that has not come to a checkpoint; nothing where there is a checkpoint, or no config.toml
// that is as mneme wrote it.
struct UnfinishedRun {
  std::uint64_t id = 0;
  Config config;
};
std::optional<UnfinishedRun> unfinished_run(io::Disk& disk, const std::string& run_directory);

// Throws Error when a new run may not be made in a directory: it holds a run with a checkpoint, or
// something that is not mneme's under a name that the run needs. What an earlier run left that
// never came to a checkpoint is no hindrance. Changes nothing.
void check_new_run_directory(io::Disk& disk, const std::string& run_directory);
// Removes what such a run has left, but for its configuration; durable on return. REQUIRES:
// check_new_run_directory has passed under the locks.
void remove_unfinished_run(io::Disk& disk, const std::string& run_directory);

}  // namespace mneme::engine
