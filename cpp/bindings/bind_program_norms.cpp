// Normalisations, tables and random numbers as instructions of a program.
#include <tuple>

#include "bindings/program.h"
#include "engine/norms.h"
#include "engine/tables.h"

namespace mlpeak {
namespace bindings {
namespace {

using namespace engine;

void row_norm(PyProgram& program, int stage, bool backward, double eps, int x, int grad, int weight,
              int bias, int mean, int rstd, int y) {
  program.add<RowNorm>(stage, [&](auto& i, auto& p) {
    i.backward = backward;
    i.eps = eps;
    i.x = p.operand(x);
    i.grad = p.operand(grad);
    i.weight = weight;
    i.bias = bias;
    i.mean = p.operand(mean);
    i.rstd = p.operand(rstd);
    i.y = p.operand(y);
  });
}
/// (gradient, group, parameter, states)
using PyDestination = std::tuple<int, int, int, std::vector<int>>;

void row_norm_sums(PyProgram& program, int stage, int x, int grad, int mean, int rstd,
                   const PyDestination& weight, const PyDestination& bias) {
  program.add<RowNormSums>(stage, [&](auto& i, auto& p) {
    i.x = p.operand(x);
    i.grad = p.operand(grad);
    i.mean = p.operand(mean);
    i.rstd = p.operand(rstd);
    i.weight = std::apply(destination, weight);
    i.bias = std::apply(destination, bias);
  });
}
void batch_statistics(PyProgram& program, int stage, int x, double momentum, double eps,
                      int running_mean, int running_var, int mean, int rstd) {
  program.add<BatchStatistics>(stage, [&](auto& i, auto& p) {
    i.x = p.operand(x);
    i.momentum = momentum;
    i.eps = eps;
    i.running_mean = running_mean;
    i.running_var = running_var;
    i.mean = mean;
    i.rstd = rstd;
  });
}
void running_statistics(PyProgram& program, int stage, int64_t features, double eps,
                        int running_mean, int running_var, int mean, int rstd) {
  program.add<RunningStatistics>(stage, [&](auto& i, auto&) {
    i.features = features;
    i.eps = eps;
    i.running_mean = running_mean;
    i.running_var = running_var;
    i.mean = mean;
    i.rstd = rstd;
  });
}
void batch_norm(PyProgram& program, int stage, bool backward, int x, int grad, int weight, int bias,
                int mean, int rstd, int mean_grad, int mean_product, int y) {
  program.add<BatchNorm>(stage, [&](auto& i, auto& p) {
    i.backward = backward;
    i.x = p.operand(x);
    i.grad = p.operand(grad);
    i.weight = weight;
    i.bias = bias;
    i.mean = mean;
    i.rstd = rstd;
    i.mean_grad = mean_grad;
    i.mean_product = mean_product;
    i.y = p.operand(y);
  });
}
void batch_norm_sums(PyProgram& program, int stage, int x, int grad, int mean, int rstd,
                     int grad_weight, int grad_bias, int mean_grad, int mean_product) {
  program.add<BatchNormSums>(stage, [&](auto& i, auto& p) {
    i.x = p.operand(x);
    i.grad = p.operand(grad);
    i.mean = mean;
    i.rstd = rstd;
    i.grad_weight = grad_weight;
    i.grad_bias = grad_bias;
    i.mean_grad = mean_grad;
    i.mean_product = mean_product;
  });
}

/// (integer value, width, offset, count)
using PyPicks = std::tuple<int, int64_t, int64_t, int64_t>;

Picks picks(const PyPicks& p) {
  return {std::get<0>(p), std::get<1>(p), std::get<2>(p), std::get<3>(p)};
}

void embedding(PyProgram& program, int stage, int table, const PyPicks& indices, int y) {
  program.add<Embedding>(stage, [&](auto& i, auto& p) {
    i.table = table;
    i.picks = picks(indices);
    i.y = p.operand(y);
  });
}
void embedding_backward(PyProgram& program, int stage, int grad, const PyPicks& indices,
                        int64_t rows, int64_t padding, int grad_table) {
  program.add<EmbeddingBackward>(stage, [&](auto& i, auto& p) {
    i.grad = p.operand(grad);
    i.picks = picks(indices);
    i.rows = rows;
    i.padding = padding;
    i.grad_table = grad_table;
  });
}
void random(PyProgram& program, int stage, bool normal, double first, double second, int draw,
            uint32_t stream, int y) {
  program.add<RandomInstruction>(stage, [&](auto& i, auto& p) {
    i.normal = normal;
    i.first = first;
    i.second = second;
    i.draw = draw;
    i.stream = stream;
    i.y = p.operand(y);
  });
}

}  // namespace

void bind_program_norms(ProgramClass& c) {
  c.def("row_norm", &row_norm)
      .def("row_norm_sums", &row_norm_sums)
      .def("batch_statistics", &batch_statistics)
      .def("running_statistics", &running_statistics)
      .def("batch_norm", &batch_norm)
      .def("batch_norm_sums", &batch_norm_sums)
      .def("embedding", &embedding)
      .def("embedding_backward", &embedding_backward)
      .def("random", &random);
}

}  // namespace bindings
}  // namespace mlpeak
