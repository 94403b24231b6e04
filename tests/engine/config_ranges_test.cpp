// Every value in a documented range is one that training can start with, or is refused by its key
// and line before anything starts.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <variant>
#include <vector>

#include "engine/config.h"
#include "engine/config_keys.h"
#include "engine/model_options.h"
#include "engine/run_options.h"
#include "engine/schedule.h"
#include "io/error.h"
#include "kernels/catch_up_table.h"
#include "memory/row_optimizer.h"

namespace mneme::engine {
namespace {

using Words = std::vector<std::string>;

// The ends of a key's range, as they are written in a configuration.
struct Ends {
  Words inside;
  Words outside;
  Ends operator()(const IntegerValue& value) const {
    Ends ends{{fmt::format("{}", value.least), fmt::format("{}", value.most)},
              {fmt::format("{}", value.least - 1)}};
    if (value.most < std::numeric_limits<std::int64_t>::max()) {
      ends.outside.push_back(fmt::format("{}", value.most + 1));
    }
    return ends;
  }
  Ends operator()(const BytesValue& value) const {
    Ends ends{{"0", format_bytes(kMostBytes)}, {"-1", fmt::format("{}", kMostBytes + 1)}};
    if (value.percent != nullptr) {
      for (const char* share : {"0.001%", "50 %"}) ends.inside.push_back(share);
      ends.inside.push_back(fmt::format("{}%", value.most_percent));
      for (const char* share : {"0%", "-1%", "1%%", "%", "1.2.3%", "nan%"}) {
        ends.outside.push_back(share);
      }
      ends.outside.push_back(fmt::format("{}%", value.most_percent + 0.1));
    } else {
      ends.outside.push_back("50%");
    }
    return ends;
  }
  Ends operator()(const RealValue& value) const {
    const auto beyond = [](double end, double direction) {
      return fmt::format("{}", std::nextafter(end, direction * HUGE_VAL));
    };
    return {{fmt::format("{}", value.least), fmt::format("{}", value.most)},
            {beyond(value.least, -1), beyond(value.most, 1), "nan"}};
  }
  Ends operator()(const FlagValue&) const { return {{"true", "false"}, {"maybe"}}; }
  Ends operator()(const ParsedValue& value) const { return {value.examples, {}}; }
  Ends operator()(const ChoiceValue& value) const { return {value.names, {"another"}}; }
  Ends operator()(const IntegerListValue& value) const {
    return {{fmt::format("[{}]", value.least), fmt::format("[{}]", value.most)},
            {fmt::format("[{}]", value.least - 1), fmt::format("[{}]", value.most + 1)}};
  }
  // Text has no range.
  Ends operator()(const TextValue&) const { return {}; }
  Ends operator()(const TextListValue&) const { return {}; }
};

// The checks of the parts that get these values, as far as they need no machine.
void check_as_owners_do(const Config& config) {
  resolve(model_options(config));
  if (!config.has_memory()) return;
  const memory::RowOptimizerOptions rows = value_table_options(config, 0).optimizer;
  memory::check_options(rows);
  if (rows.kind != kernels::RowOptimizerKind::kAdamW) return;
  kernels::CatchUpTable table({.beta1 = rows.beta1,
                               .beta2 = rows.beta2,
                               .epsilon = rows.epsilon,
                               .weight_decay = rows.weight_decay,
                               .learning_rate = rows.learning_rate});
  table.advance(20);  // the end of the warm-up has the highest rate
}

// "" where a configuration with these settings starts, else its error.
std::string error_of(const Words& settings) {
  Config config;
  try {
    config = parse_config("", "run.toml", settings);
  } catch (const io::Error& error) {
    return error.what();
  }
  EXPECT_NO_THROW(check_as_owners_do(config));
  return "";
}

TEST(ConfigRanges, TheirEndsAreAcceptedOrRefusedByTheirKey) {
  for (const char* optimizer : {"adamw", "adamw-lazy", "adagrad-rowwise", "sgd"}) {
    int accepted = 0;
    Config config;
    for (const Key& key : config_keys(config)) {
      const Words base = {"model.feed_forward=memory@0",
                          std::string("memory.optimizer.kind=") + optimizer};
      const Ends ends = std::visit(Ends{}, key.value);
      for (const std::string& value : ends.inside) {
        const std::string setting = key.name + "=" + value;
        SCOPED_TRACE(setting);
        Words settings = base;
        settings.push_back(setting);
        const std::string error = error_of(settings);
        if (error.empty()) {
          ++accepted;
        } else {
          EXPECT_EQ(error.rfind("--set ", 0), 0u) << error;
          EXPECT_NE(error.find(key.name), std::string::npos) << error;
        }
      }
      for (const std::string& value : ends.outside) {
        const std::string setting = key.name + "=" + value;
        SCOPED_TRACE(setting);
        const std::string error = error_of({setting});
        EXPECT_EQ(error.rfind("--set " + setting + ": " + key.name + ": ", 0), 0u) << error;
        EXPECT_NE(error.find(describe_type(key.value)), std::string::npos) << error;
      }
    }
    EXPECT_GT(accepted, 100);
  }
}

TEST(ConfigRanges, EveryNameOfAChoiceReadsBack) {
  Config config;
  for (const Key& key : config_keys(config)) {
    const auto* choice = std::get_if<ChoiceValue>(&key.value);
    if (choice == nullptr) continue;
    for (const std::string& name : choice->names) {
      choice->set(name);
      EXPECT_EQ(choice->get(), name) << key.name;
    }
  }
}

TEST(ConfigRanges, OnlyWhatAnOptimizerUsesIsAskedOfIt) {
  const Words memory = {"model.feed_forward=memory@0"};
  const auto with = [&](const Words& more) {
    Words settings = memory;
    settings.insert(settings.end(), more.begin(), more.end());
    return error_of(settings);
  };
  EXPECT_EQ(with({"memory.optimizer.beta2=0", "memory.optimizer.kind=sgd"}), "");
  EXPECT_EQ(with({"memory.optimizer.beta2=0", "memory.optimizer.kind=adagrad-rowwise"}), "");
  EXPECT_EQ(with({"memory.optimizer.beta2=0", "memory.optimizer.kind=adamw-lazy"}), "");
  EXPECT_EQ(with({"memory.optimizer.beta2=0", "memory.optimizer.beta1=0"}), "");
  EXPECT_EQ(with({"memory.optimizer.beta2=0"}),
            "--set memory.optimizer.beta2=0: memory.optimizer.beta2: memory.optimizer.beta1 is "
            "0.9; with adamw it must be below the square root of beta2, 0");
  EXPECT_EQ(with({"memory.optimizer.beta1=0.98"}),
            "--set memory.optimizer.beta1=0.98: memory.optimizer.beta1: memory.optimizer.beta1 is "
            "0.98; with adamw it must be below the square root of beta2, 0.974679");
  EXPECT_NE(with({"memory.optimizer.beta1=0.9999", "memory.optimizer.beta2=0.999999"})
                .find("memory.optimizer.beta1 is 0.9999, so that momentum would matter for more "
                      "than 8192 missed steps"),
            std::string::npos);
  EXPECT_EQ(error_of({"memory.optimizer.beta2=0"}), "") << "there are no rows to optimise";
}

TEST(ConfigRanges, AScheduleLeavesSomethingOfAWeightInEveryStep) {
  const std::string reason =
      ": a step of learning rate 20 with weight decay 0.1 leaves nothing of a weight; lower one "
      "of them, their product must be below 1";
  const Words memory = {"model.feed_forward=memory@0"};
  for (const char* kind : {"adamw", "adamw-lazy", "adagrad-rowwise", "sgd"}) {
    EXPECT_EQ(error_of({memory[0], std::string("memory.optimizer.kind=") + kind,
                        "memory.optimizer.learning_rate=20"}),
              "--set memory.optimizer.learning_rate=20: memory.optimizer.learning_rate" + reason);
  }
  EXPECT_EQ(error_of({"optimizer.learning_rate=20"}),
            "--set optimizer.learning_rate=20: optimizer.learning_rate" + reason);
  EXPECT_EQ(error_of({"optimizer.learning_rate=20", "optimizer.weight_decay=0"}), "");
  EXPECT_EQ(error_of({memory[0], "memory.optimizer.learning_rate=9.9999999999"}), "");
}

TEST(ConfigRanges, TheScheduleNeverExceedsItsPeak) {
  // What the check of the peak says holds for every step.
  for (const double peak : {0.1, 0.3, 0.7, 9.9999999999999982, 1e-3 / 3}) {
    for (std::uint64_t warmup = 1; warmup < 300; ++warmup) {
      const ScheduleOptions options{.kind = ScheduleKind::kCosine,
                                    .peak = peak,
                                    .warmup_steps = warmup,
                                    .steps = warmup + 3,
                                    .min_ratio = 1};
      for (std::uint64_t step = warmup; step < warmup + 5; ++step) {
        EXPECT_LE(learning_rate(options, step), peak) << warmup << " " << step;
      }
    }
  }
}

// Budgets as shares of a table of 128^2 rows of 128 floats, with records of 1,568 bytes.
TEST(ConfigRanges, ABudgetMayBeAShareOfTheTable) {
  const Words memory = {"model.feed_forward=memory@0,1"};
  const auto with = [&](const std::string& more) {
    Words settings = memory;
    settings.push_back(more);
    return parse_config("[tiers]\ndevice_bytes = \"25%\"\nhost_bytes = \"0.01%\"", "f", settings);
  };
  constexpr std::uint64_t kRows = 128 * 128, kRecord = 1568;
  Config config = with("tiers.disk_bytes=200%");
  EXPECT_EQ(config.tiers.store.device_bytes, kRows / 4 * kRecord);
  EXPECT_EQ(config.tiers.store.host_bytes, 2 * kRecord) << "1.6 rows are 2 rows";
  EXPECT_EQ(config.tiers.store.disk_bytes, 2 * kRows * kRecord);
  // What was written is kept, and follows the table.
  const std::string text = to_toml(config);
  EXPECT_NE(text.find("device_bytes = \"25%\"\nhost_bytes = \"0.01%\"\ndisk_bytes = \"200%\""),
            std::string::npos)
      << text;
  EXPECT_EQ(to_toml(parse_config(text, "again")), text);
  EXPECT_EQ(with("memory.half_keys=256").tiers.store.device_bytes, kRows * kRecord);
  EXPECT_EQ(with("memory.value_type=bfloat16").tiers.store.device_bytes,
            kRows / 4 * (kRecord - 256));
  // The last setting counts.
  config = with("tiers.device_bytes=1MiB");
  EXPECT_EQ(config.tiers.store.device_bytes, 1u << 20);
  EXPECT_NE(to_toml(config).find("device_bytes = \"1MiB\""), std::string::npos);
  // Too small for a tier is said in bytes; without a memory there is nothing to have a share of.
  EXPECT_EQ(
      error_of({memory[0], "tiers.device_bytes=0.01%"}),
      "--set tiers.device_bytes=0.01%: tiers.device_bytes: a device tier of 3136 bytes is too "
      "small: rows of width 128 need at least 25264 bytes");
  EXPECT_EQ(error_of({"tiers.device_bytes=25%"}), "");
}

// --set model.feed_forward=dense makes the dense twin of any configuration.
TEST(ConfigRanges, WithoutAMemoryItsKeysAreLeftUnused) {
  EXPECT_EQ(error_of({"memory.knn=100", "memory.half_keys=3", "memory.key_width=5",
                      "tiers.device_bytes=0", "train.batch=1048576"}),
            "");
}

TEST(ConfigRanges, SizesThatNoStepCanHaveAreRefusedByTheirKey) {
  const Words memory = {"model.feed_forward=memory@0,1"};
  EXPECT_EQ(error_of({memory[0], "train.micro_batches=1048576", "memory.row_gradient=factored"}),
            "--set train.micro_batches=1048576: train.micro_batches: a step of 1048576 "
            "micro-batches, 2 memory layers and 1024 tokens with 128 rows each is beyond "
            "4294967294 look-ups; use fewer tokens a step, or memory.row_gradient = "
            "\"accumulated\"");
  EXPECT_EQ(error_of({memory[0], "train.micro_batches=1048576"}), "");
  EXPECT_EQ(error_of({memory[0], "tiers.device_bytes=100"}).substr(0, 105),
            "--set tiers.device_bytes=100: tiers.device_bytes: a device tier of 100 bytes is too "
            "small: rows of width ");
  EXPECT_EQ(error_of({"model.width=1032"}),
            "--set model.width=1032: model.width: heads are at most 256 wide, but 1032 / 4 is 258; "
            "use more model.attention_heads");
}

}  // namespace
}  // namespace mneme::engine
