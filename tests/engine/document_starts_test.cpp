// Each token of a window knows where its document begins.
#include "engine/document_starts.h"

#include <gtest/gtest.h>

#include <vector>

namespace mneme::engine {
namespace {

using Starts = std::vector<std::int32_t>;

Starts starts_of(const std::vector<std::int32_t>& tokens, std::uint64_t position,
                 const std::vector<std::uint64_t>& ends, std::int64_t separator = -1) {
  Starts starts(tokens.size(), -7);
  find_document_starts(tokens, position, {ends, separator}, starts);
  return starts;
}

TEST(DocumentStarts, AreBehindTheEndsOfDocuments) {
  EXPECT_EQ(starts_of({5, 5, 5, 5, 5, 5}, 10, {4, 12, 13, 30}), (Starts{0, 0, 2, 3, 3, 3}));
}

TEST(DocumentStarts, AreAtSeparators) {
  EXPECT_EQ(starts_of({1, 9, 2, 9, 9, 3}, 10, {}, 9), (Starts{0, 1, 1, 3, 4, 4}));
  EXPECT_EQ(starts_of({1, 9, 2}, 10, {}), (Starts{0, 0, 0}));
}

TEST(DocumentStarts, AreFoundByBothMarksTogether) {
  EXPECT_EQ(starts_of({1, 9, 2, 9, 4, 3}, 0, {3, 5}, 9), (Starts{0, 1, 1, 3, 3, 5}));
}

TEST(DocumentStarts, AreTheWindowsBeginForDocumentsThatBeganBefore) {
  EXPECT_EQ(starts_of({1, 2, 3}, 10, {3, 7}, 9), (Starts{0, 0, 0}));
  EXPECT_EQ(starts_of({9, 2, 3}, 10, {10}, 9), (Starts{0, 0, 0}));
}

// Empty files end where the file before them ends.
TEST(DocumentStarts, TakeEmptyDocumentsForNone) {
  EXPECT_EQ(starts_of({1, 2, 3, 4}, 10, {9, 9, 10, 10, 12, 12, 12, 13}), (Starts{0, 0, 2, 3}));
  EXPECT_EQ(starts_of({}, 10, {10}), Starts());
}

}  // namespace
}  // namespace mneme::engine
