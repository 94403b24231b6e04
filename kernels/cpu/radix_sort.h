// Which order sorts a list of keys: a stable radix sort, least digit first. Parts of the list are
// counted and moved in parallel; the result is the same for any number of them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

namespace mneme::kernels::cpu {

namespace internal {

struct IndexedKey {
  std::uint32_t key, index;
};

// One pass, by the `bits` bits from `shift` on. read(i): the i-th of the list so far; write(at, x):
// x comes to `at`. counts: [parts << bits].
template <typename Read, typename Write>
void radix_pass(std::int64_t count, std::int64_t parts, int shift, int bits, std::uint32_t* counts,
                const Read& read, const Write& write) {
  const std::int64_t digits = std::int64_t{1} << bits;
  const auto digit = [shift, mask = static_cast<std::uint32_t>(digits - 1)](std::uint32_t key) {
    return key >> shift & mask;
  };
  const auto begin_of = [count, parts](std::int64_t part) { return count * part / parts; };
  parallel_tasks(parts, [&](std::int64_t part) {
    std::uint32_t* const own = counts + part * digits;
    std::fill(own, own + digits, 0u);
    for (std::int64_t i = begin_of(part); i < begin_of(part + 1); ++i) ++own[digit(read(i).key)];
  });
  std::uint32_t sum = 0;
  for (std::int64_t d = 0; d < digits; ++d) {
    for (std::int64_t part = 0; part < parts; ++part) {
      sum += std::exchange(counts[part * digits + d], sum);
    }
  }
  parallel_tasks(parts, [&](std::int64_t part) {
    std::uint32_t* const next = counts + part * digits;
    for (std::int64_t i = begin_of(part); i < begin_of(part + 1); ++i) {
      const IndexedKey x = read(i);
      write(next[digit(x.key)]++, x);
    }
  });
}

}  // namespace internal

// sorted[i] = keys[order[i]], ascending, equal keys by their index. keys: [count], below 2^bits.
inline void sort_keys(const std::uint32_t* keys, std::int64_t count, int bits,
                      std::uint32_t* sorted, std::uint32_t* order, Scratch& scratch) {
  using internal::IndexedKey;
  constexpr int kMostBits = 11;                 // of a digit: its counts stay in a cache
  constexpr std::int64_t kLeastPart = 1 << 14;  // worth a thread
  const int passes = std::max(1, (bits + kMostBits - 1) / kMostBits);
  const int digit_bits = (bits + passes - 1) / passes;
  const std::int64_t parts =
      std::clamp<std::int64_t>(count / kLeastPart, 1, std::int64_t{4} * thread_slots());
  auto* counts = scratch.take<std::uint32_t>(parts << digit_bits);
  IndexedKey* from = nullptr;
  IndexedKey* to = nullptr;
  for (int pass = 0; pass < passes; ++pass) {
    const auto run = [&](const auto& read, const auto& write) {
      internal::radix_pass(count, parts, pass * digit_bits, digit_bits, counts, read, write);
    };
    const auto write_pair = [&](std::uint32_t at, const IndexedKey& x) { to[at] = x; };
    const auto write_result = [&](std::uint32_t at, const IndexedKey& x) {
      sorted[at] = x.key;
      order[at] = x.index;
    };
    const auto read_key = [&](std::int64_t i) {
      return IndexedKey{keys[i], static_cast<std::uint32_t>(i)};
    };
    const auto read_pair = [&](std::int64_t i) { return from[i]; };
    const bool is_first = pass == 0, is_last = pass + 1 == passes;
    if (!is_last && to == nullptr) to = scratch.take<IndexedKey>(count);
    if (is_first && is_last) {
      run(read_key, write_result);
    } else if (is_first) {
      run(read_key, write_pair);
    } else if (is_last) {
      run(read_pair, write_result);
    } else {
      run(read_pair, write_pair);
    }
    std::swap(from, to);
  }
}

}  // namespace mneme::kernels::cpu
