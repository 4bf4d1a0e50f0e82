"""`tusjumbo serve` for a directory (argv[1]), but with a gate: the token `secret` may do all.

Another token is known and may not; none at all is nobody. Uploads may have 1 GiB.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tusjumbo.application import Admission
from tusjumbo.cli import logs
from tusjumbo.errors import Forbidden, Unauthorized
from tusjumbo.server.run import serve
from tusjumbo.settings import LogFormat, LogLevel, ServerSettings, UploadSettings
from tusjumbo.web.asgi import TusJumbo


class Token:
    async def admit(self, admission: Admission) -> None:
        match admission.headers.get("authorization"):
            case None:
                raise Unauthorized
            case "Bearer secret":
                return
            case _:
                raise Forbidden


def main(directory: Path) -> int:
    upload = UploadSettings(upload_dir=directory, max_size="1GiB")  # type: ignore[arg-type]
    app = TusJumbo(settings=upload, gate=Token())
    return serve(
        lambda: app.at("/files/"),  # type: ignore[arg-type, return-value]
        upload,
        ServerSettings(port=0),
        on_listening=lambda urls: print(f"Listening on {urls[0]}", flush=True),
        log_config=logs.configuration(LogFormat.TEXT, LogLevel.INFO),
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
