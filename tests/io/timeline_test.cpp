// Spans on tracks, as viewers read them.
#include "io/timeline.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

namespace mneme::io {
namespace {

using namespace std::chrono_literals;

TEST(Timeline, WritesTracksInOrderAndSpansInMicroseconds) {
  const auto before = Timeline::Clock::now();
  Timeline timeline(10);
  ASSERT_EQ(Timeline::current(), &timeline);
  const auto now = Timeline::Clock::now();
  timeline.add("2 later", "\"b\"", now + 5us, now + 8us);
  timeline.add("1 first", "a", now, now + 2ms);
  timeline.add("1 first", "before it began", before - 1s, now);
  EXPECT_EQ(timeline.spans(), 2u);
  const nlohmann::json json = nlohmann::json::parse(timeline.trace_events());
  EXPECT_EQ(json.at("otherData").at("spans_dropped"), 0);
  std::map<int, std::string> tracks;
  std::vector<nlohmann::json> spans;
  for (const nlohmann::json& event : json.at("traceEvents")) {
    if (event.at("name") == "thread_name") tracks[event.at("tid")] = event.at("args").at("name");
    if (event.at("ph") == "X") spans.push_back(event);
  }
  EXPECT_EQ(tracks, (std::map<int, std::string>{{1, "1 first"}, {2, "2 later"}}));
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].at("name"), "\"b\"");
  EXPECT_EQ(spans[0].at("tid"), 2);
  EXPECT_NEAR(spans[0].at("dur"), 3, 1e-3);
  EXPECT_NEAR(spans[1].at("dur"), 2000, 1e-3);
}

TEST(Timeline, IsBoundedAndSaysWhatItDropped) {
  Timeline timeline(3);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([] {
      for (int i = 0; i < 5; ++i) const TimelineSpan span("track", "span");
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(timeline.spans(), 3u);
  EXPECT_EQ(timeline.dropped(), 17u);
}

TEST(Timeline, WithoutOneNothingIsRecorded) {
  EXPECT_EQ(Timeline::current(), nullptr);
  const TimelineSpan span("track", "span");
  Timeline timeline(3);
  EXPECT_EQ(timeline.spans(), 0u);
}

}  // namespace
}  // namespace mneme::io
