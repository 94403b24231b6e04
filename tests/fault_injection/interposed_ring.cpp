// Functions of liburing, and the writes that a submission holds: what a call of pwrite() is to
// other files, a write in a submission is to those of a ring.
#include <liburing.h>

#include <array>
#include <atomic>

#include "tests/fault_injection/plan.h"

namespace mneme::test {
namespace {

struct RegisteredFile {
  std::atomic<const io_uring*> ring{nullptr};
  std::atomic<int> descriptor{-1};
};
// More rings than a test's program has at once; the oldest make room.
std::array<RegisteredFile, 64> files;
std::atomic<std::size_t> next_file{0};

void remember(const io_uring* ring, int descriptor) {
  for (RegisteredFile& file : files) {
    if (file.ring == ring) {
      file.descriptor = descriptor;
      return;
    }
  }
  RegisteredFile& file = files[next_file++ % files.size()];
  file.descriptor = descriptor;
  file.ring = ring;
}

// The descriptor that a request is for.
int descriptor_of(const io_uring* ring, const io_uring_sqe& entry) {
  if ((entry.flags & IOSQE_FIXED_FILE) == 0) return entry.fd;
  for (const RegisteredFile& file : files) {
    if (file.ring == ring) return file.descriptor;
  }
  return -1;
}

// Calls `submit` for the requests that are queued in the ring. Its file is that of its writes.
template <typename Call>
int pass_submit(const io_uring* ring, Call submit) {
  const io_uring_sq& queue = ring->sq;
  const unsigned mask = *queue.kring_mask;
  std::uint64_t writes = 0;
  int descriptor = -1;
  for (unsigned at = queue.sqe_head; at != queue.sqe_tail; ++at) {
    const io_uring_sqe& entry = queue.sqes[at & mask];
    if (entry.opcode != IORING_OP_WRITE && entry.opcode != IORING_OP_WRITE_FIXED) continue;
    ++writes;
    descriptor = descriptor_of(ring, entry);
  }
  const CallPath path = CallPath::of_descriptor(descriptor);
  const Verdict call = begin_call(Function::kRingSubmit, path);
  const Verdict write = begin_call(Function::kRingWrite, path, writes);
  const int error = call.error != 0 ? call.error : write.error;
  if (error != 0) return -error;
  const int result = submit();
  if (call.signal_after || write.signal_after) end_call();
  return result;
}

// Makes a call that fails by returning a negative errno value.
template <typename Call>
int pass_ring(Function function, Call call) {
  const Verdict verdict = begin_call(function, CallPath::none());
  if (verdict.error != 0) return -verdict.error;
  const int result = call();
  if (verdict.signal_after) end_call();
  return result;
}

}  // namespace
}  // namespace mneme::test

using mneme::test::Function;
using mneme::test::pass_ring;
using mneme::test::pass_submit;

extern "C" {

int io_uring_queue_init_params(unsigned entries, io_uring* ring, io_uring_params* parameters) {
  return pass_ring(Function::kRingSetUp, [&] {
    return MNEME_NEXT(io_uring_queue_init_params)(entries, ring, parameters);
  });
}

int io_uring_register_files(io_uring* ring, const int* descriptors, unsigned count) {
  return pass_ring(Function::kRingRegister, [&] {
    const int result = MNEME_NEXT(io_uring_register_files)(ring, descriptors, count);
    if (result == 0 && count > 0) mneme::test::remember(ring, descriptors[0]);
    return result;
  });
}

int io_uring_register_buffers_sparse(io_uring* ring, unsigned count) {
  return pass_ring(Function::kRingRegister,
                   [&] { return MNEME_NEXT(io_uring_register_buffers_sparse)(ring, count); });
}

int io_uring_register_buffers_update_tag(io_uring* ring, unsigned first, const iovec* buffers,
                                         const __u64* tags, unsigned count) {
  return pass_ring(Function::kRingRegister, [&] {
    return MNEME_NEXT(io_uring_register_buffers_update_tag)(ring, first, buffers, tags, count);
  });
}

int io_uring_submit(io_uring* ring) {
  return pass_submit(ring, [&] { return MNEME_NEXT(io_uring_submit)(ring); });
}

int io_uring_submit_and_wait(io_uring* ring, unsigned count) {
  return pass_submit(ring, [&] { return MNEME_NEXT(io_uring_submit_and_wait)(ring, count); });
}

int io_uring_submit_and_get_events(io_uring* ring) {
  return pass_submit(ring, [&] { return MNEME_NEXT(io_uring_submit_and_get_events)(ring); });
}

}  // extern "C"
