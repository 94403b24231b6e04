// SentencePiece models: written field by field, and trained by the library in a moment.
#pragma once

#include <gtest/gtest.h>
#include <sentencepiece_trainer.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mneme::text::testing {

// Fields of a protocol buffer.
inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7f));
  return out + static_cast<char>(value);
}
inline std::string number_field(std::uint64_t field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}
inline std::string bytes_field(std::uint64_t field, std::string_view bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}

// Types of pieces.
inline constexpr std::uint64_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4,
                               kUnused = 5, kByte = 6;

inline std::string piece_field(std::string_view text, float score = 0,
                               std::uint64_t type = kNormal) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &score, sizeof(bits));
  std::string little;
  for (const unsigned shift : {0u, 8u, 16u, 24u}) little += static_cast<char>(bits >> shift & 0xff);
  return bytes_field(1, bytes_field(1, text) + varint(2 << 3 | 5) + little + number_field(3, type));
}

// Models of `type` 1 choose the most likely pieces, those of 2 join pairs.
inline std::string trainer_field(std::uint64_t type, const std::string& more = {}) {
  return bytes_field(2, number_field(3, type) + more);
}

struct NormalizerFields {
  std::string table;
  bool adds_space = false;
  bool drops_spaces = false;
};
inline std::string normalizer_field(const NormalizerFields& fields) {
  return bytes_field(3, bytes_field(2, fields.table) + number_field(3, fields.adds_space) +
                            number_field(4, fields.drops_spaces));
}

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(std::vector<std::string> lines) : lines_(std::move(lines)) {}
  bool done() const override { return at_ >= lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::vector<std::string> lines_;
  std::size_t at_ = 0;
};

// A model of a few sentences; options as the library names them.
inline std::string trained_model(std::unordered_map<std::string, std::string> options) {
  std::vector<std::string> lines;
  for (int i = 0; i < 20; ++i) {
    lines.insert(lines.end(), {"the quick brown fox jumps over the lazy dog",
                               "a quick test of the tokens that the model has",
                               "caf\u00e9 \u4e2d\u6587 zebra jazz", "one two three, 1 2 3!"});
  }
  options.insert({{"vocab_size", "80"},
                  {"hard_vocab_limit", "false"},
                  {"minloglevel", "3"},
                  {"num_threads", "1"}});
  Sentences sentences(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &sentences, &model);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return model;
}

}  // namespace mneme::text::testing
