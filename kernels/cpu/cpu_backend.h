// The CPU backend: the reference for every operation. Its device memory is ordinary memory, its
// streams are worker threads. Each operation is one member function, defined in the file of its
// name beside this one; it checks its arguments on the caller's thread (a bad argument is a bug)
// and queues its work on the stream.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "io/check.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_stream.h"
#include "kernels/cpu/worker_threads.h"
#include "kernels/guard_zones.h"

namespace mneme::kernels::cpu {

class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options);

  std::string name() const override;
  std::string product_library() const override;
  FloatType compute_type() const override { return FloatType::kF32; }
  Buffer allocate(std::size_t bytes, MemoryKind kind) override;
  std::unique_ptr<Stream> create_stream(StreamPriority priority) override;
  std::unique_ptr<Event> create_event() override;
  void copy(Stream& stream, void* target, const void* source, std::size_t bytes) override;
  void zero(Stream& stream, void* target, std::size_t bytes) override;

  // DenseOps
  void matmul(Stream& stream, const MatmulArgs& args) override;
  void convert(Stream& stream, const ConvertArgs& args) override;
  void add_bias(Stream& stream, const AddBiasArgs& args) override;
  void sum_rows(Stream& stream, const SumRowsArgs& args) override;
  void add(Stream& stream, float* out, const float* x, std::int64_t count) override;
  void norm(Stream& stream, const NormArgs& args) override;
  void norm_backward(Stream& stream, const NormBackwardArgs& args) override;
  void rotary(Stream& stream, const RotaryArgs& args) override;
  void attention(Stream& stream, const AttentionArgs& args) override;
  void attention_backward(Stream& stream, const AttentionBackwardArgs& args) override;
  void gated_silu(Stream& stream, const GatedSiluArgs& args) override;
  void gated_silu_backward(Stream& stream, const GatedSiluBackwardArgs& args) override;
  void scalar_gate(Stream& stream, const ScalarGateArgs& args) override;
  void scalar_gate_backward(Stream& stream, const ScalarGateBackwardArgs& args) override;
  void embedding(Stream& stream, const EmbeddingArgs& args) override;
  void embedding_backward(Stream& stream, const EmbeddingBackwardArgs& args) override;
  void cross_entropy(Stream& stream, const CrossEntropyArgs& args) override;
  void adamw(Stream& stream, const AdamWArgs& args) override;
  void sum(Stream& stream, const float* x, std::int64_t count, double* out) override;
  void sum_of_squares(Stream& stream, const float* x, std::int64_t count, double* out) override;
  void clip_scale(Stream& stream, const ClipScaleArgs& args) override;

  // KeyOps
  void product_keys(Stream& stream, const ProductKeyArgs& args) override;
  void softmax_backward(Stream& stream, const SoftmaxBackwardArgs& args) override;
  void half_key_backward(Stream& stream, const HalfKeyBackwardArgs& args) override;

  // RowOps
  void group_lookups(Stream& stream, const GroupedLookups& grouped) override;
  void gather_rows(Stream& stream, const RowArena& arena, const GatherArgs& args) override;
  void lookup_dot(Stream& stream, const RowArena& arena, const LookupDotArgs& args) override;
  void row_gradient_norms(Stream& stream, const RowGradient& gradient, std::int64_t first,
                          std::int64_t count, float* square_norms) override;
  void accumulate_gradient(Stream& stream, const RowArena& arena,
                           const AccumulateArgs& args) override;
  void mark_rows(Stream& stream, const RowMarks& marks, const RowId* rows, std::int64_t count,
                 std::uint8_t* is_new) override;
  void list_marked_rows(Stream& stream, const RowMarks& marks, RowId* rows,
                        std::uint64_t* number) override;
  void update_rows(Stream& stream, const RowArena& arena, const SlotId* slots,
                   const RowGradient& gradient, std::int64_t first, std::int64_t count,
                   const RowUpdateArgs& args) override;
  void catch_up_rows(Stream& stream, const RowArena& arena, const RowId* rows, const SlotId* slots,
                     std::int64_t count, const CatchUpArgs& args) override;
  void generate_rows(Stream& stream, const RowArena& arena, const RowId* rows, const SlotId* slots,
                     std::int64_t count, const RowInit& init) override;
  void unpack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                      const SlotId* record_slots, const SlotId* slots, std::int64_t count) override;
  void pack_records(Stream& stream, const RowArena& arena, const HostRecords& records,
                    const SlotId* record_slots, const SlotId* slots, std::int64_t count) override;
  void copy_rows(Stream& stream, const RowArena& source, const SlotId* from, const RowArena& target,
                 const SlotId* to, std::int64_t count) override;
  void read_values(Stream& stream, const RowArena& arena, int part, const SlotId* slots,
                   std::int64_t count, float* out) override;

  // ResidencyOps
  void reset_slots(Stream& stream, const SlotTable& table) override;
  void lookup_slots(Stream& stream, const SlotTable& device, const SlotTable& host,
                    const LookupSlotsArgs& args) override;
  void bind_missing(Stream& stream, const SlotTable& device, const SlotTable& host,
                    const BindMissingArgs& args) override;
  void mark_used(Stream& stream, const SlotTable& table, const MarkUsedArgs& args) override;
  void mark_unsaved(Stream& stream, const SlotTable& table) override;
  void take_unsaved(Stream& stream, const SlotTable& device, const SlotTable& host,
                    const TakeUnsavedArgs& args) override;
  void select_victims(Stream& stream, const SlotTable& table,
                      const SelectVictimsArgs& args) override;
  void demote_victims(Stream& stream, const SlotTable& device, const SlotTable& host,
                      const DemoteVictimsArgs& args) override;
  void release_slots(Stream& stream, const SlotTable& table, const SlotId* slots,
                     const std::uint64_t* count, std::int64_t most) override;
  void take_slots(Stream& stream, const SlotTable& table, std::int64_t most, SlotId* slots,
                  std::uint64_t* count) override;
  void publish_rows(Stream& stream, const SlotTable& host, const PublishRowsArgs& args) override;
  void locate_rows(Stream& stream, const Location* locations, const RowId* rows, std::int64_t count,
                   Location* out) override;
  void place_on_disk(Stream& stream, Location* locations, const RowId* rows,
                     std::int64_t count) override;
  void count_spare_slots(Stream& stream, const SlotTable& table,
                         const CountSpareArgs& args) override;
  void list_dirty(Stream& stream, const SlotTable& table, SlotId* slots, RowId* rows,
                  std::uint64_t* count) override;

  // ExpertOps
  void expert_activation(Stream& stream, const ExpertActivationArgs& args) override;
  void expert_activation_backward(Stream& stream,
                                  const ExpertActivationBackwardArgs& args) override;
  void route_tokens(Stream& stream, const RouteTokensArgs& args) override;
  void gather_tokens(Stream& stream, const GatherTokensArgs& args) override;
  void grouped_matmul(Stream& stream, std::span<const MatmulArgs> products) override;
  void combine_experts(Stream& stream, const CombineExpertsArgs& args) override;
  void combine_experts_backward(Stream& stream, const CombineExpertsBackwardArgs& args) override;

 protected:
  void release(void* data, std::size_t bytes, MemoryKind kind) noexcept override;

 private:
  // A page mapping; fails when it and what was promised before are more than the machine has.
  void* map_memory(std::size_t bytes, MemoryKind kind);
  // What an allocation takes: its bytes, and its guard zones where there are any.
  std::size_t space(std::size_t bytes) const { return zones_ ? zones_->space(bytes) : bytes; }

  const int threads_;
  StreamList streams_;
  std::atomic<std::size_t> mapped_bytes_{0};
  std::optional<GuardZones> zones_;  // in the debug mode with guard zones
  WorkerThreads workers_;
};

// The stream as the type that takes closures; an operation's first line. The work runs later, on
// the stream's thread, and may use the scratch memory until it returns:
//   on(stream).enqueue([args](Scratch& scratch) { ... });
CpuStream& on(Stream& stream);

// The arrays of operations that may have another type elsewhere: this backend computes in float32
// and takes nothing else.
inline void check_float32(FloatType type) {
  CHECK(type == FloatType::kF32, "the CPU backend takes float32 only");
}
inline float* f32(void* data) {
  return static_cast<float*>(data);
}
inline const float* f32(const void* data) {
  return static_cast<const float*>(data);
}

}  // namespace mneme::kernels::cpu
