#include "tools/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/config_reader.h"
#include "engine/row_gradient_choice.h"
#include "engine/run_options.h"
#include "io/error.h"
#include "offload/tier_sizes.h"

namespace mneme::plan {
namespace {

using engine::Config;

// Each rank holds some columns of every row, and looks all tokens up.
Config rank_config(Config config, std::int64_t ranks) {
  if (ranks == 1) return config;
  if (config.train.batch % ranks != 0) {
    io::fail("--ranks {}: a batch of {} sequences cannot be shared evenly; set train.batch", ranks,
             config.train.batch);
  }
  const std::int64_t width = config.value_width();
  if (config.row_parts() > 1) {
    io::fail("--ranks {}: nobody knows yet how PEER's experts are shared between ranks", ranks);
  }
  if (config.has_memory() && width % ranks != 0) {
    io::fail("--ranks {}: a value of {} columns cannot be shared evenly", ranks, width);
  }
  if (!config.has_memory()) return config;
  config.memory.value_width = width / ranks;
  return config;
}

// For what does not depend on the tiers: with the least of them, in bytes.
Config with_least_tiers(Config config) {
  config.tiers.automatic = {};
  config.tiers.shares = {};
  if (config.has_memory()) {
    config.tiers.store.device_bytes = 4 * offload::minimum_device_bytes(engine::row_layout(config));
    config.tiers.store.host_bytes = 0;
  }
  return config;
}

// Of what a rank has for itself: the dense part, and activations of its own part of the batch.
engine::MemoryUse own_use(const Config& whole, bool on_cuda, std::int64_t ranks) {
  Config own = with_least_tiers(whole);
  own.train.batch /= ranks;
  return engine::memory_use(own, on_cuda);
}

engine::FreeMemory free_of(const Machine& machine, std::int64_t ranks) {
  const auto share = static_cast<std::uint64_t>(ranks);
  engine::FreeMemory free;
  if (machine.has_device()) free.device = machine.device.memory_bytes;
  free.host = machine.host.memory_bytes / share;
  if (machine.disk.bytes > 0) free.disk = machine.disk.bytes / share;
  return free;
}

// The slower of what the configuration emulates and what the machine has; 0 is no limit.
double slower(double a, double b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

LinkSpeeds links_of(const Config& config, const Machine& machine, std::int64_t ranks) {
  const offload::TierOptions& tiers = config.tiers.store;
  const auto share = static_cast<double>(ranks);
  const double link = machine.has_device() ? machine.device.link : machine.host.copy / share;
  const double disk = tiers.disk_link_bytes_per_second;
  return {.host_link = slower(tiers.host_link_bytes_per_second, link),
          .disk_read = slower(disk, machine.disk.read / share),
          .disk_write = slower(disk, machine.disk.write / share),
          .disk_reads = machine.disk.reads_per_s / share,
          .disk_writes = machine.disk.writes_per_s / share,
          .generate = machine.compute.generate};
}

// Of one rank: the batch is shared, but for what happens to the rank's columns of all look-ups.
StepWork rank_work(const Config& config, const engine::ModelCosts& costs,
                   const PageTraffic& traffic, std::int64_t ranks) {
  StepWork work = step_work(config, costs, traffic.distinct_rows, traffic.leased_rows);
  work.dense_flops /= static_cast<double>(ranks);
  work.key_flops /= static_cast<double>(ranks);
  work.half_scores /= static_cast<double>(ranks);
  return work;
}

// What a rank sends, and as much receives: look-ups and their weights to all, its columns of the
// values' sums to whose tokens they are, and backward the same ways; gradients of the dense part.
double exchange_bytes(const engine::ModelCosts& costs, std::int64_t layers, std::int64_t ranks) {
  const auto r = static_cast<double>(ranks);
  const auto tokens = static_cast<double>(costs.tokens_per_step);
  const double lookups = tokens * static_cast<double>(costs.table.lookups_per_token);
  const double columns = tokens * static_cast<double>(layers * costs.table.width) * sizeof(float);
  const double dense = static_cast<double>(costs.parameters.total()) * sizeof(float);
  const double others = (r - 1) / r;
  return others * (lookups * (4 + 4 + 4) + 2 * columns + 2 * dense);
}

class Planner {
 public:
  Planner(io::Disk& disk, const Config& config, const PlanOptions& options)
      : disk_(disk), options_(options), machine_(options.machine) {
    const bool on_cuda = machine_.has_device();
    plan_.config = rank_config(config, options.ranks);
    if (config.has_memory()) whole_record_bytes_ = engine::row_layout(config).record_bytes();
    engine::FreeMemory free = free_of(machine_, options.ranks);
    const engine::MemoryUse own = own_use(config, on_cuda, options.ranks);
    if (options.ranks > 1) {
      // The rank's columns of all tokens' look-ups, with a dense part that is not of that size.
      const engine::MemoryUse all = own_use(plan_.config, on_cuda, 1);
      std::uint64_t& memory = free.device ? *free.device : free.host;
      memory += all.parameters + all.activations;
      memory -= std::min(memory, own.parameters + own.activations);
    }
    choose_tiers(plan_.config, free);
    engine::apply_tier_shares(plan_.config);
    plan_.costs = engine::model_costs(with_least_tiers(config));
    plan_.costs.table = engine::model_costs(plan_.config).table;
    plan_.use = engine::memory_use(plan_.config, on_cuda);
    plan_.use.parameters = own.parameters;
    plan_.use.activations = own.activations;
  }

  Plan make() {
    predict_speed();
    predict_wear();
    plan_.disk_bytes = disk_need();
    check_needs();
    return std::move(plan_);
  }

 private:
  const Config& config() const { return plan_.config; }
  std::int64_t layers() const { return std::ssize(config().table_blocks()); }
  offload::StoreOptions store() const {
    return memory::store_options(engine::value_table_options(config(), /*run_id=*/0));
  }

  // ---- How fast.

  StepTimes times_of(const PageTraffic& traffic) const {
    return step_times(rank_work(config(), plan_.costs, traffic, options_.ranks), machine_,
                      config().model.width);
  }

  double exchange_seconds() const {
    const double rate = machine_.device.exchange;
    return options_.ranks > 1 && rate > 0
               ? exchange_bytes(plan_.costs, layers(), options_.ranks) / rate
               : 0;
  }

  TrafficQuestion question() const {
    return {.store = store(),
            .computation =
                [this](const PageTraffic& traffic) {
                  return times_of(traffic).total() + exchange_seconds();
                },
            .links = links_of(config(), machine_, options_.ranks)};
  }

  std::vector<PageTraffic> answers(const std::vector<TrafficQuestion>& questions) const {
    if (!options_.trace.empty()) {
      return replayed_traffic(disk_,
                              {.path = options_.trace,
                               .record_bytes = whole_record_bytes_,
                               .threads = options_.threads,
                               .check = options_.check},
                              questions);
    }
    const SkewedUse use{.skew = options_.skew,
                        .lookups = static_cast<double>(plan_.costs.tokens_per_step) *
                                   static_cast<double>(plan_.costs.table.lookups_per_token),
                        .leases = layers() * config().train.micro_batches};
    std::vector<PageTraffic> traffic;
    for (const TrafficQuestion& one : questions) traffic.push_back(skewed_traffic(use, one));
    return traffic;
  }

  void predict_speed() {
    if (!knows_compute(machine_, config())) return;
    Speed speed;
    if (config().has_memory()) {
      predict_with_rows(speed);
    } else {
      speed.times = times_of({});
      speed.step_seconds = speed.times.total() + exchange_seconds();
    }
    speed.exchange_seconds = exchange_seconds();
    if (options_.ranks > 1) {
      speed.exchange_bytes = exchange_bytes(plan_.costs, layers(), options_.ranks);
    }
    speed.tokens_per_s = static_cast<double>(plan_.costs.tokens_per_step) / speed.step_seconds;
    plan_.speed = std::move(speed);
  }

  void predict_with_rows(Speed& speed) {
    std::vector<TrafficQuestion> questions = {question()};
    std::vector<std::string> names = {""};
    const auto ask = [&](const char* name, const auto& change) {
      questions.push_back(question());
      names.push_back(name);
      change(questions.back());
    };
    ask("computation",
        [](TrafficQuestion& q) { q.computation = [](const PageTraffic&) { return 0.0; }; });
    ask("the host link", [](TrafficQuestion& q) { q.links.host_link = 0; });
    ask("disk reads", [](TrafficQuestion& q) { q.links.free_reads = true; });
    ask("disk writes", [](TrafficQuestion& q) { q.links.free_writes = true; });
    ask("new rows", [](TrafficQuestion& q) { q.links.generate = 0; });
    const std::size_t bounds = questions.size();
    const std::vector<std::uint64_t> device = ladder(device_of_all(), least_device());
    const std::vector<std::uint64_t> host = ladder(host_of_all(), 0);
    for (const std::uint64_t bytes : device) {
      questions.push_back(question());
      questions.back().store.tiers.device_bytes = bytes;
    }
    for (const std::uint64_t bytes : host) {
      questions.push_back(question());
      questions.back().store.tiers.host_bytes = bytes;
    }
    const std::vector<PageTraffic> traffic = answers(questions);
    speed.traffic = traffic.front();
    speed.times = times_of(speed.traffic);
    speed.step_seconds = speed.traffic.step_seconds;
    for (std::size_t i = 1; i < bounds; ++i) {
      speed.bounds.push_back({names[i], traffic[i].step_seconds});
    }
    std::stable_sort(speed.bounds.begin(), speed.bounds.end(), [](const Bound& a, const Bound& b) {
      return a.step_seconds < b.step_seconds;
    });
    const auto first = traffic.begin() + static_cast<std::ptrdiff_t>(bounds);
    const engine::FreeMemory free = free_of(machine_, options_.ranks);
    const engine::MemoryUse& use = plan_.use;
    const std::uint64_t of_host = use.host() + (free.device ? 0 : use.device());
    const std::uint64_t of_device = free.device ? use.device() : of_host;
    const auto room = [](std::uint64_t there, std::uint64_t all, std::uint64_t tier) {
      return there + tier - std::min(there + tier, all);
    };
    speed.smallest = {smallest("tiers.device_bytes", device,
                               room(free.device.value_or(free.host), of_device, use.device_tier),
                               {first, first + std::ssize(device)}),
                      smallest("tiers.host_bytes", host, room(free.host, of_host, use.host_tier),
                               {first + std::ssize(device), traffic.end()})};
  }

  // ---- The smallest tiers.

  std::uint64_t least_device() const {
    return offload::minimum_device_bytes(engine::row_layout(config())) * 2;
  }
  std::uint64_t device_of_all() const { return offload::device_bytes_for(store(), store().rows); }
  std::uint64_t host_of_all() const { return store().rows * offload::slot_bytes(store()).host; }

  // Budgets up to that of the whole table, each half as large again, ascending.
  static std::vector<std::uint64_t> ladder(std::uint64_t all, std::uint64_t least) {
    std::vector<std::uint64_t> budgets;
    for (auto bytes = static_cast<double>(all); budgets.size() < 12; bytes /= 1.5) {
      const auto whole = static_cast<std::uint64_t>(bytes);
      if (whole < least) break;
      budgets.push_back(whole);
    }
    if (least == 0) budgets.push_back(0);
    std::reverse(budgets.begin(), budgets.end());
    return budgets;
  }

  SmallestTier smallest(const char* key, const std::vector<std::uint64_t>& budgets,
                        std::uint64_t room, const std::vector<PageTraffic>& traffic) const {
    for (std::size_t i = 0; i < budgets.size(); ++i) {
      const double computed = times_of(traffic[i]).total() + exchange_seconds();
      if (traffic[i].step_seconds <= (1 + kHidden) * computed) {
        return {key, budgets[i], i == 0 && budgets[i] > 0, budgets[i] <= room};
      }
    }
    return {key, {}};
  }

  // ---- The disk.

  double dense_checkpoint_bytes() const {
    return 3 * sizeof(float) * static_cast<double>(plan_.costs.parameters.total());
  }

  double steps() const {
    const auto a_step = static_cast<double>(plan_.costs.tokens_per_step);
    return options_.tokens > 0 ? std::ceil(static_cast<double>(options_.tokens) / a_step)
                               : static_cast<double>(config().train.steps);
  }
  double checkpoints() const {
    const auto every = static_cast<double>(config().checkpoint.every);
    if (every == 0) return config().checkpoint.final ? 1 : 0;
    return config().checkpoint.final ? std::ceil(steps() / every) : std::floor(steps() / every);
  }

  // Rows that a checkpoint writes at most: those changed since the last one that are in memory.
  double checkpoint_rows() const {
    if (!config().has_memory()) return 0;
    const engine::TableCosts& table = plan_.costs.table;
    const double memory =
        static_cast<double>(table.tiers.training) + static_cast<double>(table.tiers.host);
    if (!plan_.speed) return memory;
    const double between =
        config().checkpoint.every > 0 ? static_cast<double>(config().checkpoint.every) : steps();
    return std::min(memory, plan_.speed->traffic.distinct_rows * between);
  }

  void predict_wear() {
    if (!plan_.speed) return;
    Wear wear;
    wear.steps = steps();
    wear.days = wear.steps * plan_.speed->step_seconds / 86400;
    const auto ranks = static_cast<double>(options_.ranks);
    wear.rows_bytes = ranks * wear.steps * plan_.speed->traffic.disk_written_bytes;
    const double slot =
        config().has_memory() ? static_cast<double>(offload::disk_slot_bytes(store())) : 0;
    wear.checkpoint_bytes =
        checkpoints() * (dense_checkpoint_bytes() + ranks * checkpoint_rows() * slot);
    plan_.wear = wear;
  }

  // A checkpoint has a slot for every row in use, and rows that changed since then have another.
  std::uint64_t disk_need() const {
    double bytes = dense_checkpoint_bytes() / static_cast<double>(options_.ranks) *
                   static_cast<double>(config().checkpoint.keep + 1);
    if (config().has_memory()) {
      const auto rows = static_cast<double>(store().rows);
      const bool saves = config().checkpoint.final || config().checkpoint.every > 0;
      const double on_disk =
          saves ? rows + std::min(rows, checkpoint_rows() * double(config().checkpoint.keep))
                : static_cast<double>(plan_.costs.table.rows_beyond_memory);
      bytes += on_disk * static_cast<double>(offload::disk_slot_bytes(store()));
    }
    return static_cast<std::uint64_t>(bytes);
  }

  // ---- What fits.

  static std::string lower(const char* key, std::uint64_t had, std::uint64_t excess,
                           std::uint64_t least, const char* else_lower) {
    if (had < excess + least) return fmt::format("lower {}", else_lower);
    constexpr std::uint64_t kMiB = 1 << 20;
    std::uint64_t bytes = had - excess;
    if (bytes > 64 * kMiB) bytes = bytes / kMiB * kMiB;
    return fmt::format("{} = \"{}\" would fit", key, engine::format_bytes(bytes));
  }

  void check_needs() {
    const engine::FreeMemory free = free_of(machine_, options_.ranks);
    const engine::MemoryUse& use = plan_.use;
    const auto excess = [](const MemoryNeed& need) {
      return need.fits() ? 0 : need.needed - need.there;
    };
    if (free.device) {
      MemoryNeed device{"device memory", use.device(), *free.device, ""};
      if (!device.fits()) {
        device.change = lower("tiers.device_bytes", use.device_tier, excess(device),
                              config().has_memory() ? least_device() : 0,
                              "train.batch, train.sequence or the model");
      }
      plan_.needs.push_back(device);
    }
    MemoryNeed host{"host memory", use.host() + (free.device ? 0 : use.device()), free.host, ""};
    if (!host.fits()) {
      const bool device_is_larger = !free.device && use.device_tier > use.host_tier;
      host.change = !config().has_memory()
                        ? std::string("lower train.batch or the model")
                        : lower(device_is_larger ? "tiers.device_bytes" : "tiers.host_bytes",
                                device_is_larger ? use.device_tier : use.host_tier, excess(host),
                                device_is_larger ? least_device() : 0,
                                "tiers.device_bytes, train.batch or the model");
    }
    plan_.needs.push_back(host);
    if (!free.disk) return;
    MemoryNeed disk{"disk", plan_.disk_bytes, *free.disk, ""};
    if (!disk.fits()) {
      disk.change =
          config().has_memory()
              ? "rows that nothing touches take none, so a short run may fit; else a larger disk, "
                "fewer memory.half_keys, or memory.value_type and moment_type of bf16"
              : "checkpoint.keep keeps fewer";
    }
    plan_.needs.push_back(disk);
  }

  io::Disk& disk_;
  const PlanOptions& options_;
  const Machine& machine_;
  std::uint64_t whole_record_bytes_ = 0;  // with all columns
  Plan plan_;
};

}  // namespace

bool Plan::fits() const {
  return std::all_of(needs.begin(), needs.end(),
                     [](const MemoryNeed& need) { return need.fits(); });
}

Plan make_plan(io::Disk& disk, const Config& config, const PlanOptions& options) {
  return Planner(disk, config, options).make();
}

}  // namespace mneme::plan
