// The rows whose disk slot has changed since the last committed checkpoint, which the next flush
// has to report. It is a set, since a run may never save a checkpoint: a list would grow without
// bound. In time:
//
//   note A, B   report -> A, B   note B, C   report -> A, B, C   note D   commit   report -> D
//
// A row may also be noted for the last report, which it then belongs to.
#pragma once

#include <cstdint>

#include "offload/disk/row_set.h"

namespace mneme::offload {

class ChangedRows {
 public:
  explicit ChangedRows(std::uint64_t table_rows) : reported_(table_rows), later_(table_rows) {}

  void note(kernels::RowId row) { later_.insert(row); }
  void note_reported(kernels::RowId row) { reported_.insert(row); }
  // All of them. Valid until the next call of any function.
  const RowSet& report() {
    later_.for_each([this](kernels::RowId row) { reported_.insert(row); });
    later_.clear();
    return reported_;
  }
  const RowSet& reported() const { return reported_; }
  // What was reported last is in a checkpoint now; later changes are not.
  void commit() { reported_.clear(); }

 private:
  RowSet reported_;
  RowSet later_;  // since the last report
};

}  // namespace mneme::offload
