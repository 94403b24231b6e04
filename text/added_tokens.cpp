#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

namespace mneme::text {
namespace {

// Characters of words, as Rust's \w has them.
bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  static const Pattern word("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}]",
                            "added tokens");
  Matcher matcher(word);
  Match match;
  if (begin > 0) {
    std::size_t at = begin - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
    if (matcher.find(text.substr(0, begin), at, match)) return true;
  }
  return end < text.size() && matcher.find(text, end, match) && match.begin == end;
}

// Bytes of the character of white space that begins at `at`; 0 for another one.
std::size_t white_space_at(std::string_view text, std::size_t at) {
  const char c = text[at];
  if (c == ' ' || (c >= '\t' && c <= '\r')) return 1;
  if (text.substr(at, 2) == "\u0085" || text.substr(at, 2) == "\u00a0") return 2;
  const std::string_view three = text.substr(at, 3);
  const bool is_space = three == "\u1680" || (three >= "\u2000" && three <= "\u200a") ||
                        three == "\u2028" || three == "\u2029" || three == "\u202f" ||
                        three == "\u205f" || three == "\u3000";
  return three.size() == 3 && is_space ? 3 : 0;
}

std::size_t end_of_white_space(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const std::size_t bytes = white_space_at(text, at);
    if (bytes == 0) break;
    at += bytes;
  }
  return at;
}

// Where the white space in front of `end` begins, at `least` at the least.
std::size_t begin_of_white_space(std::string_view text, std::size_t end, std::size_t least) {
  while (end > least) {
    std::size_t at = end - 1;
    while (at > least && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
    if (white_space_at(text, at) != end - at) break;
    end = at;
  }
  return end;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.text.empty(); });
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    std::size_t node = 0;
    for (const char byte : tokens_[i].text) {
      const auto [found, is_new] = nodes_[node].next.try_emplace(byte, nodes_.size());
      node = found->second;
      if (is_new) nodes_.emplace_back();
    }
    nodes_[node].token = i;
    begins_[static_cast<unsigned char>(tokens_[i].text[0])] = true;
  }
}

std::optional<std::size_t> AddedTokens::token_at(std::string_view text, std::size_t at) const {
  std::optional<std::size_t> found;
  std::size_t node = 0;
  for (; at < text.size(); ++at) {
    const auto next = nodes_[node].next.find(text[at]);
    if (next == nodes_[node].next.end()) break;
    node = next->second;
    if (nodes_[node].token) found = nodes_[node].token;
  }
  return found;
}

void AddedTokens::split(std::string_view text, bool with_special, const Use& use) const {
  std::size_t done = 0;
  std::size_t at = 0;
  while (!tokens_.empty() && at < text.size()) {
    if (!begins_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const std::optional<std::size_t> found = token_at(text, at);
    if (!found) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[*found];
    std::size_t begin = at;
    std::size_t end = at + token.text.size();
    at = end;
    if (token.is_special && !with_special) continue;
    if (token.single_word && touches_word(text, begin, end)) continue;
    if (token.takes_left) begin = begin_of_white_space(text, begin, std::min(begin, done));
    if (token.takes_right) end = end_of_white_space(text, end);
    // A token may begin in the white space that the one before has taken: the reference goes on
    // looking behind the token's own text.
    use(text.substr(std::min(done, begin), begin - std::min(done, begin)), &token);
    done = end;
  }
  use(text.substr(done), nullptr);
}

}  // namespace mneme::text
