// Files of tokens, made here byte by byte, apart from the code that is tested.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "io/token_layout.h"

namespace mneme::test {

using Documents = std::vector<std::vector<std::int32_t>>;
using Bytes = std::vector<std::byte>;

inline std::vector<std::int32_t> joined(const Documents& documents) {
  std::vector<std::int32_t> all;
  for (const auto& document : documents) all.insert(all.end(), document.begin(), document.end());
  return all;
}

// Little-endian, of `width` bytes.
inline void put(Bytes& bytes, std::int64_t value, int width) {
  for (int i = 0; i < width; ++i) {
    bytes.push_back(static_cast<std::byte>((static_cast<std::uint64_t>(value) >> 8 * i) & 255));
  }
}

inline Bytes stored_tokens(const std::vector<std::int32_t>& tokens, int width) {
  Bytes bytes;
  for (const std::int32_t token : tokens) put(bytes, token, width);
  return bytes;
}

inline Bytes llm_c_file(const std::vector<std::int32_t>& tokens, int width) {
  Bytes bytes;
  put(bytes, width == 2 ? 20240520 : 20240801, 4);
  put(bytes, width == 2 ? 1 : 7, 4);
  put(bytes, static_cast<std::int64_t>(tokens.size()), 4);
  bytes.resize(1024);
  const Bytes stored = stored_tokens(tokens, width);
  bytes.insert(bytes.end(), stored.begin(), stored.end());
  return bytes;
}

// An index of sequences of these lengths; `begins`: the sequence that each document begins with,
// and the number of all at the end. code: 8 for uint16, 4 for int32 ...
inline Bytes megatron_index(const std::vector<std::int32_t>& lengths,
                            const std::vector<std::int64_t>& begins, int code, int width) {
  Bytes bytes;
  for (const char letter : std::string("MMIDIDX\0\0", 9)) put(bytes, letter, 1);
  put(bytes, 1, 8);
  put(bytes, code, 1);
  put(bytes, static_cast<std::int64_t>(lengths.size()), 8);
  put(bytes, static_cast<std::int64_t>(begins.size()), 8);
  for (const std::int32_t length : lengths) put(bytes, length, 4);
  std::int64_t pointer = 0;
  for (const std::int32_t length : lengths) {
    put(bytes, pointer, 8);
    pointer += std::int64_t{length} * width;
  }
  for (const std::int64_t begin : begins) put(bytes, begin, 8);
  return bytes;
}

// The files of documents by their endings: ".bin", and of megatron ".idx".
inline std::map<std::string, Bytes> token_files(io::TokenLayout layout, int width,
                                                const Documents& documents) {
  const std::vector<std::int32_t> tokens = joined(documents);
  switch (layout) {
    case io::TokenLayout::kLlmC:
      return {{".bin", llm_c_file(tokens, width)}};
    case io::TokenLayout::kNanogpt:
      return {{".bin", stored_tokens(tokens, width)}};
    case io::TokenLayout::kMegatron:
      break;
  }
  std::vector<std::int32_t> lengths;
  std::vector<std::int64_t> begins = {0};
  for (const auto& document : documents) {
    lengths.push_back(static_cast<std::int32_t>(document.size()));
    begins.push_back(static_cast<std::int64_t>(lengths.size()));
  }
  return {{".bin", stored_tokens(tokens, width)},
          {".idx", megatron_index(lengths, begins, width == 2 ? 8 : 4, width)}};
}

// A layout and a width of its tokens.
struct TokenKind {
  io::TokenLayout layout;
  int width;
  std::string name() const { return io::name_of(layout) + " of " + std::to_string(width); }
};
inline const TokenKind kTokenKinds[] = {{io::TokenLayout::kLlmC, 2},
                                        {io::TokenLayout::kLlmC, 4},
                                        {io::TokenLayout::kNanogpt, 2},
                                        {io::TokenLayout::kMegatron, 2},
                                        {io::TokenLayout::kMegatron, 4}};

// Documents with the smallest and the largest ids of a width.
inline Documents example_documents(int width) {
  const std::int32_t most = width == 2 ? 65535 : 2147483647;
  return {{1, most, 0}, {256, 255}, {most - 1}, {65'000, 3, 4, 5}};
}

}  // namespace mneme::test
