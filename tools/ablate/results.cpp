#include "tools/ablate/results.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>

#include "io/error.h"
#include "io/utf8.h"

namespace mneme::ablate {
namespace {

using Json = nlohmann::ordered_json;

std::string line_of(const RunResult& result) {
  Json settings = Json::object(), numbers = Json::object();
  for (const Setting& setting : result.settings) settings[setting.key] = setting.value;
  for (const auto& [name, value] : result.numbers) numbers[name] = value;
  Json line = {{"mneme_ablation", 1},
               {"identity", result.identity},
               {"repeat", result.repeat},
               {"settings", std::move(settings)}};
  if (!result.replayed.empty()) line["replayed"] = result.replayed;
  line["outcome"] = io::name_of(result.outcome);
  line["seconds"] = result.seconds;
  if (result.outcome == Outcome::kDone) {
    line["numbers"] = std::move(numbers);
  } else {
    line["error"] = io::printable(result.error, 1000);
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

RunResult result_of(const Json& line) {
  RunResult result;
  result.identity = line.at("identity").get<std::string>();
  result.repeat = line.at("repeat").get<std::int64_t>();
  for (const auto& [key, value] : line.at("settings").items()) {
    result.settings.push_back({key, value.get<std::string>()});
  }
  if (line.contains("replayed")) result.replayed = line.at("replayed").get<std::string>();
  result.outcome = io::value_named<Outcome>(line.at("outcome").get<std::string>()).value();
  result.seconds = line.at("seconds").get<double>();
  if (result.outcome == Outcome::kDone) {
    for (const auto& [name, value] : line.at("numbers").items()) {
      result.numbers.emplace_back(
          name, value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
    }
  } else {
    result.error = line.at("error").get<std::string>();
  }
  return result;
}

}  // namespace

std::optional<double> RunResult::number(const std::string& name) const {
  const auto found = std::find_if(numbers.begin(), numbers.end(),
                                  [&](const auto& one) { return one.first == name; });
  if (found == numbers.end()) return std::nullopt;
  return found->second;
}

Results::Results(io::Disk& disk, const std::string& directory) : path_(path(directory)) {
  std::uint64_t whole = 0;
  if (disk.exists(path_)) {
    const auto bytes = disk.read_file(path_, std::numeric_limits<std::uint64_t>::max());
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::uint64_t number = 0;
    for (std::size_t end; (end = text.find('\n', whole)) != text.npos; whole = end + 1) {
      ++number;
      try {
        const Json line = Json::parse(text.substr(whole, end - whole));
        if (!line.contains("mneme_ablation")) io::fail("it has no mneme_ablation");
        RunResult result = result_of(line);
        results_[{result.identity, result.repeat}] = std::move(result);
      } catch (const std::exception& error) {
        io::fail("{}:{}: no result of an ablation; name another directory, or move it away ({})",
                 path_, number, error.what());
      }
    }
  }
  file_ = disk.append(path_, whole);
}

const RunResult* Results::find(const std::string& identity, std::int64_t repeat) const {
  const auto found = results_.find({identity, repeat});
  return found == results_.end() ? nullptr : &found->second;
}

void Results::add(RunResult result) {
  const std::string line = line_of(result);
  file_->append(std::as_bytes(std::span(line)));
  file_->sync();
  results_[{result.identity, result.repeat}] = std::move(result);
}

}  // namespace mneme::ablate
