"""Attention: what windows see beyond the edge, prefix tokens, options."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.layers import Attention, AttentionPosition, BiasTable, DecomposedTables, QueryMask, build_rope
from mmvitdense.layers.positions.bias import relative_position_bias
from mmvitdense.layers.positions.decomposed import relative_logits
from mmvitdense.layers.positions.rotary import rotate
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


@pytest.mark.parametrize('tables', [None, DecomposedTables((3, 3))])
def test_prefix_tokens_wait_while_windows_attend(tables):
    options = {'window_size': 3, 'tables': tables}
    attention = redraw(Attention(12, 2, **options))
    without = Attention(12, 2, **options)
    without.load_state_dict(attention.state_dict())
    tokens = torch.randn(2, 2 + 20, 12)
    out = attention(tokens, (4, 5))
    assert not out[:, :2].any()
    assert torch.equal(out[:, 2:], without(tokens[:, 2:], (4, 5)))


def test_prefix_tokens_attend_globally():
    attention = redraw(Attention(12, 2))
    tokens = torch.randn(1, 7, 12)
    out = attention(tokens, (2, 3))
    changed = tokens.clone()
    changed[:, 0] += 1.0
    assert ((attention(changed, (2, 3)) - out).abs().amax(dim=-1) > 1e-4).all()


def test_relative_positions_do_not_depend_on_the_scale_of_the_keys():
    """With keys of zero only the relative terms are left: they come from q as it is, not divided by sqrt(d)."""
    attention = redraw(Attention(8, 1, tables=DecomposedTables((1, 3))))
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


def test_keys_without_bias():
    """That third of the bias changes nothing, also in what hangs over the edge, and never moves."""
    attention = redraw(Attention(12, 2, qkv_bias='qv', window_size=3))
    tokens = torch.randn(1, 20, 12)
    out = attention(tokens, (4, 5))
    out.sum().backward()
    query, key, value = attention.qkv.bias.grad.chunk(3)
    assert query.any()
    assert value.any()
    assert not key.any()
    with torch.no_grad():
        attention.qkv.bias[12:24] = 0.0
        attention.without_key_bias = False
        torch.testing.assert_close(attention(tokens, (4, 5)), out)


@pytest.mark.parametrize('bias', ['kv', 'q', None, 2])
def test_other_biases_are_an_error(bias):
    with pytest.raises(ValueError, match="qkv_bias must be True, False or 'qv'"):
        Attention(12, 2, qkv_bias=bias)


def test_inner_norm_precedes_the_projection():
    attention = redraw(Attention(12, 2, inner_norm_eps=1e-3))
    plain = Attention(12, 2)
    plain.load_state_dict({name: t for name, t in attention.state_dict().items() if 'inner_norm' not in name})
    torch.nn.init.eye_(plain.proj.weight)
    torch.nn.init.zeros_(plain.proj.bias)
    tokens = torch.randn(1, 6, 12)
    expected = attention.proj(attention.inner_norm(plain(tokens, (2, 3))))
    torch.testing.assert_close(attention(tokens, (2, 3)), expected)


class TestPositions:
    """Against logits written out."""

    @staticmethod
    def by_hand(attention, tokens, rotation=None, bias=None):
        heads = attention.num_heads
        query, key, value = attention.qkv(tokens).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            half = query.shape[-1] // 2
            turn = torch.complex(rotation.cos, rotation.sin)
            query, key = (torch.complex(t[..., :half], t[..., half:]) * turn for t in (query, key))
            logits = (query @ key.conj().transpose(-2, -1)).real / (2 * half) ** 0.5
        else:
            logits = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        logits = logits if bias is None else logits + bias
        return attention.proj((logits.softmax(dim=-1) @ value).transpose(1, 2).flatten(2))

    def test_rotation_and_shared_bias(self):
        attention = redraw(Attention(16, 2))
        (whole,) = build_rope({'kind': 'dinov3'}, 8)((2, 3), (), torch.device('cpu'))
        position = AttentionPosition(whole.prepend(1), torch.randn(2, 7, 7))
        tokens = torch.randn(2, 7, 16)
        torch.testing.assert_close(attention(tokens, (2, 3), position), self.by_hand(attention, tokens, *position[:2]))

    def test_own_bias(self):
        attention = redraw(Attention(12, 2, tables=BiasTable((1, 3), True)))
        table = attention.relative_position_bias_table
        assert table.shape == (5 + 3, 2)
        rows = [[7, 5, 5, 5], [6, 2, 1, 0], [6, 3, 2, 1], [6, 4, 3, 2]]
        bias = table[torch.tensor(rows)].permute(2, 0, 1)
        tokens = torch.randn(2, 4, 12)
        torch.testing.assert_close(attention(tokens, (1, 3)), self.by_hand(attention, tokens, bias=bias))

    @pytest.mark.parametrize('kind', ['dinov3', 'eva02'])
    def test_windows(self, kind):
        """Each window as if it were alone; the class token is neither turned nor seen."""
        options = {'tables': BiasTable((2, 2), True)}
        attention = redraw(Attention(16, 2, window_size=2, **options))
        alone = Attention(16, 2, **options)
        alone.load_state_dict(attention.state_dict())
        _, window = build_rope({'kind': kind}, 8)((4, 2), (2,), torch.device('cpu'))
        position = AttentionPosition(window)
        tokens = torch.randn(1, 9, 16)
        out = attention(tokens, (4, 2), position)
        for first in (1, 5):
            part = tokens[:, first : first + 4]
            torch.testing.assert_close(out[:, first : first + 4], alone(part, (2, 2), position))


class TestMask:
    """Against torch's fused kernel on whole logits, with a position of each kind."""

    @pytest.fixture(params=['none', 'shared', 'bias', 'decomposed'])
    def case(self, request):
        """Attention, tokens, shared position, and the bias written out, broadcast to B x heads x N x N."""
        tables = {'bias': BiasTable((2, 3), True), 'decomposed': DecomposedTables((2, 3))}
        attention = redraw(Attention(16, 2, tables=tables.get(request.param))).double()
        tokens = torch.randn(2, 2 + 6, 16, dtype=torch.float64)
        position, bias = None, torch.randn(2, 8, 8, dtype=torch.float64)
        if request.param == 'shared':
            (whole,) = build_rope({'kind': 'dinov3'}, 8)((2, 3), (), torch.device('cpu'))
            position = AttentionPosition(whole.prepend(2), bias)
        elif request.param == 'bias':
            bias = relative_position_bias(attention.relative_position_bias_table, (2, 3), (2, 3), 2, True)
        elif request.param == 'decomposed':
            query = attention.qkv(tokens)[:, 2:, :16].unflatten(-1, (2, 8)).transpose(1, 2)
            rows, columns = relative_logits(query, attention.rel_pos_h, attention.rel_pos_w, (2, 3))
            bias = F.pad((rows[..., :, None] + columns[..., None, :]).flatten(-2), (2, 0, 2, 0))
        else:
            bias = 0.0 * bias
        return attention, tokens, position, bias

    @pytest.mark.parametrize('shape', [(2, 1, 8, 8), (8, 8), (2, 2, 8, 8)])
    @pytest.mark.parametrize('boolean', [True, False])
    def test_against_the_fused_kernel(self, case, shape, boolean):
        attention, tokens, position, bias = case
        mask = added = torch.randn(shape, dtype=torch.float64)
        if boolean:
            mask = (added > 0) | torch.eye(8, dtype=torch.bool)
            added = torch.zeros_like(added).masked_fill(~mask, -torch.inf)
        query, key, value = attention.qkv(tokens).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        if position is not None:
            query, key = rotate(query, position.rotation), rotate(key, position.rotation)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias + added)
        expected = attention.proj(out.transpose(1, 2).flatten(2))
        actual = attention(tokens, (2, 3), position, mask)
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
        assert not torch.allclose(attention(tokens, (2, 3), position), expected)
        weights = list(attention.parameters())
        cotangent = torch.randn_like(expected)
        found = [torch.autograd.grad(x, weights, cotangent, retain_graph=True) for x in (actual, expected)]
        for one, other in zip(*found):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)

    def test_of_the_first_tokens(self, case, monkeypatch):
        """Two calls give what one with a mask of all pairs gives; where nothing is added, no call has all pairs."""
        attention, tokens, position, _ = case
        rows = (torch.rand(2, 1, 3, 8) > 0.5) | torch.eye(3, 8, dtype=torch.bool)
        whole = torch.cat([rows, torch.ones(2, 1, 5, 8, dtype=torch.bool)], dim=2)
        expected = attention(tokens, (2, 3), position, whole)
        fused, masks = F.scaled_dot_product_attention, []

        def recorded(*args, attn_mask=None, **options):
            masks.append(None if attn_mask is None else tuple(attn_mask.shape))
            return fused(*args, attn_mask=attn_mask, **options)

        monkeypatch.setattr(F, 'scaled_dot_product_attention', recorded)
        actual = attention(tokens, (2, 3), position, QueryMask(rows))
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
        if position is None and attention.tables is None:
            assert masks == [(2, 1, 3, 8), None]

    def test_windows_take_none(self):
        attention = Attention(16, 2, window_size=2)
        with pytest.raises(ValueError, match=r'mask .* in windows of 2: give it to blocks that attend globally'):
            attention(torch.randn(1, 4, 16), (2, 2), None, torch.ones(4, 4, dtype=torch.bool))
