#include "engine/metrics.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "io/error.h"

namespace mneme::engine {
namespace {

using Json = nlohmann::ordered_json;

std::string reason() {
  return std::generic_category().message(errno);
}

Json tier(const offload::TierTraffic& traffic) {
  return {{"rows_read", traffic.rows_read},
          {"bytes_read", traffic.bytes_read},
          {"rows_written", traffic.rows_written},
          {"bytes_written", traffic.bytes_written}};
}

Json times(const StepTimes& times) {
  return {{"step", times.step_ms},
          {"data", times.data_ms},
          {"forward", times.forward_ms},
          {"backward", times.backward_ms},
          {"update", times.update_ms},
          {"acquire_stall", times.acquire_stall_ms},
          {"write_back_wait", times.write_back_wait_ms}};
}

Json rows(const offload::StepCounters& rows) {
  return {{"leases", rows.leases},
          {"leased", rows.rows_leased},
          {"generated", rows.rows_generated},
          {"misses_cold", rows.misses_cold},
          {"misses_capacity", rows.misses_capacity},
          {"clean_dropped", rows.clean_dropped},
          {"evicted_from_device", rows.evicted_from_device},
          {"evicted_from_host", rows.evicted_from_host}};
}

Json stall(const offload::StepCounters& rows) {
  return {{"plan", rows.stall_plan_us},
          {"host", rows.stall_host_us},
          {"disk", rows.stall_disk_us},
          {"write_back", rows.stall_write_back_us}};
}

Json prefetch(const offload::StepCounters& rows) {
  return {{"rows", rows.prefetched},        {"used", rows.prefetch_used},
          {"late", rows.prefetch_late},     {"wasted", rows.prefetch_wasted},
          {"bytes", rows.prefetched_bytes}, {"wasted_bytes", rows.prefetch_wasted_bytes}};
}

// True when the line is whole and belongs to a step that is kept.
bool is_kept(const std::string& line, std::uint64_t completed_steps) {
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return false;
  const auto step = object.find("step");
  return step != object.end() && step->is_number_unsigned() &&
         step->get<std::uint64_t>() <= completed_steps;
}

// Rewrites the file with the kept lines alone.
void drop_later_lines(const std::string& path, std::uint64_t completed_steps) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    if (!std::filesystem::exists(path)) return;
    io::fail("{}: cannot read the metrics: {}", path, reason());
  }
  const std::string aside = path + ".tmp";
  std::ofstream out(aside, std::ios::binary | std::ios::trunc);
  for (std::string line; std::getline(in, line);) {
    // A last line without its end was torn, even if what is there happens to parse.
    if (!in.eof() && is_kept(line, completed_steps)) out << line << '\n';
  }
  out.flush();
  if (in.bad() || !out) io::fail("{}: cannot rewrite the metrics: {}", aside, reason());
  std::error_code error;
  std::filesystem::rename(aside, path, error);
  if (error) io::fail("{}: cannot rewrite the metrics: {}", path, error.message());
}

}  // namespace

std::string metrics_line(const StepMetrics& metrics) {
  const offload::StepCounters& counters = metrics.rows;
  Json line = {{"step", metrics.step},
               {"loss", metrics.loss},
               {"learning_rate", metrics.learning_rate},
               {"value_learning_rate", metrics.value_learning_rate},
               {"tokens_per_s", metrics.tokens_per_s},
               {"time_ms", times(metrics.times)},
               {"distinct_rows", metrics.distinct_rows},
               {"gradient_norm",
                {{"dense", metrics.dense_gradient_norm}, {"rows", metrics.row_gradient_norm}}},
               {"tiers",
                {{"device", tier(counters.device)},
                 {"host", tier(counters.host)},
                 {"disk", tier(counters.disk)}}},
               {"stall_us", stall(counters)},
               {"rows", rows(counters)},
               {"prefetch", prefetch(counters)},
               {"io_retries", counters.io_retries}};
  if (metrics.validation_loss) line["validation_loss"] = *metrics.validation_loss;
  return line.dump();
}

MetricsWriter::MetricsWriter(const std::string& path, std::uint64_t completed_steps) : path_(path) {
  drop_later_lines(path, completed_steps);
  file_.reset(std::fopen(path.c_str(), "ab"));
  if (!file_) io::fail("{}: cannot write the metrics: {}", path, reason());
}

void MetricsWriter::write(const StepMetrics& metrics) {
  const std::string line = metrics_line(metrics) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() ||
      std::fflush(file_.get()) != 0) {
    io::fail("{}: cannot write the metrics of step {}: {}", path_, metrics.step, reason());
  }
}

}  // namespace mneme::engine
