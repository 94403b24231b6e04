// Members of a JSON object by name and type, with errors that say where in the file.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/error.h"
#include "io/utf8.h"

namespace mneme::text {

// An object of a file, and its place there for messages: "model" or "added_tokens[3]".
class JsonMembers {
 public:
  // Throws Error where `element` is no object.
  JsonMembers(const std::string& file, const std::string& place, simdjson::dom::element element)
      : file_(&file), place_(place) {
    if (element.get(object_) != simdjson::SUCCESS) {
      io::fail("{}: {} is no object", file, place.empty() ? "its content" : place);
    }
  }

  const std::string& file() const { return *file_; }
  std::string place_of(std::string_view name) const {
    return place_.empty() ? std::string(name) : place_ + "." + std::string(name);
  }
  // Nothing for a member that is null or not there.
  std::optional<simdjson::dom::element> find(std::string_view name) const {
    simdjson::dom::element element;
    if (object_.at_key(name).get(element) != simdjson::SUCCESS || element.is_null()) return {};
    return element;
  }
  simdjson::dom::element at(std::string_view name) const {
    const auto found = find(name);
    if (!found) io::fail("{}: {} is missing", file(), place_of(name));
    return *found;
  }
  JsonMembers object(std::string_view name) const { return {*file_, place_of(name), at(name)}; }
  simdjson::dom::array array(std::string_view name) const {
    simdjson::dom::array found;
    if (at(name).get(found) != simdjson::SUCCESS) {
      io::fail("{}: {} is no list", file(), place_of(name));
    }
    return found;
  }
  std::string_view text(std::string_view name) const {
    return text_of(at(name), *file_, place_of(name));
  }
  std::string_view text(std::string_view name, std::string_view otherwise) const {
    return find(name) ? text(name) : otherwise;
  }
  bool flag(std::string_view name, bool otherwise) const {
    const auto found = find(name);
    bool value = otherwise;
    if (found && found->get(value) != simdjson::SUCCESS) {
      io::fail("{}: {} is neither true nor false", file(), place_of(name));
    }
    return value;
  }

  static std::string_view text_of(simdjson::dom::element element, const std::string& file,
                                  const std::string& place) {
    std::string_view value;
    if (element.get(value) != simdjson::SUCCESS) io::fail("{}: {} is no string", file, place);
    return value;
  }
  // In [0, most).
  static std::int32_t id_of(simdjson::dom::element element, std::int64_t most,
                            const std::string& file, const std::string& place) {
    std::int64_t value = -1;
    if (element.get(value) != simdjson::SUCCESS || value < 0 || value >= most) {
      io::fail("{}: {} is no token id from 0 to {}", file, place, most - 1);
    }
    return static_cast<std::int32_t>(value);
  }

 private:
  const std::string* file_;
  std::string place_;
  simdjson::dom::object object_;
};

}  // namespace mneme::text
