#include "text/sentencepiece_model.h"

#include <cstdint>
#include <cstring>
#include <optional>

#include "io/error.h"

namespace mneme::text {
namespace {

// Fields of the model's protocol buffer: pieces, each with its text, score and type; the trainer's
// options, with the kind of the model; and the tables of both normalizers.
constexpr std::uint64_t kPieces = 1;
constexpr std::uint64_t kPieceText = 1, kPieceScore = 2, kPieceType = 3;
constexpr std::uint64_t kTrainer = 2;
constexpr std::uint64_t kModelType = 3;
constexpr std::uint64_t kNormalizer = 3;
constexpr std::uint64_t kDenormalizer = 5;
constexpr std::uint64_t kTable = 2;

// Values of their types.
constexpr std::uint64_t kNormalPiece = 1, kUserDefinedPiece = 4;
constexpr std::uint64_t kUnigramModel = 1;  // what a model without the field is

// Reads the fields of a protocol buffer one behind the other.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  // The next field's number; nothing at the end, or where the message is damaged: the library says
  // so then.
  std::optional<std::uint64_t> next() {
    content = {};
    value = 0;
    std::uint64_t key = 0;
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
        content = rest_.substr(0, 4);
        if (!skip(4)) return {};
        break;
      default:
        return {};
    }
    return key >> 3;
  }

  std::string_view content;  // of a field with a length, or of a 32-bit one
  std::uint64_t value = 0;   // of a number

 private:
  bool read_varint(std::uint64_t& number) {
    number = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      number |= std::uint64_t{byte & 0x7fu} << shift;
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
  while (const auto field = fields.next()) {
    if (*field != kNormalizer && *field != kDenormalizer) continue;
    Fields inner(fields.content);
    while (const auto inner_field = inner.next()) {
      if (*inner_field != kTable) continue;
      if (const auto why = danger_in(inner.content)) {
        io::fail("{}: the model's normalization table {}; the file is damaged", path, *why);
      }
    }
  }
}

bool is_unigram(std::string_view model) {
  std::uint64_t type = kUnigramModel;
  Fields fields(model);
  while (const auto field = fields.next()) {
    if (*field != kTrainer) continue;
    Fields inner(fields.content);
    while (const auto inner_field = inner.next()) {
      if (*inner_field == kModelType) type = inner.value;
    }
  }
  return type == kUnigramModel;
}

std::vector<UnigramPiece> pieces_of(std::string_view model) {
  std::vector<UnigramPiece> pieces;
  Fields fields(model);
  while (const auto field = fields.next()) {
    if (*field != kPieces) continue;
    UnigramPiece& piece = pieces.emplace_back();
    std::uint64_t type = kNormalPiece;
    Fields inner(fields.content);
    while (const auto inner_field = inner.next()) {
      if (*inner_field == kPieceText) piece.text = inner.content;
      if (*inner_field == kPieceType) type = inner.value;
      if (*inner_field == kPieceScore && inner.content.size() == sizeof(piece.score)) {
        std::memcpy(&piece.score, inner.content.data(), sizeof(piece.score));
      }
    }
    piece.kind = type == kNormalPiece        ? UnigramPiece::Kind::kNormal
                 : type == kUserDefinedPiece ? UnigramPiece::Kind::kUserDefined
                                             : UnigramPiece::Kind::kOther;
  }
  return pieces;
}

}  // namespace mneme::text
