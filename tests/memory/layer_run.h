// Runs layers that share one value table, memory layers or PEER's, through forward and backward,
// from host tensors to host tensors: what the golden files and the oracle are compared with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/disk.h"
#include "memory/memory_layer.h"
#include "memory/peer_layer.h"
#include "memory/value_table.h"
#include "tests/memory/oracle.h"
#include "tests/memory/support.h"

namespace mneme::test {

struct LayerResult {
  std::vector<kernels::RowId> rows;
  std::vector<float> o, y, scores, weights;
  std::map<std::string, std::vector<float>> gradients;  // "x" and every parameter
};

struct LayerRunResult {
  std::vector<LayerResult> layers;
  std::vector<float> d_values;  // [n^2, d_v], or of PEER [n^2, 2, C]
};

// One layer's inputs: parameters and "x" by their names, and the output's gradient.
struct LayerInput {
  Tensors tensors;
  Tensor d_o;
};

// device_bytes 0: a device tier that holds everything; otherwise as given.
inline LayerRunResult run_layers(const OracleShape& shape, const Tensor& values,
                                 const std::vector<LayerInput>& inputs,
                                 std::uint64_t device_bytes = 0,
                                 kernels::Backend& backend = test_backend()) {
  const ScratchDirectory directory;
  const auto disk = io::make_posix_disk();
  memory::ValueTableOptions table_options;
  table_options.rows = static_cast<std::uint64_t>(shape.half_keys * shape.half_keys);
  table_options.width = shape.value_width;
  table_options.parts = shape.peer ? 2 : 1;
  table_options.optimizer.learning_rate = [](std::uint64_t) { return 1e-3; };
  table_options.tiers.device_bytes = device_bytes != 0 ? device_bytes : 64u << 20;
  table_options.tiers.host_bytes = 64u << 20;
  table_options.paths = {directory.file("rows")};
  table_options.tokens_per_call = shape.tokens;
  table_options.lookups_per_token = shape.lookups();
  table_options.gradient_calls_per_step = static_cast<std::int64_t>(inputs.size());
  memory::ValueTable table(backend, *disk, table_options);
  std::vector<kernels::RowId> all_rows(table_options.rows);
  for (std::size_t row = 0; row < all_rows.size(); ++row) {
    all_rows[row] = static_cast<kernels::RowId>(row);
  }
  table.write_values(all_rows, std::vector<float>(values.begin(), values.end()), 0);

  struct Layer {
    std::unique_ptr<memory::MemoryLayer> layer;  // or
    std::unique_ptr<memory::PeerLayer> peer;
    const memory::TableLayer& lookups() const {
      return peer ? static_cast<const memory::TableLayer&>(*peer) : *layer;
    }
    std::map<std::string, Uploaded<float>> tensors, gradients;
    memory::MemoryLayerParameters parameters, d_parameters;
  };
  const auto view = [](const std::map<std::string, Uploaded<float>>& tensors) {
    const auto find = [&](const char* name) -> float* {
      const auto entry = tensors.find(name);
      return entry == tensors.end() ? nullptr : entry->second.data();
    };
    return memory::MemoryLayerParameters{.query_weight = find("query.weight"),
                                         .query_bias = find("query.bias"),
                                         .keys = find("keys"),
                                         .query_norm_gain = find("query_norm.gain"),
                                         .key_norm_gain = find("key_norm.gain"),
                                         .gate_in_weight = find("gate_in.weight"),
                                         .gate_in_bias = find("gate_in.bias"),
                                         .value_out_weight = find("value_out.weight"),
                                         .value_out_bias = find("value_out.bias"),
                                         .scalar_gate_weight = find("scalar_gate.weight"),
                                         .scalar_gate_bias = find("scalar_gate.bias"),
                                         .query_weight_compute = find("query.weight"),
                                         .gate_in_weight_compute = find("gate_in.weight"),
                                         .value_out_weight_compute = find("value_out.weight")};
  };
  memory::TableLayerOptions options{
      .width = shape.width,
      .heads = shape.heads,
      .knn = shape.knn,
      .half_keys = shape.half_keys,
      .key_width = shape.key_width,
      .value_width = shape.value_width,
      .gate = shape.swilu ? memory::Gate::kSwilu : memory::Gate::kNone,
      .scalar_gate = shape.scalar_gate,
      .query_key_norm = shape.norm == OracleNorm::kNone  ? memory::QueryKeyNorm::kNone
                        : shape.norm == OracleNorm::kRms ? memory::QueryKeyNorm::kRms
                                                         : memory::QueryKeyNorm::kL2,
      .tokens = shape.tokens};

  const auto stream = backend.create_stream();
  LayerRunResult result;
  result.layers.resize(inputs.size());
  std::vector<Layer> layers(inputs.size());
  const auto outputs = static_cast<std::size_t>(shape.tokens * shape.width);
  const auto picked = static_cast<std::size_t>(shape.tokens * shape.lookups());
  table.begin_step(1);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Layer& layer = layers[i];
    for (const auto& [name, tensor] : inputs[i].tensors) {
      layer.tensors.emplace(name, Uploaded<float>(backend, *stream, tensor));
      layer.gradients.emplace(name, Uploaded<float>(backend, tensor.size()));
    }
    layer.parameters = view(layer.tensors);
    layer.d_parameters = view(layer.gradients);
    const Uploaded<float> out(backend, outputs);
    const float* const x = layer.tensors.at("x").data();
    LayerResult& r = result.layers[i];
    if (shape.peer) {
      layer.peer = std::make_unique<memory::PeerLayer>(backend, table, options);
      layer.peer->forward(*stream, layer.parameters.key_side(), x, shape.tokens, out.data());
      r.y = out.read(*stream);
    } else {
      layer.layer = std::make_unique<memory::MemoryLayer>(backend, table, options);
      layer.layer->forward(*stream, layer.parameters, x, shape.tokens, out.data());
      r.y =
          Uploaded<float>::read_device(backend, *stream, layer.layer->y(),
                                       static_cast<std::size_t>(shape.tokens * shape.value_width));
    }
    r.o = out.read(*stream);
    const memory::TableLayer& read = layer.lookups();
    r.rows = Uploaded<kernels::RowId>::read_device(backend, *stream, read.rows(), picked);
    r.scores = Uploaded<float>::read_device(backend, *stream, read.scores(), picked);
    r.weights = Uploaded<float>::read_device(backend, *stream, read.weights(), picked);
  }
  for (std::size_t i = inputs.size(); i-- > 0;) {
    Layer& layer = layers[i];
    const Uploaded<float> d_out(backend, *stream, inputs[i].d_o);
    float* const d_x = layer.gradients.at("x").data();
    if (shape.peer) {
      layer.peer->backward(*stream, layer.parameters.key_side(), layer.d_parameters.key_side(),
                           d_out.data(), d_x);
    } else {
      layer.layer->backward(*stream, layer.parameters, layer.d_parameters, d_out.data(), d_x);
    }
    for (const auto& [name, gradient] : layer.gradients) {
      result.layers[i].gradients[name] = gradient.read(*stream);
    }
  }
  result.d_values = table.dense_gradient(*stream);
  return result;
}

}  // namespace mneme::test
