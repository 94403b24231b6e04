#include "offload/ledger/stall_clock.h"

#include <algorithm>
#include <string>

#include "io/timeline.h"

namespace mneme::offload {

void StallClock::start(kernels::Stream& compute) {
  if (!times_ && io::Timeline::current() != nullptr)
    times_ = kernels::StreamTimes::of(backend_, compute);
  if (!current_.start) {
    if (spare_.empty()) {
      spare_.push_back({.start = backend_.create_event(),
                        .planned = backend_.create_event(),
                        .saving = backend_.create_event(),
                        .saved = backend_.create_event(),
                        .resumed = backend_.create_event()});
    }
    current_ = std::move(spare_.back());
    spare_.pop_back();
  }
  current_.saves = false;
  compute.record(*current_.start);
}

void StallClock::planned(kernels::Stream& plan) {
  plan.record(*current_.planned);
}

void StallClock::saving(kernels::Stream& plan) {
  plan.record(*current_.saving);
}

void StallClock::saved(kernels::Stream& plan) {
  plan.record(*current_.saved);
  current_.saves = true;
}

void StallClock::resumed(kernels::Stream& compute, const HostTime& host, const Ledger& ledger) {
  compute.record(*current_.resumed);
  current_.host = host;
  current_.account = ledger.account();
  under_way_.push_back(std::move(current_));
  current_ = {};
}

void StallClock::forget() {
  if (current_.start) spare_.push_back(std::move(current_));
  current_ = {};
}

void StallClock::collect(Ledger& ledger) {
  while (!under_way_.empty() && under_way_.front().resumed->reached()) {
    book(under_way_.front(), ledger);
    show(under_way_.front());
    spare_.push_back(std::move(under_way_.front()));
    under_way_.pop_front();
  }
}

// What the caller's work waited for, on its own track, and how long for the plan.
void StallClock::show(const Lease& lease) const {
  io::Timeline* const timeline = io::Timeline::current();
  if (timeline == nullptr || !times_) return;
  const auto start = times_->when(*lease.start), resumed = times_->when(*lease.resumed);
  std::string name = "wait for rows";
  if (lease.account.layer >= 0) name += " of block " + std::to_string(lease.account.layer);
  timeline->add("1 compute", name, start, resumed);
  timeline->add("2 plan", lease.host.missing ? "look-up and places" : "look-up", start,
                lease.host.missing ? std::min(resumed, times_->when(*lease.planned)) : resumed);
}

void StallClock::book(const Lease& lease, Ledger& ledger) {
  const auto us = [](double seconds) {
    return static_cast<std::uint64_t>(std::max(0.0, seconds) * 1e6);
  };
  std::uint64_t left = us(lease.resumed->seconds_since(*lease.start));
  const auto take = [&](Field field, std::uint64_t wanted) {
    const std::uint64_t taken = std::min(left, wanted);
    left -= taken;
    ledger.book(lease.account, field, taken);
  };
  take(Field::kStallWriteBack, lease.host.room_us);
  take(Field::kStallDisk, lease.host.disk_us);
  take(Field::kStallHint, lease.host.hint_us);
  const std::uint64_t copied = lease.saves ? us(lease.saved->seconds_since(*lease.saving)) : 0;
  take(Field::kStallCheckpoint, std::max(lease.host.save_us, copied));
  if (lease.host.missing) {
    take(Field::kStallPlan, us(lease.planned->seconds_since(*lease.start)));
    take(Field::kStallHost, left);
  } else {
    take(Field::kStallPlan, left);
  }
}

}  // namespace mneme::offload
