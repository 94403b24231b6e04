// The `mneme` program. Exit status: 0, 1 for an error (one line on standard error), 2 for wrong
// usage, 128 + signal when a signal stopped it.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <variant>
#include <vector>

#include "tools/mneme/arguments.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {
namespace {

struct Run {
  int operator()(const TrainOptions& options) const { return run_train(options); }
  int operator()(const ConfigHelpOptions& options) const { return run_config_help(options); }
  int operator()(const ResumeOptions& options) const { return run_resume(options); }
  int operator()(const EvalOptions& options) const { return run_eval(options); }
  int operator()(const GenerateOptions& options) const { return run_generate(options); }
  int operator()(const VerifyOptions& options) const { return run_verify(options); }
  int operator()(const InspectOptions& options) const { return run_inspect(options); }
  int operator()(const ExportOptions& options) const { return run_export(options); }
  int operator()(const BenchRowsOptions& options) const { return run_bench_rows(options); }
  int operator()(const BenchDiskOptions& options) const {
    return options.through_store ? run_bench_store(options) : run_bench_disk(options);
  }
  int operator()(const BenchModelOptions& options) const { return run_bench_model(options); }
};

// Prints an error as one line.
int fail(const char* what) {
  std::string line = what;
  for (char& letter : line) {
    if (letter == '\n') letter = ' ';
  }
  std::fprintf(stderr, "error: %s\n", line.c_str());
  return 1;
}

int run(const std::vector<std::string>& words) {
  const Arguments arguments = parse_arguments(words);
  std::fputs(arguments.output.c_str(), stdout);
  std::fputs(arguments.error.c_str(), stderr);
  return arguments.command ? std::visit(Run{}, *arguments.command) : arguments.exit_code;
}

}  // namespace
}  // namespace mneme::tools

int main(int argc, char** argv) {
  // A write beyond the limit on file sizes then fails as on a full disk, with an error to read.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return mneme::tools::run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::bad_alloc&) {
    return mneme::tools::fail("out of memory; smaller tiers, batches or models need less");
  } catch (const std::exception& error) {
    return mneme::tools::fail(error.what());
  }
}
