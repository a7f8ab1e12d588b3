"""Elements with several values where one belongs."""

from __future__ import annotations

import pytest

from helpers.scan_files import enhanced, save, write_series
from maescan.errors import ScanError
from maescan.scans import find_scans, read_scan


@pytest.mark.parametrize("values", [[1, 1], [1, 2, 3, 4]])
@pytest.mark.parametrize("tag", ["RescaleSlope", "NumberOfFrames", "SamplesPerPixel", "Rows", "SliceThickness"])
def test_of_a_series_the_element_is_named_once(tmp_path, tag, values):
    write_series(tmp_path / "s", **{tag: values})
    (source,) = find_scans(tmp_path)
    assert (source.name, len(source.files)) == ("s/3", 6)
    named = {2: "1, 1", 4: "1, 2, 3 ..."}[len(values)]
    with pytest.raises(ScanError, match=rf"has {len(values)} values in {tag}, where one belongs: ") as raised:
        read_scan(source)
    assert raised.value.path == source.files[0] and raised.value.reason.replace(".0", "").endswith(f": {named}")
    assert raised.value.remedy == "the header is damaged: export the series again"


def test_of_an_enhanced_image_too(tmp_path):
    from pydicom import dcmread

    image = dcmread(enhanced(tmp_path / "e.dcm"))
    (shared,) = image.SharedFunctionalGroupsSequence
    shared.PixelValueTransformationSequence[0].RescaleSlope = [1, 2]
    save(image, tmp_path / "e.dcm")
    with pytest.raises(ScanError, match="has 2 values in RescaleSlope, where one belongs: 1"):
        read_scan(tmp_path)
