// `mneme ablate` as people run it: every cell is told of, also those that fail; broken off, it goes
// on to the table of an unbroken run.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

using Json = nlohmann::json;

class Ablate : public BadInput {
 protected:
  std::string grid(const std::string& name, const std::string& text) {
    const std::string path = run_.path(name + ".toml");
    put(path, fmt::format("config = \"{}\"\ndirectory = \"{}\"\n", file(), run_.path(name)) + text);
    return path;
  }
  // Of every run, by cell and repeat: the numbers that no clock has a part in.
  static std::map<std::string, std::map<std::string, double>> counts(const Json& ablation) {
    std::map<std::string, std::map<std::string, double>> all;
    for (const Json& cell : ablation.at("cells")) {
      for (const Json& one : cell.at("runs")) {
        auto& counts = all[cell.at("settings").dump() + one.at("repeat").dump()];
        for (const auto& [name, value] : one.at("numbers").items()) {
          const bool counted = name.starts_with("reads.") || name == "loss" ||
                               name == "last_loss" || name == "validation_loss" ||
                               (name.starts_with("moves.") && name.ends_with(".rows"));
          if (counted) counts[name] = value.get<double>();
        }
        EXPECT_GT(counts.size(), 8u);
      }
    }
    return all;
  }
  static std::size_t lines_of(const std::string& path) {
    const std::string text = text_of(path);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

constexpr const char* kTwoByTwo =
    "repeats = 2\n[axes]\ntiers.device_bytes = [\"30%\", \"60%\"]\n"
    "tiers.device_policy = [\"lru\", \"sieve\"]\n";

TEST_F(Ablate, RunsEveryCellAndTellsOfEach) {
  const std::string path = grid("all", kTwoByTwo);
  const Finished finished = run({"ablate", path});
  EXPECT_EQ(finished.status, 0) << finished.error;
  for (const char* part : {"device_bytes", "device_policy", "60%", "sieve", "2/2", "tokens/s"}) {
    EXPECT_NE(finished.output.find(part), std::string::npos) << part << finished.output;
  }
  EXPECT_EQ(lines_of(run_.path("all/results.jsonl")), 8u);
  EXPECT_EQ(lines_of(run_.path("all/ablation.csv")), 9u);
  EXPECT_NE(text_of(run_.path("all/ablation.html")).find("The fastest is"), std::string::npos);
  const Json told = Json::parse(run({"ablate", path, "--no-run", "--json"}).output);
  EXPECT_EQ(lines_of(run_.path("all/results.jsonl")), 8u) << "nothing was left to run";
  ASSERT_EQ(told.at("cells").size(), 4u);
  // Budgets and policies change no loss (promise 1); no rows stay behind.
  const auto all = counts(told);
  ASSERT_EQ(all.size(), 8u);
  for (const auto& [name, numbers] : all) {
    EXPECT_EQ(numbers.at("last_loss"), all.begin()->second.at("last_loss"));
  }
  for (const auto& entry : fs::recursive_directory_iterator(run_.path("all"))) {
    EXPECT_NE(entry.path().extension(), ".rows") << entry.path();
  }
}

TEST_F(Ablate, ACellThatFailsIsShownWithItsError) {
  const std::string path =
      grid("some",
           "time_limit_s = 5\n[[zip]]\ntiers.device_bytes = [\"60%\", \"100B\", \"60%\"]\n"
           "train.steps = [4, 4, 2000000000]\n");
  const Finished finished = run({"ablate", path});
  EXPECT_EQ(finished.status, 0) << finished.error;
  EXPECT_NE(finished.output.find("failed: "), std::string::npos) << finished.output;
  EXPECT_NE(finished.output.find("tiers.device_bytes: a device tier of 100 bytes is too small"),
            std::string::npos)
      << finished.output;
  EXPECT_NE(finished.output.find("timed out: not done after 5 s (time_limit_s)"), std::string::npos)
      << finished.output;
  EXPECT_NE(finished.output.find("1/1"), std::string::npos) << finished.output;
  // Neither is run again, unless it is asked for.
  run({"ablate", path});
  EXPECT_EQ(lines_of(run_.path("some/results.jsonl")), 3u);
}

TEST_F(Ablate, KilledAtAnyMomentItGoesOnToTheSameTable) {
  const std::string many = std::string(kTwoByTwo).replace(0, 11, "repeats = 6");
  const Json expected = Json::parse(run({"ablate", grid("whole", many), "--json"}).output);
  const std::string path = grid("broken", many);
  std::mt19937 random(4);
  int kills = 0;
  for (int i = 0; i < 20; ++i) {
    Program program(folder_, mneme({"ablate", path}));
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + random() % 250));
    program.send(SIGKILL);
    kills += program.wait().status == -SIGKILL ? 1 : 0;
  }
  EXPECT_GT(kills, 10);
  const Json found = Json::parse(run({"ablate", path, "--json"}).output);
  EXPECT_EQ(counts(found), counts(expected));
  EXPECT_EQ(lines_of(run_.path("broken/results.jsonl")), 24u);
}

TEST_F(Ablate, InterruptedItEndsAtOnceAndGoesOn) {
  const std::string path = grid("stopped", kTwoByTwo);
  Program program(folder_, mneme({"ablate", path}));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  program.send(SIGINT);
  EXPECT_EQ(program.wait_a_minute().status, 130);
  EXPECT_EQ(run({"ablate", path}).status, 0);
  EXPECT_EQ(lines_of(run_.path("stopped/results.jsonl")), 8u);
}

// The run under way saves itself when it is stopped, and begins anew.
TEST_F(Ablate, ARunThatWasStoppedIsRunAgainFromItsBeginning) {
  const std::string many = "[set]\ntrain.steps = 250\n[axes]\ntiers.device_bytes = [\"30%\"]\n";
  const Json expected = Json::parse(run({"ablate", grid("once", many), "--json"}).output);
  const std::string path = grid("stopped", many);
  std::vector<std::string> manifests;
  for (int i = 0; i < 50 && manifests.empty(); ++i) {
    Program program(folder_, mneme({"ablate", path}));
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + 20 * i));
    program.send(SIGINT);
    EXPECT_EQ(program.wait_a_minute().status, 130);
    for (const auto& entry : fs::recursive_directory_iterator(run_.path("stopped"))) {
      if (entry.path().filename() == "manifest.json") manifests.push_back(entry.path());
    }
  }
  EXPECT_EQ(manifests.size(), 1u);
  const Json found = Json::parse(run({"ablate", path, "--json"}).output);
  EXPECT_EQ(counts(found), counts(expected));
}

TEST_F(Ablate, TwoAtOnceInOneFolderAreRefused) {
  const std::string path = grid("shared", "[axes]\ntrain.steps = [2000000000]\n");
  fs::create_directories(run_.path("first"));
  Program first(run_.path("first"), mneme({"ablate", path}));
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  expect_error(run({"ablate", path}), 1, {run_.path("shared/LOCK"), "another process holds it"});
  first.send(SIGINT);
  EXPECT_EQ(first.wait_a_minute().status, 130);
}

TEST_F(Ablate, WhatItCannotReadIsOneLineOfError) {
  expect_error(run({"ablate", run_.path("none.toml")}), 1, {"none.toml"});
  expect_error(run({"ablate", grid("bad", "[axes]\ntrain.batsh = [1]")}), 1,
               {"bad.toml:4", "did you mean train.batch?"});
  fs::create_directories(run_.path("other"));
  put(run_.path("other/results.jsonl"), "{\"mine\": 1}\n");
  expect_error(run({"ablate", grid("other", "[axes]\ntrain.batch = [1]")}), 1,
               {"other/results.jsonl:1: no result of an ablation"});
  EXPECT_EQ(text_of(run_.path("other/results.jsonl")), "{\"mine\": 1}\n");
}

}  // namespace
}  // namespace mneme::test
