#include "text/sentencepiece_model.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "io/error.h"
#include "io/utf8.h"
#include "text/normalization_table.h"
#include "text/protocol_fields.h"
#include "text/tokenizer.h"

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

// The library keeps the user-defined pieces that a text begins with in an array of this size.
constexpr std::size_t kMostNested = 64;

using Wire = ProtocolFields::Wire;

// Calls use(fields) for each field of a message. Throws Error where it is damaged.
template <typename Use>
void for_each_field(std::string_view message, const std::string& path, const Use& use) {
  ProtocolFields fields(message);
  while (fields.next()) use(fields);
  if (fields.is_damaged()) {
    io::fail("{}: no whole SentencePiece model; it may be cut short or of another kind", path);
  }
}

void check_table(std::string_view normalizer, bool is_for_decoding, const std::string& path) {
  for_each_field(normalizer, path, [&](const ProtocolFields& inner) {
    if (!inner.is(kTable, Wire::kBytes) || inner.bytes.empty()) return;
    if (is_for_decoding) {
      io::fail("{}: the model has rules that change decoded text, which is not supported", path);
    }
    if (const auto why = danger_in_normalization_table(inner.bytes)) {
      io::fail("{}: the model's normalization table {}; the file is damaged", path, *why);
    }
  });
}

// The text of a piece that may be user-defined: the library passes over types that it does not
// know. Its tables end a text at a zero byte, so that there is to be none in any piece.
std::optional<std::string_view> user_defined_text(std::string_view piece, const std::string& path) {
  std::string_view text;
  bool is_user_defined = false;
  for_each_field(piece, path, [&](const ProtocolFields& inner) {
    if (inner.is(kPieceText, Wire::kBytes)) text = inner.bytes;
    is_user_defined |= inner.is(kPieceType, Wire::kNumber) &&
                       static_cast<std::uint32_t>(inner.number) == kUserDefinedPiece;
  });
  if (text.find('\0') != std::string_view::npos) {
    io::fail("{}: the piece \"{}\" has a zero byte, which is not supported", path,
             io::printable(text, 40));
  }
  if (!is_user_defined) return {};
  return text;
}

// Sorted, a text stands behind those that it begins with.
void check_nesting(std::vector<std::string_view> texts, const std::string& path) {
  std::ranges::sort(texts);
  std::vector<std::string_view> outer;
  for (const std::string_view text : texts) {
    while (!outer.empty() && !text.starts_with(outer.back())) outer.pop_back();
    outer.push_back(text);
    if (outer.size() > kMostNested) {
      io::fail(
          "{}: more than {} user-defined pieces begin alike, each with the one before: \"{}\"; "
          "this "
          "is not supported",
          path, kMostNested, io::printable(text, 40));
    }
  }
}

}  // namespace

void check_sentencepiece_model(std::string_view model, const std::string& path) {
  std::int64_t pieces = 0;
  std::vector<std::string_view> user_defined;
  for_each_field(model, path, [&](const ProtocolFields& fields) {
    if (fields.is(kPieces, Wire::kBytes)) {
      ++pieces;
      if (const auto text = user_defined_text(fields.bytes, path)) user_defined.push_back(*text);
    }
    if (fields.is(kNormalizer, Wire::kBytes)) check_table(fields.bytes, false, path);
    if (fields.is(kDenormalizer, Wire::kBytes)) check_table(fields.bytes, true, path);
  });
  if (pieces > kMostTokens) {
    io::fail("{}: the model has {} pieces, at most {} are supported", path, pieces, kMostTokens);
  }
  check_nesting(std::move(user_defined), path);
}

bool is_unigram(std::string_view model) {
  std::uint64_t type = kUnigramModel;
  ProtocolFields fields(model);
  while (fields.next()) {
    if (!fields.is(kTrainer, Wire::kBytes)) continue;
    ProtocolFields inner(fields.bytes);
    while (inner.next()) {
      if (inner.is(kModelType, Wire::kNumber)) type = inner.number;
    }
  }
  return type == kUnigramModel;
}

std::vector<UnigramPiece> pieces_of(std::string_view model) {
  std::vector<UnigramPiece> pieces;
  ProtocolFields fields(model);
  while (fields.next()) {
    if (!fields.is(kPieces, Wire::kBytes)) continue;
    UnigramPiece& piece = pieces.emplace_back();
    std::uint64_t type = kNormalPiece;
    ProtocolFields inner(fields.bytes);
    while (inner.next()) {
      if (inner.is(kPieceText, Wire::kBytes)) piece.text = inner.bytes;
      if (inner.is(kPieceType, Wire::kNumber)) type = inner.number;
      if (inner.is(kPieceScore, Wire::k32Bits)) {
        std::memcpy(&piece.score, inner.bytes.data(), sizeof(piece.score));
      }
    }
    piece.kind = type == kNormalPiece        ? UnigramPiece::Kind::kNormal
                 : type == kUserDefinedPiece ? UnigramPiece::Kind::kUserDefined
                                             : UnigramPiece::Kind::kOther;
  }
  return pieces;
}

}  // namespace mneme::text
