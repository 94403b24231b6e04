#include "tools/report/gzip.h"

#include <zlib.h>

#include "io/error.h"

namespace mneme::report {
namespace {

// RFC 1952: magic, deflate, a comment (FCOMMENT), no time, no extra flags, unknown system.
constexpr std::string_view kFront("\x1f\x8b\x08\x10\0\0\0\0\0\xff", 10);

void append_little_endian(std::string& out, unsigned long value) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

}  // namespace

std::string gzip_mark(std::string_view comment) {
  std::string out(kFront);
  out += comment;
  return out + '\0';
}

std::string gzip_file(std::string_view content, std::string_view comment) {
  z_stream stream{};
  // A raw deflate stream: the header is ours.
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    io::fail("no memory to compress {} bytes", content.size());
  }
  std::string packed(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) io::fail("cannot compress {} bytes", content.size());
  std::string out = gzip_mark(comment) + packed;
  append_little_endian(out, crc32(0, reinterpret_cast<const Bytef*>(content.data()),
                                  static_cast<uInt>(content.size())));
  append_little_endian(out, static_cast<unsigned long>(content.size()));
  return out;
}

}  // namespace mneme::report
