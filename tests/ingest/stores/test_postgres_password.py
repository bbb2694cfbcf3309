"""A database's password is shown nowhere, and need not stand in the URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from iottly_async.__main__ import main
from iottly_async.emulator import EmulatorThread
from iottly_async.errors import ConfigurationError
from iottly_async.ingest.stores import PostgresStore, open_store
from tests.support.canary import assert_key_hidden
from tests.support.postgres_server import PostgresServer, execute
from tests.support.stored_rows import assert_whole

ROLE = "iottly_canary"
PASSWORD = "ik_live_canary_that_must_not_sing_7f3a91 /?#@:%&=+"
"""The canary, so that the tests' search for it covers logs and output, and characters that have
a meaning in a URL."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorThread]:
    """An emulator with 2 devices and 50 messages."""
    with EmulatorThread(devices=2, messages=50) as emulator:
        yield emulator


@pytest.fixture
def place(
    postgres: PostgresServer,
    database: str,
    emulator: EmulatorThread,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Host and path of a database whose owner has the password; the CLI uses the emulator."""
    name = urlsplit(database).path[1:]
    execute(postgres.url, f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    execute(postgres.url, f'ALTER DATABASE "{name}" OWNER TO {ROLE}')
    monkeypatch.setenv("IOTTLY_API_KEY", emulator.api_key)
    monkeypatch.setenv("IOTTLY_BASE_URL", emulator.base_url)
    monkeypatch.setenv("IOTTLY_PROJECT", emulator.project_id)
    for variable in ("PGPASSWORD", "PGPASSFILE", "PGHOST", "PGUSER"):
        monkeypatch.delenv(variable, raising=False)
    host, port = postgres.address
    yield f"{host}:{port}/{name}"
    execute(postgres.url, f'ALTER DATABASE "{name}" OWNER TO CURRENT_USER')
    execute(database, f"REASSIGN OWNED BY {ROLE} TO CURRENT_USER")
    execute(database, f"DROP OWNED BY {ROLE}")
    execute(postgres.url, f"DROP ROLE {ROLE}")


def urls(place: str) -> dict[str, str]:
    """The two ways to write the password into a URL."""
    host, _, name = place.partition("/")
    word = quote(PASSWORD, safe="")
    return {
        "user": f"postgresql://{ROLE}:{word}@{host}/{name}",
        "query": f"postgresql://{ROLE}@{host}/{name}?password={word}&schema=iottly",
    }


def assert_hidden(text: str) -> None:
    """Assert that neither the password, encoded or not, nor a part of it is shown."""
    assert "canary_that_must" not in text


@pytest.mark.parametrize("form", ["table", "jsonl"])
@pytest.mark.parametrize("way", ["user", "query"])
def test_the_command_line_does_not_show_it(
    place: str,
    way: str,
    form: str,
    emulator: EmulatorThread,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The summary, the report, the chart and the page name the database, without password."""
    url, report, page = urls(place)[way], tmp_path / "report.json", tmp_path / "page.html"
    assert main(["ingest", "--to", url, "--format", form, "--report", str(report)]) == 0
    assert main(["coverage", url, "--format", form]) == 0
    assert main(["coverage", url, "--html", str(page)]) == 0
    out, err = capfd.readouterr()
    for text in (out, err, report.read_text(), page.read_text()):
        assert_hidden(text)
    shown = f"postgresql://{place}"
    assert shown in (out if form == "table" else err)
    assert shown in report.read_text()
    assert shown in page.read_text()
    assert_whole(urls(place)["user"], emulator)


@pytest.mark.parametrize("way", ["user", "query"])
def test_errors_do_not_show_it(
    place: str, way: str, postgres: PostgresServer, capfd: pytest.CaptureFixture[str]
) -> None:
    """A database without a store, one that is not there, and a password that is refused."""
    url = urls(place)[way]
    assert main(["coverage", url]) == 2
    assert main(["coverage", url.replace(place, f"{place}_not")]) == 2
    execute(postgres.url, f"ALTER ROLE {ROLE} PASSWORD 'another'")
    assert main(["ingest", "--to", url]) == 2
    assert main(["coverage", url]) == 2
    out, err = capfd.readouterr()
    assert_hidden(out + err)
    assert err.count(f"postgresql://{place}") == 4
    assert "password authentication failed" in err


def test_reprs_do_not_show_it(place: str) -> None:
    """Neither the store's own repr nor those of its attributes."""
    for url in urls(place).values():
        store = PostgresStore(url)
        for shown in (repr(store), repr(vars(store)), repr(vars(store.reader()))):
            assert_hidden(shown)
        assert place in repr(store)


MALFORMED = {
    "not encoded": f"postgresql://{ROLE}:x{PASSWORD}@127.0.0.1/db",
    "a slash": "postgresql://user:canary_that_must/x@127.0.0.1/db",
    "a number sign": "postgresql://user:canary_that_must#x@127.0.0.1/db",
    "no host": "postgresql://user:canary_that_must",
    "no slashes": "postgresql:user:canary_that_must@127.0.0.1/db",
    "a bracket": "postgresql://user:canary_that_must@[::1/db",
    "another scheme": "mysql://user:canary_that_must@127.0.0.1/db",
    "keywords": "host=127.0.0.1 password=canary_that_must dbname=db",
    "quoted keywords": "host=127.0.0.1 password = 'canary_that_must x' dbname=db",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_url_is_refused_without_it(
    case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is a usage error before anything is sent, and its text shows no part of the URL."""
    url = MALFORMED[case]
    with pytest.raises(ConfigurationError) as refused:
        open_store(url)
    assert_hidden(str(refused.value))
    assert main(["ingest", "--to", url]) == main(["coverage", url]) == 2
    assert_hidden("".join(capfd.readouterr()))


def test_a_malformed_url_says_where_the_password_goes() -> None:
    """The error advises against the URL."""
    for store in (MALFORMED["a slash"], MALFORMED["no slashes"]):
        with pytest.raises(ConfigurationError, match=r"PGPASSWORD or in ~/\.pgpass"):
            open_store(store)


@pytest.mark.parametrize("host", ["127.0.0.1:99999", "a" * 64])
async def test_a_host_that_cannot_be_is_an_error_of_ours(host: str) -> None:
    """asyncpg's `OverflowError` and `UnicodeError` are translated, and quote nothing."""
    store = PostgresStore(f"postgresql://u:canary_that_must@{host}/db")
    with pytest.raises(ConfigurationError, match="no such host or port") as refused:
        await store.open()
    assert_key_hidden(refused.value)


def test_pgpassword_is_used(
    place: str, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL needs no password if the environment has it."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert main(["ingest", "--to", f"postgresql://{ROLE}@{place}"]) == 0
    assert_whole(urls(place)["user"], emulator)


@pytest.mark.parametrize("by", ["HOME", "PGPASSFILE"])
def test_a_pgpass_file_is_used(
    place: str, by: str, tmp_path: Path, emulator: EmulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~/.pgpass`, or the file that PGPASSFILE names, as libpq reads them."""
    file = tmp_path / ".pgpass"
    file.write_text(f"*:*:*:{ROLE}:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv(by, str(tmp_path if by == "HOME" else file))
    assert main(["ingest", "--to", f"postgresql://{ROLE}@{place}"]) == 0
    assert_whole(urls(place)["user"], emulator)
