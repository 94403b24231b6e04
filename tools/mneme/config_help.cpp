// mneme train --help-config: the configuration's keys, from the table that reads them.
#include <fmt/format.h>

#include <string>

#include "engine/config.h"
#include "tools/mneme/commands.h"

namespace mneme::tools {

int run_config_help(const ConfigHelpOptions& options) {
  const std::string text = options.markdown ? engine::config_markdown() : engine::config_help();
  fmt::print("{}", text);
  return 0;
}

}  // namespace mneme::tools
