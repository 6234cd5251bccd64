"""How good translation and language detection are, on sentences of this folder: ``python -m bench.evaluate_translation``.

A translation is wrong when a fact that must be kept is lost: who did what to whom, where, a "not", a number. The facts stand
beside the sentences in ``evaluate_translation_incidents.txt``; the messages to detect in ``evaluate_translation_detect.txt``.
Nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translations import apertium, catalog, machine, packages
from translations.detect import OTHERS, language_of

HERE = Path(__file__).parent
# set: thresholds were set on it; held out: it judges them; fresh: written after the rules; "doubt set": the doubt was fitted on it,
# "doubt test": written beside it and judges it; last: written before the glossary and looked at after everything.
PARTS = ("set", "held out", "fresh", "doubt set", "doubt test", "last")
FLAGS_FOR_EVERYTHING = frozenset({"rough_gist", "by_pivot"})  # said of a route, not of a sentence

_NO = {
    "en": r"\b(?:no|not|never|nobody|none|nothing|nor|neither|without|cannot|unable|hardly)\b|n['’]t\b|\bno longer\b",
    "pt": r"\b(?:não|nunca|ninguém|nada|nem|jamais|nenhuma?|sem)\b",
    "es": r"\b(?:no|nunca|nadie|nada|ni|jamás|ningun[oa]?|ningún|sin)\b",
}
_ALSO_NO = {
    "en": r"\brefus|\bstopped|\bfail|\bwarned|\bless\b|\bdenied|\bun\w+ed\b|\b(?:a lie|lying)\b",
    "pt": r"\brecus|deix\w+ de|\bneg|\bmentira",
    "es": r"x^",
}
_NUMBERS: Mapping[str, Mapping[str, int]] = {
    "en": {
        w: n for n, w in enumerate("two three four five six seven eight nine ten eleven twelve thirteen fourteen".split(), start=2)
    }
    | {"double": 2, "twice": 2, "both": 2, "twenty": 20, "fifty": 50},
    "pt": {w: n for n, w in enumerate("dois três quatro cinco seis sete oito nove dez onze doze treze catorze".split(), start=2)}
    | {"duas": 2, "quatorze": 14, "dobro": 2, "ambos": 2, "ambas": 2, "vinte": 20, "cinquenta": 50},
    "es": {w: n for n, w in enumerate("dos tres cuatro cinco seis siete ocho nueve diez once doce".split(), start=2)}
    | {"doble": 2},
}


@dataclass(frozen=True)
class Task:
    """One sentence to translate, its reference, and patterns of which each must be found in the translation."""

    place: int
    part: str  # one of PARTS
    way: str
    source: str
    target: str
    text: str
    reference: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """One translation and what it lost: ``Judged(task, "I want them to know.", ("negation_lost",), ("not",), 61.0)``."""

    task: Task
    text: str
    flags: tuple[str, ...]
    lost: tuple[str, ...]
    chrf: float

    @property
    def is_flagged(self) -> bool:
        return bool(set(self.flags) - FLAGS_FOR_EVERYTHING)


def tasks() -> list[Task]:
    """Every way of every incident: careful and as texted, in both embedded directions, and Spanish."""
    first = _incidents("evaluate_translation_incidents.txt")
    halves = [(line, "set" if place % 2 else "held out") for place, line in enumerate(first, start=1)]
    fresh = [(line, "fresh") for line in _incidents("evaluate_translation_fresh.txt")]
    found = []
    more = _incidents("evaluate_translation_doubt.txt")
    doubt = [(line, "doubt test" if place % 2 else "doubt set") for place, line in enumerate(more)]
    last = [(line, "last") for line in _incidents("evaluate_translation_last.txt")]
    for place, (line, part) in enumerate(halves + fresh + doubt + last, start=1):
        en, pt, pt_sms, en_sms, es, facts = (part.strip() for part in line.split(" | "))
        in_english, in_portuguese = [], []
        for fact in facts.split(" ; "):
            english, portuguese = fact.split(" ~ ")
            in_english.append(english.strip().replace("/", "|"))
            in_portuguese.append(portuguese.strip().replace("/", "|"))
        to_english, to_portuguese = tuple(in_english), tuple(in_portuguese)
        found += [
            Task(place, part, "pt-en careful", "pt", "en", pt, en, to_english),
            Task(place, part, "pt-en as texted", "pt", "en", pt_sms, en, to_english),
            Task(place, part, "en-pt careful", "en", "pt", en, pt, to_portuguese),
            Task(place, part, "en-pt as texted", "en", "pt", en_sms, pt, to_portuguese),
            Task(place, part, "es-en gist", "es", "en", es, en, to_english),
        ]
    return [task for task in found if task.text != "-"]


def _incidents(name: str) -> list[str]:
    return [line for line in (HERE / name).read_text("utf-8").splitlines() if line and not line.startswith("#")]


def judge(task: Task, made: machine.Translation) -> Judged:
    """What a translation lost."""
    text = made.text or ""
    lost = [fact for fact in task.facts if not re.search(fact, text, re.IGNORECASE)]
    lost += _negation(task, text) + _numbers(task, text)
    return Judged(task, text, made.flags, tuple(lost), chrf(text, task.reference))


def _negation(task: Task, text: str) -> list[str]:
    here, reference = (re.search(_NO[lang], said, re.I) for lang, said in ((task.source, task.text), (task.target, task.reference)))
    # As texted, "n" is a "not" that only the reference shows.
    wanted = bool(reference) and (bool(here) or "as texted" in task.way)
    there = re.search(_NO[task.target], text, re.I)
    if wanted and not there and not re.search(_ALSO_NO[task.target], text, re.I):
        return ["not (lost)"]
    # "Quis" with an "n" that only the texted form has, or "refused" said as "did not want", is nothing gained.
    said_otherwise = re.search(_ALSO_NO[task.target], task.reference, re.I) or re.search(r"\bn\b|doesnt", task.text)
    return ["not (gained)"] if there and not reference and not here and not said_otherwise else []


def _numbers(task: Task, text: str) -> list[str]:
    # As texted, "2" and "4" between words are "to" and "for".
    said = re.sub(r"(?<=[a-z] )[24](?= [a-z0-9])(?! (?:women|men|metres|nights|cousins|boys))", " ", task.text)
    wanted = _counted(said if task.source == "en" else task.text, task.source)
    there = _counted(text, task.target)
    allowed = wanted | _counted(task.reference, task.target)
    lost = {n for n in wanted if n not in there and n % 12 not in there} if wanted else set()
    gained = {n for n in there if n not in allowed and n + 12 not in allowed}
    return [f"number {n} lost" for n in sorted(lost)] + [f"number {n} gained" for n in sorted(gained)]


def _counted(text: str, language: str) -> set[int]:
    digits = {int(number) for number in re.findall(r"(?<![a-z])\d+", text)} - {0, 1}  # "in2" is no number
    return digits | {n for word, n in _NUMBERS[language].items() if re.search(rf"\b{word}\b", text, re.I)}


def chrf(text: str, reference: str) -> float:
    """chrF2 with character n-grams of 1 to 6, spaces left out, between 0 and 100 (Popović 2015)."""
    scores = []
    here, there = re.sub(r"\s", "", text), re.sub(r"\s", "", reference)
    for length in range(1, 7):
        made = Counter(here[i : i + length] for i in range(len(here) - length + 1))
        wanted = Counter(there[i : i + length] for i in range(len(there) - length + 1))
        if not made or not wanted:
            continue
        same = (made & wanted).total()
        precision, recall = same / made.total(), same / wanted.total()
        scores.append(5 * precision * recall / (4 * precision + recall) if same else 0.0)
    return 100 * sum(scores) / len(scores) if scores else 0.0


# -- translation ---------------------------------------------------------------------------------------------------------------


@contextmanager
def engine() -> Iterator[tuple[machine.Translator, int]]:
    """A translation process of our own with the embedded packages, and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        packages_dir, socket_path = Path(folder) / "argos" / "packages", Path(folder) / "t.sock"
        packages.install_embedded(packages_dir)
        child = machine.start(socket_path, packages_dir)
        translator = machine.Translator(socket_path)
        try:
            if not translator.wait_until_ready(120):
                raise SystemExit("the translation process did not start")
            yield translator, child.pid
        finally:
            machine.stop(child)


def translated(wanted: Sequence[Task]) -> tuple[list[Judged], dict[str, float]]:
    """Every task judged, and what it cost: CPU milliseconds a sentence by direction, and the process's memory in MB."""
    judged, costs = [], {}
    with engine() as (translator, pid):
        by_way: dict[str, list[Task]] = defaultdict(list)
        for task in wanted:
            by_way[task.way].append(task)
        for way, some in by_way.items():
            if some[0].source == "es" and not apertium.is_installed("es"):
                print(f"left out {way}: {apertium.install_line('es')}")
                continue
            before = _cpu(pid)
            judged += [judge(task, translator.translate(task.text, task.source, task.target)) for task in some]
            if some[0].source != "es":  # Apertium's programs are processes of their own
                costs[f"{way}: CPU ms a sentence"] = 1000 * (_cpu(pid) - before) / len(some)
        costs["memory of the process, MB"] = _memory(pid)
    return judged, costs


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int | str) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def summed(judged: Sequence[Judged]) -> dict[str, Any]:
    """The figures of some translations."""
    wrong = [j for j in judged if j.lost]
    right = [j for j in judged if not j.lost]
    negated = [j for j in judged if re.search(_NO[j.task.target], j.task.reference, re.I)]
    silently = [j for j in negated if any("(lost)" in fact for fact in j.lost) and not j.is_flagged]
    counted = [j for j in judged if _counted(j.task.text, j.task.source)]
    facts = sum(len(j.task.facts) for j in judged)
    kept = facts - sum(sum(fact in j.task.facts for fact in j.lost) for j in judged)
    return {
        "sentences": len(judged),
        "chrF": round(sum(j.chrf for j in judged) / len(judged), 1),
        "facts": facts,
        "facts kept": kept,
        "sentences with a fact lost": len(wrong),
        "negations": len(negated),
        "negations lost without a flag": len(silently),
        "sentences with numbers": len(counted),
        "sentences with a number lost": sum(any("number" in fact for fact in j.lost) for j in counted),
        "wrong ones flagged": sum(j.is_flagged for j in wrong),
        "right ones flagged": sum(j.is_flagged for j in right),
    }


def print_translation(judged: Sequence[Judged], costs: Mapping[str, float], shown: bool) -> dict[str, Any]:
    """Print the figures by direction and by part."""
    report: dict[str, Any] = {}
    for way in dict.fromkeys(j.task.way for j in judged):
        for part in PARTS:
            if some := [j for j in judged if j.task.way == way and j.task.part == part]:
                report[f"{way}, {part}"] = summed(some)
    width = max(map(len, report))
    head = [
        "n",
        "chrF",
        "facts kept",
        "fact lost in",
        "wrong flagged",
        "right flagged",
        "negations silently lost",
        "numbers lost in",
    ]
    print(f"{'':{width}}  " + "  ".join(head))
    for name, f in report.items():
        right = f["sentences"] - f["sentences with a fact lost"]
        cells = [f["sentences"], f["chrF"], f"{f['facts kept']}/{f['facts']}", f["sentences with a fact lost"]]
        cells += [f"{f['wrong ones flagged']}/{f['sentences with a fact lost']}", f"{f['right ones flagged']}/{right}"]
        cells += [f"{f['negations lost without a flag']}/{f['negations']}"]
        cells += [f"{f['sentences with a number lost']}/{f['sentences with numbers']}"]
        print(f"{name:{width}}  " + "  ".join(f"{cell!s:>{len(title)}}" for cell, title in zip(cells, head, strict=True)))
    for name, cost in costs.items():
        print(f"{name}: {cost:.1f}")
    flags = Counter((flag, bool(j.lost)) for j in judged for flag in j.flags)
    print("\nflag: on wrong ones, on right ones")
    for flag in sorted({flag for flag, _ in flags}):
        print(f"  {flag}: {flags[flag, True]}, {flags[flag, False]}")
    if shown:
        for j in judged:
            if j.lost or j.is_flagged:
                print(json.dumps({"place": j.task.place, "way": j.task.way, "text": j.task.text, "made": j.text, "flags": j.flags,
                                  "lost": j.lost}, ensure_ascii=False))  # fmt: skip
    return {"ways": report, "costs": dict(costs)}


# -- detection -----------------------------------------------------------------------------------------------------------------


def messages() -> list[tuple[str, str]]:
    """(language, message); a romanised language ends in ``-Latn``."""
    found, language = [], ""
    for line in (HERE / "evaluate_translation_detect.txt").read_text("utf-8").splitlines():
        if line.startswith("= "):
            language = line.removeprefix("= ")
        elif line and not line.startswith("#"):
            found.append((language, line))
    return found


def print_detection() -> dict[str, Any]:
    """Print, by language: messages, wrong without asking, asked, and asked of those of five words or more."""
    before = _memory("self")
    language_of("somebody shouted at me on the bus last night")  # the detectors load at the first message
    report: dict[str, Any] = {"memory, MB": round(_memory("self") - before, 1), "languages": {}}
    took, work, confused = [], [], Counter[str]()
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for language, text in messages():
        started, worked = time.perf_counter(), time.process_time()
        guess = language_of(text)
        took.append(1000 * (time.perf_counter() - started))
        work.append(1000 * (time.process_time() - worked))
        spoken = language.removesuffix("-Latn")
        is_long = len(text.split()) >= 5 or (spoken.startswith("zh") and len(text) >= 8)
        rows[language].update(["all"] + ["long"] * is_long + ["asked"] * guess.ask + ["long asked"] * (guess.ask and is_long))
        if guess.language != spoken:
            confused[f"{language} taken for {guess.language}" + (", asked" if guess.ask else "")] += 1
            rows[language]["wrong"] += not guess.ask
        else:
            rows[language]["named"] += 1
    for name, times in (("p95, ms", took), ("p95, CPU ms", work)):
        report[name] = round(sorted(times)[int(0.95 * len(times))], 2)
    print(f"\n{'language':10}  messages  wrong without asking  asked  of 5 words or more  asked  named rightly")
    for language, row in rows.items():
        report["languages"][language] = dict(row)
        cells = f"{row['all']:8}  {row['wrong']:20}  {row['asked']:5}  {row['long']:18}  {row['long asked']:5}  {row['named']:13}"
        print(f"{language:10}  {cells}")
    ours = [row for language, row in rows.items() if language in catalog.languages()]
    typed = [row for language, row in rows.items() if language.endswith("-Latn")]
    others = [row for language, row in rows.items() if language in OTHERS]
    for name, some in (("the 24", ours), ("romanised", typed), ("recognised", others)):
        sums = sum(some, Counter[str]())
        print(f"{name:10}  {dict(sums)}")
        report[name] = dict(sums)
    print(f"p95 {report['p95, ms']} ms ({report['p95, CPU ms']} ms of CPU), memory {report['memory, MB']} MB more")
    print("confused: " + "; ".join(f"{what} ({count})" for what, count in confused.most_common()))
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.evaluate_translation", description=__doc__)
    parser.add_argument("--show", action="store_true", help="print each translation that is wrong or flagged")
    parser.add_argument("--detection", action="store_true", help="detection alone")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args(arguments)
    report: dict[str, Any] = {}
    if not options.detection:
        judged, costs = translated(tasks())
        report["translation"] = print_translation(judged, costs, options.show)
    report["detection"] = print_detection()
    if options.json:
        options.json.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
