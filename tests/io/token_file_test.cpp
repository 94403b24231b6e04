// Files of tokens of all layouts: what is there is read, and what is cut short or damaged is an
// error of one line, never other tokens.
#include "io/token_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>
#include <vector>

#include "io/error.h"
#include "io/llm_c_layout.h"
#include "tests/io/temporary_directory.h"
#include "tests/io/token_examples.h"
#include "tests/support/error_of.h"

namespace mneme::test {
namespace {

using io::TokenFile;
using io::TokenLayout;
using testing::error_of;

class TokenFiles : public ::testing::Test {
 protected:
  std::string file(const std::string& name) const { return directory_.file(name); }
  void write(const std::string& name, const Bytes& bytes) const {
    std::ofstream(file(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  // tokens.bin, and tokens.idx of megatron.
  void write_all(const TokenKind& kind, const Documents& documents) const {
    for (const auto& [ending, bytes] : token_files(kind.layout, kind.width, documents)) {
      write("tokens" + ending, bytes);
    }
  }
  std::vector<std::int32_t> read(TokenLayout layout) const {
    const TokenFile tokens(file("tokens.bin"), layout);
    std::vector<std::int32_t> found(tokens.token_count());
    tokens.read(0, found);
    return found;
  }
  // Flips every bit of a file, one after the other, and calls body(bit) for each. The file is then
  // as before.
  template <typename Body>
  void with_every_bit(const std::string& name, std::size_t bytes, const Body& body) const {
    const int descriptor = ::open(file(name).c_str(), O_RDWR);
    ASSERT_GE(descriptor, 0);
    for (std::size_t bit = 0; bit < 8 * bytes; ++bit) {
      const auto at = static_cast<off_t>(bit / 8);
      unsigned char byte = 0;
      ASSERT_EQ(::pread(descriptor, &byte, 1, at), 1);
      byte = static_cast<unsigned char>(byte ^ (1u << bit % 8));
      ASSERT_EQ(::pwrite(descriptor, &byte, 1, at), 1);
      body(bit);
      byte = static_cast<unsigned char>(byte ^ (1u << bit % 8));
      ASSERT_EQ(::pwrite(descriptor, &byte, 1, at), 1);
    }
    ::close(descriptor);
  }

  TemporaryDirectory directory_;
};

TEST_F(TokenFiles, are_read_in_all_layouts_and_widths) {
  for (const TokenKind& kind : kTokenKinds) {
    SCOPED_TRACE(kind.name());
    const Documents documents = example_documents(kind.width);
    const std::vector<std::int32_t> expected = joined(documents);
    std::filesystem::remove(file("tokens.idx"));
    write_all(kind, documents);
    const TokenFile tokens(file("tokens.bin"), kind.layout);
    ASSERT_EQ(tokens.token_count(), expected.size());
    EXPECT_EQ(tokens.token_bytes(), kind.width);
    for (std::size_t first = 0; first <= expected.size(); ++first) {
      std::vector<std::int32_t> found(expected.size() - first);
      tokens.read(first, found);
      EXPECT_EQ(found, std::vector<std::int32_t>(
                           expected.begin() + static_cast<std::ptrdiff_t>(first), expected.end()));
    }
    Bytes stored(expected.size() * static_cast<std::size_t>(kind.width));
    tokens.read_stored(0, stored);
    EXPECT_EQ(stored, stored_tokens(expected, kind.width));
    EXPECT_EQ(tokens.document_ends(100), kind.layout == TokenLayout::kMegatron
                                             ? (std::vector<std::uint64_t>{3, 5, 6, 10})
                                             : std::vector<std::uint64_t>{});
  }
}

TEST_F(TokenFiles, longer_than_a_block_are_read_at_any_place) {
  std::vector<std::int32_t> expected(200'000);
  std::iota(expected.begin(), expected.end(), 70'000);
  write("tokens.bin", llm_c_file(expected, 4));
  EXPECT_EQ(read(TokenLayout::kLlmC), expected);
  const TokenFile tokens(file("tokens.bin"), TokenLayout::kLlmC);
  std::vector<std::int32_t> one(1);
  for (const std::uint64_t at : {0u, 16'383u, 16'384u, 199'999u}) {
    tokens.read(at, one);
    EXPECT_EQ(one[0], expected[at]);
  }
}

TEST_F(TokenFiles, of_every_type_of_integer_that_megatron_has) {
  for (const auto& [code, width] :
       {std::pair(1, 1), std::pair(2, 1), std::pair(3, 2), std::pair(4, 4), std::pair(5, 8)}) {
    write("tokens.bin", stored_tokens({7, 127, 0}, width));
    write("tokens.idx", megatron_index({1, 2}, {0, 2}, code, width));
    EXPECT_EQ(read(TokenLayout::kMegatron), (std::vector<std::int32_t>{7, 127, 0})) << code;
  }
  for (const auto& [code, width] : {std::pair(0, 2), std::pair(6, 8), std::pair(7, 4)}) {
    write("tokens.bin", stored_tokens({7, 127, 0}, width));
    write("tokens.idx", megatron_index({1, 2}, {0, 2}, code, width));
    EXPECT_NE(error_of([&] { read(TokenLayout::kMegatron); }), "") << code;
  }
}

TEST_F(TokenFiles, name_the_place_of_a_token_that_is_no_id) {
  Bytes wide = llm_c_file(std::vector<std::int32_t>(40'000, 5), 4);
  wide[1024 + 4 * 30'000 + 3] = std::byte{0x80};  // beyond int32
  write("tokens.bin", wide);
  EXPECT_EQ(error_of([&] { read(TokenLayout::kLlmC); }),
            file("tokens.bin") +
                ": token 2147483653 at position 30000 is negative or beyond int32; the file is "
                "damaged");
  Bytes long_ones;
  for (const std::int64_t token : {std::int64_t{5}, std::int64_t{1} << 32})
    put(long_ones, token, 8);
  write("tokens.bin", long_ones);
  write("tokens.idx", megatron_index({2}, {0, 1}, 5, 8));
  EXPECT_NE(error_of([&] { read(TokenLayout::kMegatron); }).find("4294967296 at position 1"),
            std::string::npos);
  write("tokens.bin", stored_tokens({5, -3}, 4));
  write("tokens.idx", megatron_index({2}, {0, 1}, 4, 4));
  EXPECT_NE(error_of([&] { read(TokenLayout::kMegatron); }).find("token -3 at position 1"),
            std::string::npos);
}

TEST_F(TokenFiles, that_become_shorter_in_use_are_an_error_naming_them) {
  std::vector<std::int32_t> expected(10'000);
  std::iota(expected.begin(), expected.end(), 0);
  const std::string path = file("tokens.bin");
  write("tokens.bin", llm_c_file(expected, 2));
  const TokenFile tokens(path, TokenLayout::kLlmC);
  std::filesystem::resize_file(path, 1024 + 2 * 100 + 1);
  std::vector<std::int32_t> out(100);
  tokens.read(0, out);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), expected.begin()));
  for (const std::uint64_t first : {1u, 100u, 9'900u}) {
    EXPECT_NE(error_of([&] { tokens.read(first, out); }).find(path), std::string::npos);
  }
}

TEST_F(TokenFiles, of_any_other_length_are_an_error) {
  for (const TokenKind& kind : kTokenKinds) {
    std::filesystem::remove(file("tokens.idx"));
    const Documents documents = example_documents(kind.width);
    for (const auto& [ending, whole] : token_files(kind.layout, kind.width, documents)) {
      write_all(kind, documents);
      for (std::size_t left = whole.size() + 9; left > 0; --left) {
        const std::size_t bytes = left - 1;
        std::filesystem::resize_file(file("tokens" + ending), bytes);
        if (bytes == whole.size()) continue;
        const std::string error = error_of([&] { read(kind.layout); });
        // Any even number of bytes is a file of nanoGPT.
        const bool is_whole = kind.layout == TokenLayout::kNanogpt && bytes > 0 && bytes % 2 == 0;
        EXPECT_EQ(error.find(file("tokens.")) == 0, !is_whole)
            << kind.name() << ending << " of " << bytes << " bytes: " << error;
      }
    }
  }
}

TEST_F(TokenFiles, of_llm_c_with_a_flipped_bit_in_the_header_are_an_error_or_the_same_tokens) {
  for (const int width : {2, 4}) {
    const std::vector<std::int32_t> expected = joined(example_documents(width));
    write("tokens.bin", llm_c_file(expected, width));
    with_every_bit("tokens.bin", 1024, [&](std::size_t bit) {
      std::vector<std::int32_t> found;
      const std::string error = error_of([&] { found = read(TokenLayout::kLlmC); });
      // Magic, version and count are 96 bits; what follows says nothing of the tokens.
      if (bit < 96) {
        EXPECT_EQ(error.find(file("tokens.bin")), 0u) << bit << ": " << error;
      } else {
        EXPECT_EQ(found, expected) << bit << ": " << error;
      }
    });
  }
}

// What no one can tell from another file: where a document begins between its neighbours. Megatron
// itself writes documents of no sequence and of several. The tokens are the same all the time.
TEST_F(TokenFiles, of_megatron_with_a_flipped_bit_in_the_index_are_an_error_or_the_same_tokens) {
  for (const int width : {2, 4}) {
    const Documents documents = example_documents(width);
    write_all({TokenLayout::kMegatron, width}, documents);
    const std::size_t begins_at = 34 + 12 * documents.size();
    std::size_t others = 0;
    with_every_bit("tokens.idx", begins_at + 8 * 5, [&](std::size_t bit) {
      std::vector<std::int32_t> found;
      const std::string error = error_of([&] { found = read(TokenLayout::kMegatron); });
      if (!error.empty()) {
        EXPECT_EQ(error.find(file("tokens.")), 0u) << bit << ": " << error;
        return;
      }
      EXPECT_EQ(found, joined(documents)) << bit;
      // One of the middle begins: 1, 2, 3 of 0 to 4.
      EXPECT_GE(bit, 8 * (begins_at + 8)) << bit;
      EXPECT_LT(bit, 8 * (begins_at + 32)) << bit;
      ++others;
    });
    EXPECT_EQ(others, 3u) << "1 as 0, 2 as 3, and 3 as 2";
  }
}

TEST_F(TokenFiles, of_megatron_whose_index_contradicts_itself_are_an_error) {
  write("tokens.bin", stored_tokens({1, 2, 3}, 2));
  const auto expect_error = [&](const char* what, Bytes index) {
    write("tokens.idx", index);
    const std::string error = error_of([&] { read(TokenLayout::kMegatron); });
    EXPECT_EQ(error.find(file("tokens.idx")), 0u) << what << ": " << error;
  };
  expect_error("fewer tokens", megatron_index({1, 1}, {0, 2}, 8, 2));
  expect_error("more tokens", megatron_index({1, 3}, {0, 2}, 8, 2));
  expect_error("tokens beyond all bounds", megatron_index({3, 2147483647}, {0, 2}, 8, 2));
  expect_error("a negative length", megatron_index({4, -1}, {0, 2}, 8, 2));
  expect_error("wider tokens", megatron_index({1, 2}, {0, 2}, 4, 4));
  expect_error("pointers of another width", megatron_index({1, 2}, {0, 2}, 8, 4));
  expect_error("no documents", megatron_index({1, 2}, {}, 8, 2));
  expect_error("a first document that begins late", megatron_index({1, 2}, {1, 2}, 8, 2));
  expect_error("documents that end early", megatron_index({1, 2}, {0, 1}, 8, 2));
  expect_error("documents that end late", megatron_index({1, 2}, {0, 3}, 8, 2));
  expect_error("documents that go back", megatron_index({1, 2}, {0, 2, 1, 2}, 8, 2));
  expect_error("a negative document", megatron_index({1, 2}, {0, -1, 2}, 8, 2));
  Bytes counts = megatron_index({1, 2}, {0, 2}, 8, 2);
  for (const std::size_t at : {18, 26}) {  // counts whose product with a width overflows
    for (const int byte : {0x10, 0x20, 0x40, 0x80, 0xff}) {
      Bytes broken = counts;
      broken[at + 7] = static_cast<std::byte>(byte);
      expect_error("a huge count", broken);
    }
  }
  write("tokens.bin", {});
  expect_error("no tokens", megatron_index({0, 0}, {0, 2}, 8, 2));
  expect_error("nothing at all", megatron_index({}, {0}, 8, 2));
  std::filesystem::remove(file("tokens.idx"));
  EXPECT_NE(error_of([&] { read(TokenLayout::kMegatron); }).find(file("tokens.idx")),
            std::string::npos);
}

TEST_F(TokenFiles, of_megatron_have_documents_of_several_sequences_or_none) {
  write("tokens.bin", stored_tokens({1, 2, 3, 4, 5, 6}, 2));
  // Documents of 2 sequences, of none, of an empty one, and of one.
  write("tokens.idx", megatron_index({1, 2, 0, 3}, {0, 2, 2, 3, 4}, 8, 2));
  const TokenFile tokens(file("tokens.bin"), TokenLayout::kMegatron);
  EXPECT_EQ(tokens.document_ends(100), (std::vector<std::uint64_t>{3, 6}));
}

TEST_F(TokenFiles, of_many_documents_give_the_ends_of_some_spread_over_all) {
  constexpr std::size_t kDocuments = 50'000;  // more than one block of numbers
  std::vector<std::int64_t> begins(kDocuments + 1);
  std::iota(begins.begin(), begins.end(), std::int64_t{0});
  write("tokens.bin", Bytes(2 * 2 * kDocuments));
  write("tokens.idx", megatron_index(std::vector<std::int32_t>(kDocuments, 2), begins, 8, 2));
  const TokenFile tokens(file("tokens.bin"), TokenLayout::kMegatron);
  std::vector<std::uint64_t> all = tokens.document_ends(kDocuments);
  ASSERT_EQ(all.size(), kDocuments);
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], 2 * (i + 1));
  EXPECT_EQ(tokens.document_ends(3),
            (std::vector<std::uint64_t>{2 * 16'667, 2 * 33'334, 2 * 50'000}));
  EXPECT_EQ(tokens.document_ends(1), (std::vector<std::uint64_t>{2 * 50'000}));
  EXPECT_LE(tokens.document_ends(777).size(), 777u);
}

TEST_F(TokenFiles, of_other_layouts_are_not_taken_for_those_of_nanogpt) {
  write_all({TokenLayout::kLlmC, 2}, example_documents(2));
  EXPECT_NE(error_of([&] { read(TokenLayout::kNanogpt); }).find("llm.c"), std::string::npos);
  write_all({TokenLayout::kMegatron, 2}, example_documents(2));
  EXPECT_NE(error_of([&] { read(TokenLayout::kNanogpt); }).find(file("tokens.idx")),
            std::string::npos);
}

TEST_F(TokenFiles, are_known_by_their_first_bytes) {
  write("tokens.bin", llm_c_file({1}, 2));
  EXPECT_TRUE(io::is_llm_c_shard(file("tokens.bin")));
  write("tokens.bin", llm_c_file({1}, 4));
  EXPECT_TRUE(io::is_llm_c_shard(file("tokens.bin")));
  EXPECT_FALSE(io::has_megatron_index(file("tokens.bin")));
  write("tokens.idx", stored_tokens({1, 2, 3, 4, 5}, 2));
  EXPECT_FALSE(io::has_megatron_index(file("tokens.bin")));
  write_all({TokenLayout::kMegatron, 2}, example_documents(2));
  EXPECT_FALSE(io::is_llm_c_shard(file("tokens.bin")));
  EXPECT_TRUE(io::has_megatron_index(file("tokens.bin")));
  EXPECT_FALSE(io::has_megatron_index(file("tokens.idx"))) << "an index has none";
  EXPECT_FALSE(io::is_llm_c_shard(directory_.path()));
}

TEST(TokenBytes, are_those_that_the_programs_of_a_layout_choose) {
  EXPECT_EQ(io::token_bytes_for(TokenLayout::kLlmC, 65'536), 2);
  EXPECT_EQ(io::token_bytes_for(TokenLayout::kLlmC, 65'537), 4);
  EXPECT_EQ(io::token_bytes_for(TokenLayout::kNanogpt, 65'536), 2);
  EXPECT_THROW(io::token_bytes_for(TokenLayout::kNanogpt, 65'537), io::Error);
  EXPECT_EQ(io::token_bytes_for(TokenLayout::kMegatron, 65'499), 2);
  EXPECT_EQ(io::token_bytes_for(TokenLayout::kMegatron, 65'500), 4);
}

}  // namespace
}  // namespace mneme::test
