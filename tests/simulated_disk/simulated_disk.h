// A Disk in memory for tests: seeded faults, delays and reordering, and every state that a crash
// may leave behind.
//
// What survives a crash follows POSIX at its least generous. Data is certain to survive once sync()
// (or write_file) has returned; a name once sync_directory() of its directory has. All else may
// survive or not, each operation by itself; a rename shows the old state or the new. Directories
// are durable when made. A crash can happen between any two operations of the log; a write counts
// from its submission on.
//
// Unlike a real disk it also catches misuse: a read's buffer holds garbage until its completion,
// and a write whose buffer changed before its completion aborts. Disk and files may be used from
// several threads (a file from one at a time).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "io/disk.h"

namespace mneme::io {

struct SimulatedFaults {
  double short_share = 0;  // of the attempts at a transfer that move only a part
  double retry_share = 0;  // of the attempts that end with EAGAIN or EINTR
  // The n-th transfer or sync from now (1 is the next one) fails with EIO; 0 for none.
  std::uint64_t fail_read = 0;
  std::uint64_t fail_write = 0;
  std::uint64_t fail_sync = 0;
  bool keep_failing = false;  // every later one fails, too
  // The sum of all files' lengths that fits; beyond it ENOSPC.
  std::uint64_t capacity_bytes = std::numeric_limits<std::uint64_t>::max();
  bool reorder = false;               // completions are handed out in random order
  std::uint32_t max_delay_polls = 0;  // polls that a completion may be held back
};

struct SimulatedDiskOptions {
  std::uint64_t seed = 1;
  std::uint32_t alignment = 512;
  bool record_log = true;  // needed for crash_state(); costs a copy of every write
};

struct CrashPolicy {
  enum class Kind {
    kDropUnsynced,  // nothing survives but what must
    kKeepUnsynced,  // everything survives
    kRandomSubset,  // each unsynced operation survives or not: the disk reordered them
    kTear,          // as kRandomSubset, but of a write each 512-byte sector by itself
    kGarbage,       // as kTear, and some sectors of unsynced writes hold random bytes
  };
  Kind kind = Kind::kDropUnsynced;
  std::uint64_t seed = 1;
};

class SimulatedDisk final : public Disk {
 public:
  // The disk must outlive the files that it opens.
  explicit SimulatedDisk(const SimulatedDiskOptions& options = {});
  ~SimulatedDisk() override;

  std::unique_ptr<BlockFile> open(const std::string& path, const OpenOptions& options) override;
  bool exists(const std::string& path) const override;
  bool is_directory(const std::string& path) const override;
  // Locks are of the disk's users, not of its content: no crash state has any.
  std::unique_ptr<DirectoryLock> lock(const std::string& directory, LockKind kind) override;
  std::unique_ptr<AppendFile> append(const std::string& path, std::uint64_t keep_bytes) override;
  std::uint64_t available_bytes(const std::string& directory) const override;
  std::vector<std::string> list(const std::string& directory) const override;
  void make_directories(const std::string& path) override;
  void rename(const std::string& from, const std::string& to) override;
  void remove(const std::string& path) override;
  void sync_directory(const std::string& path) override;
  void write_file(const std::string& path, std::span<const std::byte> content) override;
  std::vector<std::byte> read_file(const std::string& path, std::uint64_t max_bytes) const override;

  // Replaces the faults; counting of the n-th transfer starts anew.
  void set_faults(const SimulatedFaults& faults);

  // Boundaries are numbered 0 (the disk as it was made) to operation_count() (now).
  std::size_t operation_count() const;
  // One operation of the log for messages, such as "write rows/0 4096+512".
  std::string describe_operation(std::size_t index) const;
  // A disk, all durable and with an empty log, as the machine finds it after a crash when the first
  // `boundary` operations had been started. The same arguments give the same state. Cheap when
  // boundaries are asked for in rising order. REQUIRES: record_log, boundary <= operation_count().
  std::unique_ptr<SimulatedDisk> crash_state(std::size_t boundary, const CrashPolicy& policy) const;

  // Flips one bit of a file, behind the back of everyone: for tests of checksums.
  void corrupt(const std::string& path, std::uint64_t offset, unsigned bit);

  struct State;  // simulated_state.h; for the disk's own files

 private:
  std::unique_ptr<State> state_;
};

}  // namespace mneme::io
