// Where the threads of a block wait for each other.
#include <bit>

#include "tests/cuda_emulator/src/block_runner.h"
#include "tests/cuda_emulator/src/race_notes.h"
#include "tests/cuda_emulator/src/report.h"

namespace emulator {

unsigned BlockRunner::live_lanes() const {
  return ~warps_[running_->thread / kWarpLanes].exited;
}

void BlockRunner::collective(unsigned mask, const WarpOperation& operation, void* data) {
  const unsigned index = running_->thread / kWarpLanes;
  const unsigned own = lane();
  if ((mask & bit(own)) == 0) {
    die("%s: thread %u of block %llu is not in its own mask 0x%08x", operation.name,
        running_->thread, static_cast<unsigned long long>(block_), mask);
  }
  Warp& warp = warps_[index];
  warp.masks[own] = mask;
  warp.operations[own] = &operation;
  warp.data[own] = data;
  warp.in_collective |= bit(own);
  // __syncwarp alone orders what lanes do with memory.
  const bool orders = operation.run == nullptr;
  if (orders) note_release(&warp);
  if (finish_collective(warp, mask)) {
    go_on(index);
  } else {
    wait(warp);
  }
  if (orders) note_acquire(&warp);
}

// The last to arrive goes on without a switch.
void BlockRunner::go_on(unsigned warp_index) {
  Warp& warp = warps_[warp_index];
  warp.ready &= ~bit(lane());
  if ((warp.unstarted | warp.ready) == 0) ready_warps_ &= ~bit(warp_index);
}

// If all lanes of the mask that have not exited are there: does the operation, and lets them go on.
bool BlockRunner::finish_collective(Warp& warp, unsigned mask) {
  const unsigned active = mask & ~warp.exited;
  if ((active & ~warp.in_collective) != 0) return false;
  const WarpOperation* operation = warp.operations[std::countr_zero(active)];
  for (unsigned left = active; left != 0; left &= left - 1) {
    if (warp.masks[std::countr_zero(left)] != mask) return false;
  }
  for (unsigned left = active; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    if (warp.operations[lane] != operation) {
      die("warp %d of block %llu: lanes of mask 0x%08x are in %s and in %s",
          static_cast<int>(&warp - warps_.data()), static_cast<unsigned long long>(block_), mask,
          operation->name, warp.operations[lane]->name);
    }
  }
  if (operation->run != nullptr) operation->run(active, warp.data.data());
  warp.in_collective &= ~active;
  warp.ready |= active;
  ready_warps_ |= bit(static_cast<unsigned>(&warp - warps_.data()));
  return true;
}

int BlockRunner::barrier(BarrierKind kind, bool predicate) {
  if (barrier_arrived_ != 0 && kind != barrier_kind_) {
    die("block %llu: its threads wait in different kinds of __syncthreads",
        static_cast<unsigned long long>(block_));
  }
  const unsigned index = running_->thread / kWarpLanes;
  Warp& warp = warps_[index];
  barrier_kind_ = kind;
  warp.at_barrier |= bit(lane());
  ++barrier_arrived_;
  barrier_true_ += predicate ? 1 : 0;
  // Threads that are ahead may arrive at the next barrier before others have left this one.
  const char* const order = &barrier_order_[barriers_ % 2];
  note_release(order);
  finish_barrier_if_complete();
  if (barrier_arrived_ == 0) {
    go_on(index);
  } else {
    wait(warp);
  }
  note_acquire(order);
  return barrier_result_;
}

void BlockRunner::finish_barrier_if_complete() {
  if (barrier_arrived_ == 0 || barrier_arrived_ + exited_ != thread_count_) return;
  switch (barrier_kind_) {
    case BarrierKind::kSync:
      break;
    case BarrierKind::kCount:
      barrier_result_ = static_cast<int>(barrier_true_);
      break;
    case BarrierKind::kAnd:
      barrier_result_ = barrier_true_ == barrier_arrived_;
      break;
    case BarrierKind::kOr:
      barrier_result_ = barrier_true_ != 0;
      break;
  }
  barrier_arrived_ = barrier_true_ = 0;
  ++barriers_;
  for (unsigned i = 0; i < warp_count_; ++i) {
    Warp& warp = warps_[i];
    if (warp.at_barrier == 0) continue;
    warp.ready |= warp.at_barrier;
    warp.at_barrier = 0;
    ready_warps_ |= bit(i);
  }
}

}  // namespace emulator
