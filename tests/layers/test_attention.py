"""Attention: what windows see beyond the edge, prefix tokens, options."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.layers import Attention
from tests.fidelity.agreement import redraw


@pytest.fixture
def seen(monkeypatch):
    """Query, key and value of every call of the fused kernel."""
    calls = []
    kernel = F.scaled_dot_product_attention

    def record(query, key, value, **kwargs):
        calls.append((query, key, value))
        return kernel(query, key, value, **kwargs)

    monkeypatch.setattr(F, 'scaled_dot_product_attention', record)
    return calls


@pytest.mark.parametrize('pad', ['tokens', 'qkv'])
@pytest.mark.parametrize('bias', [True, False])
def test_what_hangs_over_the_edge(seen, pad, bias):
    """A 3 x 2 map in one window of 4: the last row and the two last columns are the bias, or zeros."""
    attention = redraw(Attention(12, 2, qkv_bias=bias, window_size=4, window_pad=pad))
    tokens = torch.randn(1, 6, 12)
    attention(tokens, (3, 2))
    ((query, key, value),) = seen
    weight, offset = attention.qkv.weight, attention.qkv.bias if bias else torch.zeros(36)
    expected = torch.zeros(4, 4, 36) + (offset if pad == 'tokens' else 0.0)
    expected[:3, :2] = (tokens[0] @ weight.T + offset).reshape(3, 2, 36)
    for index, actual in enumerate((query, key, value)):
        wanted = expected[..., 12 * index : 12 * index + 12].reshape(16, 2, 6).transpose(0, 1)
        torch.testing.assert_close(actual[0], wanted)


def test_global_attention_needs_no_padding(seen):
    redraw(Attention(12, 2))(torch.randn(2, 6, 12), (3, 2))
    assert [tensor.shape for tensor in seen[0]] == [(2, 2, 6, 6)] * 3


@pytest.mark.parametrize('rel_pos_size', [None, (3, 3)])
def test_prefix_tokens_wait_while_windows_attend(rel_pos_size):
    options = {'window_size': 3, 'rel_pos_size': rel_pos_size}
    attention = redraw(Attention(12, 2, **options, num_prefix_tokens=2))
    without = Attention(12, 2, **options)
    without.load_state_dict(attention.state_dict())
    tokens = torch.randn(2, 2 + 20, 12)
    out = attention(tokens, (4, 5))
    assert not out[:, :2].any()
    assert torch.equal(out[:, 2:], without(tokens[:, 2:], (4, 5)))


def test_prefix_tokens_attend_globally():
    attention = redraw(Attention(12, 2, num_prefix_tokens=1))
    tokens = torch.randn(1, 7, 12)
    out = attention(tokens, (2, 3))
    changed = tokens.clone()
    changed[:, 0] += 1.0
    assert ((attention(changed, (2, 3)) - out).abs().amax(dim=-1) > 1e-4).all()


def test_relative_positions_do_not_depend_on_the_scale_of_the_keys():
    """With keys of zero only the relative terms are left: they come from q as it is, not divided by sqrt(d)."""
    attention = redraw(Attention(8, 1, rel_pos_size=(1, 3)))
    tokens = torch.randn(1, 3, 8)
    with torch.no_grad():
        attention.qkv.weight[8:16], attention.qkv.bias[8:16] = 0.0, 0.0
        attention.proj.weight.copy_(torch.eye(8))
        attention.proj.bias.zero_()
        query, _, value = (tokens[0] @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, dim=-1)
        logits = torch.stack(
            [torch.stack([query[i] @ attention.rel_pos_w[i - j + 2] for j in range(3)]) for i in range(3)]
        )
        torch.testing.assert_close(attention(tokens, (1, 3))[0], logits.softmax(dim=-1) @ value)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'embed_dims': 10, 'num_heads': 3}, 'embed_dims must be a multiple of num_heads, got 10 and 3'),
        ({'window_pad': 'edge'}, "window_pad must be one of .*tokens.*qkv.*got 'edge'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Attention(**{'embed_dims': 12, 'num_heads': 2, **options})
