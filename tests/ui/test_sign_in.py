"""Sign-in of a page for others: refused unless it is whole and safe; who is let in; what of the disk is read then."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from registry.errors import ExtraMissing, PathOutside, SignInUnusable
from ui import access, serving, sign_in
from ui.program import app
from ui.sign_in import Places, SignOuts, is_let_in, read_sign_in

SOUND = {
    "redirect_uri": "https://zoo.example.org/oauth2callback",
    "cookie_secret": "0123456789abcdef0123456789abcdef",
    "client_id": "transferzoo",
    "client_secret": "hush",
    "server_metadata_url": "https://login.example.org/.well-known/openid-configuration",
}
TEAM = ("*@example.org",)


@pytest.fixture
def written(tmp_path):
    def write(**changes: str):
        file = tmp_path / "sign-in.toml"
        lines = [f'{name} = "{value}"' for name, value in {**SOUND, **changes}.items() if value]
        file.write_text("\n".join(["[auth]", *lines]))
        file.chmod(0o600)
        return file

    return write


def test_a_sound_one_says_where_people_see_the_page(written):
    known = read_sign_in(written(), TEAM)
    assert (known.origin, known.host, known.admitted) == ("https://zoo.example.org", "zoo.example.org", TEAM)
    pinned = serving._reached(known, "192.0.2.7")
    assert "--server.address=192.0.2.7" in pinned
    assert "--server.corsAllowedOrigins=https://zoo.example.org" in pinned
    assert "--server.enableXsrfProtection=true" in serving.PINNED
    assert "--server.address=127.0.0.1" in serving._reached(None, "192.0.2.7")
    assert "--server.address=127.0.0.1" in serving._reached(known, serving.HOST)


def test_the_example_that_a_refusal_leads_to_is_a_sound_one(tmp_path):
    page = (Path(sign_in.__file__).parent / "README.md").read_text()
    (example,) = re.findall(r"### For others\n.*?```toml\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "sign-in.toml"
    file.write_text(example)
    file.chmod(0o600)
    assert read_sign_in(file, TEAM).host == "zoo.example.org"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"client_secret": ""}, r"lacks client_secret"),
        ({"cookie_secret": "short"}, "fewer than 32"),
        ({"redirect_uri": "https://zoo.example.org/"}, "oauth2callback"),
        ({"redirect_uri": "http://zoo.example.org/oauth2callback"}, "no https"),
        ({"server_metadata_url": "http://login.example.org/x"}, "no https"),
    ],
)
def test_what_is_missing_or_unsafe_is_refused_with_its_reason(written, changes, why):
    with pytest.raises(SignInUnusable, match=why) as refused:
        read_sign_in(written(**changes), TEAM)
    assert "README" in refused.value.remedy


def test_nobody_is_let_in_unasked_and_secrets_are_for_one_alone(written, tmp_path, monkeypatch):
    file = written()
    with pytest.raises(SignInUnusable, match="--admit"):
        read_sign_in(file, ())
    with pytest.raises(SignInUnusable, match="no such file"):
        read_sign_in(tmp_path / "none.toml", TEAM)
    file.chmod(0o644)
    with pytest.raises(SignInUnusable, match="chmod 600"):
        read_sign_in(file, TEAM)
    file.chmod(0o600)
    monkeypatch.setattr(sign_in, "find_spec", lambda _: None)
    with pytest.raises(ExtraMissing, match="authlib"):
        read_sign_in(file, TEAM)


def test_an_address_lets_in_only_where_the_provider_does_not_call_it_unverified():
    assert is_let_in({"email": "Anna@Example.org"}, TEAM)
    assert is_let_in({"email": "anna@example.org", "email_verified": True}, TEAM)
    assert not is_let_in({"email": "anna@example.org", "email_verified": False}, TEAM)
    assert not is_let_in({"email": "eve@example.org.evil.net"}, TEAM)
    assert not is_let_in({"sub": "anna"}, TEAM)


def test_for_others_no_folder_is_read_that_was_not_named(tmp_path, monkeypatch):
    monkeypatch.setenv(access.ADMITTED, '["*@example.org"]')
    monkeypatch.setenv(access.STARTED_IN, str(tmp_path))
    monkeypatch.delenv(access.ROOTS, raising=False)
    with pytest.raises(PathOutside, match="no folder"):
        access.placed("here")
    monkeypatch.setenv(access.ROOTS, str(tmp_path / "shared"))
    assert access.placed("shared/set") == tmp_path / "shared" / "set"
    with pytest.raises(PathOutside):
        access.placed("shared/../elsewhere")


@pytest.mark.slow
def test_the_command_is_refused_without_a_sign_in(tmp_path):
    words = ["picker", "--allow-remote", "--admit", "*@example.org", "--no-browser", "--home", str(tmp_path)]
    with pytest.raises(SignInUnusable, match=r"sign-in\.toml: there is no such file"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    alone = CliRunner().invoke(app, ["picker", "--host", "192.0.2.7", "--home", str(tmp_path)])
    assert alone.exit_code == 2
    assert "--allow-remote" in alone.output


def test_a_place_is_given_back_once_to_its_browser_alone_and_not_for_long():
    now = [0.0]
    places = Places(lambda: now[0])
    places.keep("one", "zoo", {"card": "a"})
    places.keep("other", "", {"run": "b"})
    assert places.pop("third") is None
    assert places.pop("one") == ("zoo", {"card": "a"})
    assert places.pop("one") is None
    now[0] = 3600.0
    assert places.pop("other") is None


def test_of_too_many_places_the_first_are_forgotten():
    places = Places()
    for number in range(2000):
        places.keep(str(number), "", {"run": "a"})
    assert places.pop("0") is None
    assert places.pop("1999") == ("", {"run": "a"})


def test_a_tab_that_was_open_when_its_browser_signed_out_is_signed_out_too_and_a_later_one_is_not():
    now = [10.0]
    sign_outs = SignOuts(lambda: now[0])
    assert not sign_outs.ended("hers", since=5.0)
    sign_outs.keep("hers")
    assert sign_outs.ended("hers", since=5.0)
    assert not sign_outs.ended("his", since=5.0)
    assert not sign_outs.ended("hers", since=11.0)
