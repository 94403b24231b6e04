// The memory layer and the PEER layer of SPEC.md in float64: naive, with no code of the project.
// Tensors go by the names of the golden files ("query.weight", "keys", "gate_in.bias", ...).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mneme::test {

using Tensor = std::vector<double>;
using Tensors = std::map<std::string, Tensor>;

enum class OracleNorm { kNone, kRms, kL2 };

struct OracleShape {
  std::int64_t tokens = 0, width = 0, heads = 0, half_keys = 0, knn = 0, key_width = 0;
  std::int64_t value_width = 0;
  bool swilu = false;
  bool scalar_gate = false;
  OracleNorm norm = OracleNorm::kNone;
  bool peer = false;  // rows are experts, [u, v]

  std::int64_t half_width() const { return key_width / 2; }
  std::int64_t query_width() const { return heads * key_width; }
  std::int64_t lookups() const { return heads * knn; }
  std::int64_t row_width() const { return (peer ? 2 : 1) * value_width; }  // of all parts
  bool projects() const { return swilu || value_width != width; }
};

// out[m, n] = a[m, k] * weight[n, k]^T + bias[n].
inline Tensor oracle_linear(const Tensor& a, const Tensor& weight, const Tensor& bias) {
  const std::size_t n = bias.size(), k = weight.size() / n, m = a.size() / k;
  Tensor out(m * n);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = bias[j];
      for (std::size_t l = 0; l < k; ++l) sum += a[i * k + l] * weight[j * k + l];
      out[i * n + j] = sum;
    }
  }
  return out;
}

// Adds to the gradients of weight, bias and input of oracle_linear.
inline void oracle_linear_backward(const Tensor& a, const Tensor& weight, const Tensor& d_out,
                                   Tensor& d_a, Tensor& d_weight, Tensor& d_bias) {
  const std::size_t n = d_bias.size(), k = weight.size() / n, m = a.size() / k;
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const double d = d_out[i * n + j];
      d_bias[j] += d;
      for (std::size_t l = 0; l < k; ++l) {
        d_weight[j * k + l] += d * a[i * k + l];
        d_a[i * k + l] += d * weight[j * k + l];
      }
    }
  }
}

// Row-wise normalisation with a gain; rows of the gain's length.
inline Tensor oracle_norm(const Tensor& x, const Tensor& gain, OracleNorm kind) {
  const std::size_t width = gain.size();
  Tensor out(x.size());
  for (std::size_t row = 0; row < x.size(); row += width) {
    double square = 0;
    for (std::size_t i = 0; i < width; ++i) square += x[row + i] * x[row + i];
    const double inverse = kind == OracleNorm::kRms
                               ? 1 / std::sqrt(square / static_cast<double>(width) + 1e-5)
                               : 1 / std::sqrt(square + 1e-12);
    for (std::size_t i = 0; i < width; ++i) out[row + i] = x[row + i] * inverse * gain[i];
  }
  return out;
}

// Adds to d_x and d_gain.
inline void oracle_norm_backward(const Tensor& x, const Tensor& gain, const Tensor& d_out,
                                 OracleNorm kind, Tensor& d_x, Tensor& d_gain) {
  const std::size_t width = gain.size();
  for (std::size_t row = 0; row < x.size(); row += width) {
    double square = 0, product = 0;
    for (std::size_t i = 0; i < width; ++i) {
      square += x[row + i] * x[row + i];
      product += d_out[row + i] * gain[i] * x[row + i];
    }
    const bool rms = kind == OracleNorm::kRms;
    const double share = rms ? static_cast<double>(width) : 1.0;
    const double inverse = 1 / std::sqrt(square / share + (rms ? 1e-5 : 1e-12));
    for (std::size_t i = 0; i < width; ++i) {
      d_gain[i] += d_out[row + i] * x[row + i] * inverse;
      d_x[row + i] += d_out[row + i] * gain[i] * inverse -
                      x[row + i] * product * inverse * inverse * inverse / share;
    }
  }
}

inline double oracle_sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

struct OracleForward {
  Tensor o, y, scores, weights;    // [N, C], [N, d_v], [N, H, k], [N, H, k]
  std::vector<std::int64_t> rows;  // [N, H, k]
  Tensor raw_queries, queries, keys, gate, gated, ungated;
  Tensor dots;                  // of PEER, [N, H, k]
  double smallest_gap = 1e300;  // between neighbouring scores around each selected one
};

// Scores of all n^2 pairs, sorted: no shortcut at all.
inline void oracle_select(const OracleShape& s, OracleForward& f) {
  const std::int64_t n = s.half_keys, h = s.half_width();
  for (std::int64_t group = 0; group < s.tokens * s.heads; ++group) {
    std::vector<double> half[2];
    for (std::int64_t side = 0; side < 2; ++side) {
      const double* q = &f.queries[static_cast<std::size_t>((group * 2 + side) * h)];
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t key = ((group % s.heads * 2 + side) * n + i) * h;
        double sum = 0;
        for (std::int64_t l = 0; l < h; ++l)
          sum += q[l] * f.keys[static_cast<std::size_t>(key + l)];
        half[side].push_back(sum);
      }
    }
    std::vector<std::pair<double, std::int64_t>> pairs;
    for (std::int64_t row = 0; row < n * n; ++row) {
      pairs.emplace_back(-(half[0][static_cast<std::size_t>(row / n)] +
                           half[1][static_cast<std::size_t>(row % n)]),
                         row);
    }
    std::sort(pairs.begin(), pairs.end());
    double sum = 0;
    for (std::int64_t j = 0; j < s.knn; ++j) {
      const auto& pair = pairs[static_cast<std::size_t>(j)];
      f.rows.push_back(pair.second);
      f.scores.push_back(-pair.first);
      f.weights.push_back(std::exp(pairs[0].first - pair.first));
      sum += f.weights.back();
      if (j + 1 < n * n) {
        const double gap = pairs[static_cast<std::size_t>(j + 1)].first - pair.first;
        f.smallest_gap = std::min(f.smallest_gap, gap);
      }
    }
    for (auto weight = f.weights.end() - s.knn; weight != f.weights.end(); ++weight) *weight /= sum;
  }
}

inline double oracle_gelu(double a) {
  return 0.5 * a * (1 + std::erf(a / std::sqrt(2.0)));
}
inline double oracle_gelu_slope(double a) {
  return 0.5 * (1 + std::erf(a / std::sqrt(2.0))) +
         a * std::exp(-0.5 * a * a) / std::sqrt(2 * std::acos(-1.0));
}

// Fills y and dots. values: [n^2, 2, C].
inline void oracle_experts(const OracleShape& s, const Tensor& x, const Tensor& values,
                           OracleForward& f) {
  const auto width = static_cast<std::size_t>(s.width);
  for (std::size_t lookup = 0; lookup < f.rows.size(); ++lookup) {
    const std::size_t token = lookup / static_cast<std::size_t>(s.lookups());
    const double* u = values.data() + static_cast<std::size_t>(f.rows[lookup]) * 2 * width;
    double dot = 0;
    for (std::size_t i = 0; i < width; ++i) dot += x[token * width + i] * u[i];
    f.dots.push_back(dot);
    for (std::size_t i = 0; i < width; ++i) {
      f.y[token * width + i] += f.weights[lookup] * oracle_gelu(dot) * u[width + i];
    }
  }
}

// Returns the gradients of the weights; adds to d_values and d_x.
inline Tensor oracle_experts_backward(const OracleShape& s, const Tensor& x, const Tensor& values,
                                      const OracleForward& f, const Tensor& d_y, Tensor& d_values,
                                      Tensor& d_x) {
  Tensor d_w(f.rows.size());
  const auto width = static_cast<std::size_t>(s.width);
  for (std::size_t lookup = 0; lookup < f.rows.size(); ++lookup) {
    const std::size_t token = lookup / static_cast<std::size_t>(s.lookups());
    const std::size_t row = static_cast<std::size_t>(f.rows[lookup]) * 2 * width;
    const double gelu = oracle_gelu(f.dots[lookup]);
    double d_c = 0;
    for (std::size_t i = 0; i < width; ++i) {
      d_c += d_y[token * width + i] * values[row + width + i];
      d_values[row + width + i] += f.weights[lookup] * gelu * d_y[token * width + i];
    }
    d_w[lookup] = d_c * gelu;
    const double d_dot = d_c * f.weights[lookup] * oracle_gelu_slope(f.dots[lookup]);
    for (std::size_t i = 0; i < width; ++i) {
      d_values[row + i] += d_dot * x[token * width + i];
      d_x[token * width + i] += d_dot * values[row + i];
    }
  }
  return d_w;
}

// values: [n^2, d_v], or of PEER [n^2, 2, C].
inline OracleForward oracle_forward(const OracleShape& s, const Tensors& p, const Tensor& values) {
  OracleForward f;
  f.raw_queries = oracle_linear(p.at("x"), p.at("query.weight"), p.at("query.bias"));
  f.queries = f.raw_queries;
  f.keys = p.at("keys");
  if (s.norm != OracleNorm::kNone) {
    f.queries = oracle_norm(f.raw_queries, p.at("query_norm.gain"), s.norm);
    f.keys = oracle_norm(f.keys, p.at("key_norm.gain"), s.norm);
  }
  oracle_select(s, f);
  const auto width = static_cast<std::size_t>(s.value_width);
  f.y.resize(static_cast<std::size_t>(s.tokens) * width);
  if (s.peer) {
    oracle_experts(s, p.at("x"), values, f);
    f.o = f.y;
    return f;
  }
  for (std::size_t lookup = 0; lookup < f.rows.size(); ++lookup) {
    const std::size_t token = lookup / static_cast<std::size_t>(s.lookups());
    for (std::size_t i = 0; i < width; ++i) {
      f.y[token * width + i] +=
          f.weights[lookup] * values[static_cast<std::size_t>(f.rows[lookup]) * width + i];
    }
  }
  f.gated = f.y;
  if (s.swilu) {
    f.gate = oracle_linear(p.at("x"), p.at("gate_in.weight"), p.at("gate_in.bias"));
    for (std::size_t i = 0; i < f.y.size(); ++i) {
      f.gated[i] = f.y[i] * f.gate[i] * oracle_sigmoid(f.gate[i]);
    }
  }
  f.ungated = s.projects()
                  ? oracle_linear(f.gated, p.at("value_out.weight"), p.at("value_out.bias"))
                  : f.gated;
  f.o = f.ungated;
  if (s.scalar_gate) {
    const Tensor a = oracle_linear(p.at("x"), p.at("scalar_gate.weight"), p.at("scalar_gate.bias"));
    const auto c = static_cast<std::size_t>(s.width);
    for (std::size_t i = 0; i < f.o.size(); ++i) f.o[i] *= oracle_sigmoid(a[i / c]);
  }
  return f;
}

// Gradients of every parameter and of x; d_values is added to.
inline Tensors oracle_backward(const OracleShape& s, const Tensors& p, const Tensor& values,
                               const OracleForward& f, Tensor d_o, Tensor& d_values) {
  Tensors g;
  for (const auto& [name, tensor] : p) g[name] = Tensor(tensor.size());
  const auto c = static_cast<std::size_t>(s.width);
  const auto width = static_cast<std::size_t>(s.value_width);
  if (s.scalar_gate) {
    Tensor d_a(static_cast<std::size_t>(s.tokens));
    const Tensor a = oracle_linear(p.at("x"), p.at("scalar_gate.weight"), p.at("scalar_gate.bias"));
    for (std::size_t t = 0; t < d_a.size(); ++t) {
      const double rho = oracle_sigmoid(a[t]);
      for (std::size_t i = 0; i < c; ++i) {
        d_a[t] += rho * (1 - rho) * d_o[t * c + i] * f.ungated[t * c + i];
        d_o[t * c + i] *= rho;
      }
    }
    oracle_linear_backward(p.at("x"), p.at("scalar_gate.weight"), d_a, g["x"],
                           g["scalar_gate.weight"], g["scalar_gate.bias"]);
  }
  Tensor d_y = d_o;
  if (s.projects()) {
    d_y.assign(f.y.size(), 0.0);
    oracle_linear_backward(f.gated, p.at("value_out.weight"), d_o, d_y, g["value_out.weight"],
                           g["value_out.bias"]);
  }
  if (s.swilu) {
    Tensor d_gate(f.y.size());
    for (std::size_t i = 0; i < d_y.size(); ++i) {
      const double sigmoid = oracle_sigmoid(f.gate[i]);
      d_gate[i] = d_y[i] * f.y[i] * sigmoid * (1 + f.gate[i] * (1 - sigmoid));
      d_y[i] *= f.gate[i] * sigmoid;
    }
    oracle_linear_backward(p.at("x"), p.at("gate_in.weight"), d_gate, g["x"], g["gate_in.weight"],
                           g["gate_in.bias"]);
  }
  Tensor d_w(f.rows.size());
  if (s.peer) d_w = oracle_experts_backward(s, p.at("x"), values, f, d_y, d_values, g["x"]);
  for (std::size_t lookup = 0; !s.peer && lookup < f.rows.size(); ++lookup) {
    const std::size_t token = lookup / static_cast<std::size_t>(s.lookups());
    const auto row = static_cast<std::size_t>(f.rows[lookup]);
    for (std::size_t i = 0; i < width; ++i) {
      d_w[lookup] += d_y[token * width + i] * values[row * width + i];
      d_values[row * width + i] += f.weights[lookup] * d_y[token * width + i];
    }
  }
  const auto knn = static_cast<std::size_t>(s.knn), h = static_cast<std::size_t>(s.half_width());
  Tensor d_queries(f.queries.size()), d_keys(f.keys.size());
  for (std::size_t group = 0; group < f.rows.size() / knn; ++group) {
    double mean = 0;
    for (std::size_t j = group * knn; j < (group + 1) * knn; ++j) mean += f.weights[j] * d_w[j];
    for (std::size_t j = group * knn; j < (group + 1) * knn; ++j) {
      const double d_s = f.weights[j] * (d_w[j] - mean);
      const std::int64_t halves[2] = {f.rows[j] / s.half_keys, f.rows[j] % s.half_keys};
      for (std::size_t side = 0; side < 2; ++side) {
        const std::size_t head = group % static_cast<std::size_t>(s.heads);
        const std::size_t key = ((head * 2 + side) * static_cast<std::size_t>(s.half_keys) +
                                 static_cast<std::size_t>(halves[side])) *
                                h;
        const std::size_t query = (group * 2 + side) * h;
        for (std::size_t l = 0; l < h; ++l) {
          d_queries[query + l] += d_s * f.keys[key + l];
          d_keys[key + l] += d_s * f.queries[query + l];
        }
      }
    }
  }
  Tensor d_raw_queries = d_queries;
  if (s.norm == OracleNorm::kNone) {
    g["keys"] = d_keys;
  } else {
    d_raw_queries.assign(d_queries.size(), 0.0);
    oracle_norm_backward(f.raw_queries, p.at("query_norm.gain"), d_queries, s.norm, d_raw_queries,
                         g["query_norm.gain"]);
    oracle_norm_backward(p.at("keys"), p.at("key_norm.gain"), d_keys, s.norm, g["keys"],
                         g["key_norm.gain"]);
  }
  oracle_linear_backward(p.at("x"), p.at("query.weight"), d_raw_queries, g["x"], g["query.weight"],
                         g["query.bias"]);
  return g;
}

}  // namespace mneme::test
