#include "offload/replay/next_uses.h"

#include <utility>

#include "io/error.h"

namespace mneme::offload {

NextUses::NextUses(TraceReader& reader, const std::function<void()>& between) {
  const std::uint64_t rows = reader.header().rows;
  TraceEvent event;
  while (reader.next(event)) {
    if (between) between();
    if (event.kind != TraceKind::kLease || event.read_only) continue;
    for (const std::uint32_t row : event.list) {
      if (row >= rows) io::fail("row {} of a table of {}", row, rows);
    }
    next_.insert(next_.end(), event.list.begin(), event.list.end());
    if (next_.size() >= kNever) {
      io::fail(
          "the trace has leases of more than 4,294,967,295 rows: too many to know the future of");
    }
  }
  // From the end: each row gives way to the number at which it was seen last.
  std::vector<std::uint32_t> soonest(rows, kNever);
  for (std::size_t i = next_.size(); i-- > 0;) {
    if (i % (std::size_t{1} << 20) == 0 && between) between();
    next_[i] = std::exchange(soonest[next_[i]], static_cast<std::uint32_t>(i));
  }
}

}  // namespace mneme::offload
