"""What the judge is trained on, and its loss."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.training import SMALL, slices
from maescan.config import PRESETS
from maescan.evaluate.stress import Healthy
from maescan.method.score import score_slices
from maescan.models import Judge, MaskedAutoencoder
from maescan.train.judging import HeldOut, JudgePhase, Residuals, judge_loss, pair_loss

DATA = slices()


class Fabric:
    device = torch.device("cpu")

    def autocast(self):
        import contextlib

        return contextlib.nullcontext()


def mae(seed=0):
    torch.manual_seed(seed)
    return MaskedAutoencoder(SMALL.model).eval()


def phase(maes=None, fold=None):
    fold = np.zeros(len(DATA), np.intp) if fold is None else fold
    residuals = Residuals(Fabric(), maes or [mae()], fold, SMALL)
    return JudgePhase(Judge(SMALL.model, SMALL.judge), DATA.images, residuals, None, 0)


def test_a_slice_comes_with_an_anomaly_and_the_same_without():
    ids = np.array([4, 5])
    images, where, change = phase().batch(ids, 0)
    assert where[:2].flatten(1).any(dim=1).all() and not where[2:].any() and not change[2:].any()
    assert images.dtype == torch.float32 and ((images >= 0) & (images <= 3)).all()
    same = where[:2] == 0
    assert torch.equal(images[:2][same], images[2:][same]) and not torch.equal(images[:2], images[2:])
    again = phase().batch(ids[:1], 0)[0]
    assert again.shape == (2, 32, 32) and not torch.equal(images[:1], phase().batch(ids, 1)[0][:1])


def test_lungs_of_a_ct_are_learnt_as_they_are_scored():
    preset = SMALL.replace(name="luna16+", intensity__method="hu", tokens__method="all", judge__artefacts=0.0)
    lung = np.where(DATA.images > 0, np.float32(0.4), np.float32(-8.5))  # soft tissue in lung
    residuals = Residuals(Fabric(), [mae()], np.zeros(len(lung), np.intp), preset)
    images, _, _ = JudgePhase(Judge(SMALL.model, SMALL.judge), lung, residuals, None, 0).batch(np.array([4, 5]), 0)
    assert np.isclose(images[2:].numpy(), -8.5).mean() > 0.5 and images.min() >= np.float32(-10.24)


def test_the_pair_loss_wants_the_anomaly_to_raise_the_odds():
    seen = torch.tensor([True, False, False, False])
    up, down = torch.tensor([3.0, 0, 0, 0]), torch.tensor([-3.0, 0, 0, 0])
    assert pair_loss(up, seen) < np.log(2) < pair_loss(down, seen)
    unseen = torch.tensor([3.0, -9, 0, 9])  # of the second slice nothing can be seen: it does not count
    assert pair_loss(unseen, seen) == pair_loss(up, seen)
    assert pair_loss(up, torch.zeros(4, dtype=torch.bool)) == 0


def test_a_slice_is_seen_by_the_mae_of_its_fold():
    fold = (np.arange(len(DATA)) % 2).astype(np.intp)
    both = phase([mae(0), mae(1)], fold).residuals
    ids = np.tile(np.arange(SMALL.model.tokens, dtype=np.int32), (4, 1))
    which = np.array([0, 1, 2, 3])
    made = both(DATA.images[which], which, ids, 0)
    for number, place in ((0, [0, 2]), (1, [1, 3])):
        alone = phase([mae(number)]).residuals(DATA.images[which[place]], which[place], ids[place], 0)
        torch.testing.assert_close(made[place], alone)


def test_a_step_moves_the_judge_and_no_mae():
    learner = phase()
    before = [p.clone() for p in learner.residuals.maes[0].parameters()]
    ids = np.arange(16)
    loss = learner.loss(learner.model.train(), learner.batch(ids, 0), ids, 0)
    loss.backward()
    assert torch.isfinite(loss) and learner.model.head.bias.grad.abs() > 0
    assert learner.model.head.weight.grad.abs().sum() > 0
    assert all(
        p.grad is None and torch.equal(p, q)
        for p, q in zip(learner.residuals.maes[0].parameters(), before, strict=True)
    )


def test_the_loss_falls_where_the_logits_are_right():
    cover, change, real = torch.zeros(2, 9), torch.ones(2, 9), torch.ones(2, 9, dtype=torch.bool)
    cover[0, 3], cover[0, 4] = 0.8, 0.05
    right = torch.full((2, 9), -6.0)
    right[0, 3] = 6
    value = float(judge_loss(right, cover, change, real))
    assert value < float(judge_loss(-right, cover, change, real))
    touched = right.clone()
    touched[0, 4] = 5  # neither normal nor abnormal as a token, but it counts in the slice, which is abnormal anyway
    assert float(judge_loss(touched, cover, change, real)) == pytest.approx(value, abs=0.01)
    wrong = right.clone()
    wrong[1, 8] = 1
    real[1, 8] = False
    assert float(judge_loss(wrong, cover, change, ~real | real)) > float(judge_loss(wrong, cover, change, real))


def test_what_changed_nothing_is_not_called_abnormal():
    cover, logits = torch.full((1, 4), 0.9), torch.full((1, 4), 9.0)
    with_change, without = (
        judge_loss(logits, cover, torch.full((1, 4), c), torch.ones(1, 4, dtype=torch.bool)) for c in (1.0, 0.0)
    )
    assert torch.isfinite(with_change) and torch.isfinite(without)


def test_validation_scores_as_scoring_does():
    healthy = Healthy(DATA, SMALL, most=6)
    judge = Judge(SMALL.model, SMALL.judge).eval()
    torch.nn.init.normal_(judge.head.weight, std=0.5)
    held_out = HeldOut(mae(), healthy, SMALL)
    assert 0 <= held_out.tells(judge) <= 1 and {number for number, *_ in held_out.parts} == {0, 1, 2, 3}
    engine = SimpleNamespace(
        reconstruct=lambda *arrays: run(mae(), arrays), classify=lambda *arrays: run(judge, arrays)
    )
    scores = score_slices(healthy.images, healthy.slice, engine, SMALL).score
    from maescan.method.judge import slice_score

    ours = np.zeros(len(scores))
    for number, which, *given in held_out.parts:
        if number == 0:
            ours[which] = slice_score(judge(*given).detach().numpy())
    np.testing.assert_allclose(ours, scores, atol=1e-5)


def run(model, arrays):
    with torch.no_grad():
        return model(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)).contiguous().numpy()


def test_presets_that_end_in_plus_cost_less_than_those_with_a_classifier():
    from maescan.benchmark.cost import slice_operations

    for name, other in (("brats+", "brats-fg"), ("tiny+", "tiny-fg"), ("luna16+", "luna16")):
        assert slice_operations(PRESETS[name]) < slice_operations(PRESETS[other])
        assert slice_operations(PRESETS[name], 48) < slice_operations(PRESETS[other], 48)
    for name, other in (("brats-fast", "brats-fg"), ("tiny-fast", "tiny-fg")):
        assert 3 * slice_operations(PRESETS[name], 52) < slice_operations(PRESETS[other], 52)
