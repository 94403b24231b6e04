#include "kernels/cpu/cpu_backend.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <tbb/info.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "io/check.h"
#include "io/error.h"
#include "kernels/cpu/dispatch.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/product.h"
#include "kernels/machine_memory.h"

namespace mneme::kernels {

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  return std::make_unique<cpu::CpuBackend>(options);
}

namespace cpu {
namespace {

// Below this, memory comes from the heap: a page mapping is dear for a handful of floats, and
// AddressSanitizer sees overruns of heap memory only.
constexpr std::size_t kMappedBytes = std::size_t{1} << 20;
constexpr std::size_t kHugePageBytes = std::size_t{8} << 20;
constexpr std::size_t kHeapAlignment = 64;
// A page, so that guarded memory is aligned like any.
constexpr std::size_t kZoneBytes = 4096;
// More than machines have cores: a larger number is a mistake.
constexpr int kMostThreads = 1024;

bool is_mapped(std::size_t bytes, MemoryKind kind) {
  return kind == MemoryKind::kPinnedHost || bytes >= kMappedBytes;
}

// Slack to vector width, so that a length of any size is a legal aligned allocation.
std::size_t heap_bytes(std::size_t bytes) {
  return (bytes + kHeapAlignment - 1) / kHeapAlignment * kHeapAlignment;
}

void copy_zone(void* target, const void* source, std::size_t bytes) {
  std::memcpy(target, source, bytes);
}

int threads_for(const CpuOptions& options) {
  if (options.threads < 0) io::fail("threads is {}; it must be 0 (all) or more", options.threads);
  if (options.threads == 0) return std::min(tbb::info::default_concurrency(), kMostThreads);
  if (options.threads > kMostThreads) {
    io::fail(
        "threads (run.threads) is {}; it can be at most {}; use fewer, or 0 for one on each core",
        options.threads, kMostThreads);
  }
  return options.threads;
}

// For what the machine has and the system still refuses.
[[noreturn]] void fail_refused(std::size_t bytes) {
  io::fail(
      "out of memory: the system refuses {} bytes; raise the limit (ulimit -v), or use a smaller "
      "tier budget, batch or model",
      bytes);
}

// promised: what earlier allocations have yet to take.
[[noreturn]] void fail_out_of_memory(std::size_t bytes, std::size_t promised) {
  constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
  io::fail(
      "out of memory: asked for {} bytes ({:.2f} GiB) besides {:.2f} GiB promised before, free are "
      "{:.2f} GiB; use a smaller tier budget, batch or model",
      bytes, static_cast<double>(bytes) / kGiB, static_cast<double>(promised) / kGiB,
      static_cast<double>(free_memory_bytes()) / kGiB);
}

}  // namespace

CpuStream& on(Stream& stream) {
  auto* cpu = dynamic_cast<CpuStream*>(&stream);
  CHECK(cpu != nullptr, "a stream of another backend");
  return *cpu;
}

CpuBackend::CpuBackend(const CpuOptions& options)
    : threads_(threads_for(options)), workers_(threads_) {
  if (guard_zones_wanted()) zones_.emplace(copy_zone, kZoneBytes);
}

std::string CpuBackend::product_library() const {
  return cpu::product_library();
}

std::string CpuBackend::name() const {
  return fmt::format("cpu ({} thread{}, {})", threads_, threads_ == 1 ? "" : "s",
                     use_avx512() ? "AVX-512" : "AVX2");
}

void* CpuBackend::map_memory(std::size_t bytes, MemoryKind kind) {
  // Mapped memory is taken when it is touched. What was mapped and is not resident yet will be.
  const std::size_t mapped = mapped_bytes_;
  const std::size_t promised = mapped - std::min(mapped, resident_memory_bytes());
  const std::size_t free = free_memory_bytes();
  if (bytes > free || promised > free - bytes) fail_out_of_memory(bytes, promised);
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) fail_refused(bytes);
  // Advice that the kernel does not know or want costs speed at most, so the results are not read.
  if (bytes >= kHugePageBytes) madvise(data, bytes, MADV_HUGEPAGE);
  if (kind == MemoryKind::kPinnedHost) madvise(data, bytes, MADV_DONTFORK);
  mapped_bytes_ += bytes;
  return data;
}

Buffer CpuBackend::allocate(std::size_t bytes, MemoryKind kind) {
  if (bytes == 0) return {};
  const std::size_t all = space(bytes);
  void* data = nullptr;
  if (is_mapped(bytes, kind)) {
    data = map_memory(all, kind);
  } else {
    data = std::aligned_alloc(kHeapAlignment, heap_bytes(all));
    if (data == nullptr) fail_refused(bytes);
    std::memset(data, 0, heap_bytes(all));
  }
  if (zones_) {
    data = zones_->enclose(data, bytes, kind == MemoryKind::kDevice ? "buffer" : "pinned buffer");
  }
  return {this, data, bytes, kind};
}

void CpuBackend::release(void* data, std::size_t bytes, MemoryKind kind) noexcept {
  // A worker returns scratch memory of its stream, which nothing queued refers to.
  if (!CpuStream::on_worker()) streams_.drain();
  if (zones_) data = zones_->open(data, "when it was released");
  if (is_mapped(bytes, kind)) {
    munmap(data, space(bytes));
    mapped_bytes_ -= space(bytes);
  } else {
    std::free(data);
  }
}

std::unique_ptr<Stream> CpuBackend::create_stream(StreamPriority /*priority*/) {
  return std::make_unique<CpuStream>(*this, streams_, threads_, zones_ ? &*zones_ : nullptr);
}

std::unique_ptr<Event> CpuBackend::create_event() {
  return std::make_unique<CpuEvent>();
}

namespace {
constexpr std::int64_t kCopyChunk = std::int64_t{256} << 10;
}

void CpuBackend::copy(Stream& stream, void* target, const void* source, std::size_t bytes) {
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(static_cast<std::int64_t>(bytes), kCopyChunk,
                    [=](std::int64_t begin, std::int64_t end) {
                      std::memcpy(static_cast<std::byte*>(target) + begin,
                                  static_cast<const std::byte*>(source) + begin,
                                  static_cast<std::size_t>(end - begin));
                    });
  });
}

void CpuBackend::zero(Stream& stream, void* target, std::size_t bytes) {
  on(stream).enqueue([=](Scratch&) {
    parallel_chunks(static_cast<std::int64_t>(bytes), kCopyChunk,
                    [=](std::int64_t begin, std::int64_t end) {
                      std::memset(static_cast<std::byte*>(target) + begin, 0,
                                  static_cast<std::size_t>(end - begin));
                    });
  });
}

}  // namespace cpu
}  // namespace mneme::kernels
