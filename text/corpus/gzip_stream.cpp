#include <zlib.h>

#include <new>
#include <string>
#include <vector>

#include "io/check.h"
#include "text/corpus/byte_stream.h"

namespace mneme::text {
namespace {

constexpr std::size_t kGzipInputBytes = std::size_t{256} << 10;
constexpr int kWindowBitsOfGzip = 15 + 16;  // the largest window; gzip's header and no other

// Owns zlib's state.
class Inflater {
 public:
  Inflater() {
    if (inflateInit2(&stream_, kWindowBitsOfGzip) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }
  const z_stream& stream() const { return stream_; }

 private:
  z_stream stream_ = {};
};

class GzipStream : public ByteStream {
 public:
  explicit GzipStream(const Source& source) : file_(source), input_(kGzipInputBytes) {}

  std::size_t read(std::span<char> out) override {
    z_stream& stream = inflater_.stream();
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    while (stream.avail_out > 0) {
      if (stream.avail_in == 0 && !refill()) {
        if (is_between_) break;
        throw DamagedStream("the gzip file is cut short; fetch or compress it again");
      }
      inflate_some();
    }
    return out.size() - stream.avail_out;
  }

  std::uint64_t used_bytes() const override {
    return file_.read_bytes() - inflater_.stream().avail_in;
  }

 private:
  bool refill() {
    z_stream& stream = inflater_.stream();
    stream.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream.avail_in = static_cast<uInt>(file_.read(input_));
    return stream.avail_in > 0;
  }

  void inflate_some() {
    z_stream& stream = inflater_.stream();
    is_between_ = false;
    const int result = inflate(&stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      CHECK(inflateReset(&stream) == Z_OK);
      is_between_ = true;
      is_first_ = false;
    } else if (result == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      const std::string what = stream.msg != nullptr ? stream.msg : "wrong format";
      if (!is_first_ && what == "incorrect header check") {
        throw DamagedStream("bytes that are no gzip follow the compressed text; cut them off");
      }
      throw DamagedStream("the gzip data is damaged (" + what + "); fetch or compress it again");
    }
  }

  SourceFile file_;
  std::vector<char> input_;
  Inflater inflater_;
  bool is_first_ = true;     // member of the file
  bool is_between_ = false;  // the end of one member is behind, and nothing of another was seen
};

}  // namespace

std::unique_ptr<ByteStream> make_gzip_stream(const Source& source) {
  return std::make_unique<GzipStream>(source);
}

}  // namespace mneme::text
