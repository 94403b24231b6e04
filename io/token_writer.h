// Writes files of tokens, in any of the layouts, in bounded memory, so that the work can go on
// after the process was killed.
//
// While a file is written its tokens are in `path`.partial (of megatron, the lengths of its
// documents in `path`.lengths.partial besides). It takes its name in finish(), whole and durable.
//
//   writer = make_token_writer(disk, {layout, path, token_bytes});
//   loop:  writer->append(ids); writer->end_document();
//   now and then:  writer->sync(); write down writer->state();
//   writer->finish();
//
// After a kill, make_token_writer() with the state that was written down last cuts off what was
// appended later; the caller appends that again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "io/disk.h"
#include "io/token_layout.h"

namespace mneme::io {

// Where a writer stands: all that it needs to go on, beside its partial files.
struct TokenWriterState {
  std::uint64_t tokens = 0;       // appended
  std::uint64_t documents = 0;    // ended
  std::uint64_t open_tokens = 0;  // of the document that has not ended yet
  bool operator==(const TokenWriterState&) const = default;
};

struct TokenWriterOptions {
  TokenLayout layout = TokenLayout::kLlmC;
  std::string path;     // NAME.bin
  int token_bytes = 2;  // as token_bytes_for(): 2, or 4 of llm.c (uint32) and megatron (int32)
  std::optional<TokenWriterState> resume;  // to go on from; none to begin
};

// After an Error of append(), end_document(), sync() or finish() a writer can only be destroyed;
// the work goes on from the last state that was synced. The exceptions are ids that do not fit and
// too many tokens: then nothing was appended.
class TokenWriter {
 public:
  TokenWriter() = default;
  TokenWriter(const TokenWriter&) = delete;
  TokenWriter& operator=(const TokenWriter&) = delete;
  // Leaves the partial files where they are, to be resumed from, or removed by
  // remove_partial_tokens().
  virtual ~TokenWriter() = default;

  // The most tokens that the file can hold. Who has more starts another file.
  virtual std::uint64_t max_tokens() const = 0;
  // Throws Error for an id that is negative or wider than a token of this file, beyond
  // max_tokens(), and on a full disk.
  virtual void append(std::span<const std::int32_t> ids) = 0;
  // A document ends here, if any token was appended since the last one. Layouts without documents
  // only count it.
  virtual void end_document() = 0;
  // Makes everything appended durable in the partial files.
  virtual void sync() = 0;
  // Of everything appended so far. One that is kept must be asked for behind a sync().
  virtual TokenWriterState state() const = 0;
  // Ends the document, writes headers, makes all of it durable and gives it its name. Throws Error
  // without any token. Nothing but the destructor may follow.
  virtual void finish() = 0;
};

// Begins a file, or goes on with one. `disk` must outlive the writer. Throws Error: to begin, when
// the file or a partial one is there already; to go on, when the partial files are gone or hold
// less than the state says. A file that was finished after the state was taken becomes partial
// again. One process at a time may write a file; whoever calls makes sure of that.
std::unique_ptr<TokenWriter> make_token_writer(Disk& disk, const TokenWriterOptions& options);

// Removes what an unfinished writer has left, if anything. REQUIRES: no writer is at work on it.
void remove_partial_tokens(Disk& disk, TokenLayout layout, const std::string& path);

}  // namespace mneme::io
