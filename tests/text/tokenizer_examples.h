// Small tokenizers of each layout, made in memory, and texts that are hard for them.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "io/error.h"
#include "text/byte_alphabet.h"
#include "text/tiktoken_file.h"
#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

namespace mneme::text::testing {

using Ids = std::vector<std::int32_t>;

inline Ids encoded(const Tokenizer& tokenizer, std::string_view text,
                   const EncodeOptions& options = {}) {
  Ids ids;
  tokenizer.make_encoder()->encode(text, options, ids);
  return ids;
}

// What the Error of `act` says; empty where there is none.
inline std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const io::Error& error) {
    return error.what();
  }
  return {};
}

inline void expect_parts(const std::string& message, const std::vector<std::string>& parts) {
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "\"" << message << "\" lacks " << part;
  }
}

// Text in the characters that byte-level tokenizers write.
inline std::string in_byte_characters(std::string_view text) {
  std::string written;
  for (const char byte : text) written += byte_characters()[static_cast<unsigned char>(byte)];
  return written;
}

// A tokenizer.json with the 256 bytes as tokens 0 to 255, and a merge and a token for each pair of
// texts, in order.
inline nlohmann::json byte_level_json(
    const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  nlohmann::json vocabulary = nlohmann::json::object(), pairs = nlohmann::json::array();
  for (std::size_t byte = 0; byte < 256; ++byte) vocabulary[byte_characters()[byte]] = byte;
  for (const auto& [left, right] : merges) {
    const std::string a = in_byte_characters(left), b = in_byte_characters(right);
    if (!vocabulary.contains(a + b)) vocabulary[a + b] = vocabulary.size();
    pairs.push_back({a, b});
  }
  return {{"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", pairs}}}};
}

inline std::unique_ptr<Tokenizer> opened(const nlohmann::json& json) {
  return make_byte_pair_tokenizer(parse_tokenizer_json(json.dump(), "a/tokenizer.json"));
}

inline std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const bool is_there = at + i < bytes.size();
      bits = bits << 8 | (is_there ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    }
    for (const unsigned shift : {18u, 12u, 6u, 0u}) out += kDigits[bits >> shift & 63];
    if (at + 2 >= bytes.size()) out.back() = '=';
    if (at + 1 >= bytes.size()) out[out.size() - 2] = '=';
  }
  return out;
}

// A tiktoken file with the 256 bytes and then the tokens, in order.
inline std::string tiktoken_content(const std::vector<std::string>& tokens = {}) {
  std::string content;
  int rank = 0;
  const auto add = [&](std::string_view token) {
    content += base64(token) + " " + std::to_string(rank++) + "\n";
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const std::string& token : tokens) add(token);
  return content;
}

inline std::unique_ptr<Tokenizer> opened(const std::string& tiktoken, const std::string& encoding) {
  return make_byte_pair_tokenizer(parse_tiktoken(tiktoken, "a/x.tiktoken", encoding));
}

// Texts of words, digits, white space of many kinds, marks, scripts and emoji.
inline std::string random_text(std::mt19937& random, std::size_t parts) {
  static const std::vector<std::string> kParts = {
      "a",      "the",     "The",    " ",      "  ",         " ",          "\n",     "\r\n",
      "\t",     "'s",      "'LL",    "12",     "7",          ".",          "!?",     "<pad>",
      "\u00e9", "e\u0301", "\u4e2d", "\u3042", "\U0001f600", "\u200d",     "\u2028", "\u0085",
      "\u00a0", "\u180e",  "\u3000", "\u0130", "z",          "\U0001f1e9", "_",      "Hello"};
  std::string text;
  for (std::size_t i = 0; i < parts; ++i) text += kParts[random() % kParts.size()];
  return text;
}

}  // namespace mneme::text::testing
