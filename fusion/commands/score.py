"""The command that scores a file of texts, however large. Heavy packages load inside it."""

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion.commands.options import Delimiter, Encoding, Header, Json, NoHeader, NoQuotes, Quiet
from fusion.console import answer, note, progress, show
from gpu_kernels.errors import ConfigError, DataError, TrifuseError

if TYPE_CHECKING:
    import polars as pl

    from fusion.text_files import Piece, Survey, TextFile
    from sentiment.score import Scorer

_SHOWN = 1000
_EMPTY = 0.95  # of the largest entropy: from here on answers say little
_STDOUT = Path("-")


def score(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Text (one a line), CSV, JSONL (also .gz), Parquet; - is stdin.")
    ],
    column: Annotated[str, typer.Option("--column", help="Column of the texts, in CSV, JSONL and Parquet.")] = "text",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write .parquet, .csv or .jsonl (also .gz); - is JSON lines on stdout."),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="embedded, a hub name, or a local folder.")] = "embedded",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=TONE,...", help="What the model's labels mean, e.g. LABEL_0=negative."),
    ] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", help="Tokens that the model reads at once.")] = None,
    long: Annotated[
        str | None,
        typer.Option("--long", help="Of texts longer than that: mean, first or max of their parts, or truncate."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, float32, bfloat16 or int8; default: auto.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda; default: cuda where there is.")] = None,
    batch_tokens: Annotated[int | None, typer.Option("--batch-tokens", help="Tokens of one batch.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", envvar="TRIFUSE_CACHE", help="File that remembers scores; default: the user's own."),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither ask nor remember.")] = False,
    prefix: Annotated[str, typer.Option("--prefix", help="Before the names of the new columns.")] = "",
    encoding: Encoding = "utf-8",
    delimiter: Delimiter = "",
    header: Header = "",
    no_header: NoHeader = False,
    no_quotes: NoQuotes = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read, and count them.")
    ] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Say at the end what was found, in one line.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score texts with the sentiment model: negative, neutral, positive, and score = positive - negative.

    Every other column of the file is kept. A file is read and written piece
    by piece, so it may be larger than memory, and is first read once to the
    end, so that a bad row is told before anything is scored. Scores are
    remembered: run a killed command again, and it goes on where it was.

    \b
    Examples:
      echo "Loss narrows as sales recover" | trifuse score -
      trifuse score headlines.csv --column headline --out scores.parquet
      trifuse score tweets.jsonl.gz --out scored.jsonl.gz --summary --json
      trifuse score guardian.csv --no-header --column 2 --out scores.csv
      trifuse score posts.csv --model ./my_model --label LABEL_0=negative,LABEL_1=neutral,LABEL_2=positive
    """
    from fusion.table_files import check_other, check_target
    from fusion.text_files import TextFile

    if out == _STDOUT and as_json:
        raise ConfigError("--json with --out -", allowed="one of them: both are for stdout")
    if out is not None and out != _STDOUT:
        check_target(out)
        check_other("--out", out, [file])
    if cache is not None and not no_cache:
        check_other("--cache", cache, [file, out])
    options: dict[str, Any] = {
        "labels": _labels(label or []),
        "max_length": max_length,
        "long": long,
        "precision": precision,
        "device": device,
        "batch_tokens": batch_tokens,
    }
    source = TextFile(
        file,
        column,
        encoding=encoding,
        delimiter=delimiter,
        header=header,
        numbered=no_header,
        quoted=not no_quotes,
        skip_bad=skip_bad,
    )
    with _warnings_noted(), progress(quiet) as advance:
        advance("reading", None)
        survey = source.survey()
        if survey is not None:
            _check_output(source, survey, out, as_json)
        advance(f"loading the model {model}", None)
        from sentiment.score import Scorer

        with _options_named(options):
            scorer = Scorer(
                model,
                cache=None if no_cache else _cache_file(cache),
                **{name: value for name, value in options.items() if value is not None},
            )
        run = _Run(source, survey, scorer, prefix, advance)
        rows = run.write(out, as_json)
        facts = run.facts(model)
    if out is not None and out != _STDOUT:
        facts["out"] = str(out)
    if as_json:
        answer(facts if out is not None else {"summary": facts, "rows": rows} if summary else rows)
    elif out is None:
        shown, numeric = run.for_a_person(rows)
        show(shown, numeric=numeric)
    if summary and not as_json:
        note(_line(facts))
    elif out is None and not as_json and not quiet:
        note(f"model {facts['model']} {facts['model_sha256'][:12]}")
    elif out is not None and not as_json:
        note(f"{facts['texts']:,} texts scored in {'stdout' if out == _STDOUT else out}")


class _Run:
    """One file through one model, and what is counted on the way."""

    def __init__(
        self,
        source: "TextFile",
        survey: "Survey | None",
        scorer: "Scorer",
        prefix: str,
        advance: Callable[[str, float | None], None],
    ) -> None:
        self._source, self._survey, self._scorer, self._advance = source, survey, scorer, advance
        self._names = {name: prefix + name for name in scorer.score([]).columns}
        for name in self._names.values():
            if survey is not None and name in survey.schema:
                raise ConfigError(f"{source.name} has a column {name!r} already", hint="call ours: --prefix our_")
        self._counts: Counter[str] = Counter()
        self._sum = self._entropy = 0.0
        self._start = time.perf_counter()

    def for_a_person(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
        """The rows as a screen has room for them: without the model, four decimals; and the columns of numbers."""
        model = {self._names[name] for name in ("model", "model_sha256")}
        new = [name for name in self._names.values() if name not in model]
        shown = [
            {
                name: f"{value:.4f}" if name in new and isinstance(value, float) else value
                for name, value in row.items()
                if name not in model
            }
            for row in rows
        ]
        return shown, new

    def write(self, out: Path | None, as_json: bool) -> list[dict[str, Any]]:
        """Scores the whole file into `out`; where there is none, returns the rows."""
        import sys

        from fusion.table_files import append_jsonl, appending

        rows: list[dict[str, Any]] = []
        if out is None:
            for piece in self._source.pieces():
                rows += self._table(piece, self.scored(piece)).to_dicts()
                if not as_json and len(rows) > _SHOWN:
                    raise _too_many(self._source)
        elif out == _STDOUT:
            for piece in self._source.pieces():
                append_jsonl(self._rows(piece), sys.stdout.buffer)
                sys.stdout.buffer.flush()
        else:
            objects = self._source.kind == "jsonl" and ".jsonl" in out.suffixes
            with appending(out) as append:
                for piece in self._source.pieces():
                    append(self._rows(piece) if objects else self._table(piece, self.scored(piece)))
        return rows

    def scored(self, piece: "Piece") -> "pl.DataFrame":
        from sentiment.embedded import TONES

        before, total = self._counts["texts"], None if self._survey is None else self._survey.rows

        def tell(share: float) -> None:
            done = before + share * len(piece.texts)
            rate = done / max(time.perf_counter() - self._start, 1e-9)
            of = "" if total is None else f" of {total:,}"
            self._advance(f"sentiment: {done:,.0f}{of} texts, {rate:,.0f}/s", done / total if total else None)

        scores = self._scorer.score(piece.texts, progress=tell)
        self._counts["texts"] += scores.height
        self._counts["missing"] += scores["score"].null_count()
        self._counts["truncated"] += int(scores["truncated"].sum() or 0)
        self._counts["with_nul"] += sum("\0" in text for text in piece.texts if text)
        self._counts["skipped"] += len(piece.problems)
        self._sum += float(scores["score"].sum() or 0.0)
        self._entropy += float(scores["entropy"].sum() or 0.0)
        best = scores.select(TONES).drop_nulls().to_numpy().argmax(1)
        self._counts.update(TONES[tone] for tone in best.tolist())
        return scores.rename(self._names)

    def _rows(self, piece: "Piece") -> "list[dict[str, Any]] | pl.DataFrame":
        """Rows for JSON lines: objects stay what they are."""
        scores = self.scored(piece)
        if piece.objects is None:
            return self._table(piece, scores)
        return [row | scored for row, scored in zip(piece.objects, scores.to_dicts(), strict=True)]

    def _table(self, piece: "Piece", scores: "pl.DataFrame") -> "pl.DataFrame":
        return piece.frame(list(self._survey.schema) if self._survey is not None else []).hstack(scores)

    def facts(self, model: str) -> dict[str, Any]:
        """What was found, as JSON holds it."""
        from sentiment.card import card_of
        from sentiment.embedded import TONES

        counts, seconds = self._counts, time.perf_counter() - self._start
        scored = counts["texts"] - counts["missing"]
        trained_through = card_of(model).trained_through
        return {
            "file": self._source.name,
            **{name: counts[name] for name in ("texts", "missing", "truncated", "skipped", "with_nul")},
            "from_cache": self._scorer.from_cache,
            "share": {tone: round(counts[tone] / scored, 4) if scored else None for tone in TONES},
            "mean_score": round(self._sum / scored, 4) if scored else None,
            "mean_entropy": round(self._entropy / scored, 4) if scored else None,
            "seconds": round(seconds, 3),
            "texts_per_second": round(counts["texts"] / seconds, 1) if seconds else None,
            "model": self._scorer.identifier,
            "model_sha256": self._scorer.sha256,
            "trained_through": None if trained_through is None else trained_through.isoformat(),
        }


def _line(facts: dict[str, Any]) -> str:
    from sentiment.card import CARD_FILE

    counted = [
        f"{facts[name]:,} {said}"
        for name, said in (
            ("missing", "missing"),
            ("truncated", "truncated"),
            ("skipped", "rows left out"),
            ("with_nul", "with NUL bytes"),
            ("from_cache", "from the cache"),
        )
        if facts[name] or name in ("missing", "truncated", "from_cache")
    ]
    shares = ", ".join(f"{share:.1%} {tone}" for tone, share in facts["share"].items() if share is not None)
    if facts["mean_entropy"] is not None:
        even = math.log(len(facts["share"]))
        shares += f", mean entropy {facts['mean_entropy']:.2f} of {even:.2f}"
        if facts["mean_entropy"] > _EMPTY * even:
            shares += " (nearly even: the answers say little)"
    unknown = f"a day that its card does not tell (it can: trained_through in {CARD_FILE} in its folder)"
    until = facts["trained_through"] or unknown
    return (
        f"{facts['texts']:,} texts{_to(facts)} ({', '.join(counted)}): {shares or 'nothing scored'}; "
        f"{facts['texts_per_second']:,.0f} texts/s; "
        f"model {facts['model']} {facts['model_sha256'][:12]}, trained on text up to {until}"
    )


def _to(facts: dict[str, Any]) -> str:
    return f" scored in {facts['out']}" if facts.get("out") else ""


def _labels(given: list[str]) -> dict[str, str] | None:
    from sentiment.embedded import TONES

    labels: dict[str, str] = {}
    for pair in (pair for option in given for pair in option.split(",")):
        name, found, tone = pair.rpartition("=")
        if not found or not name or tone not in TONES:
            raise ConfigError(
                f"--label {pair!r}",
                allowed=f"NAME=TONE, the tone one of {', '.join(TONES)}",
                hint="e.g. LABEL_0=negative",
            )
        if name in labels:
            raise ConfigError(f"--label names {name!r} twice")
        labels[name] = tone
    return labels or None


@contextmanager
def _options_named(arguments: Mapping[str, Any]) -> Iterator[None]:
    """What is wrong with an argument of `Scorer` is said of the option that it came from."""
    try:
        yield
    except TrifuseError as error:
        name, found, value = error.problem.partition("=")
        if not found or name not in arguments:
            raise
        option = "--label" if name == "labels" else f"--{name.replace('_', '-')}"
        raise type(error)(f"{option} {value.strip()}", allowed=error.allowed, hint=error.hint) from error


def _cache_file(given: Path | None) -> Path | None:
    """The cache that was asked for; else the user's own, or none where that cannot be used."""
    from sentiment.cache import TextCache, default_path

    path = given or default_path()
    try:
        with TextCache(path, "00" * 32):
            return path
    except DataError as error:
        if given is not None:
            raise
        note(f"scores are not remembered: {error.problem}")
        return None


def _check_output(source: "TextFile", survey: "Survey", out: Path | None, as_json: bool) -> None:
    import polars as pl

    if out is None and not as_json and survey.rows > _SHOWN:
        raise _too_many(source)
    if out is None or source.kind != "parquet" or ".parquet" in out.suffixes:
        return
    for name, dtype in survey.schema.items():
        if dtype == pl.Binary() or dtype == pl.Object() or (dtype.is_nested() and ".csv" in out.suffixes):
            raise ConfigError(
                f"column {name!r} of {source.name} holds {dtype}, which {out.name} cannot",
                allowed="--out .parquet, or .jsonl for lists",
            )


def _too_many(source: "TextFile") -> ConfigError:
    return ConfigError(
        f"{source.name} has more than {_SHOWN:,} texts to show", hint="write them: --out scores.parquet, or --out -"
    )


@contextmanager
def _warnings_noted() -> Iterator[None]:
    """Warnings, such as that the cache is damaged, are lines to a person."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message="(the )?text cache")
        warnings.showwarning = lambda message, *_args, **_more: note(f"warning: {message}")
        yield
