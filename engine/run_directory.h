// What a run directory holds, for whoever looks at it from outside: no backend, no model, no lock,
// no write; also beside a running training.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/config.h"
#include "engine/manifest.h"
#include "io/disk.h"
#include "offload/disk/row_table.h"

namespace mneme::engine {

class RunDirectory {
 public:
  // Reads the manifest. Throws Error when there is no run, or none with a checkpoint. `disk` must
  // outlive the object.
  RunDirectory(io::Disk& disk, std::string path);

  io::Disk& disk() const { return disk_; }
  const std::string& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }
  std::string manifest_file() const;
  // The configuration of the newest checkpoint with overrides; run.directory is path(), and the
  // tokenizer the run's own. Throws Error for an override that names another tokenizer.
  Config config(std::span<const std::string> overrides = {}) const;
  // Throws Error naming the steps that are kept.
  const CheckpointEntry& checkpoint(std::optional<std::uint64_t> step = {}) const;
  // The whole row -> slot table of a checkpoint's only value table; empty without one.
  offload::CheckpointTable row_table(const CheckpointEntry& entry) const;
  // Throws Error when the run's own tokenizer is not as it was.
  void check_tokenizer() const;
  // What is wrong with config.toml, which people read and nothing depends on; empty when nothing.
  std::string config_file_problem() const;

 private:
  io::Disk& disk_;
  std::string path_;
  Manifest manifest_;
};

// Calls `use` with the run as it is now; once more where that failed because a running training has
// saved meanwhile. Throws what `use` throws.
void read_settled(io::Disk& disk, const std::string& path,
                  const std::function<void(const RunDirectory&)>& use);

struct VerifiedRun {
  std::size_t checkpoints = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of the records
};

// Reads every byte that the kept checkpoints of a run need and checks it: the manifest, dense
// files, row tables, records, the metrics up to the newest checkpoint, config.toml and the
// tokenizer. Checkpoints that a running training drops meanwhile are let go. Throws Error at the
// first damage. `progress`, when given, is called now and then with the records done and their
// number.
VerifiedRun verify_run(io::Disk& disk, const std::string& path,
                       const std::function<void(std::uint64_t, std::uint64_t)>& progress = {});

}  // namespace mneme::engine
