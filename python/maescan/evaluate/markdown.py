"""report.md: the metrics for a reader, baselines in every table."""

from __future__ import annotations

from collections.abc import Sequence

from maescan.config.types import Json
from maescan.datasets.sliceset import LeftOut, left_out_told
from maescan.decimals import counted, rounded
from maescan.errors import in_markdown
from maescan.evaluate.ranking import FEW
from maescan.evaluate.scans import training_text

RESAMPLED = "Intervals: 95 %, whole patients resampled, widened as few patients need."
NO_INTERVALS = f"No intervals: of under {FEW} patients of a class they are too narrow."


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats as `rounded`, None as a dash."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return rounded(value) if isinstance(value, float) else in_markdown(str(value))


def interval_text(interval: Sequence[float] | None) -> str | None:
    """`low to high`, None for none."""
    return f"{rounded(interval[0])} to {rounded(interval[1])}" if interval else None


def report(metrics: Json, *, pictures: Sequence[str] = ()) -> str:
    """The text of report.md from what `summary.summarise` found."""
    parts = [f"# Evaluation of {metrics['model']['name']}\n", _about(metrics), _ranking(metrics), _detail(metrics)]
    for title, section in (("Localisation", _pixels), ("Which lesions are found", _lesions)):
        if metrics["pixels" if section is _pixels else "lesions"]:
            parts.append(f"## {title}\n\n{section(metrics)}")
    for title, beside in (("Lesions and false alerts", _froc), ("Groups", _groups)):
        if metrics.get("froc" if beside is _froc else "groups"):
            parts.append(f"## {title}\n\n{beside(metrics)}")
    if stressed := metrics.get("stress"):
        parts.append(f"## Lesions put into healthy slices\n\n{stress_text(stressed)}")
    if metrics["missing"]:
        rows = [f"- {name}: {reason}" for name, reason in sorted(metrics["missing"].items())]
        parts.append("## Not answered\n\n" + "\n".join(rows) + "\n")
    parts += [f"![{name}]({name})\n" for name in pictures]
    return "\n".join(parts)


def taken_text(taken: str, left_out: Sequence[Json]) -> str:
    """What a report says that it took, and that it could not; "" for slices that were not loaded."""
    told = left_out_told([LeftOut(**scan) for scan in left_out])
    return (f"Taken: {taken}.\n\n" if taken else "") + (f"**{'; '.join(told)}.**\n\n" if told else "")


def _about(metrics: Json) -> str:
    data, resampled = metrics["data"], f"{RESAMPLED} " if metrics["slice"]["interval"] else ""
    before = training_text(metrics) + taken_text(data["taken"], metrics["model"].get("left_out", ()))
    return before + (
        f"{counted(data['slices'], 'slice')} of {counted(data['scans'], 'scan')}: {data['normal']} normal, "
        f"{data['abnormal']} abnormal (in {counted(data['abnormal_scans'], 'scan')}). {resampled}The baselines need "
        "no model; a score that does not beat them, or whose matched AUROC is near 0.5, has only found where slices "
        "show much tissue.\n"
    )


def _ranking(metrics: Json) -> str:
    rows = [_ranked(f"**{metrics['model']['score']}**", metrics["slice"], "")]
    rows += [_ranked(name, values, f" ({values['direction']})") for name, values in metrics["baselines"].items()]
    columns = [
        *("slices ranked by", "AUROC", "interval", "within patients", "area-matched", "within area strata"),
        "average precision",
    ]
    return "## Slices\n\n" + table(columns, rows)


def _ranked(name: str, values: Json, direction: str) -> list[object]:
    matched = values["area_matched"]["auroc"] if values["area_matched"] else None
    within = values["within_patients"]["auroc"] if values["within_patients"] else None
    return [
        name + direction,
        values["auroc"],
        interval_text(values["interval"]),
        within,
        matched,
        values["area_strata"],
        values["average_precision"],
    ]


def _detail(metrics: Json) -> str:
    slice_, gap, scan = metrics["slice"], metrics["over_best_baseline"], metrics["scan"]
    rows = [
        [
            f"AUROC over the best baseline ({gap['baseline']})",
            rounded(gap["gap"], "+"),
            interval_text(gap["interval"]),
        ],
        *(
            [
                f"sensitivity at {name} specificity (of these slices {rounded(values['specificity'])})",
                values["sensitivity"],
                None,
            ]
            for name, values in slice_["at_specificity"].items()
        ),
        *_at_healthy(metrics.get("healthy_threshold")),
        ["scan-level AUROC", scan["auroc"], None],
        ["expected calibration error", slice_["calibration_error"], None],
    ]
    text = table(("what", "value", "interval"), rows)
    if within := slice_["within_patients"]:
        count = within["patients"]
        of = f"mean AUROC of the {count} patients" if count > 1 else "AUROC of the one patient"
        text += f"\nWithin patients: the {of} with slices of both kinds.\n"
    if matched := slice_["area_matched"]:
        text += (
            f"\nArea-matched: {matched['matched']} of {matched['abnormal']} abnormal slices have normal partners "
            f"(as far from the middle within 0.1 of the height that a patient's span, area within 20 %, larger "
            f"and smaller ones weighing alike), {matched['pairs']} pairs.\n"
        )
    return text


def _at_healthy(at: Json | None) -> list[list[object]]:
    """Rows of a threshold that was set before any lesion was seen."""
    if not at:
        return []
    own = f", with {at['shared']} of the scans judged: it does worse on others" if at.get("shared") else ""
    words = f"at the threshold that 95 % of {at['slices']} healthy slices ({at['source']}{own}) stay under"
    return [
        [f"specificity {words}", at["specificity"], None],
        ["sensitivity at that threshold", at["sensitivity"], None],
    ]


def _froc(metrics: Json) -> str:
    found = metrics["froc"]
    of = "scans without a lesion" if found["healthy_scans"] else "the normal slices of all scans"
    rows = [[row["false_alerts"], row["sensitivity"], *row["by_size"]] for row in found["rows"]]
    rows.append(["lesions", str(found["lesions"]), *map(str, found["count_by_size"])])
    return (
        f"Share of the {found['lesions']} lesions (voxels that touch, by a corner too, over slices too) with a pixel"
        f" as hot as the threshold, by size in voxels of the model's grid. False alerts: peaks as hot in {of}, per"
        f" scan ({found['scans']} of them).\n\n" + table(("false alerts per scan", "all", *found["sizes"]), rows)
    )


def _groups(metrics: Json) -> str:
    columns = ("scans", "slices", "auroc", "specificity", "sensitivity")
    parts = [
        table(
            (name, "scans", "slices", "AUROC", *columns[3:]), [[r["value"], *(r[c] for c in columns)] for r in rows]
        )
        for name, rows in metrics["groups"].items()
    ]
    return "Specificity and sensitivity: at the healthy slices' threshold.\n\n" + "\n".join(parts)


def _pixels(metrics: Json) -> str:
    names = {"heat": "heat map, in tissue", "heat_everywhere": "heat map, air included"}
    names["brightness"] = "brightness alone, in tissue"
    rows = [[names[key], value["auroc"], value["best_dice"]] for key, value in metrics["pixels"].items()]
    note = "\nBest Dice: one threshold for all slices, chosen in hindsight.\n"
    if beside := metrics.get("dice"):
        note += (
            f"At the threshold that 99 % of the pixels of healthy slices ({beside['source']}) stay under, the heat"
            f" map's Dice is {rounded(beside['dice'])}.\n"
        )
        if marked := beside.get("marked"):
            over, dice = rounded(marked["threshold"]), rounded(marked["dice"])
            note += f"Of what its segmentations mark, all over {over}, it is {dice}.\n"
    return table(("pixels ranked by", "AUROC", "best Dice"), rows) + note


def _lesions(metrics: Json) -> str:
    text = "Sensitivity at 95 % specificity.\n"
    for key, title in (("size", "lesion, share of the slice's tissue"), ("contrast", "lesion against other tissue")):
        rows = [list(row.values()) for row in metrics["lesions"][key]]
        text += "\n" + table((title, "slices", "sensitivity"), rows)
    return text


def stress_text(metrics: Json) -> str:
    """Tables of what `stress.summarise` found."""
    measures = metrics["measures"]
    own = measures[next(iter(measures))]
    few, rows = metrics["patients"] < FEW, []
    resampled = NO_INTERVALS if few else RESAMPLED
    for kind, row in own["kinds"].items():
        cells = [
            cell
            for part in (row["rises"], row["passes"])
            for cell in (part["share"], None if few else interval_text(part["interval"]))
        ]
        rows.append([kind + (" (artefact)" if row["artefact"] else ""), *cells, metrics["found"].get(kind)])
    rows.append(["**mean of the lesions**", own["mean"]["rises"], None, own["mean"]["passes"], None, None])
    others = [[kind, *(m["kinds"][kind]["rises"]["share"] for m in measures.values())] for kind in own["kinds"]]
    coins = metrics["not_better_than_a_coin"]
    parts = [
        f"One lesion put into each of {counted(metrics['slices'], 'healthy slice')} of "
        f"{counted(metrics['patients'], 'patient')}. rises: "
        "slices that score higher with it than without; a coin has 0.500. passes: slices over the threshold that "
        f"95 % of them stay under without a lesion ({rounded(own['healthy_passes'])} pass it then). map: chance that "
        f"a pixel of the lesion is hotter than one of other tissue. {resampled}\n",
        table(("put in", "rises", "interval", "passes", "interval", "map"), rows),
        f"No better than a coin: {', '.join(coins)}.{' Of so few patients, that others are may be chance.' * few}\n"
        if coins
        else "Each kind of lesion raises over half of the scores; of so few patients that may be chance.\n"
        if few
        else "Better than a coin for every kind of lesion.\n",
        "Rising scores, by measure:\n",
        table(("put in", *measures), others),
    ]
    for key, title in (("by_size", "lesion, share of the tissue"), ("by_change", "lesion against what was there")):
        parts.append(table((title, "lesions", "rises"), [list(row.values()) for row in metrics[key]]))
    return "\n".join(parts)
