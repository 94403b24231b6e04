#include "offload/disk/lazy_array.h"

#include <sys/mman.h>

#include "io/error.h"

namespace mneme::offload {

template <typename T>
LazyArray<T>::LazyArray(std::uint64_t count) : count_(count) {
  if (count == 0) return;
  void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    io::fail(
        "cannot map {} bytes of address space for the rows of a table; raise the limit on virtual "
        "memory (ulimit -v) or use fewer rows",
        count * sizeof(T));
  }
  // Small pages: rows are touched at random, and a huge page would cost 2 MiB for each. Advice that
  // the kernel does not know costs memory at most, so the result is not read.
  madvise(memory, count * sizeof(T), MADV_NOHUGEPAGE);
  data_ = static_cast<T*>(memory);
}

template <typename T>
LazyArray<T>::~LazyArray() {
  if (data_ != nullptr) munmap(data_, count_ * sizeof(T));
}

template class LazyArray<std::uint32_t>;
template class LazyArray<std::uint64_t>;

}  // namespace mneme::offload
