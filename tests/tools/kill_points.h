// The moments of training at which a test has the process killed as `kill -9` would, by the calls
// that the program makes at them.
#pragma once

#include <map>
#include <string>

#include "tests/fault_injection/fault.h"

namespace mneme::test {

inline const std::map<std::string, Fault>& kill_points() {
  constexpr Fault::When kBefore = Fault::When::kBefore;
  constexpr Fault::When kAfter = Fault::When::kAfter;
  const auto at = [](const char* functions, const char* path, Fault::When when) {
    return Fault{.functions = functions, .action = "SIGKILL", .path = path, .when = when};
  };
  static const std::map<std::string, Fault> kPoints = {
      // A run starts where another never came to a checkpoint: that one's rows go.
      {"unfinished-removed", at("remove", "*.rows", kAfter)},
      // Its configuration has taken the place of the other's.
      {"config-renamed", at("rename", "*/config.toml", kAfter)},
      // A step's metrics are written.
      {"step", at("write", "*/metrics.jsonl", kAfter)},
      // A record's write is queued, in steps and flushes.
      {"write-submitted", at("pwrite|io_uring_write", "*.rows", kAfter)},
      // A checkpoint makes the metrics durable before it writes anything.
      {"checkpoint-begin", at("fdatasync", "*/metrics.jsonl", kBefore)},
      // The records of a table are durable, its row -> slot table is not yet.
      {"checkpoint-flushed", at("fdatasync", "*.rows", kAfter)},
      // The row -> slot table is durable.
      {"checkpoint-table", at("fdatasync", "*.rows-table*", kAfter)},
      // The dense tensors are durable.
      {"checkpoint-dense", at("fdatasync", "*.safetensors*", kAfter)},
      // The new manifest is durable, aside.
      {"manifest-written", at("rename", "*/manifest.json", kBefore)},
      // It has replaced the old one; the directory is not synced.
      {"manifest-renamed", at("rename", "*/manifest.json", kAfter)},
      // Before a file of a dropped checkpoint is removed.
      {"checkpoint-committed", at("remove", "*/checkpoints/*", kBefore)},
  };
  return kPoints;
}

}  // namespace mneme::test
