"""`chimein up`: it starts, keeps alive and ends every process of one machine (F7, F8)."""

import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from backend.ops.part import FIRST_PAUSE, LONGEST_PAUSE, Part, Plan
from backend.ops.screen import Screen
from backend.ops.sender import Sender, encode
from backend.ops.supervisor import Supervisor
from tests.integration.mail_world import wait_until
from tests.up_process import Up, wait_until_gone

PARTS = {"redis", "web", "live", "process", "work", "tick"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "var"


def send(up: Up, count: int, prefix: str) -> None:
    sender = Sender(up.url, "demo")
    events = [
        {"type": "track", "event": "Thing Done", "anonymousId": "a-visitor", "messageId": f"{prefix}-{number}"}
        for number in range(count)
    ]
    body = b'{"batch":[' + b",".join(encode(event) for event in events) + b"]}"
    assert sender.send(body)["accepted"] == count
    sender.close()


def counted(up: Up) -> int:
    found = up.call("GET", "/sites/demo/visitors?anonymous_id=a-visitor")["items"]
    return int(found[0]["counts"]["Thing Done"]) if found else 0


def test_up_runs_everything_and_ends_within_ten_seconds_and_a_second_start_continues(data_dir: Path) -> None:
    with Up(data_dir) as up:
        assert up.wait_until_ready() < 60
        assert set(up.state["pids"]) == PARTS
        pids = [*up.state["pids"].values()]
        send(up, 50, "first")
        deadline = time.monotonic() + 10
        while "Ctrl-C" not in up.output and time.monotonic() < deadline:
            time.sleep(0.05)
        assert f"{up.url}/demo/" in up.output
        assert f"{up.url}/api/docs" in up.output
        assert up.token in up.output
        assert "\x1b[" not in up.output, "no colours where there is no terminal"
        assert up.stop(signal.SIGINT) < 10
        assert up.process.returncode == 0
        assert wait_until_gone(pids, 1) == []
        assert not (data_dir / "up.json").exists()
    for name in ("secret_key", "admin_token"):
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600
    with Up(data_dir) as again:
        again.wait_until_ready()
        send(again, 50, "second")
        again.wait_until_folded()
        assert counted(again) == 100
        assert again.token not in again.output
        assert again.stop(signal.SIGTERM) < 10


def test_a_second_up_on_the_same_data_directory_is_refused_with_a_sentence(data_dir: Path) -> None:
    with Up(data_dir) as first:
        first.wait_until_ready()
        with Up(data_dir) as second:
            assert second.process.wait(20) != 0
            assert f"chimein already runs at {first.url} on the data directory {data_dir}." in second.output
            assert "Traceback" not in second.output
        assert first.status("/readyz") == 200


def test_a_taken_port_is_named_in_a_sentence(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Up(data_dir, port=port) as up:
            assert up.process.wait(20) != 0
            assert f"Port {port} on 127.0.0.1 is taken" in up.output
            assert "Traceback" not in up.output


def test_f7_each_part_that_is_killed_is_started_again_and_nothing_is_lost(data_dir: Path) -> None:
    with Up(data_dir) as up:
        up.wait_until_ready()
        sent = 0
        for name in ("web", "process", "redis", "live", "work", "tick"):
            send(up, 20, name)
            sent += 20
            old = up.state["pids"][name]
            os.kill(old, signal.SIGKILL)
            deadline = time.monotonic() + 40
            while up.state["pids"].get(name) in (None, old) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert up.state["pids"][name] != old, f"{name} was not started again:\n{up.output}"
            up.wait_until_ready(20)
        up.wait_until_folded()
        assert counted(up) == sent


def test_f7_after_kill_9_of_everything_at_once_a_new_start_has_all_that_was_accepted(data_dir: Path) -> None:
    with Up(data_dir) as up:
        up.wait_until_ready()
        send(up, 100, "before")
        pids = [*up.state["pids"].values()]
        os.kill(up.process.pid, signal.SIGKILL)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        up.process.wait(10)
    with Up(data_dir, port=up.port) as again:
        again.wait_until_ready()
        again.wait_until_folded()
        assert counted(again) == 100


def test_f7_no_process_outlives_a_supervisor_that_was_killed(data_dir: Path) -> None:
    with Up(data_dir) as up:
        up.wait_until_ready()
        pids = [*up.state["pids"].values()]
        up.process.kill()
        up.process.wait(10)
        # At once, while the orphans may still hold the ports.
        with Up(data_dir, port=up.port) as again:
            again.wait_until_ready()
            assert wait_until_gone(pids) == []


def test_a_part_that_dies_again_and_again_is_started_with_growing_pauses() -> None:
    part = Part(Plan(name="short", command=[sys.executable, "-c", ""]))
    pauses = []
    for _ in range(8):
        process = part.start()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()
        now = time.monotonic()
        assert part.look(now) == 0
        assert not part.is_due(now)
        assert part.is_due(now + part.pause)
        pauses.append(part.pause)
    assert pauses == [min(LONGEST_PAUSE, FIRST_PAUSE * 2**number) for number in range(8)]


def test_a_part_that_ignores_the_request_to_end_is_killed_and_takes_its_children_along(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    stubborn = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "print('started', flush=True)\n"
        "time.sleep(60)\n"
    )
    with (tmp_path / "screen").open("w") as out:
        supervisor = Supervisor(Screen(out))
        supervisor.add(Plan(name="stubborn", command=[sys.executable, "-c", stubborn], grace=0.5))
        deadline = time.monotonic() + 20
        while not note.exists() and time.monotonic() < deadline:
            supervisor.turn(0.05)
        time.sleep(0.2)
        supervisor.end()
    pids = [int(text) for text in note.read_text().split()]
    assert wait_until_gone(pids, 5) == []
    shown = (tmp_path / "screen").read_text()
    assert "stubborn| started" in shown
    assert "did not end within" in shown


def test_the_commands_of_other_processes_say_what_they_miss(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHIMEIN_")}
    for environ, sentence in (
        ({}, "CHIMEIN_SECRET_KEY is not set"),
        ({"CHIMEIN_SECRET_KEY": "k" * 32}, "CHIMEIN_REDIS_URL is not set"),
        ({"CHIMEIN_REDIS_ULR": "x"}, "Did you mean CHIMEIN_REDIS_URL?"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "backend", "process"],
            env={**clean, **environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 1
        assert sentence in ran.stderr
        assert "Traceback" not in ran.stderr


def test_up_takes_mails_in_into_the_conversation_and_names_a_port_that_it_cannot_have(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Up(data_dir, CHIMEIN_MAIL_IN=f"smtp://127.0.0.1:{port}") as up:
            assert up.process.wait(20) != 0
            assert f"Mails cannot come in at CHIMEIN_MAIL_IN: Port {port} on 127.0.0.1 is taken" in up.output
            assert "Traceback" not in up.output
    mail_from = "Shop <hello@shop.example>"
    where = {"CHIMEIN_MAIL_IN": f"smtp://127.0.0.1:{port}", "CHIMEIN_MAIL_FROM": mail_from}
    with Up(data_dir, **where) as up:
        up.wait_until_ready()
        assert set(up.state["pids"]) == PARTS | {"mail-in"}
        up.call("PATCH", "/sites/demo", {"policy": {"conversation": {"mail_after": "1s"}}})
        asked = {"type": "track", "event": "Live Chat Message Sent", "properties": {"message_body": "Is it in stock?"}}
        known = {"type": "identify", "traits": {"email": "ada@example.com"}}
        sender = Sender(up.url, "demo")
        sender.send(b'{"batch":[%s,%s]}' % tuple(encode({**each, "userId": "ada"}) for each in (known, asked)))
        sender.close()
        up.wait_until_folded()
        [found] = up.call("GET", "/sites/demo/conversations")["items"]
        talk = f"/sites/demo/conversations/{found['id']}/parts"
        up.call("POST", talk, {"body": "It is."})
        outbox = data_dir / "outbox"
        wait_until(lambda: list(outbox.glob("*.eml")), 30)
        mail = message_from_bytes(next(outbox.glob("*.eml")).read_bytes(), policy=policy.default)
        answer = EmailMessage()
        answer["From"], answer["To"], answer["Message-ID"] = "ada@example.com", mail["Reply-To"], "<a@example.com>"
        answer.set_content("Then I take it.")
        answer.add_attachment(b"%PDF-1.7 x", maintype="application", subtype="pdf", filename="order.pdf")
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
            smtp.send_message(answer)
        wait_until(lambda: len([e for e in up.call("GET", talk)["items"] if e["kind"] == "message"]) == 3, 30)
        part = up.call("GET", talk)["items"][-1]
        assert (part["author"], part["channel"], part["text"]) == ("visitor", "email", "Then I take it.")
        assert [each["name"] for each in part["content"]["attachments"]] == ["order.pdf"]
        pid = up.state["pids"]["mail-in"]
        before = most_memory(pid)
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as smtp:
            smtp.ehlo()
            assert smtp.docmd("MAIL", f"FROM:<ada@example.com> SIZE={50 * 2**20}")[0] == 552
            assert smtp.mail("ada@example.com")[0] == 250
            assert smtp.rcpt(mail["Reply-To"].addresses[0].addr_spec)[0] == 250
            assert smtp.data((b"y" * 998 + b"\r\n") * (50 * 2**20 // 1000))[0] == 552
        assert most_memory(pid) - before < 8 * 2**10, "kB: it goes to the disk, and then nowhere"


def most_memory(pid: int) -> int:
    """The most memory that a process ever had, in kB."""
    told = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in told.splitlines() if line.startswith("VmHWM")))
