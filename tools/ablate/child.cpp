#include "tools/ablate/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <fstream>
#include <thread>
#include <utility>

#include "io/elapsed.h"
#include "io/errno_text.h"
#include "io/error.h"

namespace mneme::ablate {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kKilledAfterMs = 10'000;
constexpr std::chrono::milliseconds kBetweenLooks(20);

// The last line with something on it. A progress line may have been rewritten: what stands there is
// what counts.
std::string last_line_of(const std::string& log) {
  std::ifstream file(log);
  std::string last;
  for (std::string line; std::getline(file, line);) {
    if (const std::size_t start = line.rfind('\r'); start != line.npos) line.erase(0, start + 1);
    if (line.find_first_not_of(" \t") != line.npos) last = line;
  }
  return last;
}

// In the new process: nothing here may allocate. It ends with this program, however that ends.
[[noreturn]] void become(char* const* arguments, const char* log, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  // A group of its own: a signal to this program's group reaches it once, from here.
  ::setpgid(0, 0);
  const int input = ::open("/dev/null", O_RDONLY);
  const int output = ::open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (input < 0 || output < 0 || ::dup2(input, STDIN_FILENO) < 0 ||
      ::dup2(output, STDOUT_FILENO) < 0 || ::dup2(output, STDERR_FILENO) < 0) {
    ::_exit(127);
  }
  ::execv("/proc/self/exe", arguments);
  ::_exit(127);
}

pid_t start(const std::vector<std::string>& words, const std::string& log) {
  std::vector<char*> arguments = {const_cast<char*>("mneme")};
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process == 0) become(arguments.data(), log.c_str(), parent);
  if (process < 0) io::fail("{}: cannot start a run: {}", log, io::errno_text(errno));
  return process;
}

// Whether it is over.
bool reap(pid_t process, int& status) {
  const pid_t found = ::waitpid(process, &status, WNOHANG);
  return found == process || (found < 0 && errno != EINTR);
}

}  // namespace

ChildResult run_child(const std::vector<std::string>& words, const std::string& log,
                      double time_limit_s, const std::function<void()>& check) {
  ChildResult result;
  const auto begin = Clock::now();
  const pid_t process = start(words, log);
  std::exception_ptr interrupted;
  Clock::time_point stopped;
  bool is_stopped = false;
  const auto stop = [&] {
    if (std::exchange(is_stopped, true)) return;
    stopped = Clock::now();
    ::kill(process, SIGINT);
  };
  while (!reap(process, result.status)) {
    if (is_stopped && io::elapsed_ms(stopped) > kKilledAfterMs) ::kill(process, SIGKILL);
    if (!is_stopped && io::elapsed_ms(begin) > 1e3 * time_limit_s) {
      result.timed_out = true;
      stop();
    }
    try {
      if (!interrupted) check();
    } catch (...) {
      interrupted = std::current_exception();
      stop();
    }
    std::this_thread::sleep_for(kBetweenLooks);
  }
  if (interrupted) std::rethrow_exception(interrupted);
  result.seconds = 1e-3 * io::elapsed_ms(begin);
  result.last_line = last_line_of(log);
  return result;
}

}  // namespace mneme::ablate
