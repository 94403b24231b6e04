// What lies in a folder, as far as it could be data: files of tokens, known by their first bytes,
// and text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/data_files.h"

namespace mneme::engine {

struct DataFolder {
  // The *.bin entries in it, without hidden ones and folders; each sorted.
  std::vector<std::string> shards;     // that begin as shards of llm.c
  std::vector<std::string> indexed;    // with an index of Megatron-LM beside them
  std::vector<std::string> strangers;  // neither
  // In a folder below; one of them each.
  std::string shard_below;
  std::string indexed_below;
  std::string shard_as_text;  // a shard whose name would be taken for text's; one of them
  std::string text;           // a file that counts as text; one of them
  std::uint64_t text_files = 0;
  std::uint64_t files = 0;
};

// Looks at a place that is a folder. Throws Error naming the key, and for a *.bin entry that cannot
// be looked at.
DataFolder look_into_folder(const DataPlace& place);

}  // namespace mneme::engine
