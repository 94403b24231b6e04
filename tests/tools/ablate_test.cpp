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

// The run under way saves itself when it is stopped, and begins anew; one that chooses its tiers,
// too.
TEST_F(Ablate, ARunThatWasStoppedIsRunAgainFromItsBeginning) {
  const std::string many =
      "[set]\ntrain.steps = 250\n[axes]\ntiers.device_bytes = [\"30%\", \"auto\"]\n";
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
  EXPECT_GE(manifests.size(), 1u);
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

// Device tiers below and above the rows of a step, with and without a host tier.
constexpr const char* kTiers =
    "[axes]\ntiers.device_bytes = [\"8%\", \"20%\", \"100%\"]\ntiers.host_bytes = [0, \"15%\"]\n"
    "tiers.device_policy = [\"lru\", \"lfu\"]\n";

constexpr const char* kLinks =
    "[set]\ntiers.host_link_gb_per_s = 0.01\ntiers.disk_link_gb_per_s = 0.005\n";

class AblateReplay : public Ablate {
 protected:
  // All numbers that a run counts, by the settings of the cell.
  static std::map<std::string, std::map<std::string, double>> every_count(const Json& ablation) {
    std::map<std::string, std::map<std::string, double>> all;
    for (const Json& cell : ablation.at("cells")) {
      auto& counts = all[cell.at("settings").dump()];
      for (const auto& [name, value] : cell.at("runs").at(0).at("numbers").items()) {
        const bool is_time = name == "step_ms" || name == "tokens_per_s" ||
                             name.starts_with("time.") || name.starts_with("disk_latency.") ||
                             name.ends_with("bytes_per_s");
        // A record that is still on its way to the disk is taken from there.
        const bool is_read = name == "moves.disk_to_device.bytes";
        if (!is_time && !is_read) counts[name] = value.get<double>();
      }
      EXPECT_GT(counts.size(), 20u);
    }
    return all;
  }
  static std::size_t replayed_cells(const Json& ablation) {
    std::size_t count = 0;
    for (const Json& cell : ablation.at("cells")) {
      for (const Json& one : cell.at("runs")) count += one.contains("replayed") ? 1 : 0;
    }
    return count;
  }
  Json told(const Words& words) {
    Words all = {"ablate"};
    all.insert(all.end(), words.begin(), words.end());
    all.push_back("--json");
    const Finished finished = run(all);
    EXPECT_EQ(finished.status, 0) << finished.error;
    return Json::parse(finished.output);
  }
};

// Small tiers are trained where a run has to measure the speeds of links, large ones where they are
// declared: the trace of either answers for all.
TEST_F(AblateReplay, ReplayedCellsHaveTheCountsOfTrainedOnes) {
  for (const bool declares_links : {false, true}) {
    const std::string name = declares_links ? "declared" : "measured";
    const std::string text = declares_links ? kLinks + std::string(kTiers) : kTiers;
    const Json trained = told({grid(name + "-trained", text)});
    const std::string path = grid(name, text);
    const Json replayed = told({path, "--replay"});
    EXPECT_EQ(replayed_cells(trained), 0u);
    EXPECT_EQ(replayed_cells(replayed), 11u);
    EXPECT_EQ(every_count(replayed), every_count(trained));
    const std::string words = fmt::format(
        "11 of 12 cells were answered by replaying the trace of the cell device_bytes {}, "
        "host_bytes 15%",
        declares_links ? "100%" : "8%");
    const std::string table = run({"ablate", path, "--no-run"}).output;
    EXPECT_NE(table.find(words), std::string::npos) << table;
    EXPECT_NE(table.find("replayed  "), std::string::npos) << table;
    EXPECT_NE(text_of(run_.path(name + "/ablation.html")).find(words), std::string::npos);
    EXPECT_NE(text_of(run_.path(name + "/ablation.csv")).find(",replayed,seconds"),
              std::string::npos);
  }
}

TEST_F(AblateReplay, TimesArePredictedAndMarked) {
  const std::string path = grid("times", kLinks + std::string(kTiers));
  for (const Json& cell : told({path, "--replay"}).at("cells")) {
    const Json& numbers = cell.at("runs").at(0).at("numbers");
    EXPECT_GT(numbers.at("tokens_per_s").get<double>(), 0);
    double ms = 0;
    for (const auto& [name, value] : numbers.items()) {
      if (name.starts_with("time.") && name.ends_with(".ms")) ms += value.get<double>();
    }
    EXPECT_NEAR(ms, numbers.at("step_ms").get<double>(), 1e-6);
  }
  const std::string table = run({"ablate", path, "--no-run"}).output;
  EXPECT_NE(table.find("  ~"), std::string::npos) << table;
}

TEST_F(AblateReplay, KilledAtAnyMomentItGoesOnToTheSameTable) {
  const Json expected = told({grid("whole", kTiers), "--replay"});
  const std::string path = grid("broken", kTiers);
  std::mt19937 random(5);
  int kills = 0;
  for (int i = 0; i < 12; ++i) {
    Program program(folder_, mneme({"ablate", path, "--replay"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(5 + random() % 150));
    program.send(SIGKILL);
    kills += program.wait().status == -SIGKILL ? 1 : 0;
  }
  EXPECT_GT(kills, 2);
  const Json found = told({path, "--replay"});
  EXPECT_EQ(every_count(found), every_count(expected));
  EXPECT_EQ(replayed_cells(found), 11u);
  EXPECT_EQ(lines_of(run_.path("broken/results.jsonl")), 12u);
}

TEST_F(AblateReplay, InterruptedItEndsAtOnceAndGoesOn) {
  const std::string text = "[set]\ntrain.steps = 40\n" + std::string(kTiers);
  const Json expected = told({grid("whole", text), "--replay"});
  const std::string path = grid("stopped", text);
  for (int i = 0; i < 4; ++i) {
    Program program(folder_, mneme({"ablate", path, "--replay"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(100 + 100 * i));
    program.send(SIGINT);
    const int status = program.wait_a_minute().status;
    EXPECT_TRUE(status == 130 || status == 0) << status;
  }
  const Json found = told({path, "--replay"});
  EXPECT_EQ(replayed_cells(found), 11u);
  EXPECT_EQ(every_count(found), every_count(expected));
}

// Repeats of a replay say nothing new; without replays its cells are trained as others.
TEST_F(AblateReplay, ReplayedResultsAreNotTakenForTrainedOnes) {
  const std::string path = grid("turns", std::string("repeats = 2\n") + kTiers);
  const Json replayed = told({path, "--replay"});
  EXPECT_EQ(replayed_cells(replayed), 11u);
  EXPECT_EQ(lines_of(run_.path("turns/results.jsonl")), 13u);
  EXPECT_EQ(lines_of(run_.path("turns/ablation.csv")), 14u);
  told({path, "--replay"});
  EXPECT_EQ(lines_of(run_.path("turns/results.jsonl")), 13u) << "nothing was left";
  const Json trained = told({path});
  EXPECT_EQ(replayed_cells(trained), 0u);
  EXPECT_EQ(lines_of(run_.path("turns/results.jsonl")), 13u + 22u);
  EXPECT_EQ(lines_of(run_.path("turns/ablation.csv")), 25u);
  EXPECT_EQ(every_count(trained), every_count(replayed));
  // And those stay.
  EXPECT_EQ(replayed_cells(told({path, "--replay"})), 0u);
  EXPECT_EQ(lines_of(run_.path("turns/results.jsonl")), 13u + 22u);
}

// What is there of a group is no reason to train one of it twice: another one has the trace then.
TEST_F(AblateReplay, TrainedResultsAreKept) {
  told({grid("kept", "[axes]\ntiers.device_bytes = [\"100%\"]\n")});
  const std::string text = text_of(run_.path("kept/results.jsonl"));
  const Json found = told(
      {grid("kept", "[axes]\ntiers.device_bytes = [\"8%\", \"20%\", \"100%\"]\n"), "--replay"});
  EXPECT_EQ(replayed_cells(found), 1u);
  EXPECT_TRUE(found.at("cells").at(1).at("runs").at(0).contains("replayed"));
  EXPECT_EQ(text_of(run_.path("kept/results.jsonl")).find(text), 0u);
}

// Hints and checkpoints depend on more than a trace knows; a cell alone needs none.
TEST_F(AblateReplay, CellsThatAReplayCannotAnswerAreTrained) {
  const std::string path =
      grid("mixed",
           "[[zip]]\ntiers.device_bytes = [\"20%\", \"20%\", \"20%\", \"20%\", \"20%\", \"30%\"]\n"
           "tiers.prefetch = [\"none\", \"token-history\", \"none\", \"none\", \"none\", "
           "\"none\"]\n"
           "checkpoint.every = [0, 0, 2, 0, 0, 0]\nrun.seed = [7, 7, 7, 8, 7, 7]\n"
           "tiers.disk_bytes = [0, 0, 0, 0, \"1MiB\", 0]\n");
  const Json found = told({path, "--replay"});
  std::vector<bool> replayed;
  for (const Json& cell : found.at("cells")) {
    replayed.push_back(cell.at("runs").at(0).contains("replayed"));
  }
  EXPECT_EQ(replayed, (std::vector<bool>{false, false, false, false, false, true}));
}

// A cell that cannot be trained is no reason not to answer others.
TEST_F(AblateReplay, WhereACellFailsAnotherOneIsTrained) {
  const std::string path =
      grid("fails", "[axes]\ntiers.device_bytes = [\"100B\", \"8%\", \"20%\", \"100%\"]\n");
  const Json found = told({path, "--replay"});
  EXPECT_EQ(found.at("cells").at(0).at("runs").at(0).at("outcome"), "failed");
  EXPECT_EQ(replayed_cells(found), 2u);
}

// A trace that is damaged tells nothing: it says so, and the cells are trained.
TEST_F(AblateReplay, WithoutAWholeTraceCellsAreTrained) {
  told({grid("damaged", "[axes]\ntiers.device_bytes = [\"20%\", \"100%\"]\n"), "--replay"});
  std::size_t traces = 0;
  for (const auto& entry : fs::recursive_directory_iterator(run_.path("damaged"))) {
    if (entry.path().extension() != ".trace") continue;
    ++traces;
    fs::resize_file(entry.path(), fs::file_size(entry.path()) / 2);
  }
  EXPECT_EQ(traces, 1u);
  const std::string path =
      grid("damaged", "[axes]\ntiers.device_bytes = [\"8%\", \"20%\", \"100%\"]\n");
  const Finished finished = run({"ablate", path, "--replay", "--json"});
  EXPECT_NE(finished.error.find("are trained: "), std::string::npos) << finished.error;
  EXPECT_EQ(replayed_cells(Json::parse(finished.output)), 1u);
}

}  // namespace
}  // namespace mneme::test
