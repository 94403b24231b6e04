#include "offload/mover/link_pacer.h"

#include <algorithm>
#include <thread>

namespace mneme::offload {

using Clock = io::EmulatedLink::Clock;

void LinkPacer::start(kernels::Stream& stream) {
  if (!link_.is_emulated()) return;
  stream.run_on_host([this] { began_ = Clock::now(); });
}

void LinkPacer::finish(kernels::Stream& stream, const Rows& rows) {
  if (!link_.is_emulated()) return;
  stream.run_on_host([this, rows] {
    // Entries that move are taken to come first: the sum over the whole list is exact.
    const std::int64_t moved =
        rows.total == nullptr
            ? rows.listed
            : std::clamp<std::int64_t>(static_cast<std::int64_t>(*rows.total) - rows.before, 0,
                                       rows.listed);
    const auto bytes = static_cast<std::uint64_t>(moved) * row_bytes_;
    std::this_thread::sleep_until(link_.transfer(began_, bytes));
  });
}

}  // namespace mneme::offload
