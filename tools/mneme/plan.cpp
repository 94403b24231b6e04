// mneme plan: what a configuration will be on a machine, before anything runs.
#include "tools/plan/plan.h"

#include <fmt/format.h>

#include <iostream>
#include <string>
#include <thread>

#include "io/disk.h"
#include "io/error.h"
#include "io/progress.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/trace_path.h"
#include "tools/plan/plan_formats.h"

namespace mneme::tools {
namespace {

// What this machine has free now; nobody has measured how fast it is.
plan::Machine this_machine(const engine::Config& config, const io::Disk& disk) {
  const engine::FreeMemory free = engine::free_memory(config, disk);
  plan::Machine machine;
  machine.name = "this machine";
  machine.host.memory_bytes = free.host;
  machine.disk.bytes = free.disk;
  if (free.device) {
    machine.device.count = 1;
    machine.device.memory_bytes = *free.device;
  }
  return machine;
}

std::size_t threads_of(std::int64_t asked) {
  if (asked > 0) return static_cast<std::size_t>(asked);
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

int run_plan(const PlanCommandOptions& command) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const auto disk = io::make_posix_disk();
  const engine::Config config = engine::load_config(command.config, command.overrides);
  plan::PlanOptions options;
  options.machine =
      command.machine.empty() ? this_machine(config, *disk) : plan::load_machine(command.machine);
  if (command.ranks > options.machine.devices()) {
    io::fail("--ranks {}: {} has {} device{}", command.ranks,
             command.machine.empty() ? "this machine" : command.machine, options.machine.devices(),
             options.machine.devices() == 1 ? "" : "s");
  }
  if (!command.trace.empty()) options.trace = trace_of(*disk, command.trace);
  options.skew = command.skew.value_or(options.skew);
  options.ranks = command.ranks;
  options.tokens = command.tokens;
  options.threads = threads_of(command.threads);
  options.check = [&] { interrupt.check(); };
  const plan::Plan plan = make_plan(*disk, config, options);
  const plan::PlanNames names{
      command.config, options.machine.name.empty() ? command.machine : options.machine.name};
  fmt::print("{}",
             command.json ? json_text(plan, options, names) : plain_text(plan, options, names));
  return 0;
}

}  // namespace mneme::tools
