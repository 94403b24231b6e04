// Tokens that are found in text before it is cut into pieces: special tokens and words that were
// added to a vocabulary (Hugging Face's added_tokens, tiktoken's special tokens).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/pattern.h"

namespace mneme::text {

struct AddedToken {
  std::string text;
  std::int32_t id = 0;
  bool is_special = false;
  bool single_word = false;    // only where no letter, digit or underscore touches it
  bool takes_left = false;     // the white space in front of it as well
  bool takes_right = false;    // the white space behind it as well
  bool is_normalized = false;  // found in the text after normalization
};

// Finds the leftmost of the tokens, the longest of those that begin there.
class AddedTokens {
 public:
  AddedTokens() = default;
  // Empty texts are left out.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  bool empty() const { return tokens_.empty(); }

  // Calls use(text between, token or null) in order: what lies in front of each token, and the rest
  // with null. Texts may be empty. Without `with_special`, special tokens are text.
  using Use = std::function<void(std::string_view between, const AddedToken* token)>;
  void split(std::string_view text, bool with_special, const Use& use) const;

 private:
  struct Node {
    std::map<char, std::size_t> next;
    std::optional<std::size_t> token;
  };
  // The longest token that begins at `at`; its index.
  std::optional<std::size_t> token_at(std::string_view text, std::size_t at) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;  // of a trie; the root is the first
  std::array<bool, 256> begins_ = {};
};

}  // namespace mneme::text
