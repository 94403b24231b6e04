// Hands rows that were chosen to a store, within the bytes that a step's hints may move.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/prefetch/link_budget.h"
#include "memory/prediction/hint_choice.h"
#include "offload/tiered_store.h"

namespace mneme::engine {

// A store, or what stands for one.
struct HintTarget {
  std::uint64_t record_bytes = 0;
  std::function<void(std::span<const kernels::RowId> rows, std::span<kernels::Place> places)>
      locate;
  // The rows that are brought.
  std::function<std::vector<kernels::RowId>(const offload::Hint& hint)> hint;
};

class HintSender {
 public:
  explicit HintSender(HintTarget target) : target_(std::move(target)) {}

  // Of the hints from now on.
  void begin_step(std::uint64_t host_bytes, std::uint64_t device_bytes);
  // Chooses by where the rows are now.
  void choose(const memory::HintChoice& choice, const memory::PredictedRows& predicted,
              memory::ChosenRows& chosen);
  // Those on disk to the host tier; those in the host tier to the device. most_bytes: of this call.
  void bring_to_host(memory::ChosenRows& chosen, std::int32_t layer, offload::HintStep step,
                     std::uint64_t most_bytes = LinkBudget::kNoLimit);
  void bring_to_device(memory::ChosenRows& chosen, std::int32_t layer, offload::HintStep step,
                       std::uint64_t most_bytes = LinkBudget::kNoLimit);
  // Between the steps, to the device: rows that there was no room for before, and what came from
  // the disk meanwhile.
  void bring_rest(memory::ChosenRows& chosen, std::int32_t layer);
  // Rows that nothing was said of but that they are read.
  void bring(std::span<const kernels::RowId> rows, kernels::Place tier);

 private:
  std::vector<kernels::RowId> send(std::span<const kernels::RowId> rows, kernels::Place tier,
                                   std::int32_t layer, offload::HintStep step,
                                   std::uint64_t most_bytes);

  HintTarget target_;
  std::vector<kernels::RowId> rows_;
  std::vector<kernels::Place> places_;
  std::uint64_t host_left_ = 0, device_left_ = 0;  // bytes
};

}  // namespace mneme::engine
