#include "text/tiktoken_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/error.h"
#include "io/utf8.h"
#include "text/known_patterns.h"

namespace mneme::text {
namespace {

// Published files have 128 at most. Each way to split a token is looked at, so that the work grows
// with the square of this.
constexpr std::size_t kLongestToken = 1024;

// A named encoding: what a file of ranks does not say.
struct Encoding {
  std::string_view name;
  std::size_t tokens = 0;  // of the published file
  std::string_view pattern;
  std::vector<SpecialToken> special;
};

// Llama 3's 256 special tokens, as its releases since 3.1 name them.
std::vector<SpecialToken> llama3_special() {
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|finetune_right_pad_id|>",
                                    "<|step_id|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|eom_id|>",
                                    "<|eot_id|>",
                                    "<|python_tag|>",
                                    "<|image|>"};
  for (int i = 2; names.size() < 256; ++i) {
    names.push_back(fmt::format("<|reserved_special_token_{}|>", i));
  }
  std::vector<SpecialToken> tokens;
  for (const std::string& name : names) {
    tokens.push_back({name, static_cast<std::int32_t>(128000 + tokens.size())});
  }
  return tokens;
}

std::vector<SpecialToken> qwen_special() {
  std::vector<SpecialToken> tokens = {
      {"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}};
  for (int i = 0; i < 205; ++i) {
    tokens.push_back({fmt::format("<|extra_{}|>", i), 151646 + i});
  }
  return tokens;
}

const std::vector<Encoding>& encodings() {
  static const std::vector<Encoding> all = {
      {"r50k_base", 50256, kR50kPattern, {{"<|endoftext|>", 50256}}},
      {"p50k_base", 50280, kR50kPattern, {{"<|endoftext|>", 50256}}},
      {"cl100k_base",
       100256,
       kCl100kPattern,
       {{"<|endoftext|>", 100257},
        {"<|fim_prefix|>", 100258},
        {"<|fim_middle|>", 100259},
        {"<|fim_suffix|>", 100260},
        {"<|endofprompt|>", 100276}}},
      {"o200k_base",
       199998,
       kO200kPattern,
       {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
      {"llama3", 128000, kLlama3Pattern, llama3_special()},
      {"qwen", 151643, kQwen2Pattern, qwen_special()}};
  return all;
}

// The bytes of a base64 word; false where it is none.
bool decode_base64(std::string_view word, std::string& out) {
  static const std::array<std::int8_t, 256> digits = [] {
    std::array<std::int8_t, 256> made;
    made.fill(-1);
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t i = 0; i < kDigits.size(); ++i) {
      made[static_cast<unsigned char>(kDigits[i])] = static_cast<std::int8_t>(i);
    }
    return made;
  }();
  out.clear();
  if (word == "=") return true;  // a token of no bytes, which published files have
  if (word.empty() || word.size() % 4 != 0) return false;
  const std::size_t padding = word.ends_with("==") ? 2 : word.ends_with("=") ? 1 : 0;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const std::int8_t digit = digits[static_cast<unsigned char>(word[i])];
    const bool is_padding = i >= word.size() - padding;
    if (digit < 0 && !is_padding) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(is_padding ? 0 : digit);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) out += static_cast<char>(bits >> shift & 0xff);
    bits = 0;
  }
  out.resize(out.size() - padding);
  return true;
}

struct Line {
  std::string_view word;
  std::int32_t rank = 0;
};

bool parse_line(std::string_view text, Line& line) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return false;
  line.word = text.substr(0, space);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + space + 1, end, line.rank);
  return error == std::errc() && stop == end && line.rank >= 0;
}

const Encoding& encoding_of(const std::string& name, std::size_t tokens, const std::string& path) {
  for (const Encoding& encoding : encodings()) {
    if (name == "auto" ? encoding.tokens == tokens : encoding.name == name) return encoding;
  }
  if (name != "auto") {
    io::fail("{}: the encoding \"{}\" is not known; known: {}", path, io::printable(name, 40),
             tiktoken_encodings());
  }
  io::fail("{}: no known encoding has its {} tokens; name one whose pattern it uses: {}", path,
           tokens, tiktoken_encodings());
}

using Ids = std::unordered_map<std::string_view, std::int32_t>;

// Every way to make a token of two is a merge with the token's own rank.
std::vector<BytePairs::Merge> merges_of(const Ids& ids) {
  std::vector<BytePairs::Merge> merges;
  for (const auto& [bytes, id] : ids) {
    for (std::size_t at = 1; at < bytes.size(); ++at) {
      const auto left = ids.find(bytes.substr(0, at));
      if (left == ids.end()) continue;
      const auto right = ids.find(bytes.substr(at));
      if (right == ids.end()) continue;
      merges.push_back({left->second, right->second, id, id});
    }
  }
  return merges;
}

// Reads the lines: the tokens' bytes by id. Returns how many there are.
std::size_t read_lines(std::string_view content, const std::string& path,
                       BytePairTokenizerParts& parts) {
  std::size_t number = 0, tokens = 0;
  std::string bytes;
  while (!content.empty()) {
    ++number;
    const std::size_t end = content.find('\n');
    std::string_view text = content.substr(0, end);
    content = end == std::string_view::npos ? std::string_view() : content.substr(end + 1);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    Line line;
    if (!parse_line(text, line) || !decode_base64(line.word, bytes)) {
      io::fail("{}:{}: not a token in base64 and its rank: \"{}\"", path, number,
               io::printable(text, 60));
    }
    if (bytes.size() > kLongestToken) {
      io::fail("{}:{}: a token of {} bytes; at most {} are supported", path, number, bytes.size(),
               kLongestToken);
    }
    if (line.rank >= kMostTokens) {
      io::fail("{}:{}: rank {} is beyond the most tokens of a vocabulary, {}", path, number,
               line.rank, kMostTokens);
    }
    const auto at = static_cast<std::size_t>(line.rank);
    if (at >= parts.bytes.size()) parts.bytes.resize(at + 1);
    ++tokens;
    if (bytes.empty()) continue;
    if (!parts.bytes[at].empty()) io::fail("{}:{}: rank {} is there twice", path, number, at);
    parts.bytes[at] = bytes;
    parts.piece_tokens.push_back(line.rank);
  }
  return tokens;
}

}  // namespace

bool is_tiktoken(std::string_view content) {
  std::string_view text = content.substr(0, std::min<std::size_t>(content.find('\n'), 4096));
  if (text.ends_with('\r')) text.remove_suffix(1);
  Line line;
  std::string bytes;
  return parse_line(text, line) && decode_base64(line.word, bytes);
}

std::string tiktoken_encodings() {
  std::string names;
  for (const Encoding& encoding : encodings()) {
    if (!names.empty()) names += ", ";
    names += encoding.name;
  }
  return names;
}

BytePairTokenizerParts parse_tiktoken(std::string content, const std::string& path,
                                      const std::string& encoding) {
  BytePairTokenizerParts parts;
  parts.content = std::move(content);
  parts.file_name = "tokenizer.tiktoken";
  parts.whole_pieces_first = true;
  const std::size_t tokens = read_lines(parts.content, path, parts);
  Ids ids;
  for (const std::int32_t id : parts.piece_tokens) {
    const std::string& bytes = parts.bytes[static_cast<std::size_t>(id)];
    if (!ids.emplace(bytes, id).second) {
      io::fail("{}: the token \"{}\" is there twice", path, io::printable(bytes, 40));
    }
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    const auto found = ids.find(std::string_view(&character, 1));
    if (found == ids.end()) {
      io::fail("{}: has no token for the byte {}; it may be cut short", path, byte);
    }
    parts.byte_tokens[byte] = found->second;
  }
  const Encoding& known = encoding_of(encoding, tokens, path);
  parts.kind = fmt::format("byte-level BPE (tiktoken, {})", known.name);
  parts.merges = merges_of(ids);
  parts.splits.push_back({Pattern(std::string(known.pattern), path)});

  std::vector<SpecialToken> special = known.special;
  if (tokens != known.tokens) {
    // A file of one's own with another's pattern.
    special = {{"<|endoftext|>", static_cast<std::int32_t>(parts.bytes.size())}};
  }
  for (const SpecialToken& token : special) {
    const auto at = static_cast<std::size_t>(token.id);
    if (at >= parts.bytes.size()) parts.bytes.resize(at + 1);
    if (static_cast<std::int64_t>(parts.bytes.size()) > kMostTokens || !parts.bytes[at].empty()) {
      io::fail("{}: no id is free for the special token {}", path, token.text);
    }
    parts.bytes[at] = token.text;
    AddedToken added;
    added.text = token.text;
    added.id = token.id;
    added.is_special = true;
    parts.added.push_back(std::move(added));
  }
  parts.written = parts.bytes;
  return parts;
}

}  // namespace mneme::text
