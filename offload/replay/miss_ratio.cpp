#include "offload/replay/miss_ratio.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/check.h"
#include "offload/mix.h"

namespace mneme::offload {

using kernels::RowId;

namespace {
// Of the hash that samples rows.
constexpr std::uint64_t kHashSeed = 0x9e3779b97f4a7c15ull;
}  // namespace

MissCurve::MissCurve(std::vector<double> hits, double references)
    : hits_(std::move(hits)), references_(references) {
  double sum = 0;
  for (double& hit : hits_) hit = sum += hit;
}

double MissCurve::miss_ratio(std::uint64_t rows) const {
  if (references_ == 0) return 0;
  if (hits_.empty()) return 1;
  const std::uint64_t at = std::min<std::uint64_t>(rows, hits_.size() - 1);
  return std::clamp(1 - hits_[static_cast<std::size_t>(at)] / references_, 0.0, 1.0);
}

StackDistances::StackDistances(std::uint64_t table_rows, double sample)
    : sample_(sample),
      threshold_(sample >= 1 ? std::numeric_limits<std::uint64_t>::max()
                             : static_cast<std::uint64_t>(std::ldexp(sample, 64))),
      last_(table_rows),
      tree_(1 << 16),
      used_at_(1 << 16),
      counts_(1) {
  CHECK(sample > 0);
}

void StackDistances::add(std::span<const RowId> rows) {
  all_references_ += rows.size();
  if (sample_ >= 1) {
    for (const RowId row : rows) add(row);
    return;
  }
  for (const RowId row : rows) {
    if (mix(row + kHashSeed) <= threshold_) add(row);
  }
}

void StackDistances::add(RowId row) {
  if (now_ + 1 == tree_.size()) renumber();
  ++references_;
  const std::uint32_t before = std::exchange(last_[row], ++now_);
  used_at_[now_] = row;
  if (before == 0) {
    ++distinct_;
    counts_.push_back(0);
  } else {
    // Rows that were used last at `before` or later.
    ++counts_[distinct_ - marked_up_to(before - 1)];
    mark(before, -1);
  }
  mark(now_, 1);
}

// Times without a last use are left out, so that there are no more of them than twice the rows.
void StackDistances::renumber() {
  std::uint32_t time = 0;
  for (std::uint32_t at = 1; at <= now_; ++at) {
    const RowId row = used_at_[at];
    if (last_[row] != at) continue;
    used_at_[++time] = row;
    last_[row] = time;
  }
  now_ = time;
  if (tree_.size() < std::size_t{4} * (distinct_ + 1)) tree_.resize(tree_.size() * 2);
  used_at_.resize(tree_.size());
  // All times up to now are marked.
  for (std::uint32_t at = 1; at < tree_.size(); ++at) {
    const std::uint32_t width = at & (~at + 1);
    const std::uint32_t first = at - width;
    tree_[at] = std::min(at, now_) - std::min(first, now_);
  }
}

void StackDistances::mark(std::uint32_t time, std::int32_t change) {
  for (std::size_t at = time; at < tree_.size(); at += at & (~at + 1)) {
    tree_[at] += static_cast<std::uint32_t>(change);
  }
}

std::uint32_t StackDistances::marked_up_to(std::uint32_t time) const {
  std::uint32_t sum = 0;
  for (; time > 0; time &= time - 1) sum += tree_[time];
  return sum;
}

MissCurve StackDistances::curve() const {
  // A row that was not sampled stands for one that was: distances grow by 1 / sample.
  const auto rows = static_cast<std::size_t>(std::ceil(static_cast<double>(distinct_) / sample_));
  std::vector<double> hits(rows + 1);
  for (std::size_t d = 1; d < counts_.size(); ++d) {
    const auto scaled = static_cast<std::size_t>(std::llround(static_cast<double>(d) / sample_));
    hits[std::min(scaled, rows)] += static_cast<double>(counts_[d]) / sample_;
  }
  // SHARDS-adj: the sample may have more or fewer references than its share; the difference goes to
  // the shortest distance.
  const auto all = static_cast<double>(all_references_);
  if (sample_ < 1 && rows > 0) {
    hits[1] += all - static_cast<double>(references_) / sample_;
  }
  return {std::move(hits), all};
}

std::uint64_t belady_misses(std::span<const RowId> references, std::uint64_t rows) {
  if (rows == 0) return references.size();
  constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
  const RowId most =
      references.empty() ? 0 : *std::max_element(references.begin(), references.end());
  std::vector<std::uint64_t> next(references.size()), soonest(std::size_t{most} + 1, kNever);
  for (std::size_t i = references.size(); i-- > 0;) {
    next[i] = std::exchange(soonest[references[i]], i);
  }
  // By row in the cache its next use; 0 for a row that is not there (a next use is never 0).
  std::vector<std::uint64_t> cached(std::size_t{most} + 1, 0);
  struct Use {
    std::uint64_t next;
    RowId row;
    bool operator<(const Use& other) const { return next < other.next; }
  };
  std::vector<Use> heap;  // entries whose next use is no longer the row's are skipped
  std::uint64_t misses = 0, held = 0;
  for (std::size_t i = 0; i < references.size(); ++i) {
    const RowId row = references[i];
    if (cached[row] == 0) {
      ++misses;
      if (held == rows) {
        for (;;) {
          std::pop_heap(heap.begin(), heap.end());
          const Use use = heap.back();
          heap.pop_back();
          if (cached[use.row] != use.next) continue;
          cached[use.row] = 0;
          break;
        }
      } else {
        ++held;
      }
    }
    cached[row] = next[i];
    if (heap.size() >= 4 * rows + 1024) {
      std::erase_if(heap, [&](const Use& use) { return cached[use.row] != use.next; });
      std::make_heap(heap.begin(), heap.end());
    }
    heap.push_back({next[i], row});
    std::push_heap(heap.begin(), heap.end());
  }
  return misses;
}

}  // namespace mneme::offload
