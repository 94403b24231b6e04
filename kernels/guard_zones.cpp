#include "kernels/guard_zones.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
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

GuardZones::GuardZones(Copy copy, std::size_t zone_bytes)
    : copy_(copy), zone_bytes_(zone_bytes), pattern_(pattern(2 * zone_bytes)) {}

std::size_t GuardZones::space(std::size_t bytes) const {
  // What no memory has is refused by who takes it.
  if (bytes > std::numeric_limits<std::size_t>::max() - 4 * zone_bytes_) return bytes;
  return (bytes + zone_bytes_ - 1) / zone_bytes_ * zone_bytes_ + 2 * zone_bytes_;
}

std::byte* GuardZones::enclose(void* begin, std::size_t bytes, std::string what) {
  auto* first = static_cast<std::byte*>(begin);
  std::byte* data = first + zone_bytes_;
  std::lock_guard lock(mutex_);
  copy_(first, pattern_.data(), zone_bytes_);
  copy_(data + bytes, pattern_.data(), bytes_behind(bytes));
  allocations_[data] = {bytes, std::move(what)};
  return data;
}

void* GuardZones::open(void* data, const char* when) {
  std::lock_guard lock(mutex_);
  const auto entry = allocations_.find(static_cast<std::byte*>(data));
  CHECK(entry != allocations_.end(), "memory was released that was not allocated");
  check(entry, std::next(entry), when);
  allocations_.erase(entry);
  return static_cast<std::byte*>(data) - zone_bytes_;
}

void GuardZones::open_all(const char* when) {
  std::lock_guard lock(mutex_);
  check(allocations_.begin(), allocations_.end(), when);
  allocations_.clear();
}

void GuardZones::check(const char* when) const {
  std::lock_guard lock(mutex_);
  check(allocations_.begin(), allocations_.end(), when);
}

// Zones that lie side by side are copied together: copies are what this costs.
void GuardZones::check(Allocations::const_iterator begin, Allocations::const_iterator end,
                       const char* when) const {
  std::vector<Zone> zones;
  std::size_t bytes = 0;
  for (auto entry = begin; entry != end; ++entry) {
    const std::byte* data = entry->first;
    const std::size_t length = entry->second.bytes;
    for (const Zone& zone : {Zone{data - zone_bytes_, zone_bytes_, entry},
                             Zone{data + length, bytes_behind(length), entry}}) {
      if (!zones.empty() && zones.front().begin + bytes != zone.begin) {
        check(zones, bytes, when);
        zones.clear();
        bytes = 0;
      }
      zones.push_back(zone);
      bytes += zone.bytes;
    }
  }
  if (!zones.empty()) check(zones, bytes, when);
}

void GuardZones::check(const std::vector<Zone>& zones, std::size_t bytes, const char* when) const {
  std::vector<std::byte> copied(bytes);
  copy_(copied.data(), zones.front().begin, bytes);
  auto at = copied.begin();
  for (const Zone& zone : zones) {
    const auto last = at + static_cast<std::ptrdiff_t>(zone.bytes);
    const auto damaged = std::mismatch(at, last, pattern_.begin()).first;
    if (damaged != last) {
      const std::byte* first = zone.begin + (damaged - at);
      const auto& [data, allocation] = *zone.allocation;
      fail_for_damage(first - data, allocation.bytes, allocation.what, when);
    }
    at = last;
  }
}

}  // namespace mneme::kernels
