#include "tools/mneme/random_copy.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>

namespace mneme::tools {
namespace {

constexpr std::uint32_t kWidth = RandomCopy::kRowBytes / sizeof(float);
constexpr std::int64_t kLeastRows = std::int64_t{1} << 12, kMostRows = std::int64_t{1} << 20;

}  // namespace

RandomCopy::RandomCopy(kernels::Backend& backend, kernels::Stream& stream, std::uint64_t bytes,
                       std::uint64_t seed)
    : backend_(backend),
      stream_(stream),
      rows_(std::clamp(static_cast<std::int64_t>(bytes) / kRowBytes, kLeastRows, kMostRows)),
      copied_(rows_ / 16),
      source_(backend, rows_ * kWidth),
      target_(backend, copied_ * kWidth),
      steps_(backend, rows_),
      host_slots_(kernels::pinned_array<kernels::SlotId>(backend, rows_)),
      slots_(backend, rows_) {
  from_.layout =
      kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(kWidth), .moments = false});
  from_.parts[0].values = source_.data();
  from_.last_step = steps_.data();
  to_ = from_;
  to_.parts[0].values = target_.data();
  std::iota(host_slots_.data(), host_slots_.data() + rows_, kernels::SlotId{0});
  backend.copy(stream, slots_.data(), host_slots_.data(),
               kernels::DeviceArray<kernels::SlotId>::bytes(rows_));
  // Random numbers: memory that was never written, or holds zeros, may be cheaper to read.
  backend.generate_rows(stream, from_, slots_.data(), slots_.data(), rows_,
                        {.seed = seed, .standard_deviation = {1.0f}});
  backend.generate_rows(stream, to_, slots_.data(), slots_.data(), copied_,
                        {.seed = seed, .standard_deviation = {1.0f}});
  stream.synchronize();
  std::shuffle(host_slots_.data(), host_slots_.data() + rows_, std::mt19937_64(seed));
  backend.copy(stream, slots_.data(), host_slots_.data(),
               kernels::DeviceArray<kernels::SlotId>::bytes(rows_));
  stream.synchronize();
}

double RandomCopy::measure() {
  const auto start = std::chrono::steady_clock::now();
  backend_.copy_rows(stream_, from_, slots_.data() + next_, to_, nullptr, copied_);
  stream_.synchronize();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  next_ = (next_ + copied_) % rows_;
  return 2e-9 * static_cast<double>(copied_ * kRowBytes) / seconds.count();
}

}  // namespace mneme::tools
