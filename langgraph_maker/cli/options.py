"""Options that several commands have, each declared once."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import typer

__all__ = [
    "TASKS",
    "AsJson",
    "BaseUrl",
    "Batch",
    "BatchLimitsText",
    "CallTimeout",
    "Db",
    "Deadline",
    "Disks",
    "MaxConcurrency",
    "MaxCost",
    "MaxSteps",
    "ModelName",
    "ModelNames",
    "Namespace",
    "NewRunId",
    "OnStop",
    "OutageLimit",
    "Price",
    "Prices",
    "RunId",
    "RunIdOption",
    "Seed",
    "ServiceTier",
    "Settings",
    "Target",
    "TaskName",
    "TokenLimit",
]

TASKS: Final = (
    "blocks-world",
    "dictionary-sum",
    "hanoi",
    "hanoi-positions",
    "ledger",
    "multiplication",
    "programs",
    "proof",
    "sorting",
)
"""The names of the tasks that come with the package."""

TaskName: TypeAlias = Annotated[
    str, typer.Argument(help=f'{", ".join(TASKS)}, or "package.module:factory" for a task of your own')
]
Disks: TypeAlias = Annotated[int | None, typer.Option("--disks", help="hanoi: number of disks, 1 to 30; default 10")]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="an argument of the task's factory (repeatable)"),
]
ModelName: TypeAlias = Annotated[
    str, typer.Option("--model", help='"sim:NAME" (simulated, no key), "openai:NAME" or another "provider:NAME"')
]
ModelNames: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--model", help='"sim:NAME", "openai:NAME", … (repeatable); default: simulated models'),
]
BaseUrl: TypeAlias = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="of an OpenAI-compatible server, with openai:NAME")
]
Target: TypeAlias = Annotated[
    float, typer.Option("--target", help="wanted probability of zero errors in the whole task")
]
TokenLimit: TypeAlias = Annotated[
    int, typer.Option("--token-limit", help="output tokens a step beyond which a response is flagged")
]
Price: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT[,CACHED]",
        help="dollars per million tokens; default: those of the price list",
    ),
]
Prices: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--price", metavar="NAME=IN,OUT[,CACHED]", help="dollars per million tokens of a model (repeatable)"),
]
MaxCost: TypeAlias = Annotated[
    float | None, typer.Option("--max-cost", metavar="USD", help="dollars after which it stops")
]
Deadline: TypeAlias = Annotated[
    str | None, typer.Option("--deadline", metavar="TIME", help="after which it stops: seconds, or like 15m, 2h")
]
MaxConcurrency: TypeAlias = Annotated[
    int | None, typer.Option("--max-concurrency", help="model calls at a time; default: 256 to a chat model")
]
Batch: TypeAlias = Annotated[
    bool,
    typer.Option("--batch", help="ask openai:NAME by the Batch API: half the price, and hours for each round"),
]
BatchLimitsText: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--batch-limits",
        metavar="KEY=VALUE,…",
        help="with --batch: requests, size (bytes), delay, poll (seconds), enqueued_tokens, …",
    ),
]
OnStop: TypeAlias = Annotated[
    Literal["leave", "cancel"],
    typer.Option("--on-stop", help="with --batch, batches when it is stopped: picked up later, or cancelled and read"),
]
ServiceTier: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--tier",
        metavar="NAME",
        help='the service tier: "flex" (half the price, later), "flex-or-default" (what it has no room for costs the'
        ' full price), "priority"',
    ),
]
CallTimeout: TypeAlias = Annotated[
    str | None,
    typer.Option("--call-timeout", metavar="TIME", help="after which a call is retried; default: 10m, 15m with flex"),
]
OutageLimit: TypeAlias = Annotated[
    str, typer.Option("--outage-limit", metavar="TIME", help="for which a failing call is retried before it stops")
]
MaxSteps: TypeAlias = Annotated[int | None, typer.Option("--max-steps", help="for a task of unknown length")]
Db: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="FILE|URL", help="SQLite file or postgresql:// URL; default: a file in the data folder"
    ),
]
Namespace: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace", metavar="LABEL", help="of the tenant whose run it is, in a shared database (repeatable)"
    ),
]
RunId: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="ID", help="of the run, see langgraph-maker runs", show_default=False)
]
RunIdOption: TypeAlias = Annotated[str | None, typer.Option("--run-id", metavar="ID", help="the same as ID")]
NewRunId: TypeAlias = Annotated[
    str | None,
    typer.Option("--run-id", metavar="ID", help="resume what has this id, or start it; default: a new one"),
]
Seed: TypeAlias = Annotated[int, typer.Option("--seed", help="of simulated models, and of a choice of steps")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
