// The grammar of `mneme prepare`.
#include <memory>

#include "engine/config_reader.h"
#include "io/utf8.h"
#include "text/prepare/validation_choice.h"
#include "tools/mneme/grammar.h"

namespace mneme::tools {
namespace {

// A record has to fit in memory, several times over; a parser counts its bytes in 32 bits.
constexpr std::uint64_t kMostRecordBytes = std::uint64_t{2} << 30;
// A shard of llm.c counts its tokens in 31 bits.
constexpr std::uint64_t kMostShardTokens = 2147483647;

void add_inputs(CLI::App* app, PrepareCommandOptions& options) {
  text::PrepareOptions& prepare = options.prepare;
  app->add_option(
         "INPUT", prepare.inputs,
         "Files, and folders with files that end in .txt, .md or .jsonl, or these with .gz "
         "or .zst")
      ->required()
      ->type_name(kFileType);
  app->add_option("--tokenizer", options.tokenizer,
                  "Tokenizer: tokenizer.json (byte-level BPE), a tiktoken file, a SentencePiece "
                  "model; \"bytes\" for a byte a token")
      ->required()
      ->type_name(kFileType);
  app->add_option("--encoding", prepare.encoding,
                  "Name of the encoding of a tiktoken file; auto knows it by its tokens")
      ->capture_default_str()
      ->type_name("NAME");
  app->add_option("--field", prepare.field, "Field of JSON records that has the text")
      ->capture_default_str()
      ->type_name("NAME");
  app->add_option_function<std::string>(
         "--document-separator",
         [&prepare](const std::string& line) { prepare.document_separator = line; },
         "Line of text files that stands between two documents; \"\" is an empty line (default: a "
         "file is one document)")
      ->type_name("LINE");
  app->add_option_function<std::string>(
         "--max-document-bytes",
         [&prepare](const std::string& bytes) {
           engine::parse_bytes(bytes, prepare.most_record_bytes);
         },
         "Longest line of JSON that is read; several of them have to fit in memory")
      ->type_name("BYTES")
      ->default_str(engine::format_bytes(prepare.most_record_bytes))
      ->check([](const std::string& text) {
        std::uint64_t bytes = 0;
        return engine::parse_bytes(text, bytes) && bytes > 0 && bytes <= kMostRecordBytes
                   ? std::string()
                   : fmt::format("expected bytes, 1 to 2GiB, as 4096 or 64MiB, not {}",
                                 io::printable(text));
      });
  add_choice(app, "--invalid-utf8", prepare.invalid_utf8,
             "What bytes that are no UTF-8 are: an error, or replaced by U+FFFD");
}

void add_outputs(CLI::App* app, text::PrepareOptions& prepare) {
  app->add_option("-o,--output", prepare.output, "Folder to make, whole or not at all")
      ->required()
      ->type_name(kFolderType)
      ->check([](const std::string& path) {
        return path.empty() ? std::string("expected a path") : std::string();
      });
  add_choice(app, "--layout", prepare.layout, "Layout of the files of tokens");
  app->add_option("--separator", prepare.separator,
                  "What stands in front of each document: a token, an id, none, or auto for the "
                  "tokenizer's own")
      ->capture_default_str()
      ->type_name("TOKEN");
  app->add_flag_callback(
      "--plain-special", [&prepare] { prepare.special_in_text = false; },
      "Special tokens that stand in the text are text");
  app->add_option("--validation-share", prepare.validation_share,
                  "Share of the documents that validates, spread over the corpus")
      ->capture_default_str()
      ->transform(number(0, text::ValidationChoice::kMostShare));
  app->add_option("--seed", prepare.seed, "Seed of the choice of these documents")
      ->capture_default_str()
      ->transform(whole_number(0, kMostSeed));
  app->add_option("--shard-tokens", prepare.shard_tokens,
                  "Most tokens of a file, in llm.c's layout")
      ->capture_default_str()
      ->transform(whole_number(1, kMostShardTokens));
}

}  // namespace

void add_prepare_command(CLI::App& parent, std::optional<Command>& command) {
  const auto options = std::make_shared<PrepareCommandOptions>();
  CLI::App* app = add_command(
      parent, command,
      {"prepare",
       "Turn a corpus into files of tokens to train on: text and JSON lines, plain or compressed",
       "mneme prepare corpus/ --tokenizer tokenizer.json --output data/corpus"},
      options);
  app->footer(app->get_footer() +
              "\n\nStopped or killed, the same command goes on where the work was; the output "
              "appears\nwhen all of it is done.");
  add_inputs(app, *options);
  add_outputs(app, options->prepare);
  app->add_option("--threads", options->prepare.threads, "Threads that encode; 0 for all cores")
      ->capture_default_str()
      ->transform(whole_number(0, 4096));
  app->add_flag("--restart", options->prepare.restart,
                "Begin anew: remove what earlier work on this output has left");
}

}  // namespace mneme::tools
