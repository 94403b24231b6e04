#include "engine/config_keys.h"

#include <limits>

namespace mneme::engine {
namespace {

constexpr std::int64_t kAnyCount = std::numeric_limits<std::int32_t>::max();
constexpr double kAnyReal = 1e30;

template <typename T>
IntegerValue integer(T& field, std::int64_t least, std::int64_t most = kAnyCount) {
  return {[&field] { return static_cast<std::int64_t>(field); },
          [&field](std::int64_t value) { field = static_cast<T>(value); }, least, most};
}

RealValue real(double& field, double least, double most = kAnyReal, double scale = 1) {
  return {&field, least, most, scale};
}

ParsedValue block_kinds(BlockKinds& field) {
  return {
      .form = "dense, or KIND@BLOCKS with KIND memory | peer | moe and BLOCKS as 0,4-7 or 1-11/2",
      .examples = {"dense", "memory@0", "peer@1", "moe@0-3"},
      .get = [&field] { return field.text(); },
      .set = [&field](const std::string& text) { field = BlockKinds::parse(text); }};
}

template <typename Enum>
ChoiceValue choice(Enum& field) {
  ChoiceValue value;
  value.names = io::names_of<Enum>();
  value.get = [&field] { return io::name_of(field); };
  value.set = [&field](const std::string& name) { field = *io::value_named<Enum>(name); };
  return value;
}

void add_run(RunConfig& run, std::vector<Key>& keys) {
  keys.push_back({"run.directory", TextValue{&run.directory, TextKind::kPath},
                  "Folder of the run: resolved configuration, metrics, rows, checkpoints."});
  keys.push_back({"run.seed", integer(run.seed, 0, std::numeric_limits<std::int64_t>::max()),
                  "Seed of every initial value, of the order of the data and of samples."});
  keys.push_back({"run.threads", integer(run.threads, 0, 4096),
                  "CPU threads; 0 for all cores. Results do not depend on it."});
  keys.push_back({"run.device", choice(run.device),
                  "Where the model runs; auto takes a CUDA device when there is one."});
  keys.push_back({"run.device_index", integer(run.device_index, 0, 255),
                  "Which CUDA device, counted from 0."});
  keys.push_back({"run.arena_bytes", BytesValue{&run.arena_bytes},
                  "Device memory that the run takes at its start, on a CUDA device; 0 for what is "
                  "free less 1GiB."});
  keys.push_back({"run.compute_type", choice(run.compute_type),
                  "Type of activations and of matrix products on a CUDA device, summed in float32; "
                  "float32 is slow, for tests. The CPU computes in float32."});
  keys.push_back(
      {"run.transfer_multiprocessors", integer(run.transfer_multiprocessors, 1, 1024),
       "The most multiprocessors of a CUDA device that rows on their way from host memory "
       "take, and as many for rows on their way back."});
  keys.push_back({"run.trace", FlagValue{&run.trace},
                  "Whether training writes down which rows it asks for, in the folder trace of the "
                  "run: for `mneme trace`. A run that goes on continues its trace."});
  keys.push_back({"run.trace_tokens", FlagValue{&run.trace_tokens},
                  "Whether a trace holds the tokens of the batches, too."});
  keys.push_back({"run.trace_lookups", FlagValue{&run.trace_lookups},
                  "Whether it holds them and the rows that each token has read: for replays of "
                  "what predicts rows."});
  keys.push_back({"run.open_metrics", FlagValue{&run.open_metrics},
                  "Whether training keeps metrics.prom in the run's folder up to date, once a "
                  "second at the most: where it is, in OpenMetrics text format, for monitors."});
}

void add_data(DataConfig& data, std::vector<Key>& keys) {
  keys.push_back(
      {"data.path", TextValue{&data.path, TextKind::kPath},
       "Text file, folder of text files, files of tokens (*.bin), or a folder that mneme prepare "
       "has made, with its tokenizer."});
  keys.push_back({"data.extensions", TextListValue{&data.extensions, TextKind::kPath},
                  "Endings of the files taken from a folder of text; empty for all files."});
  keys.push_back(
      {"data.format", choice(data.format),
       "bytes: text, a token a byte or as data.tokenizer has it; shards: tokens in the llm.c "
       "layout; nanogpt: uint16 tokens "
       "without a header; megatron: pairs of *.bin and *.idx; auto: shards or megatron where files "
       "begin so, one or all *.bin of a folder, bytes otherwise."});
  keys.push_back(
      {"data.validation_path", TextValue{&data.validation_path, TextKind::kPath},
       "Data to validate on, in the same formats, instead of a share of data.path; all of "
       "data.path is then trained on."});
  keys.push_back({"data.validation_share", real(data.validation_share, 0, 0.9),
                  "Share of data.path kept for validation; without data.validation_path."});
  keys.push_back(
      {"data.validation_split", choice(data.validation_split),
       "spread: the share is taken in blocks all over the data, so that every document gives "
       "its part, whatever the order; tail: from the end of the data."});
  keys.push_back({"data.documents", choice(data.documents),
                  "joined: every position of a window attends to all before it; separate: to those "
                  "of its own document. Text files and shards end documents, and data.separator "
                  "begins one."});
  keys.push_back({"data.separator", integer(data.separator, -1),
                  "Id of the token that stands at the start of every document, with "
                  "data.documents = separate; -1 where there is none."});
  keys.push_back({"data.vocabulary", integer(data.vocabulary, 2, 1048576),
                  "Token ids are below this; 256 for bytes."});
  keys.push_back({"data.tokenizer", TextValue{&data.tokenizer, TextKind::kPath},
                  "Tokenizer of text: tokenizer.json (byte-level BPE), a tiktoken file, or a "
                  "SentencePiece model. Empty: a token a byte, or that of the folder that mneme "
                  "prepare has made."});
  keys.push_back({"data.tokenizer_encoding", TextValue{&data.tokenizer_encoding},
                  "Pattern and special tokens of a tiktoken file, as cl100k_base; auto knows them "
                  "by the number of its tokens."});
}

void add_model(ModelConfig& model, std::vector<Key>& keys) {
  keys.push_back({"model.width", integer(model.width, 2, 65536), "Width of the model (C)."});
  keys.push_back({"model.blocks", integer(model.blocks, 1, 1024), "Transformer blocks."});
  keys.push_back({"model.attention_heads", integer(model.attention_heads, 1, 1024),
                  "Attention heads; each has an even width of at most 256."});
  keys.push_back({"model.kv_heads", integer(model.kv_heads, 1, 1024),
                  "Key and value heads; must divide model.attention_heads."});
  keys.push_back(
      {"model.feed_forward", block_kinds(model.feed_forward),
       "What replaces the feed-forward, in which blocks, counted from 0: memory@6,12,18 is a "
       "product-key memory in three blocks that share one table (Memory+), peer@4-7 is PEER in "
       "four, moe@1-11/2 are mixtures of experts in every other block; several of them with spaces "
       "between. Without memory and PEER all keys of [memory] and [tiers] are left unused, without "
       "mixtures those of [moe]."});
  keys.push_back({"model.feed_forward_hidden", integer(model.feed_forward_hidden, 1, 1 << 20),
                  "Hidden width of the feed-forward layers."});
  keys.push_back({"model.rope_theta", real(model.rope_theta, 1),
                  "Base of the rotary embedding's wavelengths."});
  keys.push_back({"model.norm_epsilon", real(model.norm_epsilon, 1e-12, 1),
                  "Added to the mean square in RMSNorm."});
  keys.push_back({"model.tied_output", FlagValue{&model.tied_output},
                  "Use the embedding as the output head."});
}

void add_memory(MemoryConfig& memory, std::vector<Key>& keys) {
  keys.push_back({"memory.heads", integer(memory.heads, 1, 64), "Heads of a layer (H)."});
  keys.push_back(
      {"memory.knn", integer(memory.knn, 1, 128), "Rows read for each token and head (k)."});
  keys.push_back({"memory.half_keys", integer(memory.half_keys, 1, 65535),
                  "Half-keys of each side (n); the table has n^2 rows."});
  keys.push_back({"memory.key_width", integer(memory.key_width, 2, 65536),
                  "Width of a key, both halves together (d_k)."});
  keys.push_back({"memory.value_width", integer(memory.value_width, 0, 65536),
                  "Width of a row's value (d_v); 0 for model.width. PEER's is model.width."});
  keys.push_back({"memory.gate", choice(memory.gate),
                  "Gate of a memory layer's output by its input; PEER has none."});
  keys.push_back({"memory.scalar_gate", FlagValue{&memory.scalar_gate},
                  "Scale a memory layer's output by one learned sigmoid a token."});
  keys.push_back({"memory.query_key_norm", choice(memory.query_key_norm),
                  "Normalisation of queries and half-keys."});
  keys.push_back(
      {"memory.value_type", choice(memory.value_type), "Type in which values are stored."});
  keys.push_back({"memory.moment_type", choice(memory.moment_type),
                  "Type in which a row's optimiser moments are stored."});
  keys.push_back(
      {"memory.row_gradient", choice(memory.row_gradient),
       "Where a step's gradient of the rows waits for its end. factored: as look-ups and gradients "
       "of outputs, which grow with the tokens of a step; accumulated: added up in the rows, whose "
       "records take four bytes more for each column; auto: accumulated if "
       "train.row_gradient_bytes does not hold a step, and device and host memory hold the whole "
       "table."});
}

void add_memory_optimizer(MemoryOptimizerConfig& optimizer, std::vector<Key>& keys) {
  keys.push_back({"memory.optimizer.kind", choice(optimizer.kind),
                  "adamw equals dense AdamW over the whole table; the others move only the rows "
                  "that a step touches."});
  keys.push_back({"memory.optimizer.learning_rate", real(optimizer.learning_rate, 0, 100),
                  "Highest learning rate of values; follows the schedule of [train]. Times "
                  "weight_decay, below 1."});
  keys.push_back({"memory.optimizer.beta1", real(optimizer.beta1, 0, 0.99999),
                  "Decay of the first moment; with adamw, below the square root of beta2."});
  keys.push_back({"memory.optimizer.beta2", real(optimizer.beta2, 0, 0.999999),
                  "Decay of the second moment."});
  keys.push_back({"memory.optimizer.epsilon", real(optimizer.epsilon, 1e-15, 1),
                  "Added to the root of the second moment."});
  keys.push_back({"memory.optimizer.weight_decay", real(optimizer.weight_decay, 0, 10),
                  "Decoupled weight decay, times the learning rate."});
  keys.push_back({"memory.optimizer.clip_norm", real(optimizer.clip_norm, 0),
                  "Largest norm of the whole table's gradient; 0 for no clipping."});
}

void add_moe(MoeConfig& moe, std::vector<Key>& keys) {
  keys.push_back({"moe.experts", integer(moe.experts, 1, 4096), "Experts of a mixture."});
  keys.push_back({"moe.hidden", integer(moe.hidden, 0, 1 << 20),
                  "Hidden width of each expert; 0 for model.feed_forward_hidden."});
  keys.push_back({"moe.routing", choice(moe.routing),
                  "Who chooses in training. top-1: each token its most probable expert; "
                  "expert-choice: each expert as many tokens as any other, which looks at later "
                  "tokens. Evaluation is top-1 either way."});
  keys.push_back({"moe.balance_loss", real(moe.balance_loss, 0, 1000),
                  "Weight of the loss that spreads tokens over the experts, with top-1; 0 for "
                  "none."});
}

void add_tiers(TiersConfig& tiers, std::vector<Key>& keys) {
  offload::TierOptions& store = tiers.store;
  keys.push_back(
      {"tiers.device_bytes",
       BytesValue{&store.device_bytes, &tiers.shares.device_percent, 100, &tiers.automatic.device},
       "Budget of the hot rows: device memory (RAM on the CPU backend). auto: room for "
       "the whole table, or as much as the rest of the run leaves free."});
  keys.push_back(
      {"tiers.host_bytes",
       BytesValue{&store.host_bytes, &tiers.shares.host_percent, 100, &tiers.automatic.host},
       "Budget of the warm rows: pinned host memory; 0, or less than 16 rows take, for no "
       "host tier. auto: the rows that the device tier has no room for, or as much as is free."});
  keys.push_back(
      {"tiers.disk_bytes",
       BytesValue{&store.disk_bytes, &tiers.shares.disk_percent, 1000, &tiers.automatic.disk},
       "Largest size of the rows files; 0 for no limit. auto: what is free, but room for "
       "two checkpoints of the dense part."});
  keys.push_back(
      {"tiers.disk_paths", TextListValue{&tiers.disk_paths, TextKind::kPath},
       "Folders, on a disk each, that the rows are spread over, by speed and room; empty "
       "for the run directory. They have to be there. How many there are is part of what "
       "a run is."});
  keys.push_back({"tiers.device_policy", choice(store.device_policy),
                  "Which rows leave the device tier first."});
  keys.push_back(
      {"tiers.host_policy", choice(store.host_policy), "Which rows leave the host tier first."});
  keys.push_back({"tiers.io_depth", integer(store.io_depth, 1, 4096),
                  "Transfers in flight at once on each disk, of each kind: reads that a lease "
                  "waits for, writes, and hinted reads; 1365 at the most."});
  keys.push_back({"tiers.io_engine", choice(store.io_engine),
                  "Disk interface; auto takes io_uring where the system allows it."});
  keys.push_back({"tiers.direct_io", FlagValue{&store.direct_io},
                  "Read and write past the page cache (O_DIRECT)."});
  keys.push_back({"tiers.prefetch", choice(tiers.prefetch),
                  "What predicts rows, which are moved before they are asked for: the tokens' "
                  "histories, the residual stream some blocks before (lookahead), the next batch's "
                  "first blocks, all of them (union), or the next batch's whole forward pass."});
  keys.push_back({"tiers.prefetch_bytes", BytesValue{&tiers.prefetch_bytes},
                  "Most bytes that prefetches move in one step from the disk to the host tier."});
  keys.push_back(
      {"tiers.prefetch_device_bytes", BytesValue{&tiers.prefetch_device_bytes},
       "Most bytes that prefetches move in one step from the host tier to the device; 0 for "
       "none."});
  keys.push_back({"tiers.prefetch_history_bytes", BytesValue{&tiers.prefetch_history_bytes},
                  "Device memory in which histories keep the look-ups of the last tokens."});
  keys.push_back({"tiers.prefetch_confidence", real(tiers.prefetch_confidence, 0, 1),
                  "How likely a row has to be read, as its predictor has learned, to be moved."});
  keys.push_back({"tiers.lookahead_distances",
                  IntegerListValue{&tiers.lookahead_distances, 0, 1023},
                  "How many blocks before a memory layer's own lookahead predicts its rows; 0 for "
                  "the attention of its block. Each distance is a search of its own."});
  keys.push_back({"tiers.lookahead_knn", integer(tiers.lookahead_knn, 0, 128),
                  "Rows that lookahead and next-batch name for each token and head; 0 for "
                  "half as many again as memory.knn."});
  keys.push_back({"tiers.lookahead_share", real(tiers.lookahead_share, 0.001, 1),
                  "Share of the tokens that lookahead looks at: those that were seen longest ago "
                  "behind the two before them."});
  keys.push_back({"tiers.lookahead_learns", FlagValue{&tiers.lookahead_learns},
                  "Whether lookahead learns a map from that state to the layer's queries, or takes "
                  "the layer's own projection."});
  keys.push_back({"tiers.evaluation_share", real(store.evaluation_share, 0.001, 0.9),
                  "Share of the device budget set aside for evaluation and sampling."});
  keys.push_back(
      {"tiers.host_link_gb_per_s", real(store.host_link_bytes_per_second, 0, kAnyReal, 1e9),
       "Emulated speed of the host link, each way, GB/s, for runs on the CPU backend; the "
       "two directions do not slow each other down. 0 for none."});
  keys.push_back(
      {"tiers.disk_link_gb_per_s", real(store.disk_link_bytes_per_second, 0, kAnyReal, 1e9),
       "Emulated speed of the disk, reads and writes together, GB/s, for runs on the CPU "
       "backend; 0 for none."});
}

void add_train(TrainConfig& train, std::vector<Key>& keys) {
  keys.push_back({"train.steps", integer(train.steps, 1), "Optimiser steps of the whole run."});
  keys.push_back({"train.batch", integer(train.batch, 1, 1 << 20), "Sequences of a micro-batch."});
  keys.push_back({"train.sequence", integer(train.sequence, 1, 1 << 20), "Tokens of a sequence."});
  keys.push_back({"train.micro_batches", integer(train.micro_batches, 1, 1 << 20),
                  "Micro-batches whose gradients are added up for one step."});
  keys.push_back({"train.row_gradient_bytes", BytesValue{&train.row_gradient_bytes},
                  "Device memory for the row gradient in factored form, beside the tiers' budgets, "
                  "at least for one micro-batch. With memory.row_gradient = \"accumulated\" it is "
                  "added up in the rows whenever this is full."});
  keys.push_back({"train.warmup_steps", integer(train.warmup_steps, 0),
                  "Steps over which the learning rates rise linearly."});
  keys.push_back(
      {"train.schedule", choice(train.schedule), "How the learning rates fall after the warm-up."});
  keys.push_back({"train.min_ratio", real(train.min_ratio, 0, 1),
                  "Learning rate of the last step over the highest one (linear, cosine)."});
  keys.push_back({"train.log_every", integer(train.log_every, 1),
                  "Steps between progress lines when the output is no terminal."});
}

void add_optimizer(OptimizerConfig& optimizer, std::vector<Key>& keys) {
  keys.push_back({"optimizer.learning_rate", real(optimizer.learning_rate, 0, 100),
                  "Highest learning rate of everything but the memory's values. Times "
                  "weight_decay, below 1."});
  keys.push_back(
      {"optimizer.beta1", real(optimizer.beta1, 0, 0.99999), "Decay of the first moment."});
  keys.push_back(
      {"optimizer.beta2", real(optimizer.beta2, 0, 0.999999), "Decay of the second moment."});
  keys.push_back({"optimizer.epsilon", real(optimizer.epsilon, 1e-15, 1),
                  "Added to the root of the second moment."});
  keys.push_back({"optimizer.weight_decay", real(optimizer.weight_decay, 0, 10),
                  "Decoupled weight decay, times the learning rate."});
  keys.push_back({"optimizer.clip_norm", real(optimizer.clip_norm, 0),
                  "Largest norm of the dense gradient; 0 for no clipping."});
}

void add_rest(Config& config, std::vector<Key>& keys) {
  keys.push_back({"evaluation.every", integer(config.evaluation.every, 0),
                  "Steps between evaluations; 0 for none but the last."});
  keys.push_back({"evaluation.final", FlagValue{&config.evaluation.final},
                  "Whether the model is evaluated after the last step."});
  keys.push_back({"evaluation.batches", integer(config.evaluation.batches, 1),
                  "Most micro-batches of one evaluation; always the same ones."});
  keys.push_back({"checkpoint.every", integer(config.checkpoint.every, 0),
                  "Steps between checkpoints; 0 for none but the last."});
  keys.push_back({"checkpoint.final", FlagValue{&config.checkpoint.final},
                  "Whether the run is saved after the last step. A run that is stopped or fails "
                  "is saved all the same."});
  keys.push_back({"checkpoint.keep", integer(config.checkpoint.keep, 1, 1000),
                  "Newest checkpoints that are kept."});
  keys.push_back(
      {"checkpoint.background", FlagValue{&config.checkpoint.background},
       "Whether training goes on while a checkpoint is written. It waits for the last one "
       "of the run, and where the next one is due first."});
  keys.push_back({"checkpoint.copy_bytes", BytesValue{&config.checkpoint.copy_bytes},
                  "Host memory for records on their way into a checkpoint behind training, which "
                  "waits where it is full: beside the tiers' budgets, and no more than the tiers "
                  "hold."});
  keys.push_back(
      {"sample.prompt", TextValue{&config.sample.prompt},
       "Beginning of the sample text; each of its bytes is a token below data.vocabulary."});
  keys.push_back({"sample.tokens", integer(config.sample.tokens, 0, 1 << 20),
                  "Tokens of a sample; 0 for no samples."});
  keys.push_back({"sample.temperature", real(config.sample.temperature, 0, 100),
                  "Divides the logits; 0 always takes the likeliest token."});
  keys.push_back({"sample.top_p", real(config.sample.top_p, 0.001, 1),
                  "Samples come from the likeliest tokens of this joint probability."});
  keys.push_back({"sample.every", integer(config.sample.every, 0),
                  "Steps between samples; 0 for one at the end."});
}

}  // namespace

std::vector<Key> config_keys(Config& config) {
  std::vector<Key> keys;
  add_run(config.run, keys);
  add_data(config.data, keys);
  add_model(config.model, keys);
  add_memory(config.memory, keys);
  add_memory_optimizer(config.memory.optimizer, keys);
  add_moe(config.moe, keys);
  add_tiers(config.tiers, keys);
  add_train(config.train, keys);
  add_optimizer(config.optimizer, keys);
  add_rest(config, keys);
  return keys;
}

std::vector<ConfigSection> config_sections() {
  return {{"run", "Where a run lives and what it runs on."},
          {"data", "What the model learns from."},
          {"model", "The transformer."},
          {"memory", "Memory and PEER layers, and the value table that they share."},
          {"memory.optimizer", "How rows of the value table learn."},
          {"moe", "Mixtures of experts."},
          {"tiers", "Where the rows of the value table are kept, and how they move."},
          {"train", "Length, batch and learning-rate schedule."},
          {"optimizer", "AdamW of everything but the value table."},
          {"evaluation", "Loss on the validation part."},
          {"checkpoint", "When the run is saved, and how much is kept."},
          {"sample", "Text written by the model during and after training."}};
}

}  // namespace mneme::engine
