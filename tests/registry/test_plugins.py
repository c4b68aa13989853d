"""Plug-ins of installed packages: found by name, left out with a warning, refused where two have one name."""

import pytest

from registry.errors import NameTakenTwice, PluginUnusable, PluginWarning, TransferZooError, UnknownName
from registry.plugins import Plugins
from tests.packages import install

CODE = "def loud(): return 'loud'\nnumber = 3\n"


def sounds():
    return Plugins("sound", "transferzoo.sounds", {"ours": lambda: str.upper})


def test_a_plug_in_stands_behind_ours_under_its_name(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, {"sounds:loud": "strange:loud"}, CODE)
    known = sounds()
    assert list(known) == ["ours", "loud"]
    assert known["loud"]() == "loud"
    assert known.brought == ("loud",)


def test_what_is_installed_later_is_found_and_what_is_gone_is_not(monkeypatch, tmp_path):
    known = sounds()
    assert list(known) == ["ours"]
    with monkeypatch.context() as installed:
        install(installed, tmp_path, {"sounds:loud": "strange:loud"}, CODE)
        assert "loud" in known
        assert known["loud"]() == "loud"
    with pytest.raises(UnknownName):
        known["loud"]


@pytest.mark.parametrize(
    ("point", "why"),
    [
        ("nowhere:loud", "ModuleNotFoundError"),
        ("strange:quiet", "AttributeError"),
        ("strange:number", "is no sound"),
    ],
)
def test_a_plug_in_that_cannot_be_loaded_is_named_and_the_others_go_on(monkeypatch, tmp_path, point, why):
    install(monkeypatch, tmp_path, {"sounds:broken": point}, CODE)
    known = sounds()
    with pytest.warns(PluginWarning, match=f"'broken' of strange.*{why}"):
        assert [name for name, _ in known.usable()] == ["ours"]
    with pytest.raises(PluginUnusable, match=why) as refused:
        known["broken"]
    assert "strange" in refused.value.remedy


def test_a_module_that_fails_when_it_is_imported_is_no_worse(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, {"sounds:broken": "strange:loud"}, "raise ValueError('not today')")
    with pytest.warns(PluginWarning, match="not today"):
        assert dict(sounds().usable()).keys() == {"ours"}


def test_a_name_that_two_packages_bring_is_refused_with_both(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path / "one", {"sounds:loud": "strange:loud"}, CODE)
    install(monkeypatch, tmp_path / "two", {"sounds:loud": "stranger:loud"}, CODE, name="stranger")
    with pytest.raises(NameTakenTwice) as refused:
        list(sounds())
    assert set(refused.value.packages) == {"strange", "stranger"}
    assert isinstance(refused.value, TransferZooError)


def test_a_name_of_ours_is_not_to_be_had(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path, {"sounds:ours": "strange:loud"}, CODE)
    with pytest.raises(NameTakenTwice, match="transferzoo and strange") as refused:
        sounds()["ours"]
    assert "Uninstall strange" in refused.value.remedy
