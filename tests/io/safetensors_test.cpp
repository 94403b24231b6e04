// What is written comes back, the golden files open, and no header, however hostile, does harm.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "io/error.h"
#include "io/random.h"
#include "io/safetensors_header.h"
#include "tests/io/temporary_directory.h"
#include "tests/simulated_disk/simulated_disk.h"

namespace mneme::io {
namespace {

using Declaration = SafetensorsWriter::Declaration;

std::vector<std::byte> file_of(const std::string& json, std::size_t data_bytes) {
  const std::uint64_t length = json.size();
  std::vector<std::byte> file(sizeof(length) + json.size() + data_bytes, std::byte{7});
  std::memcpy(file.data(), &length, sizeof(length));
  std::memcpy(file.data() + sizeof(length), json.data(), json.size());
  return file;
}

// The error of opening such a file, or "" when it opens.
std::string error_of(const std::vector<std::byte>& file) {
  SimulatedDiskOptions options;
  options.record_log = false;
  SimulatedDisk disk(options);
  disk.write_file("f", file);
  try {
    SafetensorsReader reader(disk, "f");
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("f:"), std::string::npos) << error.what();
    return error.what();
  }
  return "";
}

std::string error_of(const std::string& json, std::size_t data_bytes) {
  return error_of(file_of(json, data_bytes));
}

std::string tensor(const std::string& name, const std::string& type, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape +
         "],\"data_offsets\":[" + offsets + "]}";
}

TEST(Safetensors, tensors_and_metadata_come_back_as_written) {
  test::TemporaryDirectory directory;
  for (const bool simulated : {false, true}) {
    SCOPED_TRACE(simulated);
    std::unique_ptr<Disk> disk = make_posix_disk();
    if (simulated) disk = std::make_unique<SimulatedDisk>();
    const std::string path = simulated ? "f" : directory.file("f");
    // The second one needs more than one staging buffer; the odd sizes shift what follows.
    const std::vector<Declaration> declared = {{"odd \"name\"\n", ElementType::kU8, {3, 1, 1}},
                                               {"large", ElementType::kF32, {700, 1000}},
                                               {"none", ElementType::kI32, {5, 0}},
                                               {"scalar", ElementType::kF64, {}}};
    const std::map<std::string, std::string> metadata = {{"config", "{\"a\": 1}"}, {"step", "7"}};
    std::vector<std::byte> odd(3);
    std::vector<float> large(700 * 1000);
    std::iota(large.begin(), large.end(), 0.5f);
    const double scalar = -1.25;
    SplitMix(1).fill(odd);
    {
      SafetensorsWriter writer(*disk, path, declared, metadata);
      writer.append(odd);
      const auto bytes = std::as_bytes(std::span(large));
      for (std::size_t at = 0; at < bytes.size(); at += 99991) {
        writer.append(bytes.subspan(at, std::min<std::size_t>(99991, bytes.size() - at)));
      }
      writer.append(std::as_bytes(std::span(&scalar, 1)));
      writer.finish();
    }
    SafetensorsReader reader(*disk, path);
    EXPECT_EQ(reader.metadata(), metadata);
    ASSERT_EQ(reader.tensors().size(), declared.size());
    for (const Declaration& tensor : declared) {
      ASSERT_TRUE(reader.contains(tensor.name));
      EXPECT_EQ(reader.info(tensor.name).shape, tensor.shape);
      EXPECT_EQ(reader.info(tensor.name).type, tensor.type);
    }
    std::vector<std::byte> odd_back(3);
    reader.read(reader.info(declared[0].name), odd_back);
    EXPECT_EQ(odd_back, odd);
    EXPECT_EQ(reader.read_f32("large"), large);
    EXPECT_EQ(reader.read_f64("large"), std::vector<double>(large.begin(), large.end()));
    EXPECT_TRUE(reader.read_i64("none").empty());
    EXPECT_EQ(reader.read_f64("scalar"), std::vector<double>{scalar});
    EXPECT_FALSE(reader.contains("other"));
    EXPECT_THROW(reader.info("other"), Error);
    EXPECT_THROW(reader.read_i64("scalar"), Error) << "would lose the fraction";
  }
}

TEST(Safetensors, every_element_type_converts_exactly) {
  SimulatedDisk disk;
  const std::uint16_t halves[] = {0x3c00, 0xc100, 0x0001, 0x7bff, 0x8000, 0x7c00};
  const std::uint16_t brains[] = {0x3f80, 0xc020, 0x0000};
  const std::int32_t ints[] = {-5, 2147483647};
  const std::uint32_t unsigneds[] = {4294967295u};
  const std::int64_t longs[] = {-9007199254740993};
  const std::uint8_t bytes[] = {255};
  {
    SafetensorsWriter writer(disk, "f",
                             {{"f16", ElementType::kF16, {6}},
                              {"bf16", ElementType::kBF16, {3}},
                              {"i32", ElementType::kI32, {2}},
                              {"u32", ElementType::kU32, {1}},
                              {"i64", ElementType::kI64, {1}},
                              {"u8", ElementType::kU8, {1}}},
                             {});
    writer.append(std::as_bytes(std::span(halves)));
    writer.append(std::as_bytes(std::span(brains)));
    writer.append(std::as_bytes(std::span(ints)));
    writer.append(std::as_bytes(std::span(unsigneds)));
    writer.append(std::as_bytes(std::span(longs)));
    writer.append(std::as_bytes(std::span(bytes)));
    writer.finish();
  }
  SafetensorsReader reader(disk, "f");
  const std::vector<float> f16 = reader.read_f32("f16");
  EXPECT_EQ(f16[0], 1.0f);
  EXPECT_EQ(f16[1], -2.5f);
  EXPECT_EQ(f16[2], 0x1.0p-24f);
  EXPECT_EQ(f16[3], 65504.0f);
  EXPECT_TRUE(f16[4] == 0 && std::signbit(f16[4]));
  EXPECT_TRUE(std::isinf(f16[5]));
  EXPECT_EQ(reader.read_f64("bf16"), (std::vector<double>{1.0, -2.5, 0.0}));
  EXPECT_EQ(reader.read_i64("i32"), (std::vector<std::int64_t>{-5, 2147483647}));
  EXPECT_EQ(reader.read_i64("u32"), std::vector<std::int64_t>{4294967295});
  EXPECT_EQ(reader.read_i64("i64"), std::vector<std::int64_t>{longs[0]});
  EXPECT_EQ(reader.read_i64("u8"), std::vector<std::int64_t>{255});
}

TEST(Safetensors, the_golden_files_open_and_every_tensor_reads) {
  const auto disk = make_posix_disk();
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MNEME_GOLDEN_DIR_DEFAULT)) {
    if (entry.path().extension() != ".safetensors") continue;
    SCOPED_TRACE(entry.path().string());
    SafetensorsReader reader(*disk, entry.path().string());
    EXPECT_TRUE(reader.metadata().contains("config"));
    EXPECT_FALSE(reader.tensors().empty());
    for (const TensorInfo& info : reader.tensors()) {
      const bool integers = info.type == ElementType::kI64;
      const std::size_t count =
          integers ? reader.read_i64(info.name).size() : reader.read_f64(info.name).size();
      EXPECT_EQ(static_cast<std::int64_t>(count), info.element_count());
    }
    ++files;
  }
  EXPECT_GE(files, 20);
}

TEST(Safetensors, a_well_formed_header_of_others_opens) {
  EXPECT_EQ(error_of("{}", 0), "");
  EXPECT_EQ(error_of("{" + tensor("a", "F32", "2", "0,8") + "}   ", 8), "");
  EXPECT_EQ(error_of("{\"__metadata__\":{\"a\":\"b\"}," + tensor("b", "U8", "1", "8,9") + "," +
                         tensor("a", "F32", "2,1", "0,8") + "}",
                     9),
            "");
}

TEST(Safetensors, every_broken_header_is_refused_with_its_field_named) {
  const std::string good = tensor("a", "F32", "2", "0,8");
  const struct {
    std::string json;
    std::size_t data_bytes;
    std::string says;
  } cases[] = {
      {"{" + good + "}", 7, "cut short"},
      {"{" + good + "}", 9, "no tensor"},
      {"{" + good + "," + good + "}", 8, "twice"},
      {"{" + good + "," + tensor("b", "U8", "1", "9,10") + "}", 10, "'b'"},
      {"{" + good + "," + tensor("b", "U8", "4", "4,8") + "}", 8, "'b'"},
      {"{" + tensor("a", "F32", "3", "0,8") + "}", 8, "needs 12"},
      {"{" + tensor("a", "F99", "2", "0,8") + "}", 8, "F99"},
      {"{" + tensor("a", "F32", "-2", "0,8") + "}", 8, "negative"},
      {"{" + tensor("a", "F32", "2.0", "0,8") + "}", 8, "fraction"},
      {"{" + tensor("a", "F32", "2", "8,0") + "}", 8, "'a'"},
      {"{" + tensor("a", "F32", "2", "0,8,9") + "}", 8, "number"},
      {"{" + tensor("a", "F32", "2", "0") + "}", 8, "list"},
      {"{" + tensor("a", "F32", "4294967296,4294967296", "0,0") + "}", 0, "overflows"},
      {"{" + tensor("a", "F32", "9223372036854775807,3", "0,8") + "}", 8, "overflows"},
      {"{" + tensor("a", "F32", "18446744073709551615", "0,8") + "}", 8, "63 bits"},
      {"{" + tensor("a", "F32", "99999999999999999999999", "0,8") + "}", 8, "fraction"},
      {"{" + tensor("a", "U8", "0,9223372036854775807,9", "0,1") + "}", 1, "needs 0"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets"},
      {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype"},
      {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
       "twice"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "'x'"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]}}", 8, "array"},
      {"{\"__metadata__\":{\"a\":1}," + good + "}", 8, "number"},
      {"{\"__metadata__\":{\"a\":{}}," + good + "}", 8, "object"},
      {"{\"a\":null}", 0, "null"},
      {"{\"a\":true}", 0, "boolean"},
      {"[" + good + "]", 8, "start"},
      {"{" + good, 8, "JSON"},
      {"{" + good + "}{}", 8, "JSON"},
      {" {" + good + "}", 8, "start"},
      {"", 8, "start"},
      {"{\"\xff\":1}", 0, "JSON"},
  };
  for (const auto& broken : cases) {
    const std::string error = error_of(broken.json, broken.data_bytes);
    EXPECT_NE(error.find(broken.says), std::string::npos) << broken.json << "\n -> " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << "an error is one line";
  }
}

TEST(Safetensors, a_length_beyond_the_file_is_refused_before_it_is_allocated) {
  for (const std::uint64_t length :
       {std::uint64_t{3}, std::uint64_t{100'000'001}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    std::vector<std::byte> file = file_of("{}", 0);
    std::memcpy(file.data(), &length, sizeof(length));
    EXPECT_NE(error_of(file), "") << length;
  }
  EXPECT_NE(error_of(std::vector<std::byte>(7)), "");
  EXPECT_NE(error_of(std::vector<std::byte>()), "");
}

TEST(Safetensors, deep_nesting_is_refused_at_once) {
  EXPECT_NE(error_of("{\"a\":" + std::string(1'000'000, '['), 0), "");
  std::string objects = "{";
  for (int i = 0; i < 100'000; ++i) objects += "\"a\":{";
  EXPECT_NE(error_of(objects, 0), "");
}

TEST(Safetensors, mutated_headers_are_refused_or_describe_the_file_exactly) {
  SafetensorsHeader header;
  header.metadata = {{"config", "{}"}};
  header.tensors = {{"layers.0.weight", ElementType::kF32, {4, 6}, 0, 96},
                    {"bias", ElementType::kBF16, {5}, 96, 106},
                    {"ids", ElementType::kI64, {2, 3}, 106, 154}};
  const std::string good = make_safetensors_header(header).substr(sizeof(std::uint64_t));
  constexpr std::string_view kTokens[] = {"{",
                                          "}",
                                          "[",
                                          "]",
                                          ",",
                                          ":",
                                          "\"",
                                          "-1",
                                          "1e9",
                                          "0",
                                          "null",
                                          "\\u0000",
                                          "18446744073709551615",
                                          "\"dtype\""};
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    SCOPED_TRACE(seed);
    SplitMix random(seed);
    std::string json = good;
    for (std::uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
      const std::size_t at = random.below(json.size());
      switch (random.below(4)) {
        case 0:
          json[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          json.erase(at, 1 + random.below(8));
          break;
        case 2:
          json.insert(at, kTokens[random.below(std::size(kTokens))]);
          break;
        default:
          json.insert(at, json.substr(random.below(json.size()), random.below(40)));
      }
      if (json.empty()) json = "{";
    }
    try {
      const SafetensorsHeader parsed = parse_safetensors_header("f", json, 154);
      std::uint64_t end = 0;
      for (const TensorInfo& info : parsed.tensors) {
        ASSERT_EQ(info.begin, end);
        ASSERT_EQ(info.end - info.begin, tensor_bytes("f", info.name, info.type, info.shape));
        end = info.end;
      }
      ASSERT_EQ(end, 154u);
      ++accepted;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 0) << "names and padding may change without harm";
  EXPECT_LT(accepted, 10'000);
}

TEST(Safetensors, an_unfinished_file_leaves_the_old_one_or_none) {
  SimulatedDisk disk;
  const std::vector<std::byte> bytes(4096);
  for (const bool finished : {false, true, false}) {
    const auto before = disk.exists("f") ? disk.read_file("f", 1 << 20) : std::vector<std::byte>();
    {
      SafetensorsWriter writer(disk, "f", {{"a", ElementType::kU8, {4096}}}, {});
      writer.append(bytes);
      if (finished) writer.finish();
    }
    if (!finished && before.empty()) {
      EXPECT_FALSE(disk.exists("f"));
    } else if (!finished) {
      EXPECT_EQ(disk.read_file("f", 1 << 20), before);
    } else {
      EXPECT_NO_THROW(SafetensorsReader(disk, "f"));
    }
    EXPECT_EQ(disk.list(".").size(), disk.exists("f") ? 1u : 0u) << "nothing stays aside";
  }
}

TEST(Safetensors, a_header_ends_with_its_object) {
  SimulatedDisk disk;
  {
    SafetensorsWriter writer(disk, "f", {{"a", ElementType::kU8, {8}}}, {});
    writer.append(std::vector<std::byte>(8));
    writer.finish();
  }
  const auto whole = disk.read_file("f", 1 << 20);
  const std::size_t header_end = whole.size() - 8;
  for (const std::string& tail : {std::string("\0", 1), std::string("\0{}", 3), std::string("x"),
                                  std::string("{}"), std::string(" \0 ", 3)}) {
    auto changed = whole;
    const auto bytes = std::as_bytes(std::span(tail));
    changed.insert(changed.begin() + std::ptrdiff_t(header_end), bytes.begin(), bytes.end());
    changed[0] = std::byte(header_end - 8 + tail.size());
    disk.write_file("g", changed);
    EXPECT_THROW(SafetensorsReader(disk, "g"), Error) << tail;
  }
}

TEST(Safetensors, a_finished_file_survives_a_crash_and_a_full_disk_is_an_error) {
  SimulatedDisk disk;
  std::vector<std::byte> bytes(5000);
  SplitMix(2).fill(bytes);
  {
    SafetensorsWriter writer(disk, "f", {{"a", ElementType::kU8, {5000}}}, {});
    writer.append(bytes);
    writer.finish();
  }
  auto after = disk.crash_state(disk.operation_count(), {CrashPolicy::Kind::kDropUnsynced});
  SafetensorsReader reader(*after, "f");
  std::vector<std::byte> back(5000);
  reader.read(reader.info("a"), back);
  EXPECT_EQ(back, bytes);

  SimulatedFaults faults;
  faults.capacity_bytes = 6000;
  disk.set_faults(faults);
  EXPECT_THROW(SafetensorsWriter(disk, "g", {{"a", ElementType::kU8, {5000}}}, {}), Error);
}

}  // namespace
}  // namespace mneme::io
