// docs/metrics.md has the table of fields as it is.
#include "offload/ledger/fields.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace mneme::offload {
namespace {

std::string table() {
  std::string text = "| field | unit | what it is |\n|---|---|---|\n";
  for (const FieldInfo& info : kFields) {
    text += fmt::format("| `{}` | {} | {} |\n", info.name, info.unit, info.meaning);
  }
  return text;
}

TEST(Fields, AreDocumented) {
  std::ifstream file(MNEME_SOURCE_DIR "/docs/metrics.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(page.find(table()), std::string::npos) << "the table of docs/metrics.md has to be\n"
                                                   << table();
}

TEST(Fields, HaveNamesThatDoNotCollide) {
  std::set<std::string> names;
  for (const FieldInfo& info : kFields) names.insert(std::string(info.name));
  EXPECT_EQ(names.size(), kFieldCount);
  // No name is a level of another one.
  for (const std::string& name : names) {
    const auto next = names.lower_bound(name + ".");
    EXPECT_TRUE(next == names.end() || !next->starts_with(name + ".")) << name;
  }
}

}  // namespace
}  // namespace mneme::offload
