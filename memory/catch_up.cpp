#include "memory/catch_up.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "io/progress.h"

namespace mneme::memory {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{1} << 18;
constexpr std::int64_t kFirstCapacity = 1024;  // steps
constexpr std::uint64_t kStepsAtOnce = 256;    // between two words of progress

}  // namespace

CatchUp::CatchUp(kernels::Backend& backend, const RowOptimizerOptions& options, std::uint64_t seed)
    : backend_(&backend), options_(options) {
  if (options.kind != kernels::RowOptimizerKind::kAdamW) return;
  table_.emplace(make_table());
  args_.kind = options.kind;
  args_.seed = seed;
  stream_ = backend.create_stream(kernels::StreamPriority::kHigh);
  used_ = backend.create_event();
  uploaded_ = backend.create_event();
  staging_ = kernels::pinned_array<std::byte>(backend, kStagingBytes);
  grow(kFirstCapacity);
  upload(0);
}

kernels::CatchUpTable CatchUp::make_table() const {
  return kernels::CatchUpTable({.beta1 = options_.beta1,
                                .beta2 = options_.beta2,
                                .epsilon = options_.epsilon,
                                .weight_decay = options_.weight_decay,
                                .learning_rate = options_.learning_rate});
}

// A resumed run starts far from where the table does.
void CatchUp::advance_table(std::uint64_t since, std::uint64_t target_step) {
  std::optional<io::Phase> phase;
  if (target_step - since > kStepsAtOnce) {
    phase.emplace("following the learning rates", target_step - since, "steps");
  }
  for (std::uint64_t step = since; step < target_step;) {
    step = std::min(step + kStepsAtOnce, target_step);
    table_->advance(step);
    if (phase) phase->reach(step - since);
  }
}

const kernels::CatchUpArgs* CatchUp::advance(std::uint64_t target_step) {
  if (!table_) return nullptr;
  std::uint64_t since = table_->target_step();
  if (target_step == since) return &args_;
  if (target_step < since) {
    table_.emplace(make_table());
    since = 0;
  }
  advance_table(since, target_step);
  // Work of earlier steps may still read the arrays that are about to change.
  stream_->wait(*used_);
  const auto wanted = static_cast<std::int64_t>(target_step) + 1;
  if (wanted > learning_rates_.count()) {
    stream_->synchronize();
    grow(std::max(wanted, 2 * learning_rates_.count()));
    since = 0;
  }
  upload(since);
  return &args_;
}

void CatchUp::mark_used(kernels::Stream& stream) {
  if (table_) stream.record(*used_);
}

void CatchUp::grow(std::int64_t steps) {
  entries_ = kernels::DeviceArray<kernels::CatchUpEntry>(*backend_, steps);
  learning_rates_ = kernels::DeviceArray<float>(*backend_, steps);
  log_decay_ = kernels::DeviceArray<double>(*backend_, steps);
  moment_decay_ = kernels::DeviceArray<kernels::MomentDecay>(*backend_, steps);
}

void CatchUp::upload(std::uint64_t since) {
  empty_staging();
  upload_range(entries_, table_->entries(), table_->first_changed_entry(since));
  upload_range(learning_rates_, table_->learning_rates(), since);
  upload_range(log_decay_, table_->log_decay(), since);
  upload_range(moment_decay_, table_->moment_decay(), since);
  stream_->record(*uploaded_);
  table_->describe(args_);
  args_.entries = entries_.data();
  args_.learning_rates = learning_rates_.data();
  args_.log_decay = log_decay_.data();
  args_.moment_decay = moment_decay_.data();
}

template <typename T>
void CatchUp::upload_range(const kernels::DeviceArray<T>& target, std::span<const T> source,
                           std::uint64_t first) {
  for (std::size_t done = first; done < source.size();) {
    if (kStagingBytes - staged_ < sizeof(T)) {
      stream_->record(*uploaded_);
      empty_staging();
    }
    const std::size_t count = std::min((kStagingBytes - staged_) / sizeof(T), source.size() - done);
    std::byte* const staged = staging_.data() + staged_;
    std::memcpy(staged, source.data() + done, count * sizeof(T));
    backend_->copy(*stream_, target.data() + done, staged, count * sizeof(T));
    staged_ += count * sizeof(T);
    done += count;
  }
}

// Waits until nothing reads it any more. That of a step ago is long over.
void CatchUp::empty_staging() {
  if (!uploaded_->reached()) uploaded_->synchronize();
  staged_ = 0;
}

}  // namespace mneme::memory
