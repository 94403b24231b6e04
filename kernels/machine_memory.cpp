#include "kernels/machine_memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

namespace mneme::kernels {
namespace {

constexpr std::size_t kUnknown = std::numeric_limits<std::size_t>::max();

std::size_t read_number(const std::string& path) {
  std::ifstream file(path);
  std::size_t value = 0;
  return file >> value ? value : kUnknown;  // "max" is no number: no limit
}

// The number behind a name, at the start of a line.
std::size_t read_entry(const std::string& path, std::string_view wanted) {
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
  if (const char* given = std::getenv("MNEME_MACHINE_MEMORY"); given != nullptr) {
    const std::size_t bytes = std::strtoull(given, nullptr, 10);
    return bytes - std::min(bytes, resident_memory_bytes());
  }
  const std::size_t kibibytes = read_entry("/proc/meminfo", "MemAvailable:");
  return kibibytes == kUnknown ? kUnknown : kibibytes * 1024;
}

// The names that the two versions of control groups have for the same things.
struct GroupFiles {
  const char* limit;
  const char* used;
  const char* cached;  // an entry of memory.stat
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};

// What one group may still take. Its use counts cached files, which the kernel drops when the group
// needs the memory.
std::size_t free_bytes_of(const std::string& group, const GroupFiles& files) {
  const std::size_t limit = read_number(group + "/" + files.limit);
  const std::size_t used = read_number(group + "/" + files.used);
  if (limit == kUnknown || used == kUnknown) return kUnknown;
  const std::size_t cached = read_entry(group + "/memory.stat", files.cached);
  const std::size_t kept = used - std::min(used, cached == kUnknown ? 0 : cached);
  return limit - std::min(limit, kept);
}

// The least of a group and those around it: each has a limit of its own.
std::size_t free_bytes_up_from(const std::string& mount, std::string path,
                               const GroupFiles& files) {
  std::size_t least = kUnknown;
  while (true) {
    least = std::min(least, free_bytes_of(mount + path, files));
    if (path.empty() || path == "/") return least;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

std::string text_of(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Whether a list of controllers, with commas between them, has that of memory.
bool names_memory(const std::string& controllers) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "memory") return true;
  }
  return false;
}

}  // namespace

// A line is ID:CONTROLLERS:PATH; that of version 2 names no controllers.
std::size_t free_group_bytes(const std::string& mount, const std::string& membership) {
  std::size_t least = kUnknown;
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, free_bytes_up_from(mount, path, kVersion2));
    } else if (names_memory(controllers)) {
      least = std::min(least, free_bytes_up_from(mount + "/memory", path, kVersion1));
    }
  }
  return least;
}

std::size_t free_memory_bytes() {
  return std::min(machine_bytes(),
                  free_group_bytes("/sys/fs/cgroup", text_of("/proc/self/cgroup")));
}

std::size_t resident_memory_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all_pages = 0;
  std::size_t resident_pages = 0;
  if (!(file >> all_pages >> resident_pages)) return 0;
  return resident_pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace mneme::kernels
