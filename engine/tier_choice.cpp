#include "engine/tier_choice.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "engine/device.h"
#include "engine/memory_use.h"
#include "engine/row_gradient_choice.h"
#include "engine/run_files.h"
#include "engine/run_options.h"
#include "io/error.h"
#include "io/human.h"
#include "kernels/backend.h"
#include "kernels/machine_memory.h"
#include "offload/tier_sizes.h"

namespace mneme::engine {
namespace {

// Of a memory, a part that is left free: of a device, which is the run's alone, what operations
// take while they run; of others, what others need, too.
constexpr std::uint64_t kSpare = 16, kDeviceSpare = 64;

std::uint64_t less(std::uint64_t a, std::uint64_t b) {
  return a - std::min(a, b);
}

offload::StoreOptions store_of(const Config& config) {
  return memory::store_options(value_table_options(config, /*run_id=*/0));
}

// The folder itself, or what is there above it.
std::string existing_folder(const io::Disk& disk, const std::string& path) {
  std::filesystem::path folder = std::filesystem::absolute(path);
  while (!disk.is_directory(folder.string()) && folder.has_relative_path()) {
    folder = folder.parent_path();
  }
  return folder.string();
}

// What a run's own rows files hold already is its own.
std::uint64_t bytes_of_rows_files(const Config& config, const io::Disk& disk) {
  const std::string folder = rows_directory(config.run.directory);
  if (!config.tiers.disk_paths.empty() || !disk.is_directory(folder)) return 0;
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::uint64_t size = entry.is_regular_file(ignored) ? entry.file_size(ignored) : 0;
    if (!ignored) bytes += size;
  }
  return bytes;
}

std::uint64_t free_on_disk(const Config& config, const io::Disk& disk) {
  const std::vector<std::string>& folders = config.tiers.disk_paths;
  if (folders.empty()) {
    return disk.available_bytes(existing_folder(disk, config.run.directory)) +
           bytes_of_rows_files(config, disk);
  }
  std::uint64_t bytes = 0;
  for (const std::string& folder : folders) {
    bytes += disk.available_bytes(existing_folder(disk, folder));
  }
  return bytes;
}

// Budgets of device and host for one kind of row gradient.
class Choice {
 public:
  Choice(Config& config, const FreeMemory& free)
      : config_(config),
        tiers_(config.tiers.store),
        automatic_(config.tiers.automatic),
        on_cuda_(free.device.has_value()),
        host_room_(less(free.host, free.host / kSpare)),
        device_room_(on_cuda_ ? less(*free.device, *free.device / kDeviceSpare) : host_room_) {}

  void choose() {
    apply_tier_shares(config_);
    start_small();
    // The slot table of the host tier lies in device memory, so that one depends on the other.
    for (int round = 0; round < 3; ++round) {
      const MemoryUse use = memory_use(config_, on_cuda_);
      if (automatic_.device) choose_device(use);
      if (automatic_.host) choose_host(use);
    }
  }

 private:
  void start_small() {
    if (automatic_.device)
      tiers_.device_bytes = offload::minimum_device_bytes(row_layout(config_)) * 2;
    if (automatic_.host) tiers_.host_bytes = 0;
  }

  // What the device has room for beside everything else that lies there.
  void choose_device(const MemoryUse& use) {
    const std::uint64_t others = less(use.device(), use.device_tier) + (on_cuda_ ? 0 : use.host());
    const std::uint64_t room = less(device_room_, others);
    const offload::StoreOptions store = store_of(config_);
    const std::uint64_t least =
        2 * offload::kMinimumDeviceSlots * offload::device_slot_bytes(store);
    if (room < least) {
      io::fail(
          "tiers.device_bytes = \"auto\": of {} that the run may take it needs {} beside its rows, "
          "and the smallest device tier needs {}; lower train.batch or the model",
          io::human_bytes(static_cast<double>(device_room_)),
          io::human_bytes(static_cast<double>(others)),
          io::human_bytes(static_cast<double>(least)));
    }
    tiers_.device_bytes = std::min(room, offload::device_bytes_for(store, store.rows));
  }

  // The rows that the device has no room for.
  void choose_host(const MemoryUse& use) {
    const offload::StoreOptions store = store_of(config_);
    const std::uint64_t device = offload::device_tier_bytes(store);
    std::uint64_t others = less(use.host(), use.host_tier);
    if (!on_cuda_) others += less(use.device(), use.device_tier) + device;
    const std::uint64_t rows = less(store.rows, offload::tier_sizes(store).training);
    tiers_.host_bytes = std::min(less(host_room_, others), rows * offload::slot_bytes(store).host);
  }

  Config& config_;
  offload::TierOptions& tiers_;
  const AutomaticTiers& automatic_;
  bool on_cuda_;
  std::uint64_t host_room_, device_room_;
};

// The same configuration with a row gradient of this kind, and budgets for it.
Config with_row_gradient(Config config, RowGradientKind kind, const FreeMemory& free) {
  config.memory.row_gradient = kind;
  Choice(config, free).choose();
  return config;
}

// Rows with gradient arrays are a third larger, which costs nothing where all of them lie on the
// device, and room and transfers elsewhere. So they are chosen there, or where a step's gradient in
// factored form has no room.
void choose_memories(Config& config, const FreeMemory& free) {
  if (config.memory.row_gradient != RowGradientKind::kAuto) {
    Choice(config, free).choose();
    return;
  }
  const auto accumulates_with = [&](std::uint64_t bytes) {
    Config other = config;
    other.tiers.shares = {};
    other.tiers.store.device_bytes = other.tiers.store.host_bytes = bytes;
    return accumulates_row_gradient(other);
  };
  const bool must = accumulates_with(0);  // too many look-ups to be grouped at once
  const bool may = must || accumulates_with(std::uint64_t{1} << 60);
  std::optional<Config> accumulated;
  try {
    if (may) accumulated = with_row_gradient(config, RowGradientKind::kAccumulated, free);
  } catch (const io::Error&) {
    if (must) throw;
  }
  const bool all_on_device = accumulated && offload::tier_sizes(store_of(*accumulated)).training >=
                                                accumulated->table_rows();
  try {
    config = must || all_on_device ? *accumulated
                                   : with_row_gradient(config, RowGradientKind::kFactored, free);
  } catch (const io::Error&) {
    if (!accumulated) throw;
    config = *accumulated;
  }
}

// Room for two checkpoints of the dense part stays: one is kept until the next one is whole.
std::uint64_t disk_budget(const Config& config, std::uint64_t free) {
  std::uint64_t dense = 0;
  for (const ParameterDeclaration& declared : declare_parameters(model_options(config))) {
    dense += static_cast<std::uint64_t>(declared.count()) * 3 * sizeof(float);
  }
  const std::uint64_t bytes = less(less(free, free / kSpare), 2 * dense);
  if (bytes == 0) {
    io::fail("tiers.disk_bytes = \"auto\": {} are free, which two checkpoints of {} would fill",
             io::human_bytes(static_cast<double>(free)),
             io::human_bytes(static_cast<double>(dense)));
  }
  return bytes;
}

}  // namespace

FreeMemory free_memory(const Config& config, const io::Disk& disk) {
  FreeMemory free;
  free.host = kernels::free_memory_bytes();
  free.disk = free_on_disk(config, disk);
  if (device_has_memory(config.run)) {
    const auto index = static_cast<int>(config.run.device_index);
    free.device =
        config.run.arena_bytes != 0 ? config.run.arena_bytes : kernels::free_cuda_bytes(index);
  }
  return free;
}

void choose_tiers(Config& config, const FreeMemory& free) {
  AutomaticTiers& automatic = config.tiers.automatic;
  if (!automatic.any()) return;
  if (config.has_memory()) {
    apply_tier_shares(config);
    if (automatic.device || automatic.host) choose_memories(config, free);
    choose_row_gradient(config);
    if (automatic.disk) {
      // Of a machine whose disk nobody knows, no limit.
      config.tiers.store.disk_bytes = free.disk ? disk_budget(config, *free.disk) : 0;
    }
  }
  automatic = {};
  apply_tier_shares(config);
}

}  // namespace mneme::engine
