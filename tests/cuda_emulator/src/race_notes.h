// What ThreadSanitizer is told about the order of kernel threads: the memory accesses of two
// threads are ordered by the barriers between them, not by the order in which fibers happen to run.
// So it finds what a GPU would race on, in shared memory as well.
//
// The files that include this are compiled without ThreadSanitizer, with MNEME_TSAN instead.
#pragma once

#if defined(MNEME_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulator {

// What came before happens before what follows note_acquire() of the same place.
inline void note_release([[maybe_unused]] const void* place) {
#if defined(MNEME_TSAN)
  __tsan_release(const_cast<void*>(place));
#endif
}

inline void note_acquire([[maybe_unused]] const void* place) {
#if defined(MNEME_TSAN)
  __tsan_acquire(const_cast<void*>(place));
#endif
}

}  // namespace emulator
