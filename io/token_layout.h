// The layouts of files of tokens that other programs read and write, too. Integers are
// little-endian.
//
//   llm.c     NAME.bin: 256 int32 (magic, version, token count, zeros), then the tokens: uint16
//             (magic 20240520, version 1) or uint32 (20240801, 7). See llm_c_layout.h.
//   nanogpt   NAME.bin: uint16 tokens and nothing else. Only its user can say that a file is one.
//   megatron  NAME.bin: tokens and nothing else; NAME.idx: their type, and which of them make a
//             document. See megatron_layout.h.
#pragma once

#include <array>
#include <cstdint>

#include "io/enum_names.h"

namespace mneme::io {

enum class TokenLayout { kLlmC, kNanogpt, kMegatron };
constexpr auto enum_names(TokenLayout) {
  return std::to_array<EnumName<TokenLayout>>({{"llm.c", TokenLayout::kLlmC},
                                               {"nanogpt", TokenLayout::kNanogpt},
                                               {"megatron", TokenLayout::kMegatron}});
}

// The bytes that a token of this vocabulary gets in a file, as the layout's own programs choose: 2,
// or 4 where its ids need that (of megatron from 65500 ids on). Throws Error where the layout has
// no tokens as wide.
int token_bytes_for(TokenLayout layout, std::int64_t vocabulary);

}  // namespace mneme::io
