#include <emulator/tensor_core.h>

#include <bit>
#include <cstring>

#include "tests/cuda_emulator/src/block_runner.h"
#include "tests/cuda_emulator/src/device_memory.h"
#include "tests/cuda_emulator/src/report.h"

namespace emulator {
namespace {

constexpr unsigned kRows = 16;    // of A and D
constexpr unsigned kDepth = 16;   // columns of A, rows of B
constexpr unsigned kColumns = 8;  // of B and D

struct Mma {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

struct LoadMatrix {
  std::uint32_t* registers;
  int matrices;
  const void* row_address;
  bool transpose;
};

// Half `half` (0 the lower) of a register, as bf16.
double bf16(std::uint32_t pair, unsigned half) {
  return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xffff0000u);
}

void require_whole_warp(const char* instruction, unsigned active) {
  if (active != ~0u)
    die("%s: lanes of the warp have exited (0x%08x are left)", instruction, active);
}

// Of the fragments: lane = 4 * group + member. Registers 0 and 1 of A are of rows `group` and
// `group` + 8 and columns 2 * member, + 1; registers 2 and 3 are 8 columns further. Register i of B
// is of column `group` and rows 2 * member + 8 * i, + 1. D has two columns in rows `group` and
// `group` + 8.
void run_mma(unsigned active, void* const* data) {
  require_whole_warp("mma_m16n8k16_bf16", active);
  double a[kRows][kDepth];
  double b[kDepth][kColumns];
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    const Mma& own = *static_cast<const Mma*>(data[lane]);
    const unsigned group = lane / 4;
    const unsigned member = lane % 4;
    for (unsigned half = 0; half < 2; ++half) {
      const unsigned place = 2 * member + half;
      for (unsigned i = 0; i < 4; ++i) {
        a[group + 8 * (i % 2)][place + 8 * (i / 2)] = bf16(own.a[i], half);
      }
      for (unsigned i = 0; i < 2; ++i) b[place + 8 * i][group] = bf16(own.b[i], half);
    }
  }
  double d[kRows][kColumns] = {};
  for (unsigned row = 0; row < kRows; ++row) {
    for (unsigned k = 0; k < kDepth; ++k) {
      for (unsigned column = 0; column < kColumns; ++column) {
        d[row][column] += a[row][k] * b[k][column];
      }
    }
  }
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    const Mma& own = *static_cast<const Mma*>(data[lane]);
    for (unsigned i = 0; i < 4; ++i) {
      const double sum = d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
      own.d[i] = static_cast<float>(own.d[i] + sum);
    }
  }
}

// Lane l gets elements 2 * (l % 4) and + 1 of row l / 4 of every matrix, or of column l / 4.
void run_load_matrix(unsigned active, void* const* data) {
  require_whole_warp("ldmatrix", active);
  const LoadMatrix& first = *static_cast<const LoadMatrix*>(data[0]);
  for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
    const LoadMatrix& own = *static_cast<const LoadMatrix*>(data[lane]);
    if (own.matrices != first.matrices || own.transpose != first.transpose) {
      die("ldmatrix: lanes of a warp do not ask for the same");
    }
  }
  for (int i = 0; i < first.matrices; ++i) {
    std::uint16_t matrix[8][8];
    for (int row = 0; row < 8; ++row) {
      const void* address = static_cast<const LoadMatrix*>(data[8 * i + row])->row_address;
      std::memcpy(matrix[row], address, sizeof matrix[row]);
    }
    for (unsigned lane = 0; lane < kWarpLanes; ++lane) {
      const unsigned row = lane / 4;
      const unsigned column = 2 * (lane % 4);
      const std::uint32_t low = first.transpose ? matrix[column][row] : matrix[row][column];
      const std::uint32_t high =
          first.transpose ? matrix[column + 1][row] : matrix[row][column + 1];
      static_cast<const LoadMatrix*>(data[lane])->registers[i] = low | (high << 16);
    }
  }
}

constexpr WarpOperation kMma{"mma_m16n8k16_bf16", run_mma};
constexpr WarpOperation kLoadMatrix{"ldmatrix", run_load_matrix};

}  // namespace

void mma_m16n8k16_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  Mma data{d, a, b};
  BlockRunner::current("mma_m16n8k16_bf16").collective(~0u, kMma, &data);
}

void ldmatrix(std::uint32_t* registers, int matrices, const void* row_address, bool transpose) {
  if (matrices != 1 && matrices != 2 && matrices != 4) {
    die("ldmatrix loads 1, 2 or 4 matrices, not %d", matrices);
  }
  BlockRunner& runner = BlockRunner::current("ldmatrix");
  if (runner.lane() < 8u * static_cast<unsigned>(matrices)) {
    if (reinterpret_cast<std::uintptr_t>(row_address) % 16 != 0) {
      die("ldmatrix: the row address %p is not a multiple of 16", row_address);
    }
    if (DeviceMemory::instance().contains(row_address)) {
      die("ldmatrix: the row address %p is in global, not in shared memory", row_address);
    }
  }
  LoadMatrix data{registers, matrices, row_address, transpose};
  runner.collective(~0u, kLoadMatrix, &data);
}

}  // namespace emulator
