// What a link can carry beside a step, from made-up steps.
#include "engine/prefetch/link_budget.h"

#include <gtest/gtest.h>

#include "tests/support/test_backend.h"

namespace mneme::engine {
namespace {

TEST(LinkBudget, IsWhatTheLinkCarriesWhileAStepComputes) {
  LinkBudget budget(1000);
  EXPECT_EQ(budget.bytes(), LinkBudget::kNoLimit);  // how long a step is, is not known
  for (int step = 0; step < 3; ++step) budget.note_step(2.0);
  EXPECT_EQ(budget.bytes(), 2000u);
  EXPECT_EQ(budget.bytes(0.25), 500u);
  budget.note_busy(1, 1000);  // it was said how fast it is
  EXPECT_EQ(budget.bytes(), 2000u);
  for (int step = 0; step < 100; ++step) budget.note_step(4.0);
  EXPECT_NEAR(static_cast<double>(budget.bytes()), 4000, 1);
}

TEST(LinkBudget, LeavesRoomForWhatElseTheLinkCarries) {
  LinkBudget budget(1000);
  for (int step = 0; step < 100; ++step) budget.note_step(2.0, 500);
  EXPECT_NEAR(static_cast<double>(budget.bytes()), 1500, 1);
  for (int step = 0; step < 100; ++step) budget.note_step(2.0, 5000);
  EXPECT_EQ(budget.bytes(), 0u);
}

TEST(LinkBudget, MeasuresWhatWasNotDeclared) {
  LinkBudget budget;
  budget.note_step(2.0);
  EXPECT_EQ(budget.bytes(), LinkBudget::kNoLimit);
  budget.note_busy(0, 0);
  EXPECT_EQ(budget.bytes(), LinkBudget::kNoLimit);
  budget.note_busy(3000, 1.0);
  EXPECT_NEAR(static_cast<double>(budget.bytes()), 6000, 1);
  EXPECT_GT(measure_host_link(mneme::testing::test_backend()), 1e6);
}

}  // namespace
}  // namespace mneme::engine
