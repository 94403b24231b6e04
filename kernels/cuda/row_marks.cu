// Operations mark_rows and list_marked_rows of the CUDA backend.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/thrust_policy.h"

namespace mneme::kernels::cuda {

void CudaBackend::mark_rows(Stream& stream, const RowMarks& marks, const RowId* rows,
                            std::int64_t count, std::uint8_t* is_new) {
  CHECK(marks.words != nullptr && count >= 0);
  Operation operation(stream, "mark_rows");
  with_policy(
      operation, [](const auto& policy, auto... what) { algorithms::mark_rows(policy, what...); },
      marks, rows, count, is_new);
}

void CudaBackend::list_marked_rows(Stream& stream, const RowMarks& marks, RowId* rows,
                                   std::uint64_t* number) {
  CHECK(marks.words != nullptr && marks.table_rows > 0);
  Operation operation(stream, "list_marked_rows");
  auto* ends = operation.take<std::uint32_t>(marks.word_count());
  with_policy(
      operation,
      [](const auto& policy, auto... what) { algorithms::list_marked_rows(policy, what...); },
      marks, rows, number, ends);
}

}  // namespace mneme::kernels::cuda
