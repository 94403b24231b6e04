// A stack of its own that can be left and entered again: what a kernel thread waits on.
//
// Built on Boost.Context, with the notes that AddressSanitizer and ThreadSanitizer need to follow a
// change of stacks.
#pragma once

#include <boost/context/fiber.hpp>

namespace emulator {

class Fiber {
 public:
  // Stands for the stack of whoever runs it first, an operating-system thread.
  Fiber();
  // A new stack that calls body(context) when it is first entered. The body must end by returning,
  // which enters the fiber that entered it last. May not be destroyed before.
  Fiber(void (*body)(void*), void* context);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves this fiber, which must be the one that runs, and enters `next`. Returns when some fiber
  // enters this one again.
  void switch_to(Fiber& next);

 private:
  void before_leaving(Fiber& next, bool for_good);
  void after_entering();

  boost::context::fiber context_;
  Fiber* entered_from_ = nullptr;
  const bool owns_stack_;
  // For the sanitizers.
  [[maybe_unused]] const void* stack_bottom_ = nullptr;
  [[maybe_unused]] std::size_t stack_bytes_ = 0;
  [[maybe_unused]] void* shadow_ = nullptr;
};

}  // namespace emulator
