// A backend that hands every call to another one: for tests that watch some of them. Its streams,
// events and buffers are the other's.
#pragma once

#include <memory>
#include <string>

#include "io/check.h"
#include "kernels/backend.h"

namespace mneme::testing {

class ForwardingBackend : public kernels::Backend {
 public:
  explicit ForwardingBackend(kernels::Backend& inner) : inner_(inner) {}

  void matmul(kernels::Stream& stream, const kernels::MatmulArgs& args) override {
    inner_.matmul(stream, args);
  }
  void convert(kernels::Stream& stream, const kernels::ConvertArgs& args) override {
    inner_.convert(stream, args);
  }
  void add_bias(kernels::Stream& stream, const kernels::AddBiasArgs& args) override {
    inner_.add_bias(stream, args);
  }
  void sum_rows(kernels::Stream& stream, const kernels::SumRowsArgs& args) override {
    inner_.sum_rows(stream, args);
  }
  void add(kernels::Stream& stream, float* out, const float* x, std::int64_t count) override {
    inner_.add(stream, out, x, count);
  }
  void norm(kernels::Stream& stream, const kernels::NormArgs& args) override {
    inner_.norm(stream, args);
  }
  void norm_backward(kernels::Stream& stream, const kernels::NormBackwardArgs& args) override {
    inner_.norm_backward(stream, args);
  }
  void rotary(kernels::Stream& stream, const kernels::RotaryArgs& args) override {
    inner_.rotary(stream, args);
  }
  void attention(kernels::Stream& stream, const kernels::AttentionArgs& args) override {
    inner_.attention(stream, args);
  }
  void attention_backward(kernels::Stream& stream,
                          const kernels::AttentionBackwardArgs& args) override {
    inner_.attention_backward(stream, args);
  }
  void gated_silu(kernels::Stream& stream, const kernels::GatedSiluArgs& args) override {
    inner_.gated_silu(stream, args);
  }
  void gated_silu_backward(kernels::Stream& stream,
                           const kernels::GatedSiluBackwardArgs& args) override {
    inner_.gated_silu_backward(stream, args);
  }
  void scalar_gate(kernels::Stream& stream, const kernels::ScalarGateArgs& args) override {
    inner_.scalar_gate(stream, args);
  }
  void scalar_gate_backward(kernels::Stream& stream,
                            const kernels::ScalarGateBackwardArgs& args) override {
    inner_.scalar_gate_backward(stream, args);
  }
  void embedding(kernels::Stream& stream, const kernels::EmbeddingArgs& args) override {
    inner_.embedding(stream, args);
  }
  void embedding_backward(kernels::Stream& stream,
                          const kernels::EmbeddingBackwardArgs& args) override {
    inner_.embedding_backward(stream, args);
  }
  void cross_entropy(kernels::Stream& stream, const kernels::CrossEntropyArgs& args) override {
    inner_.cross_entropy(stream, args);
  }
  void adamw(kernels::Stream& stream, const kernels::AdamWArgs& args) override {
    inner_.adamw(stream, args);
  }
  void sum(kernels::Stream& stream, const float* x, std::int64_t count, double* out) override {
    inner_.sum(stream, x, count, out);
  }
  void sum_of_squares(kernels::Stream& stream, const float* x, std::int64_t count,
                      double* out) override {
    inner_.sum_of_squares(stream, x, count, out);
  }
  void clip_scale(kernels::Stream& stream, const kernels::ClipScaleArgs& args) override {
    inner_.clip_scale(stream, args);
  }
  void product_keys(kernels::Stream& stream, const kernels::ProductKeyArgs& args) override {
    inner_.product_keys(stream, args);
  }
  void softmax_backward(kernels::Stream& stream,
                        const kernels::SoftmaxBackwardArgs& args) override {
    inner_.softmax_backward(stream, args);
  }
  void half_key_backward(kernels::Stream& stream,
                         const kernels::HalfKeyBackwardArgs& args) override {
    inner_.half_key_backward(stream, args);
  }
  void group_lookups(kernels::Stream& stream, const kernels::GroupedLookups& grouped) override {
    inner_.group_lookups(stream, grouped);
  }
  void gather_rows(kernels::Stream& stream, const kernels::RowArena& arena,
                   const kernels::GatherArgs& args) override {
    inner_.gather_rows(stream, arena, args);
  }
  void lookup_dot(kernels::Stream& stream, const kernels::RowArena& arena,
                  const kernels::LookupDotArgs& args) override {
    inner_.lookup_dot(stream, arena, args);
  }
  void row_gradient_norms(kernels::Stream& stream, const kernels::RowGradient& gradient,
                          std::int64_t first, std::int64_t count, float* square_norms) override {
    inner_.row_gradient_norms(stream, gradient, first, count, square_norms);
  }
  void accumulate_gradient(kernels::Stream& stream, const kernels::RowArena& arena,
                           const kernels::AccumulateArgs& args) override {
    inner_.accumulate_gradient(stream, arena, args);
  }
  void mark_rows(kernels::Stream& stream, const kernels::RowMarks& marks,
                 const kernels::RowId* rows, std::int64_t count, std::uint8_t* is_new) override {
    inner_.mark_rows(stream, marks, rows, count, is_new);
  }
  void list_marked_rows(kernels::Stream& stream, const kernels::RowMarks& marks,
                        kernels::RowId* rows, std::uint64_t* number) override {
    inner_.list_marked_rows(stream, marks, rows, number);
  }
  void update_rows(kernels::Stream& stream, const kernels::RowArena& arena,
                   const kernels::SlotId* slots, const kernels::RowGradient& gradient,
                   std::int64_t first, std::int64_t count,
                   const kernels::RowUpdateArgs& args) override {
    inner_.update_rows(stream, arena, slots, gradient, first, count, args);
  }
  void catch_up_rows(kernels::Stream& stream, const kernels::RowArena& arena,
                     const kernels::RowId* rows, const kernels::SlotId* slots, std::int64_t count,
                     const kernels::CatchUpArgs& args) override {
    inner_.catch_up_rows(stream, arena, rows, slots, count, args);
  }
  void generate_rows(kernels::Stream& stream, const kernels::RowArena& arena,
                     const kernels::RowId* rows, const kernels::SlotId* slots, std::int64_t count,
                     const kernels::RowInit& init) override {
    inner_.generate_rows(stream, arena, rows, slots, count, init);
  }
  void unpack_records(kernels::Stream& stream, const kernels::RowArena& arena,
                      const kernels::HostRecords& records, const kernels::SlotId* record_slots,
                      const kernels::SlotId* slots, std::int64_t count) override {
    inner_.unpack_records(stream, arena, records, record_slots, slots, count);
  }
  void pack_records(kernels::Stream& stream, const kernels::RowArena& arena,
                    const kernels::HostRecords& records, const kernels::SlotId* record_slots,
                    const kernels::SlotId* slots, std::int64_t count) override {
    inner_.pack_records(stream, arena, records, record_slots, slots, count);
  }
  void copy_rows(kernels::Stream& stream, const kernels::RowArena& source,
                 const kernels::SlotId* from, const kernels::RowArena& target,
                 const kernels::SlotId* to, std::int64_t count) override {
    inner_.copy_rows(stream, source, from, target, to, count);
  }
  void read_values(kernels::Stream& stream, const kernels::RowArena& arena, int part,
                   const kernels::SlotId* slots, std::int64_t count, float* out) override {
    inner_.read_values(stream, arena, part, slots, count, out);
  }
  void reset_slots(kernels::Stream& stream, const kernels::SlotTable& table) override {
    inner_.reset_slots(stream, table);
  }
  void lookup_slots(kernels::Stream& stream, const kernels::SlotTable& device,
                    const kernels::SlotTable& host, const kernels::LookupSlotsArgs& args) override {
    inner_.lookup_slots(stream, device, host, args);
  }
  void bind_missing(kernels::Stream& stream, const kernels::SlotTable& device,
                    const kernels::SlotTable& host, const kernels::BindMissingArgs& args) override {
    inner_.bind_missing(stream, device, host, args);
  }
  void mark_used(kernels::Stream& stream, const kernels::SlotTable& table,
                 const kernels::MarkUsedArgs& args) override {
    inner_.mark_used(stream, table, args);
  }
  void mark_unsaved(kernels::Stream& stream, const kernels::SlotTable& table) override {
    inner_.mark_unsaved(stream, table);
  }
  void take_unsaved(kernels::Stream& stream, const kernels::SlotTable& device,
                    const kernels::SlotTable& host, const kernels::TakeUnsavedArgs& args) override {
    inner_.take_unsaved(stream, device, host, args);
  }
  void select_victims(kernels::Stream& stream, const kernels::SlotTable& table,
                      const kernels::SelectVictimsArgs& args) override {
    inner_.select_victims(stream, table, args);
  }
  void demote_victims(kernels::Stream& stream, const kernels::SlotTable& device,
                      const kernels::SlotTable& host,
                      const kernels::DemoteVictimsArgs& args) override {
    inner_.demote_victims(stream, device, host, args);
  }
  void release_slots(kernels::Stream& stream, const kernels::SlotTable& table,
                     const kernels::SlotId* slots, const std::uint64_t* count,
                     std::int64_t most) override {
    inner_.release_slots(stream, table, slots, count, most);
  }
  void take_slots(kernels::Stream& stream, const kernels::SlotTable& table, std::int64_t most,
                  kernels::SlotId* slots, std::uint64_t* count) override {
    inner_.take_slots(stream, table, most, slots, count);
  }
  void publish_rows(kernels::Stream& stream, const kernels::SlotTable& host,
                    const kernels::PublishRowsArgs& args) override {
    inner_.publish_rows(stream, host, args);
  }
  void locate_rows(kernels::Stream& stream, const kernels::Location* locations,
                   const kernels::RowId* rows, std::int64_t count,
                   kernels::Location* out) override {
    inner_.locate_rows(stream, locations, rows, count, out);
  }
  void place_on_disk(kernels::Stream& stream, kernels::Location* locations,
                     const kernels::RowId* rows, std::int64_t count) override {
    inner_.place_on_disk(stream, locations, rows, count);
  }
  void count_spare_slots(kernels::Stream& stream, const kernels::SlotTable& table,
                         const kernels::CountSpareArgs& args) override {
    inner_.count_spare_slots(stream, table, args);
  }
  void list_dirty(kernels::Stream& stream, const kernels::SlotTable& table, kernels::SlotId* slots,
                  kernels::RowId* rows, std::uint64_t* count) override {
    inner_.list_dirty(stream, table, slots, rows, count);
  }
  void expert_activation(kernels::Stream& stream,
                         const kernels::ExpertActivationArgs& args) override {
    inner_.expert_activation(stream, args);
  }
  void expert_activation_backward(kernels::Stream& stream,
                                  const kernels::ExpertActivationBackwardArgs& args) override {
    inner_.expert_activation_backward(stream, args);
  }
  void route_tokens(kernels::Stream& stream, const kernels::RouteTokensArgs& args) override {
    inner_.route_tokens(stream, args);
  }
  void gather_tokens(kernels::Stream& stream, const kernels::GatherTokensArgs& args) override {
    inner_.gather_tokens(stream, args);
  }
  void grouped_matmul(kernels::Stream& stream,
                      std::span<const kernels::MatmulArgs> products) override {
    inner_.grouped_matmul(stream, products);
  }
  void combine_experts(kernels::Stream& stream, const kernels::CombineExpertsArgs& args) override {
    inner_.combine_experts(stream, args);
  }
  void combine_experts_backward(kernels::Stream& stream,
                                const kernels::CombineExpertsBackwardArgs& args) override {
    inner_.combine_experts_backward(stream, args);
  }
  std::string name() const override { return inner_.name(); }
  void use_in_this_thread() override { inner_.use_in_this_thread(); }
  std::string product_library() const override { return inner_.product_library(); }
  kernels::FloatType compute_type() const override { return inner_.compute_type(); }
  kernels::Buffer allocate(std::size_t bytes, kernels::MemoryKind kind) override {
    return inner_.allocate(bytes, kind);
  }
  std::unique_ptr<kernels::Stream> create_stream(
      kernels::StreamPriority priority = kernels::StreamPriority::kNormal) override {
    return inner_.create_stream(priority);
  }
  std::unique_ptr<kernels::Event> create_event() override { return inner_.create_event(); }
  void copy(kernels::Stream& stream, void* target, const void* source, std::size_t bytes) override {
    inner_.copy(stream, target, source, bytes);
  }
  void zero(kernels::Stream& stream, void* target, std::size_t bytes) override {
    inner_.zero(stream, target, bytes);
  }

 protected:
  void release(void*, std::size_t, kernels::MemoryKind) noexcept override {
    CHECK(false, "buffers belong to the other backend");
  }

  kernels::Backend& inner_;
};

}  // namespace mneme::testing
