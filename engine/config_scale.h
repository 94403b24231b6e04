// A smaller model of the same shape, to try out a configuration on a machine that it does not fit.
#pragma once

#include <cstdint>

#include "engine/config.h"

namespace mneme::engine {

inline constexpr std::int64_t kMostScale = 1024;

// Divides by `scale`: the widths (model, feed-forward, key, value), the attention and key-value
// heads, the half-keys, and the tokens of a sequence; by its square the micro-batches and, as
// what a step writes shrinks, the disk's budget; and by its cube, as the whole table shrinks, the
// budgets of device and host. Budgets that are shares of the table, blocks, the batch, the
// vocabulary, learning rates and steps stay. Everything is rounded down to what fits together (a
// head is even and at most 256 wide, knn at most the half-keys), and to 1 at least. 1 changes
// nothing. Throws Error as check_config does. REQUIRES 1 <= scale <= kMostScale.
Config scaled_down(Config config, std::int64_t scale);

}  // namespace mneme::engine
