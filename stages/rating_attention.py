"""Attention on a CPU: keys and values that several heads share are not copied.

Where a mask is needed (padding, or several tokens after a cache) transformers repeats shared keys and values for every
head before it calls torch's scaled_dot_product_attention, since on GPUs the fast kernels want it so. On a CPU the
kernel takes them as they are, with the same result: for 2 tokens after 8 x 2,050 cached ones (9 heads, 3 shared ones of
64) it took 6 ms in place of 60.

Source of grouped heads: "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints".
"""

from typing import Any

NAME = "tamis_grouped"


def share_keys(model: Any) -> None:
    """Let a model on a CPU use them as they are, if it uses scaled_dot_product_attention and torch is 2.5 or newer."""
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 5) or model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, dropout: float = 0.0, **others: Any
) -> tuple[Any, None]:
    """Attention of query (rows, heads, tokens, width) to key and value (rows, shared heads, cached tokens, width).

    Gives (rows, tokens, heads, width). What is out of the ordinary goes the usual way.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    unusual = any(others.get(name) is not None for name in ("position_bias", "cache", "softcap"))
    if attention_mask is None or query.shape[1] == key.shape[1] or unusual:
        usual: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, **others
        )
        return usual
    mask = attention_mask[..., : key.shape[-2]]
    attended = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=others.get("scaling"), enable_gqa=True
    )
    return attended.transpose(1, 2).contiguous(), None
