// How one token is stored, and what its id is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace mneme::io {

enum class TokenType { kUint8, kInt8, kUint16, kInt16, kUint32, kInt32, kInt64 };

int bytes_of(TokenType type);
// The largest id that the type holds and a program can work with: none is beyond int32.
std::int32_t largest_id(TokenType type);

inline constexpr std::size_t kAllTokens = std::numeric_limits<std::size_t>::max();

// Ids of stored tokens. REQUIRES stored.size() = ids.size() * bytes_of(type). Returns the index of
// the first token that is no id (negative, or beyond int32), or kAllTokens.
std::size_t ids_of_stored(TokenType type, std::span<const std::byte> stored,
                          std::span<std::int32_t> ids);
// A stored token as a number, for messages; one beyond int64 there is none.
std::int64_t number_of_stored(TokenType type, const std::byte* stored);

// The other way round. REQUIRES: each id in [0, largest_id(type)].
void store_ids(TokenType type, std::span<const std::int32_t> ids, std::byte* stored);

}  // namespace mneme::io
