// The grammar of `mneme trace` and `mneme replay`.
#include <limits>
#include <memory>

#include "engine/config_reader.h"
#include "io/enum_names.h"
#include "io/utf8.h"
#include "memory/prediction/history_predictor.h"

#include "tools/mneme/grammar.h"

namespace mneme::tools {
namespace {

void add_path(CLI::App* app, std::string& path) {
  app->add_option("PATH", path, "Folder of a run, whose newest trace is taken, or a trace's file")
      ->required()
      ->type_name(kFileType);
}

void add_info(CLI::App& trace, std::optional<Command>& command) {
  const auto info = std::make_shared<TraceInfoOptions>();
  CLI::App* app = add_command(trace, command,
                              {"info", "What a trace holds: steps, tiers, leases, hints",
                               "mneme trace info runs/quickstart"},
                              info);
  add_path(app, info->path);
  add_json(app, info->json);
}

void add_export(CLI::App& trace, std::optional<Command>& command) {
  const auto exporting = std::make_shared<TraceExportOptions>();
  CLI::App* app = add_command(
      trace, command,
      {"export", "Write the rows that leases asked for, in order, for other programs",
       "mneme trace export runs/quickstart --format oracleGeneral --output rows.oracleGeneral"},
      exporting);
  add_path(app, exporting->path);
  app->add_option("-o,--output", exporting->output, "File to write")
      ->required()
      ->type_name(kFileType);
  add_choice(app, "--format", exporting->format,
             "csv: a line for each row of a lease; oracleGeneral: libCacheSim's records, with the "
             "next request of each row, times in steps and sizes of 1");
  app->add_flag("--all", exporting->all, "Leases of evaluation, samples and exports, too");
  app->add_flag("--forward-only", exporting->forward_only,
                "Leases of forward passes alone: a row once for each layer that reads it");
}

// Rows, or a share of the table.
std::string size_problem(const std::string& text) {
  double percent = 0;
  if (engine::parse_percent(text, 100, percent)) return {};
  const bool is_number = !text.empty() && text.size() < 12 &&
                         text.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? std::string()
                   : fmt::format("expected rows, as 4096, or a share of the table, as 25%, not {}",
                                 io::printable(text));
}

void add_misses(CLI::App& trace, std::optional<Command>& command) {
  const auto misses = std::make_shared<TraceMissesOptions>();
  CLI::App* app = add_command(
      trace, command,
      {"misses", "What caches of other sizes would have missed, reference by reference: LRU",
       "mneme trace misses runs/quickstart --sizes 5%,10%,25% --belady"},
      misses);
  add_path(app, misses->path);
  app->add_option("--sizes", misses->sizes, "Sizes of the cache: rows, or shares of the table")
      ->capture_default_str()
      ->type_name("ROWS")
      ->delimiter(',')
      ->check(size_problem);
  app->add_option("--sample", misses->sample,
                  "Look at this share of the rows only, chosen by a hash: an estimate, sooner")
      ->capture_default_str()
      ->transform(number(1e-6, 1));
  app->add_flag("--belady", misses->belady,
                "Besides, the fewest misses that any policy could have: Belady's");
  app->add_flag("--forward-only", misses->forward_only,
                "Leases of forward passes alone: a row once for each layer that reads it");
  add_json(app, misses->json);
  app->add_flag("--csv", misses->csv, "Print a line for each size")->excludes("--json");
}

void add_usage(CLI::App& trace, std::optional<Command>& command) {
  const auto usage = std::make_shared<TraceUsageOptions>();
  CLI::App* app =
      add_command(trace, command,
                  {"usage", "How rows were used in training: distinct, new, skew, reuse; by layer",
                   "mneme trace usage runs/quickstart"},
                  usage);
  add_path(app, usage->path);
  add_json(app, usage->json);
  app->add_flag("--csv", usage->csv, "Print distinct and new rows of each step and layer")
      ->excludes("--json");
}

// A list of budgets, with commas or one option each.
void add_budgets(CLI::App* app, const char* name, std::vector<std::string>& budgets,
                 const char* description) {
  app->add_option(name, budgets, description)
      ->type_name("BYTES")
      ->delimiter(',')
      ->check([](const std::string& text) {
        std::uint64_t bytes = 0;
        double percent = 0;
        return engine::parse_bytes(text, bytes) || engine::parse_percent(text, 100, percent)
                   ? std::string()
                   : fmt::format(
                         "expected bytes, as 4096 or 64MiB, or a share of the table up to "
                         "100%, as 25%, not {}",
                         io::printable(text));
      });
}

void add_replay(CLI::App& parent, std::optional<Command>& command) {
  const auto replay = std::make_shared<ReplayOptions>();
  CLI::App* app = add_command(
      parent, command,
      {"replay", "What the run of a trace would have moved with other tiers and policies",
       "mneme replay runs/quickstart --device-bytes 5%,10%,25% --policy lru,sieve"},
      replay);
  add_path(app, replay->path);
  add_budgets(app, "--device-bytes", replay->device_bytes,
              "Budgets of the device tier to try (default: the run's)");
  add_budgets(app, "--host-bytes", replay->host_bytes,
              "Budgets of the host tier to try (default: the run's)");
  std::vector<std::string> policies = io::names_of<kernels::ReplacementKind>();
  policies.emplace_back(kBelady);
  app->add_option(
         "--policy", replay->policies,
         "Replacement policies of both tiers to try (default: the run's). belady knows what "
         "comes, and misses least")
      ->delimiter(',')
      ->check(CLI::IsMember(policies));
  std::vector<std::string> predictors;
  for (const std::string& name : io::names_of<memory::PredictorKind>()) {
    const auto kind = *io::value_named<memory::PredictorKind>(name);
    if (kind == memory::PredictorKind::kNone || memory::is_history(kind))
      predictors.push_back(name);
  }
  app->add_option("--prefetch", replay->prefetch,
                  "What predicts rows, to try: a history takes a trace with run.trace_lookups "
                  "(default: the hints of the trace)")
      ->delimiter(',')
      ->check(CLI::IsMember(predictors));
  app->add_option("--prefetch-confidence", replay->hints.prefetch_confidence,
                  "How likely a row has to be read to be hinted by a history")
      ->capture_default_str()
      ->transform(number(0, 1));
  add_bytes(app, "--prefetch-bytes", replay->hints.prefetch_bytes,
            "Most bytes that hints of a history move in one step from the disk to the host tier");
  add_bytes(app, "--prefetch-device-bytes", replay->hints.prefetch_device_bytes,
            "The same from the host tier to the device");
  add_bytes(app, "--prefetch-history-bytes", replay->hints.prefetch_history_bytes,
            "Memory in which a history keeps the look-ups of the last tokens");
  const auto add_speed = [&](const char* name, std::optional<double>& value, const char* type,
                             const char* description) {
    app->add_option(name, value, description)->type_name(type)->transform(number(0, 1e9));
  };
  add_speed("--host-link-gb-per-s", replay->host_link_gb_per_s, "GB/S",
            "Speed of the host link in each direction: rows take time then (default: as the run "
            "emulated it)");
  add_speed("--disk-link-gb-per-s", replay->disk_link_gb_per_s, "GB/S",
            "Speed of the disk (default: as the run emulated it)");
  add_speed("--compute-ms", replay->step_ms, "MS",
            "Computation of a step, beside which rows come (default: 0)");
  app->add_option("--until", replay->until, "Last step to replay (default: that of the trace)")
      ->type_name("STEP")
      ->transform(whole_number(1, std::numeric_limits<std::int64_t>::max()));
  app->add_option("--threads", replay->threads, "Replays at a time; 0 for as many as cores")
      ->capture_default_str()
      ->transform(whole_number(0, 4096));
  add_json(app, replay->json);
  app->add_flag("--csv", replay->csv, "Print a line of all counts for each replay")
      ->excludes("--json");
}

}  // namespace

void add_trace_commands(CLI::App& parent, std::optional<Command>& command) {
  CLI::App* trace =
      parent.add_subcommand("trace", "Read what a run with run.trace has asked its tiers for");
  trace->require_subcommand(1);
  trace->footer("Example:\n  mneme trace info runs/quickstart");
  add_info(*trace, command);
  add_export(*trace, command);
  add_misses(*trace, command);
  add_usage(*trace, command);
  add_replay(parent, command);
}

}  // namespace mneme::tools
