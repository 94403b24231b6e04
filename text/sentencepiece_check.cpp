#include "text/sentencepiece_check.h"

#include <cstdint>
#include <cstring>
#include <optional>

#include "io/error.h"

namespace mneme::text {
namespace {

// Fields of the model's protocol buffer: model.normalizer_spec.precompiled_charsmap, and the same
// of the denormalizer.
constexpr std::uint64_t kNormalizer = 3;
constexpr std::uint64_t kDenormalizer = 5;
constexpr std::uint64_t kTable = 2;

// Reads the fields of a protocol buffer one behind the other.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  // The next field's number, with its content where it has a length; nothing at the end, or where
  // it is damaged: the library says so then.
  std::optional<std::uint64_t> next(std::string_view& content) {
    content = {};
    std::uint64_t key = 0, value = 0;
    if (rest_.empty() || !read_varint(key)) return {};
    switch (key & 7) {
      case 0:
        if (!read_varint(value)) return {};
        break;
      case 1:
        if (!skip(8)) return {};
        break;
      case 2:
        if (!read_varint(value) || value > rest_.size()) return {};
        content = rest_.substr(0, value);
        rest_.remove_prefix(value);
        break;
      case 5:
        if (!skip(4)) return {};
        break;
      default:
        return {};
    }
    return key >> 3;
  }

 private:
  bool read_varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool skip(std::size_t bytes) {
    if (bytes > rest_.size()) return false;
    rest_.remove_prefix(bytes);
    return true;
  }

  std::string_view rest_;
};

// A table is the bytes of a double array (Darts' layout: units of 32 bits), and texts that end with
// a zero byte, which its values point into. Nothing where it is safe to walk, or why not.
std::optional<std::string_view> danger_in(std::string_view table) {
  if (table.empty()) return {};
  std::uint32_t bytes = 0;
  if (table.size() < sizeof(bytes)) return "is cut short";
  std::memcpy(&bytes, table.data(), sizeof(bytes));
  table.remove_prefix(sizeof(bytes));
  if (bytes > table.size() || bytes % sizeof(std::uint32_t) != 0) return "is cut short";
  const std::string_view texts = table.substr(bytes);
  const std::size_t units = bytes / sizeof(std::uint32_t);
  if (units < 256) return "has no root";
  if (texts.empty() || texts.back() != '\0') return "has texts without an end";
  for (std::size_t at = 0; at < units; ++at) {
    std::uint32_t unit = 0;
    std::memcpy(&unit, table.data() + at * sizeof(unit), sizeof(unit));
    const bool is_value = unit >> 31 != 0;
    if (is_value) {
      if ((unit & 0x7fffffff) >= texts.size()) return "has a value outside its texts";
      continue;
    }
    const std::size_t offset = (unit >> 10) << ((unit & (1u << 9)) >> 6);
    // From here a byte leads to one of the 256 units of the block.
    if (((at ^ offset) | 0xff) >= units) return "has a step outside itself";
  }
  return {};
}

}  // namespace

void check_normalization_table(std::string_view model, const std::string& path) {
  Fields fields(model);
  std::string_view content;
  while (const auto field = fields.next(content)) {
    if (*field != kNormalizer && *field != kDenormalizer) continue;
    Fields inner(content);
    std::string_view table;
    while (const auto inner_field = inner.next(table)) {
      if (*inner_field != kTable) continue;
      if (const auto why = danger_in(table)) {
        io::fail("{}: the model's normalization table {}; the file is damaged", path, *why);
      }
    }
  }
}

}  // namespace mneme::text
