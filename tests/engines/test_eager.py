"""A run folder as an engine: what torch itself answers, without an export."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.bundles import SMALL  # noqa: E402
from maescan.engines.eager import TorchEngine  # noqa: E402
from maescan.errors import DataError  # noqa: E402
from maescan.models import Classifier, Judge, MaskedAutoencoder  # noqa: E402

IDS = np.tile(np.arange(16, dtype=np.int32), (3, 1))
TOKENS = np.random.default_rng(0).random((3, 16, 64), np.float32)


def saved(folder, **models):
    from safetensors.torch import save_file

    for name, model in models.items():
        save_file(model.state_dict(), folder / f"{name}.safetensors")


def test_it_answers_as_the_models_do(tmp_path):
    mae, classifier = MaskedAutoencoder(SMALL.model).eval(), Classifier(SMALL.model).eval()
    saved(tmp_path, mae=mae, classifier=classifier)
    engine = TorchEngine(tmp_path, SMALL)
    keep, restore = IDS[:, :4].copy(), IDS.copy()
    with torch.inference_mode():
        wanted = mae(*map(torch.from_numpy, (TOKENS[:, :4].copy(), IDS, keep, restore)))
        scores = classifier.score(torch.from_numpy(TOKENS), torch.from_numpy(IDS))
    assert np.array_equal(engine.reconstruct(TOKENS[:, :4], IDS, keep, restore), wanted.numpy())
    found = engine.classify(TOKENS, IDS)
    assert found.dtype == np.float32 and np.array_equal(found, scores.numpy()) and ((found > 0) & (found < 1)).all()
    engine.close()
    assert engine.mae is None and engine.classifier is None


def test_a_judges_answer_is_its_logits(tmp_path):
    preset = SMALL.replace(measure="judge")
    judge = Judge(preset.model, preset.judge).eval()
    saved(tmp_path, judge=judge)
    engine = TorchEngine(tmp_path, preset)
    assert isinstance(engine.classifier, Judge) and engine.mae is None
    features = np.random.default_rng(0).random((3, 16, preset.model.judge_features), np.float32)
    with torch.inference_mode():
        wanted = judge(torch.from_numpy(features), torch.from_numpy(IDS))
    assert wanted.shape == (3, 16) and np.array_equal(engine.classify(features, IDS), wanted.numpy())


def test_a_measure_that_needs_no_network_has_none(tmp_path):
    saved(tmp_path, mae=MaskedAutoencoder(SMALL.model))
    engine = TorchEngine(tmp_path, SMALL.replace(measure="mse"))
    assert engine.classifier is None and engine.mae is not None


def test_weights_of_another_network_are_no_weights(tmp_path):
    saved(tmp_path, mae=Classifier(SMALL.model))
    with pytest.raises(DataError, match="holds no weights of this network") as raised:
        TorchEngine(tmp_path, SMALL)
    assert raised.value.path == tmp_path / "mae.safetensors"
