// Functions that hand out memory, and threads, which need some.
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tests/fault_injection/plan.h"

using mneme::test::CallPath;
using mneme::test::Function;
using mneme::test::pass;

extern "C" {

// glibc's own, under names that it keeps for those who stand before malloc(): dlsym() allocates.
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* memory, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) noexcept {
  return pass(Function::kMalloc, CallPath::none(), static_cast<void*>(nullptr),
              [&] { return __libc_malloc(bytes); });
}

void* calloc(size_t count, size_t bytes) noexcept {
  return pass(Function::kCalloc, CallPath::none(), static_cast<void*>(nullptr),
              [&] { return __libc_calloc(count, bytes); });
}

void* realloc(void* memory, size_t bytes) noexcept {
  return pass(Function::kRealloc, CallPath::none(), static_cast<void*>(nullptr),
              [&] { return __libc_realloc(memory, bytes); });
}

void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  return pass(Function::kAlignedAlloc, CallPath::none(), static_cast<void*>(nullptr),
              [&] { return __libc_memalign(alignment, bytes); });
}

// Returns its error instead of setting errno.
int posix_memalign(void** memory, size_t alignment, size_t bytes) noexcept {
  const mneme::test::Verdict verdict =
      mneme::test::begin_call(Function::kPosixMemalign, CallPath::none());
  if (verdict.error != 0) return verdict.error;
  void* const found = __libc_memalign(alignment, bytes);
  if (verdict.signal_after) mneme::test::end_call();
  if (found == nullptr) return ENOMEM;
  *memory = found;
  return 0;
}

void* mmap(void* address, size_t bytes, int protection, int flags, int descriptor,
           off_t offset) noexcept {
  const CallPath path = descriptor >= 0 ? CallPath::of_descriptor(descriptor) : CallPath::none();
  return pass(Function::kMmap, path, MAP_FAILED, [&] {
    return MNEME_NEXT(mmap)(address, bytes, protection, flags, descriptor, offset);
  });
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  const mneme::test::Verdict verdict =
      mneme::test::begin_call(Function::kPthreadCreate, CallPath::none());
  if (verdict.error != 0) return verdict.error;
  const int result = MNEME_NEXT(pthread_create)(thread, attributes, start, argument);
  if (verdict.signal_after) mneme::test::end_call();
  return result;
}

}  // extern "C"
