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

// Writes a record whose moments and sums are zero. values: of its first part, the only one.
void encode_record(const kernels::RecordLayout& layout, const float* values, std::uint32_t step,
                   std::byte* record) {
  const kernels::PartLayout& part = layout.parts[0];
  std::memset(record, 0, layout.record_bytes());
  std::memcpy(record, &step, sizeof(step));
  std::byte* out = record + layout.value_offset();
  if (part.value_type == kernels::FloatType::kF32) {
    std::memcpy(out, values, part.value_bytes());
    return;
  }
  for (std::uint32_t column = 0; column < part.columns.count; ++column) {
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
  const std::int64_t width = store_->options().layout.parts[0].columns.count;
  const std::int64_t fit = kMostBytes / (width * std::int64_t{sizeof(float)});
  const std::int64_t leased = store_->lease_capacity(offload::LeaseMode::kReadOnly);
  const std::int64_t rows = std::max<std::int64_t>(1, std::min({kMostRows, fit, leased}));
  reading_ = std::make_unique<Reading>(*backend_, rows, width);
  return *reading_;
}

void RecordExchange::read_values(const offload::Currency& currency,
                                 std::span<const kernels::RowId> rows, std::span<float> out,
                                 const std::function<void()>& between) {
  const std::size_t width = store_->options().layout.parts[0].columns.count;
  CHECK(out.size() == rows.size() * width);
  if (store_->options().read_only) {
    read_stored(currency, rows, out, between);
    return;
  }
  read_leased(currency, rows, out, between);
}

// Rows with a record come from the files in the order of these; the others are leased.
void RecordExchange::read_stored(const offload::Currency& currency,
                                 std::span<const kernels::RowId> rows, std::span<float> out,
                                 const std::function<void()>& between) {
  const std::size_t width = store_->options().layout.parts[0].columns.count;
  Reading& batch = reading();
  std::vector<bool> is_read(rows.size(), false);
  store_->read_stored(
      *batch.stream, rows, currency, [&](const offload::TieredStore::StoredRows& stored) {
        const auto count = std::ssize(stored.indices);
        if (between) between();
        for (std::int64_t first = 0; first < count; first += batch.most) {
          const std::int64_t these = std::min(batch.most, count - first);
          const std::size_t bytes =
              kernels::DeviceArray<float>::bytes(these * static_cast<std::int64_t>(width));
          backend_->read_values(*batch.stream, stored.arena, 0, stored.slots + first, these,
                                batch.values.data());
          backend_->copy(*batch.stream, batch.host_values.data(), batch.values.data(), bytes);
          batch.stream->synchronize();
          for (std::int64_t i = 0; i < these; ++i) {
            const std::size_t index = stored.indices[static_cast<std::size_t>(first + i)];
            is_read[index] = true;
            std::memcpy(out.data() + index * width,
                        batch.host_values.data() + static_cast<std::size_t>(i) * width,
                        width * sizeof(float));
          }
        }
      });
  std::vector<kernels::RowId> others;
  std::vector<std::size_t> indices;
  const auto read_others = [&] {
    std::vector<float> values(others.size() * width);
    read_leased(currency, others, values, between);
    for (std::size_t i = 0; i < indices.size(); ++i) {
      std::memcpy(out.data() + indices[i] * width, values.data() + i * width,
                  width * sizeof(float));
    }
    others.clear();
    indices.clear();
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (is_read[i]) continue;
    others.push_back(rows[i]);
    indices.push_back(i);
    if (std::ssize(others) == batch.most) read_others();
  }
  read_others();
}

void RecordExchange::read_leased(const offload::Currency& currency,
                                 std::span<const kernels::RowId> rows, std::span<float> out,
                                 const std::function<void()>& between) {
  const std::size_t width = store_->options().layout.parts[0].columns.count;
  const auto most = static_cast<std::size_t>(reading().most);
  for (std::size_t done = 0; done < rows.size(); done += most) {
    if (between) between();
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
    backend_->read_values(*batch.stream, lease.arena(), 0, lease.slots(), count,
                          batch.values.data());
  }
  const std::size_t bytes =
      kernels::DeviceArray<float>::bytes(count * store_->options().layout.parts[0].columns.count);
  backend_->copy(*batch.stream, batch.host_values.data(), batch.values.data(), bytes);
  batch.stream->synchronize();
  std::memcpy(out, batch.host_values.data(), bytes);
}

void RecordExchange::write_values(std::span<const kernels::RowId> rows,
                                  std::span<const float> values, std::uint64_t step) {
  const kernels::RecordLayout& layout = store_->options().layout;
  CHECK(values.size() == rows.size() * layout.parts[0].columns.count);
  const std::size_t record_bytes = layout.record_bytes();
  std::vector<std::byte> records(kBatchRows * record_bytes);
  for (std::size_t done = 0; done < rows.size(); done += kBatchRows) {
    const std::size_t count = std::min<std::size_t>(kBatchRows, rows.size() - done);
    std::array<const std::byte*, kBatchRows> addresses;
    for (std::size_t i = 0; i < count; ++i) {
      std::byte* const record = records.data() + i * record_bytes;
      encode_record(layout, values.data() + (done + i) * layout.parts[0].columns.count,
                    static_cast<std::uint32_t>(step), record);
      addresses[i] = record;
    }
    store_->write_records(rows.subspan(done, count), {addresses.data(), count});
  }
}

}  // namespace mneme::memory
