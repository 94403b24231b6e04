// Fifty kills, and how much memory a corpus takes.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "io/random.h"
#include "tests/text/prepare/datasets.h"

namespace mneme::text {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kKills = 50;
constexpr long kMostKilobytes = 256 * 1024;

class PrepareCampaign : public testing::Datasets {
 protected:
  // A process that prepares; its exit status is 0, 1 after an Error.
  pid_t start() {
    const pid_t process = ::fork();
    if (process != 0) return process;
    try {
      prepare(*real_disk_, tokenizer_, options_);
      ::_exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
  }
  struct End {
    int status = 0;  // as of waitpid()
    long kilobytes = 0;
  };
  static End end_of(pid_t process) {
    End end;
    rusage usage = {};
    EXPECT_EQ(::wait4(process, &end.status, 0, &usage), process);
    end.kilobytes = usage.ru_maxrss;
    return end;
  }

  // JSON lines, about so many bytes.
  void put_lines(const std::string& name, std::size_t bytes) {
    std::string lines;
    for (int i = 0; lines.size() < bytes; ++i) {
      lines += "{\"id\": " + std::to_string(i) + ", \"text\": \"document " + std::to_string(i) +
               std::string(std::size_t(i % 3000), '.') + "\"}\n";
    }
    files_.put(name, lines);
  }
};

TEST_F(PrepareCampaign, FiftyKillsLoseNothing) {
  put_corpus(500);
  put_lines("in/d.jsonl", 20 << 20);
  put_lines("in/e.txt", 20 << 20);
  options_.batch_bytes = 100'000;
  options_.shard_tokens = 1'000'000;
  options_.checkpoint_seconds = 0.01;
  io::SplitMix random(17);
  for (const io::TokenLayout layout :
       {io::TokenLayout::kLlmC, io::TokenLayout::kNanogpt, io::TokenLayout::kMegatron}) {
    options_.layout = layout;
    const auto begin = Clock::now();
    const auto whole = expected();
    const auto length =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
    int kills = 0, ends = 0;
    while (kills < kKills / 3 + 1) {
      const pid_t process = start();
      std::this_thread::sleep_for(
          std::chrono::microseconds(random.below(static_cast<std::uint64_t>(length) / 3)));
      ::kill(process, SIGKILL);
      const End end = end_of(process);
      if (WIFSIGNALED(end.status)) {
        ++kills;
        if (!disk_.exists(options_.output)) continue;
      }
      EXPECT_TRUE(WIFSIGNALED(end.status) || WEXITSTATUS(end.status) == 0);
      ASSERT_EQ(output(), whole) << "after " << kills << " kills";
      ++ends;
      std::filesystem::remove_all(options_.output);
      std::filesystem::remove_all(options_.output + io::kAsideSuffix);
    }
    run();
    ASSERT_EQ(output(), whole);
    std::filesystem::remove_all(options_.output);
    std::printf("%d kills, %d whole outputs between them\n", kills, ends);
  }
}

TEST_F(PrepareCampaign, MemoryDoesNotGrowWithTheCorpus) {
  put_lines("in/a.jsonl", 400 << 20);
  options_.batch_bytes = PrepareOptions().batch_bytes;
  options_.shard_tokens = 100'000'000;
  options_.threads = 4;
  const End end = end_of(start());
  EXPECT_EQ(end.status, 0);
  EXPECT_LT(end.kilobytes, kMostKilobytes);
}

TEST_F(PrepareCampaign, NeitherDoesItWithALineOrATextOfOneDocument) {
  files_.put("in/a.txt", std::string(300 << 20, 'x'));
  options_.batch_bytes = PrepareOptions().batch_bytes;
  options_.shard_tokens = 100'000'000;
  End end = end_of(start());
  EXPECT_EQ(end.status, 0);
  EXPECT_LT(end.kilobytes, kMostKilobytes);
  files_.put("in/a.txt", "");
  files_.put("in/a.jsonl", "{\"text\": \"" + std::string(300 << 20, 'x'));
  options_.output += "-lines";
  options_.most_record_bytes = 32 << 20;
  end = end_of(start());
  EXPECT_TRUE(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 1);
  EXPECT_LT(end.kilobytes, kMostKilobytes);
}

}  // namespace
}  // namespace mneme::text
