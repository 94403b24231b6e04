// One process holds a run directory; its end, however it comes, lets go.
#include "io/file_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>

#include "io/error.h"
#include "tests/io/temporary_directory.h"

namespace mneme::io {
namespace {

using std::chrono::milliseconds;

// A child process that locks the directory, says so, and holds the lock until it is killed.
class Holder {
 public:
  explicit Holder(const std::string& directory) {
    int ends[2];
    if (::pipe(ends) != 0) fail("no pipe");
    process_ = ::fork();
    if (process_ == 0) {
      std::optional<FileLock> lock;
      char result = 'y';
      try {
        lock.emplace(directory);
      } catch (const Error&) {
        result = 'n';
      }
      if (::write(ends[1], &result, 1) != 1) ::_exit(1);
      while (true) ::pause();
    }
    char result = 0;
    if (::read(ends[0], &result, 1) != 1 || result != 'y') fail("the child has no lock");
    ::close(ends[0]);
    ::close(ends[1]);
  }
  ~Holder() { kill(); }

  pid_t process() const { return process_; }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

 private:
  pid_t process_ = 0;
};

TEST(FileLock, another_process_is_named_while_it_holds_the_lock) {
  test::TemporaryDirectory directory;
  Holder holder(directory.path());
  try {
    FileLock lock(directory.path(), LockKind::kExclusive, milliseconds(30));
    FAIL() << "two holders";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(directory.path()), std::string::npos) << message;
    EXPECT_NE(message.find(std::to_string(holder.process())), std::string::npos) << message;
  }
}

TEST(FileLock, a_killed_holders_lock_is_taken_over) {
  test::TemporaryDirectory directory;
  Holder holder(directory.path());
  holder.kill();
  EXPECT_NO_THROW(FileLock{directory.path()});
}

TEST(FileLock, waits_for_a_holder_that_ends_soon) {
  test::TemporaryDirectory directory;
  std::optional<FileLock> first(directory.path());
  std::thread release([&] {
    std::this_thread::sleep_for(milliseconds(50));
    first.reset();
  });
  EXPECT_NO_THROW(FileLock{directory.path()});
  release.join();
}

TEST(FileLock, its_file_goes_with_the_holder_who_made_it_and_with_nobody_else) {
  test::TemporaryDirectory directory;
  const auto is_there = [&] { return std::filesystem::exists(directory.file("LOCK")); };
  {
    FileLock lock(directory.path());
    lock.remove_file();
    EXPECT_FALSE(is_there());
    lock.remove_file();
  }
  { const FileLock lock(directory.path()); }
  FileLock second(directory.path());
  second.remove_file();
  EXPECT_TRUE(is_there()) << "an earlier holder's";
}

TEST(FileLock, who_waits_for_a_file_that_is_taken_away_locks_the_next_one) {
  test::TemporaryDirectory directory;
  std::optional<FileLock> first(directory.path());
  std::optional<FileLock> second;
  std::thread waiting([&] { second.emplace(directory.path()); });
  std::this_thread::sleep_for(milliseconds(30));
  first->remove_file();
  first.reset();
  waiting.join();
  EXPECT_TRUE(std::filesystem::exists(directory.file("LOCK")));
  EXPECT_THROW(FileLock(directory.path(), LockKind::kExclusive, milliseconds(20)), Error);
}

TEST(FileLock, readers_share_it_and_write_nothing) {
  test::TemporaryDirectory directory;
  { FileLock nothing_to_lock(directory.path(), LockKind::kShared); }
  EXPECT_FALSE(std::filesystem::exists(directory.file("LOCK")));
  std::optional<FileLock> writer(directory.path());
  EXPECT_THROW(FileLock(directory.path(), LockKind::kShared, milliseconds(20)), Error);
  writer.reset();
  const FileLock first(directory.path(), LockKind::kShared);
  const FileLock second(directory.path(), LockKind::kShared);
  EXPECT_THROW(FileLock(directory.path(), LockKind::kExclusive, milliseconds(20)), Error);
}

TEST(FileLock, a_file_of_that_name_that_somebody_else_wrote_is_left_alone) {
  for (const std::string text : {"my keys", "12 notes\n", "12", "\n", "-3x\n"}) {
    test::TemporaryDirectory directory;
    std::ofstream(directory.file("LOCK")) << text;
    EXPECT_THROW(FileLock(directory.path()), Error) << text;
    std::ifstream file(directory.file("LOCK"));
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
  }
}

TEST(FileLock, excludes_a_second_lock_of_the_same_process_and_needs_its_directory) {
  test::TemporaryDirectory directory;
  FileLock first(directory.path());
  EXPECT_THROW(FileLock(directory.path(), LockKind::kExclusive, milliseconds(20)), Error);
  EXPECT_THROW(FileLock(directory.file("none"), LockKind::kExclusive, milliseconds(20)), Error);
}

}  // namespace
}  // namespace mneme::io
