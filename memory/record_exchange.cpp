#include "memory/record_exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "io/check.h"
#include "kernels/scalar.h"

namespace mneme::memory {
namespace {

constexpr std::size_t kBatchRows = 256;  // written in one go
// Read in one go.
constexpr std::int64_t kMostRows = 16384, kMostBytes = std::int64_t{16} << 20;

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

RecordExchange::Reading::Reading(kernels::Backend& backend, std::int64_t count, std::int64_t width)
    : most(count),
      host_rows(kernels::pinned_array<kernels::RowId>(backend, count)),
      rows(backend, count),
      values(backend, count * width),
      host_values(kernels::pinned_array<float>(backend, count * width)),
      stream(backend.create_stream()) {}

RecordExchange::RecordExchange(kernels::Backend& backend, offload::TieredStore& store)
    : backend_(&backend), store_(&store) {}

// As many rows at a time as one lease can have, so that a lease costs little.
RecordExchange::Reading& RecordExchange::reading() {
  if (reading_) return *reading_;
  const std::int64_t width = store_->options().layout.width;
  const std::int64_t fit = kMostBytes / (width * std::int64_t{sizeof(float)});
  const std::int64_t leased = store_->lease_capacity(offload::LeaseMode::kReadOnly);
  const std::int64_t rows = std::max<std::int64_t>(1, std::min({kMostRows, fit, leased}));
  reading_ = std::make_unique<Reading>(*backend_, rows, width);
  return *reading_;
}

void RecordExchange::read_values(const offload::Currency& currency,
                                 std::span<const kernels::RowId> rows, std::span<float> out) {
  const std::size_t width = store_->options().layout.width;
  CHECK(out.size() == rows.size() * width);
  const auto most = static_cast<std::size_t>(reading().most);
  for (std::size_t done = 0; done < rows.size(); done += most) {
    read_batch(currency, rows.subspan(done, std::min(most, rows.size() - done)),
               out.data() + done * width);
  }
}

void RecordExchange::read_batch(const offload::Currency& currency,
                                std::span<const kernels::RowId> rows, float* out) {
  Reading& batch = reading();
  const auto count = static_cast<std::int64_t>(rows.size());
  std::copy(rows.begin(), rows.end(), batch.host_rows.data());
  backend_->copy(*batch.stream, batch.rows.data(), batch.host_rows.data(),
                 kernels::DeviceArray<kernels::RowId>::bytes(count));
  {
    const offload::Lease lease =
        store_->acquire(*batch.stream,
                        {.rows = batch.rows.data(),
                         .count = count,
                         .mode = offload::LeaseMode::kReadOnly,
                         .account = {offload::Cause::kExchange, offload::kNoLayer}},
                        currency);
    backend_->read_values(*batch.stream, lease.arena(), lease.slots(), count, batch.values.data());
  }
  const std::size_t bytes =
      kernels::DeviceArray<float>::bytes(count * store_->options().layout.width);
  backend_->copy(*batch.stream, batch.host_values.data(), batch.values.data(), bytes);
  batch.stream->synchronize();
  std::memcpy(out, batch.host_values.data(), bytes);
}

void RecordExchange::write_values(std::span<const kernels::RowId> rows,
                                  std::span<const float> values, std::uint64_t step) {
  const kernels::RecordLayout& layout = store_->options().layout;
  CHECK(values.size() == rows.size() * layout.width);
  const std::size_t record_bytes = layout.record_bytes();
  std::vector<std::byte> records(kBatchRows * record_bytes);
  for (std::size_t done = 0; done < rows.size(); done += kBatchRows) {
    const std::size_t count = std::min<std::size_t>(kBatchRows, rows.size() - done);
    std::array<const std::byte*, kBatchRows> addresses;
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* const record = records.data() + i * record_bytes;
      encode_record(layout, values.data() + (done + i) * layout.width,
                    static_cast<std::uint32_t>(step), record);
      addresses[i] = record;
    }
    store_->write_records(rows.subspan(done, count), {addresses.data(), count});
  }
}

}  // namespace mneme::memory
