"""What `chimein up` shows: the first screen, and what its processes write, each line under its name."""

import sys
from typing import TextIO

from backend.settings import Settings

BOLD, DIM, RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"
WIDTH = 8


class Screen:
    """Writes to a terminal or a file; colours only on a terminal."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._is_terminal = self._out.isatty()
        self._open_lines: dict[str, bytes] = {}

    def lines(self, name: str, data: bytes) -> None:
        """Shows what a process wrote, line by line; no data means that it has closed its output."""
        whole = self._open_lines.pop(name, b"") + data
        *lines, rest = whole.split(b"\n")
        if data and rest and len(rest) < 65_536:
            self._open_lines[name] = rest
        elif rest:
            lines.append(rest)
        for line in lines:
            self._line(name, line.decode("utf-8", "replace").rstrip("\r"))

    def note(self, text: str) -> None:
        """Shows a line of the supervisor's own."""
        self._line("up", text)

    def welcome(self, settings: Settings, new_token: str | None, seconds: float) -> None:
        """The first screen: what to open, what to paste, how to stop."""
        url = settings.public_url
        rows = [
            ("Console", f"{url}/console/"),
            ("Demo shop", f"{url}/demo/"),
            ("API", f"{url}/api/docs"),
            ("Data", str(settings.data_dir)),
        ]
        if not settings.smtp_url:
            rows.append(("Mails", f"{settings.data_dir / 'outbox'} (set CHIMEIN_SMTP_URL to send them)"))
        kept = settings.data_dir / "admin_token"
        if new_token:
            rows.append(("Admin token", f"{new_token}  (shown once; kept in {kept})"))
        elif kept.is_file() and kept.read_text(encoding="utf-8").strip() == settings.admin_token:
            rows.append(("Admin token", f"kept in {kept}"))
        tag = f'<script async src="{url}/chimein.js" data-key="demo"></script>'
        text = [
            "",
            f"{self._styled(BOLD, 'chimein is running')}{self._styled(DIM, f' (ready after {seconds:.1f} s)')}",
            "",
            *(f"  {self._styled(DIM, f'{label:<12}')} {value}" for label, value in rows),
            "",
            f"  {self._styled(DIM, 'Paste into your pages (the whole snippet stands at ' + url + '/):')}",
            f"    {tag}",
            "",
            f"  {self._styled(DIM, 'Ctrl-C stops')}",
            "",
        ]
        self._write("\n".join(text) + "\n")

    def _line(self, name: str, text: str) -> None:
        self._write(f"{self._styled(DIM, f'{name:<{WIDTH}}|')} {text}\n")

    def _styled(self, style: str, text: str) -> str:
        return f"{style}{text}{RESET}" if self._is_terminal else text

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            pass  # the terminal is gone; the processes are not
