// A small model with everything it stands on, and what tests of models have in common.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "engine/model.h"
#include "io/disk.h"
#include "kernels/backend.h"
#include "memory/value_table.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/test_backend.h"
#include "tests/support/transfer.h"

namespace mneme::test {

struct TestModelSettings {
  testing::TestBackend backend = testing::backends_under_test().front();
  int threads = 2;
  std::uint64_t seed = 1;
  std::int64_t micro_batches = 1;  // of one step
  double row_learning_rate = 1e-2;
};

class TestModel {
 public:
  explicit TestModel(const engine::ModelOptions& given, const TestModelSettings& settings = {})
      : backend(settings.backend.make({.threads = settings.threads})),
        stream(backend->create_stream()),
        disk(io::make_posix_disk()) {
    const engine::ModelOptions options = engine::resolve(given);
    if (!options.table_blocks().empty())
      table.emplace(*backend, *disk, table_options(options, settings));
    model.emplace(*backend, options, table ? &*table : nullptr);
    model->parameters().initialize(*stream, settings.seed);
  }

  engine::Parameters& parameters() { return model->parameters(); }
  std::vector<float> read(engine::ParameterBuffer which, const engine::Parameter& parameter) {
    return parameters().read(*stream, which, parameter);
  }
  // Copies device memory of any trivially copyable type to the host.
  template <typename T>
  std::vector<T> download(const T* device, std::size_t count) {
    return testing::read_device(*backend, *stream, device, count);
  }
  // The gradients of one step with these micro-batches, and its loss.
  double gradients(std::span<const engine::MicroBatch> micro_batches, std::uint64_t step = 1) {
    if (table) table->begin_step(step);
    model->begin_step(*stream);
    for (const engine::MicroBatch& micro_batch : micro_batches) {
      model->forward_backward(*stream, micro_batch,
                              1.0 / static_cast<double>(micro_batches.size()));
    }
    return model->take_loss(*stream);
  }
  double evaluate(const engine::MicroBatch& micro_batch, std::uint64_t completed_step = 0) {
    if (table) table->begin_evaluation(completed_step);
    return model->evaluate(*stream, micro_batch);
  }

  std::unique_ptr<kernels::Backend> backend;
  std::unique_ptr<kernels::Stream> stream;
  std::unique_ptr<io::Disk> disk;
  TemporaryDirectory directory;
  std::optional<memory::ValueTable> table;
  std::optional<engine::Model> model;

 private:
  memory::ValueTableOptions table_options(const engine::ModelOptions& options,
                                          const TestModelSettings& settings) const {
    const memory::TableLayerOptions& layer = options.memory;
    memory::ValueTableOptions table_options;
    table_options.rows = static_cast<std::uint64_t>(layer.half_keys * layer.half_keys);
    table_options.width = layer.value_width;
    table_options.parts = options.feed_forward.has(engine::FeedForwardKind::kPeer) ? 2 : 1;
    table_options.seed = settings.seed;
    const double rate = settings.row_learning_rate;
    table_options.optimizer.learning_rate = [rate](std::uint64_t) { return rate; };
    table_options.tiers.device_bytes = 4 << 20;
    table_options.tiers.host_bytes = 1 << 20;
    table_options.paths = {directory.file("rows")};
    table_options.tokens_per_call = options.tokens();
    table_options.lookups_per_token = layer.heads * layer.knn;
    table_options.gradient_calls_per_step =
        std::ssize(options.table_blocks()) * settings.micro_batches;
    return table_options;
  }
};

// A model with both kinds of blocks and grouped key/value heads.
inline engine::ModelOptions small_model_options() {
  engine::ModelOptions options;
  options.vocabulary = 13;
  options.width = 8;
  options.blocks = 3;
  options.attention_heads = 2;
  options.kv_heads = 1;
  options.feed_forward_hidden = 12;
  options.feed_forward = {engine::FeedForwardKind::kMemory, {1}};
  options.memory = {.heads = 2, .knn = 2, .half_keys = 4, .key_width = 8, .scalar_gate = true};
  options.batch = 4;
  options.sequence = 6;
  return options;
}

struct TokenBatch {
  std::vector<std::int32_t> tokens, targets;
  std::vector<std::int32_t> first_keys = {};  // or none
  std::int64_t batch = 0, sequence = 0;

  engine::MicroBatch whole() const { return sequences(0, batch); }
  engine::MicroBatch sequences(std::int64_t first, std::int64_t count) const {
    const auto begin = static_cast<std::size_t>(first * sequence);
    const auto size = static_cast<std::size_t>(count * sequence);
    return {.tokens = std::span(tokens).subspan(begin, size),
            .targets = std::span(targets).subspan(begin, size),
            .first_keys = first_keys.empty() ? std::span<const std::int32_t>()
                                             : std::span(first_keys).subspan(begin, size),
            .batch = count,
            .sequence = sequence};
  }
};

inline TokenBatch random_tokens(const engine::ModelOptions& options, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  TokenBatch batch{
      .tokens = {}, .targets = {}, .batch = options.batch, .sequence = options.sequence};
  const auto vocabulary = static_cast<std::uint64_t>(options.vocabulary);
  for (std::int64_t i = 0; i < options.tokens(); ++i) {
    batch.tokens.push_back(static_cast<std::int32_t>(random() % vocabulary));
    batch.targets.push_back(static_cast<std::int32_t>(random() % vocabulary));
  }
  return batch;
}

// Documents begin at these positions of every sequence.
inline TokenBatch with_documents(TokenBatch batch, const std::vector<std::int32_t>& begins) {
  for (std::int64_t i = 0; i < batch.batch * batch.sequence; ++i) {
    std::int32_t first = 0;
    for (const std::int32_t begin : begins) {
      if (begin <= i % batch.sequence) first = begin;
    }
    batch.first_keys.push_back(first);
  }
  return batch;
}

template <typename T>
double norm(const std::vector<T>& x) {
  double sum = 0;
  for (const T value : x) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

// |out - reference| / |reference|; with a zero reference, |out|.
template <typename T>
double relative_error(const std::vector<float>& out, const std::vector<T>& reference) {
  if (out.size() != reference.size()) return INFINITY;
  double difference = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double d = static_cast<double>(out[i]) - static_cast<double>(reference[i]);
    difference += d * d;
  }
  const double size = norm(reference);
  return std::sqrt(difference) / (size == 0 ? 1.0 : size);
}

}  // namespace mneme::test
