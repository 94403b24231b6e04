// Files of tokens for tests that read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/disk.h"
#include "io/token_writer.h"

namespace mneme::testing {

// A file of documents under `path`, in place of one that is there.
inline void write_documents(const std::string& path,
                            const std::vector<std::vector<std::int32_t>>& documents,
                            io::TokenLayout layout = io::TokenLayout::kLlmC, int token_bytes = 2) {
  const auto disk = io::make_posix_disk();
  disk->remove(path);
  const auto writer = io::make_token_writer(
      *disk, {.layout = layout, .path = path, .token_bytes = token_bytes, .resume = {}});
  for (const auto& document : documents) {
    writer->append(document);
    writer->end_document();
  }
  writer->finish();
}

// The same of tokens that are one document, of any type.
template <typename Tokens>
void write_tokens(const std::string& path, const Tokens& tokens,
                  io::TokenLayout layout = io::TokenLayout::kLlmC, int token_bytes = 2) {
  write_documents(path, {{tokens.begin(), tokens.end()}}, layout, token_bytes);
}

}  // namespace mneme::testing
