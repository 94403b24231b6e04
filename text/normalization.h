// Unicode's normalization forms, by utf8proc.
#pragma once

#include <string>
#include <string_view>

namespace mneme::text {

enum class NormalizationForm { kNone, kC, kD, kKC, kKD };

// The text in a form: `text` itself where it is known to be, otherwise `buffer`, which is
// overwritten. REQUIRES: text is UTF-8.
std::string_view normalize(NormalizationForm form, std::string_view text, std::string& buffer);

}  // namespace mneme::text
