#include "kernels/memory.h"

#include "kernels/backend.h"
#include "kernels/machine_memory.h"

namespace mneme::kernels {

std::size_t Backend::free_pinned_bytes() const {
  return free_memory_bytes();
}

Buffer::~Buffer() {
  if (backend_ != nullptr) backend_->release(data_, bytes_, kind_);
}

}  // namespace mneme::kernels
