#include "engine/model.h"

#include <algorithm>
#include <string>

#include "engine/attention.h"
#include "engine/batch_staging.h"
#include "engine/feed_forward.h"
#include "engine/memory_part.h"
#include "engine/output_head.h"
#include "io/check.h"

namespace mneme::engine {
namespace {

// One step of the residual stream: h <- h + part(norm(h)).
struct Branch {
  const float* gain = nullptr;  // [C]
  float* d_gain = nullptr;
  std::unique_ptr<BlockPart> part;
  void* normed = nullptr;    // [tokens, C] in the compute type, kept for the part's backward
  float* inverse = nullptr;  // [tokens]
};

}  // namespace

class Model::Implementation {
 public:
  Implementation(kernels::Backend& backend, const ModelOptions& options, memory::ValueTable* table)
      : backend_(backend),
        options_(resolve(options)),
        type_(backend.compute_type()),
        parameters_(backend, declare_parameters(options_)),
        head_(backend, head_options()),
        staging_(backend, options_.tokens(), options_.vocabulary) {
    check_table(table);
    build_branches(table);
    allocate();
  }

  void forward_backward(kernels::Stream& stream, const MicroBatch& micro_batch, double scale,
                        kernels::Event* forward_done, ForwardObserver* observer) {
    const PartCall call = stage(stream, micro_batch, true);
    forward(call, observer);
    if (observer != nullptr) observer->after_forward(stream);
    if (forward_done != nullptr) stream.record(*forward_done);
    backward(call, static_cast<float>(scale / static_cast<double>(call.tokens())));
    staging_.queue_loss(stream);
  }

  double take_loss(kernels::Stream& stream) { return staging_.take_loss(stream); }

  double evaluate(kernels::Stream& stream, const MicroBatch& micro_batch, std::span<float> losses) {
    const PartCall call = stage(stream, micro_batch, true);
    forward(call);
    head_.loss(stream, final_normed_, staging_.targets(), call.tokens(), staging_.losses());
    return staging_.read_loss(stream, losses);
  }

  void logits(kernels::Stream& stream, const MicroBatch& micro_batch, std::int64_t positions,
              std::span<float> out) {
    CHECK(positions >= 1 && positions <= micro_batch.sequence);
    const PartCall call = stage(stream, micro_batch, false);
    forward(call);
    const std::int64_t count = positions * options_.vocabulary;
    CHECK(static_cast<std::int64_t>(out.size()) == call.batch * count);
    for (std::int64_t i = 0; i < call.batch; ++i) {
      const std::int64_t first = (i + 1) * call.sequence - positions;
      const auto* normed =
          static_cast<const std::byte*>(final_normed_) +
          static_cast<std::size_t>(first * options_.width) * kernels::float_type_bytes(type_);
      head_.logits(
          stream, normed, positions,
          out.subspan(static_cast<std::size_t>(i * count), static_cast<std::size_t>(count)));
    }
  }

  void find_rows(kernels::Stream& stream, const MicroBatch& micro_batch, std::int64_t block) {
    CHECK(!options_.memory_blocks.empty() && block == options_.memory_blocks.front());
    const PartCall call = stage(stream, micro_batch, false);
    embed(call);
    const std::size_t last = memory_branch(block);
    for (std::size_t i = 0; i < last; ++i) forward(call, i);
    normalize_branch(call, last);
    dynamic_cast<MemoryPart&>(*branches_[last].part).find_rows(call, branches_[last].normed);
  }

  const memory::MemoryLayer* memory_layer(std::int64_t block) const {
    const BlockPart* part = branches_[memory_branch(block)].part.get();
    const auto* memory = dynamic_cast<const MemoryPart*>(part);
    return memory == nullptr ? nullptr : &memory->layer();
  }

  const ModelOptions& options() const { return options_; }
  Parameters& parameters() { return parameters_; }

 private:
  // Where a block's memory is, if it has one.
  std::size_t memory_branch(std::int64_t block) const {
    CHECK(block >= 0 && block < options_.blocks);
    return static_cast<std::size_t>(2 * block + 1);
  }

  OutputHeadOptions head_options() const {
    const char* weight = options_.tied_output ? "tok_embeddings.weight" : "output.weight";
    return {.width = options_.width,
            .vocabulary = options_.vocabulary,
            .tokens = options_.tokens(),
            .weight = parameters_.weight(weight),
            .gradient = parameters_.gradient(weight)};
  }

  void check_table(const memory::ValueTable* table) const {
    CHECK((table != nullptr) == !options_.memory_blocks.empty(),
          "a value table is needed exactly when there are memory blocks");
    if (table == nullptr) return;
    const memory::ValueTableOptions& given = table->options();
    const memory::MemoryLayerOptions& wanted = options_.memory;
    CHECK(given.width == wanted.value_width, "table width {}, layers read {}", given.width,
          wanted.value_width);
    CHECK(given.rows == static_cast<std::uint64_t>(wanted.half_keys * wanted.half_keys),
          "{} rows, layers address {} half-keys a side", given.rows, wanted.half_keys);
    CHECK(given.lookups_per_token == wanted.heads * wanted.knn);
    CHECK(given.tokens_per_call >= options_.tokens());
  }

  void build_branches(memory::ValueTable* table) {
    const auto add = [&](const std::string& norm, std::unique_ptr<BlockPart> part) {
      branches_.push_back({.gain = parameters_.value(norm),
                           .d_gain = parameters_.gradient(norm),
                           .part = std::move(part)});
    };
    for (std::int64_t block = 0; block < options_.blocks; ++block) {
      const std::string prefix = "layers." + std::to_string(block);
      add(prefix + ".attention_norm.weight",
          std::make_unique<Attention>(backend_, options_, parameters_, prefix + ".attention"));
      if (options_.is_memory_block(block)) {
        add(prefix + ".ffn_norm.weight",
            std::make_unique<MemoryPart>(backend_, options_, parameters_, *table, block,
                                         prefix + ".memory"));
      } else {
        add(prefix + ".ffn_norm.weight",
            std::make_unique<FeedForward>(backend_, options_, parameters_,
                                          prefix + ".feed_forward"));
      }
    }
  }

  // The residual stream before every branch and after the last, what the norms keep, the gradients
  // of stream and branch, and the parts' common scratch.
  void allocate() {
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
    final_normed_ = take(wide, type_);
    final_inverse_ = take_floats(tokens);
    d_stream_ = take_floats(wide);
    d_branch_ = take_floats(wide);
    scratch_ = backend_.allocate(scratch_bytes, kernels::MemoryKind::kDevice);
  }

  PartCall stage(kernels::Stream& stream, const MicroBatch& micro_batch, bool with_targets) {
    const std::int64_t count = micro_batch.batch * micro_batch.sequence;
    CHECK(micro_batch.sequence >= 1 && micro_batch.sequence <= options_.sequence,
          "{} tokens in a sequence, room for {}", micro_batch.sequence, options_.sequence);
    CHECK(static_cast<std::int64_t>(micro_batch.tokens.size()) == count);
    CHECK(!with_targets || micro_batch.targets.size() == micro_batch.tokens.size());
    staging_.stage(stream, micro_batch.tokens,
                   with_targets ? micro_batch.targets : std::span<const std::int32_t>());
    return {.stream = stream,
            .batch = micro_batch.batch,
            .sequence = micro_batch.sequence,
            .scratch = scratch_.as<std::byte>()};
  }

  void normalize(const PartCall& call, const float* x, const float* gain, void* out, float* inverse,
                 float* copy = nullptr) {
    backend_.norm(call.stream, {.x = x,
                                .gain = gain,
                                .out = out,
                                .out_type = type_,
                                .inverse = inverse,
                                .copy = copy,
                                .rows = call.tokens(),
                                .width = options_.width,
                                .epsilon = static_cast<float>(options_.norm_epsilon)});
  }

  void embed(const PartCall& call) {
    parameters_.update_weights(call.stream);
    backend_.embedding(call.stream, {.tokens = staging_.tokens(),
                                     .table = parameters_.value("tok_embeddings.weight"),
                                     .out = stream_[0],
                                     .count = call.tokens(),
                                     .width = options_.width,
                                     .vocabulary = options_.vocabulary});
  }

  // The part adds to the copy.
  void normalize_branch(const PartCall& call, std::size_t i) {
    Branch& branch = branches_[i];
    normalize(call, stream_[i], branch.gain, branch.normed, branch.inverse, stream_[i + 1]);
  }

  void forward(const PartCall& call, std::size_t i) {
    normalize_branch(call, i);
    branches_[i].part->forward(call, branches_[i].normed, stream_[i + 1]);
  }

  void forward(const PartCall& call, ForwardObserver* observer = nullptr) {
    embed(call);
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      forward(call, i);
      const auto* memory = dynamic_cast<const MemoryPart*>(branches_[i].part.get());
      if (observer == nullptr || memory == nullptr) continue;
      observer->after_memory(static_cast<std::int64_t>(i / 2), memory->layer(), call.stream);
    }
    normalize(call, stream_.back(), parameters_.value("norm.weight"), final_normed_,
              final_inverse_);
  }

  void norm_backward(const PartCall& call, const float* x, const float* gain, const float* inverse,
                     float* d_gain, bool accumulate) {
    backend_.norm_backward(call.stream, {.x = x,
                                         .gain = gain,
                                         .inverse = inverse,
                                         .d_out = d_branch_,
                                         .d_x = d_stream_,
                                         .d_gain = d_gain,
                                         .rows = call.tokens(),
                                         .width = options_.width,
                                         .accumulate = accumulate});
  }

  void backward(const PartCall& call, float d_scale) {
    head_.loss_and_gradient(call.stream, final_normed_, staging_.targets(), call.tokens(), d_scale,
                            staging_.losses(), d_branch_);
    norm_backward(call, stream_.back(), parameters_.value("norm.weight"), final_inverse_,
                  parameters_.gradient("norm.weight"), false);
    for (std::size_t i = branches_.size(); i-- > 0;) {
      Branch& branch = branches_[i];
      branch.part->backward(call, d_stream_, d_branch_);
      norm_backward(call, stream_[i], branch.gain, branch.inverse, branch.d_gain, true);
    }
    backend_.embedding_backward(call.stream,
                                {.tokens = staging_.tokens(),
                                 .d_out = d_stream_,
                                 .d_table = parameters_.gradient("tok_embeddings.weight"),
                                 .count = call.tokens(),
                                 .width = options_.width,
                                 .vocabulary = options_.vocabulary});
  }

  kernels::Backend& backend_;
  ModelOptions options_;
  kernels::FloatType type_;  // of activations
  Parameters parameters_;
  OutputHead head_;
  BatchStaging staging_;
  std::vector<Branch> branches_;  // attention and f of block 0, of block 1, ...

  std::vector<kernels::FloatArray> activations_;
  std::vector<float*> stream_;    // [branches + 1] of [tokens, C]: the stream before each branch
  void* final_normed_ = nullptr;  // [tokens, C] in the compute type
  float* final_inverse_ = nullptr;
  float* d_stream_ = nullptr;  // [tokens, C]
  float* d_branch_ = nullptr;  // [tokens, C]
  kernels::Buffer scratch_;
};

Model::Model(kernels::Backend& backend, const ModelOptions& options, memory::ValueTable* table)
    : implementation_(std::make_unique<Implementation>(backend, options, table)) {}
Model::~Model() = default;

const ModelOptions& Model::options() const {
  return implementation_->options();
}
Parameters& Model::parameters() {
  return implementation_->parameters();
}
const Parameters& Model::parameters() const {
  return implementation_->parameters();
}
void Model::begin_step(kernels::Stream& stream) {
  implementation_->parameters().zero_gradients(stream);
}
void Model::forward_backward(kernels::Stream& stream, const MicroBatch& micro_batch, double scale,
                             kernels::Event* forward_done, ForwardObserver* observer) {
  implementation_->forward_backward(stream, micro_batch, scale, forward_done, observer);
}
double Model::take_loss(kernels::Stream& stream) {
  return implementation_->take_loss(stream);
}
double Model::evaluate(kernels::Stream& stream, const MicroBatch& micro_batch,
                       std::span<float> losses) {
  return implementation_->evaluate(stream, micro_batch, losses);
}
void Model::logits(kernels::Stream& stream, const MicroBatch& micro_batch, std::int64_t positions,
                   std::span<float> out) {
  implementation_->logits(stream, micro_batch, positions, out);
}
void Model::find_rows(kernels::Stream& stream, const MicroBatch& micro_batch, std::int64_t block) {
  implementation_->find_rows(stream, micro_batch, block);
}
const memory::MemoryLayer* Model::memory_layer(std::int64_t block) const {
  return implementation_->memory_layer(block);
}

}  // namespace mneme::engine
