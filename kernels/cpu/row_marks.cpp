// Operations mark_rows and list_marked_rows of the CPU backend.
#include "io/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/thrust_policy.h"

namespace mneme::kernels::cpu {

void CpuBackend::mark_rows(Stream& stream, const RowMarks& marks, const RowId* rows,
                           std::int64_t count, std::uint8_t* is_new) {
  CHECK(marks.words != nullptr && count >= 0);
  on(stream).enqueue([=](Scratch&) { algorithms::mark_rows(kPolicy, marks, rows, count, is_new); });
}

void CpuBackend::list_marked_rows(Stream& stream, const RowMarks& marks, RowId* rows,
                                  std::uint64_t* number) {
  CHECK(marks.words != nullptr && marks.table_rows > 0);
  on(stream).enqueue([=](Scratch& scratch) {
    auto* ends = scratch.take<std::uint32_t>(marks.word_count());
    algorithms::list_marked_rows(kPolicy, marks, rows, number, ends);
  });
}

}  // namespace mneme::kernels::cpu
