#include "text/pre_tokenizer.h"

namespace mneme::text {
namespace {

// Bytes of the character that begins at `at`.
std::size_t character_at(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  return end - at;
}

// Calls use(begin, end, is_match) for matches and what lies between, in order and without gaps.
// Empty matches, which split where they stand, are called as well.
template <typename Use>
void walk(Matcher& matcher, std::string_view text, const Use& use) {
  std::size_t done = 0;  // what `use` has seen
  std::size_t from = 0;
  Match match;
  bool was_match = false;  // one ends at `done`
  while (from <= text.size() && matcher.find(text, from, match)) {
    if (match.is_empty()) {
      from = match.end < text.size() ? match.end + character_at(text, match.end) : text.size() + 1;
      if (was_match && match.begin == done) continue;
    } else {
      from = match.end;
    }
    if (match.begin > done) use(done, match.begin, false);
    use(match.begin, match.end, true);
    done = match.end;
    was_match = true;
  }
  if (done < text.size()) use(done, text.size(), false);
}

}  // namespace

PreTokenizer::PreTokenizer(const std::vector<Split>& splits) {
  for (const Split& split : splits) steps_.push_back({&split, Matcher(split.pattern)});
}

void PreTokenizer::split(std::string_view text, const Use& use) {
  if (text.empty()) return;
  if (steps_.empty()) return use(text);
  pieces_.assign(1, text);
  for (std::size_t i = 0; i + 1 < steps_.size(); ++i) {
    next_.clear();
    for (const std::string_view piece : pieces_) {
      apply(steps_[i], piece, [&](std::string_view part) { next_.push_back(part); });
    }
    pieces_.swap(next_);
  }
  for (const std::string_view piece : pieces_) apply(steps_.back(), piece, use);
}

void PreTokenizer::apply(Step& step, std::string_view text, const Use& use) {
  const auto piece = [&](std::size_t begin, std::size_t end) {
    if (begin < end) use(text.substr(begin, end - begin));
  };
  const bool inverted = step.split->inverted;
  const SplitBehavior behavior = step.split->behavior;
  std::size_t open = 0;    // where the piece that is not finished begins
  bool has_match = false;  // in it
  walk(step.matcher, text, [&](std::size_t begin, std::size_t end, bool is_match) {
    is_match = is_match != inverted;
    switch (behavior) {
      case SplitBehavior::kIsolated:
        piece(begin, end);
        break;
      case SplitBehavior::kRemoved:
        if (!is_match) piece(begin, end);
        break;
      case SplitBehavior::kMergedWithPrevious:
        if (is_match) piece(open, end), open = end;
        break;
      case SplitBehavior::kMergedWithNext:
        if (is_match) piece(open, begin), open = begin;
        break;
      case SplitBehavior::kContiguous:
        if (begin > 0 && is_match != has_match) piece(open, begin), open = begin;
        has_match = is_match;
        break;
    }
  });
  const bool leaves_rest =
      behavior != SplitBehavior::kIsolated && behavior != SplitBehavior::kRemoved;
  if (leaves_rest) piece(open, text.size());
}

}  // namespace mneme::text
