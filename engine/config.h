// A run's configuration: one struct tree, read from a TOML file and `--set key=value` overrides.
//
// Every key stands once in the table of config_keys.cpp (name, type, range, one sentence); reading,
// writing, `mneme train --help-config` and docs/configuration.md all come from that table. The
// defaults are the initialisers below and suit a small run on a CPU. This room checks what can be
// known from the numbers alone; what needs the machine or the data is checked by their owners.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/block_kinds.h"
#include "io/enum_names.h"
#include "kernels/expert_ops.h"
#include "kernels/row_ops.h"
#include "memory/prediction/predictor_kind.h"
#include "memory/table_layer.h"
#include "offload/tiered_store.h"

namespace mneme::engine {

enum class DeviceKind { kAuto, kCpu, kCuda };
constexpr auto enum_names(DeviceKind) {
  return std::to_array<io::EnumName<DeviceKind>>(
      {{"auto", DeviceKind::kAuto}, {"cpu", DeviceKind::kCpu}, {"cuda", DeviceKind::kCuda}});
}

enum class DataFormat { kAuto, kBytes, kShards, kNanogpt, kMegatron };
constexpr auto enum_names(DataFormat) {
  return std::to_array<io::EnumName<DataFormat>>({{"auto", DataFormat::kAuto},
                                                  {"bytes", DataFormat::kBytes},
                                                  {"shards", DataFormat::kShards},
                                                  {"nanogpt", DataFormat::kNanogpt},
                                                  {"megatron", DataFormat::kMegatron}});
}

// Whether documents that share a window read one another.
enum class Documents { kJoined, kSeparate };
constexpr auto enum_names(Documents) {
  return std::to_array<io::EnumName<Documents>>(
      {{"joined", Documents::kJoined}, {"separate", Documents::kSeparate}});
}

enum class ValidationSplit { kSpread, kTail };
constexpr auto enum_names(ValidationSplit) {
  return std::to_array<io::EnumName<ValidationSplit>>(
      {{"spread", ValidationSplit::kSpread}, {"tail", ValidationSplit::kTail}});
}

enum class ScheduleKind { kLinear, kCosine, kConstant };
constexpr auto enum_names(ScheduleKind) {
  return std::to_array<io::EnumName<ScheduleKind>>({{"linear", ScheduleKind::kLinear},
                                                    {"cosine", ScheduleKind::kCosine},
                                                    {"constant", ScheduleKind::kConstant}});
}

// Where the gradient of a step's rows is kept until the rows are updated.
enum class RowGradientKind { kAuto, kFactored, kAccumulated };
constexpr auto enum_names(RowGradientKind) {
  return std::to_array<io::EnumName<RowGradientKind>>(
      {{"auto", RowGradientKind::kAuto},
       {"factored", RowGradientKind::kFactored},
       {"accumulated", RowGradientKind::kAccumulated}});
}

struct RunConfig {
  std::string directory = "runs/run";
  std::uint64_t seed = 1;
  std::int64_t threads = 0;  // 0: all cores that the process may use
  DeviceKind device = DeviceKind::kAuto;
  std::int64_t device_index = 0;  // of the CUDA device
  std::uint64_t arena_bytes = 0;  // of device memory, all of it; 0: what is free
  kernels::FloatType compute_type = kernels::FloatType::kBF16;  // on a CUDA device
  std::int64_t transfer_multiprocessors = 16;                   // of the CUDA device
  bool trace = false;                                           // of what the store is asked for
  bool trace_tokens = false;                                    // with the batches' tokens
  bool trace_lookups = false;                                   // and the rows of each token
  bool open_metrics = false;                                    // a file for monitors
};

struct DataConfig {
  std::string path;                                       // file or folder
  std::vector<std::string> extensions = {".txt", ".md"};  // of a folder's text files; empty: all
  DataFormat format = DataFormat::kAuto;
  std::string validation_path;     // file or folder; empty: a share of `path`
  double validation_share = 0.05;  // of `path`, without a validation_path
  ValidationSplit validation_split = ValidationSplit::kSpread;
  Documents documents = Documents::kJoined;
  std::int64_t separator = -1;  // the token that every document starts with; -1: none
  std::int64_t vocabulary = 256;
  std::string tokenizer;                    // its file; empty: bytes, or a dataset's own
  std::string tokenizer_encoding = "auto";  // of a tiktoken file
};

struct ModelConfig {
  std::int64_t width = 128;  // C
  std::int64_t blocks = 4;
  std::int64_t attention_heads = 4;
  std::int64_t kv_heads = 4;
  std::int64_t feed_forward_hidden = 384;
  BlockKinds feed_forward;  // what replaces it, in which blocks
  double rope_theta = 10000;
  double norm_epsilon = 1e-5;
  bool tied_output = false;
};

struct MemoryOptimizerConfig {
  kernels::RowOptimizerKind kind = kernels::RowOptimizerKind::kAdamW;
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;  // of the table's own gradient; 0 for none
};

// The value table of all layers that read one, and these layers.
struct MemoryConfig {
  std::int64_t heads = 4;        // H
  std::int64_t knn = 32;         // k
  std::int64_t half_keys = 128;  // n; the table has n^2 rows
  std::int64_t key_width = 128;  // d_k, both halves
  std::int64_t value_width = 0;  // d_v; 0 for the model's width
  memory::Gate gate = memory::Gate::kSwilu;
  bool scalar_gate = false;
  memory::QueryKeyNorm query_key_norm = memory::QueryKeyNorm::kNone;
  kernels::FloatType value_type = kernels::FloatType::kF32;
  kernels::FloatType moment_type = kernels::FloatType::kF32;
  RowGradientKind row_gradient = RowGradientKind::kAuto;  // one of the others once it was read
  MemoryOptimizerConfig optimizer;
};

// Mixtures of experts.
struct MoeConfig {
  std::int64_t experts = 8;
  std::int64_t hidden = 0;  // 0 for the model's feed_forward_hidden
  kernels::Routing routing = kernels::Routing::kTopOne;
  double balance_loss = 0.01;
};

// Budgets that are given as percent of the table's records; none where bytes are given.
struct TierShares {
  std::optional<double> device_percent;
  std::optional<double> host_percent;
  std::optional<double> disk_percent;
};

// Budgets that are given as "auto": `store` has bytes of them once choose_tiers() has looked at the
// machine (tier_choice.h), which clears the marks.
struct AutomaticTiers {
  bool device = false, host = false, disk = false;
  bool any() const { return device || host || disk; }
};

struct TiersConfig {
  // Speeds of the links are given in GB/s in the file and kept in bytes per second.
  offload::TierOptions store{.device_bytes = 64ull << 20, .host_bytes = 256ull << 20};
  TierShares shares;  // what `store` has bytes of, where it is given so
  AutomaticTiers automatic;
  // Folders, on a disk each, that the rows are spread over; empty: they are in the run directory.
  std::vector<std::string> disk_paths;
  memory::PredictorKind prefetch = memory::PredictorKind::kNone;
  // Moved by prefetches in one step at most: from the disk to the host tier, and on to the device.
  std::uint64_t prefetch_bytes = 64ull << 20;
  std::uint64_t prefetch_device_bytes = 64ull << 20;
  std::uint64_t prefetch_history_bytes = 64ull << 20;   // device memory of histories
  double prefetch_confidence = 0.4;                     // of rows that are hinted, at the least
  std::vector<std::int64_t> lookahead_distances = {1};  // blocks
  std::int64_t lookahead_knn = 0;                       // rows for each head; 0: 1.5 * memory.knn
  double lookahead_share = 1;                           // of the tokens
  bool lookahead_learns = true;                         // a map from states to queries
};

struct TrainConfig {
  std::int64_t steps = 200;
  std::int64_t batch = 8;          // sequences of one micro-batch
  std::int64_t sequence = 128;     // tokens of one sequence
  std::int64_t micro_batches = 1;  // micro-batches whose gradients make one step
  // Device memory for the factored gradient of the micro-batches that are kept at once.
  std::uint64_t row_gradient_bytes = std::uint64_t{1} << 30;
  std::int64_t warmup_steps = 20;
  ScheduleKind schedule = ScheduleKind::kCosine;
  double min_ratio = 0.01;  // last learning rate over the highest one
  std::int64_t log_every = 10;
};

struct OptimizerConfig {
  double learning_rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;  // of the dense parameters' gradient; 0 for none
};

struct EvaluationConfig {
  std::int64_t every = 100;  // steps; 0: only at the end
  std::int64_t batches = 4;
  bool final = true;  // once more after the last step
};

struct CheckpointConfig {
  std::int64_t every = 0;  // steps; 0: only at the end
  std::int64_t keep = 2;
  bool final = true;       // after the last step; a run that is stopped is always saved
  bool background = true;  // training goes on while one is written
  // Host memory for records on their way into one.
  std::uint64_t copy_bytes = std::uint64_t{256} << 20;
};

struct SampleConfig {
  std::string prompt = "The ";
  std::int64_t tokens = 128;
  double temperature = 0.8;
  double top_p = 0.95;
  std::int64_t every = 0;  // steps; 0: only at the end
};

struct Config {
  RunConfig run;
  DataConfig data;
  ModelConfig model;
  MemoryConfig memory;
  MoeConfig moe;
  TiersConfig tiers;
  TrainConfig train;
  OptimizerConfig optimizer;
  EvaluationConfig evaluation;
  CheckpointConfig checkpoint;
  SampleConfig sample;

  // Whether there are checkpoints that training goes on beside.
  bool saves_behind_training() const { return checkpoint.background && checkpoint.every > 0; }
  // Blocks whose layers read the value table; one is Memory, several sharing it Memory+.
  std::vector<std::int64_t> table_blocks() const { return model.feed_forward.table_blocks(); }
  // Whether there is a table.
  bool has_memory() const { return !table_blocks().empty(); }
  // Of a row: PEER's have u and v.
  int row_parts() const { return model.feed_forward.has(FeedForwardKind::kPeer) ? 2 : 1; }
  std::int64_t value_width() const {
    return memory.value_width == 0 ? model.width : memory.value_width;
  }
  // K, the rows of the value table.
  std::uint64_t table_rows() const {
    return static_cast<std::uint64_t>(memory.half_keys) *
           static_cast<std::uint64_t>(memory.half_keys);
  }
  std::int64_t tokens_per_micro_batch() const { return train.batch * train.sequence; }
  std::int64_t tokens_per_step() const { return tokens_per_micro_batch() * train.micro_batches; }
};

// Reads a TOML file and applies overrides ("section.key=value" each, the value in TOML or as a bare
// string) in order. Throws Error in one line: file and line (or the override), the key, what is
// wrong with it, and for an unknown key the nearest known one.
Config load_config(const std::string& path, std::span<const std::string> overrides = {});
// The same from text; `name` stands for the file in messages.
Config parse_config(std::string_view text, const std::string& name,
                    std::span<const std::string> overrides = {});
// The configuration of a run as its manifest has it. A key that is not there belongs to a later
// version than the run's: it takes the value that does as the version before it did, whatever the
// default.
Config parse_recorded_config(std::string_view text, const std::string& name,
                             std::span<const std::string> overrides = {});
// Sets the bytes of the tiers whose budgets are shares of the table, as reading a configuration
// does: `percent` of the rows, rounded to whole rows, times the bytes of a record. Does nothing
// without a memory.
void apply_tier_shares(Config& config);
// Checks a configuration made in code as one read from a file is checked. Throws Error.
void check_config(const Config& config);

// The override that sets a key to exactly this text, whatever it looks like.
std::string text_override(const std::string& key, const std::string& text);

// The resolved configuration as TOML, every key present. parse_config reads it back unchanged.
std::string to_toml(const Config& config);
// The keys as text for a terminal (`mneme train --help-config`), and as docs/configuration.md.
std::string config_help();
std::string config_markdown();

}  // namespace mneme::engine
