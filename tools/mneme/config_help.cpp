// mneme train --help-config: the configuration's keys, from the table that reads them.
#include <cstdio>
#include <string>

#include "engine/config.h"
#include "io/error.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

int run_config_help(const ConfigHelpOptions& options) {
  const std::string text = options.markdown ? engine::config_markdown() : engine::config_help();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    io::fail("cannot write to standard output");
  }
  return 0;
}

}  // namespace mneme::tools
