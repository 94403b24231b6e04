#include "tests/fault_injection/plan.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace mneme::test {
namespace {

constexpr std::size_t kFunctions = kFunctionNames.size();
constexpr std::size_t kMaximumText = 4096;

struct Name {
  const char* text;
  int number;
};
constexpr Name kErrors[] = {
    {"EACCES", EACCES},         {"EAGAIN", EAGAIN}, {"EBADF", EBADF},   {"EBUSY", EBUSY},
    {"EDQUOT", EDQUOT},         {"EEXIST", EEXIST}, {"EFBIG", EFBIG},   {"EINTR", EINTR},
    {"EINVAL", EINVAL},         {"EIO", EIO},       {"ELOOP", ELOOP},   {"EMFILE", EMFILE},
    {"ENFILE", ENFILE},         {"ENODEV", ENODEV}, {"ENOENT", ENOENT}, {"ENOLCK", ENOLCK},
    {"ENOMEM", ENOMEM},         {"ENOSPC", ENOSPC}, {"ENOSYS", ENOSYS}, {"ENOTDIR", ENOTDIR},
    {"EOPNOTSUPP", EOPNOTSUPP}, {"EPERM", EPERM},   {"EROFS", EROFS},   {"ESTALE", ESTALE},
    {"ETXTBSY", ETXTBSY}};
constexpr Name kSignals[] = {
    {"SIGHUP", SIGHUP}, {"SIGINT", SIGINT}, {"SIGKILL", SIGKILL}, {"SIGTERM", SIGTERM}};

// Raw system calls: the functions of their names are interposed.
long open_report(const char* path) {
  return ::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}
void say(long descriptor, const char* text) {
  // A report that cannot be written is missed by the test that asked for it.
  [[maybe_unused]] const long written = ::syscall(SYS_write, descriptor, text, std::strlen(text));
}

[[noreturn]] void refuse(const char* setting) {
  say(STDERR_FILENO, "MNEME_FAULT is not FUNCTIONS ACTION CALL PATTERN before|after: ");
  say(STDERR_FILENO, setting);
  say(STDERR_FILENO, "\n");
  ::_exit(99);
}

struct Plan {
  bool counted[kFunctions] = {};
  int error = 0;
  bool from_there_on = false;
  bool again_and_again = false;
  int signal = 0;
  bool short_transfer = false;
  std::uint64_t call = 0;
  char pattern[kMaximumText] = "*";
  bool any_path = true;
  bool after = false;
  char report[kMaximumText] = "";
};

Plan plan;
std::atomic<bool> armed{false};
std::atomic<std::uint64_t> passings{0};
std::atomic<bool> is_reported{false};  // the first strike
std::atomic<std::uint64_t> counts[kFunctions];

int number_of(const Name* first, const Name* last, const char* text) {
  for (; first != last; ++first) {
    if (std::strcmp(first->text, text) == 0) return first->number;
  }
  return 0;
}

void read_functions(char* list, const char* setting) {
  char* rest = nullptr;
  for (char* name = ::strtok_r(list, "|", &rest); name != nullptr;
       name = ::strtok_r(nullptr, "|", &rest)) {
    std::size_t function = 0;
    while (function < kFunctions && std::strcmp(kFunctionNames[function], name) != 0) ++function;
    if (function == kFunctions) refuse(setting);
    plan.counted[function] = true;
  }
}

void read_action(char* action, const char* setting) {
  if (std::strcmp(action, "none") == 0) return;
  plan.short_transfer = std::strcmp(action, "short") == 0;
  if (plan.short_transfer) return;
  const std::size_t length = std::strlen(action);
  if (length > 0) {
    plan.from_there_on = action[length - 1] == '+';
    plan.again_and_again = action[length - 1] == '*';
    if (plan.from_there_on || plan.again_and_again) action[length - 1] = '\0';
  }
  plan.error = number_of(std::begin(kErrors), std::end(kErrors), action);
  plan.signal = number_of(std::begin(kSignals), std::end(kSignals), action);
  if (plan.error == 0 && plan.signal == 0) refuse(setting);
}

void read_plan() {
  if (const char* report = std::getenv("MNEME_FAULT_REPORT"); report != nullptr) {
    std::snprintf(plan.report, sizeof(plan.report), "%s", report);
  }
  const char* setting = std::getenv("MNEME_FAULT");
  if (setting == nullptr) return;
  char functions[512];
  char action[32];
  unsigned long long call = 0;
  char when[8];
  if (std::sscanf(setting, "%511s %31s %llu %4095s %7s", functions, action, &call, plan.pattern,
                  when) != 5) {
    refuse(setting);
  }
  read_functions(functions, setting);
  read_action(action, setting);
  if (plan.again_and_again && call == 0) refuse(setting);
  plan.call = call;
  plan.any_path = std::strcmp(plan.pattern, "*") == 0;
  plan.after = std::strcmp(when, "after") == 0;
}

void report_strike(Function function, CallPath path) {
  if (plan.report[0] == '\0') return;
  char where[kMaximumText];
  path.read(where, sizeof(where));
  char line[kMaximumText + 64];
  std::snprintf(line, sizeof(line), "struck %s %s\n",
                kFunctionNames[static_cast<std::size_t>(function)], where);
  const long descriptor = open_report(plan.report);
  say(descriptor, line);
  ::syscall(SYS_close, descriptor);
}

void raise_signal() {
  ::kill(::getpid(), plan.signal);
  // Death comes to other threads a moment later than to this one.
  while (plan.signal == SIGKILL) ::pause();
}

__attribute__((destructor)) void report_counts() {
  armed = false;
  if (plan.report[0] == '\0') return;
  const long descriptor = open_report(plan.report);
  for (std::size_t function = 0; function < kFunctions; ++function) {
    char line[128];
    std::snprintf(line, sizeof(line), "count %s %llu\n", kFunctionNames[function],
                  static_cast<unsigned long long>(counts[function].load()));
    say(descriptor, line);
  }
  ::syscall(SYS_close, descriptor);
}

int (*real_main)(int, char**, char**) = nullptr;

int armed_main(int count, char** words, char** environment) {
  read_plan();
  armed = true;
  return real_main(count, words, environment);
}

}  // namespace

void CallPath::read(char* out, std::size_t bytes) const {
  std::snprintf(out, bytes, "%s", path_ == nullptr ? "-" : path_);
  if (descriptor_ < 0) return;
  char link[64];
  std::snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor_);
  const ssize_t length = ::readlink(link, out, bytes - 1);
  if (length >= 0) out[length] = '\0';
}

Verdict begin_call(Function function, CallPath path, std::uint64_t calls) {
  const auto index = static_cast<std::size_t>(function);
  Verdict verdict;
  if (!armed.load(std::memory_order_relaxed) || calls == 0) return verdict;
  const int kept_errno = errno;
  if (!plan.any_path) {
    char found[kMaximumText];
    path.read(found, sizeof(found));
    if (::fnmatch(plan.pattern, found, 0) != 0) {
      errno = kept_errno;
      return verdict;
    }
  }
  counts[index] += calls;
  if (plan.counted[index]) {
    const std::uint64_t before = passings.fetch_add(calls);
    const bool now = plan.call > before && plan.call <= before + calls;
    const bool later = (plan.from_there_on && before >= plan.call) ||
                       (plan.again_and_again && (before + calls) % plan.call == 0);
    if (now) {
      report_strike(function, path);
      is_reported = true;
    }
    // A later strike in another thread may end the program before the first one has said so.
    while (later && plan.from_there_on && !is_reported) ::sched_yield();
    if (now || later) {
      verdict.error = plan.error;
      verdict.short_transfer = plan.short_transfer;
      verdict.signal_after = plan.signal != 0 && plan.after;
      if (plan.signal != 0 && !plan.after) raise_signal();
    }
  }
  errno = kept_errno;
  return verdict;
}

void end_call() {
  const int kept_errno = errno;
  raise_signal();
  errno = kept_errno;
}

void* next_function(const char* name) {
  void* found = ::dlsym(RTLD_NEXT, name);
  if (found == nullptr) refuse(name);
  return found;
}

}  // namespace mneme::test

// The program's own calls begin with main(): what its libraries do before it is not counted.
extern "C" int __libc_start_main(int (*main)(int, char**, char**), int count, char** words,
                                 void (*initialise)(), void (*finish)(), void (*unload)(),
                                 void* stack_end) {
  using Start =
      int (*)(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
  mneme::test::real_main = main;
  const auto start = reinterpret_cast<Start>(mneme::test::next_function("__libc_start_main"));
  return start(mneme::test::armed_main, count, words, initialise, finish, unload, stack_end);
}
