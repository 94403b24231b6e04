// Training text as bytes: one file, or all files of a folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace mneme::io {

struct TextSourceOptions {
  // Of a folder, only files that end in one of these (".txt"); all files when empty.
  std::vector<std::string> extensions;
  // More text than this is an Error, before any of it is read.
  std::uint64_t max_bytes = std::numeric_limits<std::uint64_t>::max();
};

struct TextFile {
  std::string path;
  std::uint64_t begin = 0;  // bytes from the start of the text
  std::uint64_t end = 0;
};

struct TextSource {
  std::vector<std::byte> bytes;  // of all files, one behind the other
  std::vector<TextFile> files;   // in the order of the bytes; empty files are left out
};

// A text file, or the regular files of a folder and all below it, sorted by path. Throws Error when
// they cannot be listed.
std::vector<std::string> list_text_files(const std::string& path,
                                         const TextSourceOptions& options = {});

// Reads a text file, or the regular files of a folder and all below it, sorted by path. Throws
// Error when something cannot be read or there is no text at all.
TextSource read_text_source(const std::string& path, const TextSourceOptions& options = {});

}  // namespace mneme::io
