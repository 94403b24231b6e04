// The benchmarks of whole programs at toy sizes: what they report, and that tiers are full when
// they should be.
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/model_costs.h"
#include "engine/run_files.h"
#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

using Json = nlohmann::json;

class Bench : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kRows = engine::testing::TinyRun::kRows;

  // The tiny run with all rows on the device, or with 64 there, 48 in host memory and the rest on
  // disk, written to a file.
  std::string file_of(const std::string& name, bool tiered,
                      const std::function<void(Config&)>& change = {}) {
    Config config = tiered ? run_.tiered(name) : run_.config(name);
    config.run.device = MNEME_BENCH_DEVICE == std::string("cpu") ? engine::DeviceKind::kCpu
                                                                 : engine::DeviceKind::kCuda;
    if (change) change(config);
    put(run_.path(name + ".toml"), engine::to_toml(config));
    return run_.path(name + ".toml");
  }
  Finished run(const Words& words) { return Program(run_.path(""), words).wait(); }
  Json json_of(const Words& words) {
    const Finished finished = run(mneme(words));
    EXPECT_EQ(finished.status, 0) << finished.error;
    return Json::parse(finished.output, nullptr, false);
  }
  Json bench_model(const std::string& file, const Words& more) {
    Words words = {"bench", "model", file, "--json", "--steps", "2"};
    words.insert(words.end(), more.begin(), more.end());
    return json_of(words);
  }
  bool has(const std::string& name) const { return fs::exists(run_.path(name)); }

  engine::testing::TinyRun run_;
};

TEST_F(Bench, RowsMayBeExpertsOfTwoParts) {
  const auto measured = [&](const Words& more) {
    Words words = {"bench",
                   "rows",
                   "--json",
                   "--rows",
                   "600",
                   "--tokens",
                   "16",
                   "--rows-per-token",
                   "8",
                   "--width",
                   "64",
                   "--steps",
                   "2",
                   "--device",
                   MNEME_BENCH_DEVICE};
    words.insert(words.end(), more.begin(), more.end());
    return json_of(words);
  };
  const Json values = measured({}), experts = measured({"--experts"});
  EXPECT_EQ(values["parts"], 1);
  EXPECT_EQ(experts["parts"], 2);
  EXPECT_EQ(experts["distinct_rows"], values["distinct_rows"]);
  EXPECT_EQ(experts["least_bytes_per_row"], 2 * values["least_bytes_per_row"].get<double>());
  EXPECT_GT(experts["step_ms"], 0.0);
}

TEST_F(Bench, ModelFillsTheTiersBeforeItMeasures) {
  const std::string file = file_of("tiered", true);
  const Json filled = bench_model(file, {"--fill-rows", "--warm-up", "1"});
  EXPECT_EQ(filled["table"]["rows"], kRows);
  EXPECT_EQ(filled["table"]["touched_rows"], kRows);
  EXPECT_EQ(filled["table"]["device_rows"], filled["table"]["device_slots"]);
  EXPECT_EQ(filled["table"]["device_slots"], 64);
  EXPECT_GT(filled["table"]["host_rows"], 0);
  EXPECT_GT(filled["table"]["disk_slots"], 0);
  EXPECT_EQ(filled["moves"]["generated"]["rows"], 0.0);
  EXPECT_GT(filled["moves"]["disk_to_device"]["rows"], 0.0);
  EXPECT_GT(filled["page_in_gb_per_s"], 0.0);
  const engine::ModelCosts costs = engine::model_costs(engine::load_config(file));
  EXPECT_EQ(filled["flops_per_token"], costs.forward.total() + costs.backward.total());
  EXPECT_GT(filled["fill_s"], 0.0);
  EXPECT_EQ(filled["warm_up"], 1);
  EXPECT_EQ(filled["steps"], 2);
  for (const char* cause : {"plan", "host", "disk", "write_back"}) {
    EXPECT_TRUE(filled["stall_ms"].contains(cause)) << cause;
  }
  const Json fresh = bench_model(file, {"--warm-up", "1"});
  EXPECT_GT(fresh["moves"]["generated"]["rows"], 0.0);
  EXPECT_LT(fresh["table"]["touched_rows"], kRows);
  EXPECT_EQ(fresh["fill_s"], 0.0);
  EXPECT_EQ(fresh["last_loss"], filled["last_loss"]) << "filling changed what was trained";
  for (const auto& entry : fs::directory_iterator(run_.path(""))) {
    EXPECT_EQ(entry.path().string().find(".bench"), std::string::npos) << entry << " stayed";
  }
}

constexpr const char* kProducts =
    MNEME_BENCH_DEVICE == std::string_view("cpu") ? "mneme " : "cuBLAS ";

TEST_F(Bench, EachThatUsesADeviceNamesWhatMultipliesItsMatrices) {
  const std::string file = file_of("named", false);
  const Words device = {"--device", MNEME_BENCH_DEVICE, "--path", run_.path("")};
  const auto all = [&](Words words) {
    words.insert(words.end(), device.begin(), device.end());
    return words;
  };
  for (const Words& words :
       {Words{"bench", "model", file, "--steps", "1"},
        all({"bench", "rows", "--rows", "64", "--tokens", "8", "--steps", "1"})}) {
    const Finished finished = run(mneme(words));
    ASSERT_EQ(finished.status, 0) << finished.error;
    EXPECT_NE(finished.output.find(std::string("products by ") + kProducts), std::string::npos)
        << finished.output;
    Words json = words;
    json.push_back("--json");
    EXPECT_TRUE(json_of(json)["products"].get<std::string>().starts_with(kProducts));
  }
  const Finished trained = run(mneme({"train", file}));
  EXPECT_NE(trained.error.find(std::string("products by ") + kProducts), std::string::npos)
      << trained.error;
}

// What other libraries read, some of them to choose worse kernels.
TEST_F(Bench, NoVariableOfALibraryChangesProducts) {
  const Words words = {"bench", "model", file_of("told", false), "--json", "--steps", "2"};
  const Json plain = json_of(words);
  const Finished told =
      Program(run_.path(""), mneme(words),
              {"OPENBLAS_CORETYPE=Nehalem", "OPENBLAS_NUM_THREADS=1", "ONEDNN_MAX_CPU_ISA=SSE41",
               "DNNL_MAX_CPU_ISA=SSE41", "BLIS_ARCH_TYPE=5", "MKL_ENABLE_INSTRUCTIONS=SSE4_2",
               "MKL_DEBUG_CPU_TYPE=1", "OMP_NUM_THREADS=1"})
          .wait();
  ASSERT_EQ(told.status, 0) << told.error;
  const Json other = Json::parse(told.output, nullptr, false);
  EXPECT_EQ(other["products"], plain["products"]);
  EXPECT_EQ(other["device"], plain["device"]);
  EXPECT_EQ(other["last_loss"], plain["last_loss"]);
}

TEST_F(Bench, ModelReportsAllOfItToPeople) {
  const Finished finished = run(mneme({"bench", "model", file_of("tiered", true), "--steps", "2",
                                       "--fill-rows", "--token-skew", "1"}));
  ASSERT_EQ(finished.status, 0) << finished.error;
  for (const char* part :
       {"tokens/s", "opened in", "every row touched in", "page-in from host", "page-in from disk",
        "write-back to host", "rows fetched", "stall, ms a step: plan"}) {
    EXPECT_NE(finished.output.find(part), std::string::npos) << part << "\n" << finished.output;
  }
}

TEST_F(Bench, ModelScalesALargeRunDown) {
  const Json scaled = bench_model(file_of("tiered", true), {"--scale", "2"});
  EXPECT_EQ(scaled["table"]["rows"], kRows / 4);
  EXPECT_EQ(scaled["table"]["device_slots"], 16);
  EXPECT_EQ(scaled["tokens_per_step"], 12 / 4 * 2);
  const Finished refused = run(mneme({"bench", "model", file_of("run", true), "--scale", "8"}));
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.error.find("--scale 8"), std::string::npos) << refused.error;
}

TEST_F(Bench, ModelWithoutMemoryHasNoRowsToFill) {
  const std::string file =
      file_of("dense", false, [](Config& config) { config.model.feed_forward = {}; });
  EXPECT_FALSE(bench_model(file, {}).contains("moves"));
  const Finished refused = run(mneme({"bench", "model", file, "--fill-rows"}));
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.error.find("--fill-rows"), std::string::npos) << refused.error;
}

TEST_F(Bench, DiskThroughTheStoreReadsRowsOfTheSizeThatWasAsked) {
  const Json found =
      json_of({"bench", "disk", "--through-store", "--device", MNEME_BENCH_DEVICE, "--path",
               run_.path("rows"), "--file-bytes", "256KiB", "--record-bytes", "4096", "--depth",
               "4", "--lease-rows", "8", "--seconds", "0.02", "--json"});
  EXPECT_EQ(found["record_bytes"], 4096);
  EXPECT_EQ(found["depth"], 4);
  EXPECT_GT(found["iops"], 0.0);
  EXPECT_NEAR(double(found["bytes_per_second"]), 4096 * double(found["iops"]), 1.0);
  EXPECT_GT(found["fill_records_per_second"], 0.0);
  EXPECT_EQ(found["writes_per_second"], 0.0);
  EXPECT_FALSE(has("rows")) << "the rows file stayed";
}

TEST_F(Bench, DiskThroughTheStoreWritesBackAsManyRowsAsItReads) {
  const auto words = [&](const char* share) {
    return Words{"bench",
                 "disk",
                 "--through-store",
                 "--device",
                 MNEME_BENCH_DEVICE,
                 "--path",
                 run_.path("rows"),
                 "--file-bytes",
                 "256KiB",
                 "--record-bytes",
                 "4096",
                 "--lease-rows",
                 "8",
                 "--seconds",
                 "0.1",
                 "--json",
                 "--read-share",
                 share};
  };
  const Json found = json_of(words("0.5"));
  EXPECT_NEAR(double(found["writes_per_second"]), double(found["reads_per_second"]),
              0.3 * double(found["reads_per_second"]));
  EXPECT_EQ(run(mneme(words("0.3"))).status, 1) << "a row that is written was read";
}

TEST_F(Bench, DiskThroughTheStoreKeepsItsFileAndOverwritesNoOther) {
  const std::string path = run_.path("rows");
  const Words words = {"bench",
                       "disk",
                       "--through-store",
                       "--device",
                       MNEME_BENCH_DEVICE,
                       "--path",
                       path,
                       "--file-bytes",
                       "256KiB",
                       "--record-bytes",
                       "4096",
                       "--seconds",
                       "0.01",
                       "--keep"};
  Words reusing = words;
  reusing.emplace_back("--reuse");
  put(path, "precious");
  EXPECT_EQ(run(mneme(words)).status, 1);
  EXPECT_EQ(run(mneme(reusing)).status, 1);
  EXPECT_EQ(text_of(path), "precious");
  fs::remove(path);
  for (const Words& command : {words, reusing}) {
    const Finished finished = run(mneme(command));
    ASSERT_EQ(finished.status, 0) << finished.error;
    EXPECT_NE(finished.output.find("records/s"), std::string::npos) << finished.output;
    EXPECT_GT(fs::file_size(path), std::uintmax_t{256} << 10);
  }
  EXPECT_EQ(run(mneme(words)).status, 1) << "overwritten without --reuse";
}

TEST_F(Bench, OfARunLeavesItsRowsAlone) {
  const Config config = run_.tiered("run");
  run_.train(config);
  const auto expected = run_.outcome(config);
  const std::string rows = engine::rows_path(config.run.directory, 0);
  for (const char* through : {"--json", "--through-store"}) {
    const Finished finished =
        run(mneme({"bench", "disk", "--path", rows, "--reuse", "--file-bytes", "256KiB",
                   "--record-bytes", "4096", "--seconds", "0.01", through}));
    EXPECT_EQ(finished.status, 1);
    EXPECT_NE(finished.error.find("no file of this benchmark"), std::string::npos)
        << finished.error;
  }
  expect_same(run_.outcome(config), expected);
}

TEST_F(Bench, FoldersAndFilesOfOthersStay) {
  const std::string file = file_of("tiered", true);
  const std::string other = run_.path("tiered.bench");
  fs::create_directories(other);
  put(other + "/precious", "precious");
  put(run_.path("bench.rows"), "precious");
  bench_model(file, {});
  json_of({"bench", "rows", "--path", run_.path(""), "--rows", "64", "--steps", "1", "--device",
           MNEME_BENCH_DEVICE, "--threads", "1", "--json"});
  EXPECT_EQ(text_of(other + "/precious"), "precious");
  EXPECT_EQ(text_of(run_.path("bench.rows")), "precious");
}

TEST_F(Bench, TakesAwayTheFoldersThatItMade) {
  json_of({"bench", "rows", "--path", run_.path("new/folder"), "--rows", "64", "--steps", "1",
           "--device", MNEME_BENCH_DEVICE, "--threads", "1", "--json"});
  EXPECT_FALSE(has("new"));
}

TEST_F(Bench, ASignalEndsEachOfThemWithoutLeavingAnything) {
  const std::string folder = run_.path("scratch");
  fs::create_directories(folder);
  const std::string file = file_of("scratch/run", true);
  const Words disk = {"bench",  "disk",           "--path", folder + "/file", "--file-bytes",
                      "256KiB", "--record-bytes", "4096",   "--seconds",      "60"};
  Words store = disk;
  store.insert(store.end(), {"--through-store", "--device", MNEME_BENCH_DEVICE});
  const auto entries = [&] {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  };
  const auto before = entries();
  for (const Words& words :
       {disk, store, Words{"bench", "model", file, "--steps", "1000000"},
        Words{"bench", "rows", "--path", folder, "--rows", "64", "--steps", "100000000", "--device",
              MNEME_BENCH_DEVICE, "--threads", "1", "--tokens", "2", "--rows-per-token", "2"}}) {
    for (const int signal : {SIGINT, SIGHUP}) {
      SCOPED_TRACE(words[1] + " " + std::to_string(signal));
      Program program(run_.path(""), mneme(words));
      for (int waits = 0; entries() == before && waits < 20000; ++waits) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      program.send(signal);
      EXPECT_EQ(program.wait().status, 128 + signal);
      EXPECT_EQ(entries(), before);
    }
  }
}

TEST_F(Bench, DiskThroughTheStoreRefusesWhatIsNoSlotSize) {
  const Finished finished =
      run(mneme({"bench", "disk", "--through-store", "--device", MNEME_BENCH_DEVICE, "--path",
                 run_.path("rows"), "--record-bytes", "5000", "--file-bytes", "256KiB", "--seconds",
                 "0.01"}));
  EXPECT_EQ(finished.status, 1);
  EXPECT_NE(finished.error.find("--record-bytes 5000"), std::string::npos) << finished.error;
}

class CompareTiers : public Bench {
 protected:
  // `tools/compare_tiers` on the two forms of the tiny run.
  Finished compare(const Words& more) {
    Words words = {MNEME_SOURCE_DIR "/tools/compare_tiers", MNEME_PROGRAM, file_of("whole", false),
                   file_of("tiered", true)};
    for (const char* word : {"--steps", "2", "--warm-up", "1"}) words.emplace_back(word);
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
};

TEST_F(CompareTiers, PrintsAndKeepsEachCaseAndTakesThemUpAgain) {
  const Words words = {"--bar", "0", "--json", run_.path("tiers.json")};
  const Finished finished = compare(words);
  ASSERT_EQ(finished.status, 0) << finished.error;
  for (const char* part : {"| whole |", "| 100.0% |", "| tiered |"}) {
    EXPECT_NE(finished.output.find(part), std::string::npos) << part << "\n" << finished.output;
  }
  EXPECT_EQ(Json::parse(text_of(run_.path("tiers.json"))).size(), 2u);
  EXPECT_NE(finished.error.find("round 1: tiered"), std::string::npos) << finished.error;
  const Finished again = compare(words);
  EXPECT_EQ(again.output, finished.output);
  EXPECT_EQ(again.error, "") << "measured again";
}

TEST_F(CompareTiers, AMissedBarAndAFailedCaseAreItsExitStatus) {
  const Finished missed = compare({"--bar", "1000"});
  EXPECT_EQ(missed.status, 1);
  EXPECT_NE(missed.output.find("Below"), std::string::npos) << missed.output;
  const Finished failed = compare({"--set", "tiers.disk_bytes=1"});
  EXPECT_EQ(failed.status, 2);
  EXPECT_NE(failed.output.find("| whole |"), std::string::npos) << failed.output;
  EXPECT_NE(failed.output.find("Not measured: tiered: error: "), std::string::npos)
      << failed.output;
}

}  // namespace
}  // namespace mneme::test
