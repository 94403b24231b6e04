#include "engine/metrics.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "engine/metrics_fields.h"
#include "io/checksum.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "io/log.h"

namespace mneme::engine {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson times(const StepTimes& times) {
  return {{"step", times.step_ms},         {"data", times.data_ms},
          {"forward", times.forward_ms},   {"predict", times.predict_ms},
          {"backward", times.backward_ms}, {"update", times.update_ms},
          {"stall", times.stall_ms},       {"evaluation", times.evaluation_ms},
          {"sample", times.sample_ms},     {"checkpoint", times.checkpoint_ms}};
}

// The fields of an entry under their names, those of zero left out unless asked for.
OrderedJson entry_json(const offload::Entry& entry, bool with_zeros) {
  OrderedJson object = OrderedJson::object();
  for (const offload::FieldInfo& info : offload::kFields) {
    if (entry[info.field] == 0 && !with_zeros) continue;
    object[OrderedJson::json_pointer(field_pointer(info))] = entry[info.field];
  }
  return object;
}

OrderedJson books_json(const offload::Books& books) {
  OrderedJson accounts = OrderedJson::array();
  for (const auto& [account, entry] : books.entries()) {
    OrderedJson object = {{"cause", io::name_of(account.cause)}, {"layer", nullptr}};
    if (account.layer != offload::kNoLayer) object["layer"] = account.layer;
    if (account.pass != offload::Pass::kNone) object["pass"] = io::name_of(account.pass);
    object.update(entry_json(entry, false));
    accounts.push_back(std::move(object));
  }
  return {{"total", entry_json(books.total(), true)}, {"accounts", std::move(accounts)}};
}

OrderedJson rows(const StepMetrics& metrics) {
  const offload::Entry training = metrics.books.total(offload::Cause::kTraining);
  return {{"distinct", metrics.distinct_rows},
          {"fetched", training.rows_fetched()},
          {"fetched_share", metrics.fetched_share()}};
}

// Queues with transfers: pairs of a bucket's least microseconds and its transfers.
OrderedJson latencies_json(const offload::DiskLatencies& latencies) {
  OrderedJson object = OrderedJson::object();
  for (std::size_t i = 0; i < offload::kDiskQueues; ++i) {
    OrderedJson pairs = OrderedJson::array();
    const auto& counts = latencies.queues[i].counts();
    for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
      if (counts[bucket] == 0) continue;
      pairs.push_back({offload::LatencyCounts::least_us(bucket), counts[bucket]});
    }
    if (!pairs.empty()) {
      object[io::name_of(static_cast<offload::DiskQueue>(i))] = std::move(pairs);
    }
  }
  return object;
}

OrderedJson predictions_json(const std::vector<PredictionMetrics>& predictions) {
  OrderedJson array = OrderedJson::array();
  for (const PredictionMetrics& one : predictions) {
    const memory::PredictionScore& score = one.score;
    OrderedJson at = OrderedJson::array();
    for (std::size_t i = 0; i < memory::kScoredBudgets.size(); ++i) {
      at.push_back({{"budget", memory::kScoredBudgets[i]},
                    {"hits", score.hits_at[i]},
                    {"recall", score.recall_at(i)},
                    {"hottest_recall", score.hottest_recall_at(i)}});
    }
    OrderedJson object = {{"predictor", io::name_of(one.predictor)}, {"layer", one.layer}};
    if (one.distance >= 0) object["distance"] = one.distance;
    object["read"] = score.read;
    object["predicted"] = score.predicted;
    object["hits"] = score.hits;
    object["recall"] = score.recall();
    object["at"] = std::move(at);
    const memory::HintScore& hints = one.hints;
    object["hints"] = {{"present", hints.present},
                       {"hinted", hints.hinted},
                       {"dropped", hints.hinted - hints.brought},
                       {"brought", hints.brought},
                       {"used", hints.used},
                       {"wasted", hints.brought - hints.used},
                       {"late", hints.late}};
    array.push_back(std::move(object));
  }
  return array;
}

// True when the line is whole and belongs to a step that is kept.
bool is_kept(std::string_view line, std::uint64_t completed_steps) {
  const OrderedJson object = OrderedJson::parse(line, nullptr, false);
  if (!object.is_object()) return false;
  const auto step = object.find("step");
  return step != object.end() && step->is_number_unsigned() &&
         step->get<std::uint64_t>() <= completed_steps;
}

std::string text_if_there(const io::Disk& disk, const std::string& path) {
  if (!disk.exists(path)) return {};
  const auto bytes = disk.read_file(path, std::numeric_limits<std::uint64_t>::max());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Calls use(line) for each line that has its end, the end included.
template <typename Use>
void for_each_line(std::string_view text, const Use& use) {
  for (std::size_t end; (end = text.find('\n')) != std::string_view::npos;) {
    use(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
  }
}

MetricsMark mark_of(std::string_view text) {
  MetricsMark mark;
  for_each_line(text, [&](std::string_view line) { mark = extend_mark(mark, line); });
  return mark;
}

MetricsState compare(std::string_view text, const MetricsMark& mark) {
  const bool whole = text.size() >= mark.bytes && mark_of(text.substr(0, mark.bytes)) == mark;
  return whole ? MetricsState::kIntact : MetricsState::kChanged;
}

}  // namespace

double StepMetrics::fetched_share() const {
  if (distinct_rows == 0) return 0;
  const std::uint64_t fetched = books.total(offload::Cause::kTraining).rows_fetched();
  return static_cast<double>(fetched) / static_cast<double>(distinct_rows);
}

std::string metrics_line(const StepMetrics& metrics) {
  OrderedJson line = {
      {"step", metrics.step},
      {"loss", metrics.loss},
      {"learning_rate", metrics.learning_rate},
      {"value_learning_rate", metrics.value_learning_rate},
      {"tokens_per_s", metrics.tokens_per_s},
      {"time_ms", times(metrics.times)},
      {"gradient_norm",
       {{"dense", metrics.dense_gradient_norm}, {"rows", metrics.row_gradient_norm}}},
      {"rows", rows(metrics)},
      {"books", books_json(metrics.books)}};
  OrderedJson latencies = latencies_json(metrics.disk_latencies);
  if (!latencies.empty()) line["disk_latency_us"] = std::move(latencies);
  if (!metrics.predictions.empty()) line["predictions"] = predictions_json(metrics.predictions);
  for (const ExpertCounts& counts : metrics.experts) {
    line["experts"].push_back({{"layer", counts.block}, {"tokens", counts.tokens}});
  }
  if (metrics.validation_loss) line["validation_loss"] = *metrics.validation_loss;
  return line.dump();
}

MetricsMark extend_mark(const MetricsMark& mark, std::string_view line) {
  const std::uint64_t parts[] = {mark.checksum, io::checksum64(line)};
  return {mark.bytes + line.size(), io::checksum64(std::as_bytes(std::span(parts)))};
}

std::uint64_t count_metrics(const io::Disk& disk, const std::string& path) {
  const std::string text = text_if_there(disk, path);
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

MetricsState check_metrics(const io::Disk& disk, const std::string& path, const MetricsMark& mark) {
  return compare(text_if_there(disk, path), mark);
}

MetricsWriter::MetricsWriter(io::Disk& disk, const std::string& path, const MetricsMark& mark,
                             std::uint64_t completed_steps)
    : disk_(disk), path_(path), mark_(mark) {
  const std::string text = text_if_there(disk, path);
  if (compare(text, mark) == MetricsState::kChanged) {
    io::warn("{}: is not as the checkpoint of step {} left it; lines may be missing or changed",
             path, completed_steps);
    std::string kept;
    for_each_line(text, [&](std::string_view line) {
      if (is_kept(line, completed_steps)) kept += line;
    });
    io::replace_file(disk, path, std::as_bytes(std::span(kept)));
    mark_ = mark_of(kept);
  }
  file_ = disk.append(path, mark_.bytes);
}

void MetricsWriter::write(const StepMetrics& metrics) {
  const std::string line = metrics_line(metrics) + "\n";
  try {
    file_->append(std::as_bytes(std::span(line)));
  } catch (const io::Error& error) {
    unwritten_ = line;
    io::fail("the metrics of step {} cannot be written: {}", metrics.step, error.what());
  }
  mark_ = extend_mark(mark_, line);
}

void MetricsWriter::write_once_more(const std::string& line) {
  try {
    // What the failed write has left of the line goes first.
    file_ = disk_.append(path_, mark_.bytes);
    file_->append(std::as_bytes(std::span(line)));
    mark_ = extend_mark(mark_, line);
  } catch (const io::Error& error) {
    io::warn("a line of the metrics is left out: {}", error.what());
  }
}

MetricsMark MetricsWriter::mark() {
  if (!unwritten_.empty()) write_once_more(std::exchange(unwritten_, {}));
  return mark_;
}

}  // namespace mneme::engine
