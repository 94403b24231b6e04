#include "io/token_type.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "io/check.h"

namespace mneme::io {
namespace {

// Files are little-endian, and their tokens are copied as they are.
static_assert(std::endian::native == std::endian::little);

// Calls body(T()) with the type of C++ that a token is.
template <typename Body>
auto with_type(TokenType type, const Body& body) {
  switch (type) {
    case TokenType::kUint8:
      return body(std::uint8_t());
    case TokenType::kInt8:
      return body(std::int8_t());
    case TokenType::kUint16:
      return body(std::uint16_t());
    case TokenType::kInt16:
      return body(std::int16_t());
    case TokenType::kUint32:
      return body(std::uint32_t());
    case TokenType::kInt32:
      return body(std::int32_t());
    case TokenType::kInt64:
      return body(std::int64_t());
  }
  CHECK(false, "no such token type");
}

template <typename T>
T stored_as(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

}  // namespace

int bytes_of(TokenType type) {
  return with_type(type, [](auto token) { return static_cast<int>(sizeof(token)); });
}

std::int32_t largest_id(TokenType type) {
  return with_type(type, [](auto token) {
    constexpr auto most = std::numeric_limits<decltype(token)>::max();
    constexpr std::int32_t bound = std::numeric_limits<std::int32_t>::max();
    return std::cmp_less(most, bound) ? static_cast<std::int32_t>(most) : bound;
  });
}

std::size_t ids_of_stored(TokenType type, std::span<const std::byte> stored,
                          std::span<std::int32_t> ids) {
  CHECK(stored.size() == ids.size() * static_cast<std::size_t>(bytes_of(type)));
  return with_type(type, [&](auto token) {
    using T = decltype(token);
    bool all = true;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const T value = stored_as<T>(stored.data() + i * sizeof(T));
      ids[i] = static_cast<std::int32_t>(value);
      all &= std::cmp_equal(ids[i], value) && ids[i] >= 0;
    }
    if (all) return kAllTokens;
    for (std::size_t i = 0;; ++i) {
      if (ids[i] < 0 || !std::cmp_equal(ids[i], stored_as<T>(stored.data() + i * sizeof(T))))
        return i;
    }
  });
}

std::int64_t number_of_stored(TokenType type, const std::byte* stored) {
  return with_type(type, [&](auto token) {
    return static_cast<std::int64_t>(stored_as<decltype(token)>(stored));
  });
}

void store_ids(TokenType type, std::span<const std::int32_t> ids, std::byte* stored) {
  with_type(type, [&](auto token) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      token = static_cast<decltype(token)>(ids[i]);
      std::memcpy(stored + i * sizeof(token), &token, sizeof(token));
    }
  });
}

}  // namespace mneme::io
