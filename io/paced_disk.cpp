#include "io/paced_disk.h"

#include <algorithm>
#include <array>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mneme::io {
namespace {

class PacedFile final : public ForwardingFile {
  // When the file takes no more transfers, nothing is in flight.
  template <typename Call>
  auto or_forget(const Call& call) {
    try {
      return call();
    } catch (...) {
      held_.clear();
      through_.clear();
      throw;
    }
  }

 public:
  PacedFile(std::unique_ptr<BlockFile> inner, EmulatedLink& link)
      : ForwardingFile(std::move(inner)), link_(link) {}

  bool submit(const BlockRequest& request) override {
    if (in_flight() >= depth()) return false;
    const auto now = EmulatedLink::Clock::now();
    const bool is_queued = or_forget([&] { return inner_->submit(request); });
    if (is_queued) through_.emplace(request.tag, link_.transfer(now, request.bytes));
    return is_queued;
  }

  std::size_t poll(std::span<BlockCompletion> completions, bool wait) override {
    for (;;) {
      take(false);
      const std::size_t handed_out = hand_out(completions);
      if (handed_out > 0 || !wait || completions.empty()) return handed_out;
      if (!held_.empty()) {
        std::this_thread::sleep_until(earliest());
      } else if (inner_->in_flight() > 0) {
        take(true);
      } else {
        return 0;
      }
    }
  }

  std::uint32_t in_flight() const override {
    return inner_->in_flight() + static_cast<std::uint32_t>(held_.size());
  }

 private:
  struct Held {
    BlockCompletion completion;
    EmulatedLink::Clock::time_point through;
  };

  void take(bool wait) {
    std::array<BlockCompletion, 64> done;
    for (;;) {
      const std::size_t count = or_forget([&] { return inner_->poll(done, wait); });
      for (std::size_t i = 0; i < count; ++i) {
        const auto through = through_.find(done[i].tag);
        held_.push_back({done[i], through->second});
        through_.erase(through);
      }
      if (count < done.size()) return;
      wait = false;
    }
  }

  // Those whose time has come, in the order of the link.
  std::size_t hand_out(std::span<BlockCompletion> completions) {
    const auto now = EmulatedLink::Clock::now();
    std::stable_sort(held_.begin(), held_.end(),
                     [](const Held& a, const Held& b) { return a.through < b.through; });
    std::size_t count = 0;
    while (count < completions.size() && count < held_.size() && held_[count].through <= now) {
      completions[count] = held_[count].completion;
      ++count;
    }
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

  EmulatedLink::Clock::time_point earliest() const {
    return std::min_element(held_.begin(), held_.end(),
                            [](const Held& a, const Held& b) { return a.through < b.through; })
        ->through;
  }

  EmulatedLink& link_;
  std::unordered_multimap<std::uint64_t, EmulatedLink::Clock::time_point> through_;  // by tag
  std::vector<Held> held_;  // have come, and are not through yet
};

}  // namespace

std::unique_ptr<BlockFile> PacedDisk::open(const std::string& path, const OpenOptions& options) {
  return std::make_unique<PacedFile>(inner_.open(path, options), link_);
}

}  // namespace mneme::io
