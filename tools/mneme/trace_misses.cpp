// mneme trace misses: miss ratios of caches of any size over the references of a trace.
#include <fmt/format.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/config_reader.h"
#include "io/disk.h"
#include "io/elapsed.h"
#include "io/progress.h"
#include "io/utf8.h"
#include "offload/replay/miss_ratio.h"
#include "offload/trace/trace_summary.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/trace_path.h"

namespace mneme::tools {
namespace {

struct Size {
  std::uint64_t rows = 0;
  double lru = 0;                // miss ratio
  std::optional<double> belady;  // the same
};

std::uint64_t rows_of(const std::string& text, std::uint64_t table_rows) {
  double percent = 0;
  if (engine::parse_percent(text, 100, percent)) {
    return static_cast<std::uint64_t>(static_cast<double>(table_rows) * percent / 100 + 0.5);
  }
  return std::stoull(text);
}

std::string text_of(const std::string& path, const std::vector<Size>& sizes, std::uint64_t count,
                    std::uint64_t table_rows, bool belady) {
  std::string text = fmt::format("{}: {} references in training\n", path, count);
  text += fmt::format("{:>12} {:>10} {:>11}{}\n", "rows", "of table", "lru misses",
                      belady ? fmt::format(" {:>11} {:>6}", "belady", "ratio") : "");
  for (const Size& size : sizes) {
    text += fmt::format("{:>12} {:>9.3g}% {:>10.3f}%", size.rows,
                        100 * static_cast<double>(size.rows) / static_cast<double>(table_rows),
                        100 * size.lru);
    if (size.belady) {
      text += fmt::format(" {:>10.3f}% {:>6.3f}", 100 * *size.belady,
                          *size.belady > 0 ? size.lru / *size.belady : 1.0);
    }
    text += "\n";
  }
  return text;
}

}  // namespace

int run_trace_misses(const TraceMissesOptions& options) {
  const InterruptGuard interrupt;
  const auto disk = io::make_posix_disk();
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const std::string path = trace_of(*disk, options.path);
  offload::TraceReader reader(*disk, path);
  const std::uint64_t table_rows = reader.header().rows;
  std::vector<kernels::RowId> references;
  offload::for_each_reference(
      reader, {.all = false, .forward_only = options.forward_only},
      [&](const offload::TraceReference& reference) { references.push_back(reference.row); },
      [&] { interrupt.check(); });

  const auto start = std::chrono::steady_clock::now();
  offload::StackDistances distances(table_rows, options.sample);
  constexpr std::size_t kPiece = std::size_t{1} << 16;
  {
    io::Phase phase("stack distances", references.size(), "references");
    for (std::size_t first = 0; first < references.size(); first += kPiece) {
      interrupt.check();
      distances.add(
          std::span(references).subspan(first, std::min(kPiece, references.size() - first)));
      phase.reach(first);
    }
  }
  const offload::MissCurve curve = distances.curve();
  const double seconds = 1e-3 * io::elapsed_ms(start);
  std::vector<Size> sizes;
  io::Phase phase("Belady", options.sizes.size(), "sizes");
  for (const std::string& text : options.sizes) {
    interrupt.check();
    Size size{.rows = rows_of(text, table_rows), .belady = std::nullopt};
    size.lru = curve.miss_ratio(size.rows);
    if (options.belady && !references.empty()) {
      size.belady = static_cast<double>(offload::belady_misses(references, size.rows)) /
                    static_cast<double>(references.size());
    }
    sizes.push_back(size);
    phase.add(1);
  }
  if (options.json) {
    auto array = nlohmann::ordered_json::array();
    for (const Size& size : sizes) {
      nlohmann::ordered_json object = {{"rows", size.rows}, {"lru", size.lru}};
      if (size.belady) object["belady"] = *size.belady;
      array.push_back(std::move(object));
    }
    const nlohmann::ordered_json object = {{"trace", io::bytes_to_utf8(path)},
                                           {"references", references.size()},
                                           {"sample", options.sample},
                                           {"seconds", seconds},
                                           {"sizes", std::move(array)}};
    fmt::print("{}\n", object.dump());
  } else if (options.csv) {
    fmt::print("rows,lru,belady\n");
    for (const Size& size : sizes) {
      fmt::print("{},{},{}\n", size.rows, size.lru,
                 size.belady ? fmt::format("{}", *size.belady) : "");
    }
  } else {
    fmt::print("{}", text_of(path, sizes, references.size(), table_rows, options.belady));
  }
  return 0;
}

}  // namespace mneme::tools
