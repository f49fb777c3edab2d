"""The first loss or gradient that is not finite ends a run, or its batch is passed over."""

import pytest
import torch
from torch import nn

from mmvitdense.engine import NonFiniteError
from mmvitdense.engine.finite_loss import FiniteLossHook
from mmvitdense.engine.non_finite_source import find_source
from tests.reliability.same_runs import last_checkpoint

from .tiny_runs import Overflow, Tiny, options, run, train

BAD = 4
PLACES = {
    'loss': r'the losses of Tiny, after modules that gave finite numbers, 1 of 1 numbers NaN',
    'features': r'the input of first \(Linear\), 6 of 6 numbers infinite',
    'gradient': r'the gradient of last\.weight, 4 of 4 numbers NaN',
    'error': r'the input of first \(Linear\), 6 of 6 numbers NaN',
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize('poison', PLACES)
def test_the_run_ends_before_the_step(tmp_path, poison):
    model = Tiny((BAD,), poison)
    with pytest.raises(NonFiniteError, match=f'^Iteration {BAD + 1}: .*{PLACES[poison]}') as caught:
        train(**options(tmp_path, model=model, validate=False, save=2))
    assert str(tmp_path / 'iter_4.pth') in str(caught.value)
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['bad_batch_iter_5.pth', 'iter_2.pth', 'iter_4.pth']
    for name, value in last_checkpoint(tmp_path)['state_dict'].items():
        if 'norm' not in name:
            assert torch.equal(weights(model)[name], value)
    content = torch.load(tmp_path / 'bad_batch_iter_5.pth', weights_only=True)
    assert len(content['samples']) == 2


@pytest.mark.parametrize('poison', PLACES)
@pytest.mark.parametrize('accumulate', [1, 2])
def test_a_batch_that_is_passed_over_leaves_no_trace(tmp_path, poison, accumulate):
    """A run of two iterations whose second is bad has the weights, statistics and moments of a run of one."""
    settings = {'validate': False, 'accumulate': accumulate, 'save': 1}
    clean, poisoned = Tiny(), Tiny((2,), poison)
    clean.load_state_dict(poisoned.state_dict())
    expected = train(**options(tmp_path / 'clean', model=clean, length=2, **settings))
    found = train(**options(tmp_path / 'poisoned', model=poisoned, length=3, max_skips=1, **settings))
    for name, value in clean.state_dict().items():
        assert torch.equal(poisoned.state_dict()[name], value), name
    left, right = (runner.optim_wrapper.state_dict()['state'] for runner in (found, expected))
    assert all(torch.equal(left[i][key], value) for i, state in right.items() for key, value in state.items())
    assert found.message_hub.get_info('skipped_batches') == [3]
    assert found.message_hub.get_scalar('train/loss').data[0].tolist() == (
        expected.message_hub.get_scalar('train/loss').data[0].tolist()
    )
    assert torch.load(tmp_path / 'poisoned/bad_batch_iter_3.pth', weights_only=True)['state_dict'] is None


def test_one_more_than_allowed_ends_the_run_resumptions_included(tmp_path):
    for resume in (False, True):
        with pytest.raises(NonFiniteError, match='Iteration 7'):
            train(**options(tmp_path, model=Tiny((1, 4, 6)), max_skips=2, validate=False, resume=resume))


def test_weights_that_became_infinite_are_not_saved(tmp_path):
    """The step itself overflows: no loss shows it before the checkpoint is due, and the older one stays."""
    with pytest.raises(NonFiniteError, match=r'After iteration 6 the weight first\.weight .*iter_3\.pth'):
        train(**options(tmp_path, model=Tiny(), validate=False, hooks=[Overflow(5)]))
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_3.pth']


def test_an_exception_with_finite_numbers_stays_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(Tiny, 'parse_losses', lambda self, losses: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(**options(tmp_path, model=Tiny(), validate=False))


def test_large_gradients_and_a_compiled_step(tmp_path):
    """Squares of 1e30 are infinite in float32; the gradients themselves are not."""

    class Steep(Tiny):
        def parse_losses(self, losses):
            return losses['loss'] * 1e30, losses

    train(**options(tmp_path, model=Steep(), validate=False, length=2))
    compiled = Tiny((BAD,), 'gradient')
    with pytest.raises(NonFiniteError, match=PLACES['gradient']):
        train(**options(tmp_path, model=compiled, validate=False, compile_with='eager'))


def test_all_processes_end_when_one_meets_a_bad_batch(tmp_path):
    """The loss of the second process is NaN and its gradients are finite."""
    codes = run(options(tmp_path, validate=False, model_options={'bad_at': (BAD,), 'bad_rank': 1}), processes=2)
    assert codes == [1, 1]
    assert [path.name for path in tmp_path.glob('bad*.pth')] == ['bad_batch_iter_5_rank_1.pth']


def test_the_model_is_left_as_it_was(tmp_path):
    model = Tiny()
    runner = train(**options(tmp_path, model=model, validate=False, length=1))
    assert 'train_step' not in vars(model)
    assert 'update_params' not in vars(runner.optim_wrapper)
    assert not runner.optim_wrapper.optimizer._optimizer_step_pre_hooks


def test_gradients_are_followed_to_where_they_break():
    """The slope of a square root at zero is infinite: the gradient breaks right behind `norm`."""
    model = Tiny()
    model.last.forward = lambda features: (features * 0).sum(1, keepdim=True).sqrt()
    place = find_source(model, {'inputs': list(torch.rand(2, 3))}).place
    assert place.startswith('the gradient that reaches norm (BatchNorm1d), ')


def test_a_module_that_gives_such_numbers_and_code_between_modules():
    model = Tiny()
    model.first.bias.data.fill_(3e38)
    model.first.weight.data.fill_(3e38)
    batch = {'inputs': list(torch.rand(2, 3) + 1)}
    assert find_source(model, batch).place == 'first (Linear), 8 of 8 numbers infinite'
    model.first.weight.data[0] = float('nan')
    assert find_source(model, batch).place == 'the weights first.weight, 3 of 12 numbers NaN'
    nested = Tiny()
    nested.last = Rooted()
    place = find_source(nested, batch).place
    assert place == 'the input of last.last (Identity), that is within last (Rooted), 2 of 2 numbers NaN'


class Rooted(nn.Module):
    """A square root between modules."""

    def __init__(self):
        super().__init__()
        self.last = nn.Identity()

    def forward(self, features):
        return self.last((-1 - features.square()).sum(1, keepdim=True).sqrt())


def test_errors():
    with pytest.raises(ValueError, match='max_skips'):
        FiniteLossHook(max_skips=-1)
