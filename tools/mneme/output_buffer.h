// A stream buffer of a descriptor for output that must not hold up a program that was asked to
// stop: a reader that has stopped reading blocks a plain write for ever.
#pragma once

#include <functional>
#include <streambuf>
#include <string>

namespace mneme::tools {

class OutputBuffer final : public std::streambuf {
 public:
  // stop_requested is asked again and again while the descriptor takes nothing; once it is true,
  // what cannot be written now is given up. What is written to a terminal that has been closed is
  // nobody's and no failure: whom that shall stop gets SIGHUP. The descriptor stays open.
  OutputBuffer(int descriptor, std::function<bool()> stop_requested);
  OutputBuffer(const OutputBuffer&) = delete;
  OutputBuffer& operator=(const OutputBuffer&) = delete;

  // Why output was lost, an errno value: EAGAIN when it was given up for a stop; 0 while all of it
  // was written.
  int error() const { return error_; }

 protected:
  int_type overflow(int_type letter) override;
  std::streamsize xsputn(const char* text, std::streamsize count) override;
  int sync() override;

 private:
  bool wait_until_writable() const;

  int descriptor_;
  bool is_terminal_;
  std::function<bool()> stop_requested_;
  std::string pending_;
  int error_ = 0;
};

// Whether the descriptor is a pipe or a socket that nobody reads any more.
bool reader_is_gone(int descriptor);

// Whether the descriptor can be written to at all. Standard output that was closed when the program
// started is open for reading only (standard_descriptors.h).
bool is_writable(int descriptor);

}  // namespace mneme::tools
