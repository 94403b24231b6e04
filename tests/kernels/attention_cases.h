// Cases of attention and its backward, for either float type.
#pragma once

#include "tests/kernels/operation_case.h"
#include "tests/kernels/oracle/attention.h"

namespace mneme::testing {

inline kernels::AttentionArgs attention_arguments(const oracle::AttentionShape& shape,
                                                  kernels::FloatType type,
                                                  const DeviceTensors& tensors) {
  return {.type = type,
          .q = tensors.as<void>("q"),
          .k = tensors.as<void>("k"),
          .v = tensors.as<void>("v"),
          .out = tensors.as<void>("out"),
          .log_sum = tensors["log_sum"],
          .batch = shape.batch,
          .sequence = shape.sequence,
          .heads = shape.heads,
          .kv_heads = shape.kv_heads,
          .head_width = shape.head_width,
          .scale = shape.scale,
          .first_keys = shape.documents.empty() ? nullptr : tensors.as<std::int32_t>("first_keys")};
}

inline void attention_oracle(const oracle::AttentionShape& shape, OracleTensors& t) {
  oracle::attention(shape, t["q"], t["k"], t["v"], t["out"], t["log_sum"]);
}

// spread: of queries and keys.
inline OperationCase attention_case(const std::string& name, const oracle::AttentionShape& shape,
                                    kernels::FloatType type = kernels::FloatType::kF32,
                                    double spread = 1.0) {
  Numbers numbers(17);
  OperationCase operation;
  operation.name = name;
  if (type == kernels::FloatType::kBF16) operation.tolerance = kBf16Tolerance;
  operation.tensors = {float_tensor("q", numbers.normal(shape.q_size(), spread), type),
                       float_tensor("k", numbers.normal(shape.kv_size(), spread), type),
                       float_tensor("v", numbers.normal(shape.kv_size()), type),
                       float_tensor("out", garbage(shape.q_size()), type),
                       {"log_sum", garbage(shape.batch * shape.heads * shape.sequence)}};
  if (!shape.documents.empty()) {
    operation.tensors.push_back({"first_keys", shape.first_keys(), ElementType::kInt32});
  }
  operation.run = [shape, type](kernels::Backend& backend, kernels::Stream& stream,
                                const DeviceTensors& tensors) {
    backend.attention(stream, attention_arguments(shape, type, tensors));
  };
  operation.oracle = [shape](OracleTensors& t) { attention_oracle(shape, t); };
  return operation;
}

inline OperationCase attention_backward_case(const std::string& name,
                                             const oracle::AttentionShape& shape,
                                             kernels::FloatType type = kernels::FloatType::kF32) {
  OperationCase operation = attention_case(name, shape, type);
  OracleTensors computed(operation.tensors);
  attention_oracle(shape, computed);
  for (Tensor& tensor : operation.tensors) {
    if (tensor.name != "out" && tensor.name != "log_sum") continue;
    tensor.values =
        rounded(computed[tensor.name], tensor.name == "out" ? type : kernels::FloatType::kF32);
  }
  Numbers numbers(19);
  operation.tensors.push_back(float_tensor("d_out", numbers.normal(shape.q_size()), type));
  operation.tensors.push_back(float_tensor("d_q", garbage(shape.q_size()), type));
  operation.tensors.push_back(float_tensor("d_k", garbage(shape.kv_size()), type));
  operation.tensors.push_back(float_tensor("d_v", garbage(shape.kv_size()), type));
  operation.run = [shape, type](kernels::Backend& backend, kernels::Stream& stream,
                                const DeviceTensors& tensors) {
    backend.attention_backward(stream, {.forward = attention_arguments(shape, type, tensors),
                                        .d_out = tensors.as<void>("d_out"),
                                        .d_q = tensors.as<void>("d_q"),
                                        .d_k = tensors.as<void>("d_k"),
                                        .d_v = tensors.as<void>("d_v")});
  };
  operation.oracle = [shape](OracleTensors& t) {
    oracle::attention_backward(shape, t["q"], t["k"], t["v"], t["d_out"], t["d_q"], t["d_k"],
                               t["d_v"]);
  };
  operation.differentiation.forward = [shape](OracleTensors& t) { attention_oracle(shape, t); };
  operation.differentiation.outputs = {{"out", "d_out"}};
  operation.differentiation.inputs = {{"q", "d_q"}, {"k", "d_k"}, {"v", "d_v"}};
  return operation;
}

}  // namespace mneme::testing
