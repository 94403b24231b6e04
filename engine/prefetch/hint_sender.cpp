#include "engine/prefetch/hint_sender.h"

#include <algorithm>

namespace mneme::engine {

using kernels::Place;
using kernels::RowId;
using memory::ChosenRows;

void HintSender::begin_step(std::uint64_t host_bytes, std::uint64_t device_bytes) {
  host_left_ = host_bytes;
  device_left_ = device_bytes;
}

void HintSender::choose(const memory::HintChoice& choice, const memory::PredictedRows& predicted,
                        ChosenRows& chosen) {
  rows_.clear();
  for (const memory::PredictedRow& row : predicted) rows_.push_back(row.row);
  places_.resize(rows_.size());
  target_.locate(rows_, places_);
  choice.choose(predicted, places_, chosen);
}

void HintSender::bring_to_host(ChosenRows& chosen, std::int32_t layer, offload::HintStep step,
                               std::uint64_t most_bytes) {
  chosen.note_brought(send(chosen.to_host, Place::kHost, layer, step, most_bytes));
}

void HintSender::bring_to_device(ChosenRows& chosen, std::int32_t layer, offload::HintStep step,
                                 std::uint64_t most_bytes) {
  chosen.note_brought(send(chosen.to_device, Place::kDevice, layer, step, most_bytes));
}

void HintSender::bring_rest(ChosenRows& chosen, std::int32_t layer) {
  rows_ = chosen.to_host;
  rows_.insert(rows_.end(), chosen.to_device.begin(), chosen.to_device.end());
  chosen.note_brought(
      send(rows_, Place::kDevice, layer, offload::HintStep::kNext, LinkBudget::kNoLimit));
}

void HintSender::bring(std::span<const RowId> rows, Place tier) {
  send(rows, tier, offload::kNoLayer, offload::HintStep::kNext, LinkBudget::kNoLimit);
}

std::vector<RowId> HintSender::send(std::span<const RowId> rows, Place tier, std::int32_t layer,
                                    offload::HintStep step, std::uint64_t most_bytes) {
  std::uint64_t& left = tier == Place::kHost ? host_left_ : device_left_;
  const std::uint64_t budget = std::min(left, most_bytes);
  if (rows.empty() || budget < target_.record_bytes) return {};
  std::vector<RowId> brought = target_.hint(
      {.rows = rows, .byte_budget = budget, .tier = tier, .layer = layer, .step = step});
  left -= brought.size() * target_.record_bytes;
  return brought;
}

}  // namespace mneme::engine
