// Changes to lines of JSON that a strict parser refuses and that may be read all the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mneme::text {

// The line with 0 in place of all numbers: their values are nobody's business here, and need not
// fit any type. What has not JSON's form of a number stays, for the parser to refuse.
std::string without_numbers(std::string_view json);

// The line with \uFFFD in place of each \u escape that is half of a surrogate pair and stands
// alone; nothing where there is none.
std::optional<std::string> without_lone_surrogates(std::string_view json);

}  // namespace mneme::text
