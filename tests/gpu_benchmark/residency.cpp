// The step plan of the tiers: a step looks up 4M distinct rows of a table of 67M, half of which are
// on the device. See plan_bench.h.
#include "tests/gpu_benchmark/plan_bench.h"

namespace mneme::gpu_benchmark {
namespace {

// Times one operation after those in front of it, each run on the same tables.
void add_step(const std::string& name, std::vector<void (PlanBench::*)()> in_front,
              void (PlanBench::*step)(), Work (PlanBench::*work)() const) {
  add(name, [=](benchmark::State& state) {
    PlanBench plan;
    for (const auto operation : in_front) (plan.*operation)();
    plan.keep();
    plan.bench().stream().synchronize();
    time_operation(
        state, plan.bench(), (plan.*work)(), [&] { (plan.*step)(); }, [&] { plan.restore(); });
    state.counters["GB"] = 1e-9 * (plan.*work)().bytes;
    state.counters["MB_to_host"] = 1e-6 * (plan.*work)().bytes_to_host;
  });
}

}  // namespace

void add_residency() {
  using Plan = PlanBench;
  add_step("group_lookups/8M_of_67M", {}, &Plan::group, &Plan::group_work);
  add_step("lookup_slots/4M_of_67M/half_missing", {}, &Plan::look_up, &Plan::look_up_work);
  add_step("select_victims/lru/2M_of_16M", {&Plan::look_up, &Plan::lease}, &Plan::select,
           &Plan::select_work);
  add_step("release_slots/2M", {&Plan::look_up, &Plan::lease, &Plan::select}, &Plan::release,
           &Plan::release_work);
  add_step("bind_missing/2M", {&Plan::look_up, &Plan::lease, &Plan::select, &Plan::release},
           &Plan::bind, &Plan::bind_work);
  add_step("demote_victims/2M",
           {&Plan::look_up, &Plan::lease, &Plan::select, &Plan::release, &Plan::bind},
           &Plan::demote, &Plan::demote_work);
  add_step(
      "mark_used/4M",
      {&Plan::look_up, &Plan::lease, &Plan::select, &Plan::release, &Plan::bind, &Plan::demote},
      &Plan::use, &Plan::use_work);
  add_step("step_plan/4M_of_67M/lru", {}, &Plan::all, &Plan::all_work);
}

}  // namespace mneme::gpu_benchmark
