"""The command line: which commands there are and what they take.

cyclopts reads flags and makes `--help`; every setting reaches it from the one list of options, and
every value goes on as the text it was (`tusjumbo.cli.sources`). What goes wrong is said in one line
on standard error: 2 is the exit code for what was asked, 1 for what happened.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from cyclopts import App, CycloptsError, Group, Parameter

from tusjumbo.cli import sources
from tusjumbo.cli.options import CONFIG_VARIABLE, OPTIONS, Option
from tusjumbo.cli.sources import Given
from tusjumbo.cli.text import printable
from tusjumbo.errors import ConfigurationError, TusJumboError
from tusjumbo.gates.signed import SignedUrls
from tusjumbo.sessions.session import Phase
from tusjumbo.settings import ArrivalSettings, Duration, ServerSettings, Size, UploadSettings
from tusjumbo.settings.values import Items, Secret

UNUSABLE = 2
"""Exit code: the command line or the configuration cannot work."""

FAILED = 1
"""Exit code: it could not be done."""

_COMMON = Group("Options", sort_key=0)

app = App(
    name="tusjumbo",
    help="Resumable uploads (tus 1.0): a server, and a look at what it holds.",
    version=lambda: f"tusjumbo {version('tusjumbo')}",
    help_format="plaintext",
    help_epilogue=(
        "A setting is taken from its flag, else from its variable, else from the TOML file. "
        "Lists are written with commas, or by repeating the flag."
    ),
    default_parameter=Parameter(negative_iterable=()),
    group_parameters=_COMMON,
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # where package.module:function is looked for, as by `python -m`
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        for line in sources.strangers(os.environ):
            _complain(line)
        code: int = app(arguments) or 0
        sys.stdout.flush()
    except CycloptsError as error:
        error.verbose = False
        _complain(f"{error} See tusjumbo --help.")
    except ConfigurationError as error:
        _complain(str(error))
    except TusJumboError as error:
        _complain(_because(error))
        return FAILED
    except BrokenPipeError:
        # The reader of a pipe has seen enough; nothing more may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return 130  # as a shell says it: 128 + SIGINT
    else:
        return code
    return UNUSABLE


def _complain(text: str) -> None:
    print(f"tusjumbo: {printable(' '.join(text.split()))}", file=sys.stderr)


def _because(error: TusJumboError) -> str:
    return f"{error} ({error.__cause__})" if error.__cause__ else str(error)


# --- settings as flags ---------------------------------------------------------------------------

_HINTS: dict[object, tuple[Any, str]] = {
    bool: (bool, ""),
    int: (str, "NUMBER"),
    str: (str, "TEXT"),
    Path: (str, "PATH"),
    Path | None: (str, "PATH"),
    Size: (str, "SIZE"),
    Duration: (str, "DURATION"),
    tuple[str, ...]: (list[str], "LIST"),
    Items: (list[str], "LIST"),
    Secret: (str, "SECRET"),
}
"""What cyclopts reads for a kind of setting, and what `--help` calls it. Conversion comes later."""


def _flag(name: str, hint: Any, details: Parameter, default: str) -> inspect.Parameter:
    """A parameter that is None unless it is given; `default` is only shown."""
    shown = Parameter(show_default=(lambda _: default) if default else False)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[hint | None, details, shown],
    )


def _parameter(option: Option, group: Group) -> inspect.Parameter:
    hint, metavar = _HINTS.get(option.kind) or (str, "|".join(option.choices))
    flags = {f"`{other.name}`": other.flag for other in OPTIONS}
    text = re.sub("`[^`]*`", lambda word: flags.get(word[0], word[0].strip("`")), option.help)
    details = Parameter(
        name=option.flag, group=group, metavar=metavar, help=f"{text} [env: {option.variable}]"
    )
    return _flag(option.name, hint, details, option.written_default)


_CONFIG = _flag(
    "config",
    str,
    Parameter(
        name=sources.CONFIG_FLAG,
        group=_COMMON,
        metavar="PATH",
        help=f"TOML file with settings, named as the flags are. [env: {CONFIG_VARIABLE}]",
    ),
    f"{sources.DEFAULT_FILE}, if it is there",
)


def _taking(*options: Option) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Replace the function's `flags` by the given options, for cyclopts to see."""
    sections = dict.fromkeys(option.section for option in options)
    groups = {name: Group(name, sort_key=at) for at, name in enumerate(sections, 1)}

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        hints = get_type_hints(function, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name])
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        added = [_CONFIG, *(_parameter(one, groups[one.section]) for one in options)]
        signature = inspect.Signature([*own, *added], return_annotation=int)
        function.__signature__ = signature  # type: ignore[attr-defined]
        function.__annotations__ = {one.name: one.annotation for one in [*own, *added]}
        return function

    return decorate


def _only(*names: str) -> list[Option]:
    return [option for option in OPTIONS if option.name in names]


def _gather(flags: dict[str, Any]) -> dict[str, Given]:
    return sources.gather(flags, os.environ)


# --- commands ------------------------------------------------------------------------------------


@app.command
@_taking(*OPTIONS)
def serve(**flags: Any) -> int:
    """Take uploads until Ctrl-C or SIGTERM."""
    given = _gather(flags)
    upload = sources.build(UploadSettings, given)
    server = sources.build(ServerSettings, given)
    from tusjumbo.cli.serving import run  # a quarter of a second that a wrong setting need not wait

    try:
        return run(upload, server)
    except ConfigurationError as error:
        raise sources.located(error, given) from error


_JSON = Annotated[
    bool,
    Parameter(name="--json", negative=(), show_default=False, help="One JSON object on each line."),
]


@app.command(name="list")
@_taking(*_only("upload_dir"))
def list_(
    *,
    phase: Annotated[Phase | None, Parameter(help="Only uploads in this phase.")] = None,
    json: _JSON = False,
    **flags: Any,
) -> int:
    """List the uploads in a directory, also beside a running server."""
    from tusjumbo.cli.inspecting import list_uploads

    list_uploads(_existing(flags), phase, as_json=json)
    return 0


@app.command
@_taking(*_only("upload_dir"))
def show(
    upload_id: Annotated[str, Parameter(name="ID", help="As in the upload's address.")],
    /,
    *,
    json: _JSON = False,
    **flags: Any,
) -> int:
    """Show everything that is known about one upload."""
    from tusjumbo.cli.inspecting import show_upload

    show_upload(_existing(flags), upload_id, as_json=json)
    return 0


@app.command
@_taking(*_only("upload_dir", "expire_after", "durability"))
def recover(
    upload_ids: Annotated[list[str], Parameter(name="ID", help="As in the uploads' addresses.")],
    /,
    **flags: Any,
) -> int:
    """Bring abandoned uploads back, to be continued by those who sent them.

    `tusjumbo list --phase abandoned` shows which there are. A running server need not be stopped.
    """
    from tusjumbo.cli.inspecting import recover_uploads

    failures = recover_uploads(_existing(flags), upload_ids)
    for upload_id, error in failures.items():
        _complain(f"{upload_id}: {_because(error)}")
    return FAILED if failures else 0


_ARRIVAL = [field.name for field in fields(ArrivalSettings)]


@app.command
@_taking(*_only("upload_dir"))
def hooks(
    *,
    upload: Annotated[
        str | None, Parameter(name="--upload", help="Only what is about this upload.")
    ] = None,
    every: Annotated[
        bool, Parameter(name="--all", negative=(), help="Also what was told, or given up.")
    ] = False,
    json: _JSON = False,
    **flags: Any,
) -> int:
    """Show what hooks are still to be told, and why they have not been."""
    from tusjumbo.cli.outbox import list_news

    list_news(_existing(flags), upload, every=every, as_json=json)
    return 0


@app.command
@_taking(*_only("url_secret"))
def sign(
    *,
    owner: Annotated[str | None, Parameter(help="Whose uploads they are.")] = None,
    upload: Annotated[
        str | None, Parameter(name="--upload", help="For this upload alone, not for making some.")
    ] = None,
    valid: Annotated[str, Parameter(help="How long it is good for.")] = "1h",
    **flags: Any,
) -> int:
    """Say what to add to an address, so that who has it needs nothing else."""
    given = _gather(flags)
    known = sources.build(UploadSettings, given).url_secret.splitlines()
    try:
        until = time.time() + Duration(valid)
        print("?" + SignedUrls(known).sign(expires_at=until, owner=owner, upload_id=upload))
    except ConfigurationError as error:
        raise sources.located(error, given) from error
    except ValueError as error:
        raise ConfigurationError(str(error), setting="valid") from error
    return 0


@app.command
def token(owner: Annotated[str, Parameter(name="OWNER", help="Whose uploads they are.")], /) -> int:
    """Make a bearer token, and the line that makes the file of tokens know it."""
    if not owner or len(owner.split()) != 1 or "#" in owner:
        raise ConfigurationError(f"{owner!r} has to be one word, without #", setting="OWNER")
    made = secrets.token_urlsafe(32)
    print(f"token: {made}")
    print(f"line:  sha256:{hashlib.sha256(made.encode()).hexdigest()} {owner}")
    return 0


@app.command
@_taking(*_only("upload_dir", "durability"))
def replay(
    numbers: Annotated[list[int], Parameter(name="NUMBER", help="As `tusjumbo hooks` shows it.")],
    /,
    **flags: Any,
) -> int:
    """Have hooks told again, whether they were told before or given up.

    A running server does it within seconds.
    """
    from tusjumbo.cli.outbox import replay_news

    unknown = replay_news(_existing(flags), numbers)
    if unknown:
        _complain(f"{unknown} of these numbers are not there; see tusjumbo hooks --all")
    return FAILED if unknown else 0


@app.command
@_taking(*_only("upload_dir", "keep_abandoned", "durability", *_ARRIVAL))
def sweep(**flags: Any) -> int:
    """Set expired uploads aside, remove old ones, finish what a crash left; once.

    A running server does the same every now and then (--sweep-every).
    """
    from tusjumbo.cli.inspecting import sweep_uploads

    return FAILED if sweep_uploads(_existing(flags)) else 0


def _existing(flags: dict[str, Any]) -> UploadSettings:
    """The settings, of a directory that is there: looking must not create one."""
    given = _gather(flags)
    settings = sources.build(UploadSettings, given)
    if not settings.upload_dir.is_dir():
        problem = f"there is no directory {str(settings.upload_dir)!r}"
        raise sources.located(ConfigurationError(problem, setting="upload_dir"), given)
    return settings
