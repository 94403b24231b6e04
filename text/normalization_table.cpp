#include "text/normalization_table.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace mneme::text {
namespace {

constexpr std::size_t kBlock = 256;  // units that a byte chooses from
// The library keeps the rules that a text begins with in an array of this size.
constexpr int kMostRules = 32;
// A rule's text stands in memory for each place that it applies to.
constexpr std::size_t kLongestText = 1024;

// A unit of the double array: a state that a byte leads to, or the value of a rule.
class Unit {
 public:
  explicit Unit(std::uint32_t bits) : bits_(bits) {}
  bool is_value() const { return bits_ >> 31 != 0; }
  std::uint32_t value() const { return bits_ & 0x7fffffff; }
  std::size_t byte() const { return bits_ & 0xff; }  // that leads to it
  bool ends_rule() const { return (bits_ >> 8 & 1) != 0; }
  std::size_t offset() const { return std::size_t{bits_ >> 10} << ((bits_ & (1u << 9)) >> 6); }

 private:
  std::uint32_t bits_;
};

// Follows all ways through the table.
class Table {
 public:
  Table(std::string_view units, std::string_view texts)
      : units_(units), size_(units.size() / sizeof(std::uint32_t)), texts_bytes_(texts.size()) {}

  std::optional<std::string_view> danger() {
    if (size_ < kBlock || size_ % kBlock != 0) return "has no root";
    if (unit(0).is_value()) return "has no root";
    group_children();
    rules_.assign(size_, kNotSeen);
    // Depth first; a place waits on the stack until all behind it are done.
    std::vector<std::size_t> open;
    if (const auto why = visit(0, open)) return why;
    while (!open.empty()) {
      const std::size_t at = open.back();
      bool is_done = true;
      for (const std::uint32_t child : children_of(base_of(at))) {
        if (rules_[child] == kOpen) return "leads in a circle";
        if (rules_[child] != kNotSeen) continue;
        if (const auto why = visit(child, open)) return why;
        is_done = false;
        break;
      }
      if (!is_done) continue;
      int rules = 0;
      for (const std::uint32_t child : children_of(base_of(at))) {
        rules = std::max(rules, rules_[child]);
      }
      rules_[at] = rules + (at != 0 && unit(at).ends_rule());
      if (rules_[at] > kMostRules) return "has too many rules that begin alike";
      open.pop_back();
    }
    return {};
  }

 private:
  static constexpr int kNotSeen = -1, kOpen = -2;

  Unit unit(std::size_t at) const {
    std::uint32_t bits = 0;
    std::memcpy(&bits, units_.data() + at * sizeof(bits), sizeof(bits));
    return Unit(bits);
  }
  std::size_t base_of(std::size_t at) const { return at ^ unit(at).offset(); }

  // Lists the states by the base that they belong to: the place that their byte leads away from.
  void group_children() {
    ends_.assign(size_ + 1, 0);
    for (std::size_t at = 0; at < size_; ++at) {
      if (!unit(at).is_value()) ++ends_[(at ^ unit(at).byte()) + 1];
    }
    for (std::size_t base = 0; base < size_; ++base) ends_[base + 1] += ends_[base];
    children_.resize(ends_[size_]);
    std::vector<std::uint32_t> next(ends_.begin(), ends_.end() - 1);
    for (std::size_t at = 0; at < size_; ++at) {
      if (!unit(at).is_value()) {
        children_[next[at ^ unit(at).byte()]++] = static_cast<std::uint32_t>(at);
      }
    }
  }
  struct Children {
    const std::uint32_t *first, *last;
    const std::uint32_t* begin() const { return first; }
    const std::uint32_t* end() const { return last; }
  };
  Children children_of(std::size_t base) const {
    return {children_.data() + ends_[base], children_.data() + ends_[base + 1]};
  }

  std::optional<std::string_view> visit(std::size_t at, std::vector<std::size_t>& open) {
    const std::size_t base = base_of(at);
    if ((base | (kBlock - 1)) >= size_) return "has a step outside itself";
    if (at != 0 && unit(at).ends_rule() && unit(base).value() >= texts_bytes_) {
      return "has a value outside its texts";
    }
    rules_[at] = kOpen;
    open.push_back(at);
    return {};
  }

  std::string_view units_;
  std::size_t size_;
  std::size_t texts_bytes_;
  std::vector<std::uint32_t> ends_, children_;
  std::vector<int> rules_;  // by state: the most rules on a way behind it, and its own
};

}  // namespace

std::optional<std::string_view> danger_in_normalization_table(std::string_view table) {
  if (table.empty()) return {};
  std::uint32_t bytes = 0;
  if (table.size() < sizeof(bytes)) return "is cut short";
  std::memcpy(&bytes, table.data(), sizeof(bytes));
  table.remove_prefix(sizeof(bytes));
  if (bytes > table.size() || bytes % sizeof(std::uint32_t) != 0) return "is cut short";
  const std::string_view texts = table.substr(bytes);
  if (texts.empty() || texts.back() != '\0') return "has texts without an end";
  for (std::size_t begin = 0; begin < texts.size();) {
    const std::size_t end = texts.find('\0', begin);
    if (end - begin > kLongestText) return "has a text that is too long";
    begin = end + 1;
  }
  return Table(table.substr(0, bytes), texts).danger();
}

}  // namespace mneme::text
