// The exact bytes of the project's own file formats, as docs/formats.md describes them. The
// expected bytes were computed from that page by another program. A failure here means that runs
// of earlier versions can no longer be read: raise the format's version, and change the page.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/manifest.h"
#include "engine/metrics.h"
#include "engine/row_table_file.h"
#include "engine/run_config_file.h"
#include "io/aligned_buffer.h"
#include "io/checksum.h"
#include "io/error.h"
#include "io/record_file.h"
#include "kernels/backend.h"
#include "offload/store_options.h"
#include "offload/trace/trace_file.h"
#include "tests/simulated_disk/simulated_disk.h"

#include "tests/support/error_of.h"
#include "tests/support/test_backend.h"

namespace mneme::engine {
namespace {

constexpr io::RecordFileShape kShape = {128, 0x1122334455667788};
constexpr std::uint64_t kHeaderBytes = 4096;
constexpr std::uint64_t kSlotBytes = 512;
// A row of width 3 with float32 values and moments, current for step 7; the moments are 3 steps
// behind.
const std::string kRecord =
    "0700000000000000030000000000000000000000000000000000000000000000"
    "0000803f000000c00000003f0000000000000000000000000000000000000000"
    "0000803e000000be000040400000000000000000000000000000000000000000"
    "000080400000803d6f12833a0000000000000000000000000000000000000000";
const std::string kFileHeader =
    "4d4e4d45524f5753020000000002000000020000800000008877665544332211"
    "4e8fb6e9fd0a3696";
// Row 5 in slot 1, generation 2^32 + 3.
const std::string kSlotHeader =
    "4d4e454d52454344050000000000000001000000000000000300000001000000"
    "80000000000000000d1a2c5599c9505e00000000000000000000000000000000";
// Of version 1, where moments were never behind.
const std::string kRecord1 =
    "0700000000000000000000000000000000000000000000000000000000000000" + kRecord.substr(64);
const std::string kFileHeader1 =
    "4d4e4d45524f5753010000000002000000020000800000008877665544332211"
    "a69b63c6a73d9ba9";
const std::string kSlotHeader1 =
    "4d4e454d52454344050000000000000001000000000000000300000001000000"
    "80000000000000002228111af472612300000000000000000000000000000000";
// Of table 2 of run 77; its checkpoint is of step 300.
const std::string kTraceHeader =
    "4d4e454d45545243020000000200000088130000000000004d00000000000000"
    "0900000000000000000000000000000000000000000000002ac024fee2b81b56";
const std::string kTraceHeader1 =
    "4d4e454d45545243010000000200000088130000000000004d00000000000000"
    "0900000000000000000000000000000000000000000000002506cd84ba1abe7d";
const std::string kTraceEvents =
    "010000f7042ace02a018d018c018a4e8030180808080048080010080f4f6905d0003000002ac020a01000384"
    "0102030301000501000008030004be0100a6a104008eada8f30e040105010302010000010106808080080400"
    "00030003140d0a07ac0208ac0209c8010b80200c80200d000e90010f01000501020300040c07080503030500000300"
    "0107"
    "0304000503180300040a000002"
    "10040404100404040504";
// Two parts without moments, current for step 9: two float32 values with the sum 1.5, three
// bfloat16 values with the sum -4.
const std::string kRecordOfTwo =
    "090000000000c03f00000000000080c000000000000000000000000000000000"
    "0000803f000000c0000000000000000000000000000000000000000000000000"
    "4040003f80be0000000000000000000000000000000000000000000000000000";
const std::string kRowTable =
    "4d4e454d4554424c010000000200000001000000000000004d00000000000000"
    "020000000000000004000000090000004600000000000000fdffffff03000000"
    "0500000001000000533173c2f31d9a1b";
const std::string kManifest = R"({
 "body": {
  "checkpoints": [
   {
    "dense": {
     "checksum": 18364758544493064720,
     "name": "dense-0000000020.safetensors"
    },
    "metrics": {
     "bytes": 4711,
     "checksum": 99
    },
    "step": 20,
    "tables": [
     [
      {
       "checksum": 7,
       "name": "table-0-0000000010-base.rows-table"
      },
      {
       "checksum": 8,
       "name": "table-0-0000000020.rows-table"
      }
     ]
    ]
   }
  ],
  "format": 2,
  "run": {
   "config": "[run]\n",
   "data": {
    "bytes": 12000,
    "checksum": 5
   },
   "id": 1311768467463790320,
   "schedule": [
    {
     "first_step": 1,
     "keys": {
      "train.steps": "200"
     }
    }
   ]
  }
 },
 "checksum": "5ba812c6c7bd3c1e"
}
)";

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<int>(byte));
  return text;
}

std::vector<std::byte> from_hex(const std::string& text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string zeros(std::uint64_t bytes) {
  return std::string(2 * bytes, '0');
}

kernels::RecordLayout layout_of_width(std::uint32_t width) {
  return kernels::RecordLayout::of({.columns = kernels::ColumnRange::all(width)});
}

io::BlockCompletion wait_for_one(io::BlockFile& file) {
  io::BlockCompletion completion;
  EXPECT_EQ(file.poll({&completion, 1}, true), 1u);
  return completion;
}

TEST(Formats, ARecordHoldsStepValueAndMomentsAtTheseBytes) {
  kernels::Backend& backend = mneme::testing::test_backend();
  const auto stream = backend.create_stream();
  const auto pinned = [&](std::size_t bytes) {
    return backend.allocate(bytes, kernels::MemoryKind::kPinnedHost);
  };
  const kernels::Buffer values = pinned(64), first = pinned(64), second = pinned(64);
  const kernels::Buffer steps = pinned(64), lags = pinned(64), slots = pinned(64);
  const kernels::Buffer record = pinned(128);
  kernels::RowArena arena;
  arena.layout = layout_of_width(3);
  arena.parts[0] = {
      .values = values.as<void>(), .moment1 = first.as<void>(), .moment2 = second.as<void>()};
  arena.last_step = steps.as<std::uint32_t>();
  arena.moment_lag = lags.as<std::uint32_t>();
  // Slot 1, so that slot 0 would show as zeros.
  slots.as<kernels::SlotId>()[0] = 1;
  steps.as<std::uint32_t>()[1] = 7;
  lags.as<std::uint32_t>()[1] = 3;
  const float rows[3][3] = {{1, -2, 0.5f}, {0.25f, -0.125f, 3}, {4, 0.0625f, 1e-3f}};
  std::memcpy(values.as<float>() + 3, rows[0], sizeof rows[0]);
  std::memcpy(first.as<float>() + 3, rows[1], sizeof rows[1]);
  std::memcpy(second.as<float>() + 3, rows[2], sizeof rows[2]);

  ASSERT_EQ(arena.layout.record_bytes(), 128u);
  const kernels::HostRecords records =
      kernels::HostRecords::in_one_piece(record.as<std::byte>(), record.bytes());
  backend.pack_records(*stream, arena, records, nullptr, slots.as<kernels::SlotId>(), 1);
  stream->synchronize();
  EXPECT_EQ(hex({record.as<std::byte>(), 128}), kRecord);
}

TEST(Formats, ARecordOfTwoPartsHoldsThemOneBehindTheOtherAndTheirSumsInItsHead) {
  kernels::Backend& backend = mneme::testing::test_backend();
  const auto stream = backend.create_stream();
  const auto pinned = [&](std::size_t bytes) {
    return backend.allocate(bytes, kernels::MemoryKind::kPinnedHost);
  };
  const kernels::Buffer first = pinned(64), second = pinned(64), sums = pinned(64);
  const kernels::Buffer steps = pinned(64), slots = pinned(64), record = pinned(96);
  kernels::RowArena arena;
  arena.layout.part_count = 2;
  arena.layout.parts[0] = {.columns = kernels::ColumnRange::all(2), .moments = false, .sum = true};
  arena.layout.parts[1] = {.columns = kernels::ColumnRange::all(3),
                           .value_type = kernels::FloatType::kBF16,
                           .moments = false,
                           .sum = true};
  arena.parts[0] = {.values = first.as<void>(), .sums = sums.as<float>()};
  arena.parts[1] = {.values = second.as<void>(), .sums = sums.as<float>() + 2};
  arena.last_step = steps.as<std::uint32_t>();
  // Slot 1, so that slot 0 would show as zeros.
  slots.as<kernels::SlotId>()[0] = 1;
  steps.as<std::uint32_t>()[1] = 9;
  sums.as<float>()[1] = 1.5f;
  sums.as<float>()[3] = -4;
  const float floats[2] = {1, -2};
  std::memcpy(first.as<float>() + 2, floats, sizeof floats);
  const std::uint16_t halves[3] = {0x4040, 0x3f00, 0xbe80};
  std::memcpy(second.as<std::uint16_t>() + 3, halves, sizeof halves);

  ASSERT_EQ(arena.layout.record_bytes(), 96u);
  const kernels::HostRecords records =
      kernels::HostRecords::in_one_piece(record.as<std::byte>(), record.bytes());
  backend.pack_records(*stream, arena, records, nullptr, slots.as<kernels::SlotId>(), 1);
  stream->synchronize();
  EXPECT_EQ(hex({record.as<std::byte>(), 96}), kRecordOfTwo);

  // A gradient stands behind its part's values and moments.
  const kernels::Buffer gradient = pinned(64), larger = pinned(128);
  arena.layout.parts[0].gradient = true;
  arena.parts[0].gradient = gradient.as<float>();
  const float slope[2] = {0.5f, 3};
  std::memcpy(gradient.as<float>() + 2, slope, sizeof slope);
  ASSERT_EQ(arena.layout.record_bytes(), 128u);
  backend.pack_records(*stream, arena,
                       kernels::HostRecords::in_one_piece(larger.as<std::byte>(), larger.bytes()),
                       nullptr, slots.as<kernels::SlotId>(), 1);
  stream->synchronize();
  std::string expected = kRecordOfTwo;
  expected.insert(2 * 64, "0000003f00004040" + zeros(24));
  EXPECT_EQ(hex({larger.as<std::byte>(), 128}), expected);
}

TEST(Formats, ARowsFileHasAHeaderBlockAndSealedSlotsOfTheseBytes) {
  io::SimulatedDisk disk({.alignment = 512, .record_log = false});
  io::RecordFile file = io::RecordFile::create(disk, "/rows", kShape, {});
  ASSERT_EQ(file.slot_bytes(), kSlotBytes);
  EXPECT_EQ(hex(disk.read_file("/rows", kHeaderBytes)), kFileHeader + zeros(kHeaderBytes - 40));

  io::AlignedBuffer slot(kSlotBytes, 512);
  const std::vector<std::byte> record = from_hex(kRecord);
  std::memcpy(slot.data() + io::RecordFile::kPayloadOffset, record.data(), record.size());
  file.reserve(2);
  file.seal(slot.data(), {.row = 5, .slot = 1, .generation = (1ull << 32) + 3});
  ASSERT_TRUE(file.submit_write(slot.data(), 1, 0));
  ASSERT_EQ(wait_for_one(file.file()).error, 0);

  const std::vector<std::byte> bytes = disk.read_file("/rows", 1 << 20);
  ASSERT_EQ(bytes.size(), kHeaderBytes + 2 * kSlotBytes);
  const auto at = [&](std::uint64_t offset) {
    return std::span(bytes).subspan(offset, kSlotBytes);
  };
  EXPECT_EQ(hex(at(kHeaderBytes)), zeros(kSlotBytes)) << "slot 0 was never written";
  EXPECT_EQ(hex(at(kHeaderBytes + kSlotBytes)),
            kSlotHeader + kRecord + zeros(kSlotBytes - 64 - 128));
}

TEST(Formats, ARowsFileOfTheseBytesIsRead) {
  io::SimulatedDisk disk({.alignment = 512, .record_log = false});
  disk.write_file("/rows", from_hex(kFileHeader + zeros(kHeaderBytes - 40) + zeros(kSlotBytes) +
                                    kSlotHeader + kRecord + zeros(kSlotBytes - 64 - 128)));
  io::RecordFile file = io::RecordFile::open(disk, "/rows", kShape, {});
  io::AlignedBuffer slot(kSlotBytes, 512);
  ASSERT_TRUE(file.submit_read(slot.data(), 1, 0));
  ASSERT_EQ(wait_for_one(file.file()).error, 0);
  EXPECT_EQ(file.mismatch(slot.data(), {.row = 5, .slot = 1, .generation = (1ull << 32) + 3}),
            std::nullopt);
}

TEST(Formats, ARowsFileOfVersion1IsReadAndBecomesOneOfVersion2WhenItIsWritten) {
  io::SimulatedDisk disk({.alignment = 512, .record_log = false});
  const auto before = from_hex(kFileHeader1 + zeros(kHeaderBytes - 40) + zeros(kSlotBytes) +
                               kSlotHeader1 + kRecord1 + zeros(kSlotBytes - 64 - 128));
  disk.write_file("/rows", before);
  for (const bool read_only : {true, false}) {
    io::OpenOptions options;
    options.read_only = read_only;
    io::RecordFile file = io::RecordFile::open(disk, "/rows", kShape, options);
    io::AlignedBuffer slot(kSlotBytes, 512);
    ASSERT_TRUE(file.submit_read(slot.data(), 1, 0));
    ASSERT_EQ(wait_for_one(file.file()).error, 0);
    EXPECT_EQ(file.mismatch(slot.data(), {.row = 5, .slot = 1, .generation = (1ull << 32) + 3}),
              std::nullopt);
    if (read_only) {
      EXPECT_TRUE(disk.read_file("/rows", 1 << 20) == before);
    }
  }
  std::vector<std::byte> after = before;
  const auto header = from_hex(kFileHeader);
  std::copy(header.begin(), header.end(), after.begin());
  EXPECT_TRUE(disk.read_file("/rows", 1 << 20) == after);
}

TEST(Formats, ARowsFileOfAnotherVersionIsRefused) {
  for (const char* version : {"00", "03"}) {
    io::SimulatedDisk disk({.alignment = 512, .record_log = false});
    std::vector<std::byte> bytes =
        from_hex(kFileHeader.substr(0, 16) + version + kFileHeader.substr(18, 46));
    std::uint64_t checksum = io::checksum64(bytes);
    const auto* end = reinterpret_cast<const std::byte*>(&checksum);
    bytes.insert(bytes.end(), end, end + sizeof(checksum));
    bytes.resize(kHeaderBytes);
    disk.write_file("/rows", bytes);
    EXPECT_NE(mneme::testing::error_of([&] {
                io::RecordFile::open(disk, "/rows", kShape, {});
              }).find("this program reads 1 to 2"),
              std::string::npos);
  }
}

TEST(Formats, ARowsFileBelongsToTheTableOfThisIdentity) {
  offload::StoreOptions options;
  options.table = 2;
  options.rows = 1ull << 26;
  options.seed = 17;
  options.run_id = 5;
  options.layout = layout_of_width(3);
  EXPECT_EQ(offload::rows_file_shape(options).table_id, 0x1c9569d04cffeb68u);
  EXPECT_EQ(offload::rows_file_shape(options).payload_bytes, 128u);
  options.layout.parts[0].gradient = true;
  EXPECT_EQ(offload::rows_file_shape(options).table_id, 0xdd6a57908d6fef7cu);
  EXPECT_EQ(offload::rows_file_shape(options).payload_bytes, 160u);

  // Of two parts, with all columns and with the second half of them.
  for (const bool half : {false, true}) {
    const kernels::ColumnRange columns =
        half ? kernels::ColumnRange{32, 32, 64} : kernels::ColumnRange::all(64);
    options.layout.part_count = 2;
    options.layout.parts[0] = {.columns = columns, .moment_type = kernels::FloatType::kBF16};
    options.layout.parts[1] = options.layout.parts[0];
    options.layout.parts[1].value_type = kernels::FloatType::kBF16;
    EXPECT_EQ(offload::rows_file_shape(options).table_id,
              half ? 0x4d5149bb93c68668u : 0x43bdbcc1e34b969fu);
    EXPECT_EQ(offload::rows_file_shape(options).payload_bytes, half ? 480u : 928u);
  }
}

TEST(Formats, ATraceHasTheseEventsAndFrames) {
  using offload::TraceEvent;
  using offload::TraceKind;
  const std::vector<std::uint32_t> rows = {3, 4, 9, 200, 201, 70000, 70001, 4000000000};
  TraceEvent start{.kind = TraceKind::kStart};
  start.tiers = {.device_slots = 631,
                 .evaluation_slots = 42,
                 .host_slots = 334,
                 .record_bytes = 3104,
                 .device_slot_bytes = 3152,
                 .host_slot_bytes = 3136,
                 .evaluation_millionths = 62500,
                 .disks = 1,
                 .disk_bytes = 1 << 30,
                 .transfer_rows = 16384,
                 .host_link = 0,
                 .disk_link = 25'000'000'000,
                 .device_policy = kernels::ReplacementKind::kLru,
                 .host_policy = kernels::ReplacementKind::kSieve};
  const std::vector<TraceEvent> events = {
      start,
      {.kind = TraceKind::kStep, .number = 300},
      {.kind = TraceKind::kTokens, .number = 1, .list = {65, 66, 64}},
      {.kind = TraceKind::kLease,
       .number = 1,
       .account = {offload::Cause::kTraining, 4, offload::Pass::kForward},
       .list = rows},
      {.kind = TraceKind::kMarkDirty, .number = 1},
      {.kind = TraceKind::kEndLease, .number = 1},
      {.kind = TraceKind::kLease,
       .number = 2,
       .account = {offload::Cause::kEvaluation, offload::kNoLayer, offload::Pass::kNone},
       .read_only = true,
       .list = rows},
      {.kind = TraceKind::kHint,
       .number = 16 << 20,
       .account = {offload::Cause::kPrefetch, offload::kNoLayer, offload::Pass::kNone},
       .to_device = true,
       .of_running_step = true,
       .list = {9, 2, 7}},
      {.kind = TraceKind::kCheckpoint, .number = 300},
      {.kind = TraceKind::kCommit, .number = 300},
      {.kind = TraceKind::kRelease, .number = 200},
      {.kind = TraceKind::kSave, .number = 4096},
      {.kind = TraceKind::kDiskSlot, .number = 4096},
      {.kind = TraceKind::kEndStep},
      {.kind = TraceKind::kPredictors, .number = 0x90},
      {.kind = TraceKind::kLookups,
       .number = 1,
       .account = {offload::Cause::kTraining, 4, offload::Pass::kForward},
       .lookups_per_token = 2,
       .sequence = 3,
       .list = {5, 1, 5, 2}},
      {.kind = TraceKind::kLease,
       .number = 3,
       .account = {offload::Cause::kExchange, offload::kNoLayer, offload::Pass::kNone},
       .read_only = true,
       .moves_records = true,
       .list = {7}},
      // The four rows of an update, three and then one.
      {.kind = TraceKind::kLease,
       .number = 4,
       .account = {offload::Cause::kTraining, 4, offload::Pass::kUpdate},
       .changes_rows = true,
       .part_rows = 3,
       .list = {10, 11, 12, 15}},
      {.kind = TraceKind::kPart, .number = 4},
      {.kind = TraceKind::kMarkDirty, .number = 4},
      {.kind = TraceKind::kPart, .number = 4},
      {.kind = TraceKind::kMarkDirty, .number = 4},
      {.kind = TraceKind::kEndLease, .number = 4}};
  offload::TraceLists lists;
  std::vector<std::byte> bytes;
  for (const TraceEvent& event : events) encode(event, lists, bytes);
  EXPECT_EQ(hex(bytes), kTraceEvents);

  io::SimulatedDisk disk({.record_log = false});
  {
    offload::TraceFile file(disk, "/trace", {.table = 2, .rows = 5000, .run_id = 77, .seed = 9}, 0);
    file.append(bytes, 300);
  }
  const std::vector<std::byte> file = disk.read_file("/trace", 1 << 20);
  EXPECT_EQ(hex(std::span(file).first(64)), kTraceHeader);
  const std::span<const std::byte> frame = std::span(file).subspan(64);
  EXPECT_EQ(hex(frame.first(8)), "4d4e465201000000");
  EXPECT_EQ(hex(frame.subspan(12, 12)), "a00000002c01000000000000");
  std::uint32_t packed = 0;
  std::uint64_t packed_sum = 0, head_sum = 0;
  std::memcpy(&packed, frame.data() + 8, 4);
  std::memcpy(&packed_sum, frame.data() + 24, 8);
  std::memcpy(&head_sum, frame.data() + 32, 8);
  EXPECT_EQ(frame.size(), 40 + packed);
  EXPECT_EQ(packed_sum, io::checksum64(frame.subspan(40)));
  EXPECT_EQ(head_sum, io::checksum64(frame.first(32)));
}

// In version 1 the parts of a lease were leases, and which of them changed their rows was not told:
// updates do.
TEST(Formats, ATraceOfVersion1IsRead) {
  using offload::TraceEvent;
  using offload::TraceKind;
  io::SimulatedDisk disk({.record_log = false});
  {
    offload::TraceFile file(disk, "/trace", {.table = 2, .rows = 5000, .run_id = 77, .seed = 9}, 0);
    offload::TraceLists lists;
    std::vector<std::byte> bytes;
    for (const offload::Pass pass : {offload::Pass::kForward, offload::Pass::kUpdate}) {
      encode({.kind = TraceKind::kLease,
              .number = 1,
              .account = {offload::Cause::kTraining, 4, pass},
              .list = {7}},
             lists, bytes);
    }
    file.append(bytes, 300);
  }
  std::vector<std::byte> file = disk.read_file("/trace", 1 << 20);
  const std::vector<std::byte> header = from_hex(kTraceHeader1);
  std::copy(header.begin(), header.end(), file.begin());
  disk.write_file("/trace", file);
  offload::TraceReader reader(disk, "/trace");
  EXPECT_EQ(reader.version(), 1u);
  TraceEvent event;
  ASSERT_TRUE(reader.next(event));
  EXPECT_FALSE(event.changes_rows);
  ASSERT_TRUE(reader.next(event));
  EXPECT_TRUE(event.changes_rows);
  EXPECT_EQ(event.part_rows, 0u);
  EXPECT_FALSE(reader.next(event));
  // What a run that goes on would append is of this version.
  EXPECT_EQ(offload::trace_bytes_until(disk, "/trace", reader.header(), 300), std::nullopt);
}

TEST(Formats, ARowTableFileHasTheseBytes) {
  const RowTableHead head = {.table = 2, .base = true, .next_generation = 77, .entries = 2};
  const std::vector<offload::TableEntry> entries = {{4, 9, 70},
                                                    {0xfffffffd, 3, (std::uint64_t{1} << 32) + 5}};
  io::SimulatedDisk disk({.record_log = false});
  RowTableWriter writer(disk, "/table", head);
  for (const offload::TableEntry& entry : entries) writer.append(entry);
  writer.finish();
  EXPECT_EQ(hex(disk.read_file("/table", 1 << 20)), kRowTable);

  disk.write_file("/table", from_hex(kRowTable));
  RowTableReader reader(disk, "/table");
  EXPECT_EQ(reader.head(), head);
  for (const offload::TableEntry& entry : entries) EXPECT_EQ(reader.next(), entry);
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(Formats, AManifestHasTheseBytes) {
  Manifest manifest;
  manifest.run = {.id = 0x123456789abcdef0,
                  .config = "[run]\n",
                  .data = {12000, 5},
                  .validation_data = {},  // as all manifests had it before there was one
                  .schedule = {{1, {{"train.steps", "200"}}}}};
  manifest.checkpoints = {{.step = 20,
                           .dense = {"dense-0000000020.safetensors", 0xfedcba9876543210},
                           .tables = {{{"table-0-0000000010-base.rows-table", 7},
                                       {"table-0-0000000020.rows-table", 8}}},
                           .metrics = {4711, 99},
                           .rows = {}}};
  io::SimulatedDisk disk({.record_log = false});
  disk.make_directories("/run");
  write_manifest(disk, "/run", manifest);
  const std::vector<std::byte> bytes = disk.read_file("/run/manifest.json", 1 << 20);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), kManifest);

  disk.write_file("/run/manifest.json", std::as_bytes(std::span(kManifest)));
  const Manifest read = read_manifest(disk, "/run");
  EXPECT_EQ(read.checkpoints, manifest.checkpoints);
  EXPECT_EQ(read.run.id, manifest.run.id);
  EXPECT_EQ(read.run.config, manifest.run.config);
  EXPECT_EQ(read.run.data, manifest.run.data);
  EXPECT_EQ(read.run.schedule, manifest.run.schedule);
  EXPECT_EQ(read.run.validation_data, manifest.run.validation_data);
}

TEST(Formats, AConfigurationFileStartsWithThisLine) {
  const std::string config = "[run]\nseed = 1\n";
  const std::string text = run_config_text(0x123456789abcdef0, config);
  EXPECT_EQ(text,
            "# mneme run 123456789abcdef0, checksum 0718e8430ed94cbd; change keys with --set, not "
            "in this file\n" +
                config);
  EXPECT_EQ(run_of_config_text(text), 0x123456789abcdef0u);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] ^= 1;
    EXPECT_NE(run_of_config_text(damaged), run_of_config_text(text)) << i;
    EXPECT_EQ(run_of_config_text(text.substr(0, i)), std::nullopt) << i;
  }
}

TEST(Formats, AMarkOfTheMetricsIsThisOne) {
  MetricsMark mark = extend_mark({}, "{\"step\":1}\n");
  mark = extend_mark(mark, "{\"step\":2}\n");
  EXPECT_EQ(mark.bytes, 22u);
  EXPECT_EQ(mark.checksum, 0xc2352e9ade881966u);
}

}  // namespace
}  // namespace mneme::engine
