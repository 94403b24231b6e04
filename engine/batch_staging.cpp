#include "engine/batch_staging.h"

#include <algorithm>

#include "io/check.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

void check_ids(std::span<const std::int32_t> ids, std::int64_t vocabulary, const char* what) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocabulary) {
      io::fail(
          "{} {} at position {} is outside the model's vocabulary of {}; check that the data fits "
          "the configuration",
          what, ids[i], i, vocabulary);
    }
  }
}

}  // namespace

BatchStaging::BatchStaging(kernels::Backend& backend, std::int64_t tokens, std::int64_t vocabulary)
    : backend_(backend), capacity_(tokens), vocabulary_(vocabulary) {
  using enum kernels::MemoryKind;
  const auto count = static_cast<std::size_t>(tokens);
  device_ids_ = backend.allocate(kLists * count * sizeof(std::int32_t), kDevice);
  device_losses_ = backend.allocate(count * sizeof(float), kDevice);
  device_sum_ = backend.allocate(sizeof(double), kDevice);
  host_ids_ = backend.allocate(kSlots * kLists * count * sizeof(std::int32_t), kPinnedHost);
  host_sums_ = backend.allocate(kSlots * sizeof(double), kPinnedHost);
  host_losses_ = backend.allocate(count * sizeof(float), kPinnedHost);
  device_tokens_ = device_ids_.as<std::int32_t>();
  device_targets_ = device_tokens_ + tokens;
}

void BatchStaging::stage(kernels::Stream& stream, const BatchIds& ids) {
  const auto count = static_cast<std::int64_t>(ids.tokens.size());
  CHECK(count >= 1 && count <= capacity_, "{} tokens, room for {}", count, capacity_);
  check_ids(ids.tokens, vocabulary_, "token");
  check_ids(ids.targets, vocabulary_, "target");
  if (pending_ == kSlots) collect(stream);
  std::int32_t* host = host_ids_.as<std::int32_t>() + pending_ * kLists * capacity_;
  std::int32_t* device = device_tokens_;
  for (const auto& list : {ids.tokens, ids.targets, ids.first_keys}) {
    CHECK(list.empty() || list.size() == ids.tokens.size());
    if (!list.empty()) {
      std::copy(list.begin(), list.end(), host);
      backend_.copy(stream, device, host, list.size_bytes());
    }
    host += capacity_;
    device += capacity_;
  }
  has_first_keys_ = !ids.first_keys.empty();
  staged_ = count;
}

void BatchStaging::queue_sum(kernels::Stream& stream) {
  backend_.sum(stream, losses(), staged_, device_sum_.as<double>());
  backend_.copy(stream, host_sums_.as<double>() + pending_, device_sum_.as<double>(),
                sizeof(double));
}

void BatchStaging::queue_loss(kernels::Stream& stream) {
  queue_sum(stream);
  slot_tokens_[pending_++] = staged_;
}

void BatchStaging::collect(kernels::Stream& stream) {
  stream.synchronize();
  for (std::int64_t i = 0; i < pending_; ++i) {
    loss_sum_ += host_sums_.as<double>()[i] / static_cast<double>(slot_tokens_[i]);
  }
  loss_count_ += pending_;
  pending_ = 0;
}

double BatchStaging::take_loss(kernels::Stream& stream) {
  collect(stream);
  CHECK(loss_count_ > 0, "no micro-batch since the last call");
  const double mean = loss_sum_ / static_cast<double>(loss_count_);
  loss_sum_ = 0;
  loss_count_ = 0;
  return mean;
}

double BatchStaging::read_loss(kernels::Stream& stream, std::span<float> out) {
  CHECK(out.empty() || static_cast<std::int64_t>(out.size()) == staged_);
  queue_sum(stream);
  if (!out.empty()) {
    backend_.copy(stream, host_losses_.as<float>(), losses(), out.size_bytes());
  }
  stream.synchronize();
  std::copy_n(host_losses_.as<float>(), out.size(), out.data());
  return host_sums_.as<double>()[pending_] / static_cast<double>(staged_);
}

}  // namespace mneme::engine
