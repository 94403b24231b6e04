// What the runs of an ablation have given, one line of JSON each, in results.jsonl: on disk before
// the next run starts, so that an ablation that is broken off goes on behind what is there. A run
// is known again by its repeat and by the checksum of its whole configuration: results of cells
// that a changed grid or base configuration no longer has stay in the file and count for nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/disk.h"
#include "io/enum_names.h"
#include "tools/ablate/grid.h"

namespace mneme::ablate {

enum class Outcome { kDone, kFailed, kTimedOut };
constexpr auto enum_names(Outcome) {
  return std::to_array<io::EnumName<Outcome>>(
      {{"done", Outcome::kDone}, {"failed", Outcome::kFailed}, {"timed out", Outcome::kTimedOut}});
}

struct RunResult {
  std::string identity;  // of the configuration, without its folder
  std::int64_t repeat = 0;
  std::vector<Setting> settings;  // of the cell
  // The identity of the run whose trace told this one's numbers; empty: it was trained.
  std::string replayed = {};
  Outcome outcome = Outcome::kDone;
  std::string error;                                    // the last line that it said, of others
  double seconds = 0;                                   // of the process
  std::vector<std::pair<std::string, double>> numbers;  // of report.json, by name, where done

  // Nothing where it has none of that name.
  std::optional<double> number(const std::string& name) const;
};

class Results {
 public:
  // Reads what is there. A last line without its end, as of a process that was killed, is cut off.
  // Throws Error where the file is none of an ablation.
  Results(io::Disk& disk, const std::string& directory);

  const RunResult* find(const std::string& identity, std::int64_t repeat) const;
  // Appends a line and makes it durable.
  void add(RunResult result);

  static std::string path(const std::string& directory) { return directory + "/results.jsonl"; }

 private:
  std::string path_;
  std::unique_ptr<io::AppendFile> file_;
  std::map<std::pair<std::string, std::int64_t>, RunResult> results_;
};

}  // namespace mneme::ablate
