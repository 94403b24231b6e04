#include "engine/config_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "io/errno_text.h"
#include "io/error.h"
#include "io/posix_file.h"
#include "io/retry.h"
#include "io/utf8.h"

namespace mneme::engine {
namespace {

// Position behind a string of TOML that starts at `begin` with a quote.
std::size_t behind_string(std::string_view text, std::size_t begin) {
  const char quote = text[begin];
  const bool escapes = quote == '"';
  const std::string three(3, quote);
  const bool multi_line = text.substr(begin, 3) == three;
  std::size_t at = begin + (multi_line ? 3 : 1);
  for (; at < text.size(); ++at) {
    if (escapes && text[at] == '\\') {
      ++at;
    } else if (!multi_line && text[at] == '\n') {
      return at;  // not closed, which the parser says
    } else if (!multi_line && text[at] == quote) {
      return at + 1;
    } else if (multi_line && text.substr(at, 3) == three) {
      at += 3;
      // Up to two quotes right before the end belong to the string.
      for (int i = 0; i < 2 && at < text.size() && text[at] == quote; ++i) ++at;
      return at;
    }
  }
  return text.size();
}

std::size_t line_of(std::string_view text, std::size_t position) {
  return 1 + static_cast<std::size_t>(std::ranges::count(text.substr(0, position), '\n'));
}

// The key that a line "key = value" of a section sets, as "section.key: "; empty where the lines
// do not say so plainly.
std::string key_at(std::string_view text, std::size_t position) {
  const auto trimmed = [](std::string_view part) {
    const std::size_t first = part.find_first_not_of(" \t");
    if (first == part.npos) return std::string_view();
    return part.substr(first, part.find_last_not_of(" \t\r") + 1 - first);
  };
  std::string section;
  for (std::size_t begin = 0; begin <= position;) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(text.substr(begin, end - begin));
    if (position <= end) {
      const std::size_t equals = line.find('=');
      const std::string key(trimmed(line.substr(0, std::min(equals, line.size()))));
      const bool plain = equals != line.npos && begin + equals < position && !key.empty() &&
                         !io::find_invalid_utf8(key) && key.find_first_of("#\"'{[") == key.npos;
      return plain ? fmt::format("{}{}: ", section, io::printable(key)) : "";
    }
    if (line.starts_with('[') && line.ends_with(']') && !io::find_invalid_utf8(line)) {
      section = io::printable(trimmed(line.substr(1, line.size() - 2))) + ".";
    }
    begin = end + 1;
  }
  return "";
}

void wait_for_input(int descriptor, const std::string& path) {
  struct pollfd waited = {descriptor, POLLIN, 0};
  if (::poll(&waited, 1, -1) < 0 && errno != EINTR) {
    io::fail("{}: cannot wait for the configuration: {}", path, io::errno_text(errno));
  }
}

}  // namespace

std::string read_config_file(const std::string& path) {
  // Not blocking: a pipe that nobody writes to would otherwise wait for ever in open.
  const io::Descriptor file(io::retry_interrupted(
      [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); }));
  if (file.get() < 0) {
    io::fail(
        "{}: cannot open the configuration: {}; name a TOML file such as "
        "configs/quickstart.toml",
        path, io::errno_text(errno));
  }
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) {
    io::fail("{}: cannot read the configuration: {}", path, io::errno_text(errno));
  }
  if (S_ISDIR(status.st_mode)) {
    io::fail("{}: a folder, not a configuration; name a TOML file", path);
  }
  std::string text;
  while (true) {
    char buffer[16384];
    const ssize_t bytes = ::read(file.get(), buffer, sizeof(buffer));
    if (bytes == 0) break;
    if (bytes < 0 && errno == EAGAIN) {
      wait_for_input(file.get(), path);
    } else if (bytes < 0 && errno != EINTR) {
      io::fail(
          "{}: cannot read the configuration: {}; copy it to a TOML file on another disk and "
          "name that one",
          path, io::errno_text(errno));
    } else if (bytes > 0) {
      text.append(buffer, static_cast<std::size_t>(bytes));
      if (text.size() > kMostConfigBytes) break;  // check_config_text says so
    }
  }
  if (text.empty() && S_ISFIFO(status.st_mode)) {
    io::fail(
        "{}: a pipe into which nothing was written; write the configuration to a TOML file and "
        "name that one",
        path);
  }
  return text;
}

void check_config_text(std::string_view text, const std::string& name) {
  if (text.size() > kMostConfigBytes) {
    io::fail(
        "{}: more than {} bytes, which no configuration has; name a TOML file such as "
        "configs/quickstart.toml",
        name, kMostConfigBytes);
  }
  if (const auto at = io::find_invalid_utf8(text)) {
    const std::size_t line_begin = text.substr(0, *at).rfind('\n') + 1;  // npos + 1 is 0
    io::fail(
        "{}:{}: {}byte 0x{:02X} at position {} of the line is not UTF-8; save the file as "
        "UTF-8",
        name, line_of(text, *at), key_at(text, *at), static_cast<unsigned char>(text[*at]),
        *at - line_begin + 1);
  }
  if (const auto at = find_too_deep(text)) {
    io::fail(
        "{}:{}: keys, lists or tables are nested more than {} deep; no key of a configuration "
        "has more than three parts, as memory.optimizer.kind",
        name, line_of(text, *at), kMostConfigDepth);
  }
}

std::optional<std::size_t> find_too_deep(std::string_view text) {
  int brackets = 0;
  int parts = 1;  // of the dotted key at hand
  for (std::size_t at = 0; at < text.size(); ++at) {
    switch (text[at]) {
      case '#':
        at = std::min(text.find('\n', at), text.size()) - 1;
        break;
      case '"':
      case '\'':
        at = behind_string(text, at) - 1;
        break;
      case '[':
      case '{':
        ++brackets;
        parts = 1;
        break;
      case ']':
      case '}':
        brackets = std::max(0, brackets - 1);
        parts = 1;
        break;
      case '.':
        ++parts;
        break;
      case '=':
      case ',':
      case '\n':
        parts = 1;
        break;
      default:
        break;
    }
    if (brackets > kMostConfigDepth || parts > kMostConfigDepth) return at;
  }
  return std::nullopt;
}

}  // namespace mneme::engine
