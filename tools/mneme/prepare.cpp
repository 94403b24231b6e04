// mneme prepare: a corpus to files of tokens.
#include "text/prepare/prepare.h"

#include <fmt/format.h>

#include <iostream>

#include "io/disk.h"
#include "io/human.h"
#include "io/interrupted.h"
#include "io/progress.h"
#include "tools/mneme/commands.h"
#include "tools/mneme/interrupt.h"
#include "tools/mneme/tokenizer.h"
#include "tools/mneme/version.h"

namespace mneme::tools {
namespace {

std::string line_of(const char* name, const text::PreparedPart& part) {
  return fmt::format("{:<11} {} tokens of {} document{}, {} of text\n", name, part.tokens,
                     part.documents, part.documents == 1 ? "" : "s",
                     io::human_bytes(static_cast<double>(part.text_bytes)));
}

std::string separator_text(const text::PreparedDataset& dataset) {
  if (!dataset.separator) return "no token separates documents";
  return fmt::format("token {} in front of each document", *dataset.separator);
}

std::string report(const PrepareCommandOptions& options, const text::PreparedDataset& dataset) {
  const std::string& output = options.prepare.output;
  std::string text = fmt::format("{}: {} file{}, {}, {} bytes a token, {}\n", output,
                                 dataset.sources, dataset.sources == 1 ? "" : "s",
                                 io::human_bytes(static_cast<double>(dataset.source_bytes)),
                                 dataset.token_bytes, separator_text(dataset));
  text += line_of("train", dataset.train);
  text += line_of("validation", dataset.validation);
  if (dataset.empty_records > 0) {
    text += fmt::format("{} records without text are left out\n", dataset.empty_records);
  }
  text += fmt::format(
      "{:.1f} MB/s of text{}\n", dataset.text_bytes_per_second / 1e6,
      dataset.resumed_documents > 0
          ? fmt::format(" since document {}, where the work went on", dataset.resumed_documents)
          : std::string());
  return text + fmt::format("next: mneme train CONFIG --set data.path={}\n", output);
}

}  // namespace

int run_prepare(const PrepareCommandOptions& command) {
  const InterruptGuard interrupt;
  io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
  const auto disk = io::make_posix_disk();
  const auto tokenizer = open_tokenizer({command.tokenizer, command.prepare.encoding});
  text::PrepareOptions options = command.prepare;
  options.program = fmt::format("mneme {}", kVersion);
  options.check = [&] { interrupt.check(); };
  try {
    const text::PreparedDataset dataset = text::prepare(*disk, *tokenizer, options);
    if (options.validation_share > 0 && dataset.validation.documents == 0) {
      progress.note(
          "no document validates: there are too few for --validation-share, or a document is a "
          "whole file (--document-separator)");
    }
    fmt::print("{}", report(command, dataset));
  } catch (const io::Interrupted&) {
    progress.note("stopped; the same command goes on from here");
    throw;
  }
  return 0;
}

}  // namespace mneme::tools
