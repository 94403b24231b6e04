#include "kernels/guard_zones.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "io/check.h"

namespace mneme::kernels {
namespace {

std::vector<std::byte> pattern(std::size_t bytes) {
  std::vector<std::byte> zone(bytes);
  for (std::size_t i = 0; i < bytes; ++i) zone[i] = std::byte{guard_byte(i)};
  return zone;
}

}  // namespace

bool guard_zones_wanted() {
  const char* value = std::getenv("MNEME_GUARD_ZONES");
  return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

void fail_for_damage(std::int64_t offset, std::size_t bytes, const std::string& what,
                     const std::string& when) {
  const std::string place = offset < 0 ? fmt::format("{} bytes before its start", -offset)
                                       : fmt::format("{} bytes behind its end",
                                                     offset - static_cast<std::int64_t>(bytes));
  CHECK(false, "{} of {} bytes: something has written outside of it, at offset {} ({}); found {}",
        what, bytes, offset, place, when);
  __builtin_unreachable();
}

std::size_t GuardZones::space(std::size_t bytes) const {
  // What no memory has is refused by who takes it.
  if (bytes > std::numeric_limits<std::size_t>::max() - 4 * zone_bytes_) return bytes;
  return (bytes + zone_bytes_ - 1) / zone_bytes_ * zone_bytes_ + 2 * zone_bytes_;
}

std::byte* GuardZones::enclose(void* begin, std::size_t bytes, std::string what) {
  auto* first = static_cast<std::byte*>(begin);
  std::byte* data = first + zone_bytes_;
  const std::size_t behind = space(bytes) - zone_bytes_ - bytes;
  const std::vector<std::byte> filled = pattern(behind);
  std::lock_guard lock(mutex_);
  copy_(first, filled.data(), zone_bytes_);
  copy_(data + bytes, filled.data(), behind);
  allocations_[data] = {bytes, std::move(what)};
  return data;
}

void* GuardZones::open(void* data, const char* when) {
  std::lock_guard lock(mutex_);
  const auto entry = allocations_.find(static_cast<std::byte*>(data));
  CHECK(entry != allocations_.end(), "memory was released that was not allocated");
  check(entry->first, entry->second, when);
  allocations_.erase(entry);
  return static_cast<std::byte*>(data) - zone_bytes_;
}

void GuardZones::open_all(const char* when) {
  check(when);
  std::lock_guard lock(mutex_);
  allocations_.clear();
}

void GuardZones::check(const char* when) const {
  std::lock_guard lock(mutex_);
  for (const auto& [data, allocation] : allocations_) check(data, allocation, when);
}

void GuardZones::check(const std::byte* data, const Allocation& allocation,
                       const char* when) const {
  const auto before = static_cast<std::int64_t>(zone_bytes_);
  check(data, allocation, -before, zone_bytes_, when);
  check(data, allocation, static_cast<std::int64_t>(allocation.bytes),
        space(allocation.bytes) - zone_bytes_ - allocation.bytes, when);
}

void GuardZones::check(const std::byte* data, const Allocation& allocation, std::int64_t offset,
                       std::size_t zone_bytes, const char* when) const {
  std::vector<std::byte> zone(zone_bytes);
  copy_(zone.data(), data + offset, zone_bytes);
  const std::vector<std::byte> whole = pattern(zone_bytes);
  const auto damaged = std::mismatch(zone.begin(), zone.end(), whole.begin()).first;
  if (damaged == zone.end()) return;
  fail_for_damage(offset + (damaged - zone.begin()), allocation.bytes, allocation.what, when);
}

}  // namespace mneme::kernels
