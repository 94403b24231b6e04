// Makes transfers on one stream last as long as an emulated link needs for them. The stream itself
// waits, at the end of each transfer; without emulation nothing is queued.
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/emulated_link.h"
#include "kernels/backend.h"

namespace mneme::offload {

class LinkPacer {
 public:
  LinkPacer(double bytes_per_second, std::size_t row_bytes)
      : link_(bytes_per_second), row_bytes_(row_bytes) {}

  // Rows of a transfer: of `listed` entries, those that do move. Where only the device knows, total
  // says how many do of a longer list of which `before` entries came earlier.
  struct Rows {
    std::int64_t listed = 0;
    const std::uint64_t* total = nullptr;  // [1], pinned host, in place when the transfer runs; or
                                           // null: all
    std::int64_t before = 0;
  };

  // Around the queueing of one transfer on the stream; always the same one.
  void start(kernels::Stream& stream);
  void finish(kernels::Stream& stream, const Rows& rows);

 private:
  io::EmulatedLink link_;
  std::size_t row_bytes_;
  io::EmulatedLink::Clock::time_point began_;  // of the running transfer; of the stream's thread
};

}  // namespace mneme::offload
