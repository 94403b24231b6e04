#include "text/tokenizer_json.h"

#include <nlohmann/json.hpp>

#include <cctype>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "text/byte_alphabet.h"
#include "text/json_members.h"
#include "text/known_patterns.h"

namespace mneme::text {
namespace {

using simdjson::dom::element;

// The file's root. simdjson reads fast and says little of what is wrong; the other library reads
// again to say the line.
element root_of(simdjson::dom::parser& parser, const std::string& content,
                const std::string& path) {
  element root;
  const auto error = parser.parse(content).get(root);
  if (error == simdjson::SUCCESS) return root;
  std::string why = simdjson::error_message(error);
  try {
    // Only what is wrong is asked for: values are passed over.
    const auto nothing = [](int, nlohmann::json::parse_event_t, nlohmann::json&) { return false; };
    std::ignore = nlohmann::json::parse(content, nothing);
  } catch (const nlohmann::json::exception& wrong) {
    why = wrong.what();
    // "[json.exception.parse_error.101] parse error at line 3, column 7: ..."
    if (const auto end = why.find("] "); end != std::string::npos) why.erase(0, end + 2);
  }
  io::fail("{}: not whole or no JSON: {}", path, io::printable(why, 160));
}

class Reader {
 public:
  Reader(const std::string& path, const JsonMembers& root, BytePairTokenizerParts& parts)
      : path_(path), root_(root), parts_(parts) {}

  void read() {
    for (const std::string_view name : {"truncation", "padding"}) {
      if (root_.find(name)) unsupported(std::string(name), "set it to null");
    }
    read_model();
    read_added_tokens();
    if (const auto found = root_.find("normalizer")) {
      read_normalizer({path_, "normalizer", *found});
    }
    read_pre_tokenizer({path_, "pre_tokenizer", root_.at("pre_tokenizer")});
    if (!has_byte_level_) unsupported("pre_tokenizer", "only those that end with ByteLevel are");
    if (const auto found = root_.find("post_processor")) {
      read_post_processor({path_, "post_processor", *found});
    }
    read_decoder(root_.object("decoder"));
  }

 private:
  [[noreturn]] void unsupported(const std::string& what, const std::string& way_out) const {
    io::fail("{}: {} is not supported; {}", path_, what, way_out);
  }
  // A part of the file whose "type" this program does not know.
  [[noreturn]] void unsupported_type(const JsonMembers& part, std::string_view known) const {
    unsupported(
        fmt::format("{} \"{}\"", part.place_of("type"), io::printable(part.text("type"), 40)),
        fmt::format("known: {}", known));
  }

  void read_model() {
    const JsonMembers model = root_.object("model");
    const std::string_view type = model.text("type", "BPE");
    if (type != "BPE") unsupported_type(model, "BPE (byte-level)");
    if (model.find("dropout")) unsupported("model.dropout", "set it to null");
    if (model.flag("byte_fallback", false)) {
      unsupported("model.byte_fallback",
                  "use the SentencePiece model (tokenizer.model) that it "
                  "was made of");
    }
    for (const std::string_view affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!model.text(affix, "").empty()) unsupported(model.place_of(affix), "leave it empty");
    }
    parts_.whole_pieces_first = model.flag("ignore_merges", false);
    read_vocabulary(model.object("vocab"), model.at("vocab"));
    read_merges(model.array("merges"));
    read_byte_tokens(model);
  }

  void put(const std::string& written, std::int32_t id) {
    const auto at = static_cast<std::size_t>(id);
    if (at >= parts_.written.size()) {
      parts_.written.resize(at + 1);
      parts_.bytes.resize(at + 1);
    }
    if (!parts_.written[at].empty() && parts_.written[at] != written) {
      io::fail("{}: id {} belongs to two tokens, \"{}\" and \"{}\"", path_, id,
               io::printable(parts_.written[at], 40), io::printable(written, 40));
    }
    parts_.written[at] = written;
    const auto bytes = bytes_of_characters(written);
    parts_.bytes[at] = bytes.value_or(written);
  }

  void read_vocabulary(const JsonMembers& members, element vocabulary) {
    for (const auto field : simdjson::dom::object(vocabulary)) {
      const std::string written(field.key);
      const std::int32_t id =
          JsonMembers::id_of(field.value, kMostTokens, path_,
                             members.place_of(fmt::format("\"{}\"", io::printable(written, 40))));
      if (!ids_.emplace(written, id).second) {
        io::fail("{}: the token \"{}\" is twice in model.vocab", path_, io::printable(written, 40));
      }
      put(written, id);
      if (bytes_of_characters(written)) parts_.piece_tokens.push_back(id);
    }
    if (ids_.empty()) io::fail("{}: model.vocab has no tokens", path_);
  }

  // The two tokens of a merge: "a b", or ["a", "b"].
  std::pair<std::string_view, std::string_view> pair_of(element merge, std::size_t rank) const {
    const std::string place = fmt::format("model.merges[{}]", rank);
    simdjson::dom::array list;
    if (merge.get(list) == simdjson::SUCCESS) {
      if (list.size() != 2) io::fail("{}: {} is no pair", path_, place);
      return {JsonMembers::text_of(list.at(0).value(), path_, place),
              JsonMembers::text_of(list.at(1).value(), path_, place)};
    }
    const std::string_view text = JsonMembers::text_of(merge, path_, place);
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      io::fail("{}: {} \"{}\" is no pair", path_, place, io::printable(text, 40));
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }

  std::int32_t id_of_token(std::string_view token, std::size_t rank) const {
    const auto found = ids_.find(std::string(token));
    if (found == ids_.end()) {
      io::fail("{}: model.merges[{}]: \"{}\" is not in model.vocab", path_, rank,
               io::printable(token, 40));
    }
    return found->second;
  }

  void read_merges(simdjson::dom::array merges) {
    std::size_t rank = 0;
    for (const element merge : merges) {
      const auto [left, right] = pair_of(merge, rank);
      // A merge makes a token that is longer than both, so that none can go on for ever.
      if (left.empty() || right.empty()) {
        io::fail("{}: model.merges[{}] joins an empty token", path_, rank);
      }
      const std::string merged = std::string(left) + std::string(right);
      parts_.merges.push_back({id_of_token(left, rank), id_of_token(right, rank),
                               static_cast<std::int32_t>(rank), id_of_token(merged, rank)});
      ++rank;
    }
  }

  void read_byte_tokens(const JsonMembers& model) {
    std::int32_t unknown = BytePairs::kNothing;
    const std::string_view unknown_token = model.text("unk_token", "");
    if (const auto found = ids_.find(std::string(unknown_token)); found != ids_.end()) {
      unknown = found->second;
    }
    bool is_whole = true;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(byte_characters()[byte]);
      is_whole = is_whole && found != ids_.end();
      parts_.byte_tokens[byte] = found == ids_.end() ? unknown : found->second;
    }
    if (is_whole) return;
    if (!unknown_token.empty() && unknown == BytePairs::kNothing) {
      io::fail("{}: model.unk_token \"{}\" is not in model.vocab", path_,
               io::printable(unknown_token, 40));
    }
    if (model.flag("fuse_unk", false)) {
      unsupported("model.fuse_unk without tokens for all bytes", "set it to false");
    }
  }

  void read_added_tokens() {
    if (!root_.find("added_tokens")) return;
    std::size_t number = 0;
    for (const element item : root_.array("added_tokens")) {
      const JsonMembers token(path_, fmt::format("added_tokens[{}]", number++), item);
      AddedToken added;
      added.text = token.text("content");
      const auto known = ids_.find(added.text);
      added.id = known != ids_.end()
                     ? known->second
                     : JsonMembers::id_of(token.at("id"), kMostTokens, path_, token.place_of("id"));
      added.is_special = token.flag("special", false);
      added.single_word = token.flag("single_word", false);
      added.takes_left = token.flag("lstrip", false);
      added.takes_right = token.flag("rstrip", false);
      added.is_normalized = token.flag("normalized", !added.is_special);
      if (added.text.empty()) continue;
      put(added.text, added.id);
      parts_.added.push_back(std::move(added));
    }
  }

  void read_normalizer(const JsonMembers& part) {
    static const std::unordered_map<std::string_view, NormalizationForm> kForms = {
        {"NFC", NormalizationForm::kC},
        {"NFD", NormalizationForm::kD},
        {"NFKC", NormalizationForm::kKC},
        {"NFKD", NormalizationForm::kKD}};
    const std::string_view type = part.text("type");
    if (type == "Sequence") {
      for (const element item : part.array("normalizers")) {
        read_normalizer({path_, part.place_of("normalizers"), item});
      }
      return;
    }
    const auto form = kForms.find(type);
    if (form == kForms.end()) unsupported_type(part, "NFC, NFD, NFKC, NFKD");
    if (parts_.normalization != NormalizationForm::kNone) {
      unsupported("more than one normalizer", "leave one");
    }
    parts_.normalization = form->second;
  }

  static SplitBehavior behavior_of(const JsonMembers& part) {
    static const std::unordered_map<std::string_view, SplitBehavior> kNames = {
        {"Isolated", SplitBehavior::kIsolated},
        {"Removed", SplitBehavior::kRemoved},
        {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
        {"MergedWithNext", SplitBehavior::kMergedWithNext},
        {"Contiguous", SplitBehavior::kContiguous}};
    const std::string_view name = part.text("behavior");
    const auto found = kNames.find(name);
    if (found == kNames.end()) {
      io::fail("{}: {} \"{}\" is not known", part.file(), part.place_of("behavior"),
               io::printable(name, 40));
    }
    return found->second;
  }

  void add_split(std::string_view expression, SplitBehavior behavior, bool inverted = false) {
    parts_.splits.push_back({Pattern(std::string(expression), path_), behavior, inverted});
  }

  // Text as an expression that matches just it.
  static std::string quoted(std::string_view text) {
    std::string out;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x80 && !std::isalnum(byte)) out += '\\';
      out += c;
    }
    return out;
  }

  void read_split(const JsonMembers& part) {
    const JsonMembers pattern = part.object("pattern");
    const bool is_expression = pattern.find("Regex").has_value();
    if (!is_expression && !pattern.find("String")) {
      unsupported(part.place_of("pattern"), "known: Regex and String");
    }
    add_split(is_expression ? std::string(pattern.text("Regex")) : quoted(pattern.text("String")),
              behavior_of(part), part.flag("invert", false));
  }

  void read_pre_tokenizer(const JsonMembers& part) {
    if (has_byte_level_) unsupported("a pre-tokenizer behind ByteLevel", "put ByteLevel last");
    const std::string_view type = part.text("type");
    if (type == "Sequence") {
      for (const element item : part.array("pretokenizers")) {
        read_pre_tokenizer({path_, part.place_of("pretokenizers"), item});
      }
    } else if (type == "Split") {
      read_split(part);
    } else if (type == "Digits") {
      add_split("\\p{N}", part.flag("individual_digits", false) ? SplitBehavior::kIsolated
                                                                : SplitBehavior::kContiguous);
    } else if (type == "ByteLevel") {
      has_byte_level_ = true;
      parts_.adds_prefix_space = part.flag("add_prefix_space", true);
      if (parts_.adds_prefix_space && !parts_.splits.empty()) {
        unsupported("add_prefix_space behind other splits", "set it to false");
      }
      if (part.flag("use_regex", true)) add_split(kGpt2Pattern, SplitBehavior::kIsolated);
    } else {
      unsupported_type(part, "Sequence, Split, Digits, ByteLevel");
    }
  }

  std::int32_t known_id(std::string_view token, const std::string& place) const {
    for (const AddedToken& added : parts_.added) {
      if (added.text == token) return added.id;
    }
    const auto found = ids_.find(std::string(token));
    if (found == ids_.end()) {
      io::fail("{}: {}: the token \"{}\" is not known", path_, place, io::printable(token, 40));
    }
    return found->second;
  }

  void read_post_processor(const JsonMembers& part) {
    const std::string_view type = part.text("type");
    if (type == "Sequence") {
      for (const element item : part.array("processors")) {
        read_post_processor({path_, part.place_of("processors"), item});
      }
    } else if (type == "TemplateProcessing") {
      bool is_behind = false;
      for (const element item : part.array("single")) {
        const JsonMembers step(path_, part.place_of("single"), item);
        if (!step.find("SpecialToken")) {
          is_behind = true;
          continue;
        }
        const std::string_view token = step.object("SpecialToken").text("id");
        (is_behind ? parts_.end : parts_.begin).push_back(known_id(token, step.place_of("id")));
      }
    } else if (type != "ByteLevel") {
      unsupported_type(part, "Sequence, TemplateProcessing, ByteLevel");
    }
  }

  void read_decoder(const JsonMembers& part) {
    if (part.text("type") != "ByteLevel") unsupported_type(part, "ByteLevel");
  }

  const std::string& path_;
  const JsonMembers& root_;
  BytePairTokenizerParts& parts_;
  std::unordered_map<std::string, std::int32_t> ids_;  // of model.vocab
  bool has_byte_level_ = false;
};

}  // namespace

BytePairTokenizerParts parse_tokenizer_json(std::string content, const std::string& path) {
  BytePairTokenizerParts parts;
  parts.kind = "byte-level BPE (tokenizer.json)";
  parts.file_name = "tokenizer.json";
  parts.content = std::move(content);
  simdjson::dom::parser parser;
  const JsonMembers root(path, "", root_of(parser, parts.content, path));
  Reader(path, root, parts).read();
  return parts;
}

}  // namespace mneme::text
