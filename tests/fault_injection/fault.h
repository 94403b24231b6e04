// What the preloaded library mneme_fault_injection does to a program, as tests write it down.
//
// The library takes the place of functions of libc and liburing: of one of their calls it makes a
// failure, a short transfer, a signal or the program's death, at an exact and repeatable place,
// without a line in the program for it. A test starts the program with settings(fault) in its
// environment. Calls count from the start of main(), over all threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mneme::test {

// One fault, of the n-th call of some functions for some files.
struct Fault {
  enum class When {
    kBefore,  // instead of the call where the action is an error, else just before it
    kAfter,   // just after the call
  };
  // Names from functions.h, with '|' between them: "pwrite|io_uring_submit".
  std::string functions;
  // "none", an error ("EIO"), an error from this call on ("EIO+") or of every n-th call ("EINTR*"),
  // a signal ("SIGKILL"), or "short": the transfer moves a part of its bytes.
  std::string action = "none";
  std::uint64_t call = 1;
  // A pattern of fnmatch() for the path of the file, where '*' matches '/' as well; of a rename,
  // the new path. "*" for any, and for functions that have no file.
  std::string path = "*";
  When when = When::kBefore;
};

// The environment under which a program suffers the fault. What has happened is written to the file
// `report`: the line "struck FUNCTION PATH" at the fault, and at the program's end
// "count FUNCTION N" for every function, of the calls for files that match the pattern.
inline std::vector<std::string> settings(const Fault& fault, const std::string& report) {
  const char* when = fault.when == Fault::When::kBefore ? "before" : "after";
  return {std::string("LD_PRELOAD=") + MNEME_FAULT_INJECTION,
          "MNEME_FAULT=" + fault.functions + " " + fault.action + " " + std::to_string(fault.call) +
              " " + fault.path + " " + when,
          "MNEME_FAULT_REPORT=" + report};
}

}  // namespace mneme::test
