// A regular expression over UTF-8 text, as the patterns of tokenizers are written (Oniguruma's and
// Rust's syntax), carried out by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace mneme::text {

struct Match {
  std::size_t begin = 0;  // bytes
  std::size_t end = 0;
  bool is_empty() const { return begin == end; }
};

// Compiled once; may be used by several threads, each with its own Matcher.
class Pattern {
 public:
  // `where` names the file for errors. Throws Error for what is no expression.
  Pattern(const std::string& expression, const std::string& where);
  ~Pattern();
  Pattern(Pattern&&) noexcept;

  const std::string& expression() const { return expression_; }

 private:
  friend class Matcher;
  struct Code;
  std::string expression_;
  std::string where_;
  std::unique_ptr<Code> code_;
};

// The pattern must outlive it.
class Matcher {
 public:
  explicit Matcher(const Pattern& pattern);
  ~Matcher();
  Matcher(Matcher&&) noexcept;

  // The first match that begins at `from` or behind. REQUIRES: text is UTF-8, and a character
  // begins at `from`. Throws Error where the expression takes more steps than the limit.
  bool find(std::string_view text, std::size_t from, Match& match);

 private:
  struct State;
  const Pattern* pattern_;
  std::unique_ptr<State> state_;
};

}  // namespace mneme::text
