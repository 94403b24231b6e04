#include "io/sync_file.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <utility>

#include "io/check.h"
#include "io/transfer.h"

namespace mneme::io {
namespace {

class SyncFile final : public BlockFile {
 public:
  SyncFile(PosixFile file, std::uint32_t depth) : file_(std::move(file)), depth_(depth) {
    CHECK(depth > 0);
  }

  const std::string& path() const override { return file_.path(); }
  std::uint32_t alignment() const override { return file_.alignment(); }
  std::uint32_t depth() const override { return depth_; }
  std::uint64_t size_bytes() const override { return file_.size_bytes(); }
  void reserve(std::uint64_t bytes) override { file_.reserve(bytes); }
  void truncate(std::uint64_t bytes) override { file_.truncate(bytes); }
  void register_buffer(std::span<std::byte>) override {}
  std::uint32_t in_flight() const override { return static_cast<std::uint32_t>(finished_.size()); }
  const BlockFileCounters& counters() const override { return counters_; }

  bool submit(const BlockRequest& request) override {
    check_request(request, alignment());
    if (request.operation == BlockOperation::kWrite) file_.check_writable();
    if (in_flight() >= depth_) return false;
    Transfer transfer{request};
    while (advance(transfer, attempt(transfer), *this) == TransferStep::kRequeue) {
      ++counters_.retries;
    }
    finished_.push_back(complete(transfer, counters_));
    return true;
  }

  std::size_t poll(std::span<BlockCompletion> completions, bool /*wait*/) override {
    std::size_t count = 0;
    while (count < completions.size() && !finished_.empty()) {
      completions[count++] = finished_.front();
      finished_.pop_front();
    }
    return count;
  }

  void sync() override {
    file_.sync();
    std::atomic_ref(counters_.syncs).fetch_add(1);
  }

 private:
  std::int64_t attempt(const Transfer& transfer) const {
    const BlockRequest& request = transfer.request;
    std::byte* data = request.data + transfer.done;
    const std::size_t bytes = request.bytes - transfer.done;
    const auto offset = static_cast<off_t>(request.offset + transfer.done);
    const ssize_t result = request.operation == BlockOperation::kRead
                               ? ::pread(file_.descriptor(), data, bytes, offset)
                               : ::pwrite(file_.descriptor(), data, bytes, offset);
    return result < 0 ? -errno : result;
  }

  PosixFile file_;
  std::uint32_t depth_;
  std::deque<BlockCompletion> finished_;
  BlockFileCounters counters_;
};

}  // namespace

std::unique_ptr<BlockFile> make_sync_file(PosixFile file, std::uint32_t depth) {
  return std::make_unique<SyncFile>(std::move(file), depth);
}

}  // namespace mneme::io
