// mneme tokenizer train: a tokenizer for a corpus.
#include <fmt/format.h>

#include <iostream>
#include <span>

#include "io/disk.h"
#include "io/error.h"
#include "io/human.h"
#include "io/log.h"
#include "io/progress.h"
#include "text/corpus/source.h"
#include "text/prepare/train_tokenizer.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

// Signals end it at once: the trainer cannot be asked to stop, and nothing is written before its
// end.
int run_tokenizer_train(const TokenizerTrainOptions& options) {
  const auto disk = io::make_posix_disk();
  if (disk->exists(options.output)) {
    io::fail("{}: is there already; name another file with --output, or move it away",
             options.output);
  }
  if (!disk->is_directory(io::directory_of(options.output))) {
    io::fail("{}: its folder is not there; make it, or name another file with --output",
             options.output);
  }
  const text::SourceList sources = text::find_sources(options.inputs);
  if (sources.left_out > 0) {
    io::warn("{} files of the folders are left out, such as {}: their endings are none of text",
             sources.left_out, sources.first_left_out);
  }
  text::TokenizerSample sample;
  std::string model;
  {
    io::ProgressDisplay progress(std::cerr, io::standard_error_progress());
    model = text::train_tokenizer(sources, options.train, sample);
  }
  io::replace_file(*disk, options.output, std::as_bytes(std::span(model)));
  fmt::print("{}: {} tokens, from {} lines, {} of text\n", options.output, options.train.vocabulary,
             sample.lines, io::human_bytes(static_cast<double>(sample.bytes)));
  fmt::print("next: mneme prepare {} --tokenizer {} --output FOLDER\n", options.inputs.front(),
             options.output);
  return 0;
}

}  // namespace mneme::tools
