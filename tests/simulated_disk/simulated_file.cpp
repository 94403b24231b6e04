#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <utility>

#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/transfer.h"
#include "tests/simulated_disk/simulated_state.h"

namespace mneme::io {
namespace {

using Kind = SimulatedOperation::Kind;
using Lock = std::lock_guard<std::recursive_mutex>;

// Without direct I/O the alignment is the least that a BlockFile has.
constexpr std::uint32_t kBufferedAlignment = 512;

class SimulatedFile final : public BlockFile {
 public:
  SimulatedFile(SimulatedDisk::State& disk, std::uint32_t inode, std::string path,
                const OpenOptions& options)
      : disk_(disk),
        inode_(inode),
        path_(std::move(path)),
        depth_(options.depth),
        read_only_(options.read_only),
        alignment_(options.direct ? disk.options.alignment : kBufferedAlignment) {}

  // Writes that are still in flight reach the disk, like those of a real file.
  ~SimulatedFile() override {
    BlockCompletion ignored;
    while (poll({&ignored, 1}, /*wait=*/true) > 0) {
    }
  }

  const std::string& path() const override { return path_; }
  std::uint32_t alignment() const override { return alignment_; }
  std::uint32_t depth() const override { return depth_; }
  std::uint32_t in_flight() const override { return static_cast<std::uint32_t>(flying_.size()); }
  const BlockFileCounters& counters() const override { return counters_; }
  void register_buffer(std::span<std::byte>) override {}

  std::uint64_t size_bytes() const override {
    const Lock lock(disk_.mutex);
    return content().size;
  }

  void reserve(std::uint64_t bytes) override {
    const Lock lock(disk_.mutex);
    check_writable();
    if (bytes <= content().size) return;
    check_room(bytes);
    record(Kind::kReserve, bytes);
  }

  void truncate(std::uint64_t bytes) override {
    const Lock lock(disk_.mutex);
    check_writable();
    check_room(bytes);
    record(Kind::kTruncate, bytes);
  }

  bool submit(const BlockRequest& request) override {
    check_request(request, alignment());
    const Lock lock(disk_.mutex);
    const bool read = request.operation == BlockOperation::kRead;
    if (!read) check_writable();
    if (in_flight() >= depth_) return false;
    Flying flying;
    flying.transfer = Transfer{request};
    flying.polls_left = disk_.random.below(disk_.faults.max_delay_polls + std::uint64_t{1});
    if (read) {
      start_read(flying);
    } else {
      start_write(flying);
    }
    flying_.push_back(flying);
    return true;
  }

  std::size_t poll(std::span<BlockCompletion> completions, bool wait) override {
    const Lock lock(disk_.mutex);
    if (completions.empty() || flying_.empty()) return 0;
    std::uint64_t passing = 1;
    if (wait) {
      passing =
          std::max<std::uint64_t>(1, std::ranges::min(flying_, {}, &Flying::polls_left).polls_left);
    }
    for (Flying& flying : flying_) flying.polls_left -= std::min(flying.polls_left, passing);
    std::size_t count = 0;
    while (count < completions.size()) {
      const std::optional<std::size_t> chosen = choose_ready();
      if (!chosen) break;
      Flying flying = flying_[*chosen];
      flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(*chosen));
      land(flying);
      completions[count++] = complete(flying.transfer, counters_);
    }
    return count;
  }

  void sync() override {
    const Lock lock(disk_.mutex);
    check_writable();
    failed_ = disk_.fails_now(SimulatedDisk::State::Counted::kSync);
    SimulatedOperation sync = operation(failed_ ? Kind::kFailedSync : Kind::kSync);
    for (const Flying& flying : flying_) {
      if (flying.logged) sync.in_flight.push_back(*flying.logged);
    }
    disk_.record(std::move(sync));
    if (failed_) {
      fail("{}: cannot make its data durable: {}; reopen from the last checkpoint", path_,
           errno_text(EIO));
    }
    ++counters_.syncs;
  }

 private:
  struct Flying {
    Transfer transfer;  // its outcome is decided when it is submitted
    std::uint64_t polls_left = 0;
    std::uint64_t buffer_hash = 0;      // of a write's memory when it was submitted
    bool on_disk = false;               // a write that took effect already
    std::optional<std::size_t> logged;  // of a write: where it is in the log
  };

  SimulatedContent& content() const { return disk_.current.inodes[inode_]; }

  void check_writable() const {
    if (read_only_) fail("{}: was opened for reading only", path_);
    if (!failed_) return;
    fail("{}: an earlier sync failed, so its content is unknown; reopen from the last checkpoint",
         path_);
  }

  void check_room(std::uint64_t bytes) const {
    if (disk_.has_room(content().size, bytes)) return;
    fail("{}: cannot reserve {} bytes (the file has {}): {}", path_, bytes, content().size,
         errno_text(ENOSPC));
  }

  SimulatedOperation operation(Kind kind) const {
    SimulatedOperation operation;
    operation.kind = kind;
    operation.inode = inode_;
    operation.path = path_;
    return operation;
  }

  void record(Kind kind, std::uint64_t bytes) {
    SimulatedOperation length = operation(kind);
    length.offset = bytes;
    disk_.record(std::move(length));
  }

  // Makes attempts until the transfer is finished; `possible` bytes of it can be moved at all.
  void decide(Transfer& transfer, std::uint64_t possible) {
    while (true) {
      std::int64_t result =
          static_cast<std::int64_t>(possible - std::min<std::uint64_t>(possible, transfer.done));
      if (disk_.random.chance(disk_.faults.retry_share)) {
        result = disk_.random.chance(0.5) ? -EAGAIN : -EINTR;
      } else if (result > 0 && disk_.random.chance(disk_.faults.short_share)) {
        result =
            static_cast<std::int64_t>(disk_.random.below(static_cast<std::uint64_t>(result) + 1));
      }
      if (advance(transfer, result, *this) == TransferStep::kFinished) return;
      ++counters_.retries;
    }
  }

  void start_read(Flying& flying) {
    const BlockRequest& request = flying.transfer.request;
    // The caller may not use the memory before the completion; what it finds there is garbage.
    disk_.random.fill({request.data, request.bytes});
    if (disk_.fails_now(SimulatedDisk::State::Counted::kRead)) {
      flying.transfer.error = EIO;
      return;
    }
    const std::uint64_t size = content().size;
    const std::uint64_t readable = size > request.offset ? size - request.offset : 0;
    decide(flying.transfer, std::min<std::uint64_t>(readable, request.bytes));
  }

  void start_write(Flying& flying) {
    Transfer& transfer = flying.transfer;
    const BlockRequest& request = transfer.request;
    flying.buffer_hash = XXH3_64bits(request.data, request.bytes);
    if (disk_.fails_now(SimulatedDisk::State::Counted::kWrite)) {
      // A failed write leaves something of itself behind.
      transfer.error = EIO;
      transfer.done = static_cast<std::uint32_t>(
          disk_.random.below(request.bytes / alignment() + 1) * alignment());
    } else if (!disk_.has_room(content().size, request.offset + request.bytes)) {
      transfer.error = ENOSPC;
    } else {
      decide(transfer, request.bytes);
    }
    // In the log from now on: a crash may find it on the disk before its completion is seen.
    if (disk_.options.record_log && transfer.done > 0) {
      SimulatedOperation write = operation(Kind::kWrite);
      write.offset = request.offset;
      write.data.assign(request.data, request.data + transfer.done);
      flying.logged = disk_.log.size();
      disk_.record(std::move(write), /*apply=*/false);
    }
    // The file is as long as it will be, so that the room is taken once.
    if (transfer.done > 0) content().grow(request.offset + transfer.done);
    if (disk_.random.chance(0.5)) put_on_disk(flying);
  }

  void put_on_disk(Flying& flying) {
    const BlockRequest& request = flying.transfer.request;
    flying.on_disk = true;
    if (flying.transfer.done == 0) return;
    content().write(request.offset, {request.data, flying.transfer.done});
  }

  // A completion is handed out: a read's bytes arrive, a write's are on the disk at last.
  void land(Flying& flying) {
    const BlockRequest& request = flying.transfer.request;
    if (request.operation == BlockOperation::kRead) {
      if (flying.transfer.error == 0) content().read(request.offset, {request.data, request.bytes});
      return;
    }
    CHECK(XXH3_64bits(request.data, request.bytes) == flying.buffer_hash,
          "{}: the memory of a write at {} changed before its completion", path_, request.offset);
    if (!flying.on_disk) put_on_disk(flying);
  }

  // The place in flying_ of the next completion to hand out.
  std::optional<std::size_t> choose_ready() {
    std::size_t ready = 0;
    for (const Flying& flying : flying_) ready += flying.polls_left == 0;
    if (ready == 0) return std::nullopt;
    std::uint64_t skip = disk_.faults.reorder ? disk_.random.below(ready) : 0;
    for (std::size_t i = 0;; ++i) {
      if (flying_[i].polls_left == 0 && skip-- == 0) return i;
    }
  }

  SimulatedDisk::State& disk_;
  std::uint32_t inode_;
  std::string path_;
  std::uint32_t depth_;
  bool read_only_;
  std::uint32_t alignment_;
  bool failed_ = false;
  std::deque<Flying> flying_;  // in the order of submission
  BlockFileCounters counters_;
};

}  // namespace

std::unique_ptr<BlockFile> open_simulated_file(SimulatedDisk::State& disk, std::uint32_t inode,
                                               const std::string& path,
                                               const OpenOptions& options) {
  return std::make_unique<SimulatedFile>(disk, inode, path, options);
}

}  // namespace mneme::io
