#include "text/pre_tokenizer.h"

namespace mneme::text {
namespace {

// Bytes of the character that begins at `at`.
std::size_t character_at(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  return end - at;
}

// Calls use(begin, is_match) for matches and what lies between, in order and without gaps. Empty
// matches, which split where they stand, are called as well.
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
    if (match.begin > done) use(done, false);
    use(match.begin, true);
    done = match.end;
    was_match = true;
  }
  if (done < text.size()) use(done, false);
}

// Whether a match, or what lies between two, belongs to the piece in front of it.
bool is_one_piece(SplitBehavior behavior, bool was_match, bool is_match) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
    case SplitBehavior::kRemoved:
      return false;
    case SplitBehavior::kMergedWithPrevious:
      return is_match && !was_match;
    case SplitBehavior::kMergedWithNext:
      return was_match && !is_match;
    case SplitBehavior::kContiguous:
      return is_match == was_match;
  }
  return false;
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
  const SplitBehavior behavior = step.split->behavior;
  std::size_t open = 0;  // where the piece that is not finished begins
  bool was_match = false;
  const auto close = [&](std::size_t end) {
    const bool is_removed = was_match && behavior == SplitBehavior::kRemoved;
    if (open < end && !is_removed) use(text.substr(open, end - open));
    open = end;
  };
  walk(step.matcher, text, [&](std::size_t begin, bool is_match) {
    is_match = is_match != step.split->inverted;
    if (begin > 0 && !is_one_piece(behavior, was_match, is_match)) close(begin);
    was_match = is_match;
  });
  close(text.size());
}

}  // namespace mneme::text
