// mneme completion: the command line's completions, for a shell to read.
#include <fmt/format.h>

#include "tools/mneme/arguments.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

int run_completion(const CompletionOptions& options) {
  fmt::print("{}", completion_script(options.shell));
  return 0;
}

}  // namespace mneme::tools
