// A configuration file either becomes exactly the run it describes or one line that says why not.
#include "engine/config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "engine/config_keys.h"
#include "engine/config_reader.h"
#include "engine/prompt.h"
#include "io/enum_names.h"
#include "io/error.h"
#include "tests/engine/config_error.h"

namespace mneme::engine {
namespace {

using testing::error_of;

std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Config, DefaultsAreARunnableConfiguration) {
  EXPECT_NO_THROW(check_config(Config{}));
  EXPECT_EQ(to_toml(parse_config("", "empty")), to_toml(Config{}));
}

TEST(Config, EveryKindOfValueReachesItsField) {
  const Config config = parse_config(R"(
[run]
directory = "runs/a b"
seed = 9223372036854775807
device = "cpu"
[data]
extensions = [".pod", ".txt"]
format = "shards"
[model]
width = 192
tied_output = true
blocks = 6
feed_forward = "memory@1,3,5"
[memory]
gate = "none"
query_key_norm = "l2"
value_type = "bfloat16"
[memory.optimizer]
kind = "adamw-lazy"
epsilon = 1e-6
[tiers]
device_bytes = "1.5MiB"
host_bytes = 4096
host_policy = "static-hot"
io_depth = 7
io_engine = "sync"
disk_link_gb_per_s = 2
prefetch = "oracle-next-step"
)",
                                     "run.toml");
  EXPECT_EQ(config.run.directory, "runs/a b");
  EXPECT_EQ(config.run.seed, 9223372036854775807u);
  EXPECT_EQ(config.run.device, DeviceKind::kCpu);
  EXPECT_EQ(config.data.extensions, (std::vector<std::string>{".pod", ".txt"}));
  EXPECT_EQ(config.data.format, DataFormat::kShards);
  EXPECT_TRUE(config.model.tied_output);
  EXPECT_EQ(config.table_blocks(), (std::vector<std::int64_t>{1, 3, 5}));
  EXPECT_EQ(config.memory.gate, memory::Gate::kNone);
  EXPECT_EQ(config.memory.query_key_norm, memory::QueryKeyNorm::kL2);
  EXPECT_EQ(config.memory.value_type, kernels::FloatType::kBF16);
  EXPECT_EQ(config.memory.optimizer.kind, kernels::RowOptimizerKind::kAdamWLazy);
  EXPECT_EQ(config.memory.optimizer.epsilon, 1e-6);
  EXPECT_EQ(config.tiers.store.device_bytes, 1536u << 10);
  EXPECT_EQ(config.tiers.store.host_bytes, 4096u);
  EXPECT_EQ(config.tiers.store.host_policy, kernels::ReplacementKind::kStaticHot);
  EXPECT_EQ(config.tiers.store.io_depth, 7u);
  EXPECT_EQ(config.tiers.store.io_engine, io::IoEngine::kSync);
  EXPECT_EQ(config.tiers.store.disk_link_bytes_per_second, 2e9);
  EXPECT_EQ(config.tiers.prefetch, memory::PredictorKind::kOracleNextStep);
  EXPECT_EQ(config.value_width(), 192);
}

TEST(Config, RowOptimizersHaveTheNamesOfTheMemory) {
  for (const char* name : {"adamw", "adamw-lazy", "adagrad-rowwise", "sgd"}) {
    const std::vector<std::string> overrides = {std::string("memory.optimizer.kind=") + name};
    EXPECT_EQ(parse_config("", "empty", overrides).memory.optimizer.kind,
              io::value_named<kernels::RowOptimizerKind>(name));
  }
}

TEST(Config, ResolvedConfigurationReadsBackUnchanged) {
  Config config;
  config.run.directory = "a \"quoted\" \\ path\twith\nlines\x01";
  config.data.extensions = {};
  config.model.feed_forward = {FeedForwardKind::kMemory, {0, 2}};
  config.optimizer.learning_rate = 0.1 + 0.2;
  config.memory.optimizer.epsilon = 1.0 / 3.0;
  config.tiers.store.device_bytes = (1ull << 40) + 1;
  config.tiers.store.host_bytes = 9ull << 40;
  config.tiers.store.host_link_bytes_per_second = 12.3 * 1e9;
  config.tiers.store.disk_link_bytes_per_second = 0.007 * 1e9;
  const Config again = parse_config(to_toml(config), "again");
  EXPECT_EQ(to_toml(again), to_toml(config));
  EXPECT_EQ(again.run.directory, config.run.directory);
  EXPECT_EQ(again.data.extensions, config.data.extensions);
  EXPECT_EQ(again.optimizer.learning_rate, config.optimizer.learning_rate);
  EXPECT_EQ(again.memory.optimizer.epsilon, config.memory.optimizer.epsilon);
  EXPECT_EQ(again.tiers.store.device_bytes, config.tiers.store.device_bytes);
  EXPECT_EQ(again.tiers.store.host_link_bytes_per_second, 12.3 * 1e9);
  EXPECT_EQ(again.tiers.store.disk_link_bytes_per_second, 0.007 * 1e9);
}

TEST(Config, OverridesAreTomlValuesOrBareStringsAndTheLastOneWins) {
  const std::vector<std::string> overrides = {"train.steps=5",
                                              "train.steps=7",
                                              "run.directory=runs/x=y",
                                              "run.device=cpu",
                                              "model.feed_forward=memory@0,2",
                                              "tiers.host_bytes=2MiB",
                                              "sample.prompt=true",
                                              "data.path=\"quoted path\"",
                                              "model.rope_theta=500000"};
  const Config config = parse_config("[train]\nsteps = 3\nwarmup_steps = 1", "f", overrides);
  EXPECT_EQ(config.train.steps, 7);
  EXPECT_EQ(config.run.directory, "runs/x=y");
  EXPECT_EQ(config.run.device, DeviceKind::kCpu);
  EXPECT_EQ(config.table_blocks(), (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(config.tiers.store.host_bytes, 2u << 20);
  EXPECT_EQ(config.sample.prompt, "true");
  EXPECT_EQ(config.data.path, "quoted path");
  EXPECT_EQ(config.model.rope_theta, 500000);
}

TEST(Config, ErrorsNameFileLineAndKey) {
  EXPECT_EQ(error_of("[model]\n\nwidht = 4"),
            "run.toml:3: unknown key model.widht; did you mean model.width?");
  EXPECT_EQ(error_of("[train]\nlearning_rat = 4"),
            "run.toml:2: unknown key train.learning_rat; did you mean optimizer.learning_rate?");
  EXPECT_EQ(error_of("[model]\nsteps = 4"),
            "run.toml:2: unknown key model.steps; did you mean train.steps?");
  EXPECT_EQ(error_of("zzzzqqqqyyyyxxxx = 4"),
            "run.toml:1: unknown key zzzzqqqqyyyyxxxx; `mneme train --help-config` lists the keys");
  EXPECT_EQ(error_of("model = 3"), "run.toml:1: model is a section; write its keys below [model]");
  EXPECT_EQ(error_of("[model]\nwidth = \"wide\""),
            "run.toml:2: model.width: expected integer, 2 to 65536, not \"wide\"");
  EXPECT_EQ(error_of("[model]\nwidth = 1"),
            "run.toml:2: model.width: expected integer, 2 to 65536, not 1");
  EXPECT_EQ(error_of("[optimizer]\nbeta1 = 1.0"),
            "run.toml:2: optimizer.beta1: expected number, 0 to 0.99999, not 1");
  EXPECT_EQ(error_of("[optimizer]\nbeta1 = nan"),
            "run.toml:2: optimizer.beta1: expected number, 0 to 0.99999, not nan");
  EXPECT_EQ(error_of("[tiers]\ndevice_policy = \"lur\""),
            "run.toml:2: tiers.device_policy: must be one of lru | lfu | clock | sieve | "
            "static-hot | random, not \"lur\"");
  EXPECT_EQ(error_of("[tiers]\nhost_bytes = \"12 parsecs\""),
            "run.toml:2: tiers.host_bytes: expected bytes, 0 to 4194304TiB, as 4096 or \"64MiB\", "
            "or a share of the table up to \"100%\", as \"25%\", or \"auto\", not \"12 parsecs\"");
  EXPECT_EQ(error_of("", {"train.stesp=4"}),
            "--set train.stesp=4: unknown key train.stesp; did you mean train.steps?");
  EXPECT_EQ(error_of("", {"train.steps"}),
            "--set train.steps: must be KEY=VALUE, as in --set train.steps=100");
  EXPECT_EQ(error_of("", {"train.steps=many"}),
            "--set train.steps=many: train.steps: expected integer, 1 to 2147483647, not \"many\"");
  EXPECT_EQ(error_of("[model]\nwidth = \n").substr(0, 11), "run.toml:2:");
}

TEST(Config, ImpossibleSizesAreRejectedWhereTheyWereSet) {
  const std::string memory = "model.feed_forward = \"memory@0\"\n[memory]\n\n";
  EXPECT_EQ(
      error_of("[model]\nwidth = 130"),
      "run.toml:2: model.width: model.width 130 is not a multiple of model.attention_heads 4");
  EXPECT_EQ(error_of("[model]\nwidth = 132"),
            "run.toml:2: model.width: the rotary embedding needs an even head width, but 132 / 4 "
            "is 33");
  EXPECT_EQ(error_of("[model]\nkv_heads = 3"),
            "run.toml:2: model.kv_heads: 3 key and value heads do not divide 4 attention heads");
  EXPECT_EQ(error_of(memory + "half_keys = 16"),
            "run.toml:4: memory.half_keys: 32 rows a head cannot be chosen among 16 half-keys a "
            "side");
  EXPECT_EQ(error_of(memory + "half_keys = 65536"),
            "run.toml:4: memory.half_keys: expected integer, 1 to 65535, not 65536");
  EXPECT_EQ(error_of(memory + "key_width = 31"),
            "run.toml:4: memory.key_width: a key has two halves, so 31 must be even");
  EXPECT_EQ(error_of("[tiers]\nlookahead_distances = []"),
            "run.toml:2: tiers.lookahead_distances: name one distance at the least, as in [1]");
  EXPECT_EQ(error_of("[tiers]\nlookahead_distances = [2, 0, 2]"),
            "run.toml:2: tiers.lookahead_distances: 2 is there twice");
  EXPECT_EQ(error_of("[model]\nfeed_forward = \"memory@4\""),
            "run.toml:2: model.feed_forward: block 4 does not exist: the model has blocks 0 to 3");
  EXPECT_EQ(error_of("[model]\nfeed_forward = \"peer@1\"\n[memory]\nvalue_width = 64"),
            "run.toml:4: memory.value_width: PEER's experts read and write the residual stream: "
            "rows of width 64 must be as wide as the model, 128");
  EXPECT_EQ(error_of(memory, {"tiers.device_bytes=0"}),
            "--set tiers.device_bytes=0: tiers.device_bytes: a memory needs a device tier; give "
            "it a budget such as \"64MiB\", at least 25264 bytes");
  EXPECT_EQ(
      error_of("[train]\nsteps = 3"),
      "run.toml:2: train.steps: 20 warm-up steps in a run of 3 steps; shorten the warm-up as well, "
      "for instance with --set train.warmup_steps=0");
  EXPECT_EQ(error_of("[train]\nbatch = 1048576\nsequence = 1048576"),
            "run.toml:2: train.batch: a micro-batch of 1048576 x 1048576 tokens is beyond "
            "268435456; use more train.micro_batches");
  EXPECT_EQ(error_of("[data]\nvocabulary = 255\nformat = \"bytes\""),
            "run.toml:2: data.vocabulary: bytes need a vocabulary of 256, not 255");
  EXPECT_EQ(error_of("[data]\nseparator = 256"),
            "run.toml:2: data.separator: token 256 is outside data.vocabulary 256; name a token of "
            "the data, or -1 for none");
}

TEST(Config, MessagesNameBothLimits) {
  EXPECT_EQ(error_of("", {"train.steps=3000000000"}),
            "--set train.steps=3000000000: train.steps: expected integer, 1 to 2147483647, not "
            "3000000000");
  EXPECT_EQ(error_of("run.seed = -1"),
            "run.toml:1: run.seed: expected integer, 0 to 9223372036854775807, not -1");
  EXPECT_EQ(error_of("model.rope_theta = 1e31"),
            "run.toml:1: model.rope_theta: expected number, 1 to 1e+30, not 1e+31");
  EXPECT_EQ(error_of("tiers.disk_bytes = -1"),
            "run.toml:1: tiers.disk_bytes: expected bytes, 0 to 4194304TiB, as 4096 or \"64MiB\", "
            "or a share of the table up to \"1000%\", as \"25%\", or \"auto\", not -1");
  EXPECT_EQ(error_of("tiers.disk_bytes = 4611686018427387905").substr(0, 60),
            "run.toml:1: tiers.disk_bytes: expected bytes, 0 to 4194304Ti");
  EXPECT_EQ(error_of("train.steps = 5.0"),
            "run.toml:1: train.steps: expected integer, 1 to 2147483647, not 5.0");
  EXPECT_EQ(error_of("tiers.lookahead_distances = [1024]"),
            "run.toml:1: tiers.lookahead_distances: expected list of integers, each 0 to 1023, not "
            "1024");
}

TEST(Config, APromptThatTheModelCannotReadIsFoundAtOnce) {
  EXPECT_EQ(error_of("[data]\nvocabulary = 65\n"),
            "run.toml:2: data.vocabulary: byte 1 of the prompt \"The \" is token 84, outside "
            "data.vocabulary 65; set sample.prompt to bytes below 65 (\"\\u0001\" is the byte 1), "
            "or sample.tokens = 0 for no samples");
  EXPECT_EQ(error_of("data.vocabulary = 70\nsample.prompt = \"A\u00e9\"").substr(0, 66),
            "run.toml:2: sample.prompt: byte 2 of the prompt \"A\u00e9\" is token 195");
  EXPECT_EQ(error_of("[sample]\nprompt = \"\""),
            "run.toml:2: sample.prompt: a sample needs a prompt of at least one character; set "
            "sample.prompt, or sample.tokens = 0 for no samples");
  // The advice works.
  EXPECT_EQ(error_of("data.vocabulary = 65\nsample.prompt = \"\\u0001\""), "no error");
  EXPECT_EQ(error_of("data.vocabulary = 65\nsample.tokens = 0\nsample.prompt = \"\""), "no error");
  EXPECT_THROW(prompt_tokens("", nullptr, 256), io::Error);
  EXPECT_EQ(prompt_tokens("\xff ", nullptr, 256), (std::vector<std::int32_t>{255, 32}));
}

TEST(Config, NoTextMakesMoreThanOneLineOfError) {
  const std::string base = to_toml(Config{});
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::string text = base;
    for (int edits = 0; edits < 3; ++edits) {
      text[random() % text.size()] = "\"[]=\n.#x9-{\\"[random() % 12];
    }
    const std::string message = error_of(text);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_FALSE(message.empty());
  }
}

TEST(Config, SizesReadBackAsTheyAreWritten) {
  for (const std::uint64_t bytes :
       {0ull, 1ull, 1000ull, 1024ull, 1536ull, 5ull << 30, 3ull << 41, (1ull << 53) + 1}) {
    std::uint64_t read = 77;
    ASSERT_TRUE(parse_bytes(format_bytes(bytes), read)) << bytes;
    EXPECT_EQ(read, bytes);
  }
  std::uint64_t unused = 0;
  for (const char* bad : {"", "MiB", "1.2.3", "1 XB", "-1", "99999999TiB", "1e3"}) {
    EXPECT_FALSE(parse_bytes(bad, unused)) << bad;
  }
}

TEST(Config, EditDistanceCountsLetters) {
  EXPECT_EQ(edit_distance("width", "width"), 0u);
  EXPECT_EQ(edit_distance("widht", "width"), 1u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Config, EveryKeyBelongsToASectionAndIsDescribed) {
  Config config;
  for (const Key& key : config_keys(config)) {
    EXPECT_NE(config_help().find(key.description), std::string::npos) << key.name;
    EXPECT_EQ(key.description.back(), '.') << key.name;
    const std::string part = key.name.substr(key.name.rfind('.') + 1);
    EXPECT_NE(to_toml(config).find("\n" + part + " = "), std::string::npos) << key.name;
  }
}

TEST(Config, DocumentationIsTheProgramsOwn) {
  EXPECT_EQ(file_text(std::filesystem::path(MNEME_SOURCE_DIR) / "docs/configuration.md"),
            config_markdown())
      << "run: mneme train --help-config markdown > docs/configuration.md";
}

}  // namespace
}  // namespace mneme::engine
