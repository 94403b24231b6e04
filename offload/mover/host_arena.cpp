#include "offload/mover/host_arena.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "io/check.h"
#include "io/error.h"

namespace mneme::offload {
namespace {

double gib(std::size_t bytes) {
  constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
  return static_cast<double>(bytes) / kGiB;
}

int piece_shift_for(std::uint32_t slots, std::size_t stride, std::size_t piece_bytes) {
  int shift = 0;
  while (shift < kernels::kLocationSlotBits && (stride << (shift + 1)) <= piece_bytes) ++shift;
  while ((std::uint64_t{kernels::HostRecords::kMostPieces} << shift) < slots) ++shift;
  return shift;
}

// Before any of it is taken: a machine that hands out its last memory piece by piece grows slow.
void check_available(const kernels::Backend& backend, std::size_t bytes) {
  const std::size_t available = backend.free_pinned_bytes();
  if (bytes <= available) return;
  io::fail(
      "the host tier needs {} bytes ({:.2f} GiB) of pinned memory; the machine has {} ({:.2f} GiB) "
      "available; lower tiers.host_bytes or stop other programs",
      bytes, gib(bytes), available, gib(available));
}

[[noreturn]] void fail_refused(std::size_t bytes, const std::vector<kernels::Buffer>& granted,
                               const std::string& reason) {
  std::size_t granted_bytes = 0;
  for (const kernels::Buffer& piece : granted) granted_bytes += piece.bytes();
  const std::string advice =
      granted.empty() ? "" : fmt::format("; lower tiers.host_bytes to {} or less", granted_bytes);
  io::fail(
      "the host tier needs {} bytes ({:.2f} GiB) of pinned memory; the system granted {} "
      "({:.2f} GiB) in {} piece{}, then: {}{}",
      bytes, gib(bytes), granted_bytes, gib(granted_bytes), granted.size(),
      granted.size() == 1 ? "" : "s", reason, advice);
}

}  // namespace

HostArena::HostArena(kernels::Backend& backend, std::uint32_t slots, std::size_t stride,
                     std::size_t piece_bytes)
    : slots_(slots) {
  CHECK(stride > 0, "records of no bytes");
  CHECK(slots <= std::uint32_t{1} << kernels::kLocationSlotBits, "slots that no location can name");
  records_.piece_shift = piece_shift_for(slots, stride, piece_bytes);
  records_.stride = stride;
  const std::size_t bytes = std::size_t{slots} * stride;
  check_available(backend, bytes);
  const std::size_t whole = stride << records_.piece_shift;
  for (std::size_t at = 0; at < bytes; at += whole) {
    try {
      pieces_.push_back(
          backend.allocate(std::min(whole, bytes - at), kernels::MemoryKind::kPinnedHost));
    } catch (const io::Error& error) {
      fail_refused(bytes, pieces_, error.what());
    }
    records_.pieces[pieces_.size() - 1] = pieces_.back().as<std::byte>();
  }
}

}  // namespace mneme::offload
