#include "engine/model.h"

#include <algorithm>
#include <string>

#include "engine/batch_staging.h"
#include "engine/blocks.h"
#include "engine/output_head.h"
#include "io/check.h"

namespace mneme::engine {
namespace {

void check_first_keys(const MicroBatch& micro_batch) {
  const std::span<const std::int32_t> keys = micro_batch.first_keys;
  CHECK(keys.empty() || keys.size() == micro_batch.tokens.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto position = static_cast<std::int64_t>(i) % micro_batch.sequence;
    CHECK(keys[i] <= position && keys[i] >= (position == 0 ? 0 : keys[i - 1]),
          "position {} of a sequence attends from {} on", position, keys[i]);
  }
}

}  // namespace

class Model::Implementation {
 public:
  Implementation(kernels::Backend& backend, const ModelOptions& options, memory::ValueTable* table)
      : backend_(backend),
        options_(resolve(options)),
        type_(backend.compute_type()),
        parameters_(backend, declare_parameters(options_)),
        head_(backend, head_options()),
        staging_(backend, options_.tokens(), options_.vocabulary),
        blocks_(backend, options_, parameters_, checked(table), Blocks::all_branches(options_)) {
    allocate();
  }

  void forward_backward(kernels::Stream& stream, const MicroBatch& micro_batch, double scale,
                        const PassMarks& marks, ForwardObserver* observer) {
    PartCall call = stage(stream, micro_batch, true);
    call.training = true;
    call.loss_scale = scale;
    forward(call, observer);
    if (marks.forward_done != nullptr) stream.record(*marks.forward_done);
    if (observer != nullptr) observer->after_forward();
    if (marks.backward_begins != nullptr) stream.record(*marks.backward_begins);
    backward(call, static_cast<float>(scale / static_cast<double>(call.tokens())));
    staging_.queue_loss(stream);
  }

  double take_loss(kernels::Stream& stream) { return staging_.take_loss(stream); }
  std::vector<ExpertCounts> take_expert_counts() { return blocks_.take_expert_counts(); }

  double evaluate(kernels::Stream& stream, const MicroBatch& micro_batch, std::span<float> losses) {
    const PartCall call = stage(stream, micro_batch, true);
    forward(call);
    head_.loss(stream, final_normed_.data(), staging_.targets(), call.tokens(), staging_.losses());
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
          static_cast<const std::byte*>(final_normed_.data()) +
          static_cast<std::size_t>(first * options_.width) * kernels::float_type_bytes(type_);
      head_.logits(
          stream, normed, positions,
          out.subspan(static_cast<std::size_t>(i * count), static_cast<std::size_t>(count)));
    }
  }

  const memory::TableLayer* table_layer(std::int64_t block) const {
    return blocks_.table_layer(block);
  }
  memory::KeySide key_side(std::int64_t block) const { return blocks_.key_side(block); }

  const ModelOptions& options() const { return options_; }
  Parameters& parameters() { return parameters_; }

 private:
  OutputHeadOptions head_options() const {
    const char* weight = options_.tied_output ? "tok_embeddings.weight" : "output.weight";
    return {.width = options_.width,
            .vocabulary = options_.vocabulary,
            .tokens = options_.tokens(),
            .weight = parameters_.weight(weight),
            .gradient = parameters_.gradient(weight)};
  }

  memory::ValueTable* checked(memory::ValueTable* table) const {
    CHECK((table != nullptr) == !options_.table_blocks().empty(),
          "a value table is needed exactly when there are layers that read one");
    if (table == nullptr) return table;
    const memory::ValueTableOptions& given = table->options();
    const memory::TableLayerOptions& wanted = options_.memory;
    CHECK(given.width == wanted.value_width, "table width {}, layers read {}", given.width,
          wanted.value_width);
    CHECK(given.rows == static_cast<std::uint64_t>(wanted.half_keys * wanted.half_keys),
          "{} rows, layers address {} half-keys a side", given.rows, wanted.half_keys);
    CHECK(given.lookups_per_token == wanted.heads * wanted.knn);
    CHECK(given.tokens_per_call >= options_.tokens());
    return table;
  }

  void allocate() {
    const std::int64_t wide = options_.tokens() * options_.width;
    final_normed_ = {backend_, wide, type_};
    final_inverse_ = {backend_, options_.tokens()};
    d_stream_ = {backend_, wide};
    d_branch_ = {backend_, wide};
  }

  PartCall stage(kernels::Stream& stream, const MicroBatch& micro_batch, bool with_targets) {
    const std::int64_t count = micro_batch.batch * micro_batch.sequence;
    CHECK(micro_batch.sequence >= 1 && micro_batch.sequence <= options_.sequence,
          "{} tokens in a sequence, room for {}", micro_batch.sequence, options_.sequence);
    CHECK(static_cast<std::int64_t>(micro_batch.tokens.size()) == count);
    CHECK(!with_targets || micro_batch.targets.size() == micro_batch.tokens.size());
    check_first_keys(micro_batch);
    staging_.stage(stream,
                   {.tokens = micro_batch.tokens,
                    .targets = with_targets ? micro_batch.targets : std::span<const std::int32_t>(),
                    .first_keys = micro_batch.first_keys});
    PartCall call = blocks_.call(stream, micro_batch.batch, micro_batch.sequence);
    call.first_keys = staging_.first_keys();
    return call;
  }

  void embed(const PartCall& call) {
    parameters_.update_weights(call.stream);
    backend_.embedding(call.stream, {.tokens = staging_.tokens(),
                                     .table = parameters_.value("tok_embeddings.weight"),
                                     .out = blocks_.state(0),
                                     .count = call.tokens(),
                                     .width = options_.width,
                                     .vocabulary = options_.vocabulary});
  }

  float* last_state() const { return blocks_.state(blocks_.branches()); }

  void forward(const PartCall& call, ForwardObserver* observer = nullptr) {
    embed(call);
    blocks_.forward(call, observer);
    backend_.norm(call.stream, {.x = last_state(),
                                .gain = parameters_.value("norm.weight"),
                                .out = final_normed_.data(),
                                .out_type = type_,
                                .inverse = final_inverse_.data(),
                                .rows = call.tokens(),
                                .width = options_.width,
                                .epsilon = static_cast<float>(options_.norm_epsilon)});
  }

  void backward(const PartCall& call, float d_scale) {
    head_.loss_and_gradient(call.stream, final_normed_.data(), staging_.targets(), call.tokens(),
                            d_scale, staging_.losses(), d_branch_.data());
    backend_.norm_backward(call.stream, {.x = last_state(),
                                         .gain = parameters_.value("norm.weight"),
                                         .inverse = final_inverse_.data(),
                                         .d_out = d_branch_.data(),
                                         .d_x = d_stream_.data(),
                                         .d_gain = parameters_.gradient("norm.weight"),
                                         .rows = call.tokens(),
                                         .width = options_.width});
    blocks_.backward(call, d_stream_.data(), d_branch_.data());
    backend_.embedding_backward(call.stream,
                                {.tokens = staging_.tokens(),
                                 .d_out = d_stream_.data(),
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
  Blocks blocks_;

  kernels::FloatArray final_normed_;           // [tokens, C] in the compute type
  kernels::DeviceArray<float> final_inverse_;  // [tokens]
  kernels::DeviceArray<float> d_stream_;       // [tokens, C]
  kernels::DeviceArray<float> d_branch_;       // [tokens, C]
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
                             const PassMarks& marks, ForwardObserver* observer) {
  implementation_->forward_backward(stream, micro_batch, scale, marks, observer);
}
double Model::take_loss(kernels::Stream& stream) {
  return implementation_->take_loss(stream);
}
std::vector<ExpertCounts> Model::take_expert_counts() {
  return implementation_->take_expert_counts();
}
double Model::evaluate(kernels::Stream& stream, const MicroBatch& micro_batch,
                       std::span<float> losses) {
  return implementation_->evaluate(stream, micro_batch, losses);
}
void Model::logits(kernels::Stream& stream, const MicroBatch& micro_batch, std::int64_t positions,
                   std::span<float> out) {
  implementation_->logits(stream, micro_batch, positions, out);
}
memory::KeySide Model::key_side(std::int64_t block) const {
  return implementation_->key_side(block);
}
const memory::TableLayer* Model::table_layer(std::int64_t block) const {
  return implementation_->table_layer(block);
}

}  // namespace mneme::engine
