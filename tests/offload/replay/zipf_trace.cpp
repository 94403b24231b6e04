// Writes a trace of single references that follow Zipf's law, for tools/compare_libcachesim: leases
// of one row each, in training.
//   zipf_trace FILE ROWS REFERENCES EXPONENT
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include "io/disk.h"
#include "offload/trace/trace_file.h"

namespace {

using mneme::offload::TraceEvent;
using mneme::offload::TraceKind;

void write(const std::string& path, std::uint64_t rows, std::uint64_t references, double exponent) {
  std::vector<double> up_to(rows);
  double sum = 0;
  for (std::uint64_t rank = 1; rank <= rows; ++rank) {
    up_to[rank - 1] = sum += std::pow(static_cast<double>(rank), -exponent);
  }
  const auto disk = mneme::io::make_posix_disk();
  mneme::offload::TraceFile file(*disk, path, {.table = 0, .rows = rows, .run_id = 0, .seed = 1},
                                 0);
  mneme::offload::TraceLists lists;
  std::vector<std::byte> events;
  TraceEvent start{.kind = TraceKind::kStart};
  start.tiers = {.device_slots = rows,
                 .evaluation_slots = 1,
                 .record_bytes = 64,
                 .device_slot_bytes = 64,
                 .host_slot_bytes = 64,
                 .disks = 1,
                 .transfer_rows = 16384};
  encode(start, lists, events);
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0, sum);
  for (std::uint64_t i = 1; i <= references; ++i) {
    const auto rank = std::upper_bound(up_to.begin(), up_to.end(), uniform(random));
    const auto place = static_cast<std::uint64_t>(rank - up_to.begin());
    encode({.kind = TraceKind::kStep, .number = i}, lists, events);
    encode({.kind = TraceKind::kLease,
            .number = i,
            .account = {mneme::offload::Cause::kTraining, 0, mneme::offload::Pass::kForward},
            // The popular rows lie anywhere in the table.
            .list = {static_cast<std::uint32_t>(std::min(place, rows - 1) * 2654435761u % rows)}},
           lists, events);
    encode({.kind = TraceKind::kEndLease, .number = i}, lists, events);
    if (events.size() < (std::size_t{1} << 20) && i < references) continue;
    file.append(events, {});
    events.clear();
    lists.clear();
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    fmt::print(stderr, "usage: zipf_trace FILE ROWS REFERENCES EXPONENT\n");
    return 2;
  }
  try {
    write(arguments[1], std::stoull(arguments[2]), std::stoull(arguments[3]),
          std::stod(arguments[4]));
  } catch (const std::exception& error) {
    fmt::print(stderr, "zipf_trace: error: {}\n", error.what());
    return 1;
  }
  return 0;
}
