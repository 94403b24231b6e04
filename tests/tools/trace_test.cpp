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
    config_.run.trace = true;
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
