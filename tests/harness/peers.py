"""Other tus servers that PyPI and npm have, each in a throw-away directory of its own.

A peer is packages (pinned: a figure without a version means nothing) and the shortest program that
serves them as their README says, with request logging off, as all servers here run. Nothing of a
peer is imported by us or committed. `python -m tests.harness.peers` installs them all.
"""

from __future__ import annotations

import enum
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "peers"
"""Where they are installed; not committed."""


class NotInstalled(Exception):
    """The registry did not deliver, in one line for a person."""


class Registry(enum.Enum):
    PYPI = "PyPI"
    NPM = "npm"


@dataclass(frozen=True)
class Peer:
    name: str
    registry: Registry
    packages: tuple[str, ...]
    program: str
    """Started with the port and the directory for uploads; serves at /files/."""

    def installed(self) -> tuple[str, ...]:
        """The command that starts it, short of its two arguments; installs it when needed.

        :raises NotInstalled: the registry did not deliver
        """
        home = CACHE / self.name
        stamp = home / "installed.json"
        wanted = json.dumps(self.packages)
        if not (stamp.exists() and stamp.read_text() == wanted):
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            for command in self._installation(home):
                _run(self.name, command, home)
            stamp.write_text(wanted)
        suffix = "mjs" if self.registry is Registry.NPM else "py"
        program = home / f"serve.{suffix}"
        program.write_text(self.program)
        if self.registry is Registry.NPM:
            return ("node", str(program))
        return (str(home / "venv" / "bin" / "python"), str(program))

    def _installation(self, home: Path) -> list[list[str]]:
        if self.registry is Registry.NPM:
            (home / "package.json").write_text('{"private": true}')
            return [["npm", "install", "--no-audit", "--no-fund", *self.packages]]
        venv = home / "venv"
        return [
            [sys.executable, "-m", "venv", str(venv)],
            [str(venv / "bin" / "pip"), "install", "--quiet", *self.packages],
        ]


def _run(name: str, command: list[str], home: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=home, capture_output=True, text=True, timeout=600, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{name} cannot be installed: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = lines[-1] if lines else f"exit code {done.returncode}"
        raise NotInstalled(f"{name} cannot be installed: {reason}")


# Whatever a peer answers with is pinned too: a verdict on it must not change by itself.
_UVICORN = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "h11==0.16.0")
_STARLETTE = "starlette==1.10.0"

PEERS = (
    Peer(
        "tus-node-server",
        Registry.NPM,
        ("@tus/server@2.4.5", "@tus/file-store@2.1.1", "@tus/utils@0.7.1", "srvx@0.11.22"),
        """\
import { Server } from "@tus/server";
import { FileStore } from "@tus/file-store";
const [port, directory] = process.argv.slice(2);
// A client that leaves within a body can make the web streams of Node 20 throw beside the request,
// which would end the process. That is Node's, and would hide what is the server's.
process.on("uncaughtException", (error) => {
  console.error(error);
  if (error.code !== "ERR_INVALID_STATE") process.exit(1);
});
const server = new Server({ path: "/files", datastore: new FileStore({ directory }) });
server.listen({ host: "127.0.0.1", port: Number(port) });
""",
    ),
    Peer(
        "tuspyserver",
        Registry.PYPI,
        ("tuspyserver==4.4.3", "fastapi==0.165.0", _STARLETTE, *_UVICORN),
        """\
import sys
import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router
port, directory = sys.argv[1:]
app = FastAPI()
app.include_router(create_tus_router(prefix="files", files_dir=directory))
uvicorn.run(app, port=int(port), log_level="error", access_log=False)
""",
    ),
    Peer(
        "tussi",
        Registry.PYPI,
        ("tussi==3.1.0", _STARLETTE, *_UVICORN),
        """\
import sys
import uvicorn
from tussi import FilesystemStorage, TUSApp
port, directory = sys.argv[1:]
app = TUSApp(
    storage=FilesystemStorage(f"{directory}/open"),
    completed_dir=f"{directory}/completed",
    max_chunk_size=None,
)
uvicorn.run(app, port=int(port), log_level="error", access_log=False, lifespan="off")
""",
    ),
    Peer(
        "resumable-upload",
        Registry.PYPI,
        ("resumable-upload==0.3.0", *_UVICORN),
        """\
import sys
import uvicorn
from resumable_upload import SQLiteStorage, TusServer
from resumable_upload.asgi import TusASGIApp
port, directory = sys.argv[1:]
storage = SQLiteStorage(db_path=f"{directory}/uploads.db", upload_dir=f"{directory}/uploads")
app = TusASGIApp(TusServer(storage=storage, base_path="/files"))
uvicorn.run(app, port=int(port), log_level="error", access_log=False)
""",
    ),
)


if __name__ == "__main__":
    for each in PEERS:
        each.installed()
