// Token shards in the layout of llm.c: a header of 256 int32 (magic, version, token count, zeros),
// then the tokens: uint16 of magic 20240520 and version 1 (its GPT-2 data), uint32 of magic
// 20240801 and version 7 (its Llama 3 data). The file's length is what the count makes it.
//
// The 253 words behind the count are written as zeros. What they hold is ignored when a shard is
// read, as llm.c does: no word of them changes what its tokens are.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "io/random_access_file.h"
#include "io/token_type.h"

namespace mneme::io {

using LlmCHeader = std::array<std::int32_t, 256>;
// The count is an int32.
inline constexpr std::uint64_t kMostLlmCTokens = 2147483647;

// Whether a file begins as a shard does. False for what is no regular file. Throws Error when it
// cannot be read.
bool is_llm_c_shard(const std::string& path);

struct LlmCTokens {
  TokenType type = TokenType::kUint16;
  std::uint64_t count = 0;
};
// What the header says. Throws Error naming the file where it is none, where it says that there are
// no tokens, and where the file's length contradicts it.
LlmCTokens read_llm_c_header(const RandomAccessFile& file);

// REQUIRES: kUint16 or kUint32, count <= kMostLlmCTokens.
LlmCHeader make_llm_c_header(const LlmCTokens& tokens);

}  // namespace mneme::io
