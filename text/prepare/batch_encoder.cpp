#include "text/prepare/batch_encoder.h"

#include <algorithm>

namespace mneme::text {
namespace {

// A longer text is encoded in stretches that can be cut exactly, so that an encoder's own memory
// stays small.
constexpr std::size_t kStretchBytes = std::size_t{1} << 20;

std::size_t whole_character(std::string_view text, std::size_t at) {
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

// All of the text where no place to cut is known.
std::size_t next_stretch(const Tokenizer& tokenizer, std::string_view text) {
  if (text.size() <= 2 * kStretchBytes) return text.size();
  const std::string_view front = text.substr(0, whole_character(text, 2 * kStretchBytes));
  const std::size_t cut = tokenizer.find_cut(front, whole_character(text, kStretchBytes));
  return cut > 0 && cut < front.size() ? cut : text.size();
}

}  // namespace

BatchEncoder::BatchEncoder(const Tokenizer& tokenizer, const BatchEncoderOptions& options)
    : tokenizer_(&tokenizer),
      options_(options),
      encoder_(tokenizer.make_encoder()),
      record_(options.json) {}

EncodedBatch BatchEncoder::encode(const RawBatch& batch) {
  EncodedBatch out;
  out.next = batch.next;
  out.input_bytes = batch.input_bytes;
  out.roughly_cut = batch.roughly_cut;
  out.tokens.reserve(batch.bytes.size() / 3);
  out.parts.reserve(batch.pieces.size());
  for (const Piece& piece : batch.pieces) {
    if (piece.source->kind == SourceKind::kJsonLines) {
      add_lines(batch, piece, out);
    } else {
      add_text(std::string_view(batch.bytes).substr(piece.begin, piece.end - piece.begin), piece,
               out);
    }
  }
  return out;
}

void BatchEncoder::add_lines(const RawBatch& batch, const Piece& piece, EncodedBatch& out) {
  const Piece whole;  // a record is a document
  std::uint64_t line = piece.line;
  for (std::size_t at = piece.begin; at < piece.end; ++line) {
    const std::string_view rest = std::string_view(batch.bytes).substr(at, piece.end - at);
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    at += end + 1;
    const std::string_view json = rest.substr(0, end);
    if (JsonRecord::is_empty(json)) continue;
    const std::string_view text = record_.text_of(json, piece.source->path, line);
    if (text.empty()) {
      ++out.empty_records;
    } else {
      add_text(text, whole, out);
    }
  }
}

void BatchEncoder::add_text(std::string_view text, const Piece& piece, EncodedBatch& out) {
  if (piece.begins_document && options_.separator) out.tokens.push_back(*options_.separator);
  EncodedPart part;
  part.text_bytes = text.size();
  part.begins_document = piece.begins_document;
  part.ends_document = piece.ends_document;
  const EncodeOptions how = {.special_in_text = options_.special_in_text, .add_special = false};
  while (!text.empty()) {
    const std::size_t stretch = next_stretch(*tokenizer_, text);
    encoder_->encode(text.substr(0, stretch), how, out.tokens);
    text.remove_prefix(stretch);
  }
  part.tokens_end = out.tokens.size();
  out.parts.push_back(part);
}

}  // namespace mneme::text
