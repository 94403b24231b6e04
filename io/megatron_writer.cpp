#include "io/megatron_writer.h"

#include <limits>
#include <optional>
#include <span>

#include "io/basic_token_writer.h"
#include "io/error.h"
#include "io/megatron_layout.h"
#include "io/sequential_file.h"

namespace mneme::io {
namespace {

template <typename T>
std::span<const std::byte> bytes_of_number(const T& number) {
  return std::as_bytes(std::span(&number, 1));
}

// The lengths of a file that was finished, as far as they are wanted, from its index.
void restore_lengths(Disk& disk, const std::string& path, std::uint64_t documents) {
  SequentialReader index(disk, megatron_index_path(path));
  if (index.size_bytes() < kMegatronHeaderBytes + documents * sizeof(std::int32_t)) {
    fail("{}: is not the index of the {} documents that were written; remove it and begin anew",
         megatron_index_path(path), documents);
  }
  MegatronHeader header;
  index.read(header);
  SequentialWriter lengths(disk, partial_lengths_path(path), documents * sizeof(std::int32_t));
  for (std::uint64_t i = 0; i < documents; ++i) {
    std::int32_t length = 0;
    index.read(std::as_writable_bytes(std::span(&length, 1)));
    lengths.append(bytes_of_number(length));
  }
  lengths.finish();
}

// An index without its tokens, or with more of them than there will be, must not stay.
void take_back_index(Disk& disk, const TokenWriterOptions& options) {
  const std::string index = megatron_index_path(options.path);
  if (!disk.exists(index)) return;
  if (!disk.exists(partial_lengths_path(options.path))) {
    restore_lengths(disk, options.path, options.resume->documents);
  }
  disk.remove(index);
  disk.sync_directory(directory_of(index));
}

std::optional<std::uint64_t> kept_lengths(const TokenWriterOptions& options) {
  if (!options.resume) return std::nullopt;
  return options.resume->documents * sizeof(std::int32_t);
}

class MegatronWriter final : public BasicTokenWriter {
 public:
  MegatronWriter(Disk& disk, const TokenWriterOptions& options)
      : BasicTokenWriter(disk, options,
                         options.token_bytes == 2 ? TokenType::kUint16 : TokenType::kInt32, 0),
        lengths_(disk, partial_lengths_path(options.path), kept_lengths(options)) {}

 protected:
  std::uint64_t max_document_tokens() const override {
    return std::numeric_limits<std::int32_t>::max();
  }
  void add_document(std::uint64_t tokens) override {
    lengths_.append(bytes_of_number(static_cast<std::int32_t>(tokens)));
  }
  void sync_others() override { lengths_.sync(); }
  void complete(PartialFile&) override {
    lengths_.close();
    write_index();
  }
  void clean_up() override { disk().remove(partial_lengths_path(path())); }

 private:
  void write_index();

  PartialFile lengths_;
};

void MegatronWriter::write_index() {
  const std::string from = partial_lengths_path(path());
  const std::uint64_t documents = state().documents;
  const MegatronHeader header = make_megatron_header(type(), documents);
  SequentialWriter index(disk(), megatron_index_path(path()),
                         header.size() + 20 * documents + sizeof(std::int64_t));
  index.append(header);
  SequentialReader lengths(disk(), from);
  for (std::uint64_t i = 0; i < documents; ++i) {
    std::int32_t length = 0;
    lengths.read(std::as_writable_bytes(std::span(&length, 1)));
    index.append(bytes_of_number(length));
  }
  std::int64_t pointer = 0;
  SequentialReader again(disk(), from);
  for (std::uint64_t i = 0; i < documents; ++i) {
    std::int32_t length = 0;
    again.read(std::as_writable_bytes(std::span(&length, 1)));
    index.append(bytes_of_number(pointer));
    pointer += std::int64_t{length} * bytes_of(type());
  }
  if (static_cast<std::uint64_t>(pointer) !=
      state().tokens * static_cast<std::uint64_t>(bytes_of(type()))) {
    fail("{}: its lengths are not those of the {} tokens beside it; remove both and begin anew",
         from, state().tokens);
  }
  for (std::uint64_t i = 0; i <= documents; ++i) {
    index.append(bytes_of_number(static_cast<std::int64_t>(i)));
  }
  index.finish();
}

}  // namespace

std::string partial_lengths_path(const std::string& path) {
  return path + ".lengths.partial";
}

std::unique_ptr<TokenWriter> make_megatron_writer(Disk& disk, const TokenWriterOptions& options) {
  if (options.resume) take_back_index(disk, options);
  return std::make_unique<MegatronWriter>(disk, options);
}

}  // namespace mneme::io
