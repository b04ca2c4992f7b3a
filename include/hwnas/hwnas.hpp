// SPDX-License-Identifier: MIT
// hwnas: neural architecture search for your own hardware. Includes everything in layer order, but io/ and what
// factorises matrices with Eigen, which takes seconds to compile: latency/{fit,coded_model,profile_networks}.hpp.
#pragma once

#include <hwnas/version.hpp>

// core: shapes, errors, randomness, the contract with devices
#include <hwnas/core/augmentation.hpp>
#include <hwnas/core/contract.hpp>
#include <hwnas/core/device.hpp>
#include <hwnas/core/error.hpp>
#include <hwnas/core/random.hpp>
#include <hwnas/core/shape.hpp>
// devices
#include <hwnas/cpu/device.hpp>
#include <hwnas/cuda.hpp>
// tensors
#include <hwnas/tensor/dataset.hpp>
#include <hwnas/tensor/device_dataset.hpp>
#include <hwnas/tensor/eigen.hpp>
#include <hwnas/tensor/tensor.hpp>
// the tape
#include <hwnas/autodiff/backward.hpp>
#include <hwnas/autodiff/gradcheck.hpp>
#include <hwnas/autodiff/program.hpp>
#include <hwnas/autodiff/variable.hpp>
// ops
#include <hwnas/ops/accuracy.hpp>
#include <hwnas/ops/add.hpp>
#include <hwnas/ops/augment.hpp>
#include <hwnas/ops/average_pool.hpp>
#include <hwnas/ops/batch_norm.hpp>
#include <hwnas/ops/concat.hpp>
#include <hwnas/ops/conv.hpp>
#include <hwnas/ops/cross_entropy.hpp>
#include <hwnas/ops/depthwise_conv.hpp>
#include <hwnas/ops/gather_batch.hpp>
#include <hwnas/ops/global_average_pool.hpp>
#include <hwnas/ops/gumbel_softmax.hpp>
#include <hwnas/ops/linear.hpp>
#include <hwnas/ops/max_pool.hpp>
#include <hwnas/ops/mean_squared_error.hpp>
#include <hwnas/ops/mixed_node.hpp>
#include <hwnas/ops/multiply.hpp>
#include <hwnas/ops/node_gate.hpp>
#include <hwnas/ops/node_sum.hpp>
#include <hwnas/ops/relu.hpp>
#include <hwnas/ops/relu_conv_norm.hpp>
#include <hwnas/ops/reshape.hpp>
#include <hwnas/ops/scale.hpp>
#include <hwnas/ops/schedule.hpp>
#include <hwnas/ops/separable_conv.hpp>
#include <hwnas/ops/simplex_sample.hpp>
#include <hwnas/ops/softmax.hpp>
#include <hwnas/ops/step.hpp>
#include <hwnas/ops/sum.hpp>
#include <hwnas/ops/weighted_norm_sum.hpp>
#include <hwnas/ops/weighted_sum.hpp>
// modules and search spaces
#include <hwnas/nn/layers.hpp>
#include <hwnas/nn/parameter.hpp>
#include <hwnas/space/architecture.hpp>
#include <hwnas/space/cell.hpp>
#include <hwnas/space/cell_options.hpp>
#include <hwnas/space/feature_map.hpp>
#include <hwnas/space/genotype.hpp>
#include <hwnas/space/primitive.hpp>
#include <hwnas/space/primitives.hpp>
#include <hwnas/space/relaxation.hpp>
#include <hwnas/space/search_space.hpp>
#include <hwnas/space/shared_work.hpp>
// networks, the hypernetwork, latency
#include <hwnas/hypernet/hypernet.hpp>
#include <hwnas/hypernet/simplex.hpp>
#include <hwnas/latency/agreement.hpp>
#include <hwnas/latency/coded_space.hpp>
#include <hwnas/latency/model.hpp>
#include <hwnas/latency/operation_table.hpp>
#include <hwnas/latency/profiler.hpp>
#include <hwnas/latency/table.hpp>
#include <hwnas/supernet/network.hpp>
#include <hwnas/supernet/prepared.hpp>
#include <hwnas/supernet/supernet.hpp>
// training
#include <hwnas/train/evaluate.hpp>
#include <hwnas/train/fit.hpp>
#include <hwnas/train/objective.hpp>
#include <hwnas/train/optimizer.hpp>
#include <hwnas/train/single_level_trainer.hpp>
#include <hwnas/train/task.hpp>
// what a search leaves, and how it is shown
#include <hwnas/family/best.hpp>
#include <hwnas/family/budget.hpp>
#include <hwnas/family/control.hpp>
#include <hwnas/family/family.hpp>
#include <hwnas/family/member.hpp>
#include <hwnas/family/repeated_measurement.hpp>
#include <hwnas/family/scores.hpp>
#include <hwnas/family/selection.hpp>
#include <hwnas/report/progress.hpp>
#include <hwnas/report/table.hpp>
