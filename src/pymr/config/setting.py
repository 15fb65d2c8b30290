"""Every setting of PyMR, in one table.

A setting `max_record` is the flag `--max-record`, the variable `PYMR_MAX_RECORD`, the key
`max_record` of a TOML file, and the field `max_record_bytes` of `Settings`: a field's name
ends in its unit.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pymr.config.value import (
    ADDRESS,
    DURATION,
    ENCODING,
    ENDPOINT,
    IMAGE,
    LISTEN,
    NAME,
    NAMESPACE,
    PATH,
    RATIO,
    REGION,
    REGISTRY,
    SHARE,
    SWITCH,
    TEXT,
    Kind,
    choice,
    size,
    whole,
)

MiB, GiB, TiB = 1 << 20, 1 << 30, 1 << 40
MEMORY_BYTES_MIN = 256 * MiB  # task processes of the interpreter itself need about half of it
TASK_MEMORY_BYTES_MIN = 32 * MiB  # a task process with the least to work with
WORKERS_MAX = 1024  # one pipe and one process each; more belong on more machines
REDUCERS_MAX = 10_000  # each map output has an index row, each reduce task a read, per pair
FAN_IN_MAX = 1024  # sorted runs that are open at once
SKIPPED_MAX = 100_000  # a task holds the places of its bad records in memory: some 20 MB
WORKER_WAIT_S = 600.0  # what a cluster may take to make room for a first worker
DEFAULT_STORE = "s3://map-reduce-bucket"  # of runs on other machines
SCHEDULE_TIMEOUT_S = 300.0  # what a cluster may take to grow
STORAGE_WAIT_S = 600.0  # what a store's restart, or a change of its network, may take
SEED_MAX = (1 << 32) - 1  # more seeds than anybody tries
# What is only about runs on workers that join, and about runs in pods.
OF_HOSTS = frozenset({"listen", "join_file", "metrics"})
OF_PODS = frozenset(
    {
        *("context", "namespace", "schedule_timeout"),
        *("registry", "load", "builder", "requirements"),
        *("master_image", "worker_image", "minio_image"),
    }
)
ELSEWHERE = OF_HOSTS | OF_PODS | {"slots", "worker_wait"}
# What a run may be resumed with: how it is done, not what comes out.
ON_RESUME = ELSEWHERE | frozenset(
    {
        *("workers", "memory", "task_memory", "attempts", "timeout", "task_timeout"),
        *("keep", "tmp_dir", "json", "quiet", "verbose"),
        *("endpoint", "region", "storage_wait"),  # the same store, reached in another way
        "allow_unsafe_store",
        *("skip_bad_records", "max_skip_ratio"),  # which a run may have failed for the want of
    }
)


class Setting(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    kind: Kind
    about: str  # for the reader of `--help`: a phrase without a full stop
    default: Any = None
    default_text: str | None = None  # where `default` does not say it itself
    unit: str | None = None  # of the value: "bytes", "s"
    is_hidden: bool = False  # a limit few will touch: not in the list of `--help`
    in_files: bool = True

    @property
    def flag(self) -> str:
        """The flag, as in `--max-record`."""
        return "--" + self.name.replace("_", "-")

    @property
    def on_resume(self) -> bool:
        """Whether it may change when a run is resumed; the others are frozen."""
        return self.name in ON_RESUME

    @property
    def is_flag(self) -> bool:
        """Whether the flag stands alone, without a value."""
        return self.kind is SWITCH

    @property
    def variable(self) -> str:
        """The environment variable, as in `PYMR_MAX_RECORD`."""
        return "PYMR_" + self.name.upper()

    @property
    def field(self) -> str:
        """The field of `Settings`, which ends in its unit: `max_record_bytes`."""
        return f"{self.name}_{self.unit}" if self.unit else self.name

    @property
    def metavar(self) -> str | None:
        """The value's place holder in `--help`; None for a flag that stands alone."""
        return self.kind.metavar

    def show(self, value: Any) -> str:
        """Return a value as the user would write it; `-` for none."""
        if value is None:
            return "-"
        return str(value).lower() if self.is_flag else self.kind.show(value)

    @property
    def help(self) -> str:
        """The line of `--help`, with the default."""
        default = self.default_text
        if default is None and self.default is not None and not self.is_flag:
            default = self.kind.show(self.default)
        return f"{self.about} [default: {default}]" if default else self.about


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The values of a run, one for each row of the table, in its order."""

    workers: int
    mappers: int | None
    reducers: int | None
    memory_bytes: int
    task_memory_bytes: int | None
    output: str | None
    name: str | None
    format: Literal["tsv", "jsonl"]
    encoding: str
    errors: Literal["strict", "replace", "surrogateescape", "skip"]
    newline: Literal["auto", "lf"]
    max_record_bytes: int
    max_expansion: int
    long_records: Literal["refuse", "skip"]
    normalize: Literal["NFC", "NFD", "NFKC", "NFKD"] | None
    partition_seed: int
    sort: bool
    skip_bad_records: int
    max_skip_ratio: float
    attempts: int
    timeout_s: float | None
    task_timeout_s: float | None = None  # a journal may be older than it is
    overwrite: bool
    recursive: bool
    allow_empty: bool
    allow_duplicates: bool
    keep: bool
    tmp_dir: str | None
    store: str | None = None
    endpoint: str | None = None
    region: str | None = None
    storage_wait_s: float = STORAGE_WAIT_S
    on: Literal["local", "hosts", "kubernetes"] = "local"
    slots: int | None = None
    listen: str | None = None
    join_file: str | None = None
    worker_wait_s: float = WORKER_WAIT_S
    metrics: str | None = None
    schedule_timeout_s: float = SCHEDULE_TIMEOUT_S
    context: str | None = None
    namespace: str | None = None
    registry: str | None = None
    load: Literal["kind", "minikube", "k3d", "registry", "none"] | None = None
    builder: Literal["docker", "podman", "buildah"] | None = None
    requirements: str | None = None
    master_image: str | None = None
    worker_image: str | None = None
    minio_image: str | None = None
    allow_unsafe_store: bool = False
    spill_bytes: int | None
    merge_fan_in: int
    json: bool
    quiet: bool
    verbose: bool
    profile: str | None


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "workers",
        whole(1, 1_000_000),
        "task processes at once",
        default_text="the cores available",
    ),
    Setting(
        "mappers",
        whole(1, 1_000_000, example="16"),
        "map tasks wished for; the input's size sets a limit",
        default_text="by input size",
    ),
    Setting(
        "reducers",
        whole(
            1,
            REDUCERS_MAX,
            below="; for a job without a reduce phase set reducer=None in worker.py",
            above=": every map output keeps an index of all partitions",
        ),
        "reduce tasks, and so parts of the output",
        default_text="by input size",
    ),
    Setting(
        "memory",
        size(MEMORY_BYTES_MIN, 1024 * TiB, example="2G"),
        "memory that all processes may use together",
        default_text="half of the machine's",
        unit="bytes",
    ),
    Setting(
        "task_memory",
        size(TASK_MEMORY_BYTES_MIN, 1024 * TiB, example="2G"),
        "memory that one task may use, your code included",
        default_text="the machine's by --workers",
        unit="bytes",
    ),
    Setting("output", PATH, "where the parts go", default_text="./pymr-out/NAME"),
    Setting("name", NAME, "name of the job", default_text="from the worker file"),
    Setting("format", choice("tsv", "jsonl"), "text form of the output", "tsv"),
    Setting("encoding", ENCODING, "encoding of the input", "utf-8"),
    Setting(
        "errors",
        choice("strict", "replace", "surrogateescape", "skip"),
        "what to do with bytes that are not text; skip leaves the line out",
        "strict",
    ),
    Setting(
        "newline",
        choice("auto", "lf"),
        "line ends: auto strips the \\r of \\r\\n for LINES, lf keeps it",
        "auto",
    ),
    Setting(
        "max_record",
        size(1, GiB, example="64M"),
        "largest record of an input",
        64 * MiB,
        unit="bytes",
    ),
    Setting("max_expansion", RATIO, "how much larger a compressed input may become", 200),
    Setting(
        "long_records",
        choice("refuse", "skip"),
        "what to do with a record over --max-record",
        "refuse",
    ),
    Setting("normalize", choice("NFC", "NFD", "NFKC", "NFKD"), "Unicode form that text keys get"),
    Setting(
        "partition_seed",
        whole(0, SEED_MAX, example="1"),
        "seed of the hash that gives each key its reducer",
        0,
    ),
    Setting("sort", SWITCH, "put all parts together in key order", default=False),
    Setting(
        "skip_bad_records",
        whole(0, SKIPPED_MAX, example="10", above=" in a run: more is a mapper to fix"),
        "records that may be left out since the mapper raises for them",
        0,
    ),
    Setting("max_skip_ratio", SHARE, "share of all records that may be left out, from 11 on", 0.01),
    Setting("attempts", whole(1, 100), "tries a task has before the job fails", 4),
    Setting("timeout", DURATION, "longest time the run may take", unit="s"),
    Setting("task_timeout", DURATION, "longest time a task may make no progress", unit="s"),
    Setting("overwrite", SWITCH, "replace an output that exists", default=False),
    Setting("recursive", SWITCH, "read the folders inside input folders too", default=False),
    Setting("allow_empty", SWITCH, "accept an input folder without files", default=False),
    Setting("allow_duplicates", SWITCH, "accept an input that is named twice", default=False),
    Setting("keep", SWITCH, "keep intermediate data after the run", default=False),
    Setting("tmp_dir", PATH, "folder for spills", default_text="inside the output"),
    Setting(
        "store",
        ADDRESS,
        "address under which runs on other machines keep everything",
        default_text=DEFAULT_STORE,
    ),
    Setting(
        "endpoint",
        ENDPOINT,
        "URL of an S3 store that is not Amazon's",
        default_text="AWS_ENDPOINT_URL",
    ),
    Setting("region", REGION, "region of an S3 store", default_text="AWS_REGION"),
    Setting(
        "storage_wait",
        DURATION,
        "longest time a store may be out of reach",
        STORAGE_WAIT_S,
        unit="s",
    ),
    Setting(
        "on",
        choice("local", "hosts", "kubernetes"),
        "where tasks run: here, on workers that join, or in pods",
        "local",
    ),
    Setting(
        "slots",
        whole(1, WORKERS_MAX),
        "task processes at once of each worker that joins",
        default_text="its cores",
    ),
    Setting("listen", LISTEN, "where a master waits for workers", default_text="127.0.0.1:0"),
    Setting(
        "join_file",
        PATH,
        "file that lets a worker join: a secret",
        default_text="./NAME.join",
    ),
    Setting(
        "worker_wait",
        DURATION,
        "longest time a master goes on without any worker",
        WORKER_WAIT_S,
        unit="s",
    ),
    Setting("metrics", LISTEN, "where a master tells Prometheus, and whether it is well"),
    Setting(
        "schedule_timeout",
        DURATION,
        "longest time a cluster may find no room for a first worker",
        SCHEDULE_TIMEOUT_S,
        unit="s",
    ),
    Setting(
        "context",
        TEXT,
        "context of the kubeconfig that names the cluster",
        default_text="its current one",
    ),
    Setting(
        "namespace",
        NAMESPACE,
        "namespace of the cluster",
        default_text="the context's, else default",
    ),
    Setting("registry", REGISTRY, "registry that images go to, and that nodes pull from"),
    Setting(
        "load",
        choice("kind", "minikube", "k3d", "registry", "none"),
        "how images come to the nodes",
        default_text="by the context",
    ),
    Setting(
        "builder",
        choice("docker", "podman", "buildah"),
        "program that builds images",
        default_text="the first that is there",
    ),
    Setting(
        "requirements",
        PATH,
        "file of packages for the image of workers",
        default_text="what the worker file declares",
    ),
    Setting("master_image", IMAGE, "image of the master, instead of one that is built"),
    Setting("worker_image", IMAGE, "image of the workers, instead of one that is built"),
    Setting("minio_image", IMAGE, "image of MinIO, instead of one that is built"),
    Setting(
        "allow_unsafe_store",
        SWITCH,
        "use a store on which two masters at once would do harm",
        default=False,
    ),
    Setting(
        "spill",
        size(1, GiB, example="64M"),
        "encoded bytes a map task holds before it spills",
        default_text="by --memory",
        unit="bytes",
        is_hidden=True,
    ),
    Setting(
        "merge_fan_in",
        whole(2, FAN_IN_MAX, example="64"),
        "sorted runs merged at once",
        64,
        is_hidden=True,
    ),
    Setting("json", SWITCH, "write events and the result as JSON lines", default=False),
    Setting("quiet", SWITCH, "print errors only", default=False),
    Setting("verbose", SWITCH, "print more, and tracebacks of PyMR itself", default=False),
    Setting("profile", NAME, "table [profile.NAME] of the TOML files to use", in_files=False),
)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}
