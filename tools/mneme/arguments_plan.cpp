// The grammar of `mneme plan`.
#include <memory>

#include "tools/mneme/grammar.h"

namespace mneme::tools {

void add_plan_command(CLI::App& parent, std::optional<Command>& command) {
  const auto plan = std::make_shared<PlanCommandOptions>();
  CLI::App* app = add_command(
      parent, command,
      {"plan",
       "What a configuration will be on a machine, before anything runs: what fits, what limits a "
       "step, how fast it will be",
       "mneme plan configs/quickstart.toml --machine machine.toml"},
      plan);
  app->add_option("CONFIG", plan->config, "Configuration, a TOML file")
      ->required()
      ->type_name(kTomlType);
  add_overrides(app, plan->overrides);
  app->add_option("--machine", plan->machine,
                  "Machine, as mneme bench machine writes it or in configs/machines (default: the "
                  "memory of this one, without speeds)")
      ->type_name(kTomlType);
  CLI::Option* trace =
      app->add_option("--trace", plan->trace,
                      "Trace of a run with such a table, or its folder, with any tiers: rows are "
                      "used as there")
          ->type_name(kFileType);
  app->add_option("--skew", plan->skew,
                  "Without a trace: Zipf exponent of how often rows are used, all of them being in "
                  "use (default: 0.6)")
      ->excludes(trace)
      ->transform(number(0.0, 4.0));
  app->add_option("--ranks", plan->ranks,
                  "Share the columns of the table, and the batch, between so many devices")
      ->capture_default_str()
      ->transform(whole_number(1, 1024));
  app->add_option("--tokens", plan->tokens, "Tokens to train on; 0: those of train.steps")
      ->capture_default_str()
      ->transform(whole_number(0, 1'000'000'000'000'000));
  app->add_option("--threads", plan->threads, "Replays of the trace at a time; 0 for all cores")
      ->capture_default_str()
      ->transform(whole_number(0, 4096));
  add_json(app, plan->json);
}

}  // namespace mneme::tools
