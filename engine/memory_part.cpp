#include "engine/memory_part.h"

#include <cmath>

namespace mneme::engine {

std::vector<ParameterDeclaration> declare_memory_parameters(
    const memory::TableLayerOptions& options, const std::string& prefix) {
  const std::int64_t width = options.width;
  const std::int64_t value_width = options.value_width;
  const ParameterInit zeros{InitKind::kZeros, 0};
  const ParameterInit normal{InitKind::kNormal, 1 / std::sqrt(static_cast<double>(width))};

  std::vector<ParameterDeclaration> declarations = declare_key_parameters(options, prefix);
  const auto declare = [&](const char* name, std::vector<std::int64_t> shape, ParameterInit init) {
    declarations.push_back({prefix + name, std::move(shape), init, ParameterGroup::kMemory});
  };
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
    : TablePart(backend, options, parameters, prefix),
      layer_(backend, table, layer_options(options, block)) {}

void MemoryPart::run(const PartCall& call, const void* x, float* out) {
  layer_.forward(call.stream, parameters_, x, call.tokens(), out);
}

void MemoryPart::backward(const PartCall& call, const float* d_out, float* d_x) {
  layer_.backward(call.stream, parameters_, gradients_, d_out, d_x);
}

}  // namespace mneme::engine
