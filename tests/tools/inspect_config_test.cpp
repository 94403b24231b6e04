// mneme inspect CONFIG: exact numbers of any configuration, of any size, at once.
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

using InspectConfig = BadInput;

TEST_F(InspectConfig, SaysWhatAModelHasAndCosts) {
  const Finished text = run({"inspect", file()});
  ASSERT_EQ(text.status, 0) << text.error;
  EXPECT_EQ(text.error, "");
  for (const char* part : {"parameters", "value table", "bytes", "FLOPs", "rows that fit"}) {
    EXPECT_NE(text.output.find(part), std::string::npos) << text.output;
  }
  const Finished finished = run({"inspect", file(), "--json"});
  ASSERT_EQ(finished.status, 0) << finished.error;
  const auto told = nlohmann::json::parse(finished.output);
  EXPECT_EQ(told.at("table").at("rows"), config_.table_rows());
  EXPECT_EQ(told.at("table").at("device_rows"), 64);
  EXPECT_EQ(told.at("table").at("host_rows"), 48);
  EXPECT_EQ(told.at("table").at("rows_beyond_memory"), config_.table_rows() - 64 - 48);
  EXPECT_EQ(told.at("tokens_per_step"), 24);

  // A run's own parameters are those of its configuration.
  train_until(2);
  const auto made = nlohmann::json::parse(run({"inspect", directory(), "--json"}).output);
  EXPECT_EQ(told.at("parameters").at("dense"), made.at("dense_parameters"));
  EXPECT_EQ(told.at("table").at("record_bytes"), made.at("record_bytes"));
  EXPECT_EQ(run({"inspect", directory() + "/config.toml", "--json"}).status, 0);
}

TEST_F(InspectConfig, TakesSettingsAndAScale) {
  const auto told = [&](const Words& more) {
    Words words = {"inspect", file(), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.error;
    return nlohmann::json::parse(finished.output);
  };
  EXPECT_EQ(told({"--set", "model.feed_forward=dense"}).at("parameters").at("table"), 0);
  EXPECT_EQ(told({"--scale", "2"}).at("table").at("rows"), config_.table_rows() / 4);
  EXPECT_EQ(told({"--scale", "2"}).at("tokens_per_step"), 6);
  expect_refused({"inspect", file(), "--set", "model.width=x"}, {"model.width"});
  expect_refused({"inspect", folder_, "--scale", "2"}, {"--scale go with a configuration"});
}

TEST_F(InspectConfig, AllocatesNothingThatGrowsWithTheTable) {
  // 8192^2 rows x 4096 columns in less memory than the model's embedding takes.
  const Finished finished =
      Program(folder_, {"/bin/sh", "-c",
                        std::string("ulimit -v 2000000; exec '") + MNEME_PROGRAM + "' inspect '" +
                            MNEME_SOURCE_DIR + "/configs/paper/8b-memory-8192.toml' --json"})
          .wait();
  ASSERT_EQ(finished.status, 0) << finished.error;
  EXPECT_EQ(nlohmann::json::parse(finished.output).at("parameters").at("table"), 274877906944);
}

TEST_F(InspectConfig, AScaledDownRunTrains) {
  const Finished finished =
      run({"train", file(), "--scale", "2", "--set", "tiers.device_bytes=100%"});
  ASSERT_EQ(finished.status, 0) << finished.error;
  EXPECT_EQ(run({"verify", directory()}).status, 0);
  const auto made = nlohmann::json::parse(run({"inspect", directory(), "--json"}).output);
  EXPECT_EQ(made.at("table_rows"), config_.table_rows() / 4);
}

}  // namespace
}  // namespace mneme::test
