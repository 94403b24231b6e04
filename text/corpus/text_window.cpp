#include "text/corpus/text_window.h"

#include <simdjson.h>

#include <algorithm>

#include "io/check.h"
#include "io/error.h"
#include "io/utf8.h"

namespace mneme::text {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{256} << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool begins_with_mark(const Source& source) {
  char front[kByteOrderMark.size()];
  const auto stream = open_byte_stream(source);
  const std::size_t bytes = stream->read(front);
  return std::string_view(front, bytes) == kByteOrderMark;
}

}  // namespace

std::uint64_t count_lines(std::string_view text) {
  return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

TextWindow::TextWindow(const Source& source, Content content, InvalidUtf8 invalid_utf8,
                       const Start& start, const std::stop_token& stop)
    : source_(source), content_(content), invalid_utf8_(invalid_utf8) {
  // What was replaced has another length, so that only reading finds a place behind it.
  const bool bytes_are_text = content == Content::kBytes || invalid_utf8 == InvalidUtf8::kError;
  if (start.offset > 0 && source.compression == Compression::kNone && bytes_are_text) {
    const std::uint64_t mark = begins_with_mark(source) ? kByteOrderMark.size() : 0;
    stream_ = open_byte_stream(source, mark + start.offset);
    offset_ = start.offset;
    line_ = start.line;
    return;
  }
  stream_ = open_byte_stream(source);
  drop_byte_order_mark();
  skip_to(start, stop);
}

void TextWindow::drop_byte_order_mark() {
  if (ensure(kByteOrderMark.size()).starts_with(kByteOrderMark)) front_ += kByteOrderMark.size();
}

void TextWindow::skip_to(const Start& start, const std::stop_token& stop) {
  while (offset_ < start.offset && !stop.stop_requested()) {
    const std::size_t wanted = std::min<std::uint64_t>(start.offset - offset_, kBlockBytes);
    const std::size_t bytes = std::min(ensure(wanted).size(), wanted);
    if (bytes == 0) {
      io::fail("{}: ends before byte {} of its text, where the work stopped; start over",
               source_.path, start.offset);
    }
    consume(bytes);
  }
}

std::string_view TextWindow::there() const {
  return std::string_view(buffer_).substr(front_, checked_ - front_);
}

std::string_view TextWindow::ensure(std::size_t bytes) {
  while (checked_ - front_ < bytes && !is_at_end_) read_block();
  return there();
}

void TextWindow::consume(std::size_t bytes) {
  CHECK(bytes <= checked_ - front_);
  line_ += count_lines(there().substr(0, bytes));
  offset_ += bytes;
  front_ += bytes;
}

std::uint64_t TextWindow::line_at(std::size_t bytes) const {
  return line_ + count_lines(there().substr(0, bytes));
}

void TextWindow::read_block() {
  // Moving what is left costs no more than what was consumed.
  if (front_ > buffer_.size() / 2) {
    buffer_.erase(0, front_);
    checked_ -= front_;
    front_ = 0;
  }
  const std::size_t old_size = buffer_.size();
  buffer_.resize(old_size + kBlockBytes);
  std::size_t bytes = 0;
  try {
    bytes = stream_->read(std::span(buffer_).subspan(old_size));
  } catch (const DamagedStream& damage) {
    buffer_.resize(old_size);
    io::fail("{}: about line {}: {}", source_.path, line_at(checked_ - front_), damage.what());
  }
  buffer_.resize(old_size + bytes);
  is_at_end_ = bytes < kBlockBytes;
  if (is_at_end_ && stream_->used_bytes() != source_.bytes) {
    io::fail("{}: has changed its length while it was read; start over when nothing writes it",
             source_.path);
  }
  if (content_ == Content::kBytes) {
    checked_ = buffer_.size();
  } else {
    validate();
  }
}

void TextWindow::validate() {
  const std::string_view fresh = std::string_view(buffer_).substr(checked_);
  const std::size_t later = is_at_end_ ? 0 : io::incomplete_utf8(fresh);
  const std::string_view whole = fresh.substr(0, fresh.size() - later);
  if (simdjson::validate_utf8(whole.data(), whole.size())) {
    checked_ += whole.size();
    return;
  }
  if (invalid_utf8_ == InvalidUtf8::kError) {
    const std::size_t at = io::find_invalid_utf8(whole).value_or(0);
    io::fail(
        "{}: line {}: byte 0x{:02x} is no UTF-8; convert the file (iconv), or replace such bytes "
        "with --invalid-utf8 replace",
        source_.path, line_at(checked_ - front_) + count_lines(whole.substr(0, at)),
        static_cast<unsigned char>(whole[at]));
  }
  std::string valid;
  valid.reserve(whole.size() + 64);
  io::append_valid_utf8(whole, valid);
  const std::string rest(fresh.substr(whole.size()));
  buffer_.resize(checked_);
  buffer_ += valid;
  checked_ = buffer_.size();
  buffer_ += rest;
}

}  // namespace mneme::text
