// Every command line either becomes one command with its options or is refused in one line.
#include "tools/mneme/arguments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace mneme::tools {
namespace {

template <typename Options>
Options parsed(const std::vector<std::string>& words) {
  const Arguments arguments = parse_arguments(words);
  EXPECT_EQ(arguments.error, "");
  EXPECT_TRUE(arguments.command.has_value());
  if (!arguments.command || !std::holds_alternative<Options>(*arguments.command)) {
    ADD_FAILURE() << "another command was chosen";
    return {};
  }
  return std::get<Options>(*arguments.command);
}

std::vector<std::string> sorted(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  return words;
}

TEST(Arguments, TrainTakesOverridesInOrderAndTheDeviceAsOne) {
  const auto options = parsed<TrainOptions>({"train", "run.toml", "--set", "train.steps=5", "--set",
                                             "sample.prompt=a = b", "--device", "cpu"});
  EXPECT_EQ(options.config, "run.toml");
  EXPECT_EQ(sorted(options.overrides),
            (std::vector<std::string>{"run.device=cpu", "sample.prompt=a = b", "train.steps=5"}));
}

TEST(Arguments, ConfigurationHelpNeedsNoConfiguration) {
  EXPECT_FALSE(parsed<ConfigHelpOptions>({"train", "--help-config"}).markdown);
  EXPECT_TRUE(parsed<ConfigHelpOptions>({"train", "--help-config", "markdown"}).markdown);
}

TEST(Arguments, EveryCommandFillsItsOptions) {
  EXPECT_EQ(parsed<ResumeOptions>({"resume", "runs/a", "--set", "tiers.host_bytes=0"}).overrides,
            std::vector<std::string>{"tiers.host_bytes=0"});
  const auto eval = parsed<EvalOptions>({"eval", "runs/a", "--step", "40", "--json"});
  EXPECT_EQ(eval.directory, "runs/a");
  EXPECT_EQ(eval.step, 40u);
  EXPECT_TRUE(eval.json);
  const auto generate = parsed<GenerateOptions>(
      {"generate", "runs/a", "--prompt", "\"It\" = was", "--tokens", "9", "--seed", "3"});
  EXPECT_EQ(sorted(generate.overrides),
            (std::vector<std::string>{R"(sample.prompt="\"It\" = was")", "sample.tokens=9"}));
  EXPECT_EQ(generate.seed, 3u);
  EXPECT_FALSE(generate.step.has_value());
  EXPECT_EQ(parsed<VerifyOptions>({"verify", "runs/a"}).directory, "runs/a");
  EXPECT_TRUE(parsed<InspectOptions>({"inspect", "runs/a", "--json"}).json);
  const auto of_config =
      parsed<InspectOptions>({"inspect", "a.toml", "--set", "model.blocks=2", "--scale", "4"});
  EXPECT_EQ(of_config.overrides, std::vector<std::string>{"model.blocks=2"});
  EXPECT_EQ(of_config.scale, 4);
  EXPECT_EQ(parsed<TrainOptions>({"train", "a.toml", "--scale", "8"}).scale, 8);
  const auto exported =
      parsed<ExportOptions>({"export", "runs/a", "-o", "a.safetensors", "--untouched"});
  EXPECT_EQ(exported.output, "a.safetensors");
  EXPECT_TRUE(exported.untouched);
  EXPECT_EQ(parsed<CompletionOptions>({"completion", "zsh"}).shell, Shell::kZsh);
  EXPECT_TRUE(parsed<TraceInfoOptions>({"trace", "info", "runs/a", "--json"}).json);
  const auto references = parsed<TraceExportOptions>(
      {"trace", "export", "a.trace", "-o", "a.bin", "--format", "oracleGeneral", "--all"});
  EXPECT_EQ(references.path, "a.trace");
  EXPECT_EQ(references.format, TraceFormat::kOracleGeneral);
  EXPECT_TRUE(references.all);
  EXPECT_FALSE(references.forward_only);
  const auto replay = parsed<ReplayOptions>({"replay", "runs/a", "--device-bytes", "1GiB,25%",
                                             "--device-bytes", "4096", "--policy", "lru,sieve"});
  EXPECT_EQ(replay.device_bytes, (std::vector<std::string>{"1GiB", "25%", "4096"}));
  EXPECT_EQ(replay.policies, (std::vector<std::string>{"lru", "sieve"}));
  const auto predicting = parsed<ReplayOptions>(
      {"replay", "runs/a", "--prefetch", "none,bigram-history", "--prefetch-bytes", "1MiB"});
  EXPECT_EQ(predicting.prefetch, (std::vector<std::string>{"none", "bigram-history"}));
  EXPECT_EQ(predicting.hints.prefetch_bytes, 1u << 20);
  EXPECT_EQ(predicting.hints.prefetch_confidence, engine::TiersConfig().prefetch_confidence);
  EXPECT_EQ(parsed<TraceMissesOptions>({"trace", "misses", "a", "--sizes", "5,10%"}).sizes,
            (std::vector<std::string>{"5", "10%"}));
  EXPECT_TRUE(parsed<TraceUsageOptions>({"trace", "usage", "a", "--csv"}).csv);
  const auto rows =
      parsed<BenchRowsOptions>({"bench", "rows", "--device-bytes", "3MiB", "--skew", "0.5"});
  EXPECT_EQ(rows.device_bytes, 3u << 20);
  EXPECT_EQ(rows.skew, 0.5);
  const auto model = parsed<BenchModelOptions>({"bench", "model", "a.toml", "--steps", "3",
                                                "--warm-up", "0", "--fill-rows", "--token-skew",
                                                "1.1", "--scale", "8", "--device", "cpu"});
  EXPECT_EQ(model.steps, 3);
  EXPECT_EQ(model.warm_up, 0);
  EXPECT_TRUE(model.fill_rows);
  EXPECT_EQ(model.token_skew, 1.1);
  EXPECT_EQ(model.scale, 8);
  EXPECT_EQ(model.overrides, std::vector<std::string>{"run.device=cpu"});
}

TEST(Arguments, PrepareTakesInputsAndWhatToMakeOfThem) {
  const auto options = parsed<PrepareCommandOptions>({"prepare",   "a.jsonl",
                                                      "b/",        "--tokenizer",
                                                      "bytes",     "-o",
                                                      "out",       "--layout",
                                                      "megatron",  "--field",
                                                      "body",      "--separator",
                                                      "none",      "--document-separator",
                                                      "",          "--validation-share",
                                                      "0.01",      "--seed",
                                                      "7",         "--shard-tokens",
                                                      "1000",      "--threads",
                                                      "3",         "--max-document-bytes",
                                                      "1MiB",      "--invalid-utf8",
                                                      "replace",   "--plain-special",
                                                      "--restart", "--encoding",
                                                      "gpt2"});
  EXPECT_EQ(options.tokenizer, "bytes");
  const text::PrepareOptions& prepare = options.prepare;
  EXPECT_EQ(prepare.inputs, (std::vector<std::string>{"a.jsonl", "b/"}));
  EXPECT_EQ(prepare.output, "out");
  EXPECT_EQ(prepare.layout, io::TokenLayout::kMegatron);
  EXPECT_EQ(prepare.field, "body");
  EXPECT_EQ(prepare.separator, "none");
  EXPECT_EQ(prepare.document_separator, "");
  EXPECT_EQ(prepare.validation_share, 0.01);
  EXPECT_EQ(prepare.seed, 7u);
  EXPECT_EQ(prepare.shard_tokens, 1000u);
  EXPECT_EQ(prepare.threads, 3);
  EXPECT_EQ(prepare.most_record_bytes, 1u << 20);
  EXPECT_EQ(prepare.invalid_utf8, text::InvalidUtf8::kReplace);
  EXPECT_FALSE(prepare.special_in_text);
  EXPECT_TRUE(prepare.restart);
  EXPECT_EQ(prepare.encoding, "gpt2");
  const auto plain =
      parsed<PrepareCommandOptions>({"prepare", "a", "--tokenizer", "t.json", "--output", "out"});
  EXPECT_FALSE(plain.prepare.document_separator.has_value());
  EXPECT_TRUE(plain.prepare.special_in_text);
  EXPECT_EQ(plain.prepare.layout, io::TokenLayout::kLlmC);
}

TEST(Arguments, BenchDiskReadsSizesWithUnits) {
  const auto options =
      parsed<BenchDiskOptions>({"bench", "disk", "--path", "f", "--file-bytes", "1.5GiB",
                                "--record-bytes", "12288", "--depth", "64", "--read-share", "0.5",
                                "--seconds", "0.5", "--engine", "sync", "--json", "--keep"});
  EXPECT_EQ(options.path, "f");
  EXPECT_EQ(options.file_bytes, 3ull << 29);
  EXPECT_EQ(options.record_bytes, 12288u);
  EXPECT_EQ(options.depth, 64u);
  EXPECT_EQ(options.read_share, 0.5);
  EXPECT_EQ(options.seconds, 0.5);
  EXPECT_EQ(options.io_engine, io::IoEngine::kSync);
  EXPECT_TRUE(options.json);
  EXPECT_TRUE(options.keep);
  EXPECT_FALSE(options.reuse);
  EXPECT_FALSE(options.through_store);
}

TEST(Arguments, BenchDiskReadsThroughTheStore) {
  const auto options = parsed<BenchDiskOptions>(
      {"bench", "disk", "--through-store", "--lease-rows", "64", "--device", "cpu"});
  EXPECT_TRUE(options.through_store);
  EXPECT_EQ(options.lease_rows, 64);
  EXPECT_EQ(options.device, engine::DeviceKind::kCpu);
}

TEST(Arguments, WrongUsageIsOneLineAndExitStatusTwo) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"trian", "a.toml"},
      {"train"},
      {"train", "a.toml", "b.toml"},
      {"train", "a.toml", "--set", "steps"},
      {"train", "a.toml", "--device", "gpu"},
      {"train", "--help-config", "pdf"},
      {"resume"},
      {"eval", "a", "--step", "-1"},
      {"export", "a"},
      {"completion"},
      {"completion", "fish"},
      {"prepare", "a", "--tokenizer", "bytes"},
      {"prepare", "--tokenizer", "bytes", "-o", "out"},
      {"prepare", "a", "-o", "out"},
      {"prepare", "a", "--tokenizer", "bytes", "-o", "out", "--validation-share", "0.6"},
      {"prepare", "a", "--tokenizer", "bytes", "-o", "out", "--max-document-bytes", "3GiB"},
      {"prepare", "a", "--tokenizer", "bytes", "-o", "out", "--layout", "parquet"},
      {"bench"},
      {"bench", "disc"},
      {"bench", "disk", "--file-bytes", "12XB"},
      {"bench", "disk", "--read-share", "1.5"},
      {"bench", "disk", "--engine", "mmap"},
      {"bench", "disk", "--lease-rows", "64"},
      {"bench", "rows", "--rows", "0"},
      {"bench", "model", "a.toml", "--scale", "0"},
  };
  for (const auto& words : wrong) {
    std::string line;
    for (const std::string& word : words) line += word + " ";
    SCOPED_TRACE(line);
    const Arguments arguments = parse_arguments(words);
    EXPECT_FALSE(arguments.command.has_value());
    EXPECT_EQ(arguments.exit_code, 2);
    EXPECT_EQ(arguments.error.rfind("error: ", 0), 0u) << arguments.error;
    EXPECT_EQ(std::count(arguments.error.begin(), arguments.error.end(), '\n'), 1)
        << arguments.error;
    EXPECT_EQ(arguments.output, "");
  }
  EXPECT_NE(
      parse_arguments({"bench", "disk", "--depth", "0"}).error.find("mneme bench disk --help"),
      std::string::npos);
}

std::string error_of(const std::vector<std::string>& words) {
  const Arguments arguments = parse_arguments(words);
  EXPECT_EQ(arguments.exit_code, 2);
  return arguments.error.substr(0, arguments.error.find(" (see "));
}

TEST(Arguments, ANumberOutsideItsRangeIsToldBothLimits) {
  EXPECT_EQ(error_of({"generate", "r", "--tokens", "-1"}),
            "error: --tokens: expected a whole number, 0 to 1048576, not -1");
  EXPECT_EQ(error_of({"generate", "r", "--tokens=1.5"}),
            "error: --tokens: expected a whole number, 0 to 1048576, not 1.5");
  EXPECT_EQ(error_of({"generate", "r", "--top-p", "2"}),
            "error: --top-p: expected a number, 0.001 to 1, not 2");
  EXPECT_EQ(error_of({"generate", "r", "--temperature", "nan"}),
            "error: --temperature: expected a number, 0 to 100, not nan");
  EXPECT_EQ(error_of({"eval", "r", "--step", "99999999999999999999999"}),
            "error: --step: expected a whole number, 0 to 2147483647, not 99999999999999999999999");
  EXPECT_EQ(error_of({"bench", "rows", "--distinct-rows", "-1"}),
            "error: --distinct-rows: expected a whole number, 0 to 4294967294, not -1");
  EXPECT_EQ(error_of({"bench", "rows", "--host-bytes", "9999999TiB"}),
            "error: --host-bytes: expected bytes, 0 to 4194304TiB, as 4096 or 64MiB, not "
            "9999999TiB");
  EXPECT_EQ(error_of({"generate", "r", "--prompt", ""}),
            "error: --prompt: expected at least one character");
  EXPECT_EQ(parsed<EvalOptions>({"eval", "r", "--step", "010"}).step, 10u);
  EXPECT_EQ(parsed<GenerateOptions>({"generate", "r", "--temperature", ".5"}).overrides,
            std::vector<std::string>{"sample.temperature=0.5"});
}

TEST(Arguments, Tokenizer) {
  const auto info = parsed<TokenizerInfoOptions>({"tokenizer", "info", "a.model", "--json"});
  EXPECT_EQ(info.tokenizer.path, "a.model");
  EXPECT_EQ(info.tokenizer.encoding, "auto");
  EXPECT_TRUE(info.json);
  const auto encode =
      parsed<TokenizerEncodeOptions>({"tokenizer", "encode", "a", "--encoding", "llama3", "--text",
                                      "b", "--add-special", "--plain-special"});
  EXPECT_EQ(encode.tokenizer.encoding, "llama3");
  EXPECT_EQ(encode.text, "b");
  EXPECT_TRUE(encode.adds_special && encode.plain_special && !encode.json_lines);
  const auto decode = parsed<TokenizerDecodeOptions>(
      {"tokenizer", "decode", "a", "ids", "--json-lines", "--skip-special"});
  EXPECT_EQ(decode.input, "ids");
  EXPECT_TRUE(decode.json_lines && decode.skips_special);
}

TEST(Arguments, APromptArrivesAsItWasTyped) {
  for (const std::string prompt :
       {"\"quoted\"", "true", "a = b ", " [1]", "caf\xe9", "\\n\n\t", "\xee\xbe\x80"}) {
    const auto options = parsed<GenerateOptions>({"generate", "r", "--prompt", prompt});
    EXPECT_EQ(engine::parse_config("", "run", options.overrides).sample.prompt, prompt);
  }
}

TEST(Arguments, EveryHelpPageHasAnExample) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{},
                                             {"train"},
                                             {"prepare"},
                                             {"resume"},
                                             {"eval"},
                                             {"generate"},
                                             {"verify"},
                                             {"inspect"},
                                             {"export"},
                                             {"profile"},
                                             {"report"},
                                             {"ablate"},
                                             {"plan"},
                                             {"bench", "machine"},
                                             {"trace"},
                                             {"trace", "info"},
                                             {"trace", "export"},
                                             {"trace", "misses"},
                                             {"trace", "usage"},
                                             {"tokenizer"},
                                             {"tokenizer", "info"},
                                             {"tokenizer", "encode"},
                                             {"tokenizer", "decode"},
                                             {"tokenizer", "train"},
                                             {"replay"},
                                             {"completion"},
                                             {"bench"},
                                             {"bench", "rows"},
                                             {"bench", "disk"},
                                             {"bench", "model"}}) {
    std::vector<std::string> asked = words;
    asked.push_back("--help");
    const Arguments arguments = parse_arguments(asked);
    std::string example = "  mneme";
    for (const std::string& word : words) example += " " + word;
    EXPECT_EQ(arguments.exit_code, 0);
    EXPECT_FALSE(arguments.command.has_value());
    EXPECT_NE(arguments.output.find("Example:\n" + example), std::string::npos) << arguments.output;
  }
}

TEST(Arguments, VersionIsPrinted) {
  const Arguments arguments = parse_arguments({"--version"});
  EXPECT_EQ(arguments.exit_code, 0);
  EXPECT_EQ(arguments.output.rfind("mneme ", 0), 0u) << arguments.output;
}

}  // namespace
}  // namespace mneme::tools
