"""Tables of a report."""


def test_table_shows_three_decimals_and_dashes():
    from maescan.evaluate.markdown import table

    assert table(("a", "b"), [[0.12345, None]]) == "| a | b |\n| --- | --- |\n| 0.123 | - |\n"
