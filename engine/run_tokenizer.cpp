#include "engine/run_tokenizer.h"

#include <span>

#include "engine/dataset_folder.h"
#include "io/checksum.h"
#include "io/error.h"

namespace mneme::engine {
namespace {

bool has_file(const text::Tokenizer* tokenizer) {
  return tokenizer != nullptr && !tokenizer->file_name().empty();
}

std::uint64_t checksum_of(const io::Disk& disk, const std::string& path) {
  return io::checksum64(std::span<const std::byte>(disk.read_file(path, kMostTokenizerBytes)));
}

}  // namespace

std::unique_ptr<text::Tokenizer> open_tokenizer(const std::string& path,
                                                const std::string& encoding,
                                                std::int64_t vocabulary) {
  auto tokenizer = text::open_tokenizer(path, encoding);
  if (tokenizer->vocabulary() > vocabulary) {
    io::fail("data.vocabulary is {}, and data.tokenizer {} has ids up to {}; set it to {}",
             vocabulary, path, tokenizer->vocabulary() - 1, tokenizer->vocabulary());
  }
  return tokenizer;
}

std::unique_ptr<text::Tokenizer> open_run_tokenizer(const DataConfig& data) {
  const DataConfig resolved = data.tokenizer.empty() ? resolve_dataset(data) : data;
  if (!resolved.tokenizer.empty()) {
    return open_tokenizer(resolved.tokenizer, resolved.tokenizer_encoding, resolved.vocabulary);
  }
  return resolved.vocabulary == 256 ? text::make_byte_tokenizer() : nullptr;
}

std::unique_ptr<text::Tokenizer> open_kept_tokenizer(const DataConfig& data) {
  DataConfig alone = data;
  alone.path.clear();
  return open_run_tokenizer(alone);
}

std::optional<TokenizerRecord> record_tokenizer(const text::Tokenizer* tokenizer,
                                                const DataConfig& data) {
  if (!has_file(tokenizer)) return {};
  const DataConfig resolved = data.tokenizer.empty() ? resolve_dataset(data) : data;
  return TokenizerRecord{tokenizer->file_name(), resolved.tokenizer_encoding,
                         io::checksum64(tokenizer->file_content())};
}

void check_tokenizer_place(const io::Disk& disk, const std::string& run_directory,
                           const text::Tokenizer* tokenizer) {
  if (!has_file(tokenizer)) return;
  const std::string path = run_directory + "/" + tokenizer->file_name();
  if (!disk.exists(path)) return;
  if (!disk.is_directory(path) &&
      checksum_of(disk, path) == io::checksum64(tokenizer->file_content())) {
    return;
  }
  io::fail(
      "{}: is there already, and is not the run's tokenizer; move it away, or use another "
      "run.directory",
      path);
}

void keep_tokenizer(const io::Disk& disk, RunClaim& claim, const std::string& run_directory,
                    const text::Tokenizer* tokenizer) {
  // Somebody may have put another one there while the data was read.
  check_tokenizer_place(disk, run_directory, tokenizer);
  if (!has_file(tokenizer)) return;
  const std::string name = tokenizer->file_name();
  if (disk.exists(run_directory + "/" + name)) return;
  claim.add(name, std::as_bytes(std::span(tokenizer->file_content())));
}

std::string kept_tokenizer_path(const std::string& run_directory, const TokenizerRecord& record) {
  return run_directory + "/" + record.file;
}

DataConfig with_kept_tokenizer(const io::Disk& disk, const std::string& run_directory,
                               const TokenizerRecord& record, const DataConfig& recorded,
                               DataConfig wanted) {
  const std::string path = kept_tokenizer_path(run_directory, record);
  if (wanted.tokenizer != recorded.tokenizer &&
      checksum_of(disk, wanted.tokenizer) != record.checksum) {
    io::fail(
        "data.tokenizer {}: the run's tokenizer is another one, {}; leave the key away, or train a "
        "new run",
        wanted.tokenizer, path);
  }
  if (wanted.tokenizer_encoding != recorded.tokenizer_encoding &&
      wanted.tokenizer_encoding != record.encoding) {
    io::fail(
        "data.tokenizer_encoding {}: that of the run's tokenizer is {}; leave the key away, or "
        "train a new run",
        wanted.tokenizer_encoding, record.encoding);
  }
  wanted.tokenizer = path;
  wanted.tokenizer_encoding = record.encoding;
  return wanted;
}

void check_kept_tokenizer(const io::Disk& disk, const std::string& run_directory,
                          const TokenizerRecord& record) {
  const std::string path = kept_tokenizer_path(run_directory, record);
  if (!disk.exists(path)) {
    io::fail("{}: the run's tokenizer is missing; put back the file that the run was started with",
             path);
  }
  if (checksum_of(disk, path) == record.checksum) return;
  io::fail("{}: is not the tokenizer that the run was started with; put that one back", path);
}

}  // namespace mneme::engine
