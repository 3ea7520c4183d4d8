"""Torch operations: those known to be smooth, what they are given, and what they share."""

from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

SHAPES = set(
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty "
    "new_empty_strided".split()
)
"""Their results have the shape of what they are given, and none of its numbers."""

MOVES = set(
    "view _unsafe_view reshape expand permute transpose t squeeze unsqueeze select slice split "
    "split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk unbind narrow "
    "diagonal alias detach clone contiguous lift_fresh lift _to_copy copy unfold as_strided "
    "flip roll repeat tile cat stack pixel_shuffle pixel_unshuffle channel_shuffle "
    "native_channel_shuffle movedim swapaxes rot90 reflection_pad1d reflection_pad2d "
    "reflection_pad3d replication_pad1d replication_pad2d replication_pad3d upsample_nearest1d "
    "upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
    "_upsample_nearest_exact3d repeat_interleave _reshape_alias view_as_real view_as_complex "
    "conj _conj resolve_conj _conj_physical real index_select gather index _unsafe_index take "
    "take_along_dim where masked_fill masked_scatter masked_select index_fill embedding "
    "broadcast_to _reshape_copy expand_copy view_copy alias_copy permute_copy unsqueeze_copy "
    "squeeze_copy transpose_copy slice_copy select_copy t_copy split_copy split_with_sizes_copy "
    "unbind_copy slice_scatter select_scatter diagonal_scatter index_copy scatter index_put "
    "_index_put_impl _unsafe_index_put".split()
)
"""They move, copy or choose numbers, by what does not depend on x."""

AVERAGES = set(
    "sum mean cumsum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d trace".split()
)
"""Linear, with weights >= 0 and one > 0: what is positive stays so."""

POLYNOMIALS = set(
    "sub rsub neg mm bmm addmm addbmm baddbmm mv addmv addr dot vdot inner ger outer matmul "
    "linear convolution _convolution convolution_overrideable mkldnn_convolution "
    "cudnn_convolution cudnn_convolution_transpose conv1d conv2d conv3d conv_tbc _trilinear "
    "_slow_conv2d_forward slow_conv3d_forward conv_depthwise3d _conv_depthwise2d "
    "slow_conv_transpose2d slow_conv_transpose3d slow_conv_dilated2d slow_conv_dilated3d einsum "
    "tensordot lerp addcmul prod cumprod linalg_cross kron tril triu diag_embed im2col col2im "
    "constant_pad_nd _pad_circular scatter_add index_add upsample_linear1d upsample_bilinear2d "
    "upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa "
    "_fft_r2c _fft_c2c _fft_c2r complex max_unpool2d max_unpool3d fill zero _foreach_add "
    "_foreach_mul _sparse_mm mkldnn_linear mse_loss var var_mean deg2rad rad2deg tanh_backward "
    "sigmoid_backward _softmax_backward_data select_backward slice_backward unfold_backward "
    "diagonal_backward _grouped_mm".split()
)
"""Sums and products of numbers."""

ANALYTIC = set(
    "exp exp2 expm1 sin cos sinh cosh tanh sigmoid erf erfc atan asinh sinc log_sigmoid "
    "log_sigmoid_forward gelu silu mish glu softmax _softmax _safe_softmax log_softmax "
    "_log_softmax logsumexp logaddexp logaddexp2 logcumsumexp special_ndtr special_log_ndtr "
    "special_erfcx i0 special_i1 special_i1e linalg_matrix_exp polar gelu_backward "
    "silu_backward celu scaled_dot_product_attention _scaled_dot_product_attention_math "
    "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
    "_flash_attention_forward _efficient_attention_forward _native_multi_head_attention "
    "_thnn_fused_lstm_cell _thnn_fused_gru_cell mkldnn_rnn_layer huber_loss".split()
)
"""Functions of numbers, with a gradient that does not jump anywhere."""

POSITIVE = set(
    "exp exp2 cosh sigmoid softmax _softmax erfc special_ndtr special_erfcx i0 sqrt rsqrt "
    "reciprocal".split()
)
"""Their values are > 0 for real arguments, or for those > 0."""

POLES = {"sqrt", "rsqrt", "reciprocal", "log", "log2", "log10"}
"""Smooth where their argument is positive."""

CHOOSERS = {
    "where": 0, "masked_fill": 1, "masked_scatter": 1, "masked_select": 1, "index": 1,
    "_unsafe_index": 1, "take": 1, "index_put": 1, "_index_put_impl": 1, "_unsafe_index_put": 1,
    "embedding": 1, "repeat_interleave": 1, "take_along_dim": 1, "max_unpool2d": 1,
    "max_unpool3d": 1, "gather": 2, "index_select": 2, "scatter": 2, "scatter_add": 2,
    "index_add": 2, "index_copy": 2, "index_fill": 2,
}  # fmt: skip
"""Where an operation takes what decides which numbers are chosen: no x may decide."""

EPS = {
    "native_batch_norm": "eps", "_native_batch_norm_legit": "eps", "native_layer_norm": "eps",
    "_native_batch_norm_legit_no_training": "eps", "cudnn_batch_norm": "epsilon",
    "miopen_batch_norm": "epsilon", "_batch_norm_no_update": "eps", "native_group_norm": "eps",
    "_fused_rms_norm": "eps", "batch_norm": "eps", "layer_norm": "eps", "group_norm": "eps",
}  # fmt: skip
"""Normalisations, and the argument that keeps them from a division by 0."""


def arguments(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[Any, Any]:
    """The arguments of the operation's schema with the values they have in this call."""
    named = func._schema.arguments
    given = dict(zip(named, args, strict=False))
    return given | {a: kwargs.get(a.name, a.default_value) for a in named[len(args) :]}


def by_name(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """As `arguments`, by their names."""
    return {argument.name: value for argument, value in arguments(func, args, kwargs).items()}


def is_written(argument: torch.Argument) -> bool:
    """Whether the operation writes into this argument."""
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def place(tensor: Tensor) -> int:
    """What tensors that share their numbers have in common."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return id(tensor)
