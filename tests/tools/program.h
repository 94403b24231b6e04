// The built `mneme` program as a child process: its arguments, its output, its end.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace mneme::test {

inline std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Finished {
  int status = 0;  // exit status; -n when signal n ended it
  std::string output;
  std::string error;
};

// A running program, killed when the object goes before it has ended. Output goes to files of the
// folder, so that no pipe can fill up.
class Program {
 public:
  // settings: "NAME=value" of the environment, besides the parent's.
  Program(const std::string& folder, const std::vector<std::string>& words,
          const std::vector<std::string>& settings = {})
      : output_(folder + "/out"), error_(folder + "/error") {
    std::vector<std::string> command = words;
    std::vector<std::string> environment = settings;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    constexpr int kFresh = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, 1, output_.c_str(), kFresh, 0644);
    posix_spawn_file_actions_addopen(&actions, 2, error_.c_str(), kFresh, 0644);
    const int error = posix_spawn(&process_, command.front().c_str(), &actions, nullptr,
                                  addresses(command).data(), addresses(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
      process_ = -1;
      ADD_FAILURE() << "cannot start " << command.front();
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (process_ < 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  void send(int signal) const { ::kill(process_, signal); }
  // Standard error so far.
  std::string error() const { return text_of(error_); }

  Finished wait() { return finished(0); }

  // The same, of a program that must end by itself within a minute; kTimedOut where it does not.
  static constexpr int kTimedOut = -1000;
  Finished wait_a_minute() {
    using Clock = std::chrono::steady_clock;
    for (const auto deadline = Clock::now() + std::chrono::minutes(1);;) {
      if (Finished ended = finished(WNOHANG); ended.status != kTimedOut) return ended;
      if (Clock::now() >= deadline) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    send(SIGKILL);
    Finished ended = finished(0);
    ended.status = kTimedOut;
    return ended;
  }

 private:
  // kTimedOut with WNOHANG while the program runs.
  Finished finished(int options) {
    Finished finished;
    int status = 0;
    const pid_t ended = process_ >= 0 ? ::waitpid(process_, &status, options) : -1;
    if (ended == 0) return {.status = kTimedOut, .output = {}, .error = {}};
    if (ended > 0) {
      finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    } else {
      ADD_FAILURE() << "no process to wait for";
    }
    process_ = -1;
    finished.output = text_of(output_);
    finished.error = text_of(error_);
    return finished;
  }

  static std::vector<char*> addresses(std::vector<std::string>& words) {
    std::vector<char*> list;
    for (std::string& word : words) list.push_back(word.data());
    list.push_back(nullptr);
    return list;
  }

  std::string output_;
  std::string error_;
  pid_t process_ = -1;
};

inline std::vector<std::string> mneme(std::vector<std::string> words) {
  words.insert(words.begin(), MNEME_PROGRAM);
  return words;
}

}  // namespace mneme::test
