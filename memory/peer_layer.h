// One layer of PEER: product keys choose rows of a value table, and each row is an expert of one
// hidden unit, with u into it and v out of it (SPEC.md, "PEER"). Replaces the feed-forward part of
// a transformer block. Several layers, also memory layers, can share one table.
//
//   q    = x Wq + bq                               query projection                    ProductKeys
//   r, w = the k best rows of each head, softmax   product-key search                  ProductKeys
//   out  = sum over heads and k of w * gelu(<x, U[r]>) * V[r]                          ValueTable
//
// The layer owns its activations. The model owns the parameters and their gradients, and passes
// their addresses to every call.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "memory/product_keys.h"
#include "memory/table_layer.h"

namespace mneme::memory {

class PeerLayer : public TableLayer {
 public:
  // Allocates the activations for options.tokens tokens. Throws Error as TableLayer does, for rows
  // of one part, and where value_width is not width. Backend and table must outlive the layer.
  PeerLayer(kernels::Backend& backend, ValueTable& table, const TableLayerOptions& options);

  // x: [tokens, C] in the backend's compute type, unchanged until backward() has run. out:
  // [tokens, C], overwritten. Both: device memory. Blocks the caller until the distinct rows are
  // known and their page-in is queued.
  void forward(kernels::Stream& stream, const ProductKeyParameters& parameters, const void* x,
               std::int64_t tokens, float* out);
  // d_out: [tokens, C], device. d_x: [tokens, C], device, overwritten. Gradients of the parameters
  // are added to `gradients`; that of the rows is handed to the table (keep_gradient). REQUIRES:
  // the last forward() was for the same tokens.
  void backward(kernels::Stream& stream, const ProductKeyParameters& parameters,
                const ProductKeyParameters& gradients, const float* d_out, float* d_x);

 private:
  ExpertLookups experts() const {
    return {.weights = keys_.weights(), .dots = dots_.data(), .factors = factors_.data()};
  }

  kernels::DeviceArray<float> wide_x_;     // [N, C], where the compute type is not float32
  kernels::DeviceArray<float> dots_;       // [N, H, k]: <x, u>
  kernels::DeviceArray<float> factors_;    // [N, H, k]: of v
  kernels::DeviceArray<float> d_factors_;  // [N, H, k]
  kernels::DeviceArray<float> d_weights_;  // [N, H, k]
  kernels::DeviceArray<float> d_dots_;     // [N, H, k]
  const float* x_ = nullptr;               // of the last forward, float32
  std::int64_t tokens_ = 0;                // of the last forward
};

}  // namespace mneme::memory
