from __future__ import annotations

import pytest

from maescan.errors import ConfigError
from maescan.network.options import ListenOptions, parse_seconds, read_config


def test_times():
    assert [parse_seconds(text) for text in ("10", 900, "15m", "12h", "7d", 0.5)] == [
        10,
        900,
        900,
        43200,
        604800,
        0.5,
    ]
    for text in ("", "-1", "5X", "five", "1e3"):
        with pytest.raises(ConfigError):
            parse_seconds(text)


def test_loopback_by_default_and_nobody_else_without_saying_who_may_send(tmp_path):
    assert ListenOptions().host == "127.0.0.1"
    with pytest.raises(ConfigError, match="take images from anybody"):
        ListenOptions.of({"host": "0.0.0.0"})
    assert ListenOptions.of({"host": "0.0.0.0", "from": ["CT1@10.1.1.1"]}).senders
    assert ListenOptions.of({"host": "0.0.0.0", "tls": ["k", "c", "a"]}).tls


@pytest.mark.parametrize(
    "values",
    [
        {"aet": "MORE_THAN_SIXTEEN"},
        {"aet": "  "},
        {"aet": "A\\B"},
        {"host": "scanner"},
        {"port": "70000"},
        {"port": "x"},
        {"port": True},
        {"from": ["CT1"]},
        {"from": ["CT1@host"]},
        {"from": "CT1@10.1.1.1"},
        {"forward": ["PACS@10.1.1.1"]},
        {"forward": ["PACS@10.1.1.1:104/tls"]},
        {"tls": ["key"]},
        {"keep": "soon"},
    ],
)
def test_what_is_refused(values):
    with pytest.raises(ConfigError):
        ListenOptions.of(values)


@pytest.mark.parametrize("name", ["settle", "aborted_wait", "keep", "min_free", "max_instance"])
def test_of_several_times_and_sizes_the_wrong_one_is_named(name):
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}: '-5' is no "):
        ListenOptions.of({name: "-5"})


def test_values_survive_the_way_to_another_process():
    given = {
        "from": ["CT 1@10.0.0.0/8"],
        "forward": ["PACS@[::1]:104"],
        "keep": "1d",
        "tls": ["k", "c", "a"],
        "port": 5,
    }
    options = ListenOptions.of(given)
    assert ListenOptions.of(options.to_json()) == options


def test_a_config_file(tmp_path):
    file = tmp_path / "listen.toml"
    file.write_text('aet = "AI"\nfrom = ["CT1@10.1.1.1"]\nmin-free = "1G"\nport = 4242\n')
    options = ListenOptions.of(read_config(file))
    assert (options.aet, options.min_free, options.port, len(options.senders)) == ("AI", 10**9, 4242, 1)
    file.write_text("aett = 1\n")
    with pytest.raises(ConfigError, match="unknown: aett"):
        read_config(file)
    for text in ("aet = \n", "aet = " + "[" * 99999, "port = " + "9" * 9999):
        file.write_text(text)
        with pytest.raises(ConfigError, match="cannot be read"):
            read_config(file)
