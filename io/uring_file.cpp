#include "io/uring_file.h"

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "io/check.h"
#include "io/errno_text.h"
#include "io/error.h"
#include "io/log.h"
#include "io/registered_memory.h"
#include "io/transfer.h"

namespace mneme::io {
namespace {

// Requests gathered before the kernel is entered for them; poll() enters for any number.
constexpr unsigned kSubmitBatch = 16;
// Attempts to enter the kernel while it is short of memory.
constexpr int kMaxEnterAttempts = 1000;

// A number for the calling thread that is never used again, unlike std::thread::id.
std::uint64_t this_thread_number() {
  static std::atomic<std::uint64_t> next = 1;
  thread_local const std::uint64_t number = next++;
  return number;
}

// Owns the kernel's ring with its registrations.
class Ring {
 public:
  // single_thread: completions are worked off only when the one thread that uses the ring asks,
  // which saves interrupts of its computing. Throws Error when io_uring is refused.
  Ring(unsigned depth, int descriptor, bool single_thread) {
    const char* variable = std::getenv(kUringVariable);
    if (variable != nullptr && std::string_view(variable) == "refuse") {
      fail("refused by the environment variable {}", kUringVariable);
    }
    int result = -EINVAL;
    if (single_thread) {
      // Kernels before 6.1 do not know these flags.
      deferred_ = true;
      result = initialise(
          depth, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED);
    }
    if (result == -EINVAL) {
      deferred_ = false;
      result = initialise(depth, 0);
    }
    if (result < 0) fail("{}", errno_text(-result));
    fixed_file_ = io_uring_register_files(&ring_, &descriptor, 1) == 0;
    fixed_buffers_ = io_uring_register_buffers_sparse(&ring_, RegisteredMemory::kMaxChunks) == 0;
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { io_uring_queue_exit(&ring_); }

  // Makes the calling thread the one that uses a single_thread ring. Returns 0 or an errno value.
  // (liburing 2.3 declares io_uring_enable_rings but does not export it.)
  int enable() {
    const long result =
        ::syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    return result < 0 ? errno : 0;
  }

  io_uring* get() { return &ring_; }
  bool deferred() const { return deferred_; }
  bool fixed_file() const { return fixed_file_; }
  bool fixed_buffers() const { return fixed_buffers_; }

 private:
  int initialise(unsigned depth, unsigned flags) {
    // The completion queue has twice as many entries as the submission queue, which holds `depth`:
    // it cannot overflow.
    io_uring_params parameters = {};
    parameters.flags = flags;
    return io_uring_queue_init_params(depth, &ring_, &parameters);
  }

  io_uring ring_ = {};
  bool deferred_ = false;
  bool fixed_file_ = false;
  bool fixed_buffers_ = false;
};

class UringFile final : public BlockFile {
 public:
  UringFile(PosixFile& file, std::uint32_t depth) {
    CHECK(depth >= 1 && depth <= kMaxUringDepth);
    ring_.emplace(depth, file.descriptor(), /*single_thread=*/true);
    file_.emplace(std::move(file));
    transfers_.resize(depth);
    for (std::uint32_t index = depth; index-- > 0;) free_.push_back(index);
  }

  // The kernel may still write into the caller's memory, so nothing is left in flight.
  ~UringFile() override {
    std::vector<BlockCompletion> ignored(depth());
    try {
      while (in_flight() > 0) poll(ignored, true);
    } catch (const std::exception& error) {
      warn("{}: requests were left in flight: {}", path(), error.what());
    }
  }

  const std::string& path() const override { return file_->path(); }
  std::uint32_t alignment() const override { return file_->alignment(); }
  std::uint32_t depth() const override { return static_cast<std::uint32_t>(transfers_.size()); }
  std::uint64_t size_bytes() const override { return file_->size_bytes(); }
  void reserve(std::uint64_t bytes) override { file_->reserve(bytes); }
  void truncate(std::uint64_t bytes) override { file_->truncate(bytes); }
  std::uint32_t in_flight() const override {
    return static_cast<std::uint32_t>(transfers_.size() - free_.size());
  }
  const BlockFileCounters& counters() const override { return counters_; }

  void register_buffer(std::span<std::byte> memory) override {
    if (memory.empty() || !ring_) return;
    adopt_thread();
    register_chunks(memory_.add(memory));
  }

  bool submit(const BlockRequest& request) override {
    check_request(request, alignment());
    require_ring();
    if (request.operation == BlockOperation::kWrite) file_->check_writable();
    if (free_.empty()) return false;
    adopt_thread();
    const std::uint32_t index = free_.back();
    free_.pop_back();
    transfers_[index] = Transfer{request};
    queue(index);
    if (io_uring_sq_ready(ring_->get()) >= kSubmitBatch) enter(/*wait=*/false);
    return true;
  }

  std::size_t poll(std::span<BlockCompletion> completions, bool wait) override {
    require_ring();
    if (completions.empty() || in_flight() == 0) return 0;
    adopt_thread();
    while (true) {
      const bool ready = io_uring_cq_ready(ring_->get()) > 0;
      if (!ready || io_uring_sq_ready(ring_->get()) > 0) enter(wait && !ready);
      const std::size_t count = reap(completions);
      if (count > 0 || !wait) return count;
    }
  }

  void sync() override {
    file_->sync();
    std::atomic_ref(counters_.syncs).fetch_add(1);
  }

 private:
  // The kernel lets one thread only use a deferring ring. A ring for any thread takes its place
  // when the file moves.
  void adopt_thread() {
    const std::uint64_t thread = this_thread_number();
    if (thread == owner_) return;
    CHECK(in_flight() == 0, "{}: moved to another thread with {} requests in flight", path(),
          in_flight());
    if (ring_->deferred()) {
      if (owner_ == 0) {
        if (const int error = ring_->enable(); error != 0) {
          fail("{}: cannot start io_uring: {}", path(), errno_text(error));
        }
      } else {
        ring_.reset();
        try {
          ring_.emplace(depth(), file_->descriptor(), /*single_thread=*/false);
        } catch (const Error& error) {
          given_up_ = fmt::format("{}: cannot start io_uring once more: {}", path(), error.what());
          require_ring();
        }
        for (auto& chunk : memory_.chunks()) chunk.registered = false;
        register_chunks(0);
      }
    }
    owner_ = thread;
  }

  void register_chunks(std::size_t first) {
    int error = ring_->fixed_buffers() ? 0 : ENOSYS;
    std::size_t refused_bytes = 0;
    for (std::size_t i = first; i < memory_.chunks().size(); ++i) {
      RegisteredMemory::Chunk& chunk = memory_.chunks()[i];
      const int refusal = register_chunk(chunk);
      chunk.registered = refusal == 0;
      if (refusal != 0) {
        error = refusal;
        refused_bytes += chunk.bytes;
      }
    }
    memory_.rebuild_index();
    if (refused_bytes > 0 && !std::exchange(warned_, true)) {
      warn(
          "{}: {} bytes of I/O memory stay unregistered ({}); raising the limit of locked memory "
          "(ulimit -l) makes transfers cheaper",
          path(), refused_bytes, errno_text(error));
    }
  }

  // Returns 0 or the reason of the refusal.
  int register_chunk(const RegisteredMemory::Chunk& chunk) {
    if (!ring_->fixed_buffers()) return ENOSYS;
    if (chunk.index >= RegisteredMemory::kMaxChunks) return ENOBUFS;
    const iovec range = {chunk.begin, chunk.bytes};
    const __u64 no_tag = 0;
    const int result =
        io_uring_register_buffers_update_tag(ring_->get(), chunk.index, &range, &no_tag, 1);
    if (result == 1) return 0;
    return result < 0 ? -result : EIO;
  }

  // Puts the rest of a transfer into the submission queue, which always has room: it has `depth`
  // entries, and a transfer has one at a time.
  void queue(std::uint32_t index) {
    const Transfer& transfer = transfers_[index];
    const BlockRequest& request = transfer.request;
    io_uring_sqe* entry = io_uring_get_sqe(ring_->get());
    CHECK(entry != nullptr);
    std::byte* data = request.data + transfer.done;
    const unsigned bytes = request.bytes - transfer.done;
    const std::uint64_t offset = request.offset + transfer.done;
    const int target = ring_->fixed_file() ? 0 : file_->descriptor();
    const std::optional<std::uint32_t> fixed = memory_.find(data, bytes);
    const bool read = request.operation == BlockOperation::kRead;
    if (read && fixed) {
      io_uring_prep_read_fixed(entry, target, data, bytes, offset, static_cast<int>(*fixed));
    } else if (read) {
      io_uring_prep_read(entry, target, data, bytes, offset);
    } else if (fixed) {
      io_uring_prep_write_fixed(entry, target, data, bytes, offset, static_cast<int>(*fixed));
    } else {
      io_uring_prep_write(entry, target, data, bytes, offset);
    }
    if (ring_->fixed_file()) io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data64(entry, index);
  }

  // Hands queued requests to the kernel and lets it deliver completions; with `wait`, at least one.
  void enter(bool wait) {
    for (int attempt = 0;; ++attempt) {
      int result;
      if (wait) {
        result = io_uring_submit_and_wait(ring_->get(), 1);
      } else if (ring_->deferred()) {
        result = io_uring_submit_and_get_events(ring_->get());
      } else {
        result = io_uring_submit(ring_->get());
      }
      if (result >= 0) return;
      // A signal may have come before or after the submission; what is left in the queue is
      // submitted by the next call. A kernel short of memory recovers as transfers finish.
      if (result != -EINTR && result != -EAGAIN && result != -EBUSY) {
        give_up(fmt::format("{}: io_uring failed: {}", path(), errno_text(-result)));
      }
      if (io_uring_cq_ready(ring_->get()) > 0) return;
      if (result == -EINTR) continue;
      if (attempt >= kMaxEnterAttempts) {
        give_up(fmt::format("{}: io_uring takes no more requests: {}; lower the I/O depth", path(),
                            errno_text(-result)));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // The kernel takes no more requests. Those that it has are waited for and the others forgotten,
  // so that no memory is in use any more when the caller hears of it.
  [[noreturn]] void give_up(const std::string& reason) {
    const std::uint32_t in_kernel = in_flight() - io_uring_sq_ready(ring_->get());
    while (io_uring_cq_ready(ring_->get()) < in_kernel) {
      io_uring_cqe* entry = nullptr;
      const int result = io_uring_wait_cqe_nr(ring_->get(), &entry, in_kernel);
      if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) break;
    }
    ring_.reset();
    free_.clear();
    for (std::uint32_t index = depth(); index-- > 0;) free_.push_back(index);  // in_flight() is 0
    given_up_ = reason;
    require_ring();
    __builtin_unreachable();
  }
  void require_ring() const {
    if (!ring_) fail("{}", given_up_);
  }

  // Takes completions off the ring. Transfers that must go on are queued again.
  std::size_t reap(std::span<BlockCompletion> completions) {
    std::size_t count = 0;
    unsigned head;
    unsigned seen = 0;
    io_uring_cqe* entry;
    io_uring_for_each_cqe(ring_->get(), head, entry) {
      if (count == completions.size()) break;
      ++seen;
      const auto index = static_cast<std::uint32_t>(io_uring_cqe_get_data64(entry));
      CHECK(index < transfers_.size());
      Transfer& transfer = transfers_[index];
      if (advance(transfer, entry->res, *this) == TransferStep::kRequeue) {
        ++counters_.retries;
        queue(index);
        continue;
      }
      completions[count++] = complete(transfer, counters_);
      free_.push_back(index);
    }
    io_uring_cq_advance(ring_->get(), seen);
    return count;
  }

  std::optional<PosixFile> file_;
  // Declared before the ring: the kernel lets go of the memory before children may have it again.
  RegisteredMemory memory_;
  std::optional<Ring> ring_;
  std::string given_up_;  // why there is no ring any more
  std::vector<Transfer> transfers_;
  std::vector<std::uint32_t> free_;
  std::uint64_t owner_ = 0;  // 0 until a thread has used the ring
  bool warned_ = false;
  BlockFileCounters counters_;
};

}  // namespace

std::unique_ptr<BlockFile> make_uring_file(PosixFile& file, std::uint32_t depth,
                                           std::string& refusal) {
  try {
    return std::make_unique<UringFile>(file, depth);
  } catch (const Error& error) {
    refusal = error.what();
    return nullptr;
  }
}

}  // namespace mneme::io
