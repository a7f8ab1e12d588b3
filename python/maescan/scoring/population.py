"""Whether the scans of an archive are like those that the bundle was calibrated on: two tests over all it judged.

Both take scans for draws of their own, and a patient's are not: where each had three scans of like figures in a row,
the martingale passed 100 in all of 40 archives of scans like the calibration's. So of each patient the first counts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from maescan.datasets.subjects import subjects_of
from maescan.results.tables import Tables
from maescan.scoring.conformal import Reference, surplus
from maescan.scoring.martingale import drift

RARE = 1e-4
"""How improbable so many alerts must be among scans like the reference."""

SCORE = "score"


@dataclass(frozen=True)
class Population:
    """judged, alerts: scans; chance: of so many alerts or more among scans like the reference; capital, highest: of
    the martingale over scans in order of arrival, now and ever; changed_at: the scan at which it passed 100; figure:
    what of the scans had changed then."""

    judged: int
    alerts: int
    chance: float
    capital: float
    highest: float
    changed_at: str
    figure: str = ""

    @classmethod
    def of(cls, known: Tables, reference: Reference | None) -> Population | None:
        """Of all scans that the reference judges; None without one."""
        if reference is None:
            return None
        rows = sorted((row for row in known.rows if known.judge_of(row)), key=lambda row: row.order)
        scores = [known.scan_score(row) for row in rows]
        alerts = sum(reference.scan(score)[1] == "yes" for score in scores)
        whose = subjects_of([row.label for row in rows], [row.patient for row in rows])
        first = np.sort(np.unique(whose, return_index=True)[1]).tolist()
        judged, alerting = len(first), sum(reference.scan(scores[i])[1] == "yes" for i in first)
        chance = surplus(len(reference.scans), judged, alerting, reference.rate)
        names = [rows[i].print or rows[i].label for i in first]
        values = ({SCORE: scores[i], **rows[i].figures} for i in first)
        moved = drift({SCORE: reference.scans, **reference.figures}, zip(names, values, strict=True))
        changed_at = "" if moved.alarm_at is None else rows[first[moved.alarm_at]].label
        return cls(len(rows), alerts, chance, moved.capital, moved.highest, changed_at, moved.figure)

    def warnings(self) -> dict[str, str]:
        """What report and terminal say of it: "unusual", so many alerts, and "changed"; none where all is well."""
        said = {}
        if self.chance <= RARE:
            said["unusual"] = (
                f"{self.alerts} of {self.judged} scans alert, far more than the rate allows: these scans are not like"
                " those that the bundle was calibrated on, or few of them are healthy. Take no alert for a finding."
            )
        if self.changed_at:
            said["changed"] = (
                f"The scans have changed, by their {self.figure}: another scanner, protocol or kind of patient than"
                " in calibration. The alert rate no longer holds: calibrate anew on scans as they are now."
            )
        return said

    def state(self) -> dict[str, object]:
        """For run.json."""
        return {**asdict(self), "warnings": list(self.warnings().values())}
