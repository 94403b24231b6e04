// The grammar of `mneme tokenizer`.
#include <memory>

#include "text/tiktoken_file.h"
#include "tools/mneme/grammar.h"

namespace mneme::tools {
namespace {

void add_tokenizer(CLI::App* app, TokenizerFile& tokenizer) {
  app->add_option("TOKENIZER", tokenizer.path,
                  "Tokenizer: tokenizer.json (byte-level BPE), a tiktoken file, a SentencePiece "
                  "model; \"bytes\" for none")
      ->required()
      ->type_name(kFileType);
  app->add_option("--encoding", tokenizer.encoding,
                  "Pattern and special tokens of a tiktoken file: " + text::tiktoken_encodings() +
                      "; auto knows them by the number of tokens")
      ->capture_default_str();
}

void add_info(CLI::App& parent, std::optional<Command>& command) {
  const auto info = std::make_shared<TokenizerInfoOptions>();
  CLI::App* app = add_command(parent, command,
                              {"info", "What a tokenizer is: its kind, vocabulary, special tokens",
                               "mneme tokenizer info tokenizer.json"},
                              info);
  add_tokenizer(app, info->tokenizer);
  add_json(app, info->json);
}

void add_encode(CLI::App& parent, std::optional<Command>& command) {
  const auto encode = std::make_shared<TokenizerEncodeOptions>();
  CLI::App* app = add_command(parent, command,
                              {"encode", "Turn text into token ids",
                               "mneme tokenizer encode tokenizer.json --text \"In the beginning\""},
                              encode);
  add_tokenizer(app, encode->tokenizer);
  CLI::Option* input =
      app->add_option("INPUT", encode->input, "Text to encode, a file; - for standard input")
          ->capture_default_str()
          ->type_name(kFileType);
  app->add_option("--text", encode->text, "Text to encode, in place of a file")->excludes(input);
  app->add_flag("--json-lines", encode->json_lines,
                "Each line is a text as a JSON string, and becomes a JSON list of ids");
  app->add_flag("--add-special", encode->adds_special,
                "Put the tokens around a text that the tokenizer's file asks for");
  app->add_flag("--plain-special", encode->plain_special,
                "Special tokens that stand in the text are text like any other");
}

void add_decode(CLI::App& parent, std::optional<Command>& command) {
  const auto decode = std::make_shared<TokenizerDecodeOptions>();
  CLI::App* app = add_command(parent, command,
                              {"decode", "Turn token ids into text",
                               "echo 464 3726 | mneme tokenizer decode tokenizer.json"},
                              decode);
  add_tokenizer(app, decode->tokenizer);
  app->add_option("INPUT", decode->input,
                  "Ids to decode, a file with white space between them; - for standard input")
      ->capture_default_str()
      ->type_name(kFileType);
  app->add_flag("--json-lines", decode->json_lines,
                "Each line is a JSON list of ids, and becomes a text as a JSON string");
  app->add_flag("--skip-special", decode->skips_special, "Leave special tokens out of the text");
}

}  // namespace

void add_tokenizer_commands(CLI::App& parent, std::optional<Command>& command) {
  CLI::App* tokenizer = parent.add_subcommand(
      "tokenizer", "Look at a tokenizer, and turn text into token ids and back");
  tokenizer->require_subcommand(1);
  tokenizer->footer("Example:\n  mneme tokenizer info tokenizer.json");
  add_info(*tokenizer, command);
  add_encode(*tokenizer, command);
  add_decode(*tokenizer, command);
}

}  // namespace mneme::tools
