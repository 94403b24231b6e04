// mneme plan: what a configuration will be on a machine, before anything runs.
#include "tools/plan/plan.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <thread>

#include "engine/run_files.h"
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
  machine.disk.bytes = free.disk.value_or(0);
  if (free.device) {
    machine.device.count = 1;
    machine.device.memory_bytes = *free.device;
  }
  return machine;
}

// A trace says which rows, not of what steps: its run's folder does, where it is in one.
void check_run_of(const io::Disk& disk, const std::string& trace, const engine::Config& config) {
  const std::string path =
      engine::config_path(std::filesystem::path(trace).parent_path().parent_path().string());
  if (!disk.exists(path)) return;
  const engine::Config run = engine::load_config(path);
  const auto refuse = [&](const char* what, std::int64_t had, std::int64_t wanted) {
    if (had != wanted) {
      io::fail("{}: its run has {} of {}, and the configuration of {}", trace, what, had, wanted);
    }
  };
  refuse("steps of tokens", run.tokens_per_step(), config.tokens_per_step());
  refuse("sequences", run.train.sequence, config.train.sequence);
  refuse("look-ups of a token", run.memory.heads * run.memory.knn,
         config.memory.heads * config.memory.knn);
  refuse("layers that read the table", std::ssize(run.table_blocks()),
         std::ssize(config.table_blocks()));
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
  if (!command.trace.empty()) {
    options.trace = trace_of(*disk, command.trace);
    check_run_of(*disk, options.trace, config);
  }
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
