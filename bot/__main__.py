"""The commands of Tellonce, one function each."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bot import agreement, app, audit, cases, chat, doctor, lines, processes, retention, rotation, staff, wrong_times
from bot import language_commands as languages
from bot import settings as all_settings
from bot.key_files import KeyFile, KeyProblem
from bot.keys import WrongKey
from bot.privacy import quiet_logs
from bot.schema import WrongSchema, require_schema
from bot.settings import Settings, WrongSetting
from flows import engine
from flows.model import FlowError
from translations import downloads, packages

commands = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
flow_commands = typer.Typer(no_args_is_help=True, help="Look at the flows.")
language_commands = typer.Typer(no_args_is_help=True, help="Look after the languages.")
staff_commands = typer.Typer(no_args_is_help=True, help="Look after the caseworkers.")
commands.add_typer(flow_commands, name="flows")
commands.add_typer(language_commands, name="languages")
key_commands = typer.Typer(no_args_is_help=True, help="Look after the service key.")
commands.add_typer(staff_commands, name="staff")
commands.add_typer(key_commands, name="keys")
audit_commands = typer.Typer(no_args_is_help=True, help="Look after the read log.")
commands.add_typer(audit_commands, name="audit")

Jsonl = Annotated[bool, typer.Option("--jsonl", help="One JSON object a line in, one a line out.")]


def main() -> None:
    """Run a command; what stops it is said in a sentence."""
    try:
        commands()
    except (
        WrongSetting,
        WrongSchema,
        KeyProblem,
        FlowError,
        staff.NameTaken,
        staff.NoSuchCaseworker,
        WrongKey,
        packages.PackageError,
    ) as error:
        _stop(str(error))


def _stop(sentence: str, status: int = 1) -> NoReturn:
    print(f"tellonce: {sentence}", file=sys.stderr)
    raise SystemExit(status)


def _not_yet() -> NoReturn:
    _stop("not yet: this command comes with a later release", 2)


def _settings() -> Settings:
    return all_settings.load()


# -- running -------------------------------------------------------------------------------------------------------------------


@commands.command()
def up() -> None:
    """Run everything on this machine: serve, work and Rasa."""
    quiet_logs()
    settings = _settings()
    app.set_up_store(settings).engine.dispose()
    app.parts(settings).store.engine.dispose()  # what is missing is said here, once, and not by each process
    processes.up(settings)


@commands.command()
def serve() -> None:
    """Run the webhooks and the caseworkers' console."""
    quiet_logs()
    processes.serve(_settings())


@commands.command()
def work() -> None:
    """Run the conversations: answering, sending, check-ins, translation."""
    quiet_logs()
    processes.work(_settings())


@commands.command()
def migrate() -> None:
    """Set the database up for this release; a new one gets its service key."""
    settings = _settings()
    app.set_up_store(settings).engine.dispose()
    print(f"The database is ready. Its service key is {settings.key_file}: keep a copy apart from every backup of the database.")


@commands.command(name="doctor")
def examine() -> None:
    """Say what is missing and how to mend it."""
    raise SystemExit(doctor.report(doctor.examine(_settings(), app.unset_variables()), sys.stdout))


# -- trying out ----------------------------------------------------------------------------------------------------------------


@commands.command(name="chat")
def talk(
    script: Annotated[Path | None, typer.Option(help="Play the reporter's lines of this file.")] = None,
    record: Annotated[Path | None, typer.Option(help="Save the chat as a transcript.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the turns and the records as JSON.")] = False,
) -> None:
    """Talk to the bot at this screen, in a database that is gone afterwards."""
    quiet_logs(40)
    with chat.scratch(_settings()) as conversation:
        for text in chat.read_script(script) if script else _typed():
            answers = conversation.says(text)
            if not as_json:
                print(*([f"> {text}"] if script else []), *answers, "", sep="\n")
        records = conversation.records()
        if record:
            chat.write_transcript(record, conversation.turns, records)
        if as_json:
            print(json.dumps({"turns": conversation.turns, "records": records}, ensure_ascii=False, indent=1))


def _typed() -> list[str]:
    """Lines from the keyboard, until Ctrl+D."""
    if sys.stdin.isatty():
        print("Write as a reporter would. Ctrl+D ends.")
    return (line.rstrip("\n") for line in sys.stdin)  # type: ignore[return-value]


@commands.command()
def demo(
    ends: Annotated[bool, typer.Option("--exit", help="Stop everything at the end.")] = False,
) -> None:
    """Play one report through everything, then leave the console running."""
    from bot import demo as story  # needs the stand-ins, which are not part of an installation

    raise SystemExit(story.play(_settings(), ends))


# -- one line in, one line out -------------------------------------------------------------------------------------------------


@commands.command()
def understand(jsonl: Jsonl = True) -> None:
    """What a text means: intent, what it tells, and the likely motivation."""
    _answer_lines(lines.understand)


@commands.command()
def detect(jsonl: Jsonl = True) -> None:
    """Which language a text is in."""
    _answer_lines(lines.detect)


@commands.command()
def translate(jsonl: Jsonl = True) -> None:
    """A text in another language, by the machine's own translation."""
    _answer_lines(lines.translate)


def _answer_lines(answer: Callable[[Settings], int]) -> NoReturn:
    quiet_logs(40)
    raise SystemExit(answer(_settings()))


# -- flows, languages, staff ---------------------------------------------------------------------------------------------------


@flow_commands.command()
def check() -> None:
    """Fail on a flow or translation that would leave somebody without an answer."""
    raise SystemExit(lines.check_flows(engine.load(), app.known_events()))


@flow_commands.command()
def segments(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What each language costs by SMS."""
    lines.print_segments(engine.load(), as_json)


@flow_commands.command()
def show(
    name: Annotated[str, typer.Argument(help="report, checkin, return or feedback.")] = "report",
    language: Annotated[str, typer.Option(help="The language of its texts.")] = "en",
    svg: Annotated[bool, typer.Option("--svg", help="An SVG picture instead of Mermaid text.")] = False,
) -> None:
    """Draw a flow, as Mermaid text or as a picture, for a person to review."""
    raise SystemExit(lines.draw_flow(engine.load(), name, language, svg))


@language_commands.command(name="list")
def list_languages(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Which languages there are, and what works in each."""
    settings = _settings()
    raise SystemExit(languages.print_rows(settings.argos_packages, settings.working_language, as_json))


@language_commands.command()
def install(
    wanted: Annotated[list[str], typer.Argument(help="A language (ar), a direction (ar-en) or an .argosmodel file.")],
    index: Annotated[
        str, typer.Option(envvar="TELLONCE_LANGUAGE_INDEX", help="Address, file or folder of an Argos index.")
    ] = downloads.PUBLIC_INDEX,
    sha256: Annotated[str | None, typer.Option(help="The hash the file must have.")] = None,
) -> None:
    """Install translation packages from an index, a mirror or a file."""
    settings = _settings()
    raise SystemExit(languages.install(settings.argos_packages, wanted, settings.working_language, index, sha256))


@language_commands.command()
def remove(wanted: Annotated[list[str], typer.Argument(help="A language, a direction or the name of a package.")]) -> None:
    """Remove translation packages."""
    settings = _settings()
    raise SystemExit(languages.remove(settings.argos_packages, wanted, settings.working_language))


@language_commands.command(name="check")
def check_languages() -> None:
    """Check the translation packages: whole, and able to translate."""
    raise SystemExit(languages.check(_settings().argos_packages))


@staff_commands.command()
def add(
    name: Annotated[str, typer.Argument(help="The name she signs in with.")],
    team: Annotated[str, typer.Option(help="Her team; one that is not there yet is made.")] = "caseworkers",
) -> None:
    """Add a caseworker. The first one of a team makes it, leads it, and gets its recovery key printed."""
    store = app.set_up_store(_settings())
    added = staff.add(store, name, team)
    print(f"Name:     {name}\nPassword: {added.password}")
    if added.recovery_key:
        print("\nRecovery key of the team. It is shown once and kept nowhere: write it down and lock it away.")
        print(f"Without it and without every password, reports stay closed for ever.\n\n  {added.recovery_key}")
    if added.is_waiting:
        print("\nShe can sign in once a member of the team has let her in: on the console, under “New caseworkers”.")


Name = Annotated[str, typer.Argument(help="The name she signs in with.")]


@staff_commands.command()
def disable(name: Name) -> None:
    """End a caseworker's access at once."""
    store = app.set_up_store(_settings())
    with store.transaction() as db:
        caseworker, left = staff.disable(db, name)
        back = cases.hand_back(db, caseworker)
        has_lead = staff.has_lead_beside(db, caseworker)
        audit.note(db, None, "disabled", None, caseworker)
    print(f"{name} is signed out and opens nothing any more; new texts are sealed to a new version of the team's key.")
    if back:
        print(f"Cases of hers that are back in the queue: {back}")
    if not left:
        print("Nobody is left who can read this team's cases: let somebody in with `tellonce staff recover` and the recovery key.")
    elif not has_lead:
        print("Nobody leads this team any more: name somebody with `tellonce staff lead NAME`.")


@staff_commands.command()
def lead(name: Name) -> None:
    """Make a caseworker a lead of her team, where no lead is left to do it on the console."""
    with app.set_up_store(_settings()).transaction() as db:
        audit.note(db, None, "made_lead", None, staff.let_lead(db, name))
    print(f"{name} leads her team, beside whoever else does.")


@staff_commands.command()
def reset(name: Name) -> None:
    """Give a caseworker a new password; she reads nothing until a member or the recovery key lets her in again."""
    password = staff.reset(app.set_up_store(_settings()), name)
    print(f"Name:     {name}\nPassword: {password}")
    print("\nA member of her team lets her in on the console, under “New caseworkers”; or, with the recovery key:")
    print(f"  tellonce staff recover {name}")


@staff_commands.command()
def recover(name: Name) -> None:
    """Let a caseworker in with the team's recovery key, read from standard input."""
    store = app.set_up_store(_settings())
    given = getpass.getpass("Recovery key of the team: ") if sys.stdin.isatty() else sys.stdin.readline()
    staff.recover(store, name, given)
    print(f"{name} can sign in and reads every case of her team.")


@key_commands.command()
def rotate(
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Leave the old version in the file: other machines get it later.")
    ] = False,
) -> None:
    """Give the service key a new version and put every row under it, while everything runs."""
    settings = _settings()
    store = app.open_store(settings)
    require_schema(store.engine)
    rotation.require_key(store)
    done = rotation.rotate(store, KeyFile(settings.key_file), retires=not keep_old, heard=print)
    if done.damaged:
        print(*(f"does not open: {where}" for where in done.damaged), sep="\n")
        _stop("these rows open with no version of the key, so the old one stays in the file; everything else is under the new one")
    if done.is_retired:
        print("The old version is gone from the file. Copies of it open backups from before today: keep or destroy them together.")
    else:
        print("The old version is still in the file. Once every machine has the new file, run `tellonce keys rotate` again.")


@commands.command()
def export() -> None:
    """Export cases."""
    _not_yet()


@commands.command(name="agreement")
def compare(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """Count decisions beside suggestions, by language and motivation; what fewer than five stand behind is left out."""
    store = app.open_store(_settings())
    require_schema(store.engine)
    with store.reading() as db:
        found = [(name, row) for id, name in staff.teams(db) for row in agreement.rows(db, id)]
    for name, row in found:
        if as_json:
            print(json.dumps({"team": name, **asdict(row)}, ensure_ascii=False))
        else:
            print(f"{name}, {row.year}, {row.language}, {row.motivation}: both {row.both}, ", end="")
            print(f"machine alone {row.machine}, caseworker alone {row.caseworker}")
    if not found and not as_json:
        print("Not enough decisions yet: five of a language and motivation in a year are the fewest that are shown.")


@commands.command()
def purge(
    full: Annotated[bool, typer.Option("--full", help="PostgreSQL: write the tables anew, so that no freed byte is left.")] = False,
    clock_is_right: Annotated[bool, typer.Option("--clock-is-right", help="Although Tellonce was off for days.")] = False,
) -> None:
    """Erase what is past its time, and every trace of it in the files; `work` does so by itself every ten minutes."""
    settings = _settings()
    store = app.set_up_store(settings)
    if not clock_is_right and not wrong_times.Doubt().may_erase(store):
        _stop("nothing was erased. If the clock is right, say: tellonce purge --clock-is-right")
    erased = retention.purge(store, retention.Limits(timedelta(days=settings.case_days), timedelta(days=settings.reporter_days)))
    retention.leave_no_trace(store, is_thorough=full)
    print(f"Erased: {erased.cases} closed cases, {erased.reporters} reporters.")


@audit_commands.command()
def verify() -> None:
    """See whether the read log is whole: nothing changed, removed or put elsewhere."""
    settings = _settings()
    store = app.open_store(settings)
    require_schema(store.engine)
    with store.reading() as db:
        entries, head = audit.verify(db, settings.audit_head_file), audit.head(db)
    print(f"The read log is whole: {entries} entries. Its head: {head}")


if __name__ == "__main__":
    main()
