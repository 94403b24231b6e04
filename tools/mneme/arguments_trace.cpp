// The grammar of `mneme trace`.
#include <memory>

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

}  // namespace

void add_trace_commands(CLI::App& parent, std::optional<Command>& command) {
  CLI::App* trace =
      parent.add_subcommand("trace", "Read what a run with run.trace has asked its tiers for");
  trace->require_subcommand(1);
  trace->footer("Example:\n  mneme trace info runs/quickstart");
  add_info(*trace, command);
  add_export(*trace, command);
}

}  // namespace mneme::tools
