#include "tools/plan/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/config_file.h"
#include "engine/config_reader.h"
#include "io/error.h"

namespace mneme::plan {
namespace {

using engine::Key;

constexpr double kGiga = 1e9;

// In billions a second.
engine::RealValue rate(double& field) {
  return {.field = &field, .least = 0, .most = 1e9, .scale = kGiga};
}

engine::RealValue real(double& field) {
  return {.field = &field, .least = 0, .most = 1e18, .scale = 1};
}

engine::IntegerValue count(std::int64_t& field, std::int64_t most) {
  return {.get = [&field] { return field; },
          .set = [&field](std::int64_t value) { field = value; },
          .least = 0,
          .most = most};
}

engine::BytesValue bytes(std::uint64_t& field) {
  return {.field = &field, .percent = nullptr, .most_percent = 0, .automatic = nullptr};
}

// In the order in which they are written.
std::vector<Key> machine_keys(Machine& machine) {
  Machine::Host& host = machine.host;
  Machine::Device& device = machine.device;
  Machine::Disk& disk = machine.disk;
  Machine::Compute& compute = machine.compute;
  return {
      {"machine.name", engine::TextValue{&machine.name}, "What people call it."},
      {"machine.source", engine::TextValue{&machine.source}, "Where the numbers come from."},
      {"host.memory_bytes", bytes(host.memory_bytes), "Memory that a run may take."},
      {"host.copy_gb_per_s", rate(host.copy),
       "Records from the host tier to the device tier where both lie in host memory."},
      {"device.count", count(device.count, 1024), "GPUs; 0: the processor computes."},
      {"device.memory_bytes", bytes(device.memory_bytes), "Memory of each that a run may take."},
      {"device.link_gb_per_s", rate(device.link),
       "Between each and host memory, in each direction."},
      {"device.exchange_gb_per_s", rate(device.exchange),
       "Of each with the others, in each direction."},
      {"disk.free_bytes", bytes(disk.bytes), "Room for rows files and checkpoints."},
      {"disk.read_gb_per_s", rate(disk.read), "Reads of many records at once."},
      {"disk.write_gb_per_s", rate(disk.write), "Writes of many records at once."},
      {"disk.reads_per_s", real(disk.reads_per_s), "Random records read, however small."},
      {"disk.writes_per_s", real(disk.writes_per_s), "Random records written, however small."},
      {"disk.endurance_bytes", real(disk.endurance_bytes),
       "That may be written over its life (TBW); 0: not known."},
      {"compute.widths", engine::IntegerListValue{&compute.widths, 1, 1 << 20},
       "Widths of models, ascending."},
      {"compute.gflops", engine::IntegerListValue{&compute.gflops, 1, 1'000'000'000},
       "Speed of the dense part of training at each of these widths."},
      {"compute.key_gflops", count(compute.key_gflops, 1'000'000'000),
       "Speed of products with half-keys, which stay in float32; 0: as the dense part's."},
      {"compute.micro_batch_ms", real(compute.micro_batch_ms),
       "Of each micro-batch, whatever its size: starting kernels, waiting for the host."},
      {"compute.optimizer_gb_per_s", rate(compute.optimizer),
       "Dense parameters, gradients and moments, read and written by the optimiser."},
      {"compute.half_score_ns", real(compute.half_score_ns),
       "A score of a half-key, and its part in the choice of the best."},
      {"compute.lookup_ns", real(compute.lookup_ns),
       "A row that a token looks up, forward and backward, whatever its width."},
      {"compute.gather_gb_per_s", rate(compute.gather),
       "Values that tokens look up; each passes three times in a step and counts once."},
      {"compute.update_gb_per_s", rate(compute.update), "Records that the row optimiser changes."},
      {"compute.generate_gb_per_s", rate(compute.generate), "Records of rows touched first."},
      {"compute.planned_row_ns", real(compute.planned_row_ns), "A row of a lease in the planner."}};
}

std::string section_of(const std::string& name) {
  return name.substr(0, name.find('.'));
}

// What cannot be together is a mistake, whoever made it.
void check(const Machine& machine, const std::string& name) {
  const auto refuse = [&](const std::string& what) { io::fail("{}: {}", name, what); };
  const Machine::Compute& compute = machine.compute;
  if (machine.host.memory_bytes == 0) refuse("host.memory_bytes is missing: a run needs memory");
  if (machine.has_device() && machine.device.memory_bytes == 0) {
    refuse(fmt::format("device.count is {}, and device.memory_bytes is missing",
                       machine.device.count));
  }
  if (!machine.has_device() && machine.device.memory_bytes != 0) {
    refuse("device.memory_bytes is given, and device.count is 0");
  }
  if (compute.widths.size() != compute.gflops.size()) {
    refuse(fmt::format("compute.widths has {} numbers, and compute.gflops {}",
                       compute.widths.size(), compute.gflops.size()));
  }
  if (std::adjacent_find(compute.widths.begin(), compute.widths.end(),
                         [](auto a, auto b) { return a >= b; }) != compute.widths.end()) {
    refuse("compute.widths must ascend");
  }
  const auto check_faster = [&](double slow, const char* slow_key, double fast,
                                const char* fast_key) {
    if (slow == 0 || fast == 0 || slow <= fast) return;
    refuse(fmt::format("{} = {:g} is faster than {} = {:g}, through which it goes", slow_key,
                       slow / kGiga, fast_key, fast / kGiga));
  };
  const double into_device = machine.has_device() ? machine.device.link : machine.host.copy;
  const char* const into_key = machine.has_device() ? "device.link_gb_per_s" : "host.copy_gb_per_s";
  check_faster(machine.disk.read, "disk.read_gb_per_s", into_device * machine.devices(), into_key);
}

}  // namespace

Machine parse_machine(std::string_view text, const std::string& name) {
  Machine machine;
  const std::vector<Key> keys = machine_keys(machine);
  engine::read_keys(keys, text, name, {});
  check(machine, name);
  return machine;
}

Machine load_machine(const std::string& path) {
  return parse_machine(engine::read_config_file(path), path);
}

std::string to_toml(const Machine& machine) {
  Machine copy = machine;  // keys bind to fields that they could change
  // More digits than four would say nothing.
  const std::vector<Key> keys = machine_keys(copy);
  for (const Key& key : keys) {
    const auto* real = std::get_if<engine::RealValue>(&key.value);
    if (real == nullptr) continue;
    *real->field = std::stod(fmt::format("{:.4g}", *real->field));
  }
  std::string text = fmt::format("{}: docs/planning.md says what the keys mean.\n", kMachineMark);
  std::string section;
  for (const Key& key : keys) {
    if (section_of(key.name) != section) {
      section = section_of(key.name);
      text += fmt::format("\n[{}]\n", section);
    }
    text += fmt::format("{} = {}\n", key.name.substr(section.size() + 1),
                        engine::format_value(key.value));
  }
  return text;
}

std::string machine_markdown() {
  Machine none;
  std::string text = "| key | meaning |\n|---|---|\n";
  for (const Key& key : machine_keys(none)) {
    text += fmt::format("| `{}` | {} |\n", key.name, key.description);
  }
  return text;
}

}  // namespace mneme::plan
