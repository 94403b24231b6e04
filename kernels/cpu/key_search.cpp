// Operations product_keys and softmax_backward of the CPU backend.
//
// The order "higher score first, ties by lower row id" holds over all half_keys^2 rows with scores
// added in float32, although only a few pairs are looked at:
// 1. Both halves' best knn + 1 keys are found and sorted (higher score, then lower index).
// 2. Pair (a, b) of ranks has (a+1)(b+1) - 1 pairs that score as high or higher, so the knn-th best
//    score is that of a pair with (a+1)(b+1) <= knn.
// 3. Only rows that tie with the knn-th best score can lie outside of these pairs: float32 sums of
//    different half scores may be equal. The frontier, the pairs just outside, shows whether there
//    are any; if so the tie is settled by walking the rows in ascending order.
#include <cmath>
#include <cstring>
#include <limits>

#include "io/check.h"
#include "io/error.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/half_top.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace mneme::kernels::cpu {
namespace {

constexpr std::int64_t kMaxKnn = 128;
// The sum over a < 128 of floor(128 / (a + 1)) is 645.
constexpr std::int64_t kMaxPairs = 704;

struct Pair {
  float score;
  RowId row;
};

// Higher score first, ties by lower row id.
bool precedes(const Pair& a, const Pair& b) {
  return a.score != b.score ? a.score > b.score : a.row < b.row;
}

// What one thread needs for one (token, head).
struct Search {
  HalfTop half[2];
  Pair pairs[kMaxPairs];
};

// A lower bound of the knn-th best score: pair (a, b) with (a+1)(b+1) >= knn has knn pairs that
// score at least as high, itself included.
float score_bound(const HalfTop& first, const HalfTop& second, std::int64_t knn) {
  float bound = -std::numeric_limits<float>::infinity();
  for (std::int64_t a = 0; a < knn; ++a) {
    const std::int64_t b = (knn + a) / (a + 1) - 1;
    bound = std::max(bound, first.scores[a] + second.scores[b]);
  }
  return bound;
}

std::int64_t collect_pairs(Search& search, std::int64_t knn, std::int64_t half_keys) {
  const HalfTop& first = search.half[0];
  const HalfTop& second = search.half[1];
  const float bound = score_bound(first, second, knn);
  std::int64_t count = 0;
  for (std::int64_t a = 0; a < knn; ++a) {
    const std::int64_t limit = knn / (a + 1);
    for (std::int64_t b = 0; b < limit; ++b) {
      const float score = first.scores[a] + second.scores[b];
      if (score < bound) break;  // and so are all later ones
      search.pairs[count++] = {
          score, static_cast<RowId>(first.indices[a] * half_keys + second.indices[b])};
    }
  }
  return count;
}

// True when a pair just outside of (a+1)(b+1) <= knn reaches the knn-th best score. Every other
// pair outside scores no higher than one of these.
bool tie_beyond(const Search& search, std::int64_t knn, std::int64_t half_keys, float last) {
  const HalfTop& first = search.half[0];
  const HalfTop& second = search.half[1];
  for (std::int64_t a = 0; a <= knn; ++a) {
    const std::int64_t b = a == knn ? 0 : knn / (a + 1);
    if (a >= half_keys || b >= half_keys) continue;
    if (first.scores[a] + second.scores[b] >= last) return true;
  }
  return false;
}

// Replaces the pairs that score `last` by the lowest rows of all that do. pairs: [knn], sorted.
// At most 2 knn first halves reach the inner walk: each has a row that scores `last` or more.
void settle_tie(const float* first, const float* second, std::int64_t half_keys, float best_second,
                Pair* pairs, std::int64_t knn) {
  const float last = pairs[knn - 1].score;
  std::int64_t next = knn;
  while (next > 0 && pairs[next - 1].score == last) --next;
  for (std::int64_t i = 0; i < half_keys && next < knn; ++i) {
    if (first[i] + best_second < last) continue;
    const float score = first[i];
    for (std::int64_t begin = 0; begin < half_keys && next < knn; begin += 64) {
      const std::int64_t end = std::min(half_keys, begin + 64);
      const bool any = vectorised([=]() MNEME_VECTORISE {
        std::int32_t found = 0;
        for (std::int64_t j = begin; j < end; ++j) found |= score + second[j] == last ? 1 : 0;
        return found != 0;
      });
      for (std::int64_t j = begin; any && j < end && next < knn; ++j) {
        if (score + second[j] == last) {
          pairs[next++] = {last, static_cast<RowId>(i * half_keys + j)};
        }
      }
    }
  }
}

void softmax(const Pair* pairs, std::int64_t knn, float* weights) {
  const float highest = pairs[0].score;
  double sum = 0;
  for (std::int64_t j = 0; j < knn; ++j) {
    weights[j] = std::exp(pairs[j].score - highest);
    sum += weights[j];
  }
  const auto inverse = static_cast<float>(1 / sum);
  for (std::int64_t j = 0; j < knn; ++j) weights[j] *= inverse;
}

void check_scores(const ProductKeyArgs& args, std::int64_t group, const Search& search) {
  const float best = search.half[0].scores[0] + search.half[1].scores[0];
  if (!search.half[0].has_nan && !search.half[1].has_nan && std::isfinite(best)) return;
  io::fail(
      "product keys: a score of token {}, head {} is {}; the model has diverged: lower the "
      "learning rate or clip gradients",
      group / args.heads, group % args.heads,
      search.half[0].has_nan || search.half[1].has_nan ? "not a number" : "infinite");
}

void search_group(const ProductKeyArgs& args, std::int64_t group, Search& search,
                  std::uint64_t* scratch) {
  const std::int64_t n = args.half_keys, knn = args.knn;
  const float* first = args.half_scores + group * 2 * n;
  const float* second = first + n;
  const std::int64_t top = std::min(n, knn + 1);
  find_half_top(first, n, top, scratch, search.half[0]);
  find_half_top(second, n, top, scratch, search.half[1]);
  check_scores(args, group, search);

  const std::int64_t count = collect_pairs(search, knn, n);
  std::partial_sort(search.pairs, search.pairs + knn, search.pairs + count, precedes);
  if (tie_beyond(search, knn, n, search.pairs[knn - 1].score)) {
    settle_tie(first, second, n, search.half[1].scores[0], search.pairs, knn);
  }
  for (std::int64_t j = 0; j < knn; ++j) {
    args.rows[group * knn + j] = search.pairs[j].row;
    if (args.scores != nullptr) args.scores[group * knn + j] = search.pairs[j].score;
  }
  softmax(search.pairs, knn, args.weights + group * knn);
}

}  // namespace

void CpuBackend::product_keys(Stream& stream, const ProductKeyArgs& args) {
  CHECK(args.knn >= 1 && args.knn <= args.half_keys && args.knn <= kMaxKnn);
  CHECK(args.half_keys <= 65535, "row ids of {}^2 rows do not fit 32 bits", args.half_keys);
  CHECK(args.half_scores != nullptr && args.rows != nullptr && args.weights != nullptr);
  on(stream).enqueue([=](Scratch& scratch) {
    auto* searches = scratch.take<Search>(thread_slots());
    auto* keys = scratch.take<std::uint64_t>(thread_slots() * args.half_keys);
    parallel_chunks(args.tokens * args.heads, 8, [=](std::int64_t begin, std::int64_t end) {
      Search& search = searches[thread_slot()];
      for (std::int64_t group = begin; group < end; ++group) {
        search_group(args, group, search, keys + thread_slot() * args.half_keys);
      }
    });
  });
}

void CpuBackend::softmax_backward(Stream& stream, const SoftmaxBackwardArgs& args) {
  CHECK(args.knn >= 1 && args.weights != nullptr && args.d_weights != nullptr &&
        args.d_scores != nullptr);
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(args.groups, 64, [=](std::int64_t begin, std::int64_t end) {
      vectorised([=]() MNEME_VECTORISE {
        for (std::int64_t group = begin; group < end; ++group) {
          const float* w = args.weights + group * args.knn;
          const float* d_w = args.d_weights + group * args.knn;
          float* d_s = args.d_scores + group * args.knn;
          const float mean =
              lane_sum(args.knn, [=](std::int64_t j) MNEME_VECTORISE { return w[j] * d_w[j]; });
          for (std::int64_t j = 0; j < args.knn; ++j) d_s[j] = w[j] * (d_w[j] - mean);
        }
      });
    });
  });
}

}  // namespace mneme::kernels::cpu
