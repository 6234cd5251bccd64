"""Measures the trained model on the held-out files and writes REPORT.md: python nlu/evaluate.py nlu/models/nlu.tar.gz."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import regex
from rasa.core.agent import Agent
from rasa.shared.utils.io import read_yaml_file
from rasa.utils.log_utils import configure_structlog

sys.path.insert(0, str(Path(__file__).resolve().parent))
from components.languages import USE_LANGUAGES  # noqa: E402 - a file of ours, found only from here on
from components.folding import fold  # noqa: E402
from components.lexicon import INDICATORS, STRANDS, Lexicon  # noqa: E402
from components.told import FACTS  # noqa: E402

HELD_OUT = Path(__file__).parent / "tests" / "held_out"
NLU_DATA = Path(__file__).parent / "data"
REPORT = Path(__file__).parent / "REPORT.md"
MARKS = dict(zip("wpointdg", ("when", "where", "who", "injury", "online", "threat", "damage", "ongoing")))
NONE = "none"
_TAGS = re.compile(r" #([wpointdg]+)$")
_CUE = re.compile(r"\[\[(.+?)\]\]")
_RUN = 6  # words: no held-out sentence shares so long a run with a training sentence
_DRAWS = 1_000  # of the bootstrap


@dataclass(frozen=True)
class Held:
    """One held-out account: ``Held("en", "race", "…", (("go home", 12, 19),), frozenset({"when"}))``; cues as offsets of the text."""

    language: str
    motivation: str
    text: str
    cues: tuple[tuple[int, int], ...]
    told: frozenset[str]


@dataclass(frozen=True)
class Judged:
    """A held-out account and what was made of it; ``confidence`` by strand, 0 where none was suggested."""

    held: Held
    report: dict[str, Any]
    confidence: dict[str, float]
    seconds: float

    @property
    def best(self) -> str:
        return max(self.confidence, key=lambda code: self.confidence[code]) if self.confidence else NONE


def parse_with(model: Path) -> Any:
    """A function that parses one text as the service does."""
    configure_structlog(logging.WARNING)  # left alone, Rasa prints every text it parses
    agent, loop = Agent.load(str(model)), asyncio.new_event_loop()
    return lambda text: loop.run_until_complete(agent.parse_message(text))


# -- the held-out files --------------------------------------------------------------------------------------------------------


def held_out() -> list[Held]:
    files = [path for path in sorted(HELD_OUT.glob("*.yml")) if path.stem != "intents"]
    return [
        held(path.stem, group["motivation"], line.removeprefix("- "))
        for path in files
        for group in read_yaml_file(path)["reports"]
        for line in group["examples"].splitlines()
    ]


def held(language: str, motivation: str, line: str) -> Held:
    """A line as it stands in a held-out file, without its marks."""
    tags = _TAGS.search(line)
    text, cues = _TAGS.sub("", line), []
    while found := _CUE.search(text):
        cues.append((found.start(), found.start() + len(found.group(1))))
        text = text[: found.start()] + found.group(1) + text[found.end() :]
    return Held(language, motivation, text, tuple(cues), frozenset(MARKS[mark] for mark in (tags.group(1) if tags else "")))


def trained_by_language() -> dict[str, list[str]]:
    """Every training sentence."""
    found: dict[str, list[str]] = {}
    for path in [*sorted(NLU_DATA.glob("*/bias.yml")), *sorted(NLU_DATA.glob("*/nlu.yml"))]:
        groups = read_yaml_file(path)["bias" if path.stem == "bias" else "nlu"]
        lines = [line.strip().removeprefix("- ") for group in groups for line in group["examples"].splitlines()]
        found.setdefault(path.parent.name, []).extend(lines)
    return found


def shared_runs(sentences: Iterable[str]) -> list[str]:
    """The held-out sentences that share a run of six words (in Chinese: nine characters) with training."""
    known = {run for sentences in trained_by_language().values() for sentence in sentences for run in _runs(sentence)}
    return [sentence for sentence in sentences if known & set(_runs(sentence))]


def _runs(sentence: str) -> list[tuple[str, ...]]:
    words = regex.findall(r"\p{Han}|(?:(?!\p{Han})[\p{L}\p{M}\p{N}])+", sentence.lower())
    length = 9 if regex.search(r"\p{Han}", sentence) else _RUN
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


# -- measuring -----------------------------------------------------------------------------------------------------------------


def judge(parse: Any, accounts: Sequence[Held]) -> list[Judged]:
    judged = []
    for account in accounts:
        started = time.perf_counter()
        report = parse(account.text)["report"]
        seconds = time.perf_counter() - started
        confidence = {motivation["code"]: motivation["confidence"] for motivation in report["bias"]["motivations"]}
        judged.append(Judged(account, report, confidence, seconds))
    return judged


def f1_by_strand(judged: Sequence[Judged]) -> dict[str, float]:
    result = {}
    for strand in STRANDS:
        right = sum(strand in j.confidence and j.held.motivation == strand for j in judged)
        said = sum(strand in j.confidence for j in judged)
        are = sum(j.held.motivation == strand for j in judged)
        result[strand] = 2 * right / max(1, said + are)
    return result


def macro_f1(judged: Sequence[Judged]) -> float:
    return float(np.mean(list(f1_by_strand(judged).values())))


def recall(judged: Sequence[Judged], strand: str) -> float:
    of_strand = [j for j in judged if j.held.motivation == strand]
    return sum(strand in j.confidence for j in of_strand) / max(1, len(of_strand))


def false_alarms(judged: Sequence[Judged]) -> float:
    silent = [j for j in judged if j.held.motivation == NONE]
    return sum(bool(j.confidence) for j in silent) / max(1, len(silent))


def evidence_hits(judged: Sequence[Judged]) -> tuple[int, int]:
    """Of the accounts with a marked cue whose motivation was suggested: how many show evidence that touches a cue."""
    suggested = [j for j in judged if j.held.cues and j.held.motivation in j.confidence]
    touched = 0
    for j in suggested:
        spans = [e for m in j.report["bias"]["motivations"] if m["code"] == j.held.motivation for e in m["evidence"]]
        touched += any(e["start"] < end and start < e["end"] for e in spans for start, end in j.held.cues)
    return touched, len(suggested)


def calibration(judged: Sequence[Judged], bins: int = 10) -> tuple[float, list[tuple[int, float, float]]]:
    """Expected error of the best suggestion's confidence, and for each bin of equal mass: count, mean confidence, share right."""
    pairs = sorted((max(j.confidence.values()), float(j.best == j.held.motivation)) for j in judged if j.confidence)
    parts = [part for part in np.array_split(np.array(pairs), bins) if len(part)] if pairs else []
    table = [(len(part), float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]
    error = sum(count * abs(said - right) for count, said, right in table) / max(1, len(pairs))
    return error, table


def coverage(judged: Sequence[Judged], precision: float = 0.98) -> float:
    """The share of biased accounts whose best suggestion stands above the lowest confidence from which on so many are right."""
    pairs = sorted(((max(j.confidence.values()), j.best == j.held.motivation) for j in judged if j.confidence), reverse=True)
    biased = sum(j.held.motivation != NONE for j in judged)
    right, most = 0, 0
    for count, (_, is_right) in enumerate(pairs, 1):
        right += is_right
        if right / count >= precision:
            most = right
    return most / max(1, biased)


def interval(judged: Sequence[Judged], measure: Callable[[Sequence[Judged]], float]) -> tuple[float, float]:
    """The middle 95 % of the measure over samples drawn with repetition."""
    draw = np.random.RandomState(0)
    values = [measure([judged[i] for i in draw.randint(0, len(judged), len(judged))]) for _ in range(_DRAWS // 5)]
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def told_counts(judged: Sequence[Judged]) -> dict[str, tuple[int, int, int]]:
    """For each fact: rightly said, said, told."""
    return {
        fact: (
            sum(j.report["told"][fact] and fact in j.held.told for j in judged),
            sum(j.report["told"][fact] for j in judged),
            sum(fact in j.held.told for j in judged),
        )
        for fact in FACTS
    }


def intents(parse: Any) -> dict[str, tuple[int, int, int, list[str], list[float]]]:
    """For each language: right answers, sentences, wrong ones at confidence 0.6 or more, what went wrong, seconds each."""
    result = {}
    for language, wanted in read_yaml_file(HELD_OUT / "intents.yml").items():
        cases = [(intent, str(text)) for intent, texts in wanted.items() for text in texts]
        wrong, surely, seconds = [], 0, []
        for intent, text in cases:
            started = time.perf_counter()
            got = parse(text)["intent"]
            seconds.append(time.perf_counter() - started)
            if got["name"] != intent:
                wrong.append(f"{text}: {got['name']} {got['confidence']:.2f}, not {intent}")
                surely += got["confidence"] >= 0.6
        result[language] = (len(cases) - len(wrong), len(cases), surely, wrong, seconds)
    return result


# -- the report ----------------------------------------------------------------------------------------------------------------


def report(parse: Any, compare: Callable[[], tuple[str, float, float, float]]) -> str:
    accounts = held_out()
    judged = judge(parse, accounts)
    lines = [
        "# How well the understanding process understands",
        "",
        "Written by `python nlu/evaluate.py MODEL --write`; do not edit. **Training and held-out texts have one author, and no native",
        "speaker has checked them; the held-out accounts tell much the same forty stories in each language.** The figures compare",
        "versions of this model; they do not forecast how it does on real reports.",
        "",
        "Not a blind test of everything: the word lists, and the rules for what was told in the 18 newer languages, were written after the",
        "held-out accounts and share words with them, which flatters every figure; the table below shows recall with and without a",
        "listed word. The heads and their thresholds were set on training sentences alone. Some marks of what is told were completed after a",
        "first look, and many are still missing, which costs precision of `where`.",
        "",
        "The supplied public data are not used. Added to training with weight 0.1 (0.5), and judged on languages left out, they took USE's best",
        "macro-F1 from .773 to .758 (.697) and false alarms at the same threshold of 0.4 from 5 % to 11 % (16 %).",
        "",
        f"{len(accounts)} accounts in {len({a.language for a in accounts})} languages; held-out sentences that share a run of {_RUN} words "
        f"with training: {len(shared_runs(a.text for a in accounts))}.",
        "",
        "## First-person reports",
        "",
        "| | value | 95 % | target |",
        "|---|---|---|---|",
        _row("macro-F1 over six motivations", judged, macro_f1, ">= .90"),
        _row("false alarms on accounts without bias", judged, false_alarms, "<= .03 plain, <= .15 identity named"),
        _row("coverage at 98 % precision", judged, coverage, ">= .70"),
    ]
    listed = [j for j in judged if j.held.motivation != NONE and _is_listed(j.held)]
    unlisted = [j for j in judged if j.held.motivation != NONE and not _is_listed(j.held)]
    for name, some in (("recall where a word of the lists stands", listed), ("recall where none does", unlisted)):
        lines.append(f"| {name}, {len(some)} accounts | {sum(j.held.motivation in j.confidence for j in some) / max(1, len(some)):.3f} | | |")
    error, table = calibration(judged)
    touched, suggested = evidence_hits(judged)
    lines += [
        f"| calibration error, {sum(n for n, _, _ in table)} suggestions | {error:.3f} | | <= .02 |",
        f"| evidence touches the marked cue | {touched / max(1, suggested):.3f} ({touched}/{suggested}) | | >= .95 |",
        "",
        "| language | encoder | macro-F1 | 95 % | false alarms |",
        "|---|---|---|---|---|",
    ]
    for language in sorted({a.language for a in accounts}):
        some = [j for j in judged if j.held.language == language]
        low, high = interval(some, macro_f1)
        encoder = "both" if language in USE_LANGUAGES else "E5"
        lines.append(f"| {language} | {encoder} | {macro_f1(some):.2f} | {low:.2f}-{high:.2f} | {false_alarms(some):.2f} |")
    f1 = f1_by_strand(judged)
    columns = [*STRANDS, NONE]
    lines += ["", "| is, below; suggested first, right | F1 | recall | " + " | ".join(columns) + " |", "|---|---|---|" + "---|" * len(columns)]
    for strand in columns:
        row = Counter(j.best for j in judged if j.held.motivation == strand)
        head = f"| {strand} | {f1[strand]:.2f} | {recall(judged, strand):.2f} |" if strand != NONE else "| none | | |"
        lines.append(head + "".join(f" {row[code]} |" for code in columns))
    lines += ["", "| confidence, ten bins of equal mass | said | right |", "|---|---|---|"]
    lines += [f"| {count} suggestions | {said:.2f} | {right:.2f} |" for count, said, right in table]
    lines += ["", "## What was told", "", "| fact | precision | recall | of |", "|---|---|---|---|"]
    counts = told_counts(judged)
    for fact, (right, said, are) in counts.items():
        lines.append(f"| {fact} | {right / max(1, said):.2f} ({right}/{said}) | {right / max(1, are):.2f} | {are} |")
    right, said = sum(c[0] for c in counts.values()), sum(c[1] for c in counts.values())
    lines.append(f"| all | {right / max(1, said):.3f} (target .97) | | |")
    found = intents(parse)
    right, of, surely = (sum(row[i] for row in found.values()) for i in range(3))
    lines += ["", "## Intents", "", f"{right}/{of} = {right / of:.3f} (target .96); wrong at confidence 0.6 or more: {surely / of:.3f} (target .01).", ""]
    lines += ["| language | right | wrong at 0.6 |", "|---|---|---|"]
    lines += [f"| {language} | {row[0]}/{row[1]} | {row[2]} |" for language, row in found.items()]
    by_use = [s for language, row in found.items() if language in USE_LANGUAGES for s in row[4]]
    by_e5 = [s for language, row in found.items() if language not in USE_LANGUAGES for s in row[4]] or [0.0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines += ["", "## Cost on the machine of this run", "", "| | p50 ms | p95 ms | target |", "|---|---|---|---|"]
    for name, seconds, target in (
        ("a short text, a language of USE", by_use, "15"),
        ("a short text, another language", by_e5, "15"),
        ("an account with evidence", [j.seconds for j in judged], "300"),
    ):
        lines.append(f"| {name} | {np.quantile(seconds, 0.5) * 1000:.0f} | {np.quantile(seconds, 0.95) * 1000:.0f} | {target} |")
    lines += ["", f"Peak memory of this process: {peak:.0f} MB (target 800).", "", "## Plain pipelines, trained and tested on the same sentences", ""]
    lines += ["| pipeline | macro-F1 | false alarms | intents |", "|---|---|---|---|"]
    lines.append(f"| this model | {macro_f1(judged):.2f} | {false_alarms(judged):.2f} | {right / of:.2f} |")
    name, f1_value, alarms, share = compare()  # last: its memory is not ours
    lines.append(f"| {name} | {f1_value:.2f} | {alarms:.2f} | {share:.2f} |")
    return "\n".join(lines) + "\n"


def _is_listed(account: Held) -> bool:
    """Whether the word lists hold something of this account that points to its motivation."""
    hits = _lexicon().hits(fold(account.text), {account.language})
    return any(hit.kind in INDICATORS and hit.strand == account.motivation for hit in hits)


@lru_cache(maxsize=1)
def _lexicon() -> Lexicon:
    return Lexicon({path.parent.name: read_yaml_file(path)["lexicon"] for path in sorted(NLU_DATA.glob("*/lexicon.yml"))})


def _row(name: str, judged: Sequence[Judged], measure: Callable[[Sequence[Judged]], float], target: str) -> str:
    low, high = interval(judged, measure)
    return f"| {name} | {measure(judged):.3f} | {low:.2f}-{high:.2f} | {target} |"


# -- a plain pipeline ----------------------------------------------------------------------------------------------------------


def plain_pipeline() -> tuple[str, float, float, float]:
    """Letter n-grams and logistic regression, trained on the same files: macro-F1, false alarms, intents right."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # only this comparison needs it
    from sklearn.linear_model import LogisticRegression

    groups = [g for path in sorted(NLU_DATA.glob("*/bias.yml")) for g in read_yaml_file(path)["bias"]]
    lines = [(line.removeprefix("- "), g["motivation"]) for g in groups for line in g["examples"].splitlines()]
    single = [(text, motivation) for text, motivation in lines if "+" not in motivation]
    accounts = held_out()
    cut = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=60_000)
    model = LogisticRegression(C=10, max_iter=100).fit(cut.fit_transform([t for t, _ in single]), [m for _, m in single])
    said = model.predict(cut.transform([a.text for a in accounts]))
    judged = [Judged(a, {}, {} if code == NONE else {str(code): 1.0}, 0.0) for a, code in zip(accounts, said)]
    asked = [(line.removeprefix("- "), g["intent"]) for p in sorted(NLU_DATA.glob("*/nlu.yml")) for g in read_yaml_file(p)["nlu"] for line in g["examples"].splitlines()]
    asked += [(text, "report") for text, _ in lines]
    wanted = [(str(t), i) for groups in read_yaml_file(HELD_OUT / "intents.yml").values() for i, texts in groups.items() for t in texts]
    by_intent = LogisticRegression(C=10, max_iter=100).fit(cut.transform([t for t, _ in asked]), [i for _, i in asked])
    right = np.mean(by_intent.predict(cut.transform([t for t, _ in wanted])) == np.array([i for _, i in wanted]))
    return "letter n-grams + logistic regression", macro_f1(judged), false_alarms(judged), float(right)


def main(arguments: Sequence[str]) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", type=Path)
    options.add_argument("--write", action="store_true", help="write nlu/REPORT.md too")
    chosen = options.parse_args(arguments)
    text = report(parse_with(chosen.model), plain_pipeline)
    print(text)
    if chosen.write:
        REPORT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
