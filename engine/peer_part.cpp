#include "engine/peer_part.h"

namespace mneme::engine {

PeerPart::PeerPart(kernels::Backend& backend, const ModelOptions& options,
                   const Parameters& parameters, memory::ValueTable& table, std::int64_t block,
                   const std::string& prefix)
    : TablePart(backend, options, parameters, prefix),
      layer_(backend, table, layer_options(options, block)) {}

void PeerPart::run(const PartCall& call, const void* x, float* out) {
  layer_.forward(call.stream, parameters_.key_side(), x, call.tokens(), out);
}

void PeerPart::backward(const PartCall& call, const float* d_out, float* d_x) {
  layer_.backward(call.stream, parameters_.key_side(), gradients_.key_side(), d_out, d_x);
}

}  // namespace mneme::engine
