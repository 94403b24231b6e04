// Input: how to read a file of a corpus, and its content: plain, or compressed as it stands. Read
// from any place in the middle, the rest is the same.
#include "tests/fuzz/fuzz.h"
#include "tests/text/corpus/corpus_files.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  static text::testing::CorpusFiles files;
  fuzz::Input input(data, size);
  const unsigned how = input.byte();
  text::testing::ReadSettings settings;
  text::CorpusOptions& options = settings.corpus;
  if (how & 1) options.invalid_utf8 = text::InvalidUtf8::kReplace;
  if (how & 2) options.document_separator = how & 4 ? "" : "---";
  if (how & 8) {
    // Small batches and parts, so that a short text has many.
    options.batch_bytes = 100;
    options.least_part_bytes = 8;
    options.most_part_bytes = 40;
    options.most_record_bytes = 1000;
  }
  std::string name = how & 16 ? "x.jsonl" : "x.txt";
  if (how & 32) name += how & 64 ? ".zst" : ".gz";
  const std::string path = files.put(name, std::string(input.rest()));
  fuzz::allow_error([&] {
    std::vector<text::CorpusPosition> positions;
    const auto whole = text::testing::read_corpus({path}, settings, &positions);
    for (const std::string& document : whole.documents) CHECK(!io::find_invalid_utf8(document));
    if (positions.empty()) return;
    settings.start = positions[positions.size() / 2];
    const auto rest = text::testing::read_corpus({path}, settings);
    CHECK(rest.parts.size() <= whole.parts.size());
    CHECK(std::equal(rest.parts.rbegin(), rest.parts.rend(), whole.parts.rbegin()));
  });
  return 0;
}
