// How a run keeps the gradient of a step's rows (memory.row_gradient), and what follows from it for
// the rows' records and for the memory that it takes.
#pragma once

#include <cstdint>

#include "engine/config.h"
#include "kernels/row_layout.h"

namespace mneme::engine {

// Device memory of the factored gradient of so many micro-batches, all layers, at most.
std::uint64_t factored_gradient_bytes(const Config& config, std::int64_t micro_batches);
// Whether rows have gradient arrays. Of kAuto: whether a step's factored gradient takes more than
// train.row_gradient_bytes, and device and host memory hold the whole table with gradient arrays.
bool accumulates_row_gradient(const Config& config);
// Micro-batches whose factored gradient is kept at once: all, or as many as
// train.row_gradient_bytes holds, and one at least.
std::int64_t kept_micro_batches(const Config& config);
// Puts what it comes to in place of kAuto.
void choose_row_gradient(Config& config);

// What a row of the value table consists of. REQUIRES a memory.
kernels::RecordLayout row_layout(const Config& config);

}  // namespace mneme::engine
