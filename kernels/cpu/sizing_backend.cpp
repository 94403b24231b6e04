#include "kernels/sizing_backend.h"

#include <sys/mman.h>

#include <limits>

#include "io/error.h"
#include "io/round_up.h"
#include "kernels/cpu/cpu_backend.h"

namespace mneme::kernels {
namespace cpu {
namespace {

class SizingBackend final : public CpuBackend {
 public:
  SizingBackend(const SizingOptions& options, AllocatedBytes& allocated)
      : CpuBackend({.threads = 1}), options_(options), allocated_(allocated) {}

  FloatType compute_type() const override { return options_.compute_type; }

  Buffer allocate(std::size_t bytes, MemoryKind kind) override {
    if (bytes == 0) return {};
    void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
      io::fail("the system refuses {} bytes of addresses; raise the limit (ulimit -v)", bytes);
    }
    count(kind) += taken(bytes, kind);
    return {this, data, bytes, kind};
  }

  std::size_t free_pinned_bytes() const override { return std::numeric_limits<std::size_t>::max(); }

  // They would write to it.
  void copy(Stream&, void*, const void*, std::size_t) override {}
  void zero(Stream&, void*, std::size_t) override {}
  void reset_slots(Stream&, const SlotTable&) override {}

 protected:
  void release(void* data, std::size_t bytes, MemoryKind kind) noexcept override {
    munmap(data, bytes);
    count(kind) -= taken(bytes, kind);
  }

 private:
  std::uint64_t& count(MemoryKind kind) {
    return kind == MemoryKind::kDevice ? allocated_.device : allocated_.pinned;
  }
  std::uint64_t taken(std::size_t bytes, MemoryKind kind) const {
    return kind == MemoryKind::kDevice ? io::round_up(bytes, options_.device_alignment) : bytes;
  }

  SizingOptions options_;
  AllocatedBytes& allocated_;
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Backend> make_sizing_backend(const SizingOptions& options,
                                             AllocatedBytes& allocated) {
  return std::make_unique<cpu::SizingBackend>(options, allocated);
}

}  // namespace mneme::kernels
