#include "io/llm_c_layout.h"

#include <algorithm>
#include <span>

#include "io/check.h"
#include "io/error.h"

namespace mneme::io {
namespace {

struct Variant {
  std::int32_t magic;
  std::int32_t version;
  TokenType type;
};
constexpr Variant kVariants[] = {{20240520, 1, TokenType::kUint16},
                                 {20240801, 7, TokenType::kUint32}};

}  // namespace

bool is_llm_c_shard(const std::string& path) {
  const RandomAccessFile file(path);
  std::int32_t magic = 0;
  if (file.size_bytes() < sizeof(magic)) return false;
  file.read(0, std::as_writable_bytes(std::span(&magic, 1)));
  return std::ranges::any_of(kVariants, [&](const Variant& of) { return of.magic == magic; });
}

LlmCTokens read_llm_c_header(const RandomAccessFile& file) {
  LlmCHeader header;
  if (file.size_bytes() < sizeof(header)) {
    fail("{}: not a token shard ({} bytes, the header alone has {})", file.path(),
         file.size_bytes(), sizeof(header));
  }
  file.read(0, std::as_writable_bytes(std::span(header)));
  const auto variant = std::ranges::find(kVariants, header[0], &Variant::magic);
  if (variant == std::end(kVariants)) {
    fail("{}: not a token shard (magic {})", file.path(), header[0]);
  }
  if (header[1] != variant->version) {
    fail("{}: token shard of version {}, this program reads {}", file.path(), header[1],
         variant->version);
  }
  if (header[2] <= 0) fail("{}: the shard holds no tokens", file.path());
  const auto count = static_cast<std::uint64_t>(header[2]);
  const std::uint64_t wanted =
      sizeof(header) + count * static_cast<std::uint64_t>(bytes_of(variant->type));
  if (file.size_bytes() != wanted) {
    fail("{}: has {} bytes, its {} tokens need {}; the shard is cut short or damaged", file.path(),
         file.size_bytes(), count, wanted);
  }
  return {variant->type, count};
}

LlmCHeader make_llm_c_header(const LlmCTokens& tokens) {
  const auto variant = std::ranges::find(kVariants, tokens.type, &Variant::type);
  CHECK(variant != std::end(kVariants) && tokens.count <= kMostLlmCTokens);
  return {variant->magic, variant->version, static_cast<std::int32_t>(tokens.count)};
}

}  // namespace mneme::io
