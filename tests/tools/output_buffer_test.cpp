// Output arrives whole, or is given up when the program has to stop; and who reads it is known.
#include "tools/mneme/output_buffer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ostream>
#include <string>
#include <thread>

namespace mneme::tools {
namespace {

// The two ends of a pipe or a pair of sockets.
class Ends {
 public:
  explicit Ends(bool sockets) {
    const int result =
        sockets ? ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()) : ::pipe(ends_.data());
    EXPECT_EQ(result, 0);
    ::signal(SIGPIPE, SIG_IGN);
  }
  ~Ends() {
    close_reader();
    ::close(ends_[1]);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;

  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void close_reader() {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ends_[0] = -1;
  }

 private:
  std::array<int, 2> ends_ = {-1, -1};
};

TEST(OutputBuffer, WritesAllOfItAlsoWhereTheReaderIsSlow) {
  Ends pipe(false);
  const std::string text(1 << 20, 'x');
  std::string found;
  std::thread reader([&] {
    std::array<char, 3000> piece;
    while (found.size() < text.size()) {
      const ssize_t bytes = ::read(pipe.reader(), piece.data(), piece.size());
      if (bytes <= 0) return;
      found.append(piece.data(), static_cast<std::size_t>(bytes));
    }
  });
  OutputBuffer buffer(pipe.writer(), [] { return false; });
  std::ostream(&buffer) << text.substr(0, 10) << text.substr(10) << std::flush;
  EXPECT_EQ(buffer.error(), 0);
  reader.join();
  EXPECT_EQ(found, text);
}

TEST(OutputBuffer, GivesUpWhatNobodyTakesWhenAskedToStop) {
  Ends pipe(false);
  int questions = 0;
  OutputBuffer buffer(pipe.writer(), [&] { return ++questions == 2; });
  std::ostream out(&buffer);
  out << std::string(1 << 20, 'x') << std::flush;
  EXPECT_FALSE(out);
  EXPECT_EQ(buffer.error(), EAGAIN);
  EXPECT_EQ(questions, 2);
}

TEST(OutputBuffer, KnowsWhyOutputIsLost) {
  Ends pipe(false);
  pipe.close_reader();
  OutputBuffer buffer(pipe.writer(), [] { return false; });
  std::ostream out(&buffer);
  out << "text" << std::flush;
  EXPECT_FALSE(out);
  EXPECT_EQ(buffer.error(), EPIPE);
  const int full = ::open("/dev/full", O_WRONLY);
  OutputBuffer disk(full, [] { return false; });
  std::ostream(&disk) << "text" << std::flush;
  EXPECT_EQ(disk.error(), ENOSPC);
  ::close(full);
}

TEST(OutputBuffer, WritesToAClosedTerminalWithoutEffect) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const int program = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  ASSERT_GE(program, 0);
  OutputBuffer buffer(program, [] { return false; });
  ::close(terminal);
  std::ostream out(&buffer);
  out << "text" << std::flush;
  EXPECT_TRUE(out);
  EXPECT_EQ(buffer.error(), 0);
  EXPECT_FALSE(reader_is_gone(program));
  ::close(program);
}

TEST(OutputBuffer, KnowsWhetherAReaderIsGone) {
  for (const bool sockets : {false, true}) {
    Ends ends(sockets);
    EXPECT_FALSE(reader_is_gone(ends.writer()));
    ends.close_reader();
    EXPECT_TRUE(reader_is_gone(ends.writer()));
  }
  const int null = ::open("/dev/null", O_WRONLY);
  EXPECT_FALSE(reader_is_gone(null));
  EXPECT_TRUE(is_writable(null));
  ::close(null);
  EXPECT_FALSE(is_writable(null));
}

}  // namespace
}  // namespace mneme::tools
