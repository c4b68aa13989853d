"""A page for others: before it the sign-in alone, behind it the page of the team, with each one's own uploads."""

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import opened
from tests.browser.test_served import connected
from tests.browser.test_team import drop, packed
from tests.fakes import oidc
from tests.servers import free_port, is_open, serving

pytestmark = pytest.mark.browser

PEOPLE = {
    "anna": {"email": "anna@example.org", "email_verified": True},
    "boris": {"email": "boris@example.org", "email_verified": True},
    "eve": {"email": "eve@elsewhere.net", "email_verified": True},
}


@contextmanager
def served_to_others(home: Path, provider: oidc.Provider) -> Iterator[int]:
    """Its port."""
    port, file = free_port(), home.parent / "sign-in.toml"
    stated = {
        "redirect_uri": f"http://127.0.0.1:{port}/oauth2callback",
        "cookie_secret": "0123456789abcdef0123456789abcdef",
        "client_id": oidc.CLIENT,
        "client_secret": oidc.SECRET,
        "server_metadata_url": f"{provider.address}/.well-known/openid-configuration",
    }
    file.write_text("\n".join(["[auth]", *(f'{name} = "{value}"' for name, value in stated.items())]))
    file.chmod(0o600)
    words = [
        "--allow-remote",
        "--sign-in",
        str(file),
        "--admit",
        "*@example.org",
        "--root",
        str(home.parent / "shared"),
    ]
    command = ["-m", "ui.cli", "picker", "--no-browser", "--port", str(port), "--home", str(home), *words]
    with serving(command, home.with_suffix(".log"), lambda _: is_open(port) or None, env={"OMP_NUM_THREADS": "2"}):
        yield port


def visitor(browser: Browser, port: int) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.goto(f"http://127.0.0.1:{port}/")
    return page


def signed_in(page: Page, who: str) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name=who).click()


def test_whoever_is_not_signed_in_sees_the_sign_in_alone_and_each_their_own_uploads(
    browser: Browser, tmp_path: Path
) -> None:
    with oidc.served(PEOPLE) as provider, served_to_others(tmp_path / "home", provider) as port:
        anna = visitor(browser, port)
        for path in ("", "zoo", "record", "?advice=0123456789abcdef"):
            anna.goto(f"http://127.0.0.1:{port}/{path}")
            expect(anna.get_by_role("button", name="Sign in")).to_be_visible()
            expect(anna.get_by_role("button", name="Recommend")).to_have_count(0)
            expect(anna.get_by_role("link", name="Zoo")).to_have_count(0)
        signed_in(anna, "anna")
        expect(anna.get_by_text("Signed in as anna@example.org")).to_be_visible()
        drop(anna, packed(tmp_path, "annas"))
        expect(anna.get_by_role("heading", name="annas", level=1)).to_be_visible(timeout=900_000)
        boris = visitor(browser, port)
        signed_in(boris, "boris")
        expect(boris.get_by_text("Signed in as boris@example.org")).to_be_visible()
        expect(boris.get_by_role("button", name="annas")).to_have_count(0)
        boris.goto(anna.url)
        opened(boris, "What is odd in my data")
        boris.get_by_role("tab", name="Rows, as they are read").click()
        expect(boris.get_by_text("none is shown")).to_be_visible()
        again = visitor(browser, port)  # another browser of hers: what is hers is hers there, too
        signed_in(again, "anna")
        expect(again.get_by_role("button", name="annas")).to_be_visible()
        eve = visitor(browser, port)
        signed_in(eve, "eve")
        expect(eve.get_by_text("is not let in here")).to_be_visible()
        expect(eve.get_by_role("button", name="Recommend")).to_have_count(0)
        anna.get_by_role("button", name="Sign out").click()
        expect(anna.get_by_role("button", name="Sign in")).to_be_visible()
        assert provider.refused == []


def test_a_link_is_kept_over_sign_in_and_who_signs_out_does_so_at_the_provider_too(
    browser: Browser, tmp_path: Path
) -> None:
    with oidc.served(PEOPLE) as provider, served_to_others(tmp_path / "home", provider) as port:
        here = f"http://127.0.0.1:{port}"
        for path, heading in (("?card=resnet-photos", "resnet-photos"), ("domains?domain=cifar10", "Domains")):
            page = visitor(browser, port)
            page.goto(f"{here}/{path}")
            signed_in(page, "anna")
            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
            assert path.partition("?")[2] in page.url
            page.goto(f"{here}/zoo")  # which is remembered for nobody who is signed in
            expect(page.get_by_role("heading", name="Zoo", exact=True)).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert provider.ended == [("anna", f"{here}/oauth2callback")] * 2
        assert provider.refused == []


def test_where_the_provider_ends_no_session_signing_out_is_of_the_page_alone(browser: Browser, tmp_path: Path) -> None:
    with (
        oidc.served(PEOPLE, ends_sessions=False) as provider,
        served_to_others(tmp_path / "home", provider) as port,
    ):
        page = visitor(browser, port)
        signed_in(page, "anna")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        other = page.context.new_page()
        other.goto(f"http://127.0.0.1:{port}/zoo")
        expect(other.get_by_role("heading", name="Zoo", exact=True)).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        other.get_by_role("link", name="Domains").click()
        expect(other.get_by_text("signed out in another tab")).to_be_visible()
        expect(other.get_by_role("heading")).to_have_count(0)
        page.goto(f"http://127.0.0.1:{port}/zoo")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert provider.ended == []


def test_what_is_served_to_others_is_bound_here_and_gives_no_file_of_the_disk(tmp_path: Path) -> None:
    with oidc.served(PEOPLE) as provider, served_to_others(tmp_path / "home", provider) as port:
        bound = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert f"0100007F:{port:04X}" in bound
        assert f"00000000:{port:04X}" not in bound
        assert connected(port, origin="http://evil.example") == 403
        secret = (tmp_path / "sign-in.toml").read_text()
        for path in ("sign-in.toml", "../sign-in.toml", "registry.db", "../../etc/passwd", "..%2f..%2fetc%2fpasswd"):
            for above in ("/", "/app/static/", "/static/", "/media/", "/component/x/", "/_stcore/"):
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as line:
                    line.request("GET", f"{above}{path}")
                    answer = line.getresponse().read()
                assert b"root:" not in answer
                assert b"SQLite format" not in answer
                assert secret.encode() not in answer
