"""The judge: shapes, what its logits may depend on, and that it exports."""

import pytest
import torch

from maescan.config import JudgeTraining, ModelConfig
from maescan.errors import ConfigError
from maescan.models import Judge
from maescan.models.judge import CHANNELS, log_steps
from maescan.train.steps import patchify

MODEL = ModelConfig(32, 8, 48, 2, 4, 32, 2, 2)
SMALL = JudgeTraining(dim=32, depth=2)
FINE = JudgeTraining(dim=32, depth=1, fine=12)


def judge(training=SMALL):
    torch.manual_seed(0)
    made = Judge(MODEL, training).eval()
    torch.nn.init.normal_(made.head.weight, std=0.5)
    return made


def given(rows=3, tokens=12):
    features = torch.rand(rows, tokens, MODEL.judge_features, generator=torch.Generator().manual_seed(1))
    ids = torch.stack(
        [torch.randperm(MODEL.tokens, generator=torch.Generator().manual_seed(i))[:tokens] for i in range(rows)]
    )
    return features, ids.int()


def test_a_logit_a_token_whatever_their_number():
    for tokens in (1, 5, 16):
        logits = judge()(*given(tokens=tokens))
        assert logits.shape == (3, tokens) and torch.isfinite(logits).all()


def test_order_of_tokens_does_not_matter():
    features, ids = given()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    model = judge()
    torch.testing.assert_close(
        model(features, ids)[:, order], model(features[:, order], ids[:, order]), atol=1e-5, rtol=1e-4
    )


def test_tokens_are_put_back_where_they_lie():
    images = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(2))
    patches = patchify(images, 8)
    features = torch.cat([0.5 * patches, 0.1 * patches, patches, torch.zeros(2, 16, 3)], dim=2)
    ids = torch.randperm(16, generator=torch.Generator().manual_seed(3))[:9].repeat(2, 1)
    inside = (
        torch.zeros(2, 16).scatter(1, ids, 1).unflatten(1, (4, 4)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    )
    pictures = judge().pictures(features[:, ids[0]], ids[..., None])[:, [0, 1, 3, 4, 5, 8]]
    expected = [0.5 * images, 0.5 * images, 0.1 * images, images, 0.5 * images, torch.ones_like(images)]
    torch.testing.assert_close(pictures, torch.stack(expected, dim=1) * inside[:, None])


def test_steps_between_pixels_are_seen_as_logarithms():
    picture = torch.zeros(1, 1, 3, 3)
    picture[0, 0, 1, 1] = 2
    steps = log_steps(picture).exp()[0, 0] - 1e-2
    torch.testing.assert_close(steps, torch.tensor([[0.0, 2, 0], [2, 4, 0], [0, 0, 0]]), atol=1e-5, rtol=0)


def test_a_token_is_judged_by_its_surroundings_and_by_the_whole_set():
    features, ids = given(rows=1, tokens=16)
    ids = torch.arange(16, dtype=torch.int32)[None]
    before, changed = judge()(features, ids)[0], features.clone()
    changed[0, 0] += 1
    moved = (judge()(changed, ids)[0] - before).abs()
    assert moved[0] > 0 and moved[1] > moved[15] > 0


def test_the_slice_and_its_prediction_are_hidden_in_a_share_of_the_pairs_in_training_alone():
    model = judge(JudgeTraining(dim=32, image_dropout=0.5))
    pictures = torch.rand(40, CHANNELS, 32, 32, generator=torch.Generator().manual_seed(4)) + 0.5
    pictures[:, -1] = 1
    assert model.shown(pictures).abs().amin(dim=(2, 3)).amax(dim=1).min() > 0
    hidden = model.train().shown(pictures).abs().amax(dim=(2, 3)) == 0
    assert torch.equal(hidden[:, 4:8].any(dim=1), hidden[:, 4:8].all(dim=1))
    assert 0 < int(hidden[:, 4].sum()) < 40 and not hidden[:, [0, 1, 2, 3, 8]].any()
    assert torch.equal(hidden[:20], hidden[20:])
    model.dropout = 0.0
    assert not (model.shown(pictures).abs().amax(dim=(2, 3)) == 0).any()


def test_a_token_that_is_given_twice_counts_once():
    features, ids = given()
    twice = torch.cat([features, features[:, :1]], dim=1), torch.cat([ids, ids[:, :1]], dim=1)
    torch.testing.assert_close(judge()(*twice)[:, :-1], judge()(features, ids))


@pytest.mark.parametrize("training", [SMALL, FINE], ids=["plain", "fine"])
@pytest.mark.parametrize("patch", [2, 6, 7, 16])
def test_a_patch_may_have_any_side(patch, training):
    model = Judge(ModelConfig(4 * patch, patch, 48, 2, 4, 32, 2, 2), training).eval()
    features = torch.rand(1, 16, model.config.judge_features)
    assert model(features, torch.arange(16, dtype=torch.int32)[None]).shape == (1, 16)


def test_extreme_differences_stay_finite():
    features, ids = given()
    assert torch.isfinite(judge()(features * 1e6, ids)).all()


@pytest.mark.parametrize("change", [{"dim": 4}, {"depth": 0}, {"folds": 1}])
def test_sizes_that_do_not_fit_are_refused(change):
    with pytest.raises(ConfigError):
        JudgeTraining(**change)
