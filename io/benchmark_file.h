// How a file that a benchmark made is told from every other file: a mark in its last block. It is
// there from the start to the end of the file's life, so that a file of a benchmark that was killed
// is recognised as well, and nothing else is ever overwritten or removed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/block_file.h"
#include "io/disk.h"

namespace mneme::io {

// Of the mark, behind the content.
inline constexpr std::uint64_t kBenchmarkMarkBytes = 4096;

struct BenchmarkMark {
  std::uint64_t content_bytes = 0;  // a multiple of kBenchmarkMarkBytes
  bool complete = false;            // all of the content is random data of the disk benchmark
};

// Nothing when the file was made by somebody else.
std::optional<BenchmarkMark> read_benchmark_mark(BlockFile& file);
// Makes the mark the end of the file, synced. REQUIRES: the file is new or has a mark.
void write_benchmark_mark(BlockFile& file, const BenchmarkMark& mark);

// Whether there is a file of this path that a benchmark made.
bool is_benchmark_file(Disk& disk, const std::string& path);

}  // namespace mneme::io
