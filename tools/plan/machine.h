// What a plan knows of a machine: sizes of its memories, speeds of its links, and how fast the
// parts of a training step go there. A TOML file (docs/planning.md); `mneme bench machine` writes
// one of the machine it runs on, configs/machines/ has others.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mneme::plan {

// Speeds are in bytes a second. 0: there is none, nobody knows, or it takes no time worth counting.
struct Machine {
  std::string name;
  std::string source;  // where the numbers come from

  struct Host {
    std::uint64_t memory_bytes = 0;
    // Records copied between host memory and the device tier where that lies in host memory as
    // well.
    double copy = 0;
  } host;

  // Without a device the processor computes, and the device tier lies in host memory.
  struct Device {
    std::int64_t count = 0;
    std::uint64_t memory_bytes = 0;  // of each
    double link = 0;                 // between each and host memory, in each direction
    double exchange = 0;             // of each with the others, in each direction
  } device;

  struct Disk {
    std::uint64_t bytes = 0;                   // free
    double read = 0, write = 0;                // of large or deep transfers
    double reads_per_s = 0, writes_per_s = 0;  // records, whatever their size
    double endurance_bytes = 0;                // that may be written over its life
  } disk;

  // A training step's parts, of one device.
  struct Compute {
    // Of all operations of the dense part, by the model's width: ascending widths, and billions of
    // floating-point operations a second.
    std::vector<std::int64_t> widths, gflops;
    std::int64_t key_gflops = 0;  // products with half-keys in float32; 0: as the dense part
    double micro_batch_ms = 0;    // of each, whatever its size: launches, waits
    double optimizer = 0;         // parameters, gradients and moments read and written
    double half_score_ns = 0;     // a score of a half-key and its part in the choice
    double lookup_ns = 0;         // a row that a token chose: sorting, weights
    double gather = 0;            // values of these, once forward and once backward
    double update = 0;            // records of a step's distinct rows, by the row optimiser
    double generate = 0;          // records of new rows
    double planned_row_ns = 0;    // where a row is and what has to leave for it
  } compute;

  bool has_device() const { return device.count > 0; }
  // That compute beside each other.
  std::int64_t devices() const { return has_device() ? device.count : 1; }
};

// How a file of to_toml() begins.
inline constexpr const char* kMachineMark = "# A machine, for mneme plan";

// Throws Error in one line: file and line, the key, what is wrong with it; also for numbers that
// contradict each other.
Machine load_machine(const std::string& path);
Machine parse_machine(std::string_view text, const std::string& name);
// parse_machine() reads it back.
std::string to_toml(const Machine& machine);
// The keys, as a table in Markdown.
std::string machine_markdown();

}  // namespace mneme::plan
