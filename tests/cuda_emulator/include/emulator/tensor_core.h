// The tensor-core instructions that kernels wrap. Every lane of the warp has to call them.
#pragma once

#include <cstdint>

namespace emulator {

// PTX mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 with D = C: d += a * b. Products are
// exact and are added up in float64, then rounded once; a GPU's sum may differ by its rounding.
void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]);

// PTX ldmatrix.sync.aligned.m8n8.x{1,2,4}{.trans}.shared.b16: `matrices` is 1, 2 or 4, `registers`
// has room for so many. Lanes 8 * i to 8 * i + 7 hold the row addresses of matrix i (those of lanes
// beyond are not used); each row is 16 bytes, aligned to 16.
void ldmatrix(std::uint32_t* registers, int matrices, const void* row_address, bool transpose);

}  // namespace emulator
