// A debug mode in which every allocation of a backend lies between two zones that nothing may
// write. A backend takes its memory in large pieces, and neither AddressSanitizer nor
// compute-sanitizer sees a write that goes from one part of a piece into the next.
//
// MNEME_GUARD_ZONES=1 in the environment switches it on for the backends that are made from then
// on. Zones are looked at when an allocation is released and when a stream is synchronised. A
// damaged zone is a bug: it aborts with the allocation's size and purpose, and with where the first
// damaged byte is. What a kernel reads from a zone is no number in float32 and bf16, and larger
// than any index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace mneme::kernels {

// Whether the environment asks for guard zones.
bool guard_zones_wanted();

// What a zone holds, from its first byte on.
constexpr unsigned char guard_byte(std::size_t position) {
  return position % 2 == 0 ? 0xD5 : 0x7F;
}

// Aborts: zones of an allocation are damaged. offset: of the first damaged byte from the
// allocation's start, negative before it. what: "buffer"; when: "when a stream was synchronised".
[[noreturn]] void fail_for_damage(std::int64_t offset, std::size_t bytes, const std::string& what,
                                  const std::string& when);

// The zones of many allocations. Any thread.
class GuardZones {
 public:
  // Copies between host memory and the memory with the zones; done when it returns.
  using Copy = void (*)(void* target, const void* source, std::size_t bytes);
  // zone_bytes: of each zone, a multiple of the alignment that allocations need.
  GuardZones(Copy copy, std::size_t zone_bytes);

  // What an allocation of `bytes` bytes takes together with its zones, a multiple of zone_bytes.
  std::size_t space(std::size_t bytes) const;
  // Fills the zones of an allocation in `space(bytes)` bytes at `begin`; gives its start.
  std::byte* enclose(void* begin, std::size_t bytes, std::string what);
  // Looks at the zones of an allocation and forgets them; gives what enclose() was given.
  void* open(void* data, const char* when);
  // The same for all allocations.
  void open_all(const char* when);
  // Looks at all zones.
  void check(const char* when) const;

 private:
  struct Allocation {
    std::size_t bytes = 0;
    std::string what;
  };
  using Allocations = std::map<std::byte*, Allocation>;
  struct Zone {
    const std::byte* begin;
    std::size_t bytes;
    Allocations::const_iterator allocation;
  };
  // Of the zone behind an allocation.
  std::size_t bytes_behind(std::size_t bytes) const { return space(bytes) - zone_bytes_ - bytes; }
  void check(Allocations::const_iterator begin, Allocations::const_iterator end,
             const char* when) const;
  // Of zones that are `bytes` bytes side by side.
  void check(const std::vector<Zone>& zones, std::size_t bytes, const char* when) const;

  const Copy copy_;
  const std::size_t zone_bytes_;
  const std::vector<std::byte> pattern_;
  mutable std::mutex mutex_;
  Allocations allocations_;
};

}  // namespace mneme::kernels
