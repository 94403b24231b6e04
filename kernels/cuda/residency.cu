#include "io/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace mneme::kernels::cuda {

void CudaBackend::lookup_slots(Stream&, const SlotTable&, const LookupSlotsArgs&) {
  io::fail("not there yet");
}

void CudaBackend::bind_slots(Stream&, const SlotTable&, const RowId*, const SlotId*, std::int64_t,
                             std::uint32_t) {
  io::fail("not there yet");
}

void CudaBackend::mark_used(Stream&, const SlotTable&, const MarkUsedArgs&) {
  io::fail("not there yet");
}

void CudaBackend::clear_dirty(Stream&, const SlotTable&, const SlotId*, std::int64_t) {
  io::fail("not there yet");
}

void CudaBackend::list_dirty(Stream&, const SlotTable&, SlotId*, RowId*, std::uint64_t*) {
  io::fail("not there yet");
}

}  // namespace mneme::kernels::cuda
