#include "tests/cuda_emulator/src/fiber.h"

#include <atomic>
#include <boost/context/preallocated.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(MNEME_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulator {
namespace {

namespace context = boost::context;

// Room for a kernel's local arrays; pages are taken from the system when they are first touched.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

// Where in its first page a stack starts: if all started alike, the stacks of a warp would compete
// for the same few lines of the cache.
std::size_t next_start() {
  static std::atomic<std::size_t> stacks{0};
  return stacks.fetch_add(1, std::memory_order_relaxed) * 448 % 4096 / 64 * 64;
}

}  // namespace

Fiber::Fiber() : owns_stack_(false) {}

Fiber::Fiber(void (*body)(void*), void* body_context) : owns_stack_(true) {
  context::protected_fixedsize_stack allocator(kStackBytes);
  const context::stack_context stack = allocator.allocate();
  stack_bottom_ = static_cast<char*>(stack.sp) - stack.size;
  stack_bytes_ = stack.size;
  const auto run = [this, body, body_context](context::fiber&& previous) {
    entered_from_->context_ = std::move(previous);
    after_entering();
    body(body_context);
    // The fiber that is entered now finds an ended one in the place where it entered from.
    Fiber* const next = entered_from_;
    next->entered_from_ = this;
    before_leaving(*next, true);
    return std::move(next->context_);
  };
  const std::size_t start = next_start();
  const context::preallocated place(static_cast<char*>(stack.sp) - start, stack.size - start,
                                    stack);
  context_ = context::fiber(std::allocator_arg, place, allocator, run);
#if defined(MNEME_TSAN)
  shadow_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(MNEME_TSAN)
  if (owns_stack_) __tsan_destroy_fiber(shadow_);
#endif
}

void Fiber::switch_to(Fiber& next) {
  next.entered_from_ = this;
#if defined(MNEME_TSAN)
  if (!owns_stack_) shadow_ = __tsan_get_current_fiber();
#endif
  before_leaving(next, false);
  context::fiber previous = std::move(next.context_).resume();
  entered_from_->context_ = std::move(previous);
  after_entering();
}

void Fiber::before_leaving([[maybe_unused]] Fiber& next, [[maybe_unused]] bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &shadow_, next.stack_bottom_,
                                 next.stack_bytes_);
#elif defined(MNEME_TSAN)
  __tsan_switch_to_fiber(next.shadow_, __tsan_switch_to_fiber_no_sync);
#endif
}

void Fiber::after_entering() {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(shadow_, &bottom, &bytes);
  // An operating-system thread's stack is first known here, when it is left.
  if (!entered_from_->owns_stack_) {
    entered_from_->stack_bottom_ = bottom;
    entered_from_->stack_bytes_ = bytes;
  }
#endif
}

}  // namespace emulator
