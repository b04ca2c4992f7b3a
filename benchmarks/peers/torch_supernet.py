"""The networks of the benchmarks in PyTorch: what a user would write instead.

The spaces are those of docs/method.md, "Search spaces": paper, pointwise and separable at C channels, three cells.
SuperNet mixes all primitives on every edge by gamma [2, 14, 3]; DerivedNet has one primitive an edge. compare.py checks
that both have as many parameters as ours.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

NODES, EDGES, PRIMITIVES = 4, 14, 3
CONV, IDENTITY, POOL = range(PRIMITIVES)


class FactorizedReduce(nn.Module):
    """Halves the resolution by two 1x1 convolutions of stride 2, the second one pixel further down and right."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = F.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:])], 1))


def relu_conv_norm(inputs, outputs):
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class Preprocess(nn.Module):
    """A 2x2 average pool for every halving, then ReLU, 1x1 convolution, batch norm."""

    def __init__(self, inputs, outputs, halvings):
        super().__init__()
        self.halvings = halvings
        self.body = relu_conv_norm(inputs, outputs)

    def forward(self, x):
        for _ in range(self.halvings):
            x = F.avg_pool2d(x, 2)
        return self.body(x)


def primitive(space, number, channels, stride):
    depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    pool = nn.MaxPool2d(3, stride, 1)
    if number == IDENTITY:
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if space != "separable":
        return depthwise if number == CONV else pool
    if number == CONV:
        pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        return nn.Sequential(nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels))
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


class Cell(nn.Module):
    """choices: the primitive of every edge, or None: all of them."""

    def __init__(self, space, preprocess, channels, stride, choices=None):
        super().__init__()
        self.choices = choices
        self.preprocess = nn.ModuleList(preprocess)
        self.edges, self.transforms = nn.ModuleList(), nn.ModuleList()
        for node in range(NODES):
            first = len(self.edges)
            for source in range(2 + node):
                numbers = range(PRIMITIVES) if choices is None else [choices[len(self.edges)]]
                step = stride if source < 2 else 1
                self.edges.append(nn.ModuleList([primitive(space, m, channels, step) for m in numbers]))
            mixes = choices is None or CONV in choices[first : first + 2 + node]
            transformed = space == "pointwise" and mixes
            self.transforms.append(relu_conv_norm(channels, channels) if transformed else nn.Identity())
        self.pointwise = space == "pointwise"

    def forward(self, before, last, gamma=None):
        vertices = [self.preprocess[0](before), self.preprocess[1](last)]
        edge = 0
        for node in range(NODES):
            first, total = edge, 0
            for vertex in vertices[: 2 + node]:
                if gamma is None:
                    total = total + self.edges[edge][0](vertex)
                else:
                    total = total + sum(gamma[edge, m] * self.edges[edge][m](vertex) for m in range(PRIMITIVES))
                edge += 1
            if gamma is None:
                total = self.transforms[node](total)
            elif self.pointwise:  # a node mixes channels as far as something convolves into it
                p = 1 - torch.prod(1 - gamma[first:edge, CONV])
                total = p * self.transforms[node](total) + (1 - p) * total
            vertices.append(total)
        return torch.cat(vertices[-NODES:], 1)


class Backbone(nn.Module):
    """Stem, cells of doubling width at halving resolution, head. choices [28]: those of all rows, or None."""

    def __init__(self, space, channels=16, cells=3, classes=10, choices=None):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.cells = nn.ModuleList()
        inputs = [(channels, 0), (channels, 0)]  # channels and halvings of the two outputs before
        for number in range(cells):
            width = channels << number
            rows = None if choices is None else choices[:EDGES] if number == 0 else choices[EDGES:]
            if space == "separable":
                at = max(number - 1, 0)
                preprocess = [FactorizedReduce(c, width) if h < at else relu_conv_norm(c, width) for c, h in inputs]
                self.cells.append(Cell(space, preprocess, width, 2 if number else 1, rows))
            else:
                preprocess = [Preprocess(c, width, number - h) for c, h in inputs]
                self.cells.append(Cell(space, preprocess, width, 1, rows))
            inputs = [inputs[1], (NODES * width, number)]
        self.head = nn.Linear(inputs[1][0], classes)

    def features(self, x, gamma=None):
        before = last = self.stem(x)
        for number, cell in enumerate(self.cells):
            before, last = last, cell(before, last, None if gamma is None else gamma[min(number, 1)])
        return self.head(F.relu(last).mean((2, 3)))


class SuperNet(Backbone):
    def forward(self, x, gamma):
        return self.features(x, gamma)


class DerivedNet(Backbone):
    def forward(self, x):
        return self.features(x)


class HyperNet(nn.Module):
    """S -> logits [2, 14, 3]."""

    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(PRIMITIVES, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 2 * EDGES * PRIMITIVES))

    def forward(self, s):
        return self.body(s).view(2, EDGES, PRIMITIVES)


def mixed_choices():
    """The derived network of the benchmarks: row r has primitive r modulo 3."""
    return [row % PRIMITIVES for row in range(2 * EDGES)]


def optimizer(kind, parameters, **options):
    try:
        return kind(parameters, fused=True, **options)  # one kernel on the CPU, too, since PyTorch 2.4
    except (RuntimeError, TypeError):
        return kind(parameters, **options)


def random_batches(batch, layout, count=55_000, capturable=False):
    """A function that gathers the next shuffled batch of random bytes and normalises it; capturable: the place in the data lies
    on the device, so that a captured graph goes on."""
    images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (count,))
    order, position = torch.randperm(count), 0
    place, offsets = torch.zeros((), dtype=torch.int64), torch.arange(batch)

    def following_on_device():
        rows = order[place + offsets]
        place.add_(batch).remainder_(count - batch)
        x = images[rows].float().div_(255).sub_(0.2860).div_(0.3530)
        return x.contiguous(memory_format=layout), labels[rows]

    def following():
        nonlocal position
        rows = order[position : position + batch]
        position = (position + batch) % (count - batch)
        x = images[rows].float().div_(255).sub_(0.2860).div_(0.3530)
        return x.contiguous(memory_format=layout), labels[rows]

    return following_on_device if capturable else following


def compiled_as(net, compiled):
    """compiled: False or None, True, or a mode of torch.compile."""
    return torch.compile(net, mode=None if compiled is True else compiled) if compiled else net


def search_step(space, batch, layout, compiled, capturable=False):
    """One training step of supernet and hypernetwork, all between two batches; and the supernet's parameters. capturable: it can
    be captured as a CUDA graph."""
    net, hyper = SuperNet(space).to(memory_format=layout), HyperNet()
    run = compiled_as(net, compiled)
    options = {"capturable": True} if capturable else {}
    adam = optimizer(torch.optim.Adam, [*net.parameters(), *hyper.parameters()], lr=1e-3, **options)
    simplex, sums = torch.distributions.Dirichlet(torch.ones(PRIMITIVES)), torch.zeros(2)
    following = random_batches(batch, layout, capturable=capturable)

    def step():
        x, y = following()
        s = simplex.sample()
        gamma = F.gumbel_softmax(hyper(s), tau=0.5)
        logits = run(x, gamma)
        loss = F.cross_entropy(logits, y) + 3 * (gamma * s).sum(-1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        sums.add_(torch.stack([loss.detach(), (logits.detach().argmax(1) == y).float().mean()]))

    return step, sum(p.numel() for p in net.parameters())


def train_step(space, batch, layout, compiled, capturable=False):
    """One training step of the derived network; and its parameters."""
    net = DerivedNet(space, choices=mixed_choices()).to(memory_format=layout)
    run = compiled_as(net, compiled)
    options = {"capturable": True} if capturable else {}
    adam = optimizer(torch.optim.AdamW, net.parameters(), lr=1e-3, weight_decay=1e-2, **options)
    following, sums = random_batches(batch, layout, capturable=capturable), torch.zeros(2)

    def step():
        x, y = following()
        logits = run(x)
        loss = F.cross_entropy(logits, y, label_smoothing=0.05)
        adam.zero_grad()
        loss.backward()
        adam.step()
        sums.add_(torch.stack([loss.detach(), (logits.detach().argmax(1) == y).float().mean()]))

    return step, sum(p.numel() for p in net.parameters())
