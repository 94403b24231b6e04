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

void add_train(CLI::App& parent, std::optional<Command>& command) {
  const auto options = std::make_shared<TokenizerTrainOptions>();
  CLI::App* app = add_command(
      parent, command,
      {"train", "Make a tokenizer for a corpus: a SentencePiece model",
       "mneme tokenizer train corpus/ --vocabulary 32000 --output data/tokenizer.model"},
      options);
  app->add_option("INPUT", options->inputs,
                  "Files and folders of text and JSON lines, as for mneme prepare")
      ->required()
      ->type_name(kFileType);
  app->add_option("-o,--output", options->output, "File to write, whole or not at all")
      ->required()
      ->type_name(kFileType);
  text::TrainTokenizerOptions& train = options->train;
  app->add_option("--vocabulary", train.vocabulary,
                  "Tokens, with those of the 256 bytes: what data.vocabulary will be")
      ->capture_default_str()
      ->transform(whole_number(300, text::kMostTokens));
  add_choice(app, "--model", train.model,
             "bpe joins the most frequent pairs; unigram chooses the most likely pieces");
  add_bytes(app, "--sample-bytes", train.sample_bytes,
            "Text that is looked at, lines drawn from the corpus; training takes several times the "
            "memory");
  app->add_option("--seed", train.seed, "Seed of the lines that are drawn")
      ->capture_default_str()
      ->transform(whole_number(0, kMostSeed));
  app->add_option("--field", train.json.field, "Field of JSON records that has the text")
      ->capture_default_str()
      ->type_name("NAME");
  add_choice(app, "--invalid-utf8", train.json.invalid_utf8,
             "What bytes that are no UTF-8 are: an error, or replaced by U+FFFD");
  app->add_option("--threads", train.threads, "Threads; 0 for all cores")
      ->capture_default_str()
      ->transform(whole_number(0, 4096));
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
  CLI::App* app = add_command(
      parent, command,
      {"decode", "Turn token ids into text", "mneme tokenizer decode tokenizer.json ids.txt"},
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
      "tokenizer", "Make a tokenizer, look at one, and turn text into token ids and back");
  tokenizer->require_subcommand(1);
  tokenizer->footer("Example:\n  mneme tokenizer info tokenizer.json");
  add_train(*tokenizer, command);
  add_info(*tokenizer, command);
  add_encode(*tokenizer, command);
  add_decode(*tokenizer, command);
}

}  // namespace mneme::tools
