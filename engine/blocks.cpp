#include "engine/blocks.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/attention.h"
#include "engine/feed_forward.h"
#include "engine/memory_part.h"
#include "engine/moe_part.h"
#include "engine/peer_part.h"
#include "io/check.h"

namespace mneme::engine {

Blocks::Blocks(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
               memory::ValueTable* table, std::size_t branches)
    : backend_(backend), options_(options), type_(backend.compute_type()) {
  CHECK(branches <= all_branches(options));
  for (std::size_t i = 0; i < branches; ++i) {
    const auto block = static_cast<std::int64_t>(i / 2);
    const std::string prefix = "layers." + std::to_string(block);
    if (i % 2 == 0) {
      add_branch(parameters, prefix + ".attention_norm.weight",
                 std::make_unique<Attention>(backend, options_, parameters, prefix + ".attention"));
    } else {
      add_branch(parameters, prefix + ".ffn_norm.weight", make_part(parameters, table, block));
    }
  }
  allocate();
}

std::unique_ptr<BlockPart> Blocks::make_part(const Parameters& parameters,
                                             memory::ValueTable* table, std::int64_t block) const {
  const std::string prefix = "layers." + std::to_string(block);
  switch (options_.feed_forward.of(block)) {
    case FeedForwardKind::kMemory:
      CHECK(table != nullptr);
      return std::make_unique<MemoryPart>(backend_, options_, parameters, *table, block,
                                          prefix + ".memory");
    case FeedForwardKind::kPeer:
      CHECK(table != nullptr);
      return std::make_unique<PeerPart>(backend_, options_, parameters, *table, block,
                                        prefix + ".memory");
    case FeedForwardKind::kMoe:
      return std::make_unique<MoePart>(backend_, options_, parameters, prefix + ".moe");
    case FeedForwardKind::kDense:
      break;
  }
  return std::make_unique<FeedForward>(backend_, options_, parameters, prefix + ".feed_forward");
}

void Blocks::add_branch(const Parameters& parameters, const std::string& norm,
                        std::unique_ptr<BlockPart> part) {
  branches_.push_back({.gain = parameters.value(norm),
                       .d_gain = parameters.gradient(norm),
                       .part = std::move(part)});
}

void Blocks::allocate() {
  using enum kernels::FloatType;
  const std::int64_t tokens = options_.tokens();
  const std::int64_t wide = tokens * options_.width;
  const auto take = [this](std::int64_t count, kernels::FloatType type) {
    activations_.emplace_back(backend_, count, type);
    return activations_.back().data();
  };
  const auto take_floats = [&](std::int64_t count) {
    return static_cast<float*>(take(count, kF32));
  };
  std::size_t scratch_bytes = 0;
  stream_.push_back(take_floats(wide));
  for (Branch& branch : branches_) {
    stream_.push_back(take_floats(wide));
    branch.normed = take(wide, type_);
    branch.inverse = take_floats(tokens);
    scratch_bytes = std::max(scratch_bytes, branch.part->scratch_bytes());
  }
  scratch_ = backend_.allocate(scratch_bytes, kernels::MemoryKind::kDevice);
}

void Blocks::forward(const PartCall& call, ForwardObserver* observer) {
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    Branch& branch = branches_[i];
    if (observer != nullptr) observer->before_branch(i, stream_[i], call.stream);
    // The part adds to the copy.
    backend_.norm(call.stream, {.x = stream_[i],
                                .gain = branch.gain,
                                .out = branch.normed,
                                .out_type = type_,
                                .inverse = branch.inverse,
                                .copy = stream_[i + 1],
                                .rows = call.tokens(),
                                .width = options_.width,
                                .epsilon = static_cast<float>(options_.norm_epsilon)});
    branch.part->forward(call, branch.normed, stream_[i + 1]);
    const auto block = static_cast<std::int64_t>(i / 2);
    if (observer == nullptr || i % 2 == 0) continue;
    const memory::TableLayer* const layer = table_layer(block);
    if (layer != nullptr) observer->after_memory(block, *layer, call.stream);
  }
}

void Blocks::backward(const PartCall& call, float* d_stream, float* d_branch) {
  for (std::size_t i = branches_.size(); i-- > 0;) {
    Branch& branch = branches_[i];
    branch.part->backward(call, d_stream, d_branch);
    backend_.norm_backward(call.stream, {.x = stream_[i],
                                         .gain = branch.gain,
                                         .inverse = branch.inverse,
                                         .d_out = d_branch,
                                         .d_x = d_stream,
                                         .d_gain = branch.d_gain,
                                         .rows = call.tokens(),
                                         .width = options_.width,
                                         .accumulate = true});
  }
}

std::vector<ExpertCounts> Blocks::take_expert_counts() {
  std::vector<ExpertCounts> counts;
  for (std::size_t i = 1; i < branches_.size(); i += 2) {
    auto* const mixture = dynamic_cast<MoePart*>(branches_[i].part.get());
    if (mixture == nullptr) continue;
    counts.push_back({static_cast<std::int64_t>(i / 2), mixture->take_counts()});
  }
  return counts;
}

const TablePart* Blocks::table_part(std::int64_t block) const {
  CHECK(block >= 0 && block < options_.blocks);
  const auto i = static_cast<std::size_t>(2 * block + 1);
  return i < branches_.size() ? dynamic_cast<const TablePart*>(branches_[i].part.get()) : nullptr;
}

const memory::TableLayer* Blocks::table_layer(std::int64_t block) const {
  const TablePart* const part = table_part(block);
  return part == nullptr ? nullptr : &part->layer();
}

memory::KeySide Blocks::key_side(std::int64_t block) const {
  const TablePart* const part = table_part(block);
  CHECK(part != nullptr, "block {} reads no table", block);
  return {branches_[static_cast<std::size_t>(2 * block + 1)].gain, part->key_side()};
}

}  // namespace mneme::engine
