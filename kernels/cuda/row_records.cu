#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::generate_rows(Stream&, const RowArena&, const RowId*, const SlotId*, std::int64_t,
                                const RowInit&) {
  io::fail("not there yet");
}

void CudaBackend::unpack_records(Stream&, const RowArena&, const std::byte* const*, const SlotId*,
                                 std::int64_t) {
  io::fail("not there yet");
}

void CudaBackend::pack_records(Stream&, const RowArena&, std::byte* const*, const SlotId*,
                               std::int64_t) {
  io::fail("not there yet");
}

void CudaBackend::copy_rows(Stream&, const RowArena&, const SlotId*, const RowArena&, const SlotId*,
                            std::int64_t) {
  io::fail("not there yet");
}

void CudaBackend::read_values(Stream&, const RowArena&, const SlotId*, std::int64_t, float*) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
