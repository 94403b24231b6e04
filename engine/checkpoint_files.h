// What the writing and the reading of a checkpoint's files have in common.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/manifest.h"
#include "engine/parameters.h"
#include "engine/row_table_file.h"

namespace mneme::engine {

// The buffers of the parameters that a dense file holds, in the order of the file, and what their
// tensors' names begin with.
inline constexpr std::pair<ParameterBuffer, std::string_view> kSavedBuffers[] = {
    {ParameterBuffer::kValues, ""},
    {ParameterBuffer::kMoment1, "adam.moment1."},
    {ParameterBuffer::kMoment2, "adam.moment2."}};

inline std::vector<RowTableLink> row_table_links(const std::string& directory,
                                                 std::span<const NamedFile> chain) {
  std::vector<RowTableLink> all;
  for (const NamedFile& file : chain) all.push_back({directory + "/" + file.name, file.checksum});
  return all;
}

}  // namespace mneme::engine
