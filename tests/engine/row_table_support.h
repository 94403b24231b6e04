// Row tables written and read whole, for tests.
#pragma once

#include <string>
#include <vector>

#include "engine/row_table_file.h"

namespace mneme::engine::testing {

using Entries = std::vector<offload::TableEntry>;

inline RowTableLink write_row_table(io::Disk& disk, const std::string& path, RowTableHead head,
                                    const Entries& entries) {
  head.entries = entries.size();
  RowTableWriter writer(disk, path, head);
  for (const offload::TableEntry& entry : entries) writer.append(entry);
  return {path, writer.finish()};
}

inline Entries read_row_table(io::Disk& disk, const std::string& path) {
  RowTableReader reader(disk, path);
  Entries entries;
  while (const auto entry = reader.next()) entries.push_back(*entry);
  return entries;
}

}  // namespace mneme::engine::testing
