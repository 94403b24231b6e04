#include "tools/ablate/ablation_best.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/human.h"
#include "tools/ablate/ablation_formats.h"

namespace mneme::ablate {
namespace {

constexpr double kNearly = 0.95;  // of the fastest cell's speed

// Bytes that a step moves over links, of a token.
std::optional<double> bytes_moved(const Ablation& ablation, std::size_t cell) {
  double bytes = 0;
  for (const char* move : {"host_to_device", "disk_to_device", "disk_to_host", "device_to_host",
                           "device_to_disk", "host_to_disk"}) {
    const auto spread = spread_of(ablation, cell, fmt::format("moves.{}.bytes", move));
    if (spread) bytes += spread->median;
  }
  const auto speed = spread_of(ablation, cell, "tokens_per_s");
  const auto step = spread_of(ablation, cell, "step_ms");
  if (!speed || !step || speed->median <= 0 || step->median <= 0) return std::nullopt;
  return bytes / (1e-3 * speed->median * step->median);
}

std::optional<double> cost_of(const Ablation& ablation, std::size_t cell, Cost cost) {
  if (cost == Cost::kBytesMoved) return bytes_moved(ablation, cell);
  return static_cast<double>(ablation.run_of(cell).device_bytes);
}

std::string range_text(const Ablation& ablation, std::size_t cell) {
  const Spread spread = *spread_of(ablation, cell, "tokens_per_s");
  if (is_replayed(ablation, cell)) return fmt::format("{:.0f} tokens/s predicted", spread.median);
  std::string text = fmt::format("{:.0f} tokens/s", spread.median);
  if (spread.runs > 1) {
    text += fmt::format(" ({:.0f} to {:.0f} in {} runs)", spread.least, spread.most, spread.runs);
  }
  return text;
}

std::string loss_in_words(const Ablation& ablation, const std::vector<CellPoint>& points) {
  const bool is_validated = spread_of(ablation, points.front().cell, "validation_loss").has_value();
  const char* const number = is_validated ? "validation_loss" : "last_loss";
  const char* const name = is_validated ? "validation loss" : "last step's loss";
  std::optional<Spread> best, worst;
  std::size_t cell = 0;
  for (const CellPoint& point : points) {
    const auto loss = spread_of(ablation, point.cell, number);
    // Theirs is that of the trained cell.
    if (!loss || is_replayed(ablation, point.cell)) continue;
    if (!best || loss->median < best->median) {
      best = loss;
      cell = point.cell;
    }
    if (!worst || loss->most > worst->most) worst = loss;
  }
  if (!best) return {};
  if (best->least == worst->most) {
    return fmt::format("The {} is {:.4f} in every run, to the last bit.", name, best->median);
  }
  return fmt::format("The {} is lowest with {}: {:.4f}; the highest is {:.4f}.", name,
                     cell_name(ablation.grid(), ablation.grid().cells[cell]), best->median,
                     worst->most);
}

}  // namespace

std::string cell_name(const Grid& grid, const Cell& cell) {
  const std::vector<std::string> names = short_names(grid.varied);
  std::string text;
  for (std::size_t i = 0; i < cell.settings.size(); ++i) {
    text += fmt::format("{}{} {}", i > 0 ? ", " : "", names[i], shown(cell.settings[i].value));
  }
  return text;
}

std::vector<CellPoint> points_of(const Ablation& ablation, Cost cost) {
  std::vector<CellPoint> points;
  for (std::size_t cell = 0; cell < ablation.grid().cells.size(); ++cell) {
    const auto speed = spread_of(ablation, cell, "tokens_per_s");
    const auto paid = cost_of(ablation, cell, cost);
    if (speed && paid) points.push_back({cell, *paid, speed->median, false});
  }
  std::stable_sort(points.begin(), points.end(), [](const CellPoint& a, const CellPoint& b) {
    return a.cost != b.cost ? a.cost < b.cost : a.tokens_per_s > b.tokens_per_s;
  });
  double fastest = 0;
  for (CellPoint& point : points) {
    point.is_on_front = point.tokens_per_s > fastest;
    fastest = std::max(fastest, point.tokens_per_s);
  }
  return points;
}

std::vector<std::string> best_in_words(const Ablation& ablation) {
  const std::vector<CellPoint> points = points_of(ablation, Cost::kDeviceBytes);
  if (points.empty()) return {};
  const Grid& grid = ablation.grid();
  const auto fastest = std::max_element(
      points.begin(), points.end(),
      [](const CellPoint& a, const CellPoint& b) { return a.tokens_per_s < b.tokens_per_s; });
  const Spread speed = *spread_of(ablation, fastest->cell, "tokens_per_s");
  std::string first =
      fmt::format("The fastest is {}, with {}", cell_name(grid, grid.cells[fastest->cell]),
                  range_text(ablation, fastest->cell));
  const auto alike = std::count_if(points.begin(), points.end(), [&](const CellPoint& point) {
    return point.cell != fastest->cell &&
           spread_of(ablation, point.cell, "tokens_per_s")->most >= speed.least;
  });
  if (speed.runs > 1 && alike > 0) {
    first += fmt::format("; {} other cell{} had a run as fast as its slowest one", alike,
                         alike == 1 ? "" : "s");
  }
  std::vector<std::string> words = {first + "."};
  const auto small = std::find_if(points.begin(), points.end(), [&](const CellPoint& point) {
    return point.tokens_per_s >= kNearly * fastest->tokens_per_s;
  });
  if (small->cost < fastest->cost) {
    words.push_back(fmt::format(
        "Within {:.0f}% of it, {} has the least device memory: {} of {}, with {}.",
        100 * (1 - kNearly), cell_name(grid, grid.cells[small->cell]), io::human_bytes(small->cost),
        io::human_bytes(fastest->cost), range_text(ablation, small->cell)));
  }
  if (const std::string loss = loss_in_words(ablation, points); !loss.empty())
    words.push_back(loss);
  return words;
}

}  // namespace mneme::ablate
