#include "tools/mneme/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>
#include <sstream>

#include "engine/config_keys.h"
#include "engine/config_reader.h"
#include "engine/config_scale.h"
#include "io/check.h"
#include "io/utf8.h"
#include "tools/mneme/completion_scripts.h"
#include "tools/mneme/grammar.h"
#include "tools/mneme/version.h"

namespace mneme::tools {

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  const auto check = [least, most](std::string& text) -> std::string {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [behind, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || behind != end || number < least || number > most) {
      return fmt::format("expected a whole number, {} to {}, not {}", least, most,
                         io::printable(text));
    }
    text = fmt::format("{}", number);  // CLI11 would take 010 for 8
    return {};
  };
  return {check, fmt::format("{} to {}", least, most)};
}

CLI::Validator number(double least, double most) {
  const auto check = [least, most](std::string& text) -> std::string {
    double parsed = 0;
    const char* const end = text.data() + text.size();
    const auto [behind, error] = std::from_chars(text.data(), end, parsed);
    if (error != std::errc() || behind != end || !(parsed >= least && parsed <= most)) {
      return fmt::format("expected a number, {} to {}, not {}", least, most, io::printable(text));
    }
    text = fmt::format("{}", parsed);  // .5 is no number in TOML
    return {};
  };
  return {check, fmt::format("{} to {}", least, most)};
}

void add_json(CLI::App* app, bool& json) {
  app->add_flag("--json", json, "Print the result as one JSON object");
}

// --set KEY=VALUE, and --device as a short form of one of them.
void add_overrides(CLI::App* app, std::vector<std::string>& overrides) {
  app->add_option("--set", overrides, "Override a key of the configuration; repeat for more")
      ->type_name(kSettingType)
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        return text.find('=') == std::string::npos
                   ? "--set needs KEY=VALUE, not " + io::printable(text)
                   : std::string();
      });
  app->add_option_function<std::string>(
         "--device",
         [&overrides](const std::string& device) { overrides.push_back("run.device=" + device); },
         "Where to run")
      ->check(CLI::IsMember(io::names_of<engine::DeviceKind>()));
}

void add_bytes(CLI::App* app, const char* name, std::uint64_t& bytes, const char* description) {
  app->add_option_function<std::string>(
         name, [&bytes](const std::string& text) { engine::parse_bytes(text, bytes); }, description)
      ->type_name("BYTES")
      ->default_str(engine::format_bytes(bytes))
      ->check([](const std::string& text) {
        std::uint64_t parsed = 0;
        return engine::parse_bytes(text, parsed)
                   ? std::string()
                   : fmt::format("expected bytes, 0 to {}, as 4096 or 64MiB, not {}",
                                 engine::format_bytes(engine::kMostBytes), io::printable(text));
      });
}

namespace {

// Collects the command that was chosen while CLI11 works through the line.
class Grammar {
 public:
  Grammar();
  Arguments parse(std::vector<std::string> arguments);
  const CLI::App& app() const { return app_; }

 private:
  template <typename Options>
  CLI::App* add(CLI::App& parent, const char* name, const char* description, const char* example,
                const std::shared_ptr<Options>& options) {
    return add_command(parent, command_, {name, description, example}, options);
  }
  void add_runs();
  void add_checkpoints();
  void add_completion();

  CLI::App app_{"Trains transformers whose product-key memory is larger than the GPU's memory.",
                "mneme"};
  std::optional<Command> command_;
};

// What ends a run of `train` and `resume`, for their help.
void add_signals(CLI::App* app) {
  app->footer(
      app->get_footer() +
      "\n\nSIGINT (Ctrl-C), SIGTERM, SIGHUP and a pipe for the output that nobody reads any\n"
      "more end the run after a checkpoint, with exit status 0. A second SIGINT or SIGTERM\n"
      "ends it at once. Under nohup SIGHUP is ignored.");
}

void add_directory(CLI::App* app, std::string& directory) {
  app->add_option("DIR", directory, "Folder of the run")->required()->type_name(kFolderType);
}

void add_step(CLI::App* app, std::optional<std::uint64_t>& step) {
  app->add_option("--step", step, "Step of the checkpoint (default: the newest)")
      ->transform(whole_number(0, kMostSteps));
}

// The limits that a key has in the configuration.
CLI::Validator limits_of(const char* key) {
  engine::Config config;
  for (const engine::Key& known : engine::config_keys(config)) {
    if (known.name != key) continue;
    if (const auto* integer = std::get_if<engine::IntegerValue>(&known.value)) {
      return whole_number(static_cast<std::uint64_t>(integer->least),
                          static_cast<std::uint64_t>(integer->most));
    }
    if (const auto* real = std::get_if<engine::RealValue>(&known.value)) {
      return number(real->least, real->most);
    }
  }
  CHECK(false, "{} is no key that holds a number", key);
}

void add_changed_data(CLI::App* app, bool& accept) {
  app->add_flag("--accept-changed-data", accept,
                "Take the data as it is, though it is not what the run was started on");
}

void add_scale(CLI::App* app, std::int64_t& scale) {
  app->add_option("--scale", scale,
                  "Divide widths, heads, half-keys and the sequence by this, micro-batches and the "
                  "disk's budget by its square, those of device and host by its cube: the "
                  "configuration in small, to try it out")
      ->transform(whole_number(1, engine::kMostScale));
}

// An option that is a short form of --set `key`, which holds a number.
void add_short_form(CLI::App* app, std::vector<std::string>& overrides, const char* name,
                    const char* key, const char* description) {
  app->add_option_function<std::string>(
         name,
         [&overrides, key](const std::string& value) {
           overrides.push_back(fmt::format("{}={}", key, value));
         },
         description)
      ->transform(limits_of(key));
}

void Grammar::add_runs() {
  const auto train = std::make_shared<TrainOptions>();
  CLI::App* app = add(app_, "train", "Train a model from a configuration file",
                      "mneme train configs/quickstart.toml --set train.steps=50", train);
  add_signals(app);
  auto help = std::make_shared<std::string>();
  app->add_option("CONFIG", train->config, "Configuration, a TOML file")->type_name(kTomlType);
  add_overrides(app, train->overrides);
  add_scale(app, train->scale);
  CLI::Option* help_config =
      app->add_option("--help-config", *help, "List the configuration's keys (text or markdown)")
          ->expected(0, 1)
          ->check(CLI::IsMember({"text", "markdown"}));
  app->callback([this, train, help, help_config] {
    if (help_config->count() > 0) {
      command_ = ConfigHelpOptions{*help == "markdown"};
    } else if (train->config.empty()) {
      throw CLI::RequiredError("CONFIG");
    } else {
      command_ = *train;
    }
  });

  const auto resume = std::make_shared<ResumeOptions>();
  app = add(app_, "resume", "Continue a run from its newest checkpoint",
            "mneme resume runs/quickstart", resume);
  add_signals(app);
  add_directory(app, resume->directory);
  add_step(app, resume->step);
  add_overrides(app, resume->overrides);
  add_changed_data(app, resume->accept_changed_data);

  const auto eval = std::make_shared<EvalOptions>();
  app = add(app_, "eval", "Loss of a checkpoint on the validation data",
            "mneme eval runs/quickstart --json", eval);
  add_directory(app, eval->directory);
  add_step(app, eval->step);
  add_overrides(app, eval->overrides);
  add_changed_data(app, eval->accept_changed_data);
  add_json(app, eval->json);

  const auto generate = std::make_shared<GenerateOptions>();
  app = add(app_, "generate", "Text from a checkpoint",
            "mneme generate runs/quickstart --prompt \"The function\" --tokens 200", generate);
  add_directory(app, generate->directory);
  add_step(app, generate->step);
  add_overrides(app, generate->overrides);
  app->add_option_function<std::string>(
         "--prompt",
         [generate](const std::string& prompt) {
           generate->overrides.push_back(engine::text_override("sample.prompt", prompt));
         },
         "How the text begins (default: the run's)")
      ->check([](const std::string& prompt) {
        return prompt.empty() ? std::string("expected at least one character") : std::string();
      });
  add_short_form(app, generate->overrides, "--tokens", "sample.tokens", "Tokens to write");
  add_short_form(app, generate->overrides, "--temperature", "sample.temperature",
                 "Divides the logits; 0 takes the likeliest token");
  add_short_form(app, generate->overrides, "--top-p", "sample.top_p",
                 "Joint probability of the tokens to choose from");
  app->add_option("--seed", generate->seed, "Seed of the choice (default: the run's)")
      ->transform(limits_of("run.seed"));
}

void Grammar::add_checkpoints() {
  const auto verify = std::make_shared<VerifyOptions>();
  CLI::App* app = add(app_, "verify", "Read every checksum of a run's checkpoints",
                      "mneme verify runs/quickstart", verify);
  add_directory(app, verify->directory);
  add_json(app, verify->json);

  const auto inspect = std::make_shared<InspectOptions>();
  app = add(app_, "inspect",
            "What a run's folder holds: checkpoints, rows, tensors; or what the model of a "
            "configuration has and costs: parameters, bytes, FLOPs",
            "mneme inspect runs/quickstart\n  mneme inspect configs/paper/1.3b-memory-8192.toml",
            inspect);
  app->add_option("PATH", inspect->directory, "Folder of a run, or a configuration's TOML file")
      ->required()
      ->type_name(kTomlType);
  add_json(app, inspect->json);
  add_overrides(app, inspect->overrides);
  add_scale(app, inspect->scale);

  const auto profile = std::make_shared<ProfileOptions>();
  app =
      add(app_, "profile",
          "Train for some steps, measure what the machine reaches, and report: what bounds a step, "
          "and which setting to change next",
          "mneme profile configs/quickstart.toml\n  mneme profile runs/quickstart --steps 100",
          profile);
  app->add_option(
         "PATH", profile->path,
         "Configuration, a TOML file: its first steps, in a folder of their own; or folder "
         "of a run, which goes on for so many steps")
      ->required()
      ->type_name(kTomlType);
  app->add_option("--warm-up", profile->warm_up, "Steps before those that count (default: 20)")
      ->transform(whole_number(0, kMostSteps));
  app->add_option("--steps", profile->steps, "Steps that count (default: 50)")
      ->transform(whole_number(1, kMostSteps));
  app->add_option("--output", profile->output,
                  "Folder for the steps of a configuration (default: its run.directory with "
                  "-profile behind it)")
      ->type_name(kFolderType);
  add_overrides(app, profile->overrides);
  add_json(app, profile->json);

  const auto report = std::make_shared<ReportOptions>();
  app = add(app_, "report",
            "Where the time of a run's steps went, where its rows came from and how fast, and what "
            "prefetch changed",
            "mneme report runs/quickstart --from 100\n  mneme report runs/quickstart runs/disk",
            report);
  add_directory(app, report->directory);
  app->add_option("OTHER", report->other, "Folder of another run, to compare it with")
      ->type_name(kFolderType);
  app->add_option("--output", report->output,
                  "Folder for report.html and its data (default: the run's)")
      ->type_name(kFolderType);
  app->add_option(
         "--from", report->from,
         "First step that counts (default: a profile's, or behind the first tenth, in which "
         "tiers fill)")
      ->type_name("STEP")
      ->transform(whole_number(1, kMostSteps));
  add_json(app, report->json);
  app->add_flag("--csv", report->csv, "Print a line of times and books for each step")
      ->excludes("--json");

  const auto ablate = std::make_shared<AblateOptions>();
  app =
      add(app_, "ablate",
          "Runs a grid of settings, each in a process of its own, and tells what they gave. Broken "
          "off, it goes on where it was",
          "mneme ablate configs/ablations/tiers.toml", ablate);
  app->add_option("GRID", ablate->grid, "File of the grid: a configuration, and keys to vary")
      ->required()
      ->type_name(kTomlType);
  app->add_option("--output", ablate->output,
                  "Folder of the runs and results (default: the grid's)")
      ->type_name(kFolderType);
  app->add_flag("--replay", ablate->replay,
                "Of cells that differ in sizes and policies of tiers or in speeds of links alone, "
                "train one, and answer the others from its trace: counts exactly, times predicted");
  app->add_flag("--retry", ablate->retry, "Run those once more that failed");
  app->add_flag("--no-run", ablate->no_run, "Only tell what is there");
  add_json(app, ablate->json);

  const auto exporting = std::make_shared<ExportOptions>();
  app = add(app_, "export", "Write a checkpoint as safetensors",
            "mneme export runs/quickstart --output quickstart.safetensors", exporting);
  add_directory(app, exporting->directory);
  app->add_option("-o,--output", exporting->output, "File to write")
      ->required()
      ->type_name(kFileType);
  add_step(app, exporting->step);
  app->add_flag("--untouched", exporting->untouched,
                "Write the whole value table, also rows that nothing has touched");
}

void Grammar::add_completion() {
  const auto completion = std::make_shared<CompletionOptions>();
  CLI::App* app =
      add(app_, "completion", "Print what completes this command line in a shell",
          "mneme completion bash > ~/.local/share/bash-completion/completions/mneme", completion);
  add_choice(app, "SHELL", completion->shell, "The shell")->required()->default_str("");
}

Grammar::Grammar() {
  app_.require_subcommand(1);
  app_.set_version_flag("--version", fmt::format("mneme {}", kVersion));
  app_.footer("Example:\n  mneme train configs/quickstart.toml");
  app_.failure_message([](const CLI::App* app, const CLI::Error& error) {
    // The sub-command that was reached knows the right help page.
    std::string name = "mneme";
    for (const CLI::App* at = app; !at->get_subcommands().empty();) {
      at = at->get_subcommands().front();
      name += " " + at->get_name();
    }
    std::string what = error.what();
    std::replace(what.begin(), what.end(), '\n', ' ');
    return fmt::format("error: {} (see {} --help)\n", what, name);
  });
  add_runs();
  add_prepare_command(app_, command_);
  add_checkpoints();
  add_tokenizer_commands(app_, command_);
  add_plan_command(app_, command_);
  add_trace_commands(app_, command_);
  add_bench_commands(app_, command_);
  add_completion();
}

Arguments Grammar::parse(std::vector<std::string> arguments) {
  Arguments result;
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app_.parse(arguments);
    result.command = command_;
  } catch (const CLI::ParseError& error) {
    std::ostringstream output;
    std::ostringstream message;
    result.exit_code = app_.exit(error, output, message) == 0 ? 0 : 2;
    result.output = output.str();
    result.error = message.str();
  }
  return result;
}

}  // namespace

Arguments parse_arguments(const std::vector<std::string>& arguments) {
  return Grammar().parse(arguments);
}

std::string completion_script(Shell shell) {
  const Grammar grammar;
  const std::vector<CompletedCommand> commands = completed_commands(grammar.app());
  return shell == Shell::kBash ? bash_completion(commands, completed_keys())
                               : zsh_completion(commands, completed_keys());
}

}  // namespace mneme::tools
