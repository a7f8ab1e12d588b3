"""The presets by name: the paper's, its authors' own inputs, and ours."""

from __future__ import annotations

from pathlib import Path

from maescan.config.training import ClassifierTraining, JudgeTraining, MaeTraining
from maescan.config.types import (
    GridConfig,
    IntensityConfig,
    ModelConfig,
    Preset,
    PseudoConfig,
)
from maescan.content import read_text
from maescan.errors import ConfigError

PRESETS: dict[str, Preset] = {
    "brats": Preset("brats"),
    "luna16": Preset(
        "luna16",
        modality="ct",
        model=ModelConfig(image_size=64),
        pseudo=PseudoConfig(size=(5, 12)),
        intensity=IntensityConfig("hu"),
        grid=GridConfig(None),
        mae=MaeTraining(batch_size=2048),
    ),
    "tiny": Preset(
        "tiny",
        model=ModelConfig(64, 8, 96, 4, 4, 64, 2, 4),
        pseudo=PseudoConfig(boxes=(1, 5), size=(5, 18), where="tissue"),
        grid=GridConfig(170.0),
        mae=MaeTraining(epochs=40, batch_size=16, base_lr=1.6e-2, warmup_epochs=4, crop="clamp", crop_scale=0.9),
        classifier=ClassifierTraining(
            epochs=8,
            batch_size=32,
            base_lr=8e-3,
            betas=(0.9, 0.95),
            warmup_epochs=2,
            label_smoothing=0.05,
            erasing=0.0,
            crop="clamp",
            crop_scale=0.6,
        ),
    ),
}

# what the authors' released weights were trained on: BRATS2020's HDF5 edition as its arrays lie, and CT unclipped
PRESETS["brats-official"] = PRESETS["brats"].replace(
    name="brats-official",
    intensity__method="standard",
    grid__field_mm=None,
    grid__orientation="array",
)
PRESETS["luna16-official"] = PRESETS["luna16"].replace(name="luna16-official", intensity__clip=False)

PRESETS["tiny-fg"] = PRESETS["tiny"].replace(name="tiny-fg", tokens__method="foreground")
PRESETS["brats-fg"] = PRESETS["brats"].replace(
    name="brats-fg",
    tokens__method="hull",
    pseudo__where="tissue",
    # crops that zoom out as much as in: on average slices have as many tokens as when they are scored
    mae__crop_largest=1.4,
    classifier__crop_scale=0.5,
    classifier__crop_largest=2.0,
)

# ours: complementary masks, a judge of tokens in place of the classifier, and the measure that training finds best
JUDGED = {"measure": "judge", "masks__strategy": "complementary", "judge__least_steps": 5_000}
PRESETS["brats+"] = PRESETS["brats-fg"].replace(name="brats+", **JUDGED)
PRESETS["luna16+"] = PRESETS["luna16"].replace(name="luna16+", **JUDGED)
PRESETS["tiny+"] = PRESETS["tiny-fg"].replace(
    name="tiny+",
    measure="judge",
    tokens__method="hull",
    masks__strategy="complementary",
    judge=JudgeTraining(
        dim=64,
        depth=1,
        fine=12,  # where a slice is 64 pixels wide, a small lesion is four of them
        folds=0,
        epochs=36,
        least_steps=5_000,
        batch_size=8,
        base_lr=6.4e-2,
    ),
)

# for speed, trained so: smaller networks, the four passes of the others (docs/beyond.md, table of operations)
PRESETS["tiny-fast"] = PRESETS["tiny+"].replace(
    name="tiny-fast",
    model__encoder_dim=64,
    model__decoder_dim=48,
    model__decoder_depth=1,
    judge__dim=40,
    judge__fine=0,
    judge__epochs=72,  # as long as the full one's takes, for it costs a third
)
PRESETS["brats-fast"] = PRESETS["brats+"].replace(
    name="brats-fast",
    model__encoder_dim=384,  # ViT-S, of which there are public weights
    model__encoder_heads=6,
    model__decoder_dim=256,
    model__decoder_depth=4,
    model__decoder_heads=8,
    judge__dim=80,
    judge__depth=1,
)


def preset(name: str | Path) -> Preset:
    """The preset of that name, or the one in that JSON file. Raises ConfigError for neither."""
    name = str(name)
    if name in PRESETS:
        return PRESETS[name]
    if name.endswith(".json"):
        remedy = "give a preset's JSON file, as preset.json of a run folder"
        try:
            return Preset.from_json(read_text(name))
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", path=name, remedy="check the path") from error
        except ConfigError as error:
            raise ConfigError(error.reason, path=name, remedy=error.remedy or "change it in the file") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"cannot read the preset: {error}", path=name, remedy=remedy) from error
    raise ConfigError(f"unknown preset '{name}'", remedy=f"use one of {', '.join(PRESETS)} or a .json file")
