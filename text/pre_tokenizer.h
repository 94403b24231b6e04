// Cuts text into the pieces that byte-pair encoding treats alone: splits by patterns, one behind
// the other (the pre-tokenizers of Hugging Face's tokenizers and of tiktoken).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/pattern.h"

namespace mneme::text {

// What becomes of a match of a split's pattern and of the text between two.
enum class SplitBehavior {
  kIsolated,            // pieces of their own
  kRemoved,             // matches go
  kMergedWithPrevious,  // a match belongs to the text in front of it
  kMergedWithNext,      // or to the text behind it
  kContiguous,          // as isolated, but matches that touch are one piece
};

struct Split {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool inverted = false;  // what matches counts as text between, and the other way round
};

// For one thread. The splits must outlive it.
class PreTokenizer {
 public:
  explicit PreTokenizer(const std::vector<Split>& splits);

  using Use = std::function<void(std::string_view piece)>;
  // Calls `use` for each piece, in order; none is empty. REQUIRES: text is UTF-8. Throws Error as
  // Matcher::find does.
  void split(std::string_view text, const Use& use);

 private:
  struct Step {
    const Split* split;
    Matcher matcher;
  };
  void apply(Step& step, std::string_view text, const Use& use);

  std::vector<Step> steps_;
  std::vector<std::string_view> pieces_, next_;
};

}  // namespace mneme::text
