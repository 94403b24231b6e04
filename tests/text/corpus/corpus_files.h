// A folder with files of a corpus, and what is read from them.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/check.h"
#include "tests/io/temporary_directory.h"
#include "text/corpus/corpus_reader.h"
#include "text/prepare/batch_encoder.h"
#include "text/tokenizer.h"

namespace mneme::text::testing {

inline std::string gzipped(const std::string& text) {
  z_stream stream = {};
  CHECK(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string zstandard(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

class CorpusFiles {
 public:
  std::string put(const std::string& name, const std::string& content) {
    const std::string path = folder_.file(name);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  std::string path(const std::string& name) const { return folder_.file(name); }
  const std::string& folder() const { return folder_.path(); }

 private:
  test::TemporaryDirectory folder_;
};

struct CorpusRead {
  std::vector<std::string> documents;
  std::vector<std::string> parts;  // of them
  std::uint64_t empty_records = 0;
  bool is_roughly_cut = false;
};

struct ReadSettings {
  CorpusOptions corpus;
  std::string field = "text";
  CorpusPosition start;
};

// Cuts as the tokenizer of bytes does.
inline std::size_t cut_anywhere(std::string_view text, std::size_t from) {
  return from < text.size() ? from : std::string_view::npos;
}

// All documents of the inputs, as they reach a tokenizer.
inline CorpusRead read_corpus(const std::vector<std::string>& inputs, ReadSettings settings = {},
                              std::vector<CorpusPosition>* positions = nullptr) {
  if (!settings.corpus.find_cut) settings.corpus.find_cut = cut_anywhere;
  const SourceList list = find_sources(inputs);
  CorpusReader reader(list, settings.corpus, settings.start, {});
  const auto tokenizer = make_byte_tokenizer();
  BatchEncoderOptions options;
  options.json = {settings.field, settings.corpus.most_record_bytes, settings.corpus.invalid_utf8};
  BatchEncoder encoder(*tokenizer, options);
  CorpusRead read;
  while (const auto batch = reader.next()) {
    const EncodedBatch encoded = encoder.encode(*batch);
    std::size_t begin = 0;
    for (const EncodedPart& part : encoded.parts) {
      const std::string text(encoded.tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                             encoded.tokens.begin() + static_cast<std::ptrdiff_t>(part.tokens_end));
      begin = part.tokens_end;
      read.parts.push_back(text);
      if (part.begins_document || read.documents.empty()) {
        read.documents.push_back(text);
      } else {
        read.documents.back() += text;
      }
    }
    read.empty_records += encoded.empty_records;
    read.is_roughly_cut |= encoded.roughly_cut != nullptr;
    if (positions != nullptr) positions->push_back(encoded.next);
  }
  return read;
}

}  // namespace mneme::text::testing
