// A process of this program, with what it says in a file, and a time limit.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace mneme::ablate {

struct ChildResult {
  bool timed_out = false;
  int status = 0;  // of waitpid
  double seconds = 0;
  std::string last_line;  // of what it has said; empty where it said nothing
};

// Runs this program with these words, standard output and error in the file `log`, which is
// replaced. It is stopped, as by Ctrl-C, after `time_limit_s`, and killed ten seconds later.
// check: asked several times a second; what it throws, once the process has been stopped, ends the
// call. Throws Error where no process can be made.
ChildResult run_child(const std::vector<std::string>& words, const std::string& log,
                      double time_limit_s, const std::function<void()>& check);

}  // namespace mneme::ablate
