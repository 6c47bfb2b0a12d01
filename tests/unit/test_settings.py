"""Settings: names, files, defaults and sentences."""

import re
from pathlib import Path

import pytest

from backend.channels.outbound import Allowed
from backend.errors import SettingsError
from backend.ops.firstrun import make_data_dir, make_secrets, read_secrets
from backend.settings import Settings, variables

SECRET = "0123456789abcdef0123456789abcdef"


def test_without_any_variable_everything_has_a_default(tmp_path: Path) -> None:
    settings = Settings.load({"CHIMEIN_DATA_DIR": str(tmp_path)})
    assert (settings.host, settings.port, settings.live_port) == ("127.0.0.1", 8000, 8001)
    assert settings.public_url == "http://127.0.0.1:8000"
    assert settings.live_url == "http://127.0.0.1:8001"
    assert settings.database_url == f"sqlite:///{tmp_path}/chimein.db"
    assert settings.redis_url == ""
    assert settings.fsync == "everysec"
    assert Settings.load({}).data_dir == Path.cwd() / "var"


def test_what_depends_on_other_settings_follows_them() -> None:
    settings = Settings.load({"CHIMEIN_PUBLIC_URL": "https://chime.example/", "CHIMEIN_PORT": "9000"})
    assert settings.public_url == "https://chime.example"
    assert settings.live_url == "https://chime.example:9001"
    assert Settings.load({"CHIMEIN_HOST": "0.0.0.0"}).public_url == "http://127.0.0.1:8000"
    assert Settings.load({"CHIMEIN_HOST": "::1"}).live_url == "http://[::1]:8001"
    redis = Settings.load({"CHIMEIN_REDIS_URL": "redis://r:6379/0"})
    assert redis.log_url == "redis://r:6379/0"
    cluster = Settings.load({"CHIMEIN_LOG_URL": "redis+cluster://a:1,b:2"}).with_redis("unix:///s")
    assert (cluster.redis_url, cluster.log_url) == ("unix:///s", "redis+cluster://a:1,b:2")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_each_way_to_write_a_postgresql_url_is_understood(scheme: str) -> None:
    settings = Settings.load({"CHIMEIN_DATABASE_URL": f"{scheme}://u:p@h/d"})
    assert settings.database_url == "postgresql+psycopg://u:p@h/d"


def test_an_option_wins_over_a_variable_and_no_option_does_not() -> None:
    environ = {"CHIMEIN_PORT": "9000"}
    assert Settings.load(environ, port=9100).port == 9100
    assert Settings.load(environ, port=None).port == 9000


def test_every_variable_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    assert Settings.load({"CHIMEIN_SECRET_KEY_FILE": str(file)}).secret_key == SECRET
    with pytest.raises(SettingsError, match=re.escape("CHIMEIN_SECRET_KEY_FILE names a file that cannot be read")):
        Settings.load({"CHIMEIN_SECRET_KEY_FILE": str(tmp_path / "missing")})
    both = {"CHIMEIN_SECRET_KEY": SECRET, "CHIMEIN_SECRET_KEY_FILE": str(file)}
    with pytest.raises(SettingsError, match="are both set: keep one"):
        Settings.load(both)


def test_a_dotenv_file_in_the_working_directory_fills_what_the_environment_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CHIMEIN_PORT=9000\nCHIMEIN_HOST=::1\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHIMEIN_PORT", "9100")
    monkeypatch.delenv("CHIMEIN_HOST", raising=False)
    settings = Settings.load()
    assert (settings.host, settings.port) == ("::1", 9100)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"CHIMEIN_REDIS_ULR": "x"},
            "CHIMEIN_REDIS_ULR is no setting of chimein. Did you mean CHIMEIN_REDIS_URL?",
        ),
        ({"CHIMEIN_QQQQQQ": "x"}, "CHIMEIN_QQQQQQ is no setting of chimein."),
        ({"CHIMEIN_PORT": "eighty"}, "CHIMEIN_PORT must be a whole number from 1 to 65535 (it is 'eighty')."),
        ({"CHIMEIN_PORT": "70000"}, "CHIMEIN_PORT must be a whole number from 1 to 65535"),
        ({"CHIMEIN_PORT": "65535"}, "leaves no next port for live: set CHIMEIN_LIVE_PORT."),
        ({"CHIMEIN_PORT": "9000", "CHIMEIN_LIVE_PORT": "9000"}, "must differ"),
        ({"CHIMEIN_FSYNC": "never"}, "CHIMEIN_FSYNC must be one of everysec, always"),
        ({"CHIMEIN_DATABASE_URL": "mysql://u:geheim@h/d"}, "or postgres: (it is 'mysql://u:***@h/d')."),
        ({"CHIMEIN_REDIS_URL": "localhost:6379"}, "must be a URL that starts with redis: or rediss: or unix:"),
        ({"CHIMEIN_PUBLIC_URL": "http://h:port"}, "holds a port that is not a number"),
        ({"CHIMEIN_SECRET_KEY": "geheim"}, "CHIMEIN_SECRET_KEY must have at least 8 characters."),
        ({"CHIMEIN_MAIL_FROM": "a@b.c\r\nBcc: d@e.f"}, "must be one line without control characters"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    assert sentence in caught.value.message
    assert "geheim" not in caught.value.message


def test_sizes_are_understood_with_their_units() -> None:
    assert Settings.load({"CHIMEIN_LOG_MAX_BYTES": "64m"}).log_max_bytes == 64 * 2**20
    assert Settings.load({"CHIMEIN_LOG_MAX_BYTES": "1GB"}).log_max_bytes == 2**30


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("localhost", "localhost"),
        (" Hooks.LAN. , 10.0.0.0/8\n127.0.0.1 ", "hooks.lan,10.0.0.0/8,127.0.0.1"),
        ("hooks.lan:9000,localhost:080", "hooks.lan:9000,localhost:80"),
        ("127.0.0.1:9000 [::1]:9000 ::1 FD00::/8 [fd00:0::1]", "127.0.0.1:9000,[::1]:9000,::1,fd00::/8,fd00::1"),
        ("localhost,localhost", "localhost"),
        ("my_host,xn--bcher-kva.example", "my_host,xn--bcher-kva.example"),
    ],
)
def test_private_places_that_may_be_called_are_kept_in_one_way_of_writing(text: str, kept: str) -> None:
    settings = Settings.load({"CHIMEIN_ALLOW_PRIVATE": text, "CHIMEIN_SECRET_KEY": SECRET})
    assert settings.allow_private == kept
    assert Settings.load(settings.environ()) == settings
    assert len(Allowed.of(kept).networks) + len(Allowed.of(kept).places) == len(kept.split(","))


@pytest.mark.parametrize(
    "entry",
    [
        *("*", "*.lan", "http://localhost", "https://localhost:9000/", "localhost:0", "localhost:70000", "localhost:x"),
        *("10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8:80", "fd00::/8:80", "[::1", "::1]:80", "1.2.3", "0177.0.0.1"),
        *("2130706433", "0x7f.1", "a..b", "-a", "a-", "a@b", "bücher.example", "localhost:", ":80", "[zz]:80"),
    ],
)
def test_a_private_place_that_is_none_is_named(entry: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"CHIMEIN_ALLOW_PRIVATE": f"localhost, {entry}"})
    assert "CHIMEIN_ALLOW_PRIVATE must list hosts, host:port, IP addresses or networks" in caught.value.message
    assert repr(entry.split("/")[0])[1:-1] in caught.value.message


def test_no_secret_shows_when_settings_are_printed() -> None:
    settings = Settings.load(
        {
            "CHIMEIN_SECRET_KEY": SECRET,
            "CHIMEIN_ADMIN_TOKEN": SECRET,
            "CHIMEIN_METRICS_TOKEN": SECRET,
            "CHIMEIN_REDIS_URL": "redis://:geheim@h:1/0",
            "CHIMEIN_DATABASE_URL": "postgresql://u:geheim@h/d",
            "CHIMEIN_SMTP_URL": "smtp://u:geheim@h",
        }
    )
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert SECRET not in shown
        assert "geheim" not in shown


def test_another_process_loads_the_same_settings_from_the_environment_that_they_make() -> None:
    settings = Settings.load({"CHIMEIN_SECRET_KEY": SECRET, "CHIMEIN_PORT": "9000", "CHIMEIN_PARTITIONS": "8"})
    assert Settings.load(settings.environ()) == settings
    assert set(settings.environ()) <= set(variables())


def test_the_secrets_of_the_first_start_are_kept_private_and_found_again(tmp_path: Path) -> None:
    settings = Settings.load({"CHIMEIN_DATA_DIR": str(tmp_path / "var")})
    with pytest.raises(SettingsError, match="CHIMEIN_SECRET_KEY is not set"):
        read_secrets(settings)
    make_data_dir(settings)
    first, is_new = make_secrets(settings)
    assert is_new
    assert len(first.secret_key) >= 32
    assert first.admin_token.startswith("chi_adm_")
    for name in ("secret_key", "admin_token"):
        assert (settings.data_dir / name).stat().st_mode & 0o777 == 0o600
    second, is_new = make_secrets(settings)
    assert not is_new
    assert second == first == read_secrets(settings)


def test_a_secret_that_is_set_is_used_and_not_written_down(tmp_path: Path) -> None:
    settings = Settings.load(
        {"CHIMEIN_DATA_DIR": str(tmp_path), "CHIMEIN_SECRET_KEY": SECRET, "CHIMEIN_ADMIN_TOKEN": SECRET}
    )
    made, is_new = make_secrets(settings)
    assert (made, is_new) == (settings, False)
    assert list(tmp_path.iterdir()) == []
