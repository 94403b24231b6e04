// mneme trace: what it says of a trace and writes of it, and what it says of files that are none.
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/tools/bad_input.h"

namespace mneme::test {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Trace : public BadInput {
 protected:
  Trace() {
    config_.run.trace = config_.run.trace_lookups = true;
    config_.evaluation.every = 2;
    write_config();
  }
  void train() {
    const Finished trained = run({"train", file()});
    ASSERT_EQ(trained.status, 0) << trained.error;
  }
  nlohmann::json info(const std::string& path) {
    const Finished told = run({"trace", "info", path, "--json"});
    EXPECT_EQ(told.status, 0) << told.error;
    return nlohmann::json::parse(told.output);
  }
  std::string trace() const { return engine::trace_path(directory(), 0, 0); }
};

TEST_F(Trace, IsToldAndWrittenForOtherPrograms) {
  train();
  const nlohmann::json told = info(directory());
  EXPECT_EQ(told.at("trace"), trace());
  EXPECT_EQ(told.at("rows"), 256);
  EXPECT_EQ(told.at("steps"), 8);
  EXPECT_EQ(told.at("cut"), false);
  std::uint64_t training = 0, forward = 0, all = 0;
  for (const nlohmann::json& account : told.at("leases")) {
    const std::uint64_t rows = account.at("rows");
    all += rows;
    if (account.at("cause") != "training") continue;
    training += rows;
    if (account.at("pass") == "forward") forward += rows;
  }
  EXPECT_GT(forward, 0u);
  EXPECT_LT(training, all);
  const Finished text = run({"trace", "info", trace()});
  EXPECT_EQ(text.status, 0);
  EXPECT_NE(text.output.find("a new run: "), std::string::npos) << text.output;

  const std::string csv = run_.path("rows.csv"), binary = run_.path("rows.oracleGeneral");
  const auto exported = [&](const Words& more) {
    Words words = {"trace", "export", directory(), "-o", csv};
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_EQ(run(words).status, 0);
    const std::string lines = content(csv);
    return static_cast<std::uint64_t>(std::count(lines.begin(), lines.end(), '\n')) - 1;
  };
  EXPECT_EQ(exported({"--all"}), all);
  EXPECT_EQ(exported({}), training);
  EXPECT_EQ(exported({"--forward-only"}), forward);

  ASSERT_EQ(
      run({"trace", "export", trace(), "-o", binary, "--forward-only", "--format", "oracleGeneral"})
          .status,
      0);
  const std::string records = content(binary);
  ASSERT_EQ(records.size(), forward * 24);
  std::istringstream lines(content(csv));
  std::string line;
  std::getline(lines, line);
  std::map<std::uint64_t, std::int64_t> expected_at;  // row -> where its next request must be
  for (std::uint64_t i = 0; i < forward; ++i) {
    std::getline(lines, line);
    std::uint64_t object = 0;
    std::uint32_t time = 0, size = 0;
    std::int64_t next = 0;
    std::memcpy(&time, records.data() + i * 24, 4);
    std::memcpy(&object, records.data() + i * 24 + 4, 8);
    std::memcpy(&size, records.data() + i * 24 + 12, 4);
    std::memcpy(&next, records.data() + i * 24 + 16, 8);
    EXPECT_EQ(line.substr(0, line.find(',')), std::to_string(time));
    EXPECT_EQ(line.substr(line.rfind(',') + 1), std::to_string(object));
    EXPECT_EQ(size, 1u);
    const auto found = expected_at.find(object);
    EXPECT_TRUE(found == expected_at.end() || found->second == std::int64_t(i)) << i;
    ASSERT_TRUE(next == -1 || next > std::int64_t(i));
    expected_at[object] = next;
  }
  for (const auto& [row, next] : expected_at) EXPECT_EQ(next, -1) << row;
}

TEST_F(Trace, IsReplayedWithTheRunsTiersAndWithOthers) {
  train();
  // What the run itself has counted, by its lines of metrics.
  std::uint64_t leased = 0, on_device = 0;
  std::istringstream lines(content(directory() + "/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json step = nlohmann::json::parse(line);
    for (const nlohmann::json& account : step.at("books").at("accounts")) {
      if (account.at("cause") != "training") continue;
      leased += account.at("leases").value("rows", 0);
      on_device += account.contains("found") ? account.at("found").value("device", 0) : 0;
    }
  }
  const auto replayed = [&](const Words& more) {
    Words words = {"replay", directory(), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Finished finished = run(words);
    EXPECT_EQ(finished.status, 0) << finished.error;
    return nlohmann::json::parse(finished.output).at("replays");
  };
  const auto found = [](const nlohmann::json& replay, const char* field) {
    std::uint64_t sum = 0;
    for (const nlohmann::json& account : replay.at("accounts")) {
      if (account.at("cause") == "training") sum += account.value(field, 0);
    }
    return sum;
  };
  const nlohmann::json own = replayed({});
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(found(own[0], "leases.rows"), leased);
  EXPECT_EQ(found(own[0], "found.device"), on_device);
  const nlohmann::json grid =
      replayed({"--device-bytes", "20%,100%", "--host-bytes", "0", "--policy", "lru,sieve"});
  ASSERT_EQ(grid.size(), 4u);
  EXPECT_EQ(grid[1].at("device_policy"), "sieve");
  EXPECT_LT(grid[0].at("device_slots"), grid[2].at("device_slots"));
  EXPECT_LT(found(grid[0], "found.device"), found(grid[2], "found.device"));
  for (const nlohmann::json& replay : grid) EXPECT_EQ(found(replay, "leases.rows"), leased);
  const Finished table = run({"replay", trace(), "--policy", "lfu"});
  EXPECT_EQ(table.status, 0);
  EXPECT_NE(table.output.find("lfu"), std::string::npos) << table.output;
  const nlohmann::json half = replayed({"--until", "4"});
  EXPECT_LT(found(half[0], "leases.rows"), leased);
  EXPECT_GT(found(half[0], "leases.rows"), 0);
  const nlohmann::json timed = replayed(
      {"--device-bytes", "20%,100%", "--compute-ms", "3", "--host-link-gb-per-s", "0.001"});
  EXPECT_GT(timed[0].at("run").at("step_ms"), timed[1].at("run").at("step_ms"));
  EXPECT_GE(timed[1].at("run").at("step_ms"), 3);
  EXPECT_GT(found(timed[0], "stall.host_us"), 0);
  EXPECT_NE(run({"replay", trace(), "--compute-ms", "3"}).output.find("3 ms of computation"),
            std::string::npos);
  const nlohmann::json best = replayed({"--device-bytes", "20%", "--policy", "belady,random"});
  EXPECT_EQ(best[0].at("device_policy"), "belady");
  EXPECT_GE(found(best[0], "found.device"), found(best[1], "found.device"));
  const Finished csv = run({"replay", trace(), "--csv"});
  EXPECT_EQ(std::count(csv.output.begin(), csv.output.end(), '\n'), 2);
  // As many values as columns, with times and without.
  for (const Words& more : {Words{}, Words{"--compute-ms", "3"}}) {
    Words words = {"replay", trace(), "--csv"};
    words.insert(words.end(), more.begin(), more.end());
    std::istringstream lines_of(run(words).output);
    std::string head, values;
    std::getline(lines_of, head);
    std::getline(lines_of, values);
    EXPECT_EQ(std::count(head.begin(), head.end(), ','),
              std::count(values.begin(), values.end(), ','))
        << head << "\n"
        << values;
  }

  // Histories, beside each other; the hints of the trace are left out.
  const nlohmann::json predicted =
      replayed({"--device-bytes", "20%", "--host-bytes", "60%", "--prefetch",
                "none,trigram-history", "--prefetch-confidence", "0"});
  ASSERT_EQ(predicted.size(), 2u);
  EXPECT_EQ(predicted[0].at("prefetch"), "none");
  EXPECT_EQ(found(predicted[0], "hints.used"), 0u);
  EXPECT_GT(found(predicted[1], "hints.used"), 0u);
  EXPECT_EQ(found(predicted[1], "leases.rows"), leased);
  const Finished shown = run({"replay", trace(), "--prefetch", "bigram-history"});
  EXPECT_NE(shown.output.find("bigram-history"), std::string::npos) << shown.output;

  const Finished misses =
      run({"trace", "misses", trace(), "--json", "--belady", "--sizes", "1,50%"});
  ASSERT_EQ(misses.status, 0) << misses.error;
  const nlohmann::json curve = nlohmann::json::parse(misses.output);
  EXPECT_EQ(curve.at("references"), leased);
  EXPECT_GE(curve.at("sizes")[0].at("lru"), curve.at("sizes")[0].at("belady"));
  EXPECT_GT(curve.at("sizes")[0].at("lru"), curve.at("sizes")[1].at("lru"));
  EXPECT_EQ(run({"trace", "misses", trace(), "--sample", "0.5"}).status, 0);

  const Finished usage = run({"trace", "usage", trace(), "--json"});
  ASSERT_EQ(usage.status, 0) << usage.error;
  const nlohmann::json used = nlohmann::json::parse(usage.output);
  EXPECT_EQ(used.at("rows"), 256);
  ASSERT_EQ(used.at("layers").size(), 2u);
  EXPECT_EQ(used.at("layers")[0].at("uses").get<int>() + used.at("layers")[1].at("uses").get<int>(),
            used.at("all").at("uses"));
  EXPECT_EQ(used.at("all").at("steps"), 8);
  EXPECT_GT(used.at("all").at("used_rows"), 0);
  const Finished by_step = run({"trace", "usage", trace(), "--csv"});
  EXPECT_EQ(std::count(by_step.output.begin(), by_step.output.end(), '\n'), 1 + 3 * 8);
  EXPECT_NE(run({"trace", "usage", trace()}).output.find("Gini"), std::string::npos);

  expect_refused({"replay", directory(), "--device-bytes", "0"}, {"too small"});
  expect_refused({"replay", directory(), "--device-bytes", "much"}, {"--device-bytes", "much"}, 2);
  expect_refused({"replay", directory(), "--policy", "fifo"}, {"--policy"}, 2);
  expect_refused({"replay", directory(), "--prefetch", "next-batch"}, {"--prefetch"}, 2);
  expect_refused({"trace", "misses", directory(), "--sizes", "-3"}, {"--sizes"}, 2);
  expect_refused({"replay", folder_}, {folder_, "run.trace=true"});
}

TEST_F(Trace, WithoutLookupsNoHistoryIsReplayed) {
  config_.run.trace_lookups = false;
  write_config();
  train();
  expect_refused({"replay", directory(), "--prefetch", "trigram-history"},
                 {trace(), "run.trace_lookups=true"});
}

TEST_F(Trace, WhatIsNoneIsRefusedInOneLine) {
  train();
  const std::string whole = content(trace()), path = run_.path("other.trace");
  put(path, "step,row\n1,2\n" + std::string(100, 'x'));
  expect_refused({"trace", "info", path}, {path, "not a trace of mneme"});
  put(path, "");
  expect_refused({"trace", "info", path}, {path, "not a trace of mneme"});
  std::string newer = whole;
  newer[8] = 9;
  put(path, newer);
  expect_refused({"trace", "info", path}, {path, "version 9"});
  for (const std::size_t at : {std::size_t{70}, std::size_t{120}, whole.size() - 1}) {
    std::string damaged = whole;
    damaged[at] ^= 0x20;
    put(path, damaged);
    expect_refused({"trace", "info", path}, {path, "damaged in the frame from byte "});
    expect_refused({"trace", "export", path, "-o", run_.path("rows.csv")}, {path, "damaged"});
    expect_refused({"replay", path}, {path, "damaged"});
    EXPECT_FALSE(fs::exists(run_.path("rows.csv")));
  }
  put(path, whole.substr(0, whole.size() - 5));
  EXPECT_EQ(info(path).at("cut"), true);
  expect_refused({"trace", "info", run_.path("none")}, {run_.path("none")});
  expect_refused({"trace", "info", folder_}, {folder_, "run.trace=true"});
}

// A run that never came to a checkpoint may be started again; what it traced goes with it.
TEST_F(Trace, OfAnUnfinishedRunIsReplacedAndAnotherRunsIsNot) {
  train();
  fs::remove_all(engine::checkpoints_directory(directory()));
  train();
  EXPECT_EQ(info(directory()).at("steps"), 8);
  const std::string other = content(trace());
  fs::remove_all(engine::checkpoints_directory(directory()));
  put(engine::trace_path(directory(), 0, 3),
      "a file of somebody else's, longer than any header is: "
      "0123456789012345678901234567890123456789");
  expect_refused({"train", file()}, {"table-0-0000000003.trace", "mneme has not made it"});
  EXPECT_EQ(content(trace()), other);
}

}  // namespace
}  // namespace mneme::test
