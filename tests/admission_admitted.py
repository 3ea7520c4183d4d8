"""Functions that a score may have: those with a smooth gradient, and those that are certified
without one."""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchvision.models as vision
from admission_cases import Case, chain, rows, scripted, seeded, traced, warm
from admission_kinks import compiled
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

IMAGE = (3, 32, 32)
SERIES = (5, 4)


class Standardised(nn.Module):
    """A network behind buffers for mean and scale."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.arange(4.0))
        self.register_buffer("scale", torch.arange(1.0, 5.0))
        self.network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x):
        return self.network((x - self.mean) / self.scale)


class Nested(nn.Module):
    """Modules in lists and dictionaries, some of them used twice."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Mish()}) for _ in range(3)
        )

    def forward(self, x):
        for block in [*self.blocks, self.blocks[0]]:
            x = x + block["b"](block["a"](x))
        return x.mean(1)


class Tokens(nn.Module):
    """A class token, positions, attention and a head."""

    def __init__(self):
        super().__init__()
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 4)), nn.Embedding(6, 4)
        self.attention, self.norm, self.head = (
            nn.MultiheadAttention(4, 2, 0.1, batch_first=True),
            nn.LayerNorm(4),
            nn.Linear(4, 1),
        )

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = x + self.positions(torch.arange(x.shape[1], device=x.device))
        x = x + self.attention(*[self.norm(x)] * 3, need_weights=False)[0]
        return self.head(x[:, 0])


@dataclass
class Ridge:
    """A function with fields."""

    weight: Tensor

    def __call__(self, x):
        return (x @ self.weight).cos()

    def method(self, x):
        return self(x) - self(2 * x)


class Cube(torch.autograd.Function):
    """A custom function, certified by a Lipschitz constant alone."""

    @staticmethod
    def forward(ctx, x):
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def partly_normalised(*layers, seen=(8, 4)):
    """A chain with running statistics that are not those of a new layer."""
    network = chain(*layers).train()
    network(torch.randn(seen, dtype=torch.float64))
    return network.eval()


def causal(x):
    scores = x @ x.transpose(1, 2) / 2
    mask = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return (scores.masked_fill(mask, float("-inf")).softmax(-1) @ x).sum((1, 2))


def functional():
    network = chain(nn.Tanh())
    weights = {name: 2 * weight for name, weight in network.named_parameters()}
    return lambda x: torch.func.functional_call(network, weights, (x,))


def checkpointed():
    network = chain(nn.Tanh())
    return lambda x: checkpoint(network, x, use_reentrant=False)


def recurrent(layer, **options):
    network = seeded(layer, 4, 3, batch_first=True, **options)
    return lambda x: network(x)[0].sum((1, 2))


def spectrum(x):
    spectrum = torch.fft.rfft(x)
    return (spectrum * spectrum.conj()).real.sum(1) + torch.fft.irfft(
        spectrum * 2, n=x.shape[1]
    ).sin().sum(1)


def square_norm_of_gradient(x):
    return torch.func.vmap(
        lambda row: torch.func.grad(lambda z: z.sin().prod())(row).square().sum()
    )(x)


def convolutions(layer, d, **options):
    torch.manual_seed(0)
    return rows(nn.Sequential(layer(2, 3, 3, **options), nn.GELU()).double().eval())


def attention(**options):
    return rows(lambda q: F.scaled_dot_product_attention(q, q, q, **options))


def rms(x):
    return rows(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))(x)


def mixed(x):
    return (
        torch.where(torch.arange(4) < 2, x, x.sin())
        .masked_fill(torch.tensor([True, False, False, False]), 0.5)
        .sum(1)
    )


def filled_in(x):
    y = torch.zeros(len(x), 6, dtype=x.dtype)
    y[:, 1:5] = x.tanh()
    y[:, 0] = x.square().sum(1)
    return y.cos().sum(1)


def positions(x):
    table = F.embedding(torch.arange(x.shape[1]), torch.ones(9, x.shape[2]).double())
    return (x + table).sigmoid().sum((1, 2))


def experts(x):
    weights = torch.stack([x.sum(1), x.square().sum(1)], 1).softmax(1)
    return torch.einsum("nk,nk->n", weights, torch.stack([x[:, 0], x[:, 1].cos()], 1))


def pictured(make, *args, **options):
    """A network for images with random weights, in single precision and evaluation mode."""
    torch.manual_seed(0)
    return make(*args, **options, num_classes=1).eval()


def tiny_vit():
    return pictured(
        vision.VisionTransformer, 32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )


def tiny_swin():
    return pictured(
        vision.SwinTransformer, [4, 4], 8, [1, 1], [1, 2], [4, 4], stochastic_depth_prob=0.2
    )


def tiny_convnext():
    blocks = [vision.convnext.CNBlockConfig(8, 16, 1), vision.convnext.CNBlockConfig(16, None, 1)]
    return pictured(vision.ConvNeXt, blocks, stochastic_depth_prob=0.2)


def vgg(num_classes):
    features = vision.vgg.make_layers(vision.vgg.cfgs["A"], batch_norm=True)
    return nn.Sequential(
        features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, num_classes)
    )


def complexes(x):
    z = torch.view_as_complex(x.reshape(-1, 2, 2))
    return (
        torch.view_as_real(z * z * (1 + 2j)).sum((1, 2))
        + (z.conj() * z).real.sum(1)
        + z.abs().square().sum(1)
    )


SMOOTH = {
    "linear": Case(lambda: lambda x: x @ torch.ones(4).double()),
    "tanh": Case(lambda: chain(nn.Tanh())),
    "GELU": Case(lambda: chain(nn.GELU())),
    "GELU by tanh": Case(lambda: chain(nn.GELU(approximate="tanh"))),
    "SiLU": Case(lambda: chain(nn.SiLU())),
    "Mish": Case(lambda: chain(nn.Mish())),
    "ELU": Case(lambda: chain(nn.ELU())),
    "CELU": Case(lambda: chain(nn.CELU(2.0))),
    "softplus": Case(lambda: chain(nn.Softplus(threshold=40))),
    "log sigmoid": Case(lambda: chain(nn.LogSigmoid())),
    "softmin": Case(lambda: chain(nn.Softmin(1))),
    "softsign": Case(lambda: chain(nn.Softsign())),
    "softsign by hand": Case(lambda: rows(lambda x: x / (x.abs() + 1))),
    "GLU": Case(lambda: rows(F.glu)),
    "softmax": Case(lambda: lambda x: x.softmax(1)[:, 0]),
    "log softmax": Case(lambda: lambda x: F.log_softmax(x, 1)[:, 0]),
    "logsumexp": Case(lambda: lambda x: x.logsumexp(1)),
    "logaddexp": Case(lambda: lambda x: torch.logaddexp(x[:, 0], x[:, 1])),
    "ReLU cubed": Case(lambda: rows(lambda x: x.relu() ** 3)),
    "ReLU squared": Case(lambda: rows(lambda x: 3 * (2 * x.relu()).square())),
    "ReLUs beside sines, squared": Case(
        lambda: rows(lambda x: torch.cat([x.relu(), x.sin()], 1).square())
    ),
    "ReLUs under a constant mask, squared": Case(
        lambda: rows(lambda x: torch.where(torch.arange(4) < 2, x.relu(), 1.0) ** 2)
    ),
    "squared modulus": Case(lambda: rows(lambda x: x.abs() ** 2)),
    "squared norm": Case(lambda: lambda x: x.norm(dim=1) ** 2),
    "squared distances": Case(
        lambda: lambda x: (-(torch.cdist(x, torch.ones(2, 4).double()) ** 2)).exp().sum(1)
    ),
    "x over 1 + x^2": Case(lambda: rows(lambda x: x / (1 + x**2))),
    "root of 1 + x^2": Case(lambda: rows(lambda x: (1 + x.square()).sqrt())),
    "modulus of a square": Case(lambda: rows(lambda x: x.square().abs().relu())),
    "logarithm of 1 + exp": Case(lambda: rows(lambda x: (1 + x.exp()).log() + x.exp().log1p())),
    "two to the x": Case(lambda: rows(lambda x: 2**x)),
    "error function": Case(lambda: rows(lambda x: torch.erf(x) + torch.special.ndtr(x))),
    "sinc, atan, asinh": Case(lambda: rows(lambda x: x.sinc() + x.atan() + x.asinh())),
    "exponential i1e": Case(lambda: rows(torch.special.i1e)),
    "polynomial": Case(
        lambda: lambda x: x.prod(1) + x.cumprod(1).sum(1) + torch.addcmul(x, x, x).sum(1)
    ),
    "determinant of products": Case(
        lambda: rows(lambda x: torch.matrix_exp(x @ x.mT / 9)), shape=(2, 2)
    ),
    "variance": Case(lambda: lambda x: x.var(1)),
    "layer norm": Case(lambda: chain(nn.LayerNorm(6), nn.Tanh())),
    "group norm": Case(lambda: chain(nn.GroupNorm(2, 6), nn.Tanh())),
    "instance norm": Case(lambda: rows(lambda x: F.instance_norm(x).tanh()), shape=SERIES),
    "RMS norm": Case(lambda: chain(nn.RMSNorm(6), nn.Tanh())),
    "RMS norm by hand": Case(lambda: rms),
    "batch norm with its statistics": Case(lambda: partly_normalised(nn.BatchNorm1d(6), nn.Tanh())),
    "F.batch_norm with statistics": Case(
        lambda: rows(lambda x: F.batch_norm(x, torch.ones(4).double(), torch.ones(4).double()))
    ),
    "dropout in evaluation mode": Case(
        lambda: chain(nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.Tanh())
    ),
    "functional dropout, off": Case(
        lambda: rows(lambda x: F.dropout(x, 0.5, training=False).sin())
    ),
    "attention": Case(lambda: attention(), shape=SERIES),
    "causal attention": Case(lambda: attention(is_causal=True), shape=SERIES),
    "attention under a constant mask": Case(
        lambda: attention(attn_mask=torch.eye(5, dtype=torch.bool)), shape=SERIES
    ),
    "a mask made like its scores": Case(lambda: causal, shape=SERIES),
    "a transformer's layer": Case(
        lambda: rows(seeded(nn.TransformerEncoderLayer, 4, 2, 8, 0.1, "gelu", batch_first=True)),
        shape=SERIES,
    ),
    "class token and positions": Case(lambda: seeded(Tokens), shape=SERIES),
    "LSTM": Case(lambda: recurrent(nn.LSTM, num_layers=2, dropout=0.2), shape=SERIES),
    "GRU, both ways": Case(lambda: recurrent(nn.GRU, bidirectional=True), shape=SERIES),
    "RNN": Case(lambda: recurrent(nn.RNN), shape=SERIES),
    "convolution in 1d": Case(
        lambda: convolutions(nn.Conv1d, 1, padding=1, padding_mode="reflect"), shape=(2, 6)
    ),
    "convolution in 2d": Case(lambda: convolutions(nn.Conv2d, 2, stride=2), shape=(2, 6, 6)),
    "convolution in 3d": Case(
        lambda: convolutions(nn.Conv3d, 3, padding=1, padding_mode="circular"), shape=(2, 4, 4, 4)
    ),
    "transposed convolution": Case(lambda: convolutions(nn.ConvTranspose2d, 2), shape=(2, 4, 4)),
    "dilated and grouped": Case(
        lambda: rows(seeded(nn.Conv2d, 2, 4, 2, dilation=2, groups=2)), shape=(2, 6, 6)
    ),
    "average pooling": Case(
        lambda: rows(lambda x: F.adaptive_avg_pool2d(F.avg_pool2d(x, 2, padding=1), 2).sin()),
        shape=(2, 6, 6),
    ),
    "interpolated": Case(
        lambda: rows(
            lambda x: (
                F.interpolate(x, scale_factor=2, mode="bilinear") + F.interpolate(x, scale_factor=2)
            )
        ),
        shape=(2, 3, 3),
    ),
    "pixels shuffled": Case(
        lambda: rows(lambda x: F.pixel_shuffle(F.pad(x, (1, 1, 0, 0)), 2).sin()), shape=(4, 2, 2)
    ),
    "resampled on a fixed grid": Case(lambda: resampled, shape=(1, 4, 4)),
    "unfolded": Case(
        lambda: rows(lambda x: F.fold(F.unfold(x, 2).tanh(), (4, 4), 2)), shape=(1, 4, 4)
    ),
    "bilinear": Case(lambda: bilinear()),
    "einsum": Case(
        lambda: lambda x: torch.einsum("ni,ij,nj->n", x, torch.eye(4).double(), x).tanh()
    ),
    "FFT": Case(lambda: spectrum),
    "complex arithmetic": Case(lambda: complexes),
    "constant masks": Case(lambda: mixed),
    "written into slices": Case(lambda: filled_in),
    "constant indices": Case(
        lambda: rows(
            lambda x: (
                x[:, [2, 0]] * x.gather(1, torch.zeros(len(x), 2).long())
                + x.index_select(1, torch.tensor([1, 1]))
            )
        )
    ),
    "fixed embeddings": Case(lambda: positions, shape=SERIES),
    "mixture of experts": Case(lambda: experts),
    "functional_call": Case(functional),
    "vmap": Case(lambda: torch.func.vmap(lambda row: row.sin().prod())),
    "gradients inside": Case(lambda: square_norm_of_gradient),
    "row by row": Case(lambda: lambda x: torch.stack([row.cos().sum() for row in x])),
    "scripted, cold": Case(lambda: scripted(chain(nn.Tanh()))),
    "scripted, warm": Case(lambda: warm(scripted(chain(nn.Tanh())))),
    "traced, warm": Case(lambda: warm(traced(chain(nn.Tanh())))),
    "compiled, eager": Case(lambda: compiled(chain(nn.Tanh()), "eager")),
    "compiled, aot_eager": Case(lambda: compiled(chain(nn.Tanh()), "aot_eager")),
    "compiled, warm": Case(lambda: warm(compiled(chain(nn.Tanh()), "aot_eager"))),
    "buffers": Case(lambda: seeded(Standardised)),
    "nested modules": Case(lambda: seeded(Nested)),
    "checkpointed": Case(checkpointed),
    "spectral norm": Case(lambda: spectral()),
    "weight norm": Case(
        lambda: nn.Sequential(
            parametrizations.weight_norm(chain(nn.Tanh())[0]), nn.Tanh(), chain()[1]
        )
    ),
    "a dataclass": Case(lambda: Ridge(torch.ones(4).double())),
    "a bound method": Case(lambda: Ridge(torch.ones(4).double()).method),
    "a partial function": Case(
        lambda: functools.partial(lambda shift, x: (x + shift).sin().sum(1), 0.3)
    ),
    "two layers of lambdas": Case(lambda: (lambda f: lambda x: f(f(x)).sum(1))(lambda x: x.tanh())),
    "huber loss": Case(
        lambda: lambda x: F.huber_loss(x, torch.ones_like(x), reduction="none").sum(1)
    ),
    "in place": Case(lambda: rows(lambda x: x.mul(2).add_(1).tanh_().neg())),
    "ViT": Case(tiny_vit, shape=IMAGE),
    "Swin": Case(tiny_swin, shape=IMAGE),
    "ConvNeXt": Case(tiny_convnext, shape=IMAGE),
    "EfficientNet": Case(lambda: pictured(vision.efficientnet_b0), shape=IMAGE),
}
"""These are admitted by every score, with a gradient-Lipschitz constant as well."""


def resampled(x):
    grid = F.affine_grid(
        torch.eye(2, 3).double()[None].expand(len(x), 2, 3), [len(x), 1, 3, 3], align_corners=False
    )
    return rows(lambda x: F.grid_sample(x, grid, align_corners=False).tanh())(x)


def bilinear():
    layer = seeded(nn.Bilinear, 4, 4, 1)
    return lambda x: layer(x, x.sin())


def spectral():
    network = chain(nn.Tanh())
    parametrizations.spectral_norm(network[0])
    return network.eval()


KINKED = {
    "ReLU": Case(lambda: chain(nn.ReLU())),
    "max pooling": Case(lambda: rows(lambda x: F.max_pool1d(x, 2))),
    "sorted within the row": Case(lambda: lambda x: x.sort(1).values[:, 0]),
    "the distance to a set": Case(
        lambda: lambda x: torch.cdist(x, torch.ones(2, 4).double()).amin(1).detach()
    ),
    "masked by itself": Case(lambda: rows(lambda x: x * (x > 0))),
    "rounded": Case(lambda: rows(torch.round)),
    "batch norm and ReLU": Case(lambda: partly_normalised(nn.BatchNorm1d(6), nn.ReLU())),
    "a constant": Case(lambda: lambda x: torch.full_like(x[:, 0], 0.5)),
    "votes": Case(lambda: lambda x: (x > 0).double().mean(1) - 0.5),
    "a decision tree": Case(lambda: lambda x: torch.where(x[:, 0] > 0, (x[:, 1] > 1) * 1.0, -1.0)),
    "normalised row": Case(lambda: rows(F.normalize)),
    "scripted ReLU, warm": Case(lambda: warm(scripted(chain(nn.ReLU())))),
    "compiled ReLU": Case(lambda: compiled(chain(nn.ReLU()), "aot_eager")),
    "a custom function": Case(lambda: rows(Cube.apply)),
    "singular values": Case(lambda: rows(torch.linalg.svdvals), shape=(2, 2)),
    "no gradient": Case(lambda: torch.no_grad()(chain(nn.ReLU()))),
    "inference mode": Case(lambda: torch.inference_mode()(chain(nn.ReLU()))),
    "ResNet-18": Case(lambda: pictured(vision.resnet18), shape=IMAGE),
    "MobileNet v3": Case(lambda: pictured(vision.mobilenet_v3_small), shape=IMAGE),
    "VGG-11 with batch norm": Case(lambda: pictured(vgg), shape=IMAGE),
    "DenseNet-121": Case(lambda: pictured(vision.densenet121), shape=IMAGE),
    "ShuffleNet v2": Case(lambda: pictured(vision.shufflenet_v2_x0_5), shape=IMAGE),
    "SqueezeNet": Case(lambda: pictured(vision.squeezenet1_1), shape=IMAGE),
    "RegNet": Case(lambda: pictured(vision.regnet_y_400mf), shape=IMAGE),
    "MNASNet": Case(lambda: pictured(vision.mnasnet0_5), shape=IMAGE),
    "GoogLeNet": Case(
        lambda: pictured(vision.googlenet, init_weights=False, aux_logits=False), shape=IMAGE
    ),
}
"""These have no gradient-Lipschitz constant; scores that need none admit them."""
