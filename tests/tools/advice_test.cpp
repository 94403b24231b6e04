// Every piece of advice in an error can be followed: each is provoked, taken from the error's own
// text where it is a command or an option, and tried.
#include <cmath>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "tests/support/token_files.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

class Advice : public BadInput {
 protected:
  // The error that a command ends with.
  std::string error_of(const Words& words, const Words& settings = {}) {
    const Finished finished = run(words, settings);
    EXPECT_EQ(finished.status, 1) << finished.error;
    const std::size_t at = finished.error.rfind("error: ");
    return at == std::string::npos ? "" : finished.error.substr(at);
  }
  void expect_success(const Words& words, const Words& settings = {}) {
    const Finished finished = run(words, settings);
    EXPECT_EQ(finished.status, 0) << finished.error;
  }
  // The words of the command that an error names after `mneme`, up to the end or a bracket.
  static Words command_in(const std::string& error) {
    std::smatch found;
    EXPECT_TRUE(std::regex_search(error, found, std::regex("mneme ((resume|train|eval)[^()\n]*)")))
        << error;
    std::istringstream stream(found[1]);
    return {std::istream_iterator<std::string>(stream), std::istream_iterator<std::string>()};
  }
  // The first group of a pattern.
  static std::string part_of(const std::string& error, const char* pattern) {
    std::smatch found;
    EXPECT_TRUE(std::regex_search(error, found, std::regex(pattern))) << error;
    return found.size() > 1 ? found[1].str() : "";
  }
  static void expect_says(const std::string& error, const std::string& advice) {
    EXPECT_NE(error.find(advice), std::string::npos) << error;
  }
  Words train_with(const Words& sets) const {
    Words words = {"train", file()};
    for (const std::string& set : sets) words.insert(words.end(), {"--set", set});
    return words;
  }
  // The same, into a folder of its own.
  Words train_anew(const Words& sets) {
    Words all = sets;
    all.push_back("run.directory=" + run_.path("anew-" + std::to_string(++runs_)));
    return train_with(all);
  }

  int runs_ = 0;
};

TEST_F(Advice, ForRuns) {
  train_until(3);
  expect_success(command_in(error_of({"train", file()})));  // "resume it"
  expect_success({"verify", directory()});
}

TEST_F(Advice, ForARunWithoutACheckpoint) {
  engine::TrainerOptions options;
  options.on_step = [](const engine::StepMetrics&) { throw io::Error("the lights went out"); };
  config_.checkpoint.every = 0;
  EXPECT_THROW(run_.train(config_, options), io::Error);
  const std::string error = error_of({"resume", directory()});
  expect_says(error, "has no checkpoint yet");
  expect_success(command_in(error));
  expect_success({"verify", directory()});
  expect_says(error_of({"resume", run_.path("nowhere")}), "`mneme train CONFIG` makes the folder");
  fs::create_directory(run_.path("empty"));
  expect_says(error_of({"resume", run_.path("empty")}), "`mneme train CONFIG` makes one");
}

TEST_F(Advice, ForADeviceTierThatDoesNotHoldTheRowsOfAStep) {
  config_.tiers.store.device_bytes = engine::testing::TinyRun::device_bytes(24);
  config_.train.log_every = 1;
  write_config();
  const auto steps_that_fetch_again = [&](const std::string& folder) {
    std::istringstream lines(text_of(folder + "/metrics.jsonl"));
    int steps = 0;
    for (std::string line; std::getline(lines, line);) {
      steps += nlohmann::json::parse(line).at("rows").at("fetched_share") > 1 ? 1 : 0;
    }
    return steps;
  };
  Finished finished = run({"train", file()});
  EXPECT_EQ(finished.status, 0);
  const std::string wanted = "are more than the device tier holds";
  const std::size_t at = finished.error.find(wanted);
  ASSERT_NE(at, std::string::npos) << finished.error;
  EXPECT_EQ(finished.error.find(wanted, at + 1), std::string::npos) << "more than once";
  EXPECT_GT(steps_that_fetch_again(directory()), 0);
  const std::string key = part_of(finished.error, "(tiers.device_bytes=[^ ]+)");
  config_.run.directory = run_.path("wider");
  write_config();
  finished = run(
      {"train", file(), "--set", key, "--set", "train.steps=1", "--set", "train.warmup_steps=1"});
  EXPECT_EQ(finished.status, 0) << finished.error;
  EXPECT_EQ(finished.error.find(wanted), std::string::npos) << finished.error;
  EXPECT_EQ(steps_that_fetch_again(directory()), 0);
}

TEST_F(Advice, ForDamage) {
  train_until(5);  // keeps 4 and 5
  const std::string dense = newest_dense();
  const std::string whole = text_of(dense);
  std::string damaged = whole;
  damaged[whole.size() - 9] ^= 1;
  put(dense, damaged);
  const std::string error = error_of({"resume", directory()});
  expect_says(error, "mneme inspect DIR lists them, mneme resume DIR --step N takes one");
  const Finished listed = run({"inspect", directory()});
  const std::string older = part_of(listed.output, "checkpoint of step ([0-9]+)");
  EXPECT_EQ(older, "4");
  expect_success({"resume", directory(), "--step", older});
  expect_same(run_.outcome(config_), uninterrupted());

  put(directory() + "/config.toml", "# mine");
  expect_says(error_of({"verify", directory()}), "writes the file anew once it is gone");
  fs::remove(directory() + "/config.toml");
  expect_success({"resume", directory()});
  expect_success({"verify", directory()});
}

TEST_F(Advice, ForATrainingThatDiverges) {
  train_until(5);  // keeps 4 and 5
  {
    // A newest checkpoint whose model has diverged.
    const engine::RunDirectory directory_now(run_.disk(), directory());
    const engine::Manifest& manifest = directory_now.manifest();
    engine::Run diverged(config_, run_.disk(),
                         {.id = manifest.run.id, .schedule = manifest.run.schedule});
    const engine::CheckpointEntry entry = diverged.load(manifest);
    engine::Parameters& parameters = diverged.model().parameters();
    const engine::Parameter& norm = parameters.find("norm.weight");
    parameters.write(diverged.stream(), engine::ParameterBuffer::kValues, norm,
                     std::vector<float>(std::size_t(norm.count), INFINITY));
    diverged.save(6, manifest.run, [&] { return entry.metrics; });
  }
  const std::string error = error_of({"resume", directory()});
  ASSERT_NE(error.find("the loss of step 7 is"), std::string::npos) << error;
  expect_says(error, "(--step takes an older one)");
  Words command = command_in(error);
  command.insert(command.end(), {"--step", "5"});
  expect_success(command);
  expect_success({"verify", directory()});
}

TEST_F(Advice, ForTheDiskBudget) {
  config_.tiers.store.disk_bytes = 100 << 10;
  config_.checkpoint.every = 1;
  write_config();
  std::string error = error_of({"train", file()});
  expect_says(error, "is saved, go on with");
  for (int doubled = 0; doubled < 3; ++doubled) {
    const Finished finished = run(command_in(error));
    if (finished.status == 0) break;
    error = finished.error.substr(finished.error.rfind("error: "));
  }
  expect_success({"verify", directory()});
  Config whole = config_;
  whole.run.directory = run_.path("whole");
  whole.tiers.store.disk_bytes = 0;
  run_.train(whole);
  expect_same(run_.outcome(config_), run_.outcome(whole));
  expect_says(error_of(train_anew({"tiers.disk_bytes=2KiB"})), "raise it");
}

TEST_F(Advice, ForData) {
  train_until(3);
  const std::string moved = run_.path("moved.txt");
  fs::rename(config_.data.path, moved);
  for (const std::string command : {"eval", "resume"}) {
    expect_says(error_of({command, directory()}), "--set data.path=PATH");
    expect_success({command, directory(), "--set", "data.path=" + moved});
  }
  expect_success({"resume", directory()});  // the run knows it now
  put(moved, text_of(moved) + "more");
  for (const std::string command : {"eval", "resume"}) {
    const Words words = command_in(error_of({command, directory()}));
    EXPECT_EQ(words.back(), "--accept-changed-data");
    expect_success(words);
  }
  config_.data.path = moved;
  write_config();
  const std::string brief = run_.path("brief.txt");
  put(brief, "of some use");
  expect_says(error_of(train_anew({"data.path=" + brief})), "lower train.sequence");
  expect_success(train_anew({"data.path=" + brief, "train.sequence=2"}));
}

TEST_F(Advice, ForShards) {
  const std::string folder = run_.path("shards");
  fs::create_directories(folder + "/below");
  const auto write_shard = [](const std::string& path, int vocabulary) {
    std::vector<std::int32_t> tokens(3000);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = std::int32_t(i * i % std::size_t(vocabulary));
    }
    testing::write_tokens(path, tokens);
  };
  write_shard(folder + "/below/s.bin", 256);
  const std::string error = error_of(train_anew({"data.path=" + folder}));
  const std::string below = part_of(error, "set (data.path = \"[^\"]*\")");
  EXPECT_NE(below, "");
  expect_success(train_anew({below}));

  const std::string text = run_.path("text");
  fs::create_directories(text);
  put(text + "/a.txt", text_of(config_.data.path));
  put(text + "/b.bin", "no shard, but named so");
  expect_says(error_of(train_anew({"data.path=" + text})), "set data.format = \"bytes\"");
  expect_success(train_anew({"data.path=" + text, "data.format = \"bytes\""}));

  write_shard(folder + "/few.bin", 65);
  const Words few = {"data.path=" + folder + "/few.bin", "data.vocabulary=65", "sample.tokens=4"};
  expect_says(error_of(train_anew(few)), "set sample.prompt to bytes below 65");
  Words with_prompt = few, without = few;
  with_prompt.push_back("sample.prompt = \"\\u0001\"");
  without.push_back("sample.tokens = 0");
  expect_success(train_anew(with_prompt));
  expect_success(train_anew(without));
}

TEST_F(Advice, ForTheLengthOfARun) {
  config_.checkpoint.keep = 3;
  write_config();
  train_until(5);  // keeps 2, 4 and 5
  std::string error = error_of({"resume", directory(), "--set", "train.steps=3"});
  expect_success({"resume", directory(), "--set", "train.steps=3", "--step",
                  part_of(error, "with --step ([0-9]+)")});
  error = error_of(train_anew({"train.steps=20", "train.warmup_steps=30"}));
  EXPECT_EQ(part_of(error, "with --set (train.warmup_steps=[0-9]+)"), "train.warmup_steps=2");
  expect_success(train_anew({"train.steps=4", "train.warmup_steps=0"}));
  // The setting of this command is at fault, not the run's recorded configuration.
  error = error_of({"resume", directory(), "--set", "train.steps=1"});
  expect_says(error, "error: --set train.steps=1: train.steps: 2 warm-up steps");
}

TEST_F(Advice, ForSamplesAndEvaluations) {
  const Words empty = {"sample.prompt=", "sample.tokens=4"};
  expect_says(error_of(train_anew(empty)), "set sample.prompt, or sample.tokens = 0");
  expect_success(train_anew({"sample.prompt=a", "sample.tokens=4"}));
  config_.data.validation_share = 0;
  run_.train(config_);
  const std::string error = error_of({"eval", directory()});
  const std::string share = part_of(error, "give (--set data.validation_share=[0-9.]+)");
  expect_success({"eval", directory(), "--set", share.substr(share.find(' ') + 1)});
  expect_says(error, "--set data.validation_path=PATH");
  const std::string own = "data.validation_path=" + config_.data.path;
  expect_success({"eval", directory(), "--set", own, "--set", "data.path=/nowhere"});
  const std::string none = error_of({"generate", directory()});
  EXPECT_EQ(part_of(none, "give (--tokens [0-9]+)"), "--tokens 100");
  expect_success({"generate", directory(), "--tokens", "100"});
}

TEST_F(Advice, ForBudgetsAndThreads) {
  const std::string least =
      part_of(error_of(train_anew({"tiers.device_bytes=100"})), "at least ([0-9]+) bytes");
  expect_success(train_anew({"tiers.device_bytes=" + least, "tiers.host_bytes=0"}));
  expect_says(error_of(train_anew({"tiers.host_bytes=900TiB", "memory.half_keys=60000"})),
              "of the machine's memory");
  expect_success(train_anew({"tiers.host_bytes=1MiB"}));
  expect_says(error_of(train_anew({"run.threads=4000"})), "use fewer, or 0");
  expect_success(train_anew({"run.threads=2"}));
  expect_success(train_anew({"run.threads=0"}));
  expect_says(error_of(train_anew({"optimizer.learning_rate=20"})), "lower one of them");
  expect_success(train_anew({"optimizer.learning_rate=20", "optimizer.weight_decay=0.01"}));
}

TEST_F(Advice, ForDevicesAndEngines) {
  const Finished finished = run(train_anew({"run.device=cuda"}));
  if (finished.status != 0) {  // without a GPU
    expect_says(finished.error, "use --device cpu");
    Words words = train_anew({});
    words.insert(words.end(), {"--device", "cpu"});
    expect_success(words);
  }
  const Words refused = {"MNEME_IO_URING=refuse"};
  expect_says(error_of(train_anew({"tiers.io_engine=uring"}), refused), "choose the sync engine");
  expect_success(train_anew({"tiers.io_engine=sync"}), refused);
}

TEST_F(Advice, ForOutputs) {
  train_until(3);
  const std::string mine = run_.path("mine");
  put(mine, "mine");
  expect_says(error_of({"export", directory(), "-o", mine}), "name another file with --output");
  expect_success({"export", directory(), "--output", run_.path("another")});
  const auto bench = [&](const std::string& path) {
    return Words{"bench", "disk", "--path", path, "--file-bytes", "1MiB", "--seconds", "0.05"};
  };
  expect_says(error_of(bench(mine)), "--path names another");
  Words kept = bench(run_.path("bench"));
  kept.push_back("--keep");
  expect_success(kept);
  expect_says(error_of(kept), "--reuse takes or overwrites it");
  kept.push_back("--reuse");
  expect_success(kept);
}

TEST_F(Advice, ForSettings) {
  expect_says(error_of(train_with({"zyx.wvu=1"})), "`mneme train --help-config` lists the keys");
  expect_success({"train", "--help-config"});
  const Finished usage = run({"train", file(), "--set", "train.steps"});
  EXPECT_EQ(usage.status, 2);
  expect_says(usage.error, "mneme train --help");
  expect_success({"train", "--help"});
}

// Advice that this program's tests do not try must at least be looked at: a text that names a
// command, an option or a key to set belongs into one of the tests above.
TEST_F(Advice, AProfileOfFewerSteps) {
  const std::string error = error_of({"profile", file()});
  expect_says(error, "raise train.steps, or lower --warm-up and --steps");
  expect_success({"profile", file(), "--set", "train.steps=70"});
  expect_success({"profile", file(), "--warm-up", "2", "--steps", "3"});
  train_until(2);
  expect_says(error_of({"profile", directory(), "--output", run_.path("x")}), "is in its folder");
  expect_success({"profile", directory(), "--warm-up", "1", "--steps", "2"});
}

TEST_F(Advice, TwoRunsComparedAsJson) {
  run_.train(config_);
  const std::string error = error_of({"report", directory(), directory(), "--csv"});
  expect_says(error, "--csv is for one run; two are compared as JSON");
  expect_success({"report", directory(), directory(), "--json"});
  expect_success({"report", directory(), "--csv"});
}

TEST_F(Advice, ForPlans) {
  expect_says(error_of({"plan", file(), "--ranks", "3"}), "this machine has 1 device");
  expect_says(run({"plan", file()}).output,
              "measure the machine with mneme bench machine, and give its file with --machine");
  const std::string machine = run_.path("machine.toml");
  std::ofstream(machine) << "device.count = 8\ndevice.memory_bytes = \"1GiB\"\n"
                            "host.memory_bytes = \"8GiB\"\n";
  const Words eight = {"plan", file(), "--machine", machine, "--ranks", "8"};
  expect_says(error_of(eight), "cannot be shared evenly; set train.batch");
  Words shared = eight;
  shared.insert(shared.end(), {"--set", "train.batch=8"});
  expect_success(shared);
}

TEST(AdviceTexts, AreAllTried) {
  // Parts of texts whose advice is tried above, or in the test that is named.
  const std::vector<std::string> tried = {
      "resume it (mneme resume {})",
      "train with --set run.trace=true",  // trace_test.cpp
      "start it again with `mneme train",
      "`mneme train CONFIG` makes",
      "`mneme train \"",
      "\"CONFIG` makes one",
      "mneme inspect DIR lists them",
      "mneme resume DIR --step N takes one",
      "(`mneme resume` writes the",
      "go on with: mneme resume {}",
      "mneme resume {} --set",
      "\"--text\"",     // no advice: what an option's text is called in errors
      "more (--json)",  // no error
      "make the folder anew with mneme prepare",  // text_run_test.cpp, as the next two
      "run mneme prepare with this one",
      "run mneme prepare \"",
      "optimizer.learning_rate={} --set memory.optimizer.learning_rate={}",
      "(--step takes an",
      "mneme resume \"",
      "mneme eval \"",
      "--set data.path=PATH",
      "--set data.validation_path=",
      "--set {}=PATH",
      "--accept-changed-data",
      "data.validation_share=0.05",
      "give --set",
      "give --tokens 100",
      "use --device cpu",
      "choose the sync engine",
      "name another file with --output",
      "--path names",
      "--reuse takes",
      "`mneme train CONFIG`",
      "mneme train {} --set run.directory={}",
      "`mneme train --help-config` lists",
      "--set train.steps=100",
      "--set train.warmup_steps={}",
      "with --step {}",
      "set train.steps to {}",
      "(see {} --help)",
      "--set needs KEY=VALUE",
      "--set and --scale go with a",
      "\"--set KEY=VALUE\"",
      "\"--set \"",
      "change keys with --set",
      "and --set changes keys",
      "set data.format",
      "set data.path",
      "set sample.prompt",
      "--output is for the profile of a configuration",
      "--csv is for one run",
      "--ranks {}: {} has {} device",
      "mneme bench machine, {:",  // no advice: who has measured
      "\"--warm-up and --steps\"",
      "more (--json)",                       // tokenizer_test.cpp
      "next: mneme prepare {} --tokenizer",  // the same
      "\"--text\""};                         // no advice: what the text is called
  // The same of mneme prepare: prepare_test.cpp and the tests of text/prepare.
  const std::vector<std::string> of_prepare = {"mneme prepare has not made",
                                               "mneme prepare (docs/text.md)",
                                               "next: mneme train CONFIG --set data.path={}",
                                               "--invalid-utf8 replace",
                                               "more with --max-document-bytes",
                                               "with --field",
                                               "--separator {}:",
                                               "with --output, or move it away",
                                               "--restart",
                                               "\"no document validates",
                                               "whole file (--document-separator)",
                                               "give --tokenizer bytes",
                                               "give fewer with --threads",
                                               "--long=27",           // of zstd
                                               "\"mneme prepare\""};  // no advice: a file's mark
  // Numbers of a benchmark's own options that do not fit together.
  const std::vector<std::string> options = {"--record-bytes {}", "--file-bytes {}",
                                            "--scale {}",        "--read-share {}",
                                            "--fill-rows",       "--distinct-rows {}"};
  const std::regex literal("\"((?:[^\"\\\\]|\\\\.)*)\"");
  const std::regex names(
      "(mneme "
      "(train|prepare|resume|eval|generate|verify|inspect|profile|report|ablate|plan|export|trace|"
      "replay|bench|tokenizer)|"
      "(^|[ (\"])--[a-z][a-z-]+|set [a-z]+\\.[a-z_]+)");
  const std::set<std::string> not_errors = {"arguments.cpp",           "arguments_bench.cpp",
                                            "arguments_plan.cpp",      "arguments_prepare.cpp",
                                            "arguments_tokenizer.cpp", "arguments_trace.cpp",
                                            "completion_table.h",      "config_writer.cpp",
                                            "config_keys.cpp",         "grammar.h"};
  std::size_t found = 0;
  for (const std::string folder :
       {"io", "text", "kernels", "offload", "memory", "engine", "tools/mneme"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(std::string(MNEME_SOURCE_DIR) + "/" + folder)) {
      const std::string extension = entry.path().extension();
      if (extension != ".cpp" && extension != ".h" && extension != ".cu") continue;
      if (not_errors.contains(entry.path().filename())) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        if (line.find_first_not_of(' ') != std::string::npos &&
            line.compare(line.find_first_not_of(' '), 2, "//") == 0) {
          continue;
        }
        for (std::sregex_iterator text(line.begin(), line.end(), literal), end; text != end;
             ++text) {
          const std::string inside = (*text)[1].str();
          if (!std::regex_search(inside, names)) continue;
          ++found;
          const std::string whole = text->str();
          const auto is_in = [&](const std::vector<std::string>& parts) {
            return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
              return whole.find(part) != std::string::npos;
            });
          };
          EXPECT_TRUE(is_in(tried) || is_in(of_prepare) || is_in(options))
              << entry.path().filename() << ": " << whole << " gives advice that no test tries";
        }
      }
    }
  }
  EXPECT_GT(found, 20u) << "the sources were not found";
}

}  // namespace
}  // namespace mneme::test
