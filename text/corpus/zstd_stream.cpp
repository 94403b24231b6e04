#include <zstd.h>
#include <zstd_errors.h>

#include <new>
#include <vector>

#include "io/check.h"
#include "text/corpus/byte_stream.h"

namespace mneme::text {
namespace {

constexpr int kMostWindowLog = 27;  // 128 MiB, what `zstd --long` makes

struct FreeZstdStream {
  void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
};

class ZstdStream : public ByteStream {
 public:
  explicit ZstdStream(const Source& source)
      : file_(source), buffer_(ZSTD_DStreamInSize()), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
    CHECK(ZSTD_isError(
              ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kMostWindowLog)) == 0);
  }

  std::size_t read(std::span<char> out) override {
    ZSTD_outBuffer output = {out.data(), out.size(), 0};
    while (output.pos < output.size) {
      if (input_.pos == input_.size && !is_full_ && !refill()) {
        if (is_between_) break;
        throw DamagedStream("the zstd file is cut short; fetch or compress it again");
      }
      const std::size_t result = ZSTD_decompressStream(stream_.get(), &output, &input_);
      if (ZSTD_isError(result) != 0) refuse(result);
      is_between_ = result == 0;
      // More may wait inside, whether or not there is input.
      is_full_ = output.pos == output.size && !is_between_;
    }
    return output.pos;
  }

  std::uint64_t used_bytes() const override {
    return file_.read_bytes() - (input_.size - input_.pos);
  }

 private:
  bool refill() {
    input_ = {buffer_.data(), file_.read(buffer_), 0};
    return input_.size > 0;
  }

  [[noreturn]] static void refuse(std::size_t result) {
    switch (ZSTD_getErrorCode(result)) {
      case ZSTD_error_memory_allocation:
        throw std::bad_alloc();
      case ZSTD_error_frameParameter_windowTooLarge:
        throw DamagedStream(
            "decompressing this needs more than 128 MiB; compress it again with zstd --long=27 or "
            "less");
      default:
        throw DamagedStream(std::string("the zstd data is damaged (") + ZSTD_getErrorName(result) +
                            "); fetch or compress it again");
    }
  }

  SourceFile file_;
  std::vector<char> buffer_;
  std::unique_ptr<ZSTD_DStream, FreeZstdStream> stream_;
  ZSTD_inBuffer input_ = {nullptr, 0, 0};
  bool is_between_ = false;  // at the end of a frame
  bool is_full_ = false;     // the last call had no room for all that it had
};

}  // namespace

std::unique_ptr<ByteStream> make_zstd_stream(const Source& source) {
  return std::make_unique<ZstdStream>(source);
}

}  // namespace mneme::text
