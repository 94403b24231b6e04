// What data.path and data.validation_path stand for: the files that hold the data, and whether they
// are text or tokens, and of which layout (io/token_layout.h).
//
// Tokens are known by first bytes, their own (llm.c) or those of the index beside them (megatron),
// never by their name alone, so that text is not trained on where tokens are meant, nor tokens read
// as text. Tokens of nanogpt cannot be known: data.format has to say so. Of a folder, tokens are
// the
// *.bin files in it, without hidden ones; text is looked for in the folders below, too. A pair
// NAME.bin and NAME.idx may also be given as NAME or NAME.idx.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/config.h"

namespace mneme::engine {

// A place that data comes from, and the key that names it.
struct DataPlace {
  std::string key;  // "data.path", for messages
  std::string path;
  std::vector<std::string> extensions;
  DataFormat format = DataFormat::kAuto;
  std::int64_t vocabulary = 256;
  std::string tokenizer;  // of text; empty for bytes
  std::string tokenizer_encoding = "auto";
  int threads = 0;  // that encode; 0 for all cores
};
DataPlace training_place(const DataConfig& config);
DataPlace validation_place(const DataConfig& config);

struct DataFiles {
  DataFormat format = DataFormat::kBytes;  // not kAuto
  std::vector<std::string> tokens;         // paths of *.bin, sorted; none for text
  // What a folder of tokens holds besides, which is not read: for one warning. Empty for nothing.
  std::string ignored;
};

// Throws Error naming the key, the path, the file that stands in the way, and the setting that
// helps: when there is nothing there, when a *.bin file is of no layout, and where data.format =
// "auto" cannot tell what is meant.
DataFiles find_data_files(const DataPlace& place);

}  // namespace mneme::engine
