from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import psutil
import pytest

from tests.hooks.receivers import call, session
from tusjumbo.application import Hook, HookAnswer, HookCall, Receiver
from tusjumbo.errors import ConfigurationError, HookFailed
from tusjumbo.hooks import documents
from tusjumbo.hooks.scripts import Script, Scripts
from tusjumbo.sessions.session import Answer

T = TypeVar("T")

LONG = 60.0
"""Seconds that nobody waits."""


def program(path: Path, text: str, interpreter: str = "/bin/sh") -> Path:
    path.write_text(f"#!{interpreter}\n{text}\n")
    path.chmod(0o755)
    return path


def in_python(path: Path, text: str) -> Path:
    return program(path, text, sys.executable + " -S")


async def made(kind: Callable[..., T], *args: Any, **options: Any) -> T:
    """It looks at the disk, which is no matter for an event loop."""
    return await anyio.to_thread.run_sync(functools.partial(kind, *args, **options))


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not condition():
            await anyio.sleep(0.01)


async def problem_of(receiver: Receiver, asked: HookCall | None = None) -> str:
    with pytest.raises(HookFailed) as failure:
        await receiver(call() if asked is None else asked)
    assert failure.value.hook == "pre-create"
    return failure.value.problem


# --- what a program gets and says ----------------------------------------------------------------


async def test_a_program_gets_tusds_document_and_environment(tmp_path: Path) -> None:
    in_python(
        tmp_path / "post-finish",
        "import json, os, sys\n"
        "json.dump({'stdin': sys.stdin.read(), 'cwd': os.getcwd(), 'env': dict(os.environ),"
        " 'group': os.getpgrp() == os.getpid() == os.getsid(0), 'files': os.listdir('/dev/fd')},"
        " open('seen.json', 'w'))",
    )
    asked = call(Hook.POST_FINISH, key="key-1", path=tmp_path / "there")
    scripts = await made(Scripts, tmp_path)
    with (tmp_path / "open").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        assert await scripts(asked) == HookAnswer()
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["stdin"].encode() == documents.written(asked)
    assert seen["cwd"] == str(tmp_path)
    assert seen["group"]
    assert sorted(seen["files"]) == ["0", "1", "2", "3"]  # the last one is the listing's
    told = {name: value for name, value in seen["env"].items() if name.startswith("TUS")}
    wanted = {"TUS_ID": "jumbo_a", "TUS_SIZE": "10", "TUS_OFFSET": "4", "TUSJUMBO_KEY": "key-1"}
    assert told == wanted | {n: v for n, v in os.environ.items() if n.startswith("TUS")}
    assert seen["env"]["PATH"] == os.environ["PATH"]


async def test_before_the_creation_there_is_no_id_and_deferred_is_0(tmp_path: Path) -> None:
    script = await made(
        Script,
        program(
            tmp_path / "any",
            'echo "{\\"HTTPResponse\\": {\\"Body\\": \\"<$TUS_ID><$TUS_SIZE><$TUSJUMBO_KEY>\\"}}"',
        ),
    )
    said = await script(call(session=session(length=None)))
    assert said == HookAnswer(answer=Answer(body=b"<><0><>"))


async def test_the_script_of_tusds_documentation(tmp_path: Path) -> None:
    """The shape of its example: read stdin, talk on stderr, reject on stdout, exit with 0."""
    program(
        tmp_path / "pre-create",
        """
        if cat /dev/stdin | grep -q '"filename"'; then has=true; else has=false; fi
        echo "Filename exists: $has" >&2
        if [ "$has" = "false" ]; then
          cat <<END
          {
            "RejectUpload": true,
            "HTTPResponse": {"StatusCode": 400, "Body": "no filename provided"}
          }
END
          exit 0
        fi
        """,
    )
    scripts = await made(Scripts, tmp_path)
    assert await scripts(call()) == HookAnswer()
    assert await scripts(call(session=session(metadata={}))) == HookAnswer(
        reject=True, answer=Answer(400, body=b"no filename provided")
    )


async def test_a_type_of_its_own(tmp_path: Path) -> None:
    script = await made(Script, program(tmp_path / "any", "cat > seen"))
    assert await script.ask(call(Hook.PRE_FINISH), "assemble") == HookAnswer()
    assert json.loads((tmp_path / "seen").read_text())["Type"] == "assemble"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("true", HookAnswer()),
        ("exec <&-; true", HookAnswer()),
        ("exec <&- >&- 2>&-; true", HookAnswer()),
        ("echo", HookAnswer()),
        ("echo '{\"RejectUpload\": true}'", HookAnswer(reject=True)),
        ("exec 2>/dev/null; cat >/dev/null; echo '{}'", HookAnswer()),
        ("head -c 300000 /dev/zero >&2", HookAnswer()),
        ("echo '{}'; exec >&-; cat >/dev/null", HookAnswer()),
    ],
)
async def test_what_a_program_may_do(tmp_path: Path, text: str, said: HookAnswer) -> None:
    big = session(metadata={"x": b"y" * 500_000})
    script = await made(Script, program(tmp_path / "any", text), LONG)
    assert await script(call(session=big)) == said


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("exit 3", "ended with status 3"),
        ("echo first >&2; echo last >&2; exit 1", "ended with status 1: last"),
        ("echo '{\"RejectUpload\": true}'; exit 1", "ended with status 1"),
        ("printf 'a\\033[31mb\\rc\\n\\n' >&2; exit 1", "ended with status 1: a [31mb c"),
        ("kill -9 $$", "was ended by SIGKILL"),
        ("kill -15 $$", "was ended by SIGTERM"),
        ("echo nonsense", "answered with something that is not JSON"),
        ("echo '[]'", "answered with JSON that is not an object"),
        ("head -c 65537 /dev/zero", "answered with more than 65536 bytes"),
        ("cat /dev/zero", "answered with more than 65536 bytes"),
    ],
)
async def test_what_is_a_failure(tmp_path: Path, text: str, problem: str) -> None:
    script = await made(Script, program(tmp_path / "any", text), LONG)
    assert await problem_of(script) == f"{tmp_path}/any {problem}"


async def test_the_log_has_what_it_says(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tusjumbo")
    program(tmp_path / "pre-create", "echo one >&2; echo two >&2")
    program(tmp_path / "pre-finish", "echo three >&2; exit 1")
    scripts = await made(Scripts, tmp_path)
    await scripts(call())
    with pytest.raises(HookFailed):
        await scripts(call(Hook.PRE_FINISH))
    logged = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "tusjumbo"]
    assert logged == [
        ("INFO", f"{tmp_path}/pre-create: one"),
        ("INFO", f"{tmp_path}/pre-create: two"),
        ("WARNING", f"{tmp_path}/pre-finish: three"),
    ]


@pytest.mark.parametrize(
    ("text", "interpreter", "problem"),
    [
        ("true", "/nowhere/sh", "needs an interpreter that is not there"),
        ("", "", "cannot be run: "),
    ],
)
async def test_a_program_that_is_none(
    tmp_path: Path, text: str, interpreter: str, problem: str
) -> None:
    path = program(tmp_path / "any", text, interpreter)
    if not interpreter:
        path.write_bytes(b"\x7fELF nothing")
    assert (await problem_of(await made(Script, path))).startswith(f"{tmp_path}/any {problem}")


async def test_one_that_may_not_be_run_any_more(tmp_path: Path) -> None:
    path = program(tmp_path / "any", "true")
    script = await made(Script, path)
    path.chmod(0o644)
    assert await problem_of(script) == f"{path} cannot be run: Permission denied"


async def test_one_that_has_gone_is_passed_over_in_a_directory_only(tmp_path: Path) -> None:
    path = program(tmp_path / "pre-create", "exit 1")
    scripts, script = await made(Scripts, tmp_path), await made(Script, path)
    path.unlink()
    assert await scripts(call()) == HookAnswer()
    assert await problem_of(script) == f"{path} is not there"


# --- nobody is left behind -----------------------------------------------------------------------

FAMILY = "sleep 600 & echo $! > child; echo $$ > parent; wait"


def _is_alive(path: Path) -> bool:
    try:
        return psutil.Process(int(path.read_text())).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _has_started(directory: Path) -> bool:
    parent = directory / "parent"
    return parent.exists() and bool(parent.read_text().strip())


@pytest.mark.parametrize("text", [FAMILY, "trap '' TERM INT HUP; " + FAMILY, FAMILY + "; echo {}"])
async def test_its_time_is_up(tmp_path: Path, text: str) -> None:
    script = await made(Script, program(tmp_path / "any", text), 1.0)
    assert await problem_of(script) == f"{tmp_path}/any took longer than 1 s"
    await until(lambda: not _is_alive(tmp_path / "parent") and not _is_alive(tmp_path / "child"))


async def test_its_child_holds_the_output(tmp_path: Path) -> None:
    text = "sleep 600 & echo $! > child; echo $$ > parent"
    script = await made(Script, program(tmp_path / "any", text), 1.0)
    assert "took longer" in await problem_of(script)
    await until(lambda: not _is_alive(tmp_path / "child"))


async def test_it_says_too_much(tmp_path: Path) -> None:
    text = "sleep 600 & echo $! > child; echo $$ > parent; cat /dev/zero"
    script = await made(Script, program(tmp_path / "any", text), LONG)
    assert "more than" in await problem_of(script)
    await until(lambda: not _is_alive(tmp_path / "parent") and not _is_alive(tmp_path / "child"))


async def test_who_asks_is_cancelled(tmp_path: Path) -> None:
    script = await made(Script, program(tmp_path / "any", FAMILY), LONG)
    async with anyio.create_task_group() as group:
        group.start_soon(script, call())
        await until(lambda: _has_started(tmp_path))
        group.cancel_scope.cancel()
    await until(lambda: not _is_alive(tmp_path / "parent") and not _is_alive(tmp_path / "child"))


def test_the_task_of_who_asks_is_cancelled(tmp_path: Path) -> None:
    """asyncio's own cancellation goes through every shield."""
    script = Script(program(tmp_path / "any", FAMILY), LONG)

    async def cancel() -> None:
        task = asyncio.create_task(script(call()))
        await until(lambda: _has_started(tmp_path))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not _is_alive(tmp_path / "parent"))
        await until(lambda: not _is_alive(tmp_path / "child"))

    anyio.run(cancel)


async def test_one_that_waits_for_its_turn_is_not_started(tmp_path: Path) -> None:
    text = "echo x >> runs; while [ ! -e go ]; do sleep 0.01; done"
    script = await made(Script, program(tmp_path / "any", text), LONG, at_once=1)
    async with anyio.create_task_group() as group:
        group.start_soon(script, call())
        await until(lambda: (tmp_path / "runs").exists())
        with anyio.move_on_after(0.05) as scope:
            await script(call())
        assert scope.cancelled_caught
        (tmp_path / "go").touch()
    assert (tmp_path / "runs").read_text() == "x\n"


@pytest.mark.parametrize("kept", ["> /dev/null 2>&1", "> /dev/null", "> /dev/null <&0"])
async def test_what_it_has_started_stays_when_it_has_answered(tmp_path: Path, kept: str) -> None:
    text = f"sleep 600 {kept} & echo $! > child; echo '{{\"RejectUpload\": true}}'"
    script = await made(Script, program(tmp_path / "any", text), LONG)
    assert await script(call()) == HookAnswer(reject=True)
    assert _is_alive(tmp_path / "child")
    psutil.Process(int((tmp_path / "child").read_text())).kill()


# --- many at once --------------------------------------------------------------------------------


async def test_so_many_at_once_and_no_more(tmp_path: Path) -> None:
    """Each leaves a file while it runs, and says how many it has found."""
    program(
        tmp_path / "pre-create",
        "touch run.$$; ls | grep -c '^run' >> seen; sleep 0.05; rm run.$$",
    )
    scripts = await made(Scripts, tmp_path, LONG, at_once=2)
    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(scripts, call())
    seen = [int(line) for line in (tmp_path / "seen").read_text().split()]
    assert len(seen) == 8
    assert max(seen) <= 2


async def test_the_loop_goes_on_meanwhile(tmp_path: Path) -> None:
    program(tmp_path / "pre-create", "while [ ! -e go ]; do sleep 0.01; done")
    async with anyio.create_task_group() as group:
        group.start_soon(await made(Scripts, tmp_path, LONG), call())
        await anyio.sleep(0)
        (tmp_path / "go").touch()


def test_uvloop_gives_programs_nothing_of_ours_either(tmp_path: Path) -> None:
    """Its own subprocesses have what is inheritable, and hold each other's pipes."""
    text = "sleep 600 > /dev/null & echo $! > child; ls /dev/fd > seen; echo '{}'"
    script = Script(program(tmp_path / "any", text), LONG)
    with (tmp_path / "open").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        said = anyio.run(script, call(), backend_options={"use_uvloop": True})
    assert said == HookAnswer()
    assert (tmp_path / "seen").read_text().split() == ["0", "1", "2", "3"]
    psutil.Process(int((tmp_path / "child").read_text())).kill()


def test_one_object_is_used_by_many_loops(tmp_path: Path) -> None:
    scripts = Scripts(program(tmp_path / "pre-create", "true").parent)
    for backend in ("asyncio", "trio", "asyncio"):
        assert anyio.run(scripts, call(), backend=backend) == HookAnswer()


# --- what is there -------------------------------------------------------------------------------


def test_a_directory_wants_what_it_has_programs_for(tmp_path: Path) -> None:
    program(tmp_path / "pre-create", "")
    program(tmp_path / "expired", "")
    program(tmp_path / "pre-create.sh", "")
    (tmp_path / "README").write_text("")
    scripts: Receiver = Scripts(tmp_path)
    assert set(scripts.hooks) == {Hook.PRE_CREATE, Hook.EXPIRED}
    assert scripts.name == str(tmp_path)
    assert Scripts(tmp_path, name="mine").name == "mine"


def test_one_program_wants_what_it_is_said_to(tmp_path: Path) -> None:
    path = program(tmp_path / "any", "")
    assert set(Script(path).hooks) == set(Hook)
    assert set(Script(path, hooks=[Hook.EXPIRED]).hooks) == {Hook.EXPIRED}
    assert Script(path).name == str(path)


def test_the_name_is_the_same_after_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "release-1").mkdir()
    (tmp_path / "current").symlink_to("release-1")
    monkeypatch.chdir(tmp_path)
    assert Scripts("current").name == str(tmp_path / "current")


def _missing(path: Path) -> Path:
    return path / "pre-create"


def _directory(path: Path) -> Path:
    (path / "pre-create").mkdir()
    return path / "pre-create"


def _dangling(path: Path) -> Path:
    (path / "pre-create").symlink_to("nowhere")
    return path / "pre-create"


def _not_executable(path: Path) -> Path:
    (path / "pre-create").write_text("#!/bin/sh\n")
    return path / "pre-create"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (_missing, "there is no program "),
        (_directory, "is no file that could be run"),
        (_dangling, "there is no program "),
        (_not_executable, "is not executable; try: chmod +x "),
    ],
)
def test_what_cannot_be_run_is_said_at_the_start(
    tmp_path: Path, make: Callable[[Path], Path], problem: str
) -> None:
    path = make(tmp_path)
    makers: list[Callable[[], Any]] = [lambda: Script(path)]
    if make is not _missing:
        makers.append(lambda: Scripts(tmp_path))
    for maker in makers:
        with pytest.raises(ConfigurationError) as error:
            maker()
        assert problem in str(error.value)
        assert str(path) in str(error.value)


def test_there_has_to_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no directory"):
        Scripts(tmp_path / "nowhere")
