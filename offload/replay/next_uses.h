// The future of a trace: when each row that training leases is leased next. Belady's replacement in
// the planner goes by it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "offload/trace/trace_file.h"

namespace mneme::offload {

class NextUses {
 public:
  static constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

  // Reads the rest of a trace; takes 4 bytes for each row of a lease that trains, and 4 bytes a row
  // of the table while it does. between: called now and then; what it throws ends the call. Throws
  // Error where the trace has more than 2^32 such rows.
  explicit NextUses(TraceReader& reader, const std::function<void()>& between = {});

  // Rows of leases are numbered in the order of the trace. Of the `count` rows from number `first`
  // on: the numbers at which they come again, kNever for those that do not.
  const std::uint32_t* from(std::uint64_t first) const { return next_.data() + first; }
  std::uint64_t size() const { return next_.size(); }

 private:
  std::vector<std::uint32_t> next_;
};

}  // namespace mneme::offload
