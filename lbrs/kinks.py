"""Which operations are smooth: an allow-list, and a judge that follows a kink to the output or to where it is smoothed."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointFunction

SAME = set(
    "view _unsafe_view reshape expand permute transpose t squeeze unsqueeze select slice split split_with_sizes "
    "unsafe_split unsafe_split_with_sizes chunk unsafe_chunk unbind narrow diagonal alias detach clone contiguous "
    "lift_fresh lift _to_copy unfold as_strided flip roll repeat tile cat stack pixel_shuffle pixel_unshuffle "
    "channel_shuffle im2col movedim swapaxes reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
    "replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d repeat_interleave "
    "_reshape_alias view_as_real view_as_complex conj _conj resolve_conj real rot90 copy _reshape_copy permute_copy "
    "index_select gather index take take_along_dim where masked_fill broadcast_to expand_copy view_copy alias_copy "
    "unsqueeze_copy squeeze_copy transpose_copy slice_copy native_channel_shuffle select_copy t_copy "
    "split_copy split_with_sizes_copy unbind_copy".split()
)
"""Operations that only move, copy or choose numbers, by what does not depend on x."""

AVERAGES = set("sum mean cumsum nansum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d "
               "_adaptive_avg_pool3d trace cumulative_trapezoid".split())
"""Linear operations with weights >= 0: what is positive stays so."""

LINEAR = set(
    "add sub rsub neg mul mm bmm addmm addbmm baddbmm mv addmv addr dot vdot inner ger outer matmul linear _trilinear "
    "convolution _convolution convolution_overrideable mkldnn_convolution conv1d conv2d conv3d conv_tbc "
    "_slow_conv2d_forward slow_conv3d_forward conv_depthwise3d _conv_depthwise2d slow_conv_transpose2d "
    "slow_conv_transpose3d slow_conv_dilated2d slow_conv_dilated3d einsum tensordot lerp addcmul prod cumprod diff "
    "linalg_cross cross kron tril triu diag diag_embed diagonal_backward select_backward slice_backward unfold_backward "
    "col2im constant_pad_nd _pad_circular fold scatter scatter_add index_add index_put _index_put_impl index_copy "
    "slice_scatter select_scatter diagonal_scatter as_strided_scatter upsample_linear1d upsample_bilinear2d "
    "upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa _fft_r2c _fft_c2c _fft_c2r "
    "complex imag view_as_real _foreach_add _foreach_mul linalg_matrix_power matrix_power cov "
    "trapezoid new_zeros zeros_like ones_like full_like empty_like "
    "fill zero new_empty new_ones new_full _sparse_mm mkldnn_linear _mkldnn_linear "
    "affine_grid_generator _weight_norm_interface".split()
)
"""Sums and products of numbers: polynomials of x."""

ANALYTIC = set(
    "exp exp2 expm1 sin cos sinh cosh tanh sigmoid erf erfc atan asinh sinc log_sigmoid log_sigmoid_forward gelu silu mish "
    "softmax _softmax _safe_softmax log_softmax _log_softmax logsumexp logaddexp logaddexp2 special_ndtr special_log_ndtr "
    "special_erfcx i0 special_i0e special_i1 special_i1e special_bessel_j0 special_bessel_j1 glu tanh_backward "
    "sigmoid_backward gelu_backward silu_backward softplus_backward _softmax_backward_data native_layer_norm "
    "native_group_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
    "miopen_batch_norm batch_norm layer_norm group_norm _fused_rms_norm mse_loss var var_mean deg2rad rad2deg "
    "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention _native_multi_head_attention "
    "_scaled_dot_product_attention_math scaled_dot_product_attention _thnn_fused_lstm_cell _thnn_fused_gru_cell "
    "mkldnn_rnn_layer huber_loss linalg_matrix_exp matrix_exp square "
    "native_layer_norm_backward native_group_norm_backward _flash_attention_forward _efficient_attention_forward".split()
)
"""Functions without a kink anywhere."""

POSITIVE = {"exp", "exp2", "cosh", "sigmoid", "softplus", "softmax", "_softmax", "erfc", "special_ndtr", "special_erfcx"}
POLES = {"sqrt": 0, "rsqrt": 0, "reciprocal": 0, "log": 0, "log2": 0, "log10": 0, "div": 1, "true_divide": 1, "addcdiv": 2}
"""Smooth where the argument at this place is positive."""

CHECKS = set("isnan isinf isfinite lt le gt ge eq ne any all logical_and logical_or logical_not logical_xor bitwise_and "
             "bitwise_or bitwise_not bitwise_xor isposinf isneginf __and__ __or__ __xor__ _assert_async _assert_tensor_metadata "
             "_assert_scalar equal allclose isclose".split())
CHOOSERS = {"where": (0,), "masked_fill": (1,), "index": (1,), "gather": (2,), "index_select": (2,), "take": (1,), "index_put": (1,),
            "scatter": (2,), "scatter_add": (2,), "index_add": (2,), "index_copy": (2,), "repeat_interleave": (1,),
            "take_along_dim": (1,), "_index_put_impl": (1,), "index_fill": (2,)}
"""Where an operation takes what decides which numbers are chosen: no x may decide."""

SMOOTHED = {"relu", "abs", "clamp_min", "clamp_max", "clamp", "linalg_vector_norm", "_cdist_forward", "_euclidean_dist", "threshold", "norm"}
"""Kinks at the value 0 that a power of 2 or more smooths."""

THRESHOLD = 37.0
"""From here on softplus and the identity agree in float64; below, torch's gradient of softplus jumps."""


@dataclass(frozen=True)
class State:
    """What is known of a tensor that comes from x: the name of a kink in it (None: smooth), and a bound from below: 1 for > 0, 0 for >= 0,
    -1 for nothing. `origin`: for |u| and |u| + c the id of u."""

    kink: str | None = None
    sign: int = -1
    origin: int | None = None
    shifted: bool = False


class Judge:
    """Follows the operations on what comes from x, and says at the end which kink reaches the output."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {}
        self.branch: str | None = None
        self.written: dict[int, str | None] = {}

    def step(self, func, args: tuple, kwargs: dict, found: list[Tensor], moving: set[int]) -> None:
        """Take note of one operation; `found` are its results, `moving` the ids of its arguments that come from x."""
        name = func.overloadpacket.__name__
        writes = name.endswith("_") and not name.endswith("__")
        plain = name[:-1] if writes else name
        if plain in ("_local_scalar_dense", "item", "is_nonzero"):
            self.branch = "a number that Python reads (a branch on x)"
            return
        state = self._judge(plain, func, args, kwargs, moving)
        for tensor in found:
            self.states[id(tensor)] = state if tensor.is_floating_point() or tensor.is_complex() else self._whole(plain, state)
        if writes or any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments):
            self._spread(args[0] if args else None, state)

    def verdict(self, output: Tensor) -> str | None:
        """The kink that reaches `output`, or None."""
        return self.branch or self.states.get(id(output), State()).kink or _custom(output)

    def _spread(self, written: object, state: State) -> None:
        """An operation in place changes every view of what it writes to: they keep no sign, and get its kink."""
        if not isinstance(written, Tensor):
            return
        self.written[written.untyped_storage()._cdata] = state.kink
        self.states[id(written)] = State(state.kink)

    def _of(self, value: object, moving: set[int]) -> State:
        """The state of an argument, of a constant, or the worst of a list."""
        if isinstance(value, (list, tuple)):
            states = [self._of(part, moving) for part in value]
            kinks = [state.kink for state in states if state.kink]
            return State(kinks[0] if kinks else None, min((state.sign for state in states), default=-1))
        if isinstance(value, Tensor) and id(value) in moving:
            state = self.states.get(id(value), State())
            kink = self.written.get(value.untyped_storage()._cdata)
            return State(kink) if kink and state.kink is None else state
        if isinstance(value, Tensor):
            low = value.min().item() if value.numel() and not value.is_complex() else -1.0
            return State(sign=1 if low > 0 else 0 if low >= 0 else -1)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return State(sign=1 if value > 0 else 0 if value == 0 else -1)
        return State(sign=1)

    def _whole(self, name: str, state: State) -> State:
        return State(state.kink or name)

    def _judge(self, name: str, func, args: tuple, kwargs: dict, moving: set[int]) -> State:
        if func.namespace not in ("aten", "prims"):
            return State(f"{func.namespace}::{name}")
        values = list(args) + list(kwargs.values())
        states = [self._of(value, moving) for value in values if _holds_tensor(value)]
        special = getattr(self, f"_{name.strip('_')}", None)
        if special is not None:
            return special(args, kwargs, moving)
        kinks = [state.kink for state in states if state.kink]
        if name in CHECKS:
            return State(kinks[0] if kinks else name)
        for place in CHOOSERS.get(name, ()):
            if place < len(args) and _moves(args[place], moving):
                return State(kinks[0] if kinks else name)
        moved = [self._of(value, moving) for value in values if _moves(value, moving)]
        if name in SAME and len(moved) == 1:
            return moved[0] if len(states) == 1 else State(moved[0].kink, min(state.sign for state in states))
        if kinks:
            return State(kinks[0])
        if name in SAME or name in AVERAGES:
            return State(sign=min((state.sign for state in states), default=-1))
        if name in ANALYTIC or name in LINEAR:
            return State(sign=1 if name in POSITIVE else 0 if name == "var" else -1)
        if name in POLES:
            place = min(POLES[name], len(args) - 1)
            sign = self._of(args[place], moving).sign
            smooth = sign > 0 or not _moves(args[place], moving)
            return State(sign=min(state.sign for state in states)) if smooth else State(f"{name} (of what may be 0)")
        return State(name if name in SMOOTHED or name in KNOWN else f"{name} (not known to be smooth)")

    def _add(self, args, kwargs, moving) -> State:
        a, b = self._of(args[0], moving), self._of(args[1], moving)
        if kwargs.get("alpha", 1) != 1 or (len(args) > 2 and args[2] != 1):
            return State(a.kink or b.kink)
        for kinked, other, value in ((a, b, args[1]), (b, a, args[0])):
            if kinked.origin is not None and not _moves(value, moving):
                return State(kinked.kink, 1 if other.sign > 0 else -1, kinked.origin if other.sign > 0 else None, True)
        sign = -1 if min(a.sign, b.sign) < 0 else max(a.sign, b.sign)
        return State(a.kink or b.kink, sign)

    def _mul(self, args, kwargs, moving) -> State:
        a, b = self._of(args[0], moving), self._of(args[1], moving)
        if args[0] is args[1]:
            return State(None if a.kink in SMOOTHED else a.kink, max(a.sign, 0))
        return State(a.kink or b.kink, min(a.sign, b.sign))

    def _div(self, args, kwargs, moving) -> State:
        a, b = self._of(args[0], moving), self._of(args[1], moving)
        if kwargs.get("rounding_mode") is not None:
            return State("div with a rounding mode")
        if b.origin is not None and b.shifted and isinstance(args[0], Tensor) and id(args[0]) == b.origin and not a.kink:
            return State()
        if a.kink or b.kink:
            return State(a.kink or b.kink)
        if _moves(args[1], moving) and b.sign <= 0:
            return State("div (by what may be 0)")
        return State(sign=min(a.sign, b.sign) if b.sign > 0 else -1)

    def _abs(self, args, kwargs, moving) -> State:
        a = self._of(args[0], moving)
        return State(a.kink, 0) if a.kink or a.sign >= 0 else State("abs", 0, id(args[0]))

    def _relu(self, args, kwargs, moving) -> State:
        a = self._of(args[0], moving)
        return a if a.kink or a.sign >= 0 else State("relu", 0)

    def _clamp_min(self, args, kwargs, moving) -> State:
        a, low = self._of(args[0], moving), args[1] if len(args) > 1 else kwargs.get("min")
        zero = isinstance(low, (int, float)) and low == 0
        return a if a.kink else State("clamp_min" if zero else "clamp_min (of what is not 0)", 0 if zero else -1)

    def _clamp(self, args, kwargs, moving) -> State:
        a, bounds = self._of(args[0], moving), [*args[1:], *kwargs.values()]
        if all(bound is None for bound in bounds):
            return a
        zero = [bound for bound in bounds if bound is not None] == [0]
        return a if a.kink else State("clamp" if zero else "clamp (at what is not 0)", 0 if zero and len(args) == 2 else -1)

    def _linalg_vector_norm(self, args, kwargs, moving) -> State:
        order = args[1] if len(args) > 1 else kwargs.get("ord", 2)
        a = self._of(args[0], moving)
        return State(a.kink or ("linalg_vector_norm" if order == 2 else f"linalg_vector_norm of order {order:g}"), 0)

    def _cdist_forward(self, args, kwargs, moving) -> State:
        states = [self._of(value, moving) for value in args[:2]]
        kinks = [state.kink for state in states if state.kink]
        return State(kinks[0] if kinks else "_cdist_forward" if args[2] == 2 else f"_cdist_forward of order {args[2]:g}", 0)

    def _pow(self, args, kwargs, moving) -> State:
        base, power = self._of(args[0], moving), args[1]
        if isinstance(args[0], (int, float)):
            return State(self._of(power, moving).kink or (None if args[0] > 0 else "pow (of a base <= 0)"), 1)
        if base.kink is not None and base.kink not in SMOOTHED or not isinstance(power, (int, float)):
            return State(base.kink or "pow (with an exponent that is no number)")
        whole, even = float(power).is_integer(), float(power) % 2 == 0
        sign = 1 if base.sign > 0 else 0 if even or base.sign >= 0 else -1
        if base.kink is not None:
            return State(None if power >= 2 and (even or base.sign >= 0) else base.kink, sign)
        if whole and power >= 0 or power >= 2 and base.sign >= 0 or base.sign > 0:
            return State(None, sign)
        return State(f"pow (of what may be 0, to the power {power:g})")

    def _elu(self, args, kwargs, moving) -> State:
        named = dict(zip(("self", "alpha", "scale", "input_scale"), args, strict=False)) | kwargs
        left, right = named.get("alpha", 1.0) * named.get("input_scale", 1.0), 1.0
        a = self._of(args[0], moving)
        return State(a.kink or (None if abs(left - right) <= 1e-12 else "elu"))

    def _celu(self, args, kwargs, moving) -> State:
        return State(self._of(args[0], moving).kink)

    def _softplus(self, args, kwargs, moving) -> State:
        named = dict(zip(("self", "beta", "threshold"), args, strict=False)) | kwargs
        a, threshold = self._of(args[0], moving), named.get("threshold", 20)
        short = f"softplus(threshold={threshold:g}), whose gradient jumps there: use threshold=40"
        return State(a.kink or (None if threshold >= THRESHOLD and named.get("beta", 1) > 0 else short), 1)

    def _smooth_l1_loss(self, args, kwargs, moving) -> State:
        states = [self._of(value, moving) for value in args[:2]]
        kinks = [state.kink for state in states if state.kink]
        beta = args[3] if len(args) > 3 else kwargs.get("beta", 1.0)
        return State(kinks[0] if kinks else None if beta > 0 else "smooth_l1_loss(beta=0)", 0)

    def _linalg_matrix_norm(self, args, kwargs, moving) -> State:
        return State("linalg_matrix_norm")

    def _native_batch_norm(self, args, kwargs, moving) -> State:
        return self._normalised("native_batch_norm", args[-1], args, moving)

    def _native_layer_norm(self, args, kwargs, moving) -> State:
        return self._normalised("native_layer_norm", args[4], args, moving)

    def _native_group_norm(self, args, kwargs, moving) -> State:
        return self._normalised("native_group_norm", args[7], args, moving)

    def _normalised(self, name: str, eps: float, args, moving) -> State:
        kinks = [self._of(value, moving).kink for value in args if _moves(value, moving)]
        return State(next((kink for kink in kinks if kink), None if eps > 0 else f"{name} with eps = 0"))

    def _rsub(self, args, kwargs, moving) -> State:
        return State(next((s.kink for s in (self._of(args[0], moving), self._of(args[1], moving)) if s.kink), None))

    def _log1p(self, args, kwargs, moving) -> State:
        a = self._of(args[0], moving)
        return State(a.kink or (None if a.sign >= 0 else "log1p (of what may be -1)"), a.sign)


KNOWN = set("max min amax amin maximum minimum fmax fmin sign sgn copysign hypot heaviside floor ceil round trunc frac fmod remainder "
            "max_pool1d max_pool2d max_pool2d_with_indices max_pool3d_with_indices leaky_relu prelu _prelu_kernel rrelu hardtanh hardswish "
            "hardsigmoid hardshrink softshrink threshold renorm sort topk kthvalue median nanmedian cummax cummin argmax argmin "
            "scatter_reduce std std_mean nan_to_num relu6 atan2 asin acos tan acosh atanh".split())
"""Operations known to have kinks or poles: they are named without more words."""


def _custom(output: Tensor) -> str | None:
    stack, seen = [output.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        made = getattr(type(node), "_forward_cls", None)
        if isinstance(node, torch.autograd.function.BackwardCFunction) and made is not CheckpointFunction:
            return f"the custom function {type(node).__name__.removesuffix('Backward')}, whose gradient cannot be watched"
        stack += [parent for parent, _ in node.next_functions]
    return None


def _holds_tensor(value: object) -> bool:
    return isinstance(value, (Tensor, int, float)) and not isinstance(value, bool) or (
        isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value))


def _moves(value: object, moving: set[int]) -> bool:
    """Whether an argument, or one of a list, comes from x."""
    parts = value if isinstance(value, (list, tuple)) else (value,)
    return any(isinstance(part, Tensor) and id(part) in moving for part in parts)
