#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <pcre2.h>

#include <array>
#include <cstdint>

#include "io/error.h"
#include "io/utf8.h"

namespace mneme::text {

namespace {

// PCRE2's own \s holds U+180E as well, which is no white space since Unicode 6.3.
constexpr std::string_view kWhiteSpaceClass =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}"
    "\\x{3000}";

// Steps of one match: what a hostile expression may cost is about a second.
constexpr std::uint32_t kMatchLimit = 50'000'000;
constexpr std::uint32_t kHeapLimitKib = std::uint32_t{64} << 10;  // of a match without instructions
constexpr std::size_t kJitStackBytes = std::size_t{8} << 20;

// PCRE2's own \w lacks marks and more; Oniguruma counts some superscripts and fractions.
constexpr std::string_view kWordClass =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

// The class that an escape stands for, and whether its characters are those outside of it.
std::string_view class_of_escape(char escape) {
  switch (escape) {
    case 's':
    case 'S':
      return kWhiteSpaceClass;
    case 'w':
    case 'W':
      return kWordClass;
    default:
      return {};
  }
}

// The expression with \s, \S, \w and \W spelled out. \S and \W inside a class stay PCRE2's.
std::string with_own_classes(std::string_view expression) {
  std::string out;
  bool in_class = false;
  for (std::size_t at = 0; at < expression.size(); ++at) {
    const char c = expression[at];
    if (c == '\\' && at + 1 < expression.size()) {
      const char escape = expression[++at];
      const std::string_view characters = class_of_escape(escape);
      const bool is_complement = escape == 'S' || escape == 'W';
      if (characters.empty() || (is_complement && in_class)) {
        out.append(1, c).append(1, escape);
      } else if (in_class) {
        out += characters;
      } else {
        out.append(is_complement ? "[^" : "[").append(characters).append("]");
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
    } else if (c == ']') {
      in_class = false;
    }
    out += c;
  }
  return out;
}

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> message = {};
  pcre2_get_error_message(code, message.data(), message.size());
  return reinterpret_cast<const char*>(message.data());
}

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    kFree(pointer);
  }
};

}  // namespace

struct Pattern::Code {
  std::unique_ptr<pcre2_code, Free<pcre2_code_free>> code;
  bool is_compiled = false;  // to instructions
};

Pattern::Pattern(const std::string& expression, const std::string& where)
    : expression_(expression), where_(where), code_(std::make_unique<Code>()) {
  const std::string own = with_own_classes(expression);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(own.data()), own.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, nullptr));
  if (!code_->code) {
    io::fail("{}: the pattern \"{}\" cannot be used: {}", where, io::printable(expression, 100),
             message_of(error));
  }
  code_->is_compiled = pcre2_jit_compile(code_->code.get(), PCRE2_JIT_COMPLETE) == 0;
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;

struct Matcher::State {
  std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free>> data;
  std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free>> context;
  std::unique_ptr<pcre2_jit_stack, Free<pcre2_jit_stack_free>> stack;
};

Matcher::Matcher(const Pattern& pattern) : pattern_(&pattern), state_(std::make_unique<State>()) {
  state_->data.reset(pcre2_match_data_create_from_pattern(pattern.code_->code.get(), nullptr));
  state_->context.reset(pcre2_match_context_create(nullptr));
  if (!state_->data || !state_->context) io::fail("{}: no memory for its pattern", pattern.where_);
  pcre2_set_match_limit(state_->context.get(), kMatchLimit);
  pcre2_set_heap_limit(state_->context.get(), kHeapLimitKib);
  if (!pattern.code_->is_compiled) return;
  state_->stack.reset(pcre2_jit_stack_create(std::size_t{32} << 10, kJitStackBytes, nullptr));
  if (state_->stack) pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
}

Matcher::~Matcher() = default;
Matcher::Matcher(Matcher&&) noexcept = default;

bool Matcher::find(std::string_view text, std::size_t from, Match& match) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int found =
      pattern_->code_->is_compiled
          ? pcre2_jit_match(pattern_->code_->code.get(), subject, text.size(), from, 0,
                            state_->data.get(), state_->context.get())
          : pcre2_match(pattern_->code_->code.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                        state_->data.get(), state_->context.get());
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    io::fail("{}: the pattern \"{}\" cannot be matched with \"{}\": {}", pattern_->where_,
             io::printable(pattern_->expression_, 100), io::printable(text.substr(from, 40), 40),
             message_of(found));
  }
  const PCRE2_SIZE* const offsets = pcre2_get_ovector_pointer(state_->data.get());
  match = {offsets[0], offsets[1]};
  return true;
}

}  // namespace mneme::text
