// The `mneme` program. Exit status: 0, 1 for an error (one line on standard error), 2 for wrong
// usage, 128 + signal when a signal stopped it.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "io/interrupted.h"
#include "tools/mneme/arguments.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/out_of_memory.h"
#include "tools/mneme/process_limits.h"
#include "tools/mneme/standard_descriptors.h"

namespace mneme::tools {
namespace {

struct Run {
  int operator()(const TrainOptions& options) const { return run_train(options); }
  int operator()(const ConfigHelpOptions& options) const { return run_config_help(options); }
  int operator()(const ResumeOptions& options) const { return run_resume(options); }
  int operator()(const EvalOptions& options) const { return run_eval(options); }
  int operator()(const GenerateOptions& options) const { return run_generate(options); }
  int operator()(const VerifyOptions& options) const { return run_verify(options); }
  int operator()(const InspectOptions& options) const { return run_inspect_path(options); }
  int operator()(const ExportOptions& options) const { return run_export(options); }
  int operator()(const TraceInfoOptions& options) const { return run_trace_info(options); }
  int operator()(const TraceExportOptions& options) const { return run_trace_export(options); }
  int operator()(const TraceMissesOptions& options) const { return run_trace_misses(options); }
  int operator()(const TraceUsageOptions& options) const { return run_trace_usage(options); }
  int operator()(const ProfileOptions& options) const { return run_profile(options); }
  int operator()(const ReportOptions& options) const { return run_report(options); }
  int operator()(const AblateOptions& options) const { return run_ablate(options); }
  int operator()(const ReplayOptions& options) const { return run_replay(options); }
  int operator()(const CompletionOptions& options) const { return run_completion(options); }
  int operator()(const BenchRowsOptions& options) const { return run_bench_rows(options); }
  int operator()(const BenchDiskOptions& options) const {
    return options.through_store ? run_bench_store(options) : run_bench_disk(options);
  }
  int operator()(const BenchModelOptions& options) const { return run_bench_model(options); }
  int operator()(const BenchMachineOptions& options) const { return run_bench_machine(options); }
  int operator()(const PlanCommandOptions& options) const { return run_plan(options); }
  int operator()(const TokenizerInfoOptions& options) const { return run_tokenizer_info(options); }
  int operator()(const TokenizerTrainOptions& options) const {
    return run_tokenizer_train(options);
  }
  int operator()(const TokenizerEncodeOptions& options) const {
    return run_tokenizer_encode(options);
  }
  int operator()(const TokenizerDecodeOptions& options) const {
    return run_tokenizer_decode(options);
  }
  int operator()(const PrepareCommandOptions& options) const { return run_prepare(options); }
};

// Prints an error as one line.
int fail(const char* what) {
  std::string line = what;
  if (has_run_out_of_memory() && line.find("out of memory") == line.npos) {
    line += fmt::format("; before that, the program ran {}", kOutOfMemory);
  }
  for (char& letter : line) {
    if (letter == '\n') letter = ' ';
  }
  if (has_run_out_of_memory() && !tell_out_of_memory()) return 1;
  std::fprintf(stderr, "error: %s\n", line.c_str());
  return 1;
}

int run(const std::vector<std::string>& words) {
  open_standard_descriptors();
  lift_process_limits();
  const Arguments arguments = parse_arguments(words);
  fmt::print("{}", arguments.output);
  std::fputs(arguments.error.c_str(), stderr);
  const int status =
      arguments.command ? std::visit(Run{}, *arguments.command) : arguments.exit_code;
  finish_standard_output();
  return status;
}

// Turns what a command throws into a line of error and an exit status.
int run_guarded(const std::vector<std::string>& words) {
  try {
    return run(words);
  } catch (const io::Interrupted& interrupted) {
    return 128 + interrupted.signal();
  } catch (const std::bad_alloc&) {
    return fail(kOutOfMemory);
  } catch (const std::system_error& error) {
    // Printing through fmt throws this; standard output knows when it was the one that failed.
    return fail(std::ferror(stdout) == 0 ? error.what()
                                         : lost_output(error.code().value()).c_str());
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace
}  // namespace mneme::tools

int main(int argc, char** argv) {
  // A write beyond the limit on file sizes then fails as on a full disk, and one without a reader
  // as any other, with an error to read.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  mneme::tools::end_when_out_of_memory();
  return mneme::tools::run_guarded(std::vector<std::string>(argv + 1, argv + argc));
}
