// The commands of the `mneme` program: what the command line turns into, and what runs it.
//
// arguments.cpp turns a command line into one of the option structs; main.cpp hands it to the run
// function of the same name, which lives in a file of its own (train.cpp, bench_disk.cpp, ...).
// A run function writes its result to standard output and progress to standard error, throws
// io::Error for everything that goes wrong and io::Interrupted when a signal has ended it, and
// returns the exit status. main() finds out whether the result arrived.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config.h"
#include "io/enum_names.h"
#include "text/prepare/prepare.h"
#include "text/prepare/train_tokenizer.h"

namespace mneme::tools {

struct TrainOptions {
  std::string config;                  // TOML file
  std::vector<std::string> overrides;  // "section.key=value", --device among them
  std::int64_t scale = 1;              // divides the model's sizes (engine/config_scale.h)
};

struct ConfigHelpOptions {  // mneme train --help-config
  bool markdown = false;
};

struct ResumeOptions {
  std::string directory;               // of the run
  std::optional<std::uint64_t> step;   // of the checkpoint; the newest one unless given
  std::vector<std::string> overrides;  // of the run's resolved configuration
  bool accept_changed_data = false;
};

struct EvalOptions {
  std::string directory;
  std::optional<std::uint64_t> step;  // of the checkpoint; the newest one unless given
  std::vector<std::string> overrides;
  bool accept_changed_data = false;
  bool json = false;
};

struct GenerateOptions {
  std::string directory;
  std::optional<std::uint64_t> step;
  std::vector<std::string> overrides;  // --prompt, --tokens, --temperature, --top-p among them
  std::optional<std::uint64_t> seed;   // instead of the run's
};

struct VerifyOptions {
  std::string directory;
  bool json = false;
};

struct InspectOptions {
  std::string directory;  // of a run, or a configuration's file
  bool json = false;
  // Of a configuration's file alone.
  std::vector<std::string> overrides;
  std::int64_t scale = 1;
};

struct ExportOptions {
  std::string directory;
  std::optional<std::uint64_t> step;
  std::string output;      // safetensors file
  bool untouched = false;  // write the whole table, rows that nothing has touched generated
};

struct ProfileOptions {
  std::string path;                    // a configuration's file, or a run's folder
  std::vector<std::string> overrides;  // as of TrainOptions and ResumeOptions
  std::string output;                  // folder of the profile of a configuration; empty: beside
                                       // its run.directory, with "-profile" behind the name
  std::int64_t warm_up = 20;           // steps before those that count
  std::int64_t steps = 50;
  bool json = false;
};

struct ReportOptions {
  std::string directory;
  std::string other;                 // run to compare it with; empty: none
  std::string output;                // folder for the pages; empty: the run's
  std::optional<std::int64_t> from;  // the first step; none: a profile's, or behind the first tenth
  bool json = false;
  bool csv = false;
};

struct AblateOptions {
  std::string grid;     // file
  std::string output;   // folder; empty: the grid's `directory`
  bool replay = false;  // cells are answered from the trace of another one, where that is exact
  bool retry = false;   // runs that failed, once more
  bool no_run = false;  // only says what is there
  bool json = false;
};

struct TraceInfoOptions {
  std::string path;  // of a trace, or of a run with one
  bool json = false;
};

enum class TraceFormat { kCsv, kOracleGeneral };

constexpr auto enum_names(TraceFormat) {
  return std::to_array<io::EnumName<TraceFormat>>(
      {{"csv", TraceFormat::kCsv}, {"oracleGeneral", TraceFormat::kOracleGeneral}});
}

struct TraceExportOptions {
  std::string path;
  std::string output;
  TraceFormat format = TraceFormat::kCsv;
  bool all = false;           // leases of evaluations, too
  bool forward_only = false;  // of forward passes alone
};

struct TraceMissesOptions {
  std::string path;
  std::vector<std::string> sizes = {"1%", "2%", "5%", "10%", "25%", "50%"};  // or rows
  double sample = 1;                                                         // share of the rows
  bool belady = false;
  bool forward_only = false;
  bool json = false;
  bool csv = false;
};

struct TraceUsageOptions {
  std::string path;
  bool json = false;
  bool csv = false;
};

// A policy that only replays have, besides those of a run.
inline constexpr const char* kBelady = "belady";

struct ReplayOptions {
  std::string path;  // as of mneme trace
  // Bytes, or shares of the table such as "25%"; none: as the run had them.
  std::vector<std::string> device_bytes, host_bytes;
  std::vector<std::string> policies;  // of both tiers
  std::vector<std::string> prefetch;  // none, or a history; none given: hints as the trace has them
  engine::TiersConfig hints;          // of histories: confidence and bytes
  std::optional<std::int64_t> until;  // the last step to replay; none: all
  std::int64_t threads = 0;           // 0 for all cores
  // Speeds, and what a step computes; none: as the run emulated them, or not known.
  std::optional<double> host_link_gb_per_s, disk_link_gb_per_s, step_ms;
  bool json = false;
  bool csv = false;
};

struct PrepareCommandOptions {
  std::string tokenizer;  // file, or "bytes"
  text::PrepareOptions prepare;
};

enum class Shell { kBash, kZsh };

constexpr auto enum_names(Shell) {
  return std::to_array<io::EnumName<Shell>>({{"bash", Shell::kBash}, {"zsh", Shell::kZsh}});
}

struct CompletionOptions {
  Shell shell = Shell::kBash;
};

struct BenchRowsOptions {
  std::string path = "runs/bench";    // folder of the rows file
  std::uint64_t rows = 1 << 18;       // of the table
  std::int64_t tokens = 512;          // of a step
  std::int64_t rows_per_token = 128;  // look-ups of one token
  std::int64_t width = 256;           // of a value
  bool experts = false;               // rows of two values that are PEER's experts
  std::uint64_t distinct_rows = 0;    // look-ups fall on this many rows of the table; 0 for all
  kernels::RowOptimizerKind optimizer = kernels::RowOptimizerKind::kAdamW;
  double clip_norm = 0;  // 0: the gradient's norm is not needed
  kernels::FloatType value_type = kernels::FloatType::kF32;
  std::int64_t steps = 20;
  double skew = 0;                 // Zipf exponent of the row popularity; 0 for uniform
  std::uint64_t device_bytes = 0;  // 0: room for all rows that the run touches
  std::uint64_t host_bytes = 0;
  kernels::ReplacementKind policy = kernels::ReplacementKind::kLru;
  std::uint32_t io_depth = 32;
  io::IoEngine io_engine = io::IoEngine::kAuto;
  int threads = 0;
  engine::DeviceKind device = engine::DeviceKind::kAuto;
  std::uint64_t seed = 1;
  bool json = false;
};

struct BenchDiskOptions {
  std::string path = "mneme-bench.tmp";  // of the test file
  std::uint64_t file_bytes = 1ull << 30;
  std::uint32_t record_bytes = 12288;
  std::uint32_t depth = 64;
  double read_share = 1.0;
  double seconds = 5;
  io::IoEngine io_engine = io::IoEngine::kAuto;
  std::uint64_t seed = 1;
  bool keep = false;   // leave the test file there
  bool reuse = false;  // an earlier benchmark's file may be there already, and be overwritten
  // Read through the tiered store, into the device's memory.
  bool through_store = false;
  std::int64_t lease_rows = 8192;  // of one lease
  double compute_ms = 0;           // that an emulated computation on each lease's rows lasts
  engine::DeviceKind device = engine::DeviceKind::kAuto;
  bool json = false;
};

struct BenchMachineOptions {
  std::string output;                     // file to write; empty: standard output
  std::string path = "mneme-bench.tmp";   // of the test file on the disk; empty: no disk
  std::uint64_t file_bytes = 1ull << 30;  // of it
  double seconds = 3;                     // of reads, and of writes
  engine::DeviceKind device = engine::DeviceKind::kAuto;
  std::string name;  // of the machine
};

// A tokenizer's file, and how it is read.
struct TokenizerFile {
  std::string path;  // "bytes" for none
  std::string encoding = "auto";
};

struct TokenizerInfoOptions {  // mneme tokenizer info
  TokenizerFile tokenizer;
  bool json = false;
};

struct TokenizerTrainOptions {  // mneme tokenizer train
  std::vector<std::string> inputs;
  std::string output;
  text::TrainTokenizerOptions train;
};

struct TokenizerEncodeOptions {  // mneme tokenizer encode
  TokenizerFile tokenizer;
  std::string input = "-";          // file; "-" for standard input
  std::optional<std::string> text;  // in place of a file
  bool json_lines = false;
  bool adds_special = false;
  bool plain_special = false;
};

struct TokenizerDecodeOptions {  // mneme tokenizer decode
  TokenizerFile tokenizer;
  std::string input = "-";
  bool json_lines = false;
  bool skips_special = false;
};

struct PlanCommandOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string machine;         // file; empty: this one, without speeds
  std::string trace;           // of a run with the same table, or its folder; empty: `skew`
  std::optional<double> skew;  // Zipf's exponent
  std::int64_t ranks = 1;
  std::uint64_t tokens = 0;  // to train on; 0: those of train.steps
  std::int64_t threads = 0;  // of replays; 0 for all cores
  bool json = false;
};

struct BenchModelOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::int64_t steps = 20;
  std::int64_t warm_up = 2;  // steps before those that are measured
  bool fill_rows = false;    // touch every row first, so that the tiers are full
  // Zipf exponent of the popularity of random tokens, 0 for uniform; without it the tokens are
  // those of data.path, where that is there.
  std::optional<double> token_skew;
  std::int64_t scale = 1;  // divides the half-keys, and all that goes with rows by its square
  bool json = false;
};

using Command =
    std::variant<TrainOptions, ConfigHelpOptions, ResumeOptions, EvalOptions, GenerateOptions,
                 VerifyOptions, InspectOptions, ExportOptions, TraceInfoOptions, TraceExportOptions,
                 TraceMissesOptions, TraceUsageOptions, ReplayOptions, ProfileOptions,
                 ReportOptions, AblateOptions, CompletionOptions, BenchRowsOptions,
                 BenchDiskOptions, BenchModelOptions, BenchMachineOptions, PlanCommandOptions,
                 TokenizerInfoOptions, TokenizerTrainOptions, TokenizerEncodeOptions,
                 TokenizerDecodeOptions, PrepareCommandOptions>;

int run_train(const TrainOptions& options);
int run_config_help(const ConfigHelpOptions& options);
int run_resume(const ResumeOptions& options);
int run_eval(const EvalOptions& options);
int run_generate(const GenerateOptions& options);
int run_verify(const VerifyOptions& options);
int run_inspect(const InspectOptions& options);         // a run
int run_inspect_config(const InspectOptions& options);  // a configuration
int run_inspect_path(const InspectOptions& options);    // whichever the path is
int run_export(const ExportOptions& options);
int run_ablate(const AblateOptions& options);
int run_trace_info(const TraceInfoOptions& options);
int run_trace_export(const TraceExportOptions& options);
int run_trace_misses(const TraceMissesOptions& options);
int run_profile(const ProfileOptions& options);
int run_report(const ReportOptions& options);
int run_trace_usage(const TraceUsageOptions& options);
int run_replay(const ReplayOptions& options);
int run_completion(const CompletionOptions& options);
int run_bench_rows(const BenchRowsOptions& options);
int run_bench_disk(const BenchDiskOptions& options);
int run_bench_store(const BenchDiskOptions& options);  // those with through_store
int run_bench_model(const BenchModelOptions& options);
int run_bench_machine(const BenchMachineOptions& options);
int run_plan(const PlanCommandOptions& options);
int run_tokenizer_info(const TokenizerInfoOptions& options);
int run_tokenizer_train(const TokenizerTrainOptions& options);
int run_tokenizer_encode(const TokenizerEncodeOptions& options);
int run_tokenizer_decode(const TokenizerDecodeOptions& options);
int run_prepare(const PrepareCommandOptions& options);

}  // namespace mneme::tools
