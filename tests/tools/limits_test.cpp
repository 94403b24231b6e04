// Under any limit of the machine a command works or says in one line what it lacks.
#include "tests/tools/bad_input.h"
#include "tests/tools/shell.h"

namespace mneme::test {
namespace {

class Limits : public BadInput {
 protected:
  Limits() {
    config_.run.threads = 2;
    config_.train.steps = 2;
    write_config();
  }

  // A program that hangs is killed, with the status 137.
  Finished under(const std::string& limit, const Words& words) {
    return Program(folder_, in_shell(limit + "; exec timeout -s KILL 60 $M", words)).wait();
  }
  // Whether it worked.
  static bool expect_work_or_one_line(const Finished& finished, const Words& parts) {
    if (finished.status == 0) return true;
    expect_error(finished, 1, parts, true);
    return false;
  }
};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they map terabytes
class AddressSpace : public Limits {
 protected:
  static std::string limit_of(int mebibytes) {
    return "ulimit -v " + std::to_string(mebibytes * 1024);
  }
  // The least with which the system can load the program and its libraries, to 5 MiB: less than the
  // stack of one thread more.
  int least_to_start() {
    for (int mebibytes = 10; mebibytes < 4000; mebibytes += 5) {
      if (under(limit_of(mebibytes), {"--version"}).status == 0) return mebibytes;
    }
    ADD_FAILURE() << "the program does not start under any limit";
    return 4000;
  }
};

TEST_F(AddressSpace, NeverMakesItHang) {
  const int least = least_to_start();
  int refused = 0;
  for (const int more : {0, 5, 10, 15, 20, 25, 30, 40, 60, 100, 300}) {
    SCOPED_TRACE(least + more);
    fs::remove_all(directory());
    refused +=
        expect_work_or_one_line(under(limit_of(least + more), {"train", file()}), {}) ? 0 : 1;
  }
  EXPECT_GT(refused, 0);
  fs::remove_all(directory());
  expect_error(under(limit_of(least), {"train", file()}), 1, {"ulimit -v"}, true);
}

TEST_F(AddressSpace, OfTooLittleIsAnErrorOfOtherCommands) {
  ASSERT_EQ(run({"train", file()}).status, 0);
  const std::string limit = limit_of(least_to_start());
  for (const Words& command :
       {Words{"eval", directory()}, Words{"generate", directory(), "--tokens", "5"},
        Words{"bench", "rows", "--rows", "64", "--path", run_.path("bench"), "--device", "cpu"}}) {
    expect_error(under(limit, command), 1, {"ulimit -v"}, true);
  }
}
#endif

TEST_F(Limits, ThreadsFarAboveTheCoresAreAnErrorThatNamesThem) {
  expect_error(under("true", {"train", file(), "--set", "run.threads=4096"}), 1,
               {"run.threads", "4096", "at most"}, true);
  expect_error(under("true", {"bench", "rows", "--threads", "4096", "--device", "cpu", "--path",
                              run_.path("bench")}),
               1, {"threads", "4096", "at most"}, true);
  EXPECT_EQ(under("true", {"train", file(), "--set", "run.threads=24"}).status, 0);
}

TEST_F(Limits, OfStacksDoNotMatter) {
  const Finished finished = under("ulimit -s 128", {"train", file()});
  EXPECT_EQ(finished.status, 0) << finished.error;
}

TEST_F(Limits, OfOpenFilesAreErrorsThatNameThem) {
  for (int files = 6; files <= 10; ++files) {
    SCOPED_TRACE(files);
    fs::remove_all(directory());
    expect_work_or_one_line(under("ulimit -n " + std::to_string(files), {"train", file()}),
                            {"ulimit -n"});
  }
}

TEST_F(Limits, OfProcessesAreErrorsThatNameThem) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become a user without other processes";
  fs::permissions(run_.path(""), fs::perms::all);
  int refused = 0;
  for (int threads = 2; threads <= 8; ++threads) {
    SCOPED_TRACE(threads);
    fs::remove_all(directory());
    const std::string line =
        "exec setpriv --reuid 54321 --regid 54321 --clear-groups prlimit --nproc=" +
        std::to_string(threads) + " $M";
    const Finished finished = Program(folder_, in_shell(line, {"train", file()})).wait();
    if (!expect_work_or_one_line(finished, {}) && threads < 4) {
      expect_error(finished, 1, {"thread", "ulimit -u"}, true);
      ++refused;
    }
  }
  EXPECT_EQ(refused, 2);
}

}  // namespace
}  // namespace mneme::test
