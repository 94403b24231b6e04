#include "kernels/machine_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

namespace mneme::kernels {
namespace {

constexpr std::size_t kUnknown = std::numeric_limits<std::size_t>::max();

std::size_t read_number(const char* path) {
  std::ifstream file(path);
  std::size_t value = 0;
  return file >> value ? value : kUnknown;  // "max" is no number: no limit
}

// The number behind a name, at the start of a line.
std::size_t read_entry(const char* path, std::string_view wanted) {
  std::ifstream file(path);
  std::string name, rest;
  std::size_t value = 0;
  while (file >> name >> value) {
    if (name == wanted) return value;
    std::getline(file, rest);
  }
  return kUnknown;
}

std::size_t machine_bytes() {
  const std::size_t kibibytes = read_entry("/proc/meminfo", "MemAvailable:");
  return kibibytes == kUnknown ? kUnknown : kibibytes * 1024;
}

// What the control group may still take. Its use counts cached files, which the kernel drops when
// the group needs the memory.
std::size_t group_bytes() {
  const std::size_t limit = read_number("/sys/fs/cgroup/memory.max");
  const std::size_t used = read_number("/sys/fs/cgroup/memory.current");
  if (limit == kUnknown || used == kUnknown) return kUnknown;
  const std::size_t cached = read_entry("/sys/fs/cgroup/memory.stat", "inactive_file");
  const std::size_t kept = used - std::min(used, cached == kUnknown ? 0 : cached);
  return limit - std::min(limit, kept);
}

}  // namespace

std::size_t free_memory_bytes() {
  return std::min(machine_bytes(), group_bytes());
}

std::size_t resident_memory_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all_pages = 0;
  std::size_t resident_pages = 0;
  if (!(file >> all_pages >> resident_pages)) return 0;
  return resident_pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace mneme::kernels
