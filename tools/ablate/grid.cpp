#include "tools/ablate/grid.h"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <sstream>

#include "engine/config_file.h"
#include "engine/config_keys.h"
#include "engine/config_reader.h"
#include "io/error.h"
#include "io/utf8.h"

namespace mneme::ablate {
namespace {

// Cells that are left out: those whose every named key has one of these values.
struct Skip {
  std::vector<std::string> keys;
  std::vector<std::vector<std::string>> values;

  bool matches(const Cell& cell) const {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const auto is_one = [&](const Setting& setting) {
        return setting.key == keys[i] &&
               std::find(values[i].begin(), values[i].end(), setting.value) != values[i].end();
      };
      if (std::none_of(cell.settings.begin(), cell.settings.end(), is_one)) return false;
    }
    return true;
  }
};

class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  std::string place(const toml::node& node) const {
    return fmt::format("{}:{}", name_, node.source().begin.line);
  }

  // The value in TOML.
  static std::string text_of(const toml::node& node) {
    std::ostringstream text;
    if (const auto* string = node.as_string()) {
      // As the configuration's own writer quotes it.
      const std::string setting = engine::text_override("", io::utf8_to_bytes(string->get()));
      return setting.substr(setting.find('=') + 1);
    }
    // In as few digits as give the same number.
    if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
    node.visit([&](const auto& value) { text << value; });
    std::string line = text.str();
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
  }

  // Fails where the configuration has no such key, or the key cannot have this value.
  void check(const std::string& key, const std::string& value, const std::string& where) const {
    if (key == "run.directory") io::fail("{}: {}: each cell has a folder of its own", where, key);
    engine::Config config;
    const std::vector<engine::Key> keys = engine::config_keys(config);
    const auto found = std::find_if(keys.begin(), keys.end(),
                                    [&](const engine::Key& one) { return one.name == key; });
    if (found == keys.end()) {
      // The configuration's reader knows what is near.
      try {
        engine::parse_config("", where, std::vector<std::string>{key + "=" + value});
      } catch (const io::Error& error) {
        const std::string line = error.what();
        io::fail("{}: {}", where, line.substr(std::min(line.find("unknown key"), line.size())));
      }
      io::fail("{}: unknown key {}", where, io::printable(key));
    }
    engine::set_key(*found, value, where);
  }

  // Calls visit(key, node) for every value below a table, by its dotted key.
  template <typename Visit>
  void for_each_key(const toml::table& table, const std::string& prefix, const Visit& visit) const {
    for (const auto& [part, node] : table) {
      const std::string key =
          prefix.empty() ? std::string(part.str()) : prefix + "." + std::string(part.str());
      if (const toml::table* inner = node.as_table()) {
        for_each_key(*inner, key, visit);
      } else {
        visit(key, node);
      }
    }
  }

  // The values of a list, or the single one.
  std::vector<std::string> values_of(const std::string& key, const toml::node& node) const {
    const toml::array* list = node.as_array();
    std::vector<std::string> values;
    if (list == nullptr) {
      values.push_back(text_of(node));
    } else {
      for (const toml::node& value : *list) values.push_back(text_of(value));
    }
    if (values.empty()) io::fail("{}: {}: the list is empty", place(node), key);
    for (const std::string& value : values) check(key, value, place(node));
    return values;
  }

  std::vector<std::string> list_of(const std::string& key, const toml::node& node) const {
    if (node.as_array() == nullptr) {
      io::fail("{}: {}: an axis is a list of values, as in [1, 2]", place(node), key);
    }
    return values_of(key, node);
  }

  // Of a key that no other changes with: a value that is there twice would be the same cell.
  std::vector<std::string> distinct_list_of(const std::string& key, const toml::node& node) const {
    const std::vector<std::string> values = list_of(key, node);
    std::vector<std::string> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
        twice != sorted.end()) {
      io::fail("{}: {}: {} is there twice", place(node), key, io::printable(*twice));
    }
    return values;
  }

 private:
  std::string name_;
};

const toml::table* table_named(const Reader& reader, const toml::table& root, const char* name) {
  const toml::node* node = root.get(name);
  if (node == nullptr) return nullptr;
  const toml::table* table = node->as_table();
  if (table == nullptr) io::fail("{}: {} is a section: [{}]", reader.place(*node), name, name);
  return table;
}

// The tables of [[name]].
std::vector<const toml::table*> tables_named(const Reader& reader, const toml::table& root,
                                             const char* name) {
  std::vector<const toml::table*> tables;
  const toml::node* node = root.get(name);
  if (node == nullptr) return tables;
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    io::fail("{}: {} may be there several times: [[{}]]", reader.place(*node), name, name);
  }
  for (const toml::node& one : *list) {
    const toml::table* table = one.as_table();
    if (table == nullptr) io::fail("{}: {}: write [[{}]]", reader.place(one), name, name);
    tables.push_back(table);
  }
  return tables;
}

std::vector<Axis> read_axes(const Reader& reader, const toml::table& root) {
  std::vector<Axis> axes;
  if (const toml::table* table = table_named(reader, root, "axes")) {
    // In the order of the file: a table of TOML has none.
    std::vector<std::pair<toml::source_position, Axis>> found;
    reader.for_each_key(*table, "", [&](const std::string& key, const toml::node& node) {
      found.emplace_back(node.source().begin,
                         Axis{{key}, {reader.distinct_list_of(key, node)}, reader.place(node)});
    });
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      return a.first.line != b.first.line ? a.first.line < b.first.line
                                          : a.first.column < b.first.column;
    });
    for (auto& [position, axis] : found) axes.push_back(std::move(axis));
  }
  for (const toml::table* table : tables_named(reader, root, "zip")) {
    Axis axis;
    axis.place = reader.place(*table);
    reader.for_each_key(*table, "", [&](const std::string& key, const toml::node& node) {
      axis.keys.push_back(key);
      axis.values.push_back(reader.list_of(key, node));
      if (axis.values.back().size() != axis.values.front().size()) {
        io::fail("{}: {} has {} values and {} has {}; keys that change together have as many",
                 reader.place(node), axis.keys.front(), axis.values.front().size(), key,
                 axis.values.back().size());
      }
    });
    if (axis.keys.empty()) io::fail("{}: [[zip]] names no key", axis.place);
    for (std::size_t one = 0; one < axis.size(); ++one) {
      for (std::size_t other = 0; other < one; ++other) {
        const bool same =
            std::all_of(axis.values.begin(), axis.values.end(),
                        [&](const auto& values) { return values[one] == values[other]; });
        if (same) {
          io::fail("{}: [[zip]] has the same values twice, the {}. and the {}.", axis.place,
                   other + 1, one + 1);
        }
      }
    }
    axes.push_back(std::move(axis));
  }
  std::set<std::string> keys;
  for (const Axis& axis : axes) {
    for (const std::string& key : axis.keys) {
      if (!keys.insert(key).second) io::fail("{}: {} is varied twice", axis.place, key);
    }
  }
  return axes;
}

std::vector<Skip> read_skips(const Reader& reader, const toml::table& root, const Grid& grid) {
  std::vector<Skip> skips;
  for (const toml::table* table : tables_named(reader, root, "skip")) {
    Skip skip;
    reader.for_each_key(*table, "", [&](const std::string& key, const toml::node& node) {
      if (std::find(grid.varied.begin(), grid.varied.end(), key) == grid.varied.end()) {
        io::fail("{}: {} is not varied, so that no cell can be left out by it", reader.place(node),
                 io::printable(key));
      }
      skip.keys.push_back(key);
      skip.values.push_back(reader.values_of(key, node));
      for (const std::string& value : skip.values.back()) {
        const bool is_there =
            std::any_of(grid.axes.begin(), grid.axes.end(), [&](const Axis& axis) {
              const auto found = std::find(axis.keys.begin(), axis.keys.end(), key);
              if (found == axis.keys.end()) return false;
              const auto& values = axis.values[std::size_t(found - axis.keys.begin())];
              return std::find(values.begin(), values.end(), value) != values.end();
            });
        if (!is_there) {
          io::fail("{}: {} is {} in no cell", reader.place(node), key, io::printable(value));
        }
      }
    });
    if (skip.keys.empty()) io::fail("{}: [[skip]] names no key", reader.place(*table));
    skips.push_back(std::move(skip));
  }
  return skips;
}

void make_cells(const std::vector<Skip>& skips, const std::string& name, Grid& grid) {
  const std::vector<Axis>& axes = grid.axes;
  std::size_t count = 1;
  for (const Axis& axis : axes) {
    count = axis.size() > kMostCells ? kMostCells + 1 : count * axis.size();
    if (count > kMostCells) {
      io::fail("{}: the axes make more than {} cells; vary fewer values at once", name, kMostCells);
    }
  }
  for (std::size_t number = 0; number < count; ++number) {
    Cell cell;
    std::size_t block = count, left = number;
    for (const Axis& axis : axes) {
      block /= axis.size();
      const std::size_t value = left / block;
      left %= block;
      cell.at.push_back(value);
      for (std::size_t key = 0; key < axis.keys.size(); ++key) {
        cell.settings.push_back({axis.keys[key], axis.values[key][value]});
      }
    }
    const bool left_out = std::any_of(skips.begin(), skips.end(),
                                      [&](const Skip& skip) { return skip.matches(cell); });
    if (!left_out) grid.cells.push_back(std::move(cell));
  }
  if (grid.cells.empty()) io::fail("{}: [[skip]] leaves out every cell", name);
}

void read_head(const Reader& reader, const toml::table& root, Grid& grid) {
  for (const auto& [part, node] : root) {
    const std::string key(part.str());
    const std::string place = reader.place(node);
    if (key == "config" || key == "directory") {
      const auto text = node.value_exact<std::string>();
      if (!text || text->empty()) io::fail("{}: {}: must be a path", place, key);
      (key == "config" ? grid.config : grid.directory) = io::utf8_to_bytes(*text);
    } else if (key == "repeats") {
      const auto number = node.value_exact<std::int64_t>();
      if (!number || *number < 1 || *number > 1000) {
        io::fail("{}: repeats: expected integer, 1 to 1000", place);
      }
      grid.repeats = *number;
    } else if (key == "time_limit_s") {
      const auto number = node.value<double>();
      if (!number || !(*number >= 1 && *number <= 1e7)) {
        io::fail("{}: time_limit_s: expected number, 1 to 1e7", place);
      }
      grid.time_limit_s = *number;
    } else if (key == "table") {
      const toml::array* list = node.as_array();
      if (list == nullptr) io::fail("{}: table: expected list of strings", place);
      for (const toml::node& one : *list) {
        const auto name = one.value_exact<std::string>();
        if (!name) io::fail("{}: table: expected list of strings", place);
        grid.table.push_back(*name);
      }
    } else if (key != "set" && key != "axes" && key != "zip" && key != "skip") {
      io::fail(
          "{}: unknown key {}; a grid has config, directory, repeats, time_limit_s, table, [set], "
          "[axes], [[zip]] and [[skip]]",
          place, io::printable(key));
    }
  }
}

}  // namespace

Grid parse_grid(std::string_view text, const std::string& name) {
  engine::check_config_text(text, name);
  toml::table root;
  try {
    root = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    io::fail("{}:{}: {}", name, error.source().begin.line, io::printable(error.description()));
  }
  const Reader reader(name);
  Grid grid;
  read_head(reader, root, grid);
  if (grid.config.empty())
    io::fail("{}: config is missing: the file of the base configuration", name);
  if (grid.directory.empty()) {
    io::fail("{}: directory is missing: the folder of the ablation, such as runs/ablations/tiers",
             name);
  }
  if (const toml::table* set = table_named(reader, root, "set")) {
    reader.for_each_key(*set, "", [&](const std::string& key, const toml::node& node) {
      grid.common.push_back({key, Reader::text_of(node)});
      reader.check(key, grid.common.back().value, reader.place(node));
    });
  }
  grid.axes = read_axes(reader, root);
  for (const Axis& axis : grid.axes) {
    for (const std::string& key : axis.keys) {
      grid.varied.push_back(key);
      for (const Setting& setting : grid.common) {
        if (setting.key == key) io::fail("{}: {} is varied, and set for all", axis.place, key);
      }
    }
  }
  if (grid.axes.empty())
    io::fail("{}: nothing is varied; name keys and their values in [axes]", name);
  make_cells(read_skips(reader, root, grid), name, grid);
  return grid;
}

Grid read_grid(const std::string& path) {
  Grid grid = parse_grid(engine::read_config_file(path), path);
  const std::filesystem::path config(grid.config);
  if (config.is_relative()) {
    grid.config = (std::filesystem::path(path).parent_path() / config).lexically_normal().string();
  }
  return grid;
}

}  // namespace mneme::ablate
