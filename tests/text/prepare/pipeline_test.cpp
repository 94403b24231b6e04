// Results come in the order of the input, in bounded memory, and the first error in that order
// wins.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "tests/support/error_of.h"
#include "text/prepare/ordered_pipeline.h"
#include "text/prepare/validation_choice.h"

namespace mneme::text {
namespace {

using mneme::testing::error_of;
using Pipeline = OrderedPipeline<int, int>;

Pipeline::Read count_to(int last) {
  return [next = 0, last]() mutable { return next < last ? std::optional(next++) : std::nullopt; };
}
Pipeline::Options options(std::uint64_t most) {
  Pipeline::Options options;
  options.most_weight = most;
  options.weigh = [](int) { return std::uint64_t{1}; };
  return options;
}

TEST(OrderedPipeline, ResultsComeInOrder) {
  const std::vector<Pipeline::Work> workers(4, [](int value) {
    if (value % 3 == 0) std::this_thread::yield();
    return value * value;
  });
  Pipeline pipeline(count_to(1000), workers, options(16));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(pipeline.next(), i * i);
  EXPECT_TRUE(pipeline.wait(std::chrono::milliseconds(0)));
  EXPECT_EQ(pipeline.next(), std::nullopt);
  EXPECT_EQ(pipeline.next(), std::nullopt);
}

TEST(OrderedPipeline, OfSeveralErrorsTheFirstOneInTheInputIsThrown) {
  // The later input fails first.
  std::atomic<bool> has_failed{false};
  const std::vector<Pipeline::Work> workers(2, [&](int value) {
    if (value == 6) {
      has_failed = true;
      io::fail("six");
    }
    if (value == 5) {
      while (!has_failed) std::this_thread::yield();
      io::fail("five");
    }
    return value;
  });
  Pipeline pipeline(count_to(100), workers, options(8));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pipeline.next(), i);
  EXPECT_EQ(error_of([&] { pipeline.next(); }), "five");
}

TEST(OrderedPipeline, AnErrorOfTheReaderComesBehindWhatWasRead) {
  const auto read = [next = 0]() mutable {
    if (next == 3) io::fail("the input ends in a hole");
    return std::optional(next++);
  };
  Pipeline pipeline(read, {[](int value) { return value; }}, options(8));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pipeline.next(), i);
  EXPECT_EQ(error_of([&] { pipeline.next(); }), "the input ends in a hole");
}

TEST(OrderedPipeline, NoMoreIsReadThanMayWait) {
  std::atomic<int> read{0};
  const auto counting = [&]() -> std::optional<int> { return read++; };
  Pipeline pipeline(counting, {[](int value) { return value; }}, options(4));
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(pipeline.next(), i);
    EXPECT_LE(read, i + 1 + 4 + 1) << "those that wait, and one in the reader's hand";
  }
}

TEST(OrderedPipeline, EndsWithWorkInTheMiddle) {
  Pipeline::Options stoppable = options(4);
  const std::stop_token stop = stoppable.stop.get_token();
  // A reader that only a stop ends.
  const auto read = [&, next = 0]() mutable -> std::optional<int> {
    if (next < 2) return next++;
    while (!stop.stop_requested()) std::this_thread::yield();
    return std::nullopt;
  };
  {
    Pipeline pipeline(read, {[](int value) { return value; }}, stoppable);
    EXPECT_EQ(pipeline.next(), 0);
    EXPECT_EQ(pipeline.next(), 1);
    EXPECT_FALSE(pipeline.wait(std::chrono::milliseconds(1)));
  }
  EXPECT_TRUE(stop.stop_requested());
}

TEST(ValidationChoice, IsSpreadEvenly) {
  for (const double share : {0.005, 0.01, 0.3, 0.5}) {
    const ValidationChoice choice(share, 7);
    std::uint64_t chosen = 0, chosen_in_tenth = 0;
    constexpr std::uint64_t kDocuments = 20000;
    for (std::uint64_t document = 0; document < kDocuments; ++document) {
      if (!choice.contains(document)) continue;
      ++chosen;
      ++chosen_in_tenth;
      if (document % 2000 != 1999) continue;
    }
    EXPECT_NEAR(static_cast<double>(chosen), share * kDocuments, share > 0.1 ? 1500 : 2) << share;
    // Each stretch gives one at most twice its length apart.
    std::uint64_t last = 0;
    for (std::uint64_t document = 0; document < kDocuments; ++document) {
      if (!choice.contains(document)) continue;
      EXPECT_LE(static_cast<double>(document - last), 2 / share + 1);
      last = document;
    }
  }
}

TEST(ValidationChoice, DependsOnTheSeedAndSparesTheFirstDocument) {
  std::set<std::vector<std::uint64_t>> choices;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const ValidationChoice choice(0.1, seed);
    EXPECT_FALSE(choice.contains(0));
    std::vector<std::uint64_t> chosen;
    for (std::uint64_t document = 0; document < 100; ++document) {
      if (choice.contains(document)) chosen.push_back(document);
    }
    choices.insert(chosen);
  }
  EXPECT_EQ(choices.size(), 20u);
  for (std::uint64_t document = 0; document < 100; ++document) {
    EXPECT_FALSE(ValidationChoice(0, 1).contains(document));
  }
}

}  // namespace
}  // namespace mneme::text
