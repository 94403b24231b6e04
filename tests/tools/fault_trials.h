// Which failures are tried, and trying many of them at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "tests/tools/fault_run.h"

namespace mneme::test {

// The failures of one function.
struct Failing {
  const char* function;
  std::vector<const char*> actions;
  bool has_file = true;       // tried on the run's own files only
  std::uint64_t most = 1000;  // calls that each failure is tried on
};

inline const std::vector<Failing>& failing_functions() {
  static const std::vector<Failing> kFunctions = {
      {"open", {"EACCES", "EMFILE", "EIO", "EINTR"}},
      {"openat", {"EACCES", "EMFILE", "EINTR"}},
      {"opendir", {"ENOMEM", "EMFILE", "EIO"}},
      {"readdir", {"EIO", "EACCES", "ENOENT"}},
      {"fopen", {"EACCES", "EMFILE", "EINTR"}},
      {"close", {"EIO", "ENOSPC", "EINTR"}},
      {"read", {"EIO", "EINTR", "short"}},
      {"pread", {"EIO", "EAGAIN", "EINTR", "short"}},
      {"write", {"EIO", "ENOSPC", "EFBIG", "EDQUOT", "EINTR", "short"}},
      {"writev", {"EIO", "ENOSPC", "EINTR"}},
      {"pwrite", {"EIO", "ENOSPC", "EINTR", "short"}},
      {"fsync", {"EIO", "ENOSPC", "EINTR"}},
      {"fdatasync", {"EIO", "EDQUOT", "EINTR"}},
      {"ftruncate", {"EIO", "EFBIG", "EINTR"}},
      {"fallocate", {"ENOSPC", "EOPNOTSUPP", "EINTR"}},
      {"flock", {"ENOLCK", "EIO", "EINTR"}},
      {"rename", {"EIO", "ENOSPC", "EACCES", "EINTR"}},
      {"remove", {"EIO", "EACCES", "EBUSY", "EINTR"}},
      {"mkdir", {"EACCES", "ENOSPC", "EROFS"}},
      {"access", {"EACCES", "EIO", "ENOMEM"}},
      {"stat", {"EACCES", "EIO", "ENOMEM"}},
      {"fstat", {"EIO", "ENOMEM", "ESTALE"}, true, 150},
      {"statx", {"EIO", "EINVAL", "ENOMEM"}},
      {"statvfs", {"EIO", "ENOSYS", "EINTR"}},
      {"mmap", {"ENOMEM", "EAGAIN", "EPERM"}, false},
      {"pthread_create", {"EAGAIN", "ENOMEM", "EPERM"}, false},
      {"aligned_alloc", {"ENOMEM"}, false},
      {"posix_memalign", {"ENOMEM"}, false},
      {"malloc", {"ENOMEM"}, false, 300},
      {"calloc", {"ENOMEM"}, false},
      {"realloc", {"ENOMEM"}, false},
      {"io_uring_setup", {"ENOSYS", "EPERM", "ENOMEM"}, false},
      {"io_uring_register", {"ENOMEM", "EINVAL", "EOPNOTSUPP"}, false},
      {"io_uring_submit", {"EAGAIN", "EINTR", "EIO"}, false},
  };
  return kFunctions;
}

// Every call that a command makes of every function, with every failure; of functions that it calls
// more often than `most` or their own limit, so many calls, evenly spread, and others for each
// failure. On a ring, the functions of rings only.
inline std::vector<Trial> trials_of(FaultRuns& runs, Command command, std::uint64_t most) {
  const std::map<std::string, std::uint64_t> own = runs.count_calls(command, runs.own_files());
  const std::map<std::string, std::uint64_t> all = runs.count_calls(command, "*");
  std::vector<Trial> trials;
  for (const Failing& failing : failing_functions()) {
    const bool of_ring = std::string(failing.function).starts_with("io_uring");
    if ((command == Command::kTrainOnRing) != of_ring) continue;
    const std::uint64_t limit = std::min(most, failing.most);
    const std::uint64_t calls = (failing.has_file ? own : all).at(failing.function);
    const std::uint64_t step = std::max<std::uint64_t>(1, (calls + limit - 1) / limit);
    std::uint64_t first = 1;
    for (const char* action : failing.actions) {
      for (std::uint64_t call = first; call <= calls; call += step) {
        trials.push_back({command,
                          {.functions = failing.function,
                           .action = action,
                           .call = call,
                           .path = failing.has_file ? runs.own_files() : "*"}});
      }
      first = first % step + 1;
    }
  }
  return trials;
}

struct Tally {
  std::uint64_t runs = 0;
  std::uint64_t right = 0;
  std::uint64_t refused = 0;
  std::uint64_t untouched = 0;
  std::map<std::string, std::uint64_t> messages;  // refusals; numbers and folders left out
  std::vector<std::string> problems;
};

// Tries them, two at a time.
inline Tally try_all(const FaultRuns& runs, const std::vector<Trial>& trials) {
  Tally tally;
  std::mutex mutex;
  std::atomic<std::size_t> next{0};
  const auto work = [&](const std::string& folder) {
    static const std::regex own("/[^ ]*/(trial|half|whole)[^ ]*/");
    static const std::regex number("[0-9]+");
    for (std::size_t at = next++; at < trials.size(); at = next++) {
      const Judgement judgement = runs.judge(trials[at], folder);
      const std::lock_guard lock(mutex);
      ++tally.runs;
      tally.right += judgement.end == Judgement::End::kRight ? 1 : 0;
      tally.refused += judgement.end == Judgement::End::kRefused ? 1 : 0;
      tally.untouched += judgement.end == Judgement::End::kUntouched ? 1 : 0;
      if (!judgement.message.empty()) {
        tally.messages[std::regex_replace(std::regex_replace(judgement.message, own, ""), number,
                                          "N")] += 1;
      }
      if (!judgement.problem.empty()) {
        tally.problems.push_back(FaultRuns::describe(trials[at]) + ": " + judgement.problem);
      }
    }
  };
  std::thread other(work, "trial-1");
  work("trial-2");
  other.join();
  return tally;
}

}  // namespace mneme::test
