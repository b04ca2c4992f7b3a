"""Single ops in PyTorch under the names of our benchmarks: depthwise_conv/backward_weight/n2_28x28x16_k3."""

import re

import torch

SHAPE = re.compile(r"n(\d+)_(\d+)x(\d+)x(\d+)(?:_to(\d+))?(?:_k(\d+))?(?:_s(\d+))?$")
ROWS = re.compile(r"(\d+)x(\d+)(?:_to(\d+))?$")


def extents(shape):
    """n, h, w, channels, outputs, kernel, stride; rows of channels are images of one pixel. ValueError: no such shape."""
    window, rows = SHAPE.match(shape), ROWS.match(shape)
    if not window and not rows:
        raise ValueError(f"no shape {shape} here")
    if rows:
        return int(rows[1]), 1, 1, int(rows[2]), int(rows[3] or rows[2]), 1, 1
    n, h, w, channels, outputs, kernel, stride = (int(g) if g else None for g in window.groups())
    return n, h, w, channels, outputs or channels, kernel or 1, stride or 1


WITHOUT_LAYOUT = ("softmax", "gumbel_softmax", "linear", "adam")


def elements(name):
    """Floats of the op's input, or parameters."""
    op, _, shape = name.split("/")
    if op == "adam":
        return 4 * int(shape)  # values, gradients and two moments
    n, h, w, channels = extents(shape)[:4]
    return n * h * w * channels


def adam_step(count):
    """Adam's step on one tensor, as one fused kernel, its step counter on the device."""
    p = torch.rand(count)
    p.grad = torch.rand(count).sub_(0.5)
    adam = torch.optim.Adam([p], lr=1e-6, fused=p.is_cuda, capturable=p.is_cuda)
    return adam.step


def make(name, layout):
    """A function of no arguments that calls the op once, without the tape: what autograd itself would call."""
    op, direction, shape = name.split("/")
    if op == "adam":
        if direction != "step":
            raise ValueError(f"no {direction} of adam here")
        return adam_step(int(shape))
    n, h, w, channels, outputs, kernel, stride = extents(shape)
    x = torch.rand(n, channels, h, w).sub_(0.5).contiguous(memory_format=layout)
    aten, padding = torch.ops.aten, kernel // 2 if kernel % 2 else 0

    if op in ("depthwise_conv", "conv"):
        groups = channels if op == "depthwise_conv" else 1
        weight = torch.rand(outputs, channels // groups, kernel, kernel).sub_(0.5).contiguous(memory_format=layout)
        forward = lambda: torch.conv2d(x, weight, None, stride, padding, 1, groups)
        dy = torch.rand_like(forward())
        wanted = {"backward_data": [True, False, False], "backward_weight": [False, True, False],
                  "backward": [True, True, False]}
        pair = lambda value: [value, value]
        backward = lambda: aten.convolution_backward(dy, x, weight, None, pair(stride), pair(padding), pair(1), False,
                                                     pair(0), groups, wanted[direction])
    elif op == "linear":
        rows, weight, bias = x.reshape(n, channels), torch.rand(outputs, channels).sub_(0.5), torch.rand(outputs)
        forward = lambda: torch.nn.functional.linear(rows, weight, bias)
        dy = torch.rand_like(forward())
        backward = lambda: (dy @ weight, dy.t() @ rows, dy.sum(0))
    elif op == "max_pool":
        forward = lambda: aten.max_pool2d_with_indices(x, [kernel] * 2, [stride] * 2, [padding] * 2)
        y, indices = forward()
        dy = torch.rand_like(y)
        backward = lambda: aten.max_pool2d_with_indices_backward(dy, x, [kernel] * 2, [stride] * 2, [padding] * 2,
                                                                 [1, 1], False, indices)
    elif op == "average_pool":
        window = [kernel] * 2, [stride] * 2, [padding] * 2, False, False, None
        forward = lambda: aten.avg_pool2d(x, *window)
        dy = torch.rand_like(forward())
        backward = lambda: aten.avg_pool2d_backward(dy, x, *window)
    elif op == "softmax":
        rows = x.reshape(n, channels)
        forward = lambda: torch.softmax(rows, 1)
        y, dy = forward(), torch.rand_like(rows)
        backward = lambda: aten._softmax_backward_data(dy, y, 1, torch.float32)
    elif op == "gumbel_softmax":
        logits = x.reshape(n, channels).requires_grad_(direction != "forward")
        forward = lambda: torch.nn.functional.gumbel_softmax(logits, tau=0.5)
        if direction != "forward":
            with torch.enable_grad():
                y, dy = forward(), torch.rand(n, channels)
            backward = lambda: torch.autograd.grad(y, logits, dy, retain_graph=True)
    elif op == "batch_norm":
        scale, shift, dy = torch.rand(channels), torch.rand(channels), torch.rand_like(x)
        forward = lambda: torch.native_batch_norm(x, scale, shift, None, None, True, 0.1, 1e-5)
        _, mean, deviation = forward()
        backward = lambda: aten.native_batch_norm_backward(dy, x, scale, None, None, mean, deviation, True, 1e-5,
                                                           [True, True, True])
    elif op == "relu":
        forward = lambda: torch.relu(x)
        y, dy = forward(), torch.rand_like(x)
        backward = lambda: aten.threshold_backward(dy, y, 0)
    else:
        raise ValueError(f"no op {op} here")
    return forward if direction == "forward" else backward
