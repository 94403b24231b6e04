// What the writers of all layouts have in common: the file of the tokens, and where they stand.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/partial_file.h"
#include "io/token_type.h"
#include "io/token_writer.h"

namespace mneme::io {

// The names of a writer's files.
std::string partial_tokens_path(const std::string& path);

class BasicTokenWriter : public TokenWriter {
 public:
  std::uint64_t max_tokens() const override;
  void append(std::span<const std::int32_t> ids) final;
  void end_document() final;
  void sync() final;
  TokenWriterState state() const final { return state_; }
  void finish() final;

 protected:
  // front_bytes: before the first token, zeros until complete().
  BasicTokenWriter(Disk& disk, const TokenWriterOptions& options, TokenType type,
                   std::uint64_t front_bytes);

  virtual std::uint64_t max_document_tokens() const { return max_tokens(); }
  // A document of that many tokens has ended.
  virtual void add_document(std::uint64_t) {}
  // Of the layout's other files.
  virtual void sync_others() {}
  // Everything is synced; what is missing is written, durably, before the tokens take their name.
  virtual void complete(PartialFile&) {}
  // The file has its name.
  virtual void clean_up() {}

  Disk& disk() { return disk_; }
  const std::string& path() const { return path_; }
  TokenType type() const { return type_; }

 private:
  // Runs a change of the files, after which the writer is of no use when it fails.
  template <typename Body>
  void change(const Body& body);
  void check(std::span<const std::int32_t> ids) const;
  void close_document();

  Disk& disk_;
  std::string path_;
  TokenType type_;
  TokenWriterState state_;
  PartialFile tokens_;
  std::vector<std::byte> stored_;
  bool broken_ = false;
  bool finished_ = false;
};

}  // namespace mneme::io
