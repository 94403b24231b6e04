// Completions of the command line as scripts for shells.
#pragma once

#include <string>
#include <vector>

#include "tools/mneme/completion_table.h"

namespace mneme::tools {

// For `source` or bash-completion's folder. Needs bash 4.4 and no library of functions.
std::string bash_completion(const std::vector<CompletedCommand>& commands,
                            const std::vector<CompletedKey>& keys);
// For `source` after compinit, or a file _mneme in a folder of $fpath.
std::string zsh_completion(const std::vector<CompletedCommand>& commands,
                           const std::vector<CompletedKey>& keys);

std::string joined(const std::vector<std::string>& words, const char* between);

}  // namespace mneme::tools
