// Input: how to read it, and a line of JSON.
#include "text/corpus/json_record.h"

#include "tests/fuzz/fuzz.h"
#include "text/corpus/raw_batch.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mneme;
  fuzz::Input input(data, size);
  text::JsonRecordOptions options;
  if (input.byte() % 2 == 1) options.invalid_utf8 = text::InvalidUtf8::kReplace;
  text::JsonRecord record(options);
  const std::string path = "x.jsonl";
  // Twice, since a record keeps its memory.
  for (int i = 0; i < 2; ++i) {
    fuzz::allow_error([&] {
      std::string line(input.rest());
      line.append(text::RawBatch::kPadding, '\0');
      const std::string_view json = std::string_view(line).substr(0, input.rest().size());
      if (text::JsonRecord::is_empty(json)) return;
      CHECK(!io::find_invalid_utf8(record.text_of(json, path, 1)));
    });
  }
  return 0;
}
