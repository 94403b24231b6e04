#include "kernels/memory.h"

#include "kernels/backend.h"

namespace mneme::kernels {

Buffer::~Buffer() {
  if (backend_ != nullptr) backend_->release(data_, bytes_, kind_);
}

}  // namespace mneme::kernels
