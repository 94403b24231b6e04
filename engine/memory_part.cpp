#include "engine/memory_part.h"

#include <cmath>

namespace mneme::engine {
namespace {

// One line for each field of MemoryLayerParameters: its name below the layer's prefix.
struct Field {
  const char* name;
  float* memory::MemoryLayerParameters::*pointer;
};
constexpr Field kFields[] = {
    {".keys", &memory::MemoryLayerParameters::keys},
    {".query.weight", &memory::MemoryLayerParameters::query_weight},
    {".query.bias", &memory::MemoryLayerParameters::query_bias},
    {".query_norm.weight", &memory::MemoryLayerParameters::query_norm_gain},
    {".key_norm.weight", &memory::MemoryLayerParameters::key_norm_gain},
    {".gate_in.weight", &memory::MemoryLayerParameters::gate_in_weight},
    {".gate_in.bias", &memory::MemoryLayerParameters::gate_in_bias},
    {".value_out.weight", &memory::MemoryLayerParameters::value_out_weight},
    {".value_out.bias", &memory::MemoryLayerParameters::value_out_bias},
    {".scalar_gate.weight", &memory::MemoryLayerParameters::scalar_gate_weight},
    {".scalar_gate.bias", &memory::MemoryLayerParameters::scalar_gate_bias},
};

// The copies that matrix products read.
void bind_weights(memory::MemoryLayerParameters& bound, const Parameters& parameters,
                  const std::string& prefix) {
  bound.query_weight_compute = parameters.weight(prefix + ".query.weight");
  if (bound.gate_in_weight != nullptr) {
    bound.gate_in_weight_compute = parameters.weight(prefix + ".gate_in.weight");
  }
  if (bound.value_out_weight != nullptr) {
    bound.value_out_weight_compute = parameters.weight(prefix + ".value_out.weight");
  }
}

// Fields without a declared parameter stay null.
memory::MemoryLayerParameters bind(const Parameters& parameters, ParameterBuffer which,
                                   const std::string& prefix) {
  memory::MemoryLayerParameters bound;
  for (const Field& field : kFields) {
    const std::string name = prefix + field.name;
    if (parameters.contains(name)) {
      bound.*field.pointer = parameters.data(which) + parameters.find(name).offset;
    }
  }
  if (which == ParameterBuffer::kValues) bind_weights(bound, parameters, prefix);
  return bound;
}

memory::TableLayerOptions of_block(memory::TableLayerOptions options, std::int64_t block) {
  options.layer = static_cast<std::int32_t>(block);
  return options;
}

}  // namespace

std::vector<ParameterDeclaration> declare_memory_parameters(
    const memory::TableLayerOptions& options, const std::string& prefix) {
  const std::int64_t width = options.width;
  const std::int64_t value_width = options.value_width;
  const std::int64_t half_width = options.key_width / 2;
  const std::int64_t query_width = options.heads * options.key_width;
  const ParameterInit zeros{InitKind::kZeros, 0};
  const ParameterInit ones{InitKind::kOnes, 0};
  const ParameterInit normal{InitKind::kNormal, 1 / std::sqrt(static_cast<double>(width))};
  const ParameterInit key_init{InitKind::kUniform,
                               1 / std::sqrt(static_cast<double>(options.key_width))};
  const ParameterInit query_init{InitKind::kUniform,
                                 std::sqrt(6.0 / static_cast<double>(width + query_width))};

  std::vector<ParameterDeclaration> declarations;
  const auto declare = [&](const char* name, std::vector<std::int64_t> shape, ParameterInit init) {
    declarations.push_back({prefix + name, std::move(shape), init, ParameterGroup::kMemory});
  };
  declare(".keys", {options.heads, 2, options.half_keys, half_width}, key_init);
  declare(".query.weight", {query_width, width}, query_init);
  declare(".query.bias", {query_width}, zeros);
  if (options.query_key_norm != memory::QueryKeyNorm::kNone) {
    declare(".query_norm.weight", {half_width}, ones);
    declare(".key_norm.weight", {half_width}, ones);
  }
  if (options.gate == memory::Gate::kSwilu) {
    declare(".gate_in.weight", {value_width, width}, normal);
    declare(".gate_in.bias", {value_width}, zeros);
  }
  if (options.gate == memory::Gate::kSwilu || value_width != width) {
    declare(".value_out.weight", {width, value_width}, normal);
    declare(".value_out.bias", {width}, zeros);
  }
  if (options.scalar_gate) {
    declare(".scalar_gate.weight", {1, width}, normal);
    declare(".scalar_gate.bias", {1}, zeros);
  }
  return declarations;
}

MemoryPart::MemoryPart(kernels::Backend& backend, const ModelOptions& options,
                       const Parameters& parameters, memory::ValueTable& table, std::int64_t block,
                       const std::string& prefix)
    : backend_(backend),
      tokens_(options.tokens()),
      width_(options.width),
      parameters_(bind(parameters, ParameterBuffer::kValues, prefix)),
      gradients_(bind(parameters, ParameterBuffer::kGradients, prefix)),
      layer_(backend, table, of_block(options.memory, block)) {}

std::size_t MemoryPart::scratch_bytes() const {
  return ScratchPieces::bytes(tokens_ * width_, kernels::FloatType::kF32);
}

void MemoryPart::forward(const PartCall& call, const void* x, float* out) {
  auto* result = reinterpret_cast<float*>(call.scratch);
  layer_.forward(call.stream, parameters_, x, call.tokens(), result);
  backend_.add(call.stream, out, result, call.tokens() * width_);
}

void MemoryPart::backward(const PartCall& call, const float* d_out, float* d_x) {
  layer_.backward(call.stream, parameters_, gradients_, d_out, d_x);
}

}  // namespace mneme::engine
