// Input: a layout, and a file of tokens; of Megatron's layout the index in front, by its length.
#include "io/token_file.h"

#include <cstdio>

#include "tests/fuzz/fuzz.h"
#include "tests/io/temporary_directory.h"

namespace {

void write(const std::string& path, std::string_view content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  CHECK(file != nullptr);
  CHECK(std::fwrite(content.data(), 1, content.size(), file) == content.size());
  CHECK(std::fclose(file) == 0);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  static const test::TemporaryDirectory folder;
  static const std::string path = folder.file("x.bin");
  fuzz::Input input(data, size);
  const auto layout = static_cast<io::TokenLayout>(input.byte() % 3);
  std::size_t index_bytes = 0;
  if (layout == io::TokenLayout::kMegatron) {
    index_bytes = input.byte();
    index_bytes |= std::size_t{input.byte()} << 8;
  }
  index_bytes = std::min(index_bytes, input.rest().size());
  write(io::megatron_index_path(path), input.rest().substr(0, index_bytes));
  write(path, input.rest().substr(index_bytes));
  io::has_megatron_index(path);
  fuzz::allow_error([&] {
    const io::TokenFile file(path, layout);
    for (const std::size_t most : {1, 3, 1000}) {
      const auto ends = file.document_ends(most);
      CHECK(ends.size() <= most);
      CHECK(std::ranges::is_sorted(ends));
      CHECK(layout != io::TokenLayout::kMegatron || ends.back() == file.token_count());
    }
    CHECK(file.token_count() <= size);
    std::vector<std::byte> stored(file.token_count() *
                                  static_cast<std::size_t>(file.token_bytes()));
    file.read_stored(0, stored);
    std::vector<std::int32_t> tokens(file.token_count());
    file.read(0, tokens);
    for (const std::int32_t token : tokens) CHECK(token >= 0);
  });
  return 0;
}
