// What a narrow terminal still says of a training run.
#include "engine/step_line.h"

#include <gtest/gtest.h>

namespace mneme::engine {
namespace {

StepMetrics some_step() {
  StepMetrics metrics;
  metrics.step = 10;
  metrics.loss = 3.77891;
  metrics.tokens_per_s = 5112.4;
  metrics.distinct_rows = 1000;
  offload::Entry& rows = metrics.books[{offload::Cause::kTraining, 1}];
  rows[offload::Field::kHostToDeviceRows] = 30;
  rows[offload::Field::kDiskToDeviceRows] = 15;
  rows[offload::Field::kGeneratedRows] = 5;
  metrics.books[{offload::Cause::kEvaluation, 1}][offload::Field::kHostToDeviceRows] = 500;
  return metrics;
}

TEST(StepLine, EightyColumnsHoldTheTimeLeftAndWhatComesFromTheDisk) {
  const auto fields = step_fields(some_step(), 60, 200.0, true);
  EXPECT_EQ(io::fit_fields(fields, 200),
            "step 10/60  loss 3.7789  5112 tokens/s  1000 rows: disk 2% host 3% new 0%  "
            "3m20s left");
  EXPECT_EQ(io::fit_fields(fields, 79),
            "step 10/60  loss 3.7789  5112 tokens/s  1000 rows: disk 2% host 3%  3m20s left");
  EXPECT_EQ(io::fit_fields(fields, 39), "step 10/60  loss 3.7789  3m20s left");
  EXPECT_EQ(io::fit_fields(fields, 12), "step 10/60");
}

TEST(StepLine, SaysHowLongAStepStoodStillAndWhatHintsBroughtInTime) {
  StepMetrics metrics = some_step();
  metrics.times.step_ms = 200;
  metrics.times.stall_ms = 30;
  offload::Entry& hints = metrics.books[{offload::Cause::kPrefetch, 1}];
  hints[offload::Field::kHinted] = 400;
  metrics.books[{offload::Cause::kTraining, 1}][offload::Field::kHintsUsed] = 60;
  metrics.books[{offload::Cause::kTraining, 1}][offload::Field::kHintsLate] = 10;
  EXPECT_EQ(io::fit_fields(step_fields(metrics, 60, 200.0, true), 200),
            "step 10/60  loss 3.7789  5112 tokens/s  1000 rows: disk 2% host 3% new 0%  stall 15%  "
            "hinted 45%  3m20s left");
}

TEST(StepLine, RowsAndTimeAreLeftOutWhereThereAreNone) {
  EXPECT_EQ(io::fit_fields(step_fields(some_step(), 60, {}, false), 200),
            "step 10/60  loss 3.7789  5112 tokens/s");
  EXPECT_EQ(io::fit_fields(step_fields(some_step(), 10, 0.0, false), 200),
            "step 10/10  loss 3.7789  5112 tokens/s");
}

TEST(StepLine, TheTimeLeftFollowsTheLastStepsWithAllThatCameBetween) {
  RunPace pace;
  EXPECT_FALSE(pace.seconds_for(10));
  pace.note(100);
  EXPECT_FALSE(pace.seconds_for(10)) << "the first step may be slow";
  pace.note(102);
  EXPECT_DOUBLE_EQ(*pace.seconds_for(10), 20);
  pace.note(108);  // with a checkpoint
  EXPECT_DOUBLE_EQ(*pace.seconds_for(10), 40);
  for (int step = 1; step <= 100; ++step) pace.note(108 + step);
  EXPECT_DOUBLE_EQ(*pace.seconds_for(10), 10);
}

}  // namespace
}  // namespace mneme::engine
