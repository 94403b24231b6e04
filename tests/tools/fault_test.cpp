// A few of the failures of fault_campaign.cpp.
#include "tests/tools/fault_run.h"

namespace mneme::test {
namespace {

using End = Judgement::End;

FaultRuns& runs() {
  static FaultRuns runs;
  return runs;
}

void expect_end(const Trial& trial, End end) {
  SCOPED_TRACE(FaultRuns::describe(trial));
  const Judgement judgement = runs().judge(trial, "trial");
  EXPECT_EQ(judgement.problem, "");
  EXPECT_EQ(static_cast<int>(judgement.end), static_cast<int>(end)) << judgement.message;
}

TEST(Faults, AFullDiskEndsTrainingWithTheFileNamedAndNothingLost) {
  expect_end({Command::kTrain, {.functions = "pwrite", .action = "ENOSPC", .path = "*.rows"}},
             End::kRefused);
  expect_end({Command::kTrain,
              {.functions = "write", .action = "ENOSPC", .call = 2, .path = "*/manifest.json*"}},
             End::kRefused);
  expect_end({Command::kExport,
              {.functions = "pwrite", .action = "ENOSPC+", .path = "*/exported.safetensors*"}},
             End::kRefused);
}

TEST(Faults, AFailingDiskEndsTrainingWithTheFileNamedAndNothingLost) {
  expect_end(
      {Command::kTrain, {.functions = "fdatasync", .action = "EIO", .call = 2, .path = "*.rows"}},
      End::kRefused);
  expect_end(
      {Command::kResume, {.functions = "rename", .action = "EIO", .path = "*/manifest.json"}},
      End::kRefused);
  expect_end({Command::kTrain,
              {.functions = "write", .action = "EIO", .call = 3, .path = "*/metrics.jsonl"}},
             End::kRefused);
  expect_end({Command::kVerify, {.functions = "pread", .action = "EIO", .path = "*.rows"}},
             End::kRefused);
}

TEST(Faults, ARecordThatTheDiskCannotReadIsNotCalledDamaged) {
  for (const Command command : {Command::kVerify, Command::kResume, Command::kEval}) {
    const Trial trial{command, {.functions = "pread", .action = "EIO+", .path = "*.rows"}};
    SCOPED_TRACE(FaultRuns::describe(trial));
    const Judgement judgement = runs().judge(trial, "trial");
    EXPECT_EQ(judgement.problem, "");
    EXPECT_NE(judgement.message.find("Input/output error"), std::string::npos);
    EXPECT_EQ(judgement.message.find("damaged"), std::string::npos) << judgement.message;
  }
}

TEST(Faults, APartOfATransferGoesOn) {
  expect_end({Command::kTrain,
              {.functions = "pwrite", .action = "short", .call = 2, .path = "*.safetensors*"}},
             End::kRight);
  expect_end({Command::kEval,
              {.functions = "pread", .action = "short", .call = 2, .path = "*.safetensors"}},
             End::kRight);
  expect_end({Command::kResume, {.functions = "read", .action = "short", .path = "*.json"}},
             End::kRight);
}

TEST(Faults, AnInterruptedCallIsMadeAgain) {
  const std::string all =
      "open|openat|mkdir|read|write|pread|pwrite|fsync|fdatasync|ftruncate|fallocate|flock|rename|"
      "remove|stat|statx|statvfs";
  for (const Command command : {Command::kTrain, Command::kResume, Command::kExport}) {
    expect_end({command, {.functions = all, .action = "EINTR*", .call = 2, .path = "*/trial/*"}},
               End::kRight);
  }
}

TEST(Faults, TheHolderOfALockIsNotedWhole) {
  expect_end({Command::kTrain, {.functions = "pwrite", .action = "short", .path = "*/LOCK"}},
             End::kRight);
  expect_end({Command::kResume, {.functions = "pwrite", .action = "ENOSPC", .path = "*/LOCK"}},
             End::kRight);
  expect_end({Command::kResume, {.functions = "pread", .action = "EIO", .path = "*/LOCK"}},
             End::kRefused);
}

TEST(Faults, AnErrorOfAFileSaysWhatToDo) {
  for (const char* error : {"EFBIG", "EDQUOT"}) {
    expect_end({Command::kTrain, {.functions = "write", .action = error, .path = "*/trial/run/*"}},
               End::kRefused);
  }
  expect_end({Command::kVerify, {.functions = "fstat", .action = "ESTALE", .path = "*.rows"}},
             End::kRefused);
  expect_end({Command::kTrain, {.functions = "flock", .action = "ENOLCK", .path = "*/LOCK"}},
             End::kRefused);
  expect_end({Command::kTrain, {.functions = "statx", .action = "EIO", .path = "*.rows*"}},
             End::kRefused);
}

TEST(Faults, AnErrorOfTheConfigurationOrTheDataSaysWhatToDo) {
  for (const char* function : {"open", "fstat", "read"}) {
    expect_end({Command::kTrain, {.functions = function, .action = "EIO", .path = "*/run.toml"}},
               End::kRefused);
  }
  expect_end({Command::kTrain, {.functions = "stat", .action = "EACCES", .path = "*/text.txt"}},
             End::kRefused);
}

TEST(Faults, AnExportReplacesNothingThatItCannotLookAt) {
  expect_end(
      {Command::kExport, {.functions = "stat", .action = "EIO", .path = "*/exported.safetensors"}},
      End::kRefused);
}

TEST(Faults, ARingThatTakesNoMoreRequestsLeavesMemoryAlone) {
  const std::uint64_t calls = runs().count_calls(Command::kTrainOnRing, "*").at("io_uring_submit");
  if (calls == 0) GTEST_SKIP() << "the system has no io_uring";
  for (const std::uint64_t call : {std::uint64_t{3}, calls / 3, calls / 2}) {
    expect_end(
        {Command::kTrainOnRing, {.functions = "io_uring_submit", .action = "EIO", .call = call}},
        End::kRefused);
  }
}

TEST(Faults, MemoryThatRunsOutForGoodEndsInOneLine) {
  const std::uint64_t calls = runs().count_calls(Command::kTrain, "*").at("malloc");
  for (const std::uint64_t part : {1, 3, 5}) {
    expect_end(
        {Command::kTrain, {.functions = "malloc", .action = "ENOMEM+", .call = calls * part / 6}},
        End::kRefused);
  }
}

}  // namespace
}  // namespace mneme::test
