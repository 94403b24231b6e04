#include "memory/record_exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "io/check.h"
#include "kernels/scalar.h"
#include "offload/catch_up_rows.h"

namespace mneme::memory {
namespace {

constexpr std::int64_t kBatchRows = 256;

// Writes a record whose moments and row state are zero.
void encode_record(const kernels::RecordLayout& layout, const float* values, std::uint32_t step,
                   std::byte* record) {
  std::memset(record, 0, layout.record_bytes());
  std::memcpy(record, &step, sizeof(step));
  std::byte* out = record + layout.value_offset();
  if (layout.value_type == kernels::FloatType::kF32) {
    std::memcpy(out, values, layout.value_bytes());
    return;
  }
  for (std::uint32_t column = 0; column < layout.width; ++column) {
    const std::uint16_t value = kernels::float_to_bf16(values[column]);
    std::memcpy(out + column * sizeof(value), &value, sizeof(value));
  }
}

}  // namespace

RecordExchange::Scratch::Scratch(kernels::Backend& backend, const kernels::RecordLayout& layout)
    : records(kernels::pinned_array<std::byte>(
          backend, kBatchRows * static_cast<std::int64_t>(layout.record_bytes()))),
      host_rows(kernels::pinned_array<kernels::RowId>(backend, kBatchRows)),
      host_slots(kernels::pinned_array<kernels::SlotId>(backend, kBatchRows)),
      host_values(kernels::pinned_array<float>(backend, kBatchRows * layout.width)),
      rows(backend, kBatchRows),
      slots(backend, kBatchRows),
      device_values(backend, kBatchRows * layout.width),
      values(backend, kBatchRows * static_cast<std::int64_t>(layout.value_bytes())),
      moment1(backend, kBatchRows * static_cast<std::int64_t>(layout.moment_bytes())),
      moment2(backend, kBatchRows * static_cast<std::int64_t>(layout.moment_bytes())),
      row_state(backend, layout.row_state ? kBatchRows : 0),
      last_step(backend, kBatchRows),
      stream(backend.create_stream()) {
  std::iota(host_slots.data(), host_slots.data() + kBatchRows, kernels::SlotId{0});
  host_records = kernels::HostRecords::in_one_piece(records.data(), layout.record_bytes());
  arena = {.layout = layout,
           .values = values.data(),
           .moment1 = moment1.data(),
           .moment2 = moment2.data(),
           .row_state = row_state.data(),
           .last_step = last_step.data()};
}

RecordExchange::RecordExchange(kernels::Backend& backend, offload::TieredStore& store)
    : backend_(&backend), store_(&store) {}

RecordExchange::Scratch& RecordExchange::scratch() {
  if (!scratch_) scratch_ = std::make_unique<Scratch>(*backend_, store_->options().layout);
  return *scratch_;
}

void RecordExchange::read_values(const offload::Currency& currency, kernels::RowId first,
                                 std::int64_t count, std::span<float> out) {
  const std::int64_t width = store_->options().layout.width;
  CHECK(static_cast<std::int64_t>(out.size()) == count * width);
  for (std::int64_t done = 0; done < count; done += kBatchRows) {
    read_batch(currency, first + static_cast<kernels::RowId>(done),
               std::min(kBatchRows, count - done), out.data() + done * width);
  }
}

void RecordExchange::read_batch(const offload::Currency& currency, kernels::RowId first,
                                std::int64_t count, float* out) {
  Scratch& batch = scratch();
  store_->read_records(first, count, batch.records.data());
  std::iota(batch.host_rows.data(), batch.host_rows.data() + count, first);
  backend_->copy(*batch.stream, batch.rows.data(), batch.host_rows.data(),
                 kernels::DeviceArray<kernels::RowId>::bytes(count));
  backend_->copy(*batch.stream, batch.slots.data(), batch.host_slots.data(),
                 kernels::DeviceArray<kernels::SlotId>::bytes(count));
  backend_->unpack_records(*batch.stream, batch.arena, batch.host_records, nullptr,
                           batch.slots.data(), count);
  offload::catch_up_rows(*backend_, *batch.stream, batch.arena, batch.rows.data(),
                         batch.slots.data(), count, currency);
  backend_->read_values(*batch.stream, batch.arena, batch.slots.data(), count,
                        batch.device_values.data());
  const std::size_t bytes = kernels::DeviceArray<float>::bytes(count * batch.arena.layout.width);
  backend_->copy(*batch.stream, batch.host_values.data(), batch.device_values.data(), bytes);
  batch.stream->synchronize();
  std::memcpy(out, batch.host_values.data(), bytes);
}

void RecordExchange::write_values(std::span<const kernels::RowId> rows,
                                  std::span<const float> values, std::uint64_t step) {
  const kernels::RecordLayout& layout = store_->options().layout;
  CHECK(values.size() == rows.size() * layout.width);
  Scratch& batch = scratch();
  for (std::size_t done = 0; done < rows.size(); done += kBatchRows) {
    const std::size_t count = std::min<std::size_t>(kBatchRows, rows.size() - done);
    std::array<const std::byte*, kBatchRows> addresses;
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* record = batch.host_records.record(static_cast<kernels::SlotId>(i));
      encode_record(layout, values.data() + (done + i) * layout.width,
                    static_cast<std::uint32_t>(step), record);
      addresses[i] = record;
    }
    store_->write_records(rows.subspan(done, count), {addresses.data(), count});
  }
}

}  // namespace mneme::memory
