// The table by which SentencePiece normalizes text: rules that replace bytes by a text, in a double
// array as the Darts library lays it out.
#pragma once

#include <optional>
#include <string_view>

namespace mneme::text {

// What could happen to whoever follows the table without looking at its bounds, as SentencePiece
// does: a part of a sentence ("has a step outside itself"). Nothing where it is safe to follow.
// Takes time in proportion to the table.
std::optional<std::string_view> danger_in_normalization_table(std::string_view table);

}  // namespace mneme::text
