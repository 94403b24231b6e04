// The grammar of `mneme bench`.
#include <memory>

#include "tools/mneme/grammar.h"

namespace mneme::tools {
namespace {

constexpr std::uint64_t kMostRows = (std::uint64_t{1} << 32) - 2;  // of a table

void add_device(CLI::App* app, engine::DeviceKind& device) {
  add_choice(app, "--device", device, "Where to run");
}

void add_disk_access(CLI::App* app, std::uint32_t& depth, io::IoEngine& engine) {
  app->add_option("--depth", depth, "Disk transfers in flight")
      ->capture_default_str()
      ->transform(whole_number(1, 4096));
  add_choice(app, "--engine", engine, "Disk interface");
}

void add_seed(CLI::App* app, std::uint64_t& seed, const char* description) {
  app->add_option("--seed", seed, description)
      ->capture_default_str()
      ->transform(whole_number(0, kMostSeed));
}

void add_rows(CLI::App& bench, std::optional<Command>& command) {
  const auto rows = std::make_shared<BenchRowsOptions>();
  CLI::App* app = add_command(bench, command,
                              {"rows", "Forward, lookup gradients and update of value rows alone",
                               "mneme bench rows --tokens 512 --rows-per-token 128 --rows 1000000"},
                              rows);
  app->add_option("--path", rows->path, "Folder of the rows file")
      ->capture_default_str()
      ->type_name(kFolderType);
  app->add_option("--rows", rows->rows, "Rows of the table")
      ->capture_default_str()
      ->transform(whole_number(1, kMostRows));
  app->add_option("--width", rows->width, "Width of a value")
      ->capture_default_str()
      ->transform(whole_number(1, 65536));
  app->add_flag("--experts", rows->experts, "Rows are PEER's experts, of two values each");
  app->add_option("--tokens", rows->tokens, "Tokens of a step")
      ->capture_default_str()
      ->transform(whole_number(1, 1 << 28));
  app->add_option("--rows-per-token", rows->rows_per_token, "Look-ups of one token")
      ->capture_default_str()
      ->transform(whole_number(1, 1 << 20));
  app->add_option("--distinct-rows", rows->distinct_rows,
                  "Look-ups fall on this many rows, spread over the table; 0 for all")
      ->capture_default_str()
      ->transform(whole_number(0, kMostRows));
  add_choice(app, "--optimizer", rows->optimizer, "Row optimiser");
  app->add_option("--clip-norm", rows->clip_norm, "Clip the row gradient's norm; 0 for no clipping")
      ->capture_default_str()
      ->transform(number(0, 1e30));
  add_choice(app, "--value-type", rows->value_type, "Type of values and moments");
  app->add_option("--steps", rows->steps, "Steps to measure")
      ->capture_default_str()
      ->transform(whole_number(1, kMostSteps));
  app->add_option("--skew", rows->skew, "Zipf exponent of the rows' popularity")
      ->capture_default_str()
      ->transform(number(0.0, 4.0));
  add_bytes(app, "--device-bytes", rows->device_bytes,
            "Budget of the device tier; 0 for room for every row");
  add_bytes(app, "--host-bytes", rows->host_bytes, "Budget of the host tier");
  add_choice(app, "--policy", rows->policy, "Replacement policy of both tiers");
  add_disk_access(app, rows->io_depth, rows->io_engine);
  app->add_option("--threads", rows->threads, "CPU threads; 0 for all")
      ->capture_default_str()
      ->transform(whole_number(0, 4096));
  add_device(app, rows->device);
  add_seed(app, rows->seed, "Seed of the access pattern");
  add_json(app, rows->json);
}

void add_disk(CLI::App& bench, std::optional<Command>& command) {
  const auto disk = std::make_shared<BenchDiskOptions>();
  CLI::App* app = add_command(bench, command,
                              {"disk", "Random records a second from and to a disk",
                               "mneme bench disk --path mneme-bench.tmp --record-bytes 12288 "
                               "--read-share 0.5"},
                              disk);
  app->add_option("--path", disk->path, "File to write, read and remove again")
      ->capture_default_str()
      ->type_name(kFileType);
  add_bytes(app, "--file-bytes", disk->file_bytes, "Size of the file");
  app->add_option("--record-bytes", disk->record_bytes, "Size of one transfer")
      ->capture_default_str()
      ->transform(whole_number(512, 1 << 20));
  add_disk_access(app, disk->depth, disk->io_engine);
  app->add_option("--read-share", disk->read_share,
                  "Share of reads, the rest is writes; with --through-store 0.5 or more")
      ->capture_default_str()
      ->transform(number(0.0, 1.0));
  app->add_option("--seconds", disk->seconds, "How long to measure")
      ->capture_default_str()
      ->transform(number(0.01, 86400.0));
  app->add_flag("--keep", disk->keep, "Leave the file there");
  app->add_flag("--reuse", disk->reuse,
                "Take or overwrite the file that an earlier benchmark left there");
  CLI::Option* through_store =
      app->add_flag("--through-store", disk->through_store,
                    "Page value rows of that size into the device's memory, as training does: "
                    "read, checksum, copy; rows that are changed are written back");
  app->add_option("--lease-rows", disk->lease_rows, "With --through-store: rows wanted at once")
      ->capture_default_str()
      ->needs(through_store)
      ->transform(whole_number(1, 1 << 24));
  app->add_option(
         "--compute-ms", disk->compute_ms,
         "With --through-store: an emulated computation on each lease's rows, beside which "
         "the next rows come")
      ->capture_default_str()
      ->needs(through_store)
      ->transform(number(0.0, 60000.0));
  add_choice(app, "--device", disk->device, "With --through-store: where to run")
      ->needs(through_store);
  add_seed(app, disk->seed, "Seed of the data and the order");
  add_json(app, disk->json);
}

void add_model(CLI::App& bench, std::optional<Command>& command) {
  const auto model = std::make_shared<BenchModelOptions>();
  CLI::App* app = add_command(bench, command,
                              {"model", "Tokens a second of a configuration",
                               "mneme bench model configs/h200-4096-device-25.toml --fill-rows "
                               "--token-skew 1 --warm-up 50"},
                              model);
  app->add_option("CONFIG", model->config, "Configuration, a TOML file")
      ->required()
      ->type_name(kTomlType);
  add_overrides(app, model->overrides);
  app->add_option("--steps", model->steps, "Steps to measure")
      ->capture_default_str()
      ->transform(whole_number(1, kMostSteps));
  app->add_option("--warm-up", model->warm_up, "Steps before those that are measured")
      ->capture_default_str()
      ->transform(whole_number(0, kMostSteps));
  app->add_flag("--fill-rows", model->fill_rows,
                "Touch every row of the table first, so that the tiers are full, as after a long "
                "run");
  app->add_option("--token-skew", model->token_skew,
                  "Random tokens with this Zipf exponent (0: all alike), instead of those of "
                  "data.path. They follow no grammar: with 1, the exponent of single words, they "
                  "touch far fewer rows than text")
      ->transform(number(0.0, 4.0));
  app->add_option("--scale", model->scale,
                  "Try a large configuration: divide the half-keys by N, and rows, tiers, "
                  "vocabulary and tokens of a step by N * N")
      ->capture_default_str()
      ->transform(whole_number(1, 1024));
  add_json(app, model->json);
}

void add_machine(CLI::App& bench, std::optional<Command>& command) {
  const auto machine = std::make_shared<BenchMachineOptions>();
  CLI::App* app = add_command(bench, command,
                              {"machine",
                               "Sizes and speeds of this machine, as a file for mneme plan. Takes "
                               "about a minute",
                               "mneme bench machine --output machine.toml"},
                              machine);
  app->add_option("-o,--output", machine->output, "File to write (default: standard output)")
      ->type_name(kFileType);
  app->add_option(
         "--path", machine->path,
         "File to write, read and remove again, on the disk that rows will be on; an empty "
         "name leaves the disk out")
      ->capture_default_str()
      ->type_name(kFileType);
  add_bytes(app, "--file-bytes", machine->file_bytes, "Size of that file");
  app->add_option("--seconds", machine->seconds, "How long to read from the disk, and to write")
      ->capture_default_str()
      ->transform(number(0.01, 3600.0));
  app->add_option("--name", machine->name, "What to call the machine (default: its processor)")
      ->type_name("TEXT");
  add_device(app, machine->device);
}

}  // namespace

void add_bench_commands(CLI::App& parent, std::optional<Command>& command) {
  CLI::App* bench = parent.add_subcommand("bench", "Measure this machine");
  bench->require_subcommand(1);
  bench->footer("Example:\n  mneme bench disk --path mneme-bench.tmp --record-bytes 12288");
  add_rows(*bench, command);
  add_disk(*bench, command);
  add_model(*bench, command);
  add_machine(*bench, command);
}

}  // namespace mneme::tools
