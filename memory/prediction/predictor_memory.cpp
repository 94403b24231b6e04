#include "memory/prediction/predictor_memory.h"

namespace mneme::memory {
namespace {

constexpr std::uint64_t kWord = 4;  // a row, a token, a float, an offset

std::uint64_t words(std::int64_t count) {
  return kWord * static_cast<std::uint64_t>(count);
}

// Of RowVotes and the LookupSet in it.
PredictorMemory votes_memory(std::int64_t candidates, bool ranked) {
  return {.device_bytes = words(4 * candidates + 1),
          .pinned_bytes = words((ranked ? 3 : 2) * candidates + 1) + sizeof(std::uint64_t)};
}

}  // namespace

void PredictorMemory::operator+=(const PredictorMemory& other) {
  device_bytes += other.device_bytes;
  pinned_bytes += other.pinned_bytes;
  host_bytes += other.host_bytes;
}

PredictorMemory predictor_memory(const HistoryPredictorOptions& options) {
  const RowHistoryShape& history = options.history;
  const std::int64_t candidates = history.recalled() * history.lookups_per_token;
  PredictorMemory memory = votes_memory(candidates, false);
  memory.device_bytes += words(candidates);
  memory +=
      {.device_bytes = options.layers * words(history.ring_tokens * history.lookups_per_token),
       .pinned_bytes = options.layers * words(history.recalled()),
       .host_bytes = options.layers * sizeof(std::uint64_t) * history.contexts *
                     static_cast<std::uint64_t>(history.depth)};
  return memory;
}

PredictorMemory predictor_memory(const LookaheadOptions& options) {
  const std::int64_t tokens = options.search.tokens, queries = options.search.query_width();
  PredictorMemory memory = votes_memory(tokens * options.search.lookups(), true);
  memory.device_bytes += KeySearch::device_bytes(options.search);
  memory.device_bytes += words(tokens * (options.width + 1 + queries));
  if (!options.learns) return memory;
  const std::uint64_t map = words(queries * (options.width + 1));
  const std::int64_t sums = QueryMap::sum_count(options.width, queries);
  memory += {.device_bytes = map + words(sums),
             .pinned_bytes = words(sums),
             .host_bytes = sizeof(double) * static_cast<std::uint64_t>(sums + 1)};
  return memory;
}

}  // namespace mneme::memory
