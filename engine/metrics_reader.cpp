#include "engine/metrics_reader.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "engine/metrics_fields.h"
#include "io/enum_names.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

using Json = nlohmann::json;

// 0 where the field is missing, NaN where it is null.
double number(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0;
  return found->is_null() ? std::numeric_limits<double>::quiet_NaN() : found->get<double>();
}

template <typename Integer>
Integer whole(const Json& object, const char* name) {
  return object.value(name, Integer{});
}

template <typename Enum>
Enum named(const Json& object, const char* name, Enum missing) {
  const auto found = object.find(name);
  if (found == object.end()) return missing;
  const auto value = io::value_named<Enum>(found->get<std::string>());
  if (!value) io::fail("{} is {}, which there is none of", name, found->get<std::string>());
  return *value;
}

offload::Books books_of(const Json& accounts) {
  offload::Books books;
  for (const Json& object : accounts) {
    offload::Account account;
    account.cause = named(object, "cause", offload::Cause::kTraining);
    account.pass = named(object, "pass", offload::Pass::kNone);
    if (!object.at("layer").is_null()) account.layer = object.at("layer").get<std::int32_t>();
    offload::Entry& entry = books[account];
    for (const offload::FieldInfo& info : offload::kFields) {
      entry[info.field] = object.value(Json::json_pointer(field_pointer(info)), std::uint64_t{0});
    }
  }
  return books;
}

memory::HintScore hints_of(const Json& object) {
  return {.present = whole<std::uint64_t>(object, "present"),
          .hinted = whole<std::uint64_t>(object, "hinted"),
          .brought = whole<std::uint64_t>(object, "brought"),
          .used = whole<std::uint64_t>(object, "used"),
          .late = whole<std::uint64_t>(object, "late")};
}

offload::DiskLatencies latencies_of(const Json& object) {
  offload::DiskLatencies latencies;
  for (std::size_t i = 0; i < offload::kDiskQueues; ++i) {
    const std::string name(io::name_of(static_cast<offload::DiskQueue>(i)));
    for (const Json& pair : object.value(name, Json::array())) {
      latencies.queues[i].add(pair.at(0).get<std::uint64_t>(), pair.at(1).get<std::uint64_t>());
    }
  }
  return latencies;
}

PredictionMetrics prediction_of(const Json& object) {
  PredictionMetrics prediction;
  prediction.predictor = named(object, "predictor", memory::PredictorKind::kNone);
  prediction.layer = whole<std::int32_t>(object, "layer");
  prediction.distance = object.value("distance", std::int64_t{-1});
  memory::PredictionScore& score = prediction.score;
  score.steps = 1;
  score.read = whole<std::uint64_t>(object, "read");
  score.predicted = whole<std::uint64_t>(object, "predicted");
  score.hits = whole<std::uint64_t>(object, "hits");
  std::size_t i = 0;
  for (const Json& at : object.value("at", Json::array())) {
    if (i == score.hits_at.size()) break;
    score.hits_at[i] = whole<std::uint64_t>(at, "hits");
    score.hottest_at[i++] = number(at, "hottest_recall") * static_cast<double>(score.read);
  }
  if (object.contains("hints")) prediction.hints = hints_of(object.at("hints"));
  return prediction;
}

}  // namespace

StepMetrics parse_metrics_line(std::string_view line) {
  try {
    const Json object = Json::parse(line);
    StepMetrics metrics;
    metrics.step = object.at("step").get<std::uint64_t>();
    metrics.loss = number(object, "loss");
    metrics.learning_rate = number(object, "learning_rate");
    metrics.value_learning_rate = number(object, "value_learning_rate");
    metrics.tokens_per_s = number(object, "tokens_per_s");
    const Json times = object.value("time_ms", Json::object());
    metrics.times = {.step_ms = number(times, "step"),
                     .data_ms = number(times, "data"),
                     .forward_ms = number(times, "forward"),
                     .predict_ms = number(times, "predict"),
                     .backward_ms = number(times, "backward"),
                     .update_ms = number(times, "update"),
                     .stall_ms = number(times, "stall"),
                     .evaluation_ms = number(times, "evaluation"),
                     .sample_ms = number(times, "sample"),
                     .checkpoint_ms = number(times, "checkpoint")};
    const Json norms = object.value("gradient_norm", Json::object());
    metrics.dense_gradient_norm = number(norms, "dense");
    metrics.row_gradient_norm = number(norms, "rows");
    metrics.distinct_rows = whole<std::int64_t>(object.value("rows", Json::object()), "distinct");
    const Json books = object.value("books", Json::object());
    metrics.books = books_of(books.value("accounts", Json::array()));
    metrics.disk_latencies = latencies_of(object.value("disk_latency_us", Json::object()));
    for (const Json& one : object.value("predictions", Json::array())) {
      metrics.predictions.push_back(prediction_of(one));
    }
    if (object.contains("validation_loss")) {
      metrics.validation_loss = number(object, "validation_loss");
    }
    return metrics;
  } catch (const Json::exception& error) {
    io::fail("not a line of metrics: {}", error.what());
  }
}

std::vector<StepMetrics> read_metrics(const io::Disk& disk, const std::string& path) {
  const std::vector<std::byte> bytes =
      disk.read_file(path, std::numeric_limits<std::uint64_t>::max());
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<StepMetrics> lines;
  for (std::size_t end; (end = text.find('\n')) != std::string_view::npos;) {
    try {
      lines.push_back(parse_metrics_line(text.substr(0, end)));
    } catch (const io::Error& error) {
      io::fail("{}: line {}: {}", path, lines.size() + 1, error.what());
    }
    text.remove_prefix(end + 1);
  }
  return lines;
}

}  // namespace mneme::engine
