"""The judge: shapes, what its logits may depend on, and that it exports."""

from dataclasses import replace

import pytest
import torch

from maescan.config import JudgeTraining, ModelConfig
from maescan.errors import ConfigError
from maescan.models import Judge

MODEL = ModelConfig(32, 8, 48, 2, 4, 32, 2, 2)
SMALL = JudgeTraining(dim=32, depth=2, heads=4)


def judge():
    torch.manual_seed(0)
    made = Judge(MODEL, SMALL).eval()
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


def test_in_training_the_expected_size_comes_beside_the_logits():
    model = judge()
    answers = model.train()(*given())
    assert answers.shape == (3, 2, 12) and torch.equal(answers[:, 1:2].mT, model.expected(given()[0]))


def test_order_of_tokens_does_not_matter():
    features, ids = given()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    model = judge()
    torch.testing.assert_close(
        model(features, ids)[:, order], model(features[:, order], ids[:, order]), atol=1e-5, rtol=1e-4
    )


def test_the_expected_size_does_not_see_the_differences():
    features, _ = given()
    changed = features.clone()
    changed[..., : MODEL.patch_pixels] += 1
    model = judge()
    assert torch.equal(model.expected(features), model.expected(changed))


def test_neighbours_are_those_on_the_grid_that_are_in_the_set():
    ids = torch.tensor([[0, 1, 5, 15]], dtype=torch.int32)  # of a grid of 4 x 4: the first three touch each other
    values = torch.tensor([[[1.0], [2.0], [6.0], [7.0]]])
    assert judge().around(values, ids).flatten().tolist() == pytest.approx([3, 3, 3, 7])


def test_what_the_image_looks_like_is_hidden_in_a_share_of_slices_in_training_alone():
    features, ids = given()
    other, pixels = features.clone(), MODEL.patch_pixels
    for part in (slice(0, pixels), slice(2 * pixels, 3 * pixels)):  # another image, the same prediction
        other[..., part] += 1
    size = torch.zeros(3, 12, 1)
    blind, seeing = (Judge(MODEL, replace(SMALL, image_dropout=share)).eval() for share in (1.0, 0.0))
    blind.load_state_dict(seeing.state_dict())
    assert torch.equal(blind(other, ids), seeing(other, ids))  # in scoring all of it is seen
    for model, alike in ((blind, True), (seeing, False)):
        model.train()
        model.statistics = lambda given, _: torch.cat([torch.ones(3, 12, 12), given[..., :6]], dim=2)
        assert torch.equal(model.tokens(features, ids, size), model.tokens(other, ids, size)) == alike


def test_extreme_differences_stay_finite():
    features, ids = given()
    assert torch.isfinite(judge()(features * 1e6, ids)).all()


@pytest.mark.parametrize("change", [{"dim": 30}, {"dim": 32, "heads": 3}, {"folds": 1}])
def test_sizes_that_do_not_fit_are_refused(change):
    with pytest.raises(ConfigError):
        JudgeTraining(**change)
