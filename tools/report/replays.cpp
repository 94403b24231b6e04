#include "tools/report/replays.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "io/elapsed.h"
#include "io/error.h"
#include "io/progress.h"
#include "offload/tier_sizes.h"

namespace mneme::report {
namespace {

// Where a replay needs it.
std::optional<offload::NextUses> future_of(io::Disk& disk, const std::string& path,
                                           std::span<const Replay> replays,
                                           const std::function<void()>& check) {
  const auto needs = [](const Replay& replay) { return replay.knows_future; };
  if (std::none_of(replays.begin(), replays.end(), needs)) return {};
  offload::TraceReader reader(disk, path);
  io::Phase phase("looking ahead", reader.file_bytes(), "bytes");
  return offload::NextUses(reader, [&] {
    check();
    phase.reach(reader.position());
  });
}

// What has come of a replay so far.
struct Sums {
  offload::Books books;
  std::uint64_t references = 0;
  double plan_seconds = 0, predict_seconds = 0, run_seconds = 0, computed_seconds = 0;
};

// predicting: in calls of the history, whose hints plan.
Sums sums_of(offload::ReplayStore& store, double predicting) {
  return {.books = store.books(),
          .references = store.references(),
          .plan_seconds = store.plan_seconds(),
          .predict_seconds = predicting,
          .run_seconds = store.seconds(),
          .computed_seconds = store.computed_seconds()};
}

void take_difference(const Sums& before, Sums after, Replay& replay) {
  after.books -= before.books;
  replay.books = std::move(after.books);
  replay.references = after.references - before.references;
  replay.plan_seconds = after.plan_seconds - before.plan_seconds;
  replay.predict_seconds = after.predict_seconds - before.predict_seconds;
  replay.run_seconds = after.run_seconds - before.run_seconds;
  replay.computed_seconds = after.computed_seconds - before.computed_seconds;
}

void run(io::Disk& disk, const std::string& path, Replay& replay, const offload::NextUses* future,
         const std::function<void()>& between) {
  const auto backend = kernels::make_cpu_backend({.threads = 1});
  offload::TraceReader reader(disk, path);
  offload::ReplayStore store(*backend, reader.header(),
                             {.tiers = replay.is_own ? std::nullopt : std::optional(replay.tiers),
                              .future = replay.knows_future ? future : nullptr,
                              .speeds = replay.speeds});
  std::optional<engine::HistoryReplay> history;
  if (replay.history) history.emplace(*backend, disk, path, store, *replay.history);
  const bool takes_hints = replay.has_hints && !history;
  const auto start = std::chrono::steady_clock::now();
  double predicting = 0;
  const auto predict = [&](const auto& work) {
    const double planned = store.plan_seconds();
    const auto began = std::chrono::steady_clock::now();
    work();
    predicting += 1e-3 * io::elapsed_ms(began) - (store.plan_seconds() - planned);
  };
  Sums before;
  offload::TraceEvent event;
  while (reader.next(event)) {
    between();
    if (event.kind == offload::TraceKind::kStep) {
      if (event.number > replay.until) break;
      if (event.number >= replay.first && replay.steps++ == 0 && replay.first > 0) {
        before = sums_of(store, predicting);
      }
    }
    if (event.kind == offload::TraceKind::kHint && !takes_hints) continue;
    if (history) predict([&] { history->before(event); });
    store.apply(event);
    if (history) predict([&] { history->after(event); });
  }
  take_difference(before, sums_of(store, predicting), replay);
  replay.seconds = 1e-3 * io::elapsed_ms(start);
}

}  // namespace

offload::TraceTiers first_tiers(io::Disk& disk, const std::string& path) {
  offload::TraceReader reader(disk, path);
  offload::TraceEvent event;
  if (!reader.next(event) || event.kind != offload::TraceKind::kStart) {
    io::fail("{}: the trace is empty: its run was killed before its first second was over", path);
  }
  return event.tiers;
}

std::uint64_t device_budget(const offload::TraceTiers& tiers) {
  return (tiers.device_slots + tiers.evaluation_slots) * tiers.device_slot_bytes;
}

std::uint64_t host_budget(const offload::TraceTiers& tiers) {
  return tiers.host_slots * tiers.host_slot_bytes;
}

offload::TraceTiers tiers_with(const offload::TraceTiers& own, std::uint64_t rows,
                               const TierChange& change) {
  offload::TraceTiers tiers = own;
  const offload::TierOptions had{.device_policy = own.device_policy,
                                 .host_policy = own.host_policy};
  offload::TierOptions budgets = had;
  if (change.policy) budgets.device_policy = budgets.host_policy = *change.policy;
  budgets.evaluation_share = 1e-6 * static_cast<double>(own.evaluation_millionths);
  budgets.device_bytes = change.device_bytes.value_or(device_budget(own));
  budgets.host_bytes = change.host_bytes.value_or(host_budget(own));
  const offload::SlotBytes own_bytes{own.device_slot_bytes, own.host_slot_bytes};
  const offload::SlotBytes bytes = offload::slot_bytes_with(budgets, own_bytes, had);
  const offload::TierSizes sizes = offload::tier_sizes(bytes, rows, budgets);
  if (change.device_bytes || bytes.device != own_bytes.device) {
    tiers.device_slots = sizes.training;
    tiers.evaluation_slots = sizes.evaluation;
  }
  if (change.host_bytes) tiers.host_slots = sizes.host;
  tiers.device_policy = budgets.device_policy;
  tiers.host_policy = budgets.host_policy;
  return tiers;
}

void run_replays(io::Disk& disk, const std::string& path, std::span<Replay> replays,
                 std::size_t threads, const std::function<void()>& check) {
  const std::optional<offload::NextUses> future = future_of(disk, path, replays, check);
  io::Phase phase("replaying", replays.size(), "replays");
  std::atomic<std::size_t> next = 0, done = 0;
  std::atomic<bool> stops = false;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (std::size_t i = next++; i < replays.size() && !stops; i = next++) {
      try {
        run(disk, path, replays[i], future ? &*future : nullptr, [&] {
          if (stops) io::fail("another replay failed");
        });
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!stops.exchange(true)) failure = std::current_exception();
      }
      ++done;
    }
  };
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < std::min(threads, replays.size()); ++i) workers.emplace_back(work);
  try {
    while (done < replays.size() && !stops) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      check();
      phase.reach(done);
    }
  } catch (...) {
    stops = true;
    for (std::thread& worker : workers) worker.join();
    throw;
  }
  for (std::thread& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace mneme::report
