#include "engine/table_part.h"

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

}  // namespace

std::vector<ParameterDeclaration> declare_key_parameters(const memory::TableLayerOptions& options,
                                                         const std::string& prefix) {
  const std::int64_t width = options.width;
  const std::int64_t half_width = options.key_width / 2;
  const std::int64_t query_width = options.heads * options.key_width;
  const ParameterInit zeros{InitKind::kZeros, 0};
  const ParameterInit ones{InitKind::kOnes, 0};
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
  return declarations;
}

TablePart::TablePart(kernels::Backend& backend, const ModelOptions& options,
                     const Parameters& parameters, const std::string& prefix)
    : parameters_(bind(parameters, ParameterBuffer::kValues, prefix)),
      gradients_(bind(parameters, ParameterBuffer::kGradients, prefix)),
      backend_(backend),
      tokens_(options.tokens()),
      width_(options.width) {}

std::size_t TablePart::scratch_bytes() const {
  return ScratchPieces::bytes(tokens_ * width_, kernels::FloatType::kF32);
}

void TablePart::forward(const PartCall& call, const void* x, float* out) {
  auto* result = reinterpret_cast<float*>(call.scratch);
  run(call, x, result);
  backend_.add(call.stream, out, result, call.tokens() * width_);
}

memory::TableLayerOptions TablePart::layer_options(const ModelOptions& options,
                                                   std::int64_t block) {
  memory::TableLayerOptions layer = options.memory;
  layer.layer = static_cast<std::int32_t>(block);
  return layer;
}

}  // namespace mneme::engine
