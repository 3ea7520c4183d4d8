"""Functions that have no gradient-Lipschitz constant, or whose gradient in torch is not theirs."""

import numpy as np
import torch
import torch.nn.functional as F
from admission_cases import Case, chain, rows, scripted, seeded, traced, warm
from torch import nn

RELU = "relu"


class HiddenReLU(torch.autograd.Function):
    """A ReLU whose backward no operation shows."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * (x > 0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


class HiddenSine(torch.autograd.Function):
    """A sine whose operations are smooth, and whose backward no operation shows."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].cos()


class Reversal(torch.autograd.Function):
    """The identity with the gradient reversed, as for domain adaptation."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def compiled(function, backend="inductor"):
    return torch.compile(function, backend=backend)


def masked(x):
    y = x.clone()
    y[y < 0] = 0
    return y


def in_place(x):
    y = x * 1
    y[:, :2].relu_()
    return y


def sunk(x):
    """|y| of a y whose view was lowered after its square was known to be positive."""
    y = x.square() + 1
    y[:, :1].sub_(3.0)
    return y.abs()


def raised(x):
    """(relu(x) + 1)^2, raised in place."""
    y = x.relu() * 1
    y[:, :1].add_(1.0)
    return y.square()


def out_of(x):
    y = torch.zeros_like(x)
    y[:, 1:] = x[:, 1:].relu()
    return y


def branching(x):
    return torch.stack([row.sum() if row[0] > 0 else 2 * row.sum() for row in x])


def bags(x):
    """The larger of two coordinates, as the bag of an embedding."""
    return F.embedding_bag(torch.tensor([[0, 1], [2, 3]]), x.T, mode="max").T


def scattered(x):
    return (
        torch.zeros(len(x), 2)
        .double()
        .scatter_reduce(1, torch.tensor([[0, 0, 1, 1]]).expand(len(x), 4), x, "amax")
    )


def segments(x):
    return torch.segment_reduce(x.T.contiguous(), "max", lengths=torch.tensor([2, 2])).T


def scattered_on(x):
    places = torch.zeros(len(x), 1, dtype=torch.int64)
    return x.relu().scatter_add(1, places, x.flip(1).relu()[:, :1]).square()


def put_on(x):
    places = torch.arange(len(x))[:, None], torch.tensor([[0]])
    return x.relu().index_put(places, x.flip(1).relu()[:, :1], accumulate=True).square()


KINKS = {
    "ReLU": Case(lambda: chain(nn.ReLU()), RELU),
    "ReLU as a function": Case(lambda: rows(torch.relu), RELU),
    "ReLU in place on a view": Case(lambda: rows(in_place), RELU),
    "ReLU into a slice": Case(lambda: rows(out_of), RELU),
    "leaky ReLU": Case(lambda: chain(nn.LeakyReLU()), "leaky_relu"),
    "PReLU": Case(lambda: chain(nn.PReLU()), "prelu"),
    "ELU of alpha 2": Case(lambda: chain(nn.ELU(2.0)), "elu"),
    "SELU": Case(lambda: chain(nn.SELU()), "elu"),
    "hard swish": Case(lambda: chain(nn.Hardswish()), "hardswish"),
    "hard tanh": Case(lambda: chain(nn.Hardtanh()), "hardtanh"),
    "clamped": Case(lambda: rows(lambda x: x.clamp(-1, 1)), "clamp"),
    "softplus of torch's threshold": Case(lambda: chain(nn.Softplus()), "softplus.*threshold=40"),
    "softplus of threshold 36": Case(
        lambda: chain(nn.Softplus(threshold=36)), "softplus.*threshold=40"
    ),
    "maximum": Case(lambda: lambda x: x.amax(1), "amax"),
    "maximum of two": Case(lambda: lambda x: torch.maximum(x[:, 0], x[:, 1]), "maximum"),
    "max pooling": Case(lambda: rows(lambda x: F.max_pool1d(x, 2)), "max_pool"),
    "sorted": Case(lambda: lambda x: x.sort(1).values[:, 0], "sort"),
    "the two largest": Case(lambda: rows(lambda x: x.topk(2, 1).values), "topk"),
    "the median": Case(lambda: lambda x: x.median(1).values, "median"),
    "sign times x": Case(lambda: rows(lambda x: x * x.sign()), "sign"),
    "copysign": Case(lambda: rows(lambda x: torch.copysign(x, x.flip(1))), "copysign"),
    "hypot": Case(lambda: rows(lambda x: torch.hypot(x, torch.zeros_like(x))), "hypot"),
    "root of the square": Case(lambda: rows(lambda x: x.square().sqrt()), "sqrt"),
    "power of one half": Case(lambda: rows(lambda x: (x**2) ** 0.5), "pow"),
    "power of three halves": Case(lambda: rows(lambda x: x.abs() ** 1.5), "abs|pow"),
    "power of a tensor": Case(lambda: rows(lambda x: x.square() ** torch.full((4,), 0.5)), "pow"),
    "a ratio": Case(lambda: lambda x: x[:, 0] / x[:, 1].square(), "div"),
    "logarithm": Case(lambda: rows(lambda x: x.square().log()), "log"),
    "inverse": Case(lambda: rows(lambda x: x.square().reciprocal()), "reciprocal"),
    "norm": Case(lambda: lambda x: x.norm(dim=1), "norm"),
    "norm in l1, squared": Case(lambda: lambda x: x.norm(p=1, dim=1) ** 2, "norm"),
    "distance": Case(lambda: lambda x: torch.cdist(x, torch.ones(2, 4).double()).sum(1), "cdist"),
    "distance in l1, squared": Case(
        lambda: lambda x: (torch.cdist(x, torch.ones(2, 4).double(), p=1) ** 2).sum(1), "cdist"
    ),
    "standard deviation": Case(lambda: lambda x: x.std(1), "std"),
    "normalised": Case(lambda: rows(F.normalize), "norm|clamp"),
    "layer norm without eps": Case(
        lambda: rows(lambda x: F.layer_norm(x, (4,), eps=0.0).tanh()), "layer_norm"
    ),
    "RMS norm without eps": Case(
        lambda: rows(lambda x: F.rms_norm(x, (4,), eps=0.0).tanh()), "rms_norm|rsqrt"
    ),
    "renorm": Case(lambda: rows(lambda x: torch.renorm(x, 2, 0, 1.0)), "renorm"),
    "scatter_reduce": Case(lambda: rows(scattered), "scatter_reduce"),
    "segment_reduce": Case(lambda: rows(segments), "segment_reduce"),
    "bags of maxima": Case(lambda: rows(bags), "embedding_bag"),
    "masked by itself": Case(lambda: rows(masked), "index_put|lt|masked"),
    "where by itself": Case(lambda: rows(lambda x: torch.where(x > 0, x, 0.0)), "where|gt"),
    "times a comparison": Case(lambda: rows(lambda x: x * (x > 0)), "gt"),
    "filled where negative": Case(
        lambda: rows(lambda x: x.masked_fill(x < 0, 0.0)), "masked_fill|lt"
    ),
    "its own index": Case(
        lambda: lambda x: x.gather(1, x.argmax(1, keepdim=True))[:, 0], "argmax|gather"
    ),
    "rounded": Case(lambda: rows(lambda x: x + (x.round() - x)), "round"),
    "cast to whole numbers": Case(lambda: rows(lambda x: x + x.long()), "long|int|_to_copy"),
    "a branch": Case(lambda: branching, "branch"),
    "arc cosine": Case(lambda: rows(lambda x: x.tanh().acos()), "acos"),
    "i0e": Case(lambda: rows(torch.special.i0e), "i0e"),
    "angle": Case(
        lambda: lambda x: torch.view_as_complex(x.reshape(-1, 2, 2).contiguous()).angle().sum(1),
        "angle",
    ),
    "modulus of complex numbers": Case(
        lambda: lambda x: torch.view_as_complex(x.reshape(-1, 2, 2).contiguous()).abs().sum(1),
        "abs",
    ),
    "|cos x| of complex exponentials": Case(
        lambda: rows(lambda x: torch.exp(1j * x).real.abs()), "abs"
    ),
    "ReLU of a complex square": Case(
        lambda: rows(lambda x: torch.complex(x, x.flip(1)).square().real.relu()), RELU
    ),
    "modulus of a spectrum": Case(lambda: rows(lambda x: torch.fft.rfft(x).abs()), "abs"),
    "inverse of a matrix": Case(lambda: rows(lambda x: torch.linalg.inv(x)), "inv", (2, 2)),
    "singular values": Case(lambda: rows(torch.linalg.svdvals), "svd", (2, 2)),
    "ReLU plus 1, squared": Case(lambda: rows(lambda x: (x.relu() + 1) ** 2), RELU),
    "sum of ReLUs, squared": Case(lambda: lambda x: x.relu().sum(1) ** 2, RELU),
    "mean of moduli, squared": Case(lambda: lambda x: x.abs().mean(1).square(), "abs"),
    "linear map of ReLUs, squared": Case(
        lambda: rows(lambda x: (x.relu() @ torch.ones(4, 2).double()) ** 2), RELU
    ),
    "ReLU plus ReLU, squared": Case(
        lambda: rows(lambda x: (x.relu() + x.flip(1).relu()) ** 2), RELU
    ),
    "norm plus 1, squared": Case(lambda: lambda x: (x.norm(dim=1) + 1) ** 2, "norm"),
    "ReLU, clamped at 1, squared": Case(lambda: rows(lambda x: x.clamp(min=1.0) ** 2), "clamp"),
    "ReLU raised in place, squared": Case(lambda: rows(raised), RELU),
    "positive numbers lowered in place": Case(lambda: rows(sunk), "abs"),
    "softsign of other coordinates": Case(
        lambda: rows(lambda x: x / (1 + x.abs().flip(1))), "abs|div"
    ),
    "softsign of the first": Case(lambda: rows(lambda x: x / (1 + x.abs()[:, :1])), "abs|div"),
    "modulus of a logarithm": Case(lambda: rows(lambda x: (x.square() + 0.1).log().abs()), "abs"),
    "cumulative ReLUs, squared": Case(lambda: rows(lambda x: x.relu().cumsum(1).square()), RELU),
    "pooled ReLUs, squared": Case(lambda: rows(lambda x: F.avg_pool1d(x.relu(), 2).square()), RELU),
    "halfway to a ReLU, squared": Case(
        lambda: rows(lambda x: torch.lerp(x.relu(), x, 0.5).square()), RELU
    ),
    "ReLUs scattered on ReLUs, squared": Case(lambda: rows(scattered_on), RELU),
    "ReLUs put onto ReLUs, squared": Case(lambda: rows(put_on), RELU),
    "ReLU squared times a ReLU": Case(
        lambda: rows(lambda x: x.relu() ** 2 * x.flip(1).relu()), RELU
    ),
    "a custom function": Case(lambda: rows(HiddenReLU.apply), "HiddenReLU|gt"),
    "a custom function of smooth operations": Case(lambda: rows(HiddenSine.apply), "HiddenSine"),
    "scripted ReLU, cold": Case(lambda: scripted(chain(nn.ReLU())), RELU),
    "scripted ReLU, warm": Case(lambda: warm(scripted(chain(nn.ReLU()))), RELU),
    "traced ReLU, warm": Case(lambda: warm(traced(chain(nn.ReLU()))), RELU),
    "compiled ReLU, eager": Case(lambda: compiled(chain(nn.ReLU()), "eager"), RELU),
    "compiled ReLU, aot_eager": Case(lambda: compiled(chain(nn.ReLU()), "aot_eager"), RELU),
    "compiled ReLU, warm": Case(lambda: warm(compiled(chain(nn.ReLU()), "aot_eager")), RELU),
    "vmap of ReLU": Case(lambda: torch.func.vmap(lambda x: x.relu().sum()), RELU),
    "a transformer of ReLUs": Case(
        lambda: rows(seeded(nn.TransformerEncoderLayer, 4, 2, 8, batch_first=True)), RELU, (3, 4)
    ),
    "RNN of ReLUs": Case(lambda: recurrent_relu(), RELU, (3, 4)),
    "huber loss of a ReLU": Case(
        lambda: (
            lambda x: F.huber_loss(
                x.relu(), torch.ones(()).double().expand_as(x), reduction="none"
            ).sum(1)
        ),
        RELU,
    ),
    "a grid of x": Case(lambda: warped, "grid_sampler", (3, 2)),
}


def recurrent_relu():
    network = seeded(nn.RNN, 4, 4, nonlinearity="relu", batch_first=True)
    return lambda x: network(x)[0].sum((1, 2))


def warped(x):
    image = torch.arange(16.0).double().reshape(1, 1, 4, 4).expand(len(x), 1, 4, 4)
    return F.grid_sample(image, x.tanh()[:, None], align_corners=False).sum((1, 2, 3))


def halved_by_a_hook():
    network = chain(nn.Tanh())
    network[0].register_full_backward_hook(lambda module, given, taken: (given[0] / 2,))
    return network


def with_a_tensor_hook(x):
    y = x.tanh()
    if y.requires_grad:
        y.register_hook(lambda gradient: gradient.clamp(-0.1, 0.1))
    return y.sum(1)


def without_gradient(x):
    with torch.no_grad():
        weights = x.softmax(1)
    return (x * weights).sum(1)


def through_numpy_in_place(x):
    y = x * 1
    held = y.detach().numpy()
    np.maximum(held, 0, out=held)
    return y.sum(1)


FALSE_GRADIENTS = {
    "detached": Case(lambda: rows(lambda x: x * x.detach()), "gradient"),
    "detached as .data": Case(lambda: rows(lambda x: x + x.data.sin()), "gradient"),
    "weights without gradient": Case(lambda: without_gradient, "gradient"),
    "reversed": Case(lambda: rows(Reversal.apply), "gradient"),
    "a backward hook": Case(halved_by_a_hook, "gradient"),
    "a tensor hook": Case(lambda: with_a_tensor_hook, "gradient"),
    "NumPy in place": Case(lambda: through_numpy_in_place, "gradient|watched"),
}
"""The gradient that torch gives is not that of the function, whatever is assumed about
smoothness."""
