// Static __shared__ variables between blocks.
//
// They are thread-locals that nobody lists. But whatever changes in the program's thread-local
// memory while a block runs is one of them, so after a block all that changed becomes 0xFF: the
// next block does not find what the one before has left, which would hide a missing barrier.
#pragma once

#include <cstddef>
#include <vector>

namespace emulator {

class SharedVariables {
 public:
  // Before blocks of one kernel, and after each of them, on the thread that runs them.
  void before_blocks();
  void after_block(bool first);
  // After the last one: looks at all of it again.
  void after_blocks();

 private:
  bool clear(std::size_t begin, std::size_t end);

  unsigned char* memory_ = nullptr;  // the calling thread's
  std::size_t bytes_ = 0;
  std::vector<unsigned char> before_;
  std::vector<std::size_t> changed_;  // offsets of the chunks that the first block changed
};

}  // namespace emulator
